//! NetFlow version 5: packets and octets of IPv4 flows, told when a flow ends, changes its way out, or has been active
//! for long.
//!
//! ```text
//!  0 version 5 (16)  2 records (16)  4 uptime ms (32)  8 seconds, nanoseconds of the day (32, 32)
//! 16 sequence of the last record (32)  20 engine type, engine (8, 8)  22 sampling (16)  24 records of 48 octets
//! ```
//!
//! Multi-octet fields are big-endian. Source: Cisco, "NetFlow Export Datagram Format", version 5; ovs-vswitchd.conf.db(5),
//! table NetFlow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use flow::Key;

use super::{Datagram, Stamp};

/// Way out of a dropped packet.
pub const OUT_DROP: u16 = 65533;
/// Way out of a packet that goes to several ports.
pub const OUT_MULTI: u16 = 65534;
/// Way out of a flooded packet.
pub const OUT_FLOOD: u16 = 65535;

/// Records of a datagram at the most.
const RECORDS_AT_MOST: u16 = 30;
/// Flows that are counted at one time; those beyond are told packet by packet.
const FLOWS_AT_MOST: usize = 1 << 16;
/// How often flows are looked at, milliseconds.
const INTERVAL_MS: i64 = 1000;
/// Seconds after which an active flow is told of, unless told otherwise.
const ACTIVE_TIMEOUT_S: i64 = 600;
const ICMP: u8 = 1;

/// The NetFlow row of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetflowConfig {
    /// Collectors.
    pub to: Arc<[SocketAddr]>,
    /// Engine type.
    pub engine_type: u8,
    /// Engine.
    pub engine_id: u8,
    /// Put the engine's lowest 7 bits above 9 bits of port number.
    pub add_id_to_interface: bool,
    /// As the column has it, seconds: 0 for the default, -1 for never.
    pub active_timeout_s: i64,
}

/// What tells NetFlow's flows apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId {
    /// OpenFlow port that the packets came in by.
    pub in_port: u16,
    /// IPv4 source.
    pub src: u32,
    /// IPv4 destination.
    pub dst: u32,
    /// IP protocol.
    pub proto: u8,
    /// Type of service octet.
    pub tos: u8,
    /// Source port, or ICMP type.
    pub tp_src: u16,
    /// Destination port, or ICMP code.
    pub tp_dst: u16,
}

impl FlowId {
    /// The flow of a key with an OpenFlow input port; `None` for what is not IPv4.
    pub fn of(key: &Key) -> Option<FlowId> {
        (key.dl_type() == 0x0800).then(|| FlowId {
            in_port: key.in_port() as u16,
            src: key.nw_src(),
            dst: key.nw_dst(),
            proto: key.nw_proto(),
            tos: key.nw_tos(),
            tp_src: key.tp_src(),
            tp_dst: key.tp_dst(),
        })
    }
}

#[derive(Debug, Clone, Default)]
struct Flow {
    out: u16,
    packets: u64,
    octets: u64,
    tcp_flags: u8,
    created_ms: i64,
    used_ms: i64,
    told_ms: i64,
}

/// What a flow carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets.
    pub packets: u64,
    /// Octets of them.
    pub octets: u64,
    /// When the last one came, in milliseconds.
    pub used_ms: i64,
    /// TCP flags of all of them together.
    pub tcp_flags: u16,
}

/// A bridge's NetFlow.
#[derive(Debug)]
pub struct Netflow {
    config: NetflowConfig,
    boot_ms: i64,
    flows: BTreeMap<FlowId, Flow>,
    /// The datagram that is being filled.
    octets: Vec<u8>,
    records: u16,
    sequence: u32,
    leave_ms: i64,
    next_ms: i64,
    ready: Vec<Datagram>,
}

/// Where a datagram has its time of day.
const STAMP_AT: usize = 8;

impl Netflow {
    /// NetFlow that counts its time from now on.
    pub fn new(config: NetflowConfig, now_ms: i64) -> Netflow {
        Netflow {
            config,
            boot_ms: now_ms,
            flows: BTreeMap::new(),
            octets: Vec::new(),
            records: 0,
            sequence: 0,
            leave_ms: i64::MAX,
            next_ms: now_ms + INTERVAL_MS,
            ready: Vec::new(),
        }
    }

    /// Takes another configuration; flows and sequence go on.
    pub fn configure(&mut self, config: NetflowConfig) {
        self.config = config;
    }

    /// Counts packets of a flow.
    pub fn update(&mut self, id: &FlowId, out: u16, carried: Carried, now_ms: i64) {
        let fits = self.flows.len() < FLOWS_AT_MOST;
        let fresh = Flow { out, created_ms: carried.used_ms, told_ms: now_ms, ..Flow::default() };
        let mut flow = self.flows.remove(id).unwrap_or(fresh);
        if flow.out != out {
            self.tell(id, &mut flow, now_ms);
            (flow.created_ms, flow.out) = (carried.used_ms, out);
        }
        flow.packets += carried.packets;
        flow.octets += carried.octets;
        flow.used_ms = flow.used_ms.max(carried.used_ms);
        flow.tcp_flags |= carried.tcp_flags as u8;
        if fits {
            self.flows.insert(id.clone(), flow);
        } else {
            self.tell(id, &mut flow, now_ms);
        }
    }

    /// A flow has ended, or is judged anew: tells what it carried.
    pub fn end(&mut self, id: &FlowId, now_ms: i64) {
        if let Some(mut flow) = self.flows.remove(id) {
            self.tell(id, &mut flow, now_ms);
        }
    }

    fn active_timeout_ms(&self) -> Option<i64> {
        match self.config.active_timeout_s {
            0 => Some(ACTIVE_TIMEOUT_S * 1000),
            s => (s > 0).then(|| s.saturating_mul(1000)),
        }
    }

    /// When [`Netflow::run`] has something to do.
    pub fn poll_timeout(&self) -> i64 {
        let look = if self.flows.is_empty() || self.active_timeout_ms().is_none() { i64::MAX } else { self.next_ms };
        self.leave_ms.min(look)
    }

    /// Tells of flows that have been active for long, and gives what is ready.
    pub fn run(&mut self, now_ms: i64) -> Vec<Datagram> {
        if let Some(timeout_ms) = self.active_timeout_ms().filter(|_| now_ms >= self.next_ms) {
            self.next_ms = now_ms + INTERVAL_MS;
            let due: Vec<FlowId> = self
                .flows
                .iter()
                .filter(|(_, flow)| now_ms > flow.told_ms + timeout_ms)
                .map(|(id, _)| id.clone())
                .collect();
            for id in due {
                let Some(mut flow) = self.flows.remove(&id) else { continue };
                let is_idle = flow.used_ms < flow.told_ms;
                self.tell(&id, &mut flow, now_ms);
                if !is_idle {
                    self.flows.insert(id, flow);
                }
            }
        }
        if now_ms >= self.leave_ms {
            self.close();
            self.leave_ms = i64::MAX;
        }
        std::mem::take(&mut self.ready)
    }

    /// Adds a record of what a flow carried since it was told of last, if that is anything.
    fn tell(&mut self, id: &FlowId, flow: &mut Flow, now_ms: i64) {
        flow.told_ms = now_ms;
        if flow.packets == 0 {
            return;
        }
        if self.records == 0 {
            self.open(now_ms);
        }
        let port = |n: u16| match self.config.add_id_to_interface {
            true => u16::from(self.config.engine_id & 0x7f) << 9 | n & 0x1ff,
            false => n,
        };
        let (input, output) = (port(id.in_port), port(flow.out));
        // The type and code of ICMP stand where others have their destination port.
        let (tp_src, tp_dst) =
            if id.proto == ICMP { (0, id.tp_src << 8 | id.tp_dst & 0xff) } else { (id.tp_src, id.tp_dst) };
        let uptime = |ms: i64| u32::try_from((ms - self.boot_ms).max(0)).unwrap_or(u32::MAX);
        let (first, last) = (uptime(flow.created_ms), uptime(flow.created_ms.max(flow.used_ms)));
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let (packets, octets) = (number(flow.packets), number(flow.octets));
        let out = &mut self.octets;
        for word in [id.src, id.dst, 0] {
            out.extend(word.to_be_bytes());
        }
        out.extend(input.to_be_bytes());
        out.extend(output.to_be_bytes());
        for word in [packets, octets, first, last] {
            out.extend(word.to_be_bytes());
        }
        out.extend(tp_src.to_be_bytes());
        out.extend(tp_dst.to_be_bytes());
        // Then autonomous systems and prefix lengths, which nobody here knows.
        out.extend([0, flow.tcp_flags, id.proto, id.tos, 0, 0, 0, 0, 0, 0, 0, 0]);
        self.records += 1;
        out[2..4].copy_from_slice(&self.records.to_be_bytes());
        out[16..20].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        (flow.packets, flow.octets, flow.tcp_flags) = (0, 0, 0);
        if self.records == RECORDS_AT_MOST {
            self.close();
            self.leave_ms = now_ms;
        }
    }

    fn open(&mut self, now_ms: i64) {
        let out = &mut self.octets;
        out.extend(5u16.to_be_bytes());
        out.extend(0u16.to_be_bytes());
        out.extend(((now_ms - self.boot_ms) as u32).to_be_bytes());
        out.extend([0; 12]);
        out.extend([self.config.engine_type, self.config.engine_id, 0, 0]);
        // As soon as what is at hand has been told of: a clock that stands still must not keep it.
        self.leave_ms = now_ms;
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.records) > 0 {
            let (to, octets) = (self.config.to.clone(), std::mem::take(&mut self.octets));
            self.ready.push(Datagram { to, octets, stamp: Stamp::Nanoseconds(STAMP_AT), from: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn netflow(active_timeout_s: i64, add_id_to_interface: bool) -> Netflow {
        let config = NetflowConfig {
            to: Arc::from(["127.0.0.1:2055".parse().unwrap()]),
            engine_type: 2,
            engine_id: 0x81,
            add_id_to_interface,
            active_timeout_s,
        };
        Netflow::new(config, 1000)
    }

    fn id(proto: u8) -> FlowId {
        FlowId { in_port: 1, src: 0xc0a8_0001, dst: 0xc0a8_0002, proto, tos: 4, tp_src: 8, tp_dst: 80 }
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|o| format!("{o:02x}")).collect()
    }

    fn one(packets: u64, used_ms: i64) -> Carried {
        Carried { packets, octets: 54 * packets, used_ms, tcp_flags: 0x102 }
    }

    #[test]
    fn another_way_out_and_the_end_are_told() {
        let mut nf = netflow(0, false);
        nf.update(&id(6), OUT_FLOOD, one(1, 1279), 1279);
        assert!(nf.run(1300).is_empty());
        nf.update(&id(6), 2, one(2, 1428), 1428);
        nf.end(&id(6), 1480);
        assert_eq!(nf.poll_timeout(), 1428);
        let sent = nf.run(1600);
        assert_eq!(sent.len(), 1);
        assert_eq!(
            hex(&sent[0].octets),
            "00050002000001ac00000000000000000000000102810000\
             c0a80001c0a80002000000000001ffff00000001000000360000011700000117000800500002060400000000\
             00000000\
             c0a80001c0a800020000000000010002000000020000006c000001ac000001ac000800500002060400000000\
             00000000"
        );
        assert_eq!(nf.poll_timeout(), i64::MAX);
        nf.end(&id(6), 1700);
        assert!(nf.run(9999).is_empty(), "there is nothing more to tell");
    }

    #[test]
    fn icmp_has_its_type_and_code_for_a_port_and_ports_the_engine() {
        let mut nf = netflow(-1, true);
        let ping = FlowId { tp_src: 8, tp_dst: 3, in_port: 0xfffe, ..id(1) };
        nf.update(&ping, OUT_DROP, one(1, 1001), 1001);
        nf.end(&ping, 1001);
        let sent = nf.run(2000);
        assert_eq!(hex(&sent[0].octets[36..40]), "03fe03fd");
        assert_eq!(hex(&sent[0].octets[56..60]), "00000803");
    }

    #[test]
    fn long_lived_flows_are_told_and_idle_ones_forgotten() {
        let mut nf = netflow(3, false);
        nf.update(&id(17), 2, one(1, 1500), 1500);
        assert!(nf.run(4000).is_empty());
        assert_eq!(nf.run(5000).len(), 1);
        // Nothing more came: it is forgotten once the time is over again.
        assert_eq!(nf.run(9000).len(), 0);
        assert_eq!(nf.poll_timeout(), i64::MAX);
    }

    #[test]
    fn thirty_records_fill_a_datagram() {
        let mut nf = netflow(0, false);
        for n in 0..61 {
            let id = FlowId { tp_src: n, ..id(17) };
            nf.update(&id, 2, one(1, 1500), 1500);
            nf.end(&id, 1500);
        }
        let sent = nf.run(1500);
        assert_eq!(sent.iter().map(|d| d.octets.len()).collect::<Vec<_>>(), [24 + 30 * 48, 24 + 30 * 48, 24 + 48]);
    }
}
