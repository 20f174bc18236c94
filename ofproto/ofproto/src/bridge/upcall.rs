//! Upcalls: packets that the datapath could not decide upon, translated, answered with packets to send and flows to
//! cache; and what their effects come to.

use std::sync::Arc;

use flow::field::TunTable;
use flow::odp::{Cookie, DropReason};
use flow::{Actions, Execute, FlowEntry, Key, Upcall, UpcallKind};
use l2proto::mac_learning::{Change as MacChange, MacKey};
use openflow::message::PacketOut;
use openflow::{ErrorCode, OfPort};
use packet::PacketBuf;

use super::receipts::is_news;
use super::{Bridge, Output};
use crate::rule::RuleStats;
use crate::trace;
use crate::view::{BundleId, PortRef, SwitchView};
use crate::xlate::{Effect, Input, Start, Translation, resolve, stray_text, translate};

/// Failed translations are explained no more often, milliseconds.
const EXPLAIN_EVERY_MS: i64 = 60_000;
/// In a datapath's key: no port of the datapath.
const NO_ODP_PORT: u32 = u32::MAX;

impl Bridge {
    /// Takes the view of the whole switch.
    pub fn set_switch_view(&mut self, view: &SwitchView) {
        self.live = view.clone();
        self.live_stale = true;
    }

    /// The view of the switch with this bridge as it is this very moment.
    pub fn live_view(&mut self) -> &SwitchView {
        if self.live_stale || self.dirty {
            self.show_learned();
            let id = self.view.id;
            self.live.bridges.insert(id, Arc::new(self.view.clone()));
            self.live_stale = false;
            self.live_changes += 1;
        }
        &self.live
    }

    /// Answers upcalls. Where the datapath has no room for flows, packets are sent on and nothing is kept of them.
    pub fn upcalls(&mut self, batch: Vec<Upcall>, has_room: bool, now_ms: i64) {
        if let Some(batch) = self.wait_for_lessons(batch, has_room) {
            self.answer_upcalls(batch, has_room, now_ms);
        }
    }

    pub(super) fn answer_upcalls(&mut self, batch: Vec<Upcall>, has_room: bool, now_ms: i64) {
        let mut install = Vec::with_capacity(batch.len());
        let mut execute = Vec::with_capacity(batch.len());
        // All of a batch come from one thread.
        let thread = batch.first().map_or(0, |upcall| upcall.ticket.thread);
        let answered: Vec<_> = batch.iter().map(|upcall| (upcall.key.in_port(), upcall.ticket)).collect();
        if !has_room {
            self.events.flows_refused += batch.len() as u64;
        }
        let is_news = batch.iter().all(|upcall| matches!(&upcall.kind, UpcallKind::Action(cookie) if is_news(cookie)));
        for upcall in batch {
            self.upcall(upcall, has_room, now_ms, &mut install, &mut execute);
        }
        if !install.is_empty() {
            self.put(Output::Install { entries: install, thread });
        }
        if is_news {
            self.receipts.keep(answered, now_ms);
        } else {
            self.put(Output::Execute { packets: execute, answered });
        }
        self.flush_credit();
    }

    fn upcall(
        &mut self,
        upcall: Upcall,
        has_room: bool,
        now_ms: i64,
        install: &mut Vec<FlowEntry>,
        execute: &mut Vec<Execute>,
    ) {
        if self.view.flow_restore_wait {
            return;
        }
        let cookie = match upcall.kind {
            UpcallKind::Miss => None,
            UpcallKind::Action(cookie) => Some(cookie),
        };
        match cookie {
            Some(Cookie::Controller(cookie)) => {
                self.controller_packet(&cookie, &upcall.key, upcall.packet);
                return;
            }
            Some(Cookie::Sflow { vlan_tci, output }) => {
                return self.sampled(&upcall.key, upcall.packet.data(), (vlan_tci, output), now_ms);
            }
            Some(cookie @ (Cookie::FlowSample(_) | Cookie::Ipfix { .. })) => {
                return self.sampled_for_ipfix(&cookie, &upcall.key, upcall.packet.len(), now_ms);
            }
            Some(Cookie::Raw(_)) => return,
            Some(Cookie::SlowPath { .. }) | None => {}
        }
        let Some(mut translation) = self.translate_key(&upcall.key, Some(&upcall.packet), now_ms) else {
            self.events.strays += 1;
            return;
        };
        if let Some(complaint) = translation.complaint.take() {
            self.put(Output::Complain(complaint));
        }
        if translation.unmarkable {
            self.remark_on_tunnel("dropping tunnel packet marked ECN CE but is not ECN capable".to_owned());
        }
        if matches!(translation.error, Some(DropReason::RecursionTooDeep | DropReason::TooManyResubmit)) {
            self.explain(&upcall.key, &upcall.packet, &translation, now_ms);
        }
        // What a flow of the datapath handed up has been counted by it, and is credited when the flow is swept.
        let packets = u64::from(cookie.is_none());
        let stats = RuleStats { packets, bytes: packets * upcall.packet.len() as u64, used_ms: now_ms };
        self.apply(&translation.effects, stats, upcall.key.tcp_flags(), now_ms);
        let actions = self.flows.actions(std::mem::take(&mut translation.actions));
        // A packet that a controller sent, say, leaves no flow behind where it came back by a state of its own. Nor does one of
        // no port, which the datapath could not tell from others'.
        let recirc_id = upcall.key.recirc_id();
        let may_last = upcall.key.in_port() != NO_ODP_PORT && !self.recirc.is_unused(recirc_id);
        if cookie.is_none() && has_room && may_last {
            install.push(self.remember(&upcall.key, translation, &actions, now_ms));
        } else {
            self.recirc.release(&translation.recircs, now_ms);
        }
        execute.push(Execute { packet: upcall.packet, key: upcall.key, actions });
    }

    /// Traces a packet whose translation went on for too long, once a minute at the most: a trace is long, and so is its
    /// making. As Open vSwitch's it shows the datapath's number for the input port.
    fn explain(&mut self, key: &Key, packet: &PacketBuf, translation: &Translation, now_ms: i64) {
        if self.explained_ms.is_some_and(|last| now_ms - last < EXPLAIN_EVERY_MS) {
            return;
        }
        self.explained_ms = Some(now_ms);
        let request = trace::Request {
            bridge: translation.bridges.first().copied().unwrap_or(self.view.id),
            key: key.clone(),
            packet: Some(packet.clone()),
            ct_states: Default::default(),
            names: false,
            actions: None,
        };
        let traced = trace::run(&self.live, &request, &mut self.recirc, now_ms);
        self.put(Output::Explain(traced.text.trim_end().into()));
    }

    fn remark_on_tunnel(&mut self, text: String) {
        let level = openflow::Level::Warn;
        self.put(Output::Remark(openflow::Remark { level, module: "tunnel", text, once: false, kind: None }));
    }

    /// Translates a key as the datapath has it; `None` for packets of no port here.
    pub(super) fn translate_key(&mut self, key: &Key, packet: Option<&PacketBuf>, now_ms: i64) -> Option<Translation> {
        self.live_view();
        let mut flow = key.clone();
        let mut bridge = match resolve(&self.live, &mut flow) {
            Some(bridge) => bridge,
            None if key.in_port() == NO_ODP_PORT => {
                flow.clone_from(key);
                flow.set_in_port(OfPort::NONE.to_11());
                self.view.id
            }
            // It came by a port, or a tunnel, that is nobody's: not yet, or not any more.
            None => {
                if key.tun_dst() != 0 || key.tun_ipv6_dst() != 0 {
                    self.remark_on_tunnel(stray_text(key));
                }
                return None;
            }
        };
        if key.recirc_id() != 0 {
            // A number without a state is a bond's.
            let id = key.recirc_id();
            let of_bond = |b: &Arc<crate::view::BridgeView>| {
                b.bundles.values().any(|b| b.bond.as_ref().is_some_and(|bond| bond.recirc_id == id))
            };
            bridge = match self.recirc.get(id) {
                Some(state) => state.bridge,
                None => self.live.bridges.values().find(|b| of_bond(b))?.id,
            };
        }
        let input = Input {
            key: &flow,
            bridge,
            packet,
            tcp_flags: key.tcp_flags(),
            start: Start::Key,
            side_effects: true,
            now_ms,
        };
        let refused = self.live.bridges.get(&bridge).is_some_and(|b| !b.tun_table.knows_critical(key));
        let mut translation = if refused {
            Translation::refused_options(&self.live, &input)
        } else {
            self.events.translations += 1;
            translate(&self.live, &input, &mut self.recirc, None)
        };
        if key.tun_flags() & flow::tun_flag::UDPIF != 0
            && let Some(bridge) = self.live.bridges.get(&bridge)
        {
            translation.mask = bridge.tun_table.mask_to_datapath(&translation.mask, key);
            if refused {
                TunTable::ask_for_options(&mut translation.mask);
            }
        }
        Some(translation)
    }

    /// Credits packets with the effects of their translation.
    pub(super) fn apply(&mut self, effects: &[Effect], mut stats: RuleStats, tcp_flags: u16, now_ms: i64) {
        for effect in effects {
            match effect {
                Effect::Header { octets, on } => {
                    let more = stats.packets.saturating_mul((*octets).into());
                    stats.bytes = if *on { stats.bytes.saturating_add(more) } else { stats.bytes.saturating_sub(more) };
                }
                Effect::MacLearn { bridge, bundle, mac, vlan, grat_arp, is_bond } if *bridge == self.view.id => {
                    let key = MacKey { vlan: *vlan, mac: *mac };
                    self.learn_mac(key, *bundle, *grat_arp, *is_bond, now_ms);
                }
                Effect::Rule { bridge, rule } if *bridge == self.view.id => {
                    self.credit.entry(rule.id).or_default().add(stats);
                }
                Effect::Table { bridge, table, matched } if *bridge == self.view.id => {
                    let counts = self.lookups.entry(*table).or_default();
                    counts.0 += stats.packets;
                    counts.1 += if *matched { stats.packets } else { 0 };
                }
                Effect::Learn { bridge, flow_mod, limit, .. } if *bridge == self.view.id => {
                    self.learn_rule(flow_mod, *limit);
                }
                Effect::FinTimeout { bridge, rule, idle, hard } if *bridge == self.view.id => {
                    // FIN or RST.
                    if tcp_flags & 0x05 != 0 {
                        self.put(Output::FinTimeout { rule: rule.id, idle: *idle, hard: *hard });
                    }
                }
                Effect::Port { tx, rx } => self.count_crossing(*tx, *rx, stats),
                Effect::Mirrors { bridge, mirrors } if *bridge == self.view.id => {
                    for index in (0..32u8).filter(|i| mirrors & (1 << i) != 0) {
                        let sum = self.mirror_stats.entry(index).or_default();
                        sum.0 += stats.packets;
                        sum.1 += stats.bytes;
                    }
                }
                Effect::Group { bridge, group, bucket } if *bridge == self.view.id => {
                    self.credit_group(*group, *bucket, stats.packets, stats.bytes);
                }
                Effect::McastSnoop { bridge, bundle, vlan, said } if *bridge == self.view.id => {
                    let Some(groups) = self.groups_heard.as_mut() else { continue };
                    let changes = said.iter().map(|s| groups.hear(*vlan, bundle.0, s, now_ms)).filter(|c| *c).count();
                    if changes > 0 {
                        self.events.listener_changes += 1;
                        self.shows_others();
                    }
                }
                Effect::Special { port, slow, frame } if port.bridge == self.view.id => {
                    self.hear(port.port, *slow, frame, now_ms);
                }
                Effect::Bond { bridge, bundle, bucket, recirculated } if *bridge == self.view.id => {
                    self.account_bond(*bundle, *bucket, stats, *recirculated);
                }
                Effect::Netflow { bridge, flow, out } if *bridge == self.view.id => {
                    self.count_netflow(flow, *out, stats, tcp_flags, now_ms);
                }
                Effect::NeighbourWanted { port, from, to } if port.bridge == self.view.id => {
                    self.ask_neighbour(port.port, *from, *to);
                }
                Effect::NeighbourHeard { bridge, address, mac } if *bridge == self.view.id => {
                    if self.live.underlay.neighbour(&self.view.name, *address) != Some(*mac) {
                        self.put(Output::NeighbourHeard { address: *address, mac: *mac });
                    } else {
                        self.use_neighbour(*address, now_ms);
                    }
                }
                Effect::NeighbourUsed { bridge, address } if *bridge == self.view.id => {
                    self.use_neighbour(*address, now_ms);
                }
                Effect::NeighbourWanted { .. } if self.asking => {}
                Effect::Special { port, .. } | Effect::NeighbourWanted { port, .. } => {
                    self.put(Output::Foreign { bridge: port.bridge, effect: effect.clone(), stats });
                }
                Effect::MacLearn { bridge, .. }
                | Effect::Rule { bridge, .. }
                | Effect::Table { bridge, .. }
                | Effect::Learn { bridge, .. }
                | Effect::FinTimeout { bridge, .. }
                | Effect::Mirrors { bridge, .. }
                | Effect::McastSnoop { bridge, .. }
                | Effect::NeighbourHeard { bridge, .. }
                | Effect::NeighbourUsed { bridge, .. }
                | Effect::Bond { bridge, .. }
                | Effect::Netflow { bridge, .. }
                | Effect::Group { bridge, .. } => {
                    self.put(Output::Foreign { bridge: *bridge, effect: effect.clone(), stats });
                }
            }
        }
    }

    fn learn_mac(&mut self, key: MacKey, bundle: BundleId, grat_arp: bool, is_bond: bool, now_ms: i64) {
        // A flow translated before its port went may still credit packets: nothing is learned there.
        if !self.view.bundles.contains_key(&bundle) || (!grat_arp && self.macs.refresh(key, bundle.0, now_ms)) {
            return;
        }
        if self.macs.learn(key, bundle.0, grat_arp, is_bond, now_ms) != MacChange::None {
            self.macs_changed();
        }
    }

    /// Counts packets that left by one port and came in by another without a device between them.
    fn count_crossing(&mut self, tx: Option<PortRef>, rx: Option<PortRef>, stats: RuleStats) {
        for (at, sends) in [(tx, true), (rx, false)] {
            let Some(at) = at.filter(|at| at.bridge == self.view.id) else { continue };
            let port = self.virtual_stats.entry(at.port).or_default();
            let (packets, bytes) = if sends {
                (&mut port.tx_packets, &mut port.tx_bytes)
            } else {
                (&mut port.rx_packets, &mut port.rx_bytes)
            };
            *packets += stats.packets;
            *bytes += stats.bytes;
        }
        // The other bridge hears of its side alone: else each would tell the other for ever.
        let other = |at: &PortRef| at.bridge != self.view.id;
        let (tx, rx) = (tx.filter(other), rx.filter(other));
        if let Some(at) = tx.or(rx) {
            self.put(Output::Foreign { bridge: at.bridge, effect: Effect::Port { tx, rx }, stats });
        }
    }

    /// Applies effects that a packet of another bridge had here.
    pub fn foreign(&mut self, effects: &[(Effect, RuleStats)], now_ms: i64) {
        for (effect, stats) in effects {
            self.apply(std::slice::from_ref(effect), *stats, 0x05, now_ms);
        }
        self.flush_credit();
    }

    /// Has what a trace did with its packet carried out, but for the sending.
    pub fn execute_traced(&mut self, request: &trace::Request, executions: Vec<Actions>) {
        let Some(packet) = &request.packet else { return };
        let in_port = OfPort::from_11(request.key.in_port()).unwrap_or(OfPort::NONE);
        let port = self.live.bridges.get(&request.bridge).and_then(|bridge| bridge.ports.get(&in_port));
        let odp = port.and_then(|port| port.odp).unwrap_or(NO_ODP_PORT);
        let execute = |actions| {
            let mut key = Box::new(request.key.clone());
            key.set_in_port(odp);
            Execute { packet: packet.clone(), key, actions }
        };
        let packets: Vec<_> = executions.into_iter().map(execute).collect();
        if !packets.is_empty() {
            self.put(Output::Execute { packets, answered: Vec::new() });
        }
    }

    /// Sends gathered credit to the tables.
    pub(super) fn flush_credit(&mut self) {
        if !self.credit.is_empty() || !self.lookups.is_empty() {
            let rules: Vec<_> = std::mem::take(&mut self.credit).into_iter().collect();
            self.credit_hidden(&rules);
            let (mut lookups, view, bare) = (std::mem::take(&mut self.lookups), &self.view, &mut self.bare_lookups);
            lookups.retain(|table, (looked_up, _)| {
                let is_kept = view.table(*table).is_some();
                if !is_kept {
                    *bare.entry(*table).or_default() += *looked_up;
                }
                is_kept
            });
            let lookups = lookups.into_iter().map(|(t, (l, m))| (t, l, m)).collect();
            self.put(Output::Credit { rules, lookups });
        }
        self.run_queue();
    }

    /// Connections by name, with the role each has, as the database words it.
    pub fn connection_roles(&self) -> Vec<(&str, &'static str)> {
        use openflow::message::role::Role;
        let word = |role: &Role| match role {
            Role::Primary => "master",
            Role::Secondary => "slave",
            _ => "other",
        };
        self.conns.values().map(|c| (c.name.as_str(), word(&c.role))).collect()
    }

    /// Whether packets, or what they counted, wait for [`Bridge::run_packet_outs`].
    pub fn has_packet_outs(&self) -> bool {
        self.credit_due || !self.own_packets.is_empty() || !self.questions.is_empty()
    }

    fn run_own(&mut self, packets: Vec<PacketOut>, now_ms: i64) {
        for out in packets {
            let start = Start::Actions(Arc::clone(&out.actions));
            self.live_view();
            if let Some(given) = self.translate_packet_out(&out, start, now_ms) {
                self.send_given(given, now_ms);
            }
        }
    }

    /// Translates and sends the packets that the bridge itself sent out, and counts these and others.
    pub fn run_packet_outs(&mut self, now_ms: i64) {
        self.credit_due = false;
        let packets = std::mem::take(&mut self.own_packets);
        self.run_own(packets, now_ms);
        self.asking = true;
        let questions = std::mem::take(&mut self.questions);
        self.run_own(questions, now_ms);
        self.asking = false;
        self.flush_credit();
    }

    /// What becomes of a packet that is sent out, as the bridge's live view stands; nothing if its actions cannot be
    /// carried out.
    pub(super) fn translate_packet_out(&mut self, out: &PacketOut, start: Start, now_ms: i64) -> Option<Given> {
        let in_port = out.flow_metadata.in_port().unwrap_or(OfPort::NONE);
        let mut metadata = out.flow_metadata.key.clone();
        metadata.set_in_port(in_port.to_11());
        self.translate_given(&out.packet, &metadata, in_port, start, now_ms)
    }

    /// Translates a packet that a controller gave, with `metadata` for what is not in its octets.
    pub(super) fn translate_given(
        &mut self,
        octets: &[u8],
        metadata: &Key,
        in_port: OfPort,
        start: Start,
        now_ms: i64,
    ) -> Option<Given> {
        let (is_resumed, is_controllers) = (matches!(start, Start::Frozen(_)), matches!(start, Start::PacketOut(_)));
        let packet = PacketBuf::new(octets);
        let (key, _) = flow::extract_with(packet.data(), metadata, self.live.support.max_vlan_headers);
        let tcp_flags = key.tcp_flags();
        let input = Input {
            key: &key,
            bridge: self.view.id,
            packet: Some(&packet),
            tcp_flags,
            start,
            side_effects: true,
            now_ms,
        };
        self.events.translations += 1;
        let mut translation = translate(&self.live, &input, &mut self.recirc, None);
        // A packet-out that is refused on account of it gets an error instead.
        let is_answered = translation.learn_refused && is_controllers;
        if let Some(complaint) = translation.complaint.take().filter(|_| !is_answered) {
            self.put(Output::Complain(complaint));
        }
        if translation.error.is_some() && !is_resumed {
            self.recirc.release(&translation.recircs, now_ms);
            return None;
        }
        Some(Given { packet, key: Box::new(key), in_port, came_by: None, translation: Box::new(translation) })
    }

    /// A controller's packet that may be sent: its actions can be carried out, and what they teach has room.
    pub(super) fn accept(&mut self, given: Option<Given>) -> Result<Given, ErrorCode> {
        let given = given.ok_or(ErrorCode::OFPFMFC_UNKNOWN)?;
        if given.translation.learn_refused {
            self.recirc.release(&given.translation.recircs, self.now_ms);
            return Err(ErrorCode::OFPFMFC_TABLE_FULL);
        }
        Ok(given)
    }

    /// Sends a packet that was translated, and does what else that asks for.
    pub(super) fn send_given(&mut self, given: Given, now_ms: i64) {
        let Given { packet, mut key, in_port, came_by, translation } = given;
        let stats = RuleStats { packets: 1, bytes: packet.len() as u64, used_ms: now_ms };
        self.apply(&translation.effects, stats, key.tcp_flags(), now_ms);
        let odp = came_by.or_else(|| self.view.ports.get(&in_port).and_then(|p| p.odp));
        key.set_in_port(odp.unwrap_or(NO_ODP_PORT));
        let actions: Actions = translation.actions.as_slice().into();
        // The datapath takes nothing that has no Ethernet header, not even for the controller.
        if packet.len() >= packet::ethernet::HEADER_LEN {
            let execute = Execute { packet, key, actions };
            // Those that a controller sends together go together.
            match self.outputs.last_mut() {
                Some(Output::Execute { packets, answered }) if answered.is_empty() => packets.push(execute),
                _ => self.put(Output::Execute { packets: vec![execute], answered: Vec::new() }),
            }
        }
        self.recirc.release(&translation.recircs, now_ms);
    }

    /// Lets go of what a packet that is not to be sent after all had taken.
    pub(super) fn forget_given(&mut self, given: &Given) {
        self.recirc.release(&given.translation.recircs, self.now_ms);
    }
}

/// A packet of a controller's, translated and not sent yet.
#[derive(Debug)]
pub(crate) struct Given {
    packet: PacketBuf,
    key: Box<Key>,
    in_port: OfPort,
    /// The datapath's port that it came by, where that is known to be another than `in_port`'s: behind a patch port.
    pub(super) came_by: Option<u32>,
    translation: Box<Translation>,
}
