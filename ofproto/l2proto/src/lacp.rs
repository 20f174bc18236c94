//! LACP: agreeing with the other side which links form one bundle.
//!
//! One machine serves one bundle; `M` names a member. Frames go in by [`Lacp::handle`] and come out of
//! [`Lacp::poll_output`] as LACPDUs without their Ethernet header. Time is milliseconds of the switch's clock.
//!
//! Absent: the marker protocol (its requests are counted). Source: IEEE 802.1AX-2008 chapter 5; ovs-vswitchd.conf.db(5)
//! `lacp` and the `lacp-*` keys.

mod pdu;
mod show;

use std::collections::BTreeMap;

use crate::bond::LacpStatus;
pub use pdu::{Info, PDU_LEN, Pdu, state};

/// Between two frames when the partner asks for few, milliseconds.
const SLOW_MS: i64 = 30_000;
/// When it asks for many.
const FAST_MS: i64 = 1_000;
/// Frames that may be lost before the partner's information expires.
const PATIENCE: i64 = 3;
/// Priority of a system unless configured.
pub const DEFAULT_SYSTEM_PRIORITY: u16 = u16::MAX - 1;

/// What is configured for the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LacpConfig {
    /// The bundle's name.
    pub name: String,
    /// System identifier, 48 bits.
    pub system_id: u64,
    /// System priority.
    pub system_priority: u16,
    /// Frames are sent without having heard any.
    pub active: bool,
    /// The partner is asked for a frame a second.
    pub fast: bool,
    /// Members that hear nothing may be used all the same.
    pub fallback_ab: bool,
}

/// What is configured for a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberConfig {
    /// Name.
    pub name: String,
    /// Port identifier.
    pub port_id: u16,
    /// Port priority.
    pub port_priority: u16,
    /// Aggregation key, 0 for the bundle's own.
    pub key: u16,
    /// Its device does not tell of changes of its carrier: nothing is sent without it, and nothing else comes of them.
    pub is_carrier_untold: bool,
}

/// How recent what is known of the partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Current,
    Expired,
    Defaulted,
}

/// Counters of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    tx: u64,
    rx: u64,
    rx_bad: u64,
    rx_marker: u64,
    expired: u64,
    defaulted: u64,
    carrier: u64,
}

/// What both sides tell of a member, and how many PDUs it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// We.
    pub actor: Info,
    /// The other side.
    pub partner: Info,
    /// PDUs sent.
    pub tx: u64,
    /// PDUs received.
    pub rx: u64,
    /// PDUs received that made no sense.
    pub rx_bad: u64,
}

#[derive(Clone, Debug)]
struct Member {
    config: MemberConfig,
    freshness: Freshness,
    attached: bool,
    carrier: bool,
    partner: Info,
    /// Our own information as the partner has it.
    told: Info,
    next_tx_ms: i64,
    /// When the partner's information is no longer fresh.
    rx_expires_ms: i64,
    counts: Counts,
}

impl Member {
    fn new(config: MemberConfig, carrier: bool) -> Self {
        Member {
            config,
            freshness: Freshness::Defaulted,
            attached: false,
            carrier,
            partner: Info::default(),
            told: Info::default(),
            next_tx_ms: 0,
            rx_expires_ms: i64::MAX,
            counts: Counts::default(),
        }
    }

    fn expire(&mut self, now_ms: i64) {
        self.freshness = Freshness::Expired;
        self.partner.state |= state::TIMEOUT;
        self.partner.state &= !state::SYNC;
        self.rx_expires_ms = now_ms + PATIENCE * FAST_MS;
    }
}

/// Place in the order of members: the partner's system priority and identifier, a port's priority and identifier.
type Rank = (u16, u64, u16, u16);

/// A frame to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit<M> {
    /// By which member.
    pub member: M,
    /// LACPDU.
    pub pdu: [u8; PDU_LEN],
}

/// The machine of a bundle.
#[derive(Clone, Debug)]
pub struct Lacp<M> {
    config: LacpConfig,
    members: BTreeMap<M, Member>,
    negotiated: bool,
    /// Which members are attached is to be found out anew.
    stale: bool,
    out: Vec<Transmit<M>>,
    news: Vec<String>,
}

impl<M: Copy + Ord> Lacp<M> {
    /// A machine without members.
    pub fn new(config: LacpConfig) -> Self {
        Lacp { config, members: BTreeMap::new(), negotiated: false, stale: true, out: Vec::new(), news: Vec::new() }
    }

    /// Takes another configuration, and has exactly these members, each with its carrier.
    pub fn configure(
        &mut self,
        config: LacpConfig,
        members: impl IntoIterator<Item = (M, MemberConfig, bool)>,
        now_ms: i64,
    ) {
        if config != self.config {
            self.stale = true;
            self.config = config;
        }
        let wanted: BTreeMap<M, (MemberConfig, bool)> = members.into_iter().map(|(m, c, up)| (m, (c, up))).collect();
        let before = self.members.len();
        self.members.retain(|m, _| wanted.contains_key(m));
        self.stale |= self.members.len() != before;
        for (m, (config, carrier)) in wanted {
            let known = self.members.get(&m).map(|member| member.config == config);
            let member = self.members.entry(m).or_insert_with(|| Member::new(config.clone(), carrier));
            if known != Some(true) {
                let same_place = known.is_some()
                    && (member.config.port_id, member.config.port_priority, member.config.key)
                        == (config.port_id, config.port_priority, config.key);
                member.config = config;
                if !same_place {
                    self.stale = true;
                    if self.config.active || self.negotiated {
                        member.expire(now_ms);
                    }
                }
            }
            if std::mem::replace(&mut member.carrier, carrier) == carrier || member.config.is_carrier_untold {
                continue;
            }
            member.counts.carrier += 1;
            if carrier {
                // What was sent meanwhile went nowhere.
                member.next_tx_ms = now_ms;
            }
            if member.freshness == Freshness::Current || self.config.active {
                member.expire(now_ms);
            }
        }
    }

    /// A frame came in on a member: the octets behind the Ethernet header.
    pub fn handle(&mut self, m: M, octets: &[u8], now_ms: i64) {
        let Some(member) = self.members.get_mut(&m) else { return };
        member.counts.rx += 1;
        if !member.carrier {
            self.news.push(format!("{}: carrier state is DOWN, dropping received LACP PDU.", member.config.name));
            return;
        }
        if pdu::is_marker(octets) {
            member.counts.rx_marker += 1;
            return;
        }
        let Some(pdu) = Pdu::parse(octets) else {
            member.counts.rx_bad += 1;
            let (name, bundle) = (&member.config.name, &self.config.name);
            self.news.push(format!("{bundle}: received bad LACP PDU on member {name}."));
            return;
        };
        member.freshness = Freshness::Current;
        member.rx_expires_ms = now_ms + PATIENCE * if self.config.fast { FAST_MS } else { SLOW_MS };
        member.told = pdu.partner;
        if member.partner != pdu.actor {
            member.partner = pdu.actor;
            self.stale = true;
        }
    }

    /// Does what is due.
    pub fn run(&mut self, now_ms: i64) {
        for member in self.members.values_mut().filter(|m| now_ms >= m.rx_expires_ms) {
            match member.freshness {
                Freshness::Current => {
                    member.expire(now_ms);
                    member.counts.expired += 1;
                }
                Freshness::Expired => {
                    member.freshness = Freshness::Defaulted;
                    member.partner = Info::default();
                    member.rx_expires_ms = i64::MAX;
                    member.counts.defaulted += 1;
                }
                Freshness::Defaulted => continue,
            }
            self.stale = true;
        }
        if std::mem::take(&mut self.stale) {
            self.attach();
        }
        let due: Vec<M> = self.members.iter().filter(|(_, m)| self.is_due(m, now_ms)).map(|(id, _)| *id).collect();
        for m in due {
            self.send(m, now_ms);
        }
    }

    /// A passive end talks from the partner's first word until that has been forgotten, also where it turned passive too.
    fn may_send(&self, member: &Member) -> bool {
        member.carrier && (self.config.active || member.freshness != Freshness::Defaulted)
    }

    fn is_due(&self, member: &Member, now_ms: i64) -> bool {
        self.may_send(member) && (now_ms >= member.next_tx_ms || !self.actor(member).tells_the_same(&member.told))
    }

    fn send(&mut self, m: M, now_ms: i64) {
        let Some(actor) = self.members.get(&m).map(|member| self.actor(member)) else { return };
        let Some(member) = self.members.get_mut(&m) else { return };
        member.told = actor;
        member.counts.tx += 1;
        let interval_ms = if member.partner.state & state::TIMEOUT != 0 { FAST_MS } else { SLOW_MS };
        member.next_tx_ms = now_ms + interval_ms;
        let pdu = Pdu { actor, partner: member.partner }.emit();
        self.out.push(Transmit { member: m, pdu });
    }

    /// Decides which members belong together: those whose partner is the lead's.
    fn attach(&mut self) {
        let own_id = self.config.system_id;
        let mut lead: Option<(Rank, u16, u64)> = None;
        for member in self.members.values() {
            if member.partner.system_id == own_id {
                let (name, bundle) = (&member.config.name, &self.config.name);
                self.news
                    .push(format!("member {name}: Loopback detected. Member is connected to its own bond {bundle}"));
                continue;
            }
            if member.freshness == Freshness::Defaulted {
                continue;
            }
            let rank = self.rank(member);
            if lead.is_none_or(|(best, ..)| rank < best) {
                lead = Some((rank, member.partner.key, member.partner.system_id));
            }
        }
        self.negotiated = lead.is_some();
        // Who is silent may stand in only while nobody speaks.
        let fallback = self.config.fallback_ab && lead.is_none();
        for member in self.members.values_mut() {
            let with_lead =
                lead.is_some_and(|(_, key, id)| (key, id) == (member.partner.key, member.partner.system_id));
            member.attached = match member.freshness {
                _ if member.partner.system_id == own_id => false,
                Freshness::Defaulted => fallback,
                _ => with_lead,
            };
        }
    }

    /// Order of members by the priorities of whichever system decides; the lowest leads.
    fn rank(&self, member: &Member) -> Rank {
        let own = self.actor(member);
        let partner = &member.partner;
        let ours = (own.system_priority, own.system_id) < (partner.system_priority, partner.system_id);
        let (port_priority, port_id) =
            if ours { (own.port_priority, own.port_id) } else { (partner.port_priority, partner.port_id) };
        (partner.system_priority, partner.system_id, port_priority, port_id)
    }

    /// Our information on a member.
    fn actor(&self, member: &Member) -> Info {
        let mut bits = 0;
        let mut set = |on: bool, bit: u8| bits |= if on { bit } else { 0 };
        set(self.config.active, state::ACTIVITY);
        set(self.config.fast, state::TIMEOUT);
        set(self.members.len() > 1, state::AGGREGATION);
        set(member.attached, state::SYNC);
        set(member.attached || !self.negotiated, state::COLLECTING | state::DISTRIBUTING);
        set(member.freshness == Freshness::Defaulted, state::DEFAULTED);
        set(member.freshness == Freshness::Expired, state::EXPIRED);
        Info {
            system_priority: self.config.system_priority,
            system_id: self.config.system_id,
            key: self.key(),
            port_priority: member.config.port_priority,
            port_id: member.config.port_id,
            state: bits,
        }
    }

    /// What both sides tell of a member, and how many PDUs it took.
    pub fn summary(&self, member: M) -> Option<Summary> {
        let member = self.members.get(&member)?;
        let Counts { tx, rx, rx_bad, .. } = member.counts;
        Some(Summary { actor: self.actor(member), partner: member.partner, tx, rx, rx_bad })
    }

    /// The bundle's key: as its first member's is configured, else that member's port identifier.
    fn key(&self) -> u16 {
        let first = self.members.values().next();
        first.map_or(0, |m| if m.config.key != 0 { m.config.key } else { m.config.port_id })
    }

    /// What it says of the bundle.
    pub fn status(&self) -> LacpStatus {
        if self.negotiated { LacpStatus::Negotiated } else { LacpStatus::Configured }
    }

    /// Whether a member may carry traffic.
    pub fn may_enable(&self, m: M) -> bool {
        self.members.get(&m).is_some_and(|member| self.is_fit(member))
    }

    fn is_fit(&self, member: &Member) -> bool {
        let alone = self.config.fallback_ab && member.freshness == Freshness::Defaulted;
        member.attached && (alone || member.partner.state & state::SYNC != 0)
    }

    /// Whether what is known of a member's partner was heard from it.
    pub fn is_current(&self, m: M) -> bool {
        self.members.get(&m).is_some_and(|member| member.freshness != Freshness::Defaulted)
    }

    /// Frames to send.
    pub fn poll_output(&mut self) -> Vec<Transmit<M>> {
        std::mem::take(&mut self.out)
    }

    /// Lines for the log since the last call.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// When [`Lacp::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let rx = self.members.values().map(|m| (m.rx_expires_ms, "a partner fell silent"));
        let tx = self.members.values().filter(|m| self.may_send(m)).map(|m| (m.next_tx_ms, "LACP is to be sent"));
        rx.chain(tx).filter(|(at, _)| *at != i64::MAX).min()
    }
}

#[cfg(test)]
mod tests;
