//! BFD sessions and CFM end points of a bridge's ports: machines of `l2proto`, fed with frames, and what they say of
//! whether packets may use a port.
//!
//! Sessions and end points that look at a port's other traffic have it counted ([`Output::Count`]).
//!
//! Source: RFC 5880, IEEE 802.1ag-2007; ovs-vswitchd.conf.db(5), "Bidirectional Forwarding Detection" and "Connectivity
//! Fault Management".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use l2proto::bfd::{self, Bfd, control};
use l2proto::cfm::{self, Cfm};
use openflow::OfPort;
use openflow::message::PortStats;

use super::frames::ETHERNET_LEN;
use super::{Bridge, CountFor, Output};
use crate::note::{Level, Note};
use crate::view::{BfdHears, CfmHears, Setting, TunnelConfig};

const ETHERTYPE_CFM: u16 = 0x8902;
const ETHERTYPE_VLAN: u16 = 0x8100;
/// Octets of a VLAN tag.
const VLAN_LEN: usize = 4;
const MAX_VLAN: u32 = 4095;

/// What BFD is configured to be on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdConfig {
    /// The session.
    pub session: bfd::Settings,
    /// Addresses of frames; an Ethernet source of 0 means the port's.
    pub addresses: control::Addresses,
    /// Only frames to this address are heard, if given.
    pub expected_dst: Option<u64>,
    /// Only packets to the session's own IPv4 address are heard.
    pub expects_own_ip: bool,
    /// Only packets without a tunnel key, or with a key of 0, are heard.
    pub zero_key: bool,
    /// Packets tell of being operation, administration and maintenance in tunnels that can.
    pub oam: bool,
}

/// VLAN of continuity check messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CcmVlan {
    /// This one, 0 for priority tags.
    One(u16),
    /// Another one each time.
    Random,
}

/// What CFM is configured to be on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CfmConfig {
    /// The end point.
    pub point: cfm::Settings,
    /// Tag of messages: VLAN and priority.
    pub tag: Option<(CcmVlan, u8)>,
}

/// What of both is configured on a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivenessConfig {
    /// BFD, where it runs.
    pub bfd: Option<BfdConfig>,
    /// CFM, where it runs.
    pub cfm: Option<CfmConfig>,
}

/// The machines.
#[derive(Debug, Default)]
pub struct Liveness {
    bfds: BTreeMap<OfPort, Bfd>,
    cfms: BTreeMap<OfPort, Cfm>,
}

/// Status of an end point for the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CfmReport {
    /// Maintenance point, 1 to 8191 (64 bits in extended mode).
    pub mpid: u64,
    /// [`cfm::fault`] bits.
    pub faults: u8,
    /// How often the end point's fault came or went.
    pub flap_count: u64,
    /// Part of the expected messages that came, 0 to 100; none: unknown.
    pub health: Option<u8>,
    /// What others say of themselves, in extended mode.
    pub remote_up: Option<bool>,
    /// Maintenance points heard.
    pub remote_mpids: Vec<u64>,
}

/// Status of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivenessReport {
    /// The column `bfd_status`.
    pub bfd: BTreeMap<OfPort, Vec<(&'static str, String)>>,
    /// Of end points.
    pub cfm: BTreeMap<OfPort, CfmReport>,
}

impl Liveness {
    /// Whether the port may be used for all that the protocols say: where both run, one that finds it sound is enough.
    pub(super) fn allows(&self, port: OfPort) -> bool {
        let (bfd, cfm) = (self.bfds.get(&port), self.cfms.get(&port));
        let is_sound = |cfm: &Cfm| cfm.faults() == 0 && cfm.remote_up();
        bfd.is_some_and(Bfd::forwarding) || cfm.is_some_and(is_sound) || (bfd.is_none() && cfm.is_none())
    }

    fn report(&self) -> LivenessReport {
        let bfd = |b: &Bfd| {
            let ((state, diagnostic), (remote, remote_diagnostic)) = (b.local(), b.remote());
            vec![
                ("diagnostic", diagnostic.name().to_owned()),
                ("flap_count", b.flap_count().to_string()),
                ("forwarding", b.forwarding().to_string()),
                ("remote_diagnostic", remote_diagnostic.name().to_owned()),
                ("remote_state", remote.name().to_owned()),
                ("state", state.name().to_owned()),
            ]
        };
        let cfm = |c: &Cfm| CfmReport {
            mpid: c.mpid(),
            faults: c.faults(),
            flap_count: c.flap_count(),
            health: c.health(),
            remote_up: c.extended().then(|| c.remote_up()),
            remote_mpids: c.remote_mpids().collect(),
        };
        LivenessReport {
            bfd: self.bfds.iter().map(|(port, b)| (*port, bfd(b))).collect(),
            cfm: self.cfms.iter().map(|(port, c)| (*port, cfm(c))).collect(),
        }
    }
}

impl Bridge {
    /// Takes over what is configured; the view's ports are up to date.
    pub(super) fn configure_liveness(&mut self, now_ms: i64) {
        let config = &self.config.liveness;
        let machines = &mut self.liveness;
        machines.bfds.retain(|port, _| config.get(port).is_some_and(|c| c.bfd.is_some()));
        machines.cfms.retain(|port, _| config.get(port).is_some_and(|c| c.cfm.is_some()));
        for (port, config) in config {
            if let Some(bfd) = &config.bfd {
                let seed = self.seed
                    ^ (u64::from(self.view.id.0) << 52)
                    ^ (u64::from(port.0) << 32)
                    ^ (now_ms as u64).rotate_left(17);
                let session = || Bfd::new(bfd.session.clone(), seed, now_ms);
                machines.bfds.entry(*port).or_insert_with(session).configure(bfd.session.clone(), now_ms);
            }
            if let Some(cfm) = &config.cfm {
                let point = || Cfm::new(cfm.point.clone(), now_ms);
                machines.cfms.entry(*port).or_insert_with(point).configure(cfm.point.clone(), now_ms);
            }
        }
        self.show_liveness();
        self.run_liveness(now_ms);
    }

    /// When the machines have something to do, and what.
    pub(super) fn liveness_timeout(&self) -> Option<(i64, &'static str)> {
        let bfds = self.liveness.bfds.values().filter_map(Bfd::poll_timeout);
        bfds.chain(self.liveness.cfms.values().filter_map(Cfm::poll_timeout)).min()
    }

    /// Does what is due, sends what is to be sent, and tells bonds what changed.
    pub(super) fn run_liveness(&mut self, now_ms: i64) {
        let mut frames = Vec::new();
        let mut notes = Vec::new();
        for (port, machine) in &mut self.liveness.bfds {
            machine.run(now_ms);
            let name = self.view.ports.get(port).map_or("", |p| p.name.as_str());
            let line = |event| Note::new("bfd", Level::Info, bfd_line(name, event));
            notes.extend(machine.take_events().iter().map(line));
            let Some(config) = self.config.liveness.get(port).and_then(|c| c.bfd.as_ref()) else { continue };
            let mut to = config.addresses;
            if to.eth_src == 0 {
                to.eth_src = self.view.ports.get(port).map_or(0, |p| p.hw_addr);
            }
            let packets = machine.take_packets();
            frames.extend(packets.iter().map(|packet| (*port, config.oam, control::frame(packet, &to))));
        }
        for (port, machine) in &mut self.liveness.cfms {
            machine.run(now_ms);
            let name = self.view.ports.get(port).map_or("", |p| p.name.as_str());
            notes.extend(machine.take_events().iter().map(|event| cfm_note(name, event)));
            let source = self.view.ports.get(port).map_or(0, |p| p.hw_addr);
            let tag = self.config.liveness.get(port).and_then(|c| c.cfm.as_ref()).and_then(|c| c.tag);
            let group = machine.group();
            let messages = machine.take_messages();
            frames.extend(messages.iter().map(|ccm| (*port, false, cfm_frame(group, source, tag, ccm))));
        }
        self.count_for_liveness(now_ms);
        for note in notes {
            self.put(Output::Log(note));
        }
        for (port, oam, frame) in frames {
            self.send_marked(port, frame, oam);
        }
        self.report_stale |= !(self.liveness.bfds.is_empty() && self.liveness.cfms.is_empty());
        let mut watched = self.liveness.bfds.keys().chain(self.liveness.cfms.keys());
        let differs = |number: &OfPort| {
            let allowed = self.liveness.allows(*number);
            self.view.ports.get(number).is_some_and(|p| p.may_enable != (p.link_up && allowed))
        };
        if watched.any(differs) {
            self.run_bonding(now_ms);
        }
    }

    /// Has those ports counted whose machines want to know what else came in.
    fn count_for_liveness(&mut self, now_ms: i64) {
        let Liveness { bfds, cfms } = &mut self.liveness;
        let sessions = bfds.iter_mut().filter_map(|(port, machine)| machine.wants_count(now_ms).then_some(*port));
        let points = cfms.iter_mut().filter_map(|(port, machine)| machine.wants_count(now_ms).then_some(*port));
        let ports: BTreeSet<OfPort> = sessions.chain(points).collect();
        if !ports.is_empty() {
            self.put(Output::Count(CountFor::Liveness, ports.into_iter().collect()));
        }
    }

    /// Ports have been counted for machines that asked; those that could not be are told of as unknown.
    pub(super) fn counted_for_liveness(&mut self, asked: &[OfPort], stats: &[PortStats], now_ms: i64) {
        for port in asked {
            let packets = stats.iter().find(|s| s.port == *port).map(|s| s.rx_packets);
            if let Some(machine) = self.liveness.bfds.get_mut(port) {
                machine.counted(packets, now_ms);
            }
            if let Some(machine) = self.liveness.cfms.get_mut(port) {
                machine.counted(packets, now_ms);
            }
        }
        self.run_liveness(now_ms);
    }

    /// Puts into the view which ports speak what.
    fn show_liveness(&mut self) {
        for (number, port) in &mut self.view.ports {
            let config = self.config.liveness.get(number);
            let bfd = config.and_then(|c| c.bfd.as_ref()).map(|bfd| BfdHears {
                eth_dst: bfd.expected_dst,
                ip: bfd.addresses.ip_src,
                ip_only: bfd.expects_own_ip,
                zero_key: bfd.zero_key,
            });
            // A tunnel that does not tell its peers apart by key hears those without one.
            let any_key = |tunnel: &Arc<TunnelConfig>| !matches!(tunnel.in_key, Setting::Value(_));
            let cfm = self
                .liveness
                .cfms
                .get(number)
                .map(|machine| CfmHears { group: machine.group(), zero_key: port.tunnel().is_some_and(any_key) });
            if (port.bfd, port.cfm) != (bfd, cfm) {
                let port = Arc::make_mut(port);
                (port.bfd, port.cfm) = (bfd, cfm);
                self.dirty = true;
            }
        }
    }

    /// A frame with a BFD packet came in on a port.
    pub(super) fn hear_bfd(&mut self, port: OfPort, frame: &[u8], now_ms: i64) {
        let expected = self.config.liveness.get(&port).and_then(|c| c.bfd.as_ref()?.expected_dst);
        if expected.is_some() && expected != destination(frame) {
            return;
        }
        let Some(machine) = self.liveness.bfds.get_mut(&port) else { return };
        if let Some(packet) = control::of_frame(frame) {
            machine.receive(&packet, now_ms);
            self.run_liveness(now_ms);
        }
    }

    /// A frame with a continuity check message came in on a port. Those of the other mode go to another group.
    pub(super) fn hear_cfm(&mut self, port: OfPort, frame: &[u8], now_ms: i64) {
        let Some(machine) = self.liveness.cfms.get_mut(&port) else { return };
        let tagged = frame.get(12..ETHERNET_LEN) == Some(&ETHERTYPE_VLAN.to_be_bytes()[..]);
        let header = ETHERNET_LEN + if tagged { VLAN_LEN } else { 0 };
        if let Some(payload) = frame.get(header..).filter(|_| destination(frame) == Some(machine.group())) {
            machine.receive(source(frame), payload, now_ms);
            self.run_liveness(now_ms);
        }
    }

    /// Texts of `bfd/show` or `cfm/show` by the names of ports.
    pub fn liveness_texts(&self, command: &str, now_ms: i64) -> Vec<(String, String)> {
        let name = |port: &OfPort| self.view.ports.get(port).map_or_else(String::new, |p| p.name.clone());
        let mut texts: Vec<(String, String)> = match command {
            "bfd/show" => self.liveness.bfds.iter().map(|(port, b)| (name(port), b.show(now_ms))).collect(),
            "cfm/show" => self.liveness.cfms.iter().map(|(port, c)| (name(port), c.show(now_ms))).collect(),
            _ => Vec::new(),
        };
        texts.sort();
        texts
    }

    /// Carries out `bfd/set-forwarding` or `cfm/set-fault` on the port of a name, or on all; gives whether there was one.
    pub fn force_liveness(&mut self, command: &str, port: Option<&str>, forced: Option<bool>, now_ms: i64) -> bool {
        let ports = &self.view.ports;
        let named = |number: &OfPort| port.is_none_or(|n| ports.get(number).is_some_and(|p| p.name == n));
        let mut found = false;
        match command {
            "bfd/set-forwarding" => {
                for (_, machine) in self.liveness.bfds.iter_mut().filter(|(number, _)| named(number)) {
                    machine.force_forwarding(forced);
                    found = true;
                }
            }
            _ => {
                for (_, machine) in self.liveness.cfms.iter_mut().filter(|(number, _)| named(number)) {
                    machine.force_fault(forced);
                    found = true;
                }
            }
        }
        self.run_liveness(now_ms);
        found
    }

    /// What the database is told.
    pub(super) fn liveness_report(&self) -> LivenessReport {
        self.liveness.report()
    }
}

/// Destination of a frame, 48 bits.
fn destination(frame: &[u8]) -> Option<u64> {
    Some(frame.get(..6)?.iter().fold(0, |mac, octet| mac << 8 | u64::from(*octet)))
}

fn source(frame: &[u8]) -> u64 {
    frame.get(6..12).unwrap_or_default().iter().fold(0, |mac, octet| mac << 8 | u64::from(*octet))
}

fn bfd_line(name: &str, event: &bfd::Event) -> String {
    let heard = |what, packet: &control::Control, shown: &String| {
        format!("{name}: {what}\n{}{}", packet.show(), shown.trim_end())
    };
    match event {
        bfd::Event::StateChanged { before, after, shown } => format!(
            "{name}: BFD state change: {}->{} \"{}\"->\"{}\".\n{}",
            before.0.name(),
            after.0.name(),
            before.1.name(),
            after.1.name(),
            shown.trim_end()
        ),
        bfd::Event::PollStarted => format!("{name}: Initiating poll sequence"),
        bfd::Event::PollEnded(packet, shown) => heard("Poll sequence terminated.", packet, shown),
        bfd::Event::RemoteMult(before, after) => {
            format!("Interface {name} remote mult value {before} changed to {after}")
        }
        bfd::Event::RemoteMinRx(packet, shown) => heard("New remote min_rx.", packet, shown),
        bfd::Event::SignaledDown(packet, shown) => heard("Remote signaled STATE_DOWN.", packet, shown),
    }
}

/// Whoever sends messages decides how many of these there are.
fn cfm_note(name: &str, event: &cfm::Event) -> Note {
    use cfm::Event;
    let list = |bits: u8| cfm::fault::names(bits).collect::<Vec<_>>().join(" ");
    let odd = "received a CCM with an unexpected";
    let (level, text) = match event {
        Event::Silent { remote, within_ms } => {
            (Level::Info, format!("Received no CCM from RMP {remote} in the last {within_ms}ms"))
        }
        Event::Unparseable => (Level::Info, "Received an unparseable 802.1ag CCM heartbeat.".to_owned()),
        Event::Unsupported(opcode) => {
            (Level::Info, format!("Received an unsupported 802.1ag message. (opcode {opcode})"))
        }
        Event::Foreign(from) => {
            (Level::Warn, format!("Received unexpected remote MAID from MAC {}", flow::text::mac(*from)))
        }
        Event::Loopback { mpid } => (Level::Warn, format!("received CCM with local MPID {mpid}")),
        Event::OddInterval { remote, interval } => {
            (Level::Warn, format!("{odd} interval ({interval}) from RMP {remote}"))
        }
        Event::OddExtendedInterval { remote, interval_ms } => {
            (Level::Warn, format!("{odd} extended interval ({interval_ms}ms) from RMP {remote}"))
        }
        Event::OutOfSequence { remote, before, now } => (
            Level::Warn,
            format!(
                "(mpid {remote}) detected sequence numbers which indicate possible connectivity problems \
                 (previous {before}) (current {now})"
            ),
        ),
        Event::Late { delay_ms, expected_ms, seq } => {
            (Level::Info, format!("long delay of {delay_ms}ms (expected {expected_ms}ms) sending CCM seq {seq}"))
        }
        Event::FaultsChanged { before, after } => {
            (Level::Info, format!("CFM faults changed from [{}] to [{}].", list(*before), list(*after)))
        }
    };
    Note::new("cfm", level, format!("{name}: {text}")).limited(1, 20)
}

fn cfm_frame(group: u64, source: u64, tag: Option<(CcmVlan, u8)>, ccm: &cfm::ccm::Ccm) -> Vec<u8> {
    let mut frame = Vec::with_capacity(18 + cfm::ccm::LEN);
    frame.extend(&group.to_be_bytes()[2..]);
    frame.extend(&source.to_be_bytes()[2..]);
    if let Some((vlan, priority)) = tag {
        let vlan = match vlan {
            CcmVlan::One(vlan) => vlan,
            // A multiplicative hash of the sequence number spreads messages over all of them.
            CcmVlan::Random => ((ccm.seq.wrapping_mul(0x9e37_79b1) >> 8) % MAX_VLAN + 1) as u16,
        };
        frame.extend(ETHERTYPE_VLAN.to_be_bytes());
        frame.extend((u16::from(priority) << 13 | vlan).to_be_bytes());
    }
    frame.extend(ETHERTYPE_CFM.to_be_bytes());
    frame.extend(ccm.emit());
    frame
}
