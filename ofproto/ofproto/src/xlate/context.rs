//! The state of one translation.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use flow::field::Value;
use flow::match_text::{Options, format_flow};
use flow::odp::{self, DropReason, HashAlg};
use flow::{Key, Mask};
use l2proto::mac_learning::MacKey;
use openflow::OfPort;
use openflow::action::{Action, Nat, Subfield};
use smallvec::{SmallVec, smallvec};

use super::effect::Effect;
use super::record::{NodeKind, Recorder};
use super::{Input, MAX_ODP_ACTIONS, Recirc, Translation, wildcard};
use crate::rule::Rule;
use crate::table::TableView;
use crate::view::{BridgeId, BridgeView, BundleView, PortRef, PortView, SwitchView};

/// Of a packet that is to be frozen: which hash the datapath computes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct DpHash {
    pub alg: HashAlg,
    pub basis: u32,
}

/// A header to push or pop that has not been written yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    None,
    EncapEth,
    EncapNsh,
    EncapMpls,
    Decap,
}

pub(super) struct Context<'a> {
    pub view: &'a SwitchView,
    pub bridge: &'a Arc<BridgeView>,
    pub input: &'a Input<'a>,
    pub recirc: &'a mut Recirc,
    pub recorder: Option<&'a mut Recorder>,

    /// The pipeline's flow.
    pub flow: Key,
    /// The flow as the datapath's actions so far have made it.
    pub base: Key,
    pub wc: Mask,
    pub odp: Vec<odp::Action>,
    pub effects: Vec<Effect>,
    pub slow: u32,
    pub recircs: Vec<u32>,

    pub rule: Option<Arc<Rule>>,
    pub rule_cookie: u64,
    pub table: u8,
    pub depth: u32,
    pub resubmits: u32,
    pub in_packet_out: bool,
    pub in_action_set: bool,
    pub exit: bool,
    pub error: Option<DropReason>,

    pub stack: Vec<Value>,
    pub action_set: Vec<Action>,
    pub action_set_has_group: bool,
    pub mirrors: u32,
    pub mirror_snaplen: u16,
    pub orig_skb_priority: u32,
    pub conntracked: bool,
    pub was_mpls: bool,
    /// A tag was taken off: one pushed later may equal it, of some packets only.
    pub was_tagged: bool,
    pub ct_nat: Option<Nat>,

    pub freezing: bool,
    pub dp_hash: Option<DpHash>,
    pub frozen: Vec<Action>,
    /// The action that froze the packet is among them, or has been carried out: what holds it is not to be run again.
    pub freeze_noted: bool,
    /// Table and cookie that the frozen actions so far belong to.
    pub unroll: Option<(u8, u64)>,
    pub pause: Option<Box<openflow::action::Controller>>,
    pub thawed: bool,
    /// It came from no port that there is.
    pub from_nowhere: bool,

    pub macs: SmallVec<[(BridgeId, MacKey); 1]>,
    pub bridges: SmallVec<[BridgeId; 2]>,
    pub pending: Pending,
    pub nsh_tlvs: Vec<u8>,
    pub way_out: super::monitoring::WayOut,
    /// Samples of the whole packet, which are at the head of the actions.
    pub samples_at_head: usize,
    /// What was wrong first, for the log.
    pub complaint: Option<Box<str>>,
    /// See [`Translation::learn_refused`].
    pub learn_refused: bool,
    /// See [`Translation::unmarkable`].
    pub unmarkable: bool,
    /// How often neighbours were asked for: by the port that leads there, and address.
    pub questions: BTreeMap<(PortRef, u128), u8>,
    /// A tunnel's outer packet is on its way through the bridge below, where effects are those of the flow that comes of it,
    /// also if this is a mere trace.
    pub underlay: bool,
    /// Something is sampled that wants to know where the packet goes.
    pub sampled: bool,
    /// NetFlow counts packets of the bridge they came in at.
    pub netflow: bool,
    /// Tables with the rules that this very translation has learned.
    pub taught: SmallVec<[(BridgeId, Arc<TableView>); 1]>,
}

impl<'a> Context<'a> {
    pub fn new(
        view: &'a SwitchView,
        bridge: &'a Arc<BridgeView>,
        input: &'a Input<'a>,
        recirc: &'a mut Recirc,
        recorder: Option<&'a mut Recorder>,
    ) -> Self {
        let mut flow = input.key.clone();
        flow.set_actset_output(OfPort::UNSET.to_11());
        let mut wc = wildcard::initial(input.key, view.support.recirc);
        if bridge.netflow {
            wildcard::netflow(input.key, &mut wc);
        }
        Context {
            view,
            bridge,
            input,
            recirc,
            recorder,
            base: flow.clone(),
            orig_skb_priority: flow.skb_priority(),
            flow,
            wc,
            odp: Vec::new(),
            effects: Vec::new(),
            slow: 0,
            recircs: Vec::new(),
            rule: None,
            rule_cookie: u64::MAX,
            table: 0,
            depth: 0,
            resubmits: 0,
            in_packet_out: false,
            in_action_set: false,
            exit: false,
            error: None,
            stack: Vec::new(),
            action_set: Vec::new(),
            action_set_has_group: false,
            mirrors: 0,
            mirror_snaplen: 0,
            conntracked: false,
            was_mpls: false,
            was_tagged: false,
            ct_nat: None,
            freezing: false,
            dp_hash: None,
            frozen: Vec::new(),
            freeze_noted: false,
            unroll: None,
            pause: None,
            thawed: false,
            from_nowhere: false,
            macs: SmallVec::new(),
            bridges: smallvec![bridge.id],
            pending: Pending::None,
            nsh_tlvs: Vec::new(),
            way_out: Default::default(),
            samples_at_head: 0,
            complaint: None,
            learn_refused: false,
            unmarkable: false,
            questions: BTreeMap::new(),
            underlay: false,
            sampled: false,
            netflow: bridge.netflow,
            taught: SmallVec::new(),
        }
    }

    /// Translates and gives the verdict.
    pub fn run(&mut self) -> Translation {
        self.start();
        self.end_monitoring();
        if self.error.is_none() || !self.tracing() {
            wildcard::finish(&mut self.wc, self.input.key, &self.flow);
        }
        // Behind the last action nobody needs the packet: no copy of it is made for that one.
        if let Some(odp::Action::Clone(inner)) = self.odp.pop_if(|action| matches!(action, odp::Action::Clone(_))) {
            self.odp.extend(inner.iter().cloned());
        }
        if self.odp.len() >= MAX_ODP_ACTIONS {
            self.slow |= odp::slow::ACTION;
        }
        if let Some(reason) = self.error {
            self.odp.clear();
            if self.view.support.explicit_drop {
                self.odp.push(odp::Action::Drop(reason));
            }
        }
        let final_flow = self.tracing().then(|| Box::new(self.flow.clone()));
        Translation {
            actions: take(&mut self.odp),
            mask: self.wc.clone(),
            effects: take(&mut self.effects),
            slow: self.slow,
            recircs: take(&mut self.recircs),
            complaint: self.complaint.take(),
            error: self.error,
            learn_refused: self.learn_refused,
            unmarkable: self.unmarkable,
            final_flow,
            macs: take(&mut self.macs),
            bridges: take(&mut self.bridges),
            version: self.view.version,
        }
    }

    pub fn tracing(&self) -> bool {
        self.recorder.is_some()
    }

    /// Names of the bridge's ports, if they are to be shown.
    pub fn port_names(&self) -> Option<openflow::names::NameMap> {
        self.recorder.as_ref().filter(|r| r.names).map(|_| self.bridge.port_names())
    }

    /// Actions as text, for the record.
    pub fn actions_text(&self, actions: &[Action]) -> String {
        let names = self.port_names();
        let names = openflow::Names { ports: names.as_ref().map(|n| n as _), ..openflow::Names::NONE };
        openflow::action::format(actions, &openflow::names::Style { names, ..Default::default() })
    }

    pub fn report(&mut self, kind: NodeKind, text: impl FnOnce() -> String) {
        if let Some(recorder) = &mut self.recorder {
            recorder.report(kind, text());
        }
    }

    pub fn detail(&mut self, text: &str) {
        self.report(NodeKind::Detail, || text.to_owned());
    }

    pub fn warn(&mut self, text: &str) {
        self.report(NodeKind::Warn, || text.to_owned());
    }

    pub fn report_error(&mut self, text: impl FnOnce() -> String) {
        if self.recorder.is_none() && self.complaint.is_none() {
            let flow = format_flow(self.input.key, &Options::default());
            let (text, bridge) = (text(), &self.bridge.name);
            self.complaint = Some(format!("{text} on bridge {bridge} while processing {flow}").into());
            return;
        }
        self.report(NodeKind::Error, text);
    }

    /// Goes into a node, and gives the depth to go back to.
    pub fn enter(&mut self, kind: NodeKind, text: impl FnOnce(&Self) -> String) -> usize {
        if self.recorder.is_none() {
            return 0;
        }
        let text = text(self);
        match &mut self.recorder {
            Some(recorder) => {
                let depth = recorder.depth();
                recorder.enter(kind, text);
                depth
            }
            None => 0,
        }
    }

    pub fn leave_to(&mut self, depth: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.leave_to(depth);
        }
    }

    /// `-> field is now value`.
    pub fn report_subfield(&mut self, sub: &Subfield) {
        if !self.tracing() {
            return;
        }
        let full = sub.is_whole();
        let value = self.read(sub);
        let shown = if full {
            let n = usize::from(sub.width);
            let value = Value::from_u128(value, n);
            flow::field::text::format(sub.field, &value, None, None)
        } else {
            flow::text::hex(value)
        };
        self.report(NodeKind::Detail, || format!("{sub} is now {shown}"));
    }

    pub fn in_port(&self) -> OfPort {
        OfPort::from_11(self.flow.in_port()).unwrap_or(OfPort::NONE)
    }

    pub fn port(&self, port: OfPort) -> Option<&'a Arc<PortView>> {
        self.bridge.ports.get(&port)
    }

    pub fn port_ref(&self, port: OfPort) -> PortRef {
        PortRef { bridge: self.bridge.id, port }
    }

    pub fn bundle_of(&self, port: &PortView) -> Option<&'a Arc<BundleView>> {
        self.bridge.bundles.get(&port.bundle?)
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Reads a subfield of the flow.
    pub fn read(&self, sub: &Subfield) -> u128 {
        read(&self.flow, sub, self.bridge)
    }

    /// Reads a subfield of the flow and lets its bits matter.
    pub fn read_exact(&mut self, sub: &Subfield) -> u128 {
        self.mask_subfield(sub);
        self.read(sub)
    }

    /// Writes a subfield of the flow; its other bits stay.
    pub fn write(&mut self, sub: &Subfield, number: u128) {
        if let Some((word, ofs, bits)) = sub.field.place(sub.ofs, sub.n_bits) {
            return self.flow.set_bits(word, ofs, bits, number & low_bits(sub.n_bits));
        }
        let tun = &self.bridge.tun_table;
        let mut value = sub.field.get_in(&self.flow, tun);
        value.set_subfield(sub.ofs.into(), sub.n_bits.into(), number);
        sub.field.set_in(&mut self.flow, &value, tun);
    }

    /// Lets the bits of a subfield matter.
    pub fn mask_subfield(&mut self, sub: &Subfield) {
        if let Some((word, ofs, bits)) = sub.field.place(sub.ofs, sub.n_bits) {
            return self.wc.set_bits(word, ofs, bits, u128::MAX);
        }
        let tun = &self.bridge.tun_table;
        let n = match sub.field {
            flow::Field::TunMetadata(i) => tun.entry(i).map_or(0, |e| e.len.into()),
            field => usize::from(field.meta().n_bytes),
        };
        let mut bits = Value::zeros(n);
        bits.set_subfield(sub.ofs.into(), sub.n_bits.into(), u128::MAX);
        let mut mask = Mask::EMPTY;
        sub.field.set_mask_in(&mut mask, &bits, tun);
        self.wc.join(&mask);
    }

    /// Whether the packet has a field; what told so matters.
    pub fn meets(&mut self, field: flow::Field) -> bool {
        use flow::field::Prereq as P;
        let prereq = field.meta().prereq;
        match prereq {
            P::VlanVid => self.wc.set_vlan_tci(self.wc.vlan_tci() | 0x1000),
            P::Tcp | P::Udp | P::Sctp | P::Icmpv4 | P::Icmpv6 | P::Nd | P::NdSolicit | P::NdAdvert
                if wildcard::is_ip(&self.flow) =>
            {
                self.wc.set_nw_proto(u8::MAX);
                if matches!(prereq, P::Nd | P::NdSolicit | P::NdAdvert) && P::Icmpv6.met(&self.flow) {
                    self.wc.set_tp_src(u16::MAX);
                    self.wc.set_tp_dst(u16::MAX);
                }
            }
            _ => {}
        }
        prereq.met(&self.flow)
    }
}

fn low_bits(bits: u16) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// Reads a subfield.
pub(super) fn read(key: &Key, sub: &Subfield, bridge: &BridgeView) -> u128 {
    if let Some((word, ofs, bits)) = sub.field.place(sub.ofs, sub.n_bits) {
        return key.bits(word, ofs, bits) & low_bits(sub.n_bits);
    }
    sub.field.get_in(key, &bridge.tun_table).subfield(sub.ofs.into(), sub.n_bits.into())
}
