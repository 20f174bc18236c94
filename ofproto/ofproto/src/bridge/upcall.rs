//! Upcalls: packets that the datapath could not decide upon, translated, answered with packets to send and flows to cache;
//! and the cached flows' life afterwards.
//!
//! A flow's name carries its bridge's number in its upper 16 bits, so that whoever dumps a datapath knows whom to ask.

use std::collections::HashMap;
use std::sync::Arc;

use flow::odp::Cookie;
use flow::{Actions, Execute, FlowEntry, FlowStats, Key, Mask, Ufid, Upcall, UpcallKind};
use l2proto::mac_learning::{Change as MacChange, MacKey};
use openflow::OfPort;
use packet::PacketBuf;

use super::{Bridge, Output};
use crate::rule::RuleStats;
use crate::table::Change;
use crate::view::{BridgeId, SwitchView};
use crate::xlate::{Effect, Input, Start, Translation, resolve, translate};

/// Flows idle for so long are taken out of the cache, milliseconds.
pub const MAX_IDLE_MS: i64 = 10_000;

/// A flow in the datapath's cache, with what every packet of it does besides being sent.
#[derive(Debug)]
pub struct CachedFlow {
    /// As the first packet had it, unmasked.
    key: Key,
    mask: Mask,
    actions: Actions,
    effects: Vec<Effect>,
    recircs: Vec<u32>,
    /// Counters already credited.
    pushed: FlowStats,
    /// The view that the last translation saw.
    version: u64,
    created_ms: i64,
}

/// What a look at cached flows led to.
#[derive(Debug, Default)]
pub struct Decisions {
    /// Flows to take out.
    pub delete: Vec<Ufid>,
    /// Flows to change.
    pub modify: Vec<(Ufid, Actions)>,
}

/// The bridge that a flow's name belongs to.
pub fn owner(ufid: Ufid) -> BridgeId {
    BridgeId((ufid.0 >> 112) as u32)
}

/// Name of a flow: bridge, then a hash of key and mask.
fn ufid_of(bridge: BridgeId, seed: u64, key: &Key, mask: &Mask) -> Ufid {
    let mut low = seed ^ 0x9ae1_6a3b_2f90_404f;
    let mut high = seed.rotate_left(32) ^ 0xc949_d7c7_509e_6557;
    for word in key.0.iter().chain(&mask.0) {
        low = (low.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        high = (high.rotate_left(29) ^ word).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    }
    let hash = (u128::from(high ^ (high >> 31)) << 64) | u128::from(low ^ (low >> 29));
    Ufid((hash & (u128::MAX >> 16)) | (u128::from(bridge.0 & 0xffff) << 112))
}

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
        }
        &self.live
    }

    /// Answers upcalls.
    pub fn upcalls(&mut self, batch: Vec<Upcall>, now_ms: i64) {
        let mut install = Vec::new();
        let mut execute = Vec::with_capacity(batch.len());
        let mut answered: Vec<(u32, u32)> = Vec::new();
        for upcall in batch {
            let port = upcall.key.in_port();
            match answered.iter_mut().find(|(p, _)| *p == port) {
                Some((_, n)) => *n += 1,
                None => answered.push((port, 1)),
            }
            self.upcall(upcall, now_ms, &mut install, &mut execute);
        }
        if !install.is_empty() {
            self.put(Output::Install(install));
        }
        self.put(Output::Execute { packets: execute, answered });
        self.flush_credit();
    }

    fn upcall(&mut self, upcall: Upcall, now_ms: i64, install: &mut Vec<FlowEntry>, execute: &mut Vec<Execute>) {
        if self.view.flow_restore_wait {
            return;
        }
        let cookie = match upcall.kind {
            UpcallKind::Miss => None,
            UpcallKind::Action(cookie) => Some(cookie),
        };
        match cookie {
            Some(Cookie::Controller(cookie)) => {
                self.controller_packet(&cookie, &upcall.key, &upcall.packet);
                return;
            }
            Some(Cookie::Sflow { .. } | Cookie::FlowSample(_) | Cookie::Ipfix { .. }) => return,
            Some(Cookie::SlowPath { .. }) | None => {}
        }
        let Some(translation) = self.translate_key(&upcall.key, Some(&upcall.packet), now_ms) else { return };
        let stats = RuleStats { packets: 1, bytes: upcall.packet.len() as u64, used_ms: now_ms };
        self.apply(&translation.effects, stats, upcall.key.tcp_flags(), now_ms);
        execute.push(Execute {
            packet: upcall.packet,
            key: upcall.key.clone(),
            actions: Arc::from(translation.actions.as_slice()),
        });
        if cookie.is_none() {
            install.push(self.remember(&upcall.key, translation, now_ms));
        }
    }

    /// Translates a key as the datapath has it; `None` for packets of no port here.
    fn translate_key(&mut self, key: &Key, packet: Option<&PacketBuf>, now_ms: i64) -> Option<Translation> {
        self.live_view();
        let (mut bridge, flow) = resolve(&self.live, key).unwrap_or_else(|| {
            let mut flow = key.clone();
            flow.set_in_port(OfPort::NONE.to_11());
            (self.view.id, flow)
        });
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
        Some(translate(&self.live, &input, &mut self.recirc, None))
    }

    /// Has every cached flow match on all of its packet, or on what decided alone.
    pub fn set_megaflows(&mut self, on: bool) {
        self.megaflows = on;
    }

    /// Keeps what is needed of a translation to look after its flow, and makes the flow.
    fn remember(&mut self, key: &Key, translation: Translation, now_ms: i64) -> FlowEntry {
        let mask = if self.megaflows { translation.megaflow_mask() } else { Mask::for_packet(key) };
        let whole = key.clone();
        let key = key.masked(&mask);
        let ufid = ufid_of(self.view.id, self.seed, &key, &mask);
        let actions: Actions = translation.install_actions(self.view.slowpath_meter).into();
        let flow = CachedFlow {
            key: whole,
            mask: mask.clone(),
            actions: actions.clone(),
            effects: lasting(translation.effects),
            recircs: translation.recircs,
            pushed: FlowStats::default(),
            version: self.view.version,
            created_ms: now_ms,
        };
        if let Some(old) = self.flows.insert(ufid, flow) {
            // Several packets of one flow came up together: the flow is there, its statistics go on.
            self.recirc.release(&old.recircs, now_ms);
            if let Some(new) = self.flows.get_mut(&ufid) {
                new.pushed = old.pushed;
            }
        }
        FlowEntry { ufid, key, mask, actions }
    }

    /// Credits packets with the effects of their translation.
    pub(super) fn apply(&mut self, effects: &[Effect], stats: RuleStats, tcp_flags: u16, now_ms: i64) {
        for effect in effects {
            match effect {
                Effect::MacLearn { bridge, bundle, mac, vlan, grat_arp, is_bond } if *bridge == self.view.id => {
                    // A flow translated before its port went may still credit packets: nothing is learned there.
                    if !self.view.bundles.contains_key(bundle) {
                        continue;
                    }
                    let key = MacKey { vlan: *vlan, mac: *mac };
                    if self.macs.lookup(&key).is_some_and(|e| e.port == bundle.0) && !grat_arp {
                        self.macs.refresh(key, bundle.0, now_ms);
                        continue;
                    }
                    match self.macs.learn(key, bundle.0, *grat_arp, *is_bond, now_ms) {
                        MacChange::None => {}
                        _ => {
                            self.dirty = true;
                            self.live_stale = true;
                        }
                    }
                }
                Effect::Rule { bridge, rule } if *bridge == self.view.id => {
                    self.credit.entry(rule.id).or_insert(RuleStats { used_ms: now_ms, ..RuleStats::default() });
                    if let Some(sum) = self.credit.get_mut(&rule.id) {
                        sum.packets += stats.packets;
                        sum.bytes += stats.bytes;
                        sum.used_ms = sum.used_ms.max(stats.used_ms);
                    }
                }
                Effect::Table { bridge, table, matched } if *bridge == self.view.id => {
                    let counts = self.lookups.entry(*table).or_default();
                    counts.0 += stats.packets;
                    counts.1 += if *matched { stats.packets } else { 0 };
                }
                Effect::Learn { bridge, flow_mod, limit, .. } if *bridge == self.view.id => {
                    let change = Change::Learn { flow_mod: flow_mod.clone(), limit: *limit };
                    self.own.push_back(vec![(flow_mod.table, change)]);
                }
                Effect::FinTimeout { bridge, rule, idle, hard } if *bridge == self.view.id => {
                    // FIN or RST.
                    if tcp_flags & 0x05 != 0 {
                        self.put(Output::FinTimeout { rule: rule.id, idle: *idle, hard: *hard });
                    }
                }
                Effect::Port { tx, rx } => {
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
                    let other = |at: &&crate::view::PortRef| at.bridge != self.view.id;
                    let (tx, rx) = (tx.as_ref().filter(other).copied(), rx.as_ref().filter(other).copied());
                    if let Some(at) = tx.or(rx) {
                        self.put(Output::Foreign { bridge: at.bridge, effect: Effect::Port { tx, rx }, stats });
                    }
                }
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
                        self.macs_changed();
                    }
                }
                Effect::Special { port, slow, frame } if port.bridge == self.view.id => {
                    self.hear(port.port, *slow, frame, now_ms);
                }
                Effect::Bond { bridge, bundle, bucket } if *bridge == self.view.id => {
                    self.account_bond(*bundle, *bucket, stats.bytes);
                }
                Effect::Special { port, .. } => {
                    self.put(Output::Foreign { bridge: port.bridge, effect: effect.clone(), stats });
                }
                Effect::MacLearn { bridge, .. }
                | Effect::Rule { bridge, .. }
                | Effect::Table { bridge, .. }
                | Effect::Learn { bridge, .. }
                | Effect::FinTimeout { bridge, .. }
                | Effect::Mirrors { bridge, .. }
                | Effect::McastSnoop { bridge, .. }
                | Effect::Bond { bridge, .. }
                | Effect::Group { bridge, .. } => {
                    self.put(Output::Foreign { bridge: *bridge, effect: effect.clone(), stats });
                }
            }
        }
    }

    /// Applies effects that a packet of another bridge had here.
    pub fn foreign(&mut self, effects: &[(Effect, RuleStats)], now_ms: i64) {
        for (effect, stats) in effects {
            self.apply(std::slice::from_ref(effect), *stats, 0x05, now_ms);
        }
        self.flush_credit();
    }

    /// Sends gathered credit to the tables.
    pub(super) fn flush_credit(&mut self) {
        if !self.credit.is_empty() || !self.lookups.is_empty() {
            let rules: Vec<_> = std::mem::take(&mut self.credit).into_iter().collect();
            self.credit_internal(&rules);
            let lookups = std::mem::take(&mut self.lookups).into_iter().map(|(t, (l, m))| (t, l, m)).collect();
            self.put(Output::Credit { rules, lookups });
        }
        self.run_queue();
    }

    /// Looks at cached flows as the datapath reports them: credits what they carried, and says which have to change.
    /// Reports of flows that this bridge does not know are to be deleted.
    pub fn revalidate(&mut self, reports: &[(FlowEntry, FlowStats)], now_ms: i64) -> Decisions {
        let mut decisions = Decisions::default();
        self.live_view();
        let version = self.revalidation_version();
        for (entry, stats) in reports {
            let Some(flow) = self.flows.remove(&entry.ufid) else {
                decisions.delete.push(entry.ufid);
                continue;
            };
            self.push_stats(&flow, stats, now_ms);
            let used_ms = if stats.used_ms > 0 { stats.used_ms } else { flow.created_ms };
            if now_ms - used_ms > MAX_IDLE_MS {
                decisions.delete.push(entry.ufid);
                self.recirc.release(&flow.recircs, now_ms);
                continue;
            }
            let mut flow = CachedFlow { pushed: *stats, ..flow };
            if flow.version != version && !self.retranslate(entry.ufid, &mut flow, version, now_ms, &mut decisions) {
                self.recirc.release(&flow.recircs, now_ms);
                continue;
            }
            self.flows.insert(entry.ufid, flow);
        }
        self.flush_credit();
        decisions
    }

    /// Version of everything that translations of this bridge's flows depend upon.
    fn revalidation_version(&self) -> u64 {
        self.live.version.wrapping_mul(1 << 20).wrapping_add(self.view.version)
    }

    /// `false`: the flow is to go.
    fn retranslate(
        &mut self,
        ufid: Ufid,
        flow: &mut CachedFlow,
        version: u64,
        now_ms: i64,
        decisions: &mut Decisions,
    ) -> bool {
        let Some(new) = self.translate_key(&flow.key, None, now_ms) else {
            decisions.delete.push(ufid);
            return false;
        };
        // A flow is right as long as nothing it does not look at has come to matter.
        if !flow.mask.covers(&new.megaflow_mask()) {
            self.recirc.release(&new.recircs, now_ms);
            decisions.delete.push(ufid);
            return false;
        }
        let actions: Actions = new.install_actions(self.view.slowpath_meter).into();
        if actions != flow.actions {
            decisions.modify.push((ufid, actions.clone()));
            flow.actions = actions;
        }
        let old = std::mem::replace(&mut flow.recircs, new.recircs);
        self.recirc.release(&old, now_ms);
        flow.effects = lasting(new.effects);
        flow.version = version;
        true
    }

    fn push_stats(&mut self, flow: &CachedFlow, stats: &FlowStats, now_ms: i64) {
        let packets = stats.packets.saturating_sub(flow.pushed.packets);
        if packets == 0 {
            return;
        }
        let new = RuleStats { packets, bytes: stats.bytes.saturating_sub(flow.pushed.bytes), used_ms: stats.used_ms };
        self.apply(&flow.effects, new, stats.tcp_flags, now_ms);
    }

    /// Flows that the datapath took out: credits the last of what they carried.
    pub fn flows_deleted(&mut self, gone: &[(FlowEntry, FlowStats)], now_ms: i64) {
        for (entry, stats) in gone {
            if let Some(flow) = self.flows.remove(&entry.ufid) {
                self.push_stats(&flow, stats, now_ms);
                self.recirc.release(&flow.recircs, now_ms);
            }
        }
        self.flush_credit();
    }

    /// The key of a cached flow as its first packet had it: what the mask hides is still there.
    pub fn cached_key(&self, ufid: Ufid) -> Option<&Key> {
        self.flows.get(&ufid).map(|f| &f.key)
    }

    /// The rules that a cached flow's packets went through.
    pub fn rules_of(&self, ufid: Ufid) -> Vec<Arc<crate::rule::Rule>> {
        let effects = self.flows.get(&ufid).map_or(&[][..], |f| &f.effects);
        let rules = effects.iter().filter_map(|e| match e {
            Effect::Rule { rule, .. } => Some(rule.clone()),
            _ => None,
        });
        rules.collect()
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

    /// Number of flows of this bridge in the cache.
    pub fn cached_flows(&self) -> usize {
        self.flows.len()
    }

    /// Translates and sends the packets that controllers sent out.
    pub fn run_packet_outs(&mut self, now_ms: i64) {
        for out in std::mem::take(&mut self.packet_outs) {
            let mut packet = PacketBuf::new(&out.packet);
            packet.offload.csum_valid = true;
            let mut metadata = out.flow_metadata.key.clone();
            let in_port = out.flow_metadata.in_port().unwrap_or(OfPort::NONE);
            metadata.set_in_port(in_port.to_11());
            let (key, _) = flow::extract_with(packet.data(), &metadata, self.live.support.max_vlan_headers);
            self.live_view();
            let input = Input {
                key: &key,
                bridge: self.view.id,
                packet: Some(&packet),
                tcp_flags: key.tcp_flags(),
                start: Start::Actions(out.actions.clone()),
                side_effects: true,
                now_ms,
            };
            let translation = translate(&self.live, &input, &mut self.recirc, None);
            let stats = RuleStats { packets: 1, bytes: packet.len() as u64, used_ms: now_ms };
            self.apply(&translation.effects, stats, key.tcp_flags(), now_ms);
            let mut dp_key = key;
            let odp = self.view.ports.get(&in_port).and_then(|p| p.odp);
            dp_key.set_in_port(odp.unwrap_or(u32::MAX));
            let actions: Actions = translation.actions.as_slice().into();
            self.put(Output::Execute { packets: vec![Execute { packet, key: dp_key, actions }], answered: Vec::new() });
            self.recirc.release(&translation.recircs, now_ms);
        }
        self.flush_credit();
    }
}

/// Effects that every packet of a flow has.
fn lasting(mut effects: Vec<Effect>) -> Vec<Effect> {
    effects.retain(|e| !e.is_once());
    effects
}

/// The flows of a bridge by name.
pub type Flows = HashMap<Ufid, CachedFlow>;
