//! A bridge and a datapath joined without actors: what a packet of a new flow costs, apart from threads and kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use dp::{Burst, Config, Datapath, Lent, QueueId, RxQueue, TxPacket, TxPort, TxReport};
use flow::Upcall;
use ofproto::bridge::{Bridge, BridgeConfig, ConnId, ConnKind, Incoming, Output, PortConfig, decode_message};
use ofproto::table::Table;
use ofproto::view::{BridgeId, BundleId, BundleView, PortRef, PortView, SwitchView};
use openflow::flow_mod::{Command, FlowModCommand, parse_flow_mod};
use openflow::message::{Dialect, Message, PortDesc, encode};
use openflow::{Names, OfPort, Version};
use packet::Offload;

/// Octets before a frame.
const HEADROOM: usize = 64;
/// Frames of a burst.
pub const BURST: usize = 32;
const CONN: ConnId = ConnId(1);

/// UDP frames of 60 octets of ever new flows, made as they are received.
struct Source {
    next: u32,
    left: usize,
    frames: Vec<[u8; HEADROOM + 60]>,
}

impl Source {
    fn new() -> Self {
        let mut frame = [0; HEADROOM + 60];
        let octets = &mut frame[HEADROOM..];
        octets[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        octets[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
        octets[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        octets[38..40].copy_from_slice(&[0, 26]);
        Self { next: 0, left: 0, frames: vec![frame; BURST] }
    }
}

impl RxQueue for Source {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        let n = max.min(self.left).min(BURST);
        self.left -= n;
        for frame in &mut self.frames[..n] {
            let octets = &mut frame[HEADROOM..];
            octets[26..30].copy_from_slice(&(0x0a00_0000 + (self.next >> 16)).to_be_bytes());
            octets[34..36].copy_from_slice(&(self.next as u16).to_be_bytes());
            octets[36..38].copy_from_slice(&7u16.to_be_bytes());
            self.next += 1;
            burst.push(Lent::new(frame, HEADROOM, 60, Offload::default()));
        }
        if n == 0 {
            self.left = BURST;
        }
    }
}

/// Counts what is sent through it.
struct Sink;

impl TxPort for Sink {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        let bytes = packets.iter().map(|p| p.octets.len() as u64).sum();
        TxReport { packets: packets.len() as u64, bytes, ..TxReport::default() }
    }
}

/// A switch of two ports, with one bridge.
pub struct Switch {
    /// The bridge.
    pub bridge: Bridge,
    /// The datapath.
    pub datapath: Datapath,
    tables: BTreeMap<u8, Table>,
    queue: QueueId,
    now_ms: i64,
    upcalls: Vec<Upcall>,
    /// Whether flows are installed.
    pub has_room: bool,
}

impl Switch {
    /// A switch with these rules, in `ovs-ofctl`'s words.
    ///
    /// # Panics
    /// If a rule cannot be read.
    pub fn new(rules: &[String]) -> Switch {
        let mut config = BridgeConfig { name: "br0".to_owned(), fail_secure: true, ..BridgeConfig::default() };
        for number in [1u16, 2] {
            let (port, bundle, name) = (OfPort(number), BundleId(number.into()), format!("p{number}"));
            let mut view = PortView::device(port, number.into(), &name);
            view.bundle = Some(bundle);
            let desc = PortDesc { port, name: name.clone(), ..PortDesc::default() };
            config.ports.insert(port, PortConfig { view, desc, kind: "system".to_owned() });
            config.bundles.insert(bundle, BundleView::new(bundle, &name, port));
        }
        let bridge = Bridge::new(BridgeId(1), config, 7, 1000);
        let mut datapath = Datapath::new(Config { flow_limit: 1 << 22, ..Config::default() });
        for port in [1, 2] {
            datapath.add_port(port, Box::new(Sink));
        }
        let queue = datapath.add_queue(1, 0, Box::new(Source::new()));
        let (tables, upcalls) = (BTreeMap::new(), Vec::new());
        let mut switch = Switch { bridge, datapath, tables, queue, now_ms: 1000, upcalls, has_room: true };
        switch.settle();
        switch.bridge.connected(CONN, Version::V13, ConnKind::Service, "bench", "bench");
        switch.add_rules(rules);
        let mut view = SwitchView::default();
        for port in [1u16, 2] {
            view.odp_ports.insert(port.into(), PortRef { bridge: BridgeId(1), port: OfPort(port) });
        }
        view.bridges.insert(BridgeId(1), Arc::new(switch.bridge.view().clone()));
        switch.bridge.set_switch_view(&view);
        switch
    }

    fn add_rules(&mut self, rules: &[String]) {
        for rule in rules {
            let add = Command::Mod(FlowModCommand::Add);
            let flow_mod = parse_flow_mod(rule, add, Names::NONE).expect("a good rule").flow_mod;
            let message = Message::FlowMod { dialect: Dialect::Nicira, flow_mod: Box::new(flow_mod) };
            let octets = encode(&message, Version::V13, 1).expect("sayable");
            let body = decode_message(&octets, false, false);
            self.bridge.received(CONN, [Incoming { body, xid: 1, raw: octets.into() }]);
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let outputs = self.bridge.take_outputs();
            if outputs.is_empty() {
                let _ = self.bridge.take_changed_view();
                return;
            }
            for output in outputs {
                self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        let now_us = self.now_ms as u64 * 1000;
        match output {
            Output::Stage { batches, watched } => {
                let stage = |(id, changes): (u8, Vec<_>)| {
                    let table = self.tables.entry(id).or_insert_with(|| Table::new(id));
                    (id, Some(table.stage_for(changes, watched, self.now_ms)))
                };
                let staged = batches.into_iter().map(stage).collect();
                self.bridge.staged(staged, self.now_ms);
            }
            Output::Settle { table, commit } => match self.tables.get_mut(&table) {
                Some(table) if commit => drop(table.commit()),
                Some(table) => table.rollback(),
                None => {}
            },
            Output::Install { entries, .. } => {
                for entry in &entries {
                    let _ = self.datapath.install(entry, 1);
                }
            }
            Output::Execute { packets, answered } => {
                self.datapath.execute(packets, now_us, &mut self.upcalls);
                self.datapath.upcalls_answered(&answered, now_us, &mut self.upcalls);
            }
            _ => {}
        }
    }

    /// A burst of packets, each of a flow of its own, from its reception to its installation.
    pub fn miss(&mut self) {
        self.receive();
        self.answer();
    }

    /// The datapath's part of it.
    pub fn receive(&mut self) {
        let now_us = self.now_ms as u64 * 1000;
        while self.datapath.poll(self.queue, now_us, &mut self.upcalls) == 0 {}
    }

    /// The bridge's part, and what it asks the datapath for.
    pub fn answer(&mut self) {
        let batch = std::mem::take(&mut self.upcalls);
        self.bridge.upcalls(batch, self.has_room, self.now_ms);
        self.settle();
    }

    /// Forgets all cached flows.
    pub fn purge(&mut self) {
        self.datapath.flush();
        self.now_ms += 1000;
        self.bridge.swept(self.now_ms, self.now_ms);
    }
}

/// Rules that make every flow one of its own: no wildcard covers two.
pub fn no_wildcards() -> Vec<String> {
    let moves = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15],\
                 move:NXM_OF_UDP_DST[]->NXM_NX_REG2[0..15]";
    let mut rules = vec![format!("priority=10,udp,actions={moves},NORMAL")];
    rules.extend((1..65536).step_by(97).map(|p| format!("priority=20,udp,tp_src={p},tp_dst=1,actions=drop")));
    rules
}
