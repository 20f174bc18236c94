//! `replace-flows`, `diff-flows`: tables of flows held against each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cli::program;
use flow::classifier::{Shape, Shapes};
use flow::field::TunTable;
use openflow::action::Actions;
use openflow::flow_mod::{
    Command, FlowFlags, FlowMod, FlowModCommand, FlowStatsRequest, GROUP_ANY, PackedMatch, TABLE_ALL, format_match,
    write_flags,
};
use openflow::matching::{Match, normalize};
use openflow::message::Message;
use openflow::names::{Names, Style};
use openflow::{OfPort, Protocols};

use super::flow_file;
use super::flows::{dialect, each_flow, protocol_for_dump, put};
use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// What a flow is beside its match, priority and table.
#[derive(Clone, Debug, PartialEq)]
struct Content {
    cookie: u64,
    idle_timeout: u16,
    hard_timeout: u16,
    importance: u16,
    flags: FlowFlags,
    actions: Actions,
}

/// A flow with what either side says of it.
struct Entry {
    table: u8,
    priority: u16,
    matching: PackedMatch,
    sides: [Option<Content>; 2],
}

/// Flows by what identifies them, in the order in which they came. Their matches are packed: there may be a great many.
#[derive(Default)]
struct Flows {
    shapes: Shapes,
    /// As they were read, until all are here.
    read: Vec<(usize, u8, u16, PackedMatch, Content)>,
    entries: Vec<Entry>,
}

impl Flows {
    /// Puts together what is the same flow on both sides. Tunnel options are compared in a table of all that occur, since
    /// each match has a table of its own.
    fn settle(&mut self) {
        let mut lens = BTreeMap::new();
        for tun in self.read.iter().filter_map(|read| read.3.tun.as_ref()) {
            for (i, entry) in tun.entries() {
                let len = lens.entry(i).or_insert(0);
                *len = entry.len.next_multiple_of(4).max(*len);
            }
        }
        let mut table = TunTable::default();
        let has_room = lens.iter().all(|(i, len)| table.reserve(*i, *len, false).is_ok());
        let table = Arc::new(table);
        let read = std::mem::take(&mut self.read);
        let mut index = HashMap::with_capacity(read.len());
        for (side, of_table, priority, mut matching, version) in read {
            if has_room && matching.tun.is_some() {
                let mut whole = matching.unpack();
                whole.move_options(&table);
                matching = whole.pack(&mut self.shapes);
            }
            let entries = &mut self.entries;
            let at = *index.entry((of_table, priority, matching.mini.clone())).or_insert_with(|| {
                entries.push(Entry { table: of_table, priority, matching, sides: [None, None] });
                entries.len() - 1
            });
            self.entries[at].sides[side] = Some(version);
        }
    }

    /// Reads a file, with names of a switch's ports. Returns the protocols that can say its flows, and the switch.
    fn read_file(
        &mut self,
        side: usize,
        named: Option<Session>,
        file: &str,
    ) -> Result<(Protocols, Option<Session>), Failure> {
        let text = flow_file::Text::read(file)?;
        let add = Command::Mod(FlowModCommand::Add);
        let (flow_mods, usable, named) = flow_file::parse_text(named, file, &text, add)?;
        for f in flow_mods {
            let mut whole = f.matching.unpack();
            normalize(&mut whole);
            let matching = whole.pack(&mut self.shapes);
            let version = Content {
                cookie: f.new_cookie,
                idle_timeout: f.idle_timeout,
                hard_timeout: f.hard_timeout,
                importance: f.importance,
                flags: kept(f.flags),
                actions: f.actions,
            };
            let table = if f.table == TABLE_ALL { 0 } else { f.table };
            self.read.push((side, table, f.priority, matching, version));
        }
        Ok((usable, named))
    }

    fn read_switch(&mut self, session: &Session, protocol: Protocols, side: usize) -> Done {
        let request = FlowStatsRequest {
            aggregate: false,
            matching: Match::any(),
            cookie: 0,
            cookie_mask: 0,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            table: TABLE_ALL,
        };
        let request = Message::FlowStatsRequest { dialect: dialect(protocol), request: Box::new(request) };
        each_flow(session, &request, |f| {
            let matching = f.matching.pack(&mut self.shapes);
            let version = Content {
                cookie: f.cookie,
                idle_timeout: f.idle_timeout,
                hard_timeout: f.hard_timeout,
                importance: f.importance,
                flags: kept(f.flags),
                actions: f.actions,
            };
            self.read.push((side, f.table, f.priority, matching, version));
        })
    }

    /// In order of tables; within one, matches of one kind together as they came, the kind with the highest priority
    /// first.
    fn sorted(&self) -> Vec<&Entry> {
        let mut kinds: HashMap<(u8, &Shape), (u16, usize)> = HashMap::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let kind = kinds.entry(kind_of(entry)).or_insert((0, i));
            kind.0 = kind.0.max(entry.priority);
        }
        let mut sorted: Vec<(usize, &Entry)> = self.entries.iter().enumerate().collect();
        sorted.sort_by_cached_key(|(i, e)| {
            let (priority, first) = kinds.get(&kind_of(e)).copied().unwrap_or((0, *i));
            (e.table, std::cmp::Reverse(priority), first, *i)
        });
        sorted.into_iter().map(|(_, e)| e).collect()
    }
}

/// What is sorted together: flows of one table whose matches ask for the same bits.
fn kind_of(entry: &Entry) -> (u8, &Shape) {
    (entry.table, entry.matching.mini.shape())
}

/// Flags that a flow keeps: those that only say how to add it do not count.
fn kept(flags: FlowFlags) -> FlowFlags {
    flags.without(FlowFlags::CHECK_OVERLAP).without(FlowFlags::RESET_COUNTS)
}

/// `replace-flows SWITCH FILE`.
pub(super) fn replace_flows(settings: &Settings, args: &[String]) -> Done {
    let mut flows = Flows::default();
    let _ = flow_file::open(&args[1], "open")?;
    let named = flow_file::open_for_names(settings, &args[0])?;
    let (usable, _) = flows.read_file(0, named, &args[1])?;
    let session = Session::open(&args[0], settings)?;
    let protocol = protocol_for_dump(&session, usable, settings)?;
    flows.read_switch(&session, protocol, 1)?;
    flows.settle();
    let sorted = flows.sorted();
    let gone = |entry: &&Entry| match &entry.sides {
        [None, Some(old)] => Some(change(entry, old, FlowModCommand::DeleteStrict, protocol)),
        _ => None,
    };
    let new = |entry: &&Entry| match &entry.sides {
        [Some(new), old] if settings.readd || old.as_ref() != Some(new) => {
            Some(change(entry, new, FlowModCommand::Add, protocol))
        }
        _ => None,
    };
    // Table by table, what goes before what comes.
    let tables = sorted.chunk_by(|a, b| a.table == b.table);
    let changes = tables.flat_map(|table| table.iter().filter_map(gone).chain(table.iter().filter_map(new)));
    if settings.bundle {
        let mut bundle = super::bundle::Bundle::new(&session);
        for flow_mod in changes {
            let table_id = Protocols::TABLE_ID.contains(protocol);
            bundle.add(|out, version, xid| {
                openflow::message::encode_flow_mod(out, dialect(protocol), &flow_mod, table_id, version, xid)
            })?;
        }
        return bundle.commit(settings);
    }
    let mut requests = Vec::new();
    for flow_mod in changes {
        put(&mut requests, &session, &flow_mod, protocol)?;
    }
    if requests.is_empty() { Ok(()) } else { session.change(&requests, settings) }
}

fn change(entry: &Entry, version: &Content, command: FlowModCommand, protocol: Protocols) -> FlowMod {
    let add = command == FlowModCommand::Add;
    let table_id = Protocols::TABLE_ID.contains(protocol);
    FlowMod {
        matching: entry.matching.unpack(),
        priority: entry.priority,
        new_cookie: version.cookie,
        table: if table_id { entry.table } else { TABLE_ALL },
        command,
        idle_timeout: version.idle_timeout,
        hard_timeout: version.hard_timeout,
        importance: version.importance,
        flags: version.flags,
        actions: if add { version.actions.clone() } else { Actions::default() },
        ..FlowMod::default()
    }
}

/// Whether a source of flows is a file rather than a switch: by its path, or because there is something of that name.
fn is_file(name: &str) -> bool {
    name.starts_with(['/', '.']) || !name.contains(':') && std::fs::metadata(name).is_ok()
}

/// `diff-flows SOURCE1 SOURCE2`: exit code 2 if they differ. Where names are shown, they are those of the first switch's
/// ports; from there on files may use them.
pub(super) fn diff_flows(settings: &Settings, args: &[String]) -> Done {
    let mut flows = Flows::default();
    let mut named = None;
    for (side, source) in args.iter().enumerate() {
        if is_file(source) {
            let _ = flow_file::open(source, "open")?;
            (_, named) = flows.read_file(side, named, source)?;
        } else {
            let session = Session::open(source, settings)?;
            let protocol = protocol_for_dump(&session, Protocols::ANY, settings)?;
            flows.read_switch(&session, protocol, side)?;
            if settings.shows_names() {
                named.get_or_insert(session);
            }
        }
    }
    let names = named.as_ref().map_or(Names::NONE, |session| Names { tables: None, ..session.names() });
    let style = Style { names, colors: settings.colors };
    flows.settle();
    let mut differ = false;
    let mut out = String::new();
    for entry in flows.sorted() {
        let [a, b] = &entry.sides;
        if a == b {
            continue;
        }
        differ = true;
        for (sign, version) in [('-', a), ('+', b)] {
            if let Some(version) = version {
                out.push(sign);
                line(&mut out, entry, version, &style);
            }
        }
    }
    program::print(&out);
    if differ {
        program::flush_stdout();
        std::process::exit(2);
    }
    Ok(())
}

fn line(out: &mut String, entry: &Entry, version: &Content, style: &Style<'_>) {
    if entry.table != 0 {
        out.push_str(&format!("table={} ", entry.table));
    }
    out.push_str(&format_match(&entry.matching.unpack(), Some(entry.priority), style));
    if version.cookie != 0 {
        out.push_str(&format!(" cookie={:#x}", version.cookie));
    }
    for (name, value) in [
        ("idle_timeout", version.idle_timeout),
        ("hard_timeout", version.hard_timeout),
        ("importance", version.importance),
    ] {
        if value != 0 {
            out.push_str(&format!(" {name}={value}"));
        }
    }
    if version.flags != FlowFlags::default() {
        out.push(' ');
        write_flags(out, version.flags);
    }
    out.push_str(if version.flags == FlowFlags::default() { " actions=" } else { "actions=" });
    openflow::action::write(out, &version.actions, style);
    out.push('\n');
}
