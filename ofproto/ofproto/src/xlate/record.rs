//! The record of a translation: what `ofproto/trace` shows between `Flow:` and `Final flow:`.
//!
//! Nodes form a tree: bridges hold tables, tables hold actions and remarks, and the tables that actions go on to.

/// What a node tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A bridge.
    Bridge,
    /// A table and the rule found there.
    Table,
    /// A bucket of a group.
    Bucket,
    /// Translation goes on after recirculation.
    Thaw,
    /// An action.
    Action,
    /// A detail.
    Detail,
    /// Something that may not be wanted.
    Warn,
    /// An error.
    Error,
}

impl NodeKind {
    /// Whether it is a stage of the pipeline; what it holds is shown no deeper for its sake.
    fn is_stage(self) -> bool {
        matches!(self, NodeKind::Bridge | NodeKind::Table | NodeKind::Thaw)
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What.
    pub kind: NodeKind,
    /// Text.
    pub text: String,
    /// What it holds.
    pub subs: Vec<Node>,
}

/// A packet that connection tracking will bring again.
#[derive(Clone, Debug)]
pub struct Recirculation {
    /// Number.
    pub id: u32,
    /// Its flow when it left.
    pub flow: Box<flow::Key>,
    /// Zone of the connection tracker.
    pub zone: u16,
    /// The connection tracker translates addresses.
    pub nat: Option<openflow::action::Nat>,
}

/// Records one translation.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// Ports are shown by their names.
    pub names: bool,
    /// The bridge that the trace began in: it heads what packets do that come again, wherever that is.
    pub bridge: String,
    /// What has been recorded.
    pub nodes: Vec<Node>,
    /// Which node of each level new ones go into.
    path: Vec<usize>,
    /// Packets to come again.
    pub recirculations: Vec<Recirculation>,
}

impl Recorder {
    fn current(&mut self) -> &mut Vec<Node> {
        let mut list = &mut self.nodes;
        for index in &self.path {
            list = &mut list[*index].subs;
        }
        list
    }

    /// Adds a node.
    pub fn report(&mut self, kind: NodeKind, text: impl Into<String>) {
        let node = Node { kind, text: text.into(), subs: Vec::new() };
        self.current().push(node);
    }

    /// Adds a node and goes into it.
    pub fn enter(&mut self, kind: NodeKind, text: impl Into<String>) {
        self.report(kind, text);
        let last = self.current().len() - 1;
        self.path.push(last);
    }

    /// How deep new nodes go.
    pub fn depth(&self) -> usize {
        self.path.len()
    }

    /// Goes back to an earlier depth.
    pub fn leave_to(&mut self, depth: usize) {
        self.path.truncate(depth);
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        print(&mut out, &self.nodes, 0);
        out
    }
}

fn print(out: &mut String, nodes: &[Node], level: usize) {
    for (i, node) in nodes.iter().enumerate() {
        if node.kind == NodeKind::Bridge {
            out.push('\n');
        }
        let more = usize::from(i + 1 < nodes.len() || !node.kind.is_stage());
        let indent = " ".repeat((level + more) * 4);
        out.push_str(&indent);
        match node.kind {
            NodeKind::Detail => out.push_str(&format!(" -> {}\n", node.text)),
            NodeKind::Warn => out.push_str(&format!(" >> {}\n", node.text)),
            NodeKind::Error => out.push_str(&format!(" >>>> {} <<<<\n", node.text)),
            NodeKind::Bridge => {
                out.push_str(&format!("{}\n{indent}{}\n", node.text, "-".repeat(node.text.len())));
            }
            _ => out.push_str(&format!("{}\n", node.text)),
        }
        print(out, &node.subs, level + more + more);
    }
}
