//! Ports made of vectors, and frames to send through them.

#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use dp::port::Offloads;
use dp::{Burst, Config, Datapath, Lent, QueueId, RxQueue, TxPacket, TxPort, TxReport};
use ebpf::Exit;
use flow::{Action, FlowEntry, Key, Mask, Ufid, Upcall};
use packet::{Offload, PacketBuf, checksum};

/// A frame and what it owes.
pub type Frame = (Vec<u8>, Offload);

/// A queue whose frames come from here.
#[derive(Clone, Default)]
pub struct Input {
    waiting: Arc<Mutex<VecDeque<Frame>>>,
}

struct FakeRx {
    input: Input,
    device: u32,
    headroom: usize,
    lent: Vec<(Vec<u8>, usize, Offload)>,
}

impl RxQueue for FakeRx {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        self.lent.clear();
        let mut waiting = self.input.waiting.lock().unwrap();
        while self.lent.len() < max {
            let Some((frame, offload)) = waiting.pop_front() else { break };
            let mut buf = vec![0xee; self.headroom];
            buf.extend(&frame);
            self.lent.push((buf, frame.len(), offload));
        }
        for (buf, len, offload) in &mut self.lent {
            burst.push(Lent::new(buf, self.headroom, *len, *offload));
        }
    }

    fn device(&self) -> Option<u32> {
        Some(self.device)
    }

    fn release(&mut self) {
        // Whoever still counted on the memory would see this.
        for (buf, ..) in &mut self.lent {
            buf.fill(0xdd);
        }
    }
}

/// What went out through a port.
#[derive(Clone, Default)]
pub struct Output {
    pub frames: Arc<Mutex<Vec<Frame>>>,
}

struct FakeTx {
    output: Output,
    device: u32,
    offloads: Offloads,
}

impl TxPort for FakeTx {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        let mut report = TxReport::default();
        for p in packets {
            self.output.frames.lock().unwrap().push((p.octets.to_vec(), p.offload));
            report.packets += 1;
            report.bytes += p.octets.len() as u64;
        }
        report
    }

    fn exit(&self) -> Option<Exit> {
        Some(if self.device == 100 + TAP { Exit::Host(self.device) } else { Exit::Wire(self.device) })
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }
}

/// The port that is a tap, for the kernel's fast path.
pub const TAP: u32 = 3;

/// A datapath with ports 1 to 4, all of one queue; port 4 takes no offloads.
pub struct Rig {
    pub dp: Datapath,
    pub inputs: BTreeMap<u32, (Input, QueueId)>,
    pub outputs: BTreeMap<u32, Output>,
    pub now_us: u64,
    pub upcalls: Vec<Upcall>,
}

impl Rig {
    pub fn new(config: Config) -> Self {
        Self::with_headroom(config, 32)
    }

    /// Another thread of the same datapath, with queues and outputs of its own.
    pub fn beside(&self, config: Config) -> Self {
        Self::over(Datapath::beside(config, self.dp.common()), 32)
    }

    pub fn with_headroom(config: Config, headroom: usize) -> Self {
        Self::over(Datapath::new(config), headroom)
    }

    fn over(mut dp: Datapath, headroom: usize) -> Self {
        let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        for port in 1..=4 {
            let (input, output) = (Input::default(), Output::default());
            let offloads = if port == 4 { Offloads::default() } else { Offloads::ALL };
            assert!(dp.add_port(port, Box::new(FakeTx { output: output.clone(), device: 100 + port, offloads })));
            let queue = dp.add_queue(
                port,
                0,
                Box::new(FakeRx { input: input.clone(), device: 100 + port, headroom, lent: vec![] }),
            );
            inputs.insert(port, (input, queue));
            outputs.insert(port, output);
        }
        Self { dp, inputs, outputs, now_us: 1_000_000, upcalls: Vec::new() }
    }

    /// Lets frames come in by port 1, and the datapath work on them.
    pub fn inject(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.inject_at(1, frames);
    }

    pub fn inject_at(&mut self, port: u32, frames: impl IntoIterator<Item = Frame>) {
        let (input, queue) = &self.inputs[&port];
        input.waiting.lock().unwrap().extend(frames);
        while self.dp.poll(*queue, self.now_us, &mut self.upcalls) > 0 {}
    }

    /// The upcalls since last asked, those that waited for others included; all of them answered.
    pub fn take_upcalls(&mut self) -> Vec<Upcall> {
        let mut all = Vec::new();
        while !self.upcalls.is_empty() {
            let some = std::mem::take(&mut self.upcalls);
            let answers: Vec<_> = some.iter().map(|u| (u.key.in_port(), u.ticket)).collect();
            self.dp.upcalls_answered(&answers, self.now_us, &mut self.upcalls);
            all.extend(some);
        }
        all
    }

    /// What went out by a port since last asked.
    pub fn sent(&mut self, port: u32) -> Vec<Frame> {
        std::mem::take(&mut *self.outputs[&port].frames.lock().unwrap())
    }

    /// Installs a flow for everything that comes in by port 1 and did not go round yet.
    pub fn install_any(&mut self, actions: &[Action]) {
        self.install_recirc(0, actions);
    }

    pub fn install_recirc(&mut self, recirc_id: u32, actions: &[Action]) {
        let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
        key.set_in_port(1);
        mask.set_in_port(u32::MAX);
        key.set_recirc_id(recirc_id);
        mask.set_recirc_id(u32::MAX);
        let entry = FlowEntry::new(Ufid(recirc_id.into()), &key, &mask, actions.into());
        self.dp.install(&entry, 7).unwrap();
    }
}

/// Runs one frame through the actions; what came out by port 2.
pub fn through(actions: &[Action], frame: Frame) -> Vec<Frame> {
    let mut outs = Vec::new();
    for headroom in [32, 0] {
        let mut rig = Rig::with_headroom(Config::default(), headroom);
        rig.install_any(actions);
        rig.inject([frame.clone()]);
        outs.push(rig.sent(2));
    }
    assert_eq!(outs[0], outs[1], "headroom makes no difference");
    outs.remove(0)
}

pub const ETH: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// An IPv4 packet with a right header checksum, in a frame.
pub fn ipv4(proto: u8, src: [u8; 4], dst: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut f = ETH.to_vec();
    f.extend([8, 0, 0x45, 0]);
    f.extend(((20 + payload.len()) as u16).to_be_bytes());
    f.extend([0, 1, 0, 0, 64, proto, 0, 0]);
    f.extend(src);
    f.extend(dst);
    let csum = checksum::of(&f[14..34]).to_be_bytes();
    f[24..26].copy_from_slice(&csum);
    f.extend(payload);
    f
}

pub fn ipv6(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = ETH.to_vec();
    f.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    f.extend((payload.len() as u16).to_be_bytes());
    f.extend([proto, 64]);
    f.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    f.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    f.extend(payload);
    f
}

/// Fills the transport checksum at `at` of an untagged frame, over what it covers.
pub fn fill(mut f: Vec<u8>, at: usize) -> Vec<u8> {
    f[at..at + 2].fill(0);
    let csum = transport_checksum(&f);
    f[at..at + 2].copy_from_slice(&csum.to_be_bytes());
    f
}

/// The checksum of the transport part; 0 if it is right.
pub fn transport_checksum(f: &[u8]) -> u16 {
    let (l4, pseudo) = if f[12] == 8 {
        let addresses = checksum::sum(&f[26..34], 0);
        (34, addresses + u64::from(f[23]))
    } else {
        (54, checksum::sum(&f[22..54], 0) + u64::from(f[20]))
    };
    checksum::finish(checksum::sum(&f[l4..], u64::from(checksum::fold(pseudo)) + (f.len() - l4) as u64))
}

pub fn tcp4(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    fill(ipv4(6, [10, 0, 0, 1], [10, 0, 0, 2], &tcp(sport, dport, payload)), 50)
}

pub fn tcp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut t = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    t.extend([0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0]);
    t.extend(payload);
    t
}

pub fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut u = [sport.to_be_bytes(), dport.to_be_bytes(), ((8 + payload.len()) as u16).to_be_bytes()].concat();
    u.extend([0, 0]);
    u.extend(payload);
    u
}

/// The frame with its checksum at `start + offset` left to whoever sends it.
pub fn partial(mut f: Vec<u8>, start: u16, offset: u16) -> Frame {
    let at = usize::from(start + offset);
    let (mut bare, l4) = (f.clone(), usize::from(start));
    bare[l4..].fill(0);
    // Of the pseudo header alone.
    let sum = !transport_checksum(&bare);
    f[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let partial_csum = Some(packet::PartialCsum { start, offset });
    (f, Offload { partial_csum, ..Offload::default() })
}

/// The frame as it is on the wire.
pub fn settled(frame: &Frame) -> Vec<u8> {
    let mut buf = PacketBuf::new(&frame.0);
    buf.offload = frame.1;
    packet::offload::complete_checksum(&mut buf);
    buf.data().to_vec()
}

pub fn plain(f: Vec<u8>) -> Frame {
    (f, Offload::default())
}
