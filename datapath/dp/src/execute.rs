//! Actions applied to one packet.
//!
//! The packet's key stays beside it: a written field is changed in both, a pushed or popped header makes the key stale
//! until somebody asks. A clone shares the packet's octets until one of the two changes them.

use flow::ct_state as cs;
use flow::odp::{Cookie, Ct, HashAlg, Set, SetGroup, TnlPush, Userspace};
use flow::outer::TunnelKind;
use flow::{Action, Key, Layers, OdpPort, Upcall, UpcallKind, hash};
use packet::{Offload, PacketBuf};

use crate::burst::{Packets, Slot};
use crate::ct::fragments::{self, Arrival, Fragment};
use crate::ct::{self, Again, Event, Helped, Outcome, Rewrite, Tuple};
use crate::edit::{self, Unfit};
use crate::engine::{Engine, Env};
use crate::meter::Verdict;
use crate::notice::Notice;
use crate::segment;
use crate::set::{self, Came};
use crate::stats::Drop;
use crate::tunnel;

/// Least that is left of a packet, octets.
const ETHERNET: usize = 14;
/// Lists within lists.
const MAX_DEPTH: u8 = 16;
/// Passes after the first.
const MAX_RECIRCULATIONS: u8 = 6;

/// A packet being worked upon.
pub(crate) struct Work<'k> {
    pub(crate) slot: Slot,
    pub(crate) key: &'k mut Key,
    pub(crate) layers: Layers,
    /// Headers were pushed or popped: key and layers are of before.
    pub(crate) stale: bool,
    /// Tags pushed, less those popped, since it came in.
    pub(crate) tags: i8,
    /// So many of them key and layers know of, if they are not stale.
    known: i8,
    /// Passes behind it.
    pub(crate) passes: u8,
    /// Lists around it.
    pub(crate) depth: u8,
    /// How the next output cuts it.
    pub(crate) trunc: Option<Cut>,
    /// The flow that it must stay in order with, if that was asked for already.
    pub(crate) flow: Option<u64>,
    /// The tunnel that it came by, once its key tells of one that it leaves by.
    pub(crate) came: Came,
}

/// What `trunc` asked for: so many octets are left off the end, whatever headers come or go until the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Octets to leave of the packet as it was then.
    octets: usize,
    /// Its length then.
    of: usize,
}

impl Cut {
    /// Octets to leave of a packet that is `len` octets long by now.
    pub(crate) fn left_of(self, len: usize) -> usize {
        (self.octets + len).saturating_sub(self.of).max(ETHERNET)
    }
}

/// Puts a header in front of a packet, which is copied if others count on it.
pub(crate) fn prepend(packets: &mut Packets<'_, '_>, slot: &mut Slot, header: &[u8]) {
    if packets.insert(slot, 0, header.len()) {
        let (octets, _) = packets.own(slot);
        octets[..header.len()].copy_from_slice(header);
    } else {
        // Longer than the usual headroom.
        let mut whole = PacketBuf::new(header);
        whole.extend(packets.data(*slot));
        *slot = packets.pool.add(&whole);
    }
}

/// A copy of a packet, cut as was asked for.
pub(crate) fn cut_off(trunc: Option<Cut>, mut packet: PacketBuf) -> PacketBuf {
    if let Some(octets) = trunc.map(|cut| cut.left_of(packet.len())) {
        packet::offload::complete_checksum(&mut packet);
        packet.offload.gso = None;
        packet.truncate(octets);
    }
    packet
}

impl<'k> Work<'k> {
    pub(crate) fn new(slot: Slot, key: &'k mut Key, layers: Layers) -> Self {
        let (passes, depth, tags, known) = (0, 0, 0, 0);
        Self { slot, key, layers, stale: false, tags, known, passes, depth, trunc: None, flow: None, came: Came::Kept }
    }

    /// Brings key and layers up to date: those of a packet that came in like this, of which no more than `max_vlans` tags
    /// are known.
    pub(crate) fn refresh(&mut self, packets: &Packets<'_, '_>, max_vlans: usize) {
        self.extract(packets, max_vlans, 0);
    }

    /// Brings key and layers up to date for who changes headers: what was behind the tags that were known is so still,
    /// however many were pushed since or popped.
    fn refresh_headers(&mut self, packets: &Packets<'_, '_>, max_vlans: usize) {
        self.extract(packets, max_vlans, self.tags);
    }

    /// The hash of the packet's connection as it came.
    pub(crate) fn connection_hash(&mut self, packets: &Packets<'_, '_>, max_vlans: usize) -> u32 {
        packets.meta(self.slot).offload.hash.unwrap_or_else(|| {
            self.refresh(packets, max_vlans);
            hash::five_tuple(self.key, 0)
        })
    }

    /// Keeps that hash, as headers are about to change: tunnels, bonds and groups go by it.
    fn keep_hash(&mut self, packets: &mut Packets<'_, '_>, max_vlans: usize) {
        if packets.meta(self.slot).offload.hash.is_none() {
            let hash = self.connection_hash(packets, max_vlans);
            packets.meta_mut(self.slot).offload.hash = Some(hash);
        }
    }

    fn extract(&mut self, packets: &Packets<'_, '_>, max_vlans: usize, tags: i8) {
        if self.stale || self.known != tags {
            let max_vlans = max_vlans.saturating_add_signed(tags.into());
            (*self.key, self.layers) = flow::extract_with(packets.data(self.slot), self.key, max_vlans);
            (self.stale, self.known) = (false, tags);
        }
    }
}

/// Puts what connection tracking says into a key.
fn write_connection(key: &mut Key, zone: u16, outcome: &Outcome) {
    let original = outcome.original.unwrap_or_default();
    key.set_ct_state(outcome.state);
    key.set_ct_zone(zone);
    key.set_ct_mark(outcome.mark);
    key.set_ct_label(outcome.label);
    let (v4, v6) = if original.is_v6 { (Tuple::default(), original) } else { (original, Tuple::default()) };
    key.set_ct_nw_src(v4.src as u32);
    key.set_ct_nw_dst(v4.dst as u32);
    key.set_ct_ipv6_src(v6.src);
    key.set_ct_ipv6_dst(v6.dst);
    key.set_ct_nw_proto(original.proto);
    let (src, dst) = match original.is_icmp() {
        true => (original.icmp.0.into(), original.icmp.1.into()),
        false => (original.sport, original.dport),
    };
    key.set_ct_tp_src(src);
    key.set_ct_tp_dst(dst);
}

/// Gives one key what connection tracking said of another.
fn copy_connection(from: &Key, to: &mut Key) {
    to.set_ct_state(from.ct_state());
    to.set_ct_zone(from.ct_zone());
    to.set_ct_mark(from.ct_mark());
    to.set_ct_label(from.ct_label());
    to.set_ct_nw_src(from.ct_nw_src());
    to.set_ct_nw_dst(from.ct_nw_dst());
    to.set_ct_ipv6_src(from.ct_ipv6_src());
    to.set_ct_ipv6_dst(from.ct_ipv6_dst());
    to.set_ct_nw_proto(from.ct_nw_proto());
    to.set_ct_tp_src(from.ct_tp_src());
    to.set_ct_tp_dst(from.ct_tp_dst());
}

/// The original direction, as an earlier tracking left it in the key.
fn read_original(key: &Key) -> Tuple {
    let is_v6 = key.dl_type() == 0x86dd;
    let mut tuple = Tuple { is_v6, proto: key.ct_nw_proto(), ..Tuple::default() };
    (tuple.src, tuple.dst) = match is_v6 {
        true => (key.ct_ipv6_src(), key.ct_ipv6_dst()),
        false => (key.ct_nw_src().into(), key.ct_nw_dst().into()),
    };
    if tuple.is_icmp() {
        tuple.icmp = (key.ct_tp_src() as u8, key.ct_tp_dst() as u8);
    } else {
        (tuple.sport, tuple.dport) = (key.ct_tp_src(), key.ct_tp_dst());
    }
    tuple
}

/// The addresses of an error about a translated connection: where the connection's is another, it takes that, whoever
/// sent it from between.
fn related(from: &Tuple, to: &Tuple, (src, dst): (u128, u128)) -> (u128, u128) {
    let moved = |own, from, to| if from != to { to } else { own };
    (moved(src, from.src, to.src), moved(dst, from.dst, to.dst))
}

/// Whether to go on with the packet.
type Going = Result<(), Drop>;

/// Where a packet is after connection tracking, or in its tunnel.
enum Tracked {
    /// Here.
    On,
    /// It waits for other fragments, or has gone on with them, or in pieces.
    Elsewhere,
}

impl From<Unfit> for Drop {
    fn from(_: Unfit) -> Self {
        Drop::InvalidAction
    }
}

impl Engine {
    /// Applies the actions in order. A packet dropped on the way is counted here.
    pub(crate) fn execute(
        &mut self,
        actions: &[Action],
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) {
        if work.depth >= MAX_DEPTH {
            return self.drop(Drop::ActionDepth);
        }
        for (i, action) in actions.iter().enumerate() {
            let is_last = i + 1 == actions.len();
            // These may part a packet from what comes after them.
            let parted = match action {
                Action::Ct(ct) => Some(self.track(ct, &actions[i + 1..], packets, work, env)),
                Action::TnlPush(push) => Some(self.encapsulate(push, &actions[i + 1..], packets, work, env)),
                _ => None,
            };
            match parted {
                Some(Ok(Tracked::On)) => continue,
                Some(Ok(Tracked::Elsewhere)) => return,
                Some(Err(why)) => return self.drop(why),
                None => {}
            }
            if let Err(why) = self.act(action, is_last, packets, work, env) {
                return self.drop(why);
            }
        }
    }

    fn act(
        &mut self,
        action: &Action,
        is_last: bool,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) -> Going {
        match action {
            Action::Output(port) => self.output(*port, packets, work, env.now_ms),
            Action::LbOutput(bond) => self.lb_output(*bond, packets, work, env.now_ms),
            Action::Trunc(octets) => {
                let (octets, of) = ((*octets as usize).max(ETHERNET), packets.meta(work.slot).len);
                work.trunc = (octets < of).then_some(Cut { octets, of });
            }
            Action::Userspace(userspace) => self.hand_up(userspace, packets, work, env),
            Action::Set(set) => self.set(set, packets, work)?,
            Action::PushVlan { .. }
            | Action::PopVlan
            | Action::PushMpls { .. }
            | Action::PopMpls { .. }
            | Action::AddMpls { .. }
            | Action::PushEth { .. }
            | Action::PopEth
            | Action::PushNsh(_)
            | Action::PopNsh => self.edit(action, packets, work)?,
            Action::Recirc(id) => self.branch(is_last, packets, work, |engine, packets, work| {
                engine.recirculate(*id, packets, work, env);
            }),
            Action::Hash { alg, basis } => self.hash(*alg, *basis, packets, work),
            Action::Sample { probability, actions } => {
                if *probability == u32::MAX || self.dice.roll() < *probability {
                    self.nested(actions, is_last, packets, work, env);
                }
            }
            Action::Clone(actions) => self.nested(actions, is_last, packets, work, env),
            Action::CheckPktLen { len, greater, less_equal } => {
                let is_greater = packets.meta(work.slot).len > usize::from(*len);
                let actions = if is_greater { greater } else { less_equal };
                self.nested(actions, is_last, packets, work, env);
            }
            // Need to know what comes after them.
            Action::Ct(_) | Action::TnlPush(_) => {}
            Action::TnlPop(port) => self.branch(is_last, packets, work, |engine, packets, work| {
                engine.decapsulate(*port, packets, work, env);
            }),
            Action::CtClear => self.forget_connection(packets, work),
            Action::Meter(id) => self.meter(*id, packets, work, env)?,
            Action::Drop(reason) => return Err(Drop::Translation(*reason)),
        }
        Ok(())
    }

    /// Runs `then` upon the packet: itself if nothing comes after, else upon a clone.
    fn branch<'p, 'a>(
        &mut self,
        is_last: bool,
        packets: &mut Packets<'p, 'a>,
        work: &mut Work<'_>,
        then: impl FnOnce(&mut Self, &mut Packets<'p, 'a>, &mut Work<'_>),
    ) {
        if is_last {
            return then(self, packets, work);
        }
        // Whoever changes it first, the clone or what comes after, takes a copy.
        packets.meta_mut(work.slot).shared = true;
        let mut key = work.key.clone();
        let mut clone = Work {
            slot: work.slot,
            key: &mut key,
            layers: work.layers,
            stale: work.stale,
            tags: work.tags,
            known: work.known,
            passes: work.passes,
            depth: work.depth,
            trunc: work.trunc,
            flow: None,
            came: work.came.clone(),
        };
        then(self, packets, &mut clone);
        // The next output was the clone's.
        work.trunc = None;
    }

    fn nested(
        &mut self,
        actions: &[Action],
        is_last: bool,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) {
        self.branch(is_last, packets, work, |engine, packets, work| {
            work.depth += 1;
            engine.execute(actions, packets, work, env);
        });
    }

    fn lb_output(&mut self, bond: u32, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, now_ms: u64) {
        work.refresh(packets, self.config.max_vlans);
        let hash = match work.key.dp_hash() {
            0 => work.connection_hash(packets, self.config.max_vlans),
            hash => hash,
        };
        match self.bonds.choose(bond, hash, packets.meta(work.slot).len) {
            Some(port) => self.output(port, packets, work, now_ms),
            None => self.drop(Drop::NoBond),
        }
    }

    /// Queues the packet as it is now for a port.
    pub(crate) fn output(&mut self, port: OdpPort, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, now_ms: u64) {
        if self.has_by_host
            && let Some(kind) = self.by_host(port)
        {
            let sent = self.output_by_host(port, kind, packets, work, now_ms);
            return sent.unwrap_or_else(|why| self.drop(why));
        }
        let trunc = work.trunc.take();
        let priority = work.key.skb_priority();
        if !self.outputs.queue(port, packets, work.slot, trunc, priority, &mut self.stats) {
            self.drop(Drop::NoPort);
        }
    }

    fn hand_up(
        &mut self,
        userspace: &Userspace,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) {
        let trunc = work.trunc.take();
        if !self.admit(env) {
            return self.drop(Drop::UserspaceActionLost);
        }
        work.refresh(packets, self.config.max_vlans);
        let packet = cut_off(trunc, packets.to_buf(work.slot));
        self.stats.action_upcalls += 1;
        let cookie: Cookie = userspace.cookie.clone();
        let (kind, ticket) = (UpcallKind::Action(cookie), self.ticket(0));
        let mut key = Box::new(work.key.clone());
        work.came.clone().restore(&mut key);
        env.upcalls.push(Upcall { kind, key, packet, ticket });
    }

    fn set(&mut self, set: &Set, packets: &mut Packets<'_, '_>, work: &mut Work<'_>) -> Going {
        if !set::is_header(set.group) {
            if set.group == SetGroup::Tunnel {
                work.came.keep(work.key);
            }
            set::change_key(work.key, set);
            return Ok(());
        }
        work.keep_hash(packets, self.config.max_vlans);
        work.refresh_headers(packets, self.config.max_vlans);
        set::change_key(work.key, set);
        let (octets, meta) = packets.own(&mut work.slot);
        // A header that is not there, or cut short, is left alone; the packet goes on.
        let mask = set::mask_of(set);
        if set::write_masked(octets, work.key, &mask, &work.layers, &meta.offload, set.group).is_err() {
            work.stale = true;
        }
        Ok(())
    }

    fn edit(&mut self, action: &Action, packets: &mut Packets<'_, '_>, work: &mut Work<'_>) -> Going {
        work.keep_hash(packets, self.config.max_vlans);
        // Tags are where they are; all else goes by the layers.
        if !matches!(action, Action::PushVlan { .. } | Action::PopVlan) {
            work.refresh_headers(packets, self.config.max_vlans);
        }
        let Work { slot, key, layers, tags, .. } = work;
        match action {
            Action::PushVlan { tpid, tci } => {
                edit::push_vlan(packets, slot, key, *tpid, *tci).inspect(|()| *tags = tags.saturating_add(1))
            }
            Action::PopVlan => {
                edit::pop_vlan(packets, slot, key).map(|popped| *tags = tags.saturating_sub(popped.into()))
            }
            Action::PushMpls { lse, ethertype } => edit::push_mpls(packets, slot, key, layers, *lse, *ethertype),
            Action::PopMpls { ethertype } => edit::pop_mpls(packets, slot, key, layers, *ethertype),
            Action::AddMpls { lse, ethertype } => edit::add_mpls(packets, slot, key, *lse, *ethertype),
            Action::PushEth { src, dst } => edit::push_eth(packets, slot, key, *src, *dst),
            Action::PopEth => edit::pop_eth(packets, slot, key, layers).inspect(|()| *tags = 0),
            Action::PushNsh(nsh) => edit::push_nsh(packets, slot, key, nsh),
            Action::PopNsh => edit::pop_nsh(packets, slot, key),
            _ => Err(Unfit),
        }?;
        work.stale = true;
        Ok(())
    }

    fn recirculate(&mut self, id: u32, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &mut Env<'_>) {
        if work.passes >= MAX_RECIRCULATIONS {
            return self.drop(Drop::RecirculationLimit);
        }
        work.passes += 1;
        self.stats.recirculated += 1;
        work.key.set_recirc_id(id);
        std::mem::take(&mut work.came).restore(work.key);
        work.flow = None;
        // Fields that were written but are not there would show in the key.
        (work.stale, work.tags) = (true, 0);
        work.refresh(packets, self.config.max_vlans);
        self.decide(packets, work, env);
    }

    /// Puts a packet into a tunnel. One that its sender's kernel left to be cut goes on in pieces, each with the actions
    /// `after` this one.
    fn encapsulate(
        &mut self,
        push: &TnlPush,
        after: &[Action],
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) -> Result<Tracked, Drop> {
        let hash = work.connection_hash(packets, self.config.max_vlans);
        // Cut it is before it goes in: the outer header tells of what is left.
        if let Some(cut) = work.trunc.take() {
            work.slot = packets.pool.add(&cut_off(Some(cut), packets.to_buf(work.slot)));
        }
        let offload = packets.meta(work.slot).offload;
        if offload.gso.is_none() && offload.partial_csum.is_none() {
            return self.close(push, hash, packets, work, env.now_ms).map(|()| Tracked::On);
        }
        let pieces = packet::offload::settle(packets.to_buf(work.slot)).map_err(|_| Drop::Segmentation)?;
        for piece in pieces {
            let slot = packets.pool.add(&piece);
            let mut key = work.key.clone();
            let (passes, depth) = (work.passes, work.depth);
            let mut part = Work { passes, depth, ..Work::new(slot, &mut key, work.layers) };
            match self.close(push, hash, packets, &mut part, env.now_ms) {
                Ok(()) => self.execute(after, packets, &mut part, env),
                Err(why) => self.drop(why),
            }
        }
        Ok(Tracked::Elsewhere)
    }

    /// Puts the outer header in front of a packet that owes nothing.
    fn close(
        &mut self,
        push: &TnlPush,
        hash: u32,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        now_ms: u64,
    ) -> Going {
        prepend(packets, &mut work.slot, &push.header);
        let (octets, meta) = packets.own(&mut work.slot);
        meta.offload = Offload { hash: Some(hash), ..Offload::default() };
        let (sources, stamp) = (self.config.tunnel_sources, self.stamp(now_ms));
        let sequence = self.tunnels.entry(push.tnl_port).or_default();
        tunnel::complete(octets, push.tnl_type == tunnel::TYPE_GTPU, hash, &mut sequence.next, sources, stamp)
            .ok_or(Drop::TunnelPush)?;
        *work.key = tunnel::outer_key(work.key);
        work.came = Came::Kept;
        (work.stale, work.tags) = (true, 0);
        Ok(())
    }

    /// Takes a packet out of the tunnel that ends at a port, where it comes in anew.
    fn decapsulate(&mut self, port: OdpPort, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &mut Env<'_>) {
        if work.passes >= MAX_RECIRCULATIONS {
            return self.drop(Drop::RecirculationLimit);
        }
        work.refresh(packets, self.config.max_vlans);
        let Some(kind) = self.tunnels.get(&port).and_then(|t| t.kind) else { return self.drop(Drop::NoTunnel) };
        let mut said = None;
        let opened = self.open(port, kind, packets, work, &mut said);
        said.into_iter().for_each(|notice| self.notices.add(notice));
        if let Err(why) = opened {
            return self.drop(why);
        }
        // What is no packet's beginning is dropped as if it had come so.
        if packets.data(work.slot).len() < ETHERNET {
            return self.drop(Drop::TooShort);
        }
        work.passes += 1;
        self.stats.recirculated += 1;
        // What is asked about it is the tunnel port's.
        let came_by = std::mem::replace(&mut env.port, port);
        self.decide(packets, work, env);
        env.port = came_by;
    }

    /// The wall clock in units of 100 µs, as ERSPAN tells it.
    pub(crate) fn stamp(&self, now_ms: u64) -> u32 {
        self.wall_offset_ms.wrapping_add(now_ms).wrapping_mul(10) as u32
    }

    /// Takes the outer header off a packet, whose key and layers are of that. What people should know of it goes to `said`.
    pub(crate) fn open(
        &self,
        port: OdpPort,
        kind: TunnelKind,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        said: &mut Option<Notice>,
    ) -> Going {
        let offload = packets.meta(work.slot).offload;
        let trusted = offload.csum_valid || offload.partial_csum.is_some();
        let outer = (&*work.key, &work.layers);
        let opened = tunnel::open(kind, port, packets.data(work.slot), outer, trusted, said);
        let opened = opened.ok_or(Drop::TunnelPop)?;
        // What is owed to the packet within goes on with it, what is owed to the outer one goes with its header.
        let goes_on = offload.partial_csum.is_some_and(|csum| usize::from(csum.start) >= opened.header);
        if offload.gso.is_some() && !goes_on || !packets.remove(&mut work.slot, 0, opened.header) {
            return Err(Drop::TunnelPop);
        }
        let owed = &mut packets.own(&mut work.slot).1.offload;
        *owed = if goes_on { Offload { csum_valid: false, hash: None, ..*owed } } else { Offload::default() };
        *work.key = opened.key;
        work.came = Came::Kept;
        work.flow = None;
        work.trunc = None;
        (work.stale, work.tags) = (true, 0);
        work.refresh(packets, self.config.max_vlans);
        Ok(())
    }

    fn hash(&mut self, alg: HashAlg, basis: u32, packets: &Packets<'_, '_>, work: &mut Work<'_>) {
        work.refresh(packets, self.config.max_vlans);
        let hash = match alg {
            HashAlg::L4 => hash::two_words(work.connection_hash(packets, self.config.max_vlans), basis),
            HashAlg::SymL4 => hash::symmetric_l3l4(work.key, basis, false),
        };
        // 0 means that there is none.
        work.key.set_dp_hash(hash.max(1));
    }

    /// Forgets what connection tracking said.
    fn forget_connection(&mut self, packets: &Packets<'_, '_>, work: &mut Work<'_>) {
        work.refresh_headers(packets, self.config.max_vlans);
        write_connection(work.key, 0, &Outcome::default());
    }

    /// Takes a packet, or the datagram that it makes whole, through connection tracking. What waited for it goes on from
    /// here with the actions `after` this one.
    fn track(
        &mut self,
        ct: &Ct,
        after: &[Action],
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) -> Result<Tracked, Drop> {
        if ct.nat.is_some() {
            work.keep_hash(packets, self.config.max_vlans);
        }
        work.refresh_headers(packets, self.config.max_vlans);
        let mut tracked = Tracked::On;
        let arrival = if fragments::is_fragment(work.key) {
            let offload = packets.meta(work.slot).offload;
            let octets = packets.data(work.slot);
            self.common.tracker().fragments.take(octets, work.key, &work.layers, offload, ct.zone, env.now_ms)
        } else {
            Arrival::Refused
        };
        if matches!(arrival, Arrival::WrongSum) {
            self.stats.tracking[Event::FragmentSum as usize] += 1;
        }
        match arrival {
            Arrival::Refused | Arrival::WrongSum => {
                // Once for each zone: a packet that was translated there has its text and numbers as they shall be.
                let is_done = work.key.ct_zone() == ct.zone && work.key.ct_state() & (cs::SNAT | cs::DNAT) != 0;
                let translates = ct.nat.is_some() && !is_done;
                if let Some(helped) = self.track_one(ct, packets, work, env)? {
                    self.help(helped, translates, packets, work);
                }
            }
            Arrival::Held => tracked = Tracked::Elsewhere,
            Arrival::Whole(fragments) => {
                tracked = Tracked::Elsewhere;
                self.track_whole(ct, after, fragments, packets, work, env)?;
            }
        }
        let is_v6 = work.key.dl_type() == 0x86dd;
        // Theirs goes on once the connections are free for others again.
        let late = self.common.tracker().fragments.expired(ct.zone, is_v6, env.now_ms);
        for mut fragment in late.unwrap_or_default() {
            fragment.key.set_ct_state(cs::INV);
            fragment.key.set_ct_zone(ct.zone);
            self.release(&fragment, after, packets, work, env);
        }
        Ok(tracked)
    }

    /// Tracks a datagram, and lets its fragments go on with what became of it. The first's key alone has a connection's ports.
    fn track_whole(
        &mut self,
        ct: &Ct,
        after: &[Action],
        fragments: Vec<Fragment>,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &mut Env<'_>,
    ) -> Going {
        let datagram = fragments::whole(&fragments).ok_or(Drop::InvalidAction)?;
        let slot = packets.pool.add(&datagram);
        let mut key = fragments.first().map_or_else(|| work.key.clone(), |first| first.key.clone());
        let mut whole = Work { stale: true, tags: work.tags, ..Work::new(slot, &mut key, work.layers) };
        whole.refresh_headers(packets, self.config.max_vlans);
        self.track_one(ct, packets, &mut whole, env)?;
        let (slot, layers) = (whole.slot, whole.layers);
        for mut fragment in fragments {
            fragment.follow(packets.data(slot), &layers);
            copy_connection(&key, &mut fragment.key);
            self.release(&fragment, after, packets, work, env);
        }
        Ok(())
    }

    /// Goes on with a fragment that waited.
    fn release(
        &mut self,
        fragment: &Fragment,
        actions: &[Action],
        packets: &mut Packets<'_, '_>,
        work: &Work<'_>,
        env: &mut Env<'_>,
    ) {
        let mut key = fragment.key.clone();
        let slot = packets.pool.add(&fragment.packet);
        let (passes, depth, tags) = (work.passes, work.depth, work.tags);
        let came = work.came.clone();
        let mut work = Work { passes, depth, tags, came, stale: true, ..Work::new(slot, &mut key, work.layers) };
        self.execute(actions, packets, &mut work, env);
    }

    /// Tracks and translates one packet; says whether a helper is to see it.
    fn track_one(
        &mut self,
        ct: &Ct,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        env: &Env<'_>,
    ) -> Result<Option<Helped>, Drop> {
        let meta = packets.meta(work.slot);
        let state = work.key.ct_state();
        let mut parsed = ct::parse(packets.data(work.slot), work.key, &work.layers, &meta.offload);
        if let Ok(parsed) = &mut parsed {
            parsed.is_translated = state & (cs::SNAT | cs::DNAT) != 0;
        }
        let was_here = state & cs::TRK != 0 && work.key.ct_zone() == ct.zone && !ct.force;
        let again = was_here.then(|| Again { state: state & !cs::TRK, original: read_original(work.key) });
        let outcome = self.common.tracker().process(ct, parsed, again, env.now_ms);
        if let Some(event) = outcome.event {
            self.stats.tracking[event as usize] += 1;
        }
        if outcome.is_exhausted {
            self.notices.add(Notice::NatExhausted);
        }
        write_connection(work.key, ct.zone, &outcome);
        if let Some(rewrite) = outcome.rewrite {
            Self::translate(&rewrite, packets, work)?;
        }
        Ok(outcome.helped)
    }

    /// Shows a segment to its connection's helper, which may rewrite it. A datagram has nothing to show.
    fn help(&mut self, helped: Helped, translates: bool, packets: &mut Packets<'_, '_>, work: &mut Work<'_>) {
        if work.key.nw_proto() != packet::ipv4::proto::TCP {
            return;
        }
        let Some((numbers, payload)) = segment::read(packets.data(work.slot), &work.layers) else { return };
        let text = packets.data(work.slot).get(payload.clone()).unwrap_or_default();
        let edit = self.common.tracker().help(helped, (numbers.0, numbers.1, text), translates);
        // One yet to be cut has no text that a helper waits for.
        if edit.is_empty() || packets.meta(work.slot).offload.gso.is_some() {
            return;
        }
        let mut packet = packets.to_buf(work.slot);
        if segment::edit(&mut packet, work.key, &work.layers, payload, &edit).is_some() {
            work.slot = packets.pool.add(&packet);
            work.stale = true;
        }
    }

    /// Gives the packet the addresses and ports of its translated connection.
    fn translate(rewrite: &Rewrite, packets: &mut Packets<'_, '_>, work: &mut Work<'_>) -> Going {
        let Rewrite { from, to, is_related } = rewrite;
        let key = &mut *work.key;
        let network = if to.is_v6 {
            let (src, dst) =
                if *is_related { related(from, to, (key.ipv6_src(), key.ipv6_dst())) } else { (to.src, to.dst) };
            key.set_ipv6_src(src);
            key.set_ipv6_dst(dst);
            SetGroup::Ipv6
        } else {
            let own = (u128::from(key.nw_src()), u128::from(key.nw_dst()));
            let (src, dst) = if *is_related { related(from, to, own) } else { (to.src, to.dst) };
            key.set_nw_src(src as u32);
            key.set_nw_dst(dst as u32);
            SetGroup::Ipv4
        };
        let transport = match to.proto {
            _ if *is_related => None,
            6 => Some(SetGroup::Tcp),
            17 => Some(SetGroup::Udp),
            _ => None,
        };
        if transport.is_some() {
            key.set_tp_src(to.sport);
            key.set_tp_dst(to.dport);
        }
        let (octets, meta) = packets.own(&mut work.slot);
        set::write(octets, work.key, &work.layers, &meta.offload, network)?;
        if let Some(group) = transport {
            set::write(octets, work.key, &work.layers, &meta.offload, group)?;
        }
        if *is_related {
            set::write_quoted(octets, work.key, &work.layers, &from.reversed(), &to.reversed())?;
        }
        Ok(())
    }

    fn meter(&mut self, id: u32, packets: &mut Packets<'_, '_>, work: &mut Work<'_>, env: &Env<'_>) -> Going {
        // One that is not there limits nothing.
        let verdict = match self.common.meters().get_mut(&id) {
            Some(meter) => meter.run(packets.meta(work.slot).len, env.now_ms),
            None => return Ok(()),
        };
        match verdict {
            Verdict::Pass => Ok(()),
            Verdict::Drop => Err(Drop::Meter),
            Verdict::Remark(levels) => {
                self.remark(levels, packets, work);
                Ok(())
            }
        }
    }

    /// Raises the drop precedence of an assured forwarding class (RFC 2597).
    fn remark(&mut self, levels: u8, packets: &mut Packets<'_, '_>, work: &mut Work<'_>) {
        work.refresh_headers(packets, self.config.max_vlans);
        let group = match work.key.dl_type() {
            0x0800 => SetGroup::Ipv4,
            0x86dd => SetGroup::Ipv6,
            _ => return,
        };
        let tos = work.key.nw_tos();
        let dscp = tos >> 2;
        let (class, precedence) = (dscp >> 3, dscp >> 1 & 3);
        if !(1..=4).contains(&class) || dscp & 1 != 0 || !(1..=3).contains(&precedence) {
            return;
        }
        let precedence = precedence.saturating_add(levels).min(3);
        work.key.set_nw_tos((class << 3 | precedence << 1) << 2 | tos & 3);
        let (octets, meta) = packets.own(&mut work.slot);
        // Its headers were parsed just now: it has what is written.
        let _ = set::write(octets, work.key, &work.layers, &meta.offload, group);
    }
}
