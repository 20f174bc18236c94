//! sFlow version 5: sampled packets, and counters of ports.
//!
//! Each sample is XDR: 32-bit big-endian words, data padded to whole ones. Samples gather in a datagram, which leaves when
//! it is full and once a second. Source: sFlow.org, "sFlow Version 5" (July 2004), its structures for OpenFlow (1004), port
//! names (1005) and application resources (2203); ovs-vswitchd.conf.db(5), table sFlow.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use openflow::OfPort;
use openflow::message::PortStats;

use super::extended::Extended;
use super::{Datagram, Stamp};

/// Octets of samples in a datagram at the most.
const DATAGRAM_AT_MOST: usize = 1400;
/// Octets of a packet's beginning at the most.
const HEADER_AT_MOST: usize = 256;
/// Frames are told with the checksum that the device took off, octets.
const FCS_LEN: u32 = 4;
const INTERVAL_MS: i64 = 1000;
/// The bridge as a source of samples: a physical entity (class 2) with a number of its own.
const BRIDGE_SOURCE: u32 = 2 << 24 | 1000;
/// Counters that nobody keeps.
const UNKNOWN: u32 = u32::MAX;

/// Ways out of a packet as samples tell them.
pub mod output {
    /// Dropped for an unknown reason (format 1, reason 256).
    pub const DROPPED: u32 = 0x4000_0100;

    /// Out of several ports, or ports that have no number in the host.
    pub fn several(ports: u32) -> u32 {
        0x8000_0000 | (ports & 0x3fff_ffff)
    }
}

/// The sFlow row of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SflowConfig {
    /// Collectors.
    pub to: Arc<[SocketAddr]>,
    /// Address that the switch is known by.
    pub agent: IpAddr,
    /// One in so many packets is sampled; at least 1.
    pub sampling: u32,
    /// Seconds between reports of counters; 0 for none.
    pub polling_s: u32,
    /// Octets of a packet's beginning that are told.
    pub header: usize,
}

impl SflowConfig {
    /// Of 2^32 - 1, how many packets are sampled.
    pub fn probability(&self) -> u32 {
        u32::MAX / self.sampling.max(1)
    }
}

/// VLAN and priority of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tag {
    /// VLAN, 0 for none.
    pub vid: u16,
    /// Priority.
    pub pcp: u8,
}

impl Tag {
    /// Of a tag control word.
    pub fn of(tci: u16) -> Tag {
        Tag { vid: tci & 0xfff, pcp: (tci >> 13) as u8 }
    }
}

/// A sampled packet.
#[derive(Debug, Clone, Copy)]
pub struct Sampled<'a> {
    /// The host's number of the port it came in, 0 for none.
    pub input: u32,
    /// Its way out, a number of the host's or of [`output`].
    pub output: u32,
    /// Its tag as it came in.
    pub came: Tag,
    /// Its tag as it leaves.
    pub leaves: Tag,
    /// From its Ethernet header on.
    pub frame: &'a [u8],
    /// Labels and tunnels.
    pub extended: &'a Extended,
}

/// A port to report counters of.
#[derive(Debug, Clone, PartialEq)]
pub struct PortCounters {
    /// Name.
    pub name: String,
    /// OpenFlow number.
    pub port: OfPort,
    /// The host's number, not 0.
    pub ifindex: u32,
    /// Bits a second.
    pub speed_bps: u64,
    /// 1 for full duplex, 2 for half, 0 for unknown.
    pub direction: u32,
    /// Bit 0: not put down; bit 1: the link is up.
    pub status: u32,
    /// Counters; all ones for those that nobody keeps.
    pub stats: PortStats,
    /// Where LACP stands on it.
    pub lacp: Option<LacpCounters>,
}

fn next_tick(now_ms: i64) -> i64 {
    (now_ms.div_euclid(INTERVAL_MS) + 1) * INTERVAL_MS
}

/// A port's part in link aggregation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LacpCounters {
    /// Of ours, 48 bits.
    pub system: u64,
    /// Of the partner's, 48 bits.
    pub partner_system: u64,
    /// Key that the ports of a bundle share.
    pub aggregator: u32,
    /// States: ours as configured and as it is, the partner's likewise.
    pub states: [u8; 4],
    /// PDUs received.
    pub rx: u64,
    /// PDUs received that made no sense.
    pub rx_bad: u64,
    /// PDUs sent.
    pub tx: u64,
}

/// Counters of a datapath and of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwitchCounters {
    /// Packets that met a cached flow.
    pub hits: u32,
    /// Packets that met none.
    pub misses: u32,
    /// Packets that could not be handed up.
    pub lost: u32,
    /// Cached flows.
    pub flows: u32,
}

/// A bridge's sFlow.
#[derive(Debug)]
pub struct Sflow {
    config: SflowConfig,
    boot_ms: i64,
    samples: Vec<u8>,
    n_samples: u32,
    datagrams: u32,
    flow_samples: u32,
    /// Reports of counters so far.
    reports: u32,
    /// The next tick: each whole second of the clock.
    next_ms: i64,
    /// Ticks until counters are reported.
    countdown: u32,
    /// Counters are wanted: what is to leave waits for them.
    awaited: bool,
    ready: Vec<Datagram>,
}

impl Sflow {
    /// sFlow that counts its time from now on.
    pub fn new(config: SflowConfig, now_ms: i64) -> Sflow {
        Sflow {
            // As soon as may be: Open vSwitch begins at any of the first `polling` ticks.
            countdown: config.polling_s.min(1),
            awaited: false,
            config,
            boot_ms: now_ms,
            samples: Vec::new(),
            n_samples: 0,
            datagrams: 0,
            flow_samples: 0,
            reports: 0,
            next_ms: next_tick(now_ms),
            ready: Vec::new(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &SflowConfig {
        &self.config
    }

    /// When [`Sflow::run`] has something to do.
    pub fn poll_timeout(&self) -> i64 {
        if !self.ready.is_empty() {
            return 0;
        }
        if self.config.polling_s > 0 || self.n_samples > 0 { self.next_ms } else { i64::MAX }
    }

    /// Whether counters are to be reported now; then they are not for the next while. What was sampled leaves with them.
    pub fn is_polled(&mut self) -> bool {
        std::mem::take(&mut self.awaited)
    }

    /// Gives what is to be sent by now.
    pub fn run(&mut self, now_ms: i64) -> Vec<Datagram> {
        if now_ms >= self.next_ms {
            self.next_ms = next_tick(now_ms);
            self.countdown = self.countdown.saturating_sub(1);
            self.awaited = self.config.polling_s > 0 && self.countdown == 0;
            if self.awaited {
                self.countdown = self.config.polling_s;
            } else {
                self.close(now_ms);
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// Tells of a packet.
    pub fn sample(&mut self, sampled: Sampled<'_>, now_ms: i64) {
        self.flow_samples = self.flow_samples.wrapping_add(1);
        let shown = &sampled.frame[..sampled.frame.len().min(self.config.header.min(HEADER_AT_MOST))];
        let mut body = Xdr::default();
        body.word(self.flow_samples);
        body.word(BRIDGE_SOURCE);
        body.word(self.config.sampling);
        body.word(self.flow_samples.wrapping_mul(self.config.sampling));
        let (extended, n) = sampled.extended.records();
        body.words(&[0, sampled.input, sampled.output, 2 + n]);
        let (came, leaves) = (sampled.came, sampled.leaves);
        body.record(1001, Xdr::of(&[came.vid.into(), came.pcp.into(), leaves.vid.into(), leaves.pcp.into()]));
        let whole = u32::try_from(sampled.frame.len()).unwrap_or(u32::MAX).saturating_add(FCS_LEN);
        let mut header = Xdr::of(&[1, whole, FCS_LEN]);
        header.opaque(shown);
        body.record(1, header);
        body.0.extend(extended.0);
        self.put(1, body, now_ms);
    }

    /// Reports the counters of the switch and of ports.
    pub fn report(&mut self, switch: SwitchCounters, dpid: u64, ports: &[PortCounters], now_ms: i64) {
        self.reports = self.reports.wrapping_add(1);
        let mut body = Xdr::of(&[self.reports, BRIDGE_SOURCE, 2]);
        // Of the process nothing is told: user and system time, memory used and at most, files and connections.
        body.record(2203, Xdr::of(&[0; 10]));
        body.record(2207, Xdr::of(&[switch.hits, switch.misses, switch.lost, UNKNOWN, switch.flows, UNKNOWN]));
        self.put(2, body, now_ms);
        for port in ports {
            let mut body = Xdr::of(&[self.reports, port.ifindex, 4 + u32::from(port.lacp.is_some())]);
            body.record(2, Xdr::of(&[UNKNOWN; 13]));
            let mut openflow = Xdr::default();
            openflow.long(dpid);
            openflow.word(port.port.0.into());
            body.record(1004, openflow);
            let mut name = Xdr::default();
            name.opaque(port.name.as_bytes());
            body.record(1005, name);
            if let Some(lacp) = &port.lacp {
                body.record(7, aggregation(lacp));
            }
            body.record(1, interface(port));
            self.put(2, body, now_ms);
        }
        self.close(now_ms);
    }

    fn put(&mut self, tag: u32, body: Xdr, now_ms: i64) {
        if self.n_samples > 0 && self.samples.len() + body.0.len() + 8 > DATAGRAM_AT_MOST {
            // What is full leaves at once.
            self.close(now_ms);
        }
        let mut sample = Xdr(std::mem::take(&mut self.samples));
        sample.record(tag, body);
        self.samples = sample.0;
        self.n_samples += 1;
    }

    fn close(&mut self, now_ms: i64) {
        let n_samples = std::mem::take(&mut self.n_samples);
        if n_samples == 0 {
            return;
        }
        self.datagrams = self.datagrams.wrapping_add(1);
        let mut out = Xdr::of(&[5]);
        match self.config.agent {
            IpAddr::V4(address) => out.words(&[1, address.into()]),
            IpAddr::V6(address) => {
                out.word(2);
                out.0.extend(address.octets());
            }
        }
        // Uptime counts whole seconds, told in milliseconds.
        let uptime_ms = (now_ms - self.boot_ms) / 1000 * 1000;
        out.words(&[0, self.datagrams, uptime_ms as u32, n_samples]);
        out.0.append(&mut self.samples);
        let to = self.config.to.clone();
        self.ready.push(Datagram { to, octets: out.0, stamp: Stamp::None, from: None });
    }
}

/// IEEE 802.3ad's counters; what is sent and received of the marker protocol, and what is unknown, is not counted.
fn aggregation(lacp: &LacpCounters) -> Xdr {
    let mut out = Xdr::default();
    for system in [lacp.system, lacp.partner_system] {
        // Six octets, padded.
        out.long(system << 16);
    }
    out.words(&[lacp.aggregator, u32::from_be_bytes(lacp.states)]);
    out.words(&[lacp.rx as u32, UNKNOWN, UNKNOWN, UNKNOWN, lacp.rx_bad as u32, lacp.tx as u32, UNKNOWN, UNKNOWN]);
    out
}

/// Counters of a port by RFC 2233.
fn interface(port: &PortCounters) -> Xdr {
    const ETHERNET: u32 = 6;
    let low = |n: u64| if n == u64::MAX { UNKNOWN } else { n as u32 };
    let s = &port.stats;
    let mut out = Xdr::of(&[port.ifindex, ETHERNET]);
    out.long(port.speed_bps);
    out.words(&[port.direction, port.status]);
    out.long(s.rx_bytes);
    // Multicasts and broadcasts, which are not counted apart, then what was dropped, wrong, of unknown protocols.
    out.words(&[low(s.rx_packets), UNKNOWN, UNKNOWN, low(s.rx_dropped), low(s.rx_errors), UNKNOWN]);
    out.long(s.tx_bytes);
    out.words(&[low(s.tx_packets), UNKNOWN, UNKNOWN, low(s.tx_dropped), low(s.tx_errors), 0]);
    out
}

/// Words on their way (RFC 4506).
#[derive(Debug, Default)]
pub(super) struct Xdr(Vec<u8>);

impl Xdr {
    pub(super) fn of(words: &[u32]) -> Xdr {
        let mut xdr = Xdr::default();
        xdr.words(words);
        xdr
    }

    fn word(&mut self, n: u32) {
        self.0.extend(n.to_be_bytes());
    }

    pub(super) fn words(&mut self, words: &[u32]) {
        words.iter().for_each(|n| self.word(*n));
    }

    fn long(&mut self, n: u64) {
        self.0.extend(n.to_be_bytes());
    }

    /// Octets behind their number, padded.
    fn opaque(&mut self, octets: &[u8]) {
        self.word(octets.len() as u32);
        self.0.extend(octets);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A structure behind its format and length.
    pub(super) fn record(&mut self, format: u32, body: Xdr) {
        self.words(&[format, body.0.len() as u32]);
        self.0.extend(body.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sflow(sampling: u32, polling_s: u32) -> Sflow {
        let config = SflowConfig {
            to: Arc::from(["127.0.0.1:6343".parse().unwrap()]),
            agent: "127.0.0.1".parse().unwrap(),
            sampling,
            polling_s,
            header: 128,
        };
        Sflow::new(config, 500)
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|o| format!("{o:02x}")).collect()
    }

    static PLAIN: Extended = Extended { labels: Vec::new(), leaves: None, came: None };

    fn sampled(frame: &[u8]) -> Sampled<'_> {
        Sampled {
            input: 1004,
            output: output::several(3),
            came: Tag::of(0x7005),
            leaves: Tag::of(7),
            frame,
            extended: &PLAIN,
        }
    }

    #[test]
    fn a_packet_is_told() {
        let mut sflow = sflow(1, 0);
        sflow.sample(sampled(&[0xab; 5]), 600);
        assert_eq!(sflow.poll_timeout(), 1000);
        assert!(sflow.run(999).is_empty());
        let sent = sflow.run(1500);
        assert_eq!(
            hex(&sent[0].octets),
            "00000005000000017f0000010000000000000001000003e800000001\
             0000000100000058\
             00000001020003e8000000010000000100000000000003ec8000000300000002\
             000003e90000001000000005000000030000000700000000\
             00000001000000180000000100000009000000040000000\
             5ababababab000000"
        );
        assert_eq!(sflow.poll_timeout(), i64::MAX);
    }

    #[test]
    fn counters_are_told_of_switch_and_ports() {
        let mut sflow = sflow(400, 2);
        assert!(sflow.run(999).is_empty() && !sflow.is_polled());
        assert_eq!(sflow.poll_timeout(), 1000);
        assert!(sflow.run(1000).is_empty() && sflow.is_polled() && !sflow.is_polled());
        assert!(sflow.run(2000).is_empty() && !sflow.is_polled());
        assert!(sflow.run(3000).is_empty() && sflow.is_polled());
        let stats = PortStats { rx_bytes: 0x6c, rx_packets: 2, tx_bytes: 0, tx_packets: 0, ..PortStats::default() };
        let port = PortCounters {
            name: "p1".to_owned(),
            port: OfPort(1),
            ifindex: 0x3ec,
            speed_bps: 100_000_000,
            direction: 0,
            status: 3,
            stats,
            lacp: None,
        };
        sflow.report(SwitchCounters { hits: 1, misses: 1, lost: 0, flows: 1 }, 0xb65f_3fe2_4945, &[port], 3000);
        let sent = sflow.run(3000);
        let text = hex(&sent[0].octets);
        let bridge = "000000020000005c00000001020003e8000000020000089b00000028";
        assert!(text[56..].starts_with(bridge), "{text}");
        let datapath = "0000089f00000018000000010000000100000000ffffffff00000001ffffffff";
        assert_eq!(&text[192..192 + datapath.len()], datapath);
        let port = "00000002000000cc00000001000003ec000000040000000200000034";
        assert_eq!(&text[256..256 + port.len()], port);
        assert!(
            text.contains("000003ec0000000c0000b65f3fe2494500000001000003ed0000000800000002703100000000000100000058")
        );
        let tail = "000003ec000000060000000005f5e1000000000000000003000000000000006c00000002ffffffffffffffffffffffffffff\
                    ffffffffffff000000000000000000000000ffffffffffffffffffffffffffffffff00000000";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn datagrams_are_filled_and_not_overfilled() {
        let mut sflow = sflow(1, 0);
        for _ in 0..20 {
            sflow.sample(sampled(&[0; 1500]), 600);
        }
        assert_eq!(sflow.poll_timeout(), 0);
        let mut sent = sflow.run(600);
        assert_eq!(sflow.poll_timeout(), 1000);
        sent.extend(sflow.run(1000));
        assert!(sent.len() > 1 && sent.iter().all(|d| d.octets.len() <= DATAGRAM_AT_MOST + 28));
        assert_eq!(sflow.poll_timeout(), i64::MAX);
    }
}
