//! Rings, taps and dummies as the datapath's ports.

use dp::port::{Offloads, RxLosses};
use dp::{BURST, Burst, Lent, RxQueue, TxPacket, TxPort, TxReport};
use ebpf::Exit;
use packet::buffer::{Gso, Offload, PartialCsum};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use sys::vnet_flag;
use sys::{Frame, RxRing, Tap, TxFrame, TxOutcome, TxSocket, VnetHdr};
use tokio::sync::mpsc;

fn offload_of(vnet: &VnetHdr) -> Offload {
    Offload {
        partial_csum: (vnet.flags & vnet_flag::NEEDS_CSUM != 0)
            .then_some(PartialCsum { start: vnet.csum_start, offset: vnet.csum_offset }),
        csum_valid: vnet.flags & vnet_flag::DATA_VALID != 0,
        gso: (vnet.gso_type != 0).then_some(Gso { kind: vnet.gso_type, size: vnet.gso_size, hdr_len: vnet.hdr_len }),
        hash: None,
    }
}

fn vnet_of(offload: &Offload) -> VnetHdr {
    let mut vnet = VnetHdr::default();
    if let Some(csum) = offload.partial_csum {
        vnet.flags |= vnet_flag::NEEDS_CSUM;
        vnet.csum_start = csum.start;
        vnet.csum_offset = csum.offset;
    } else if offload.csum_valid {
        vnet.flags |= vnet_flag::DATA_VALID;
    }
    if let Some(gso) = offload.gso {
        vnet.gso_type = gso.kind;
        vnet.gso_size = gso.size;
        vnet.hdr_len = gso.hdr_len;
    }
    vnet
}

pub(super) fn lend<'a>(burst: &mut Burst<'a>, frame: Frame<'a>) {
    let Frame { buf, start, len, vnet, .. } = frame;
    let _ = burst.try_push(Lent::new(buf, start, len, offload_of(&vnet)));
}

fn report(outcome: &TxOutcome) -> TxReport {
    TxReport {
        packets: u64::from(outcome.sent),
        bytes: outcome.sent_bytes,
        dropped: u64::from(outcome.full) + u64::from(outcome.too_long),
        too_long: u64::from(outcome.too_long),
        errors: u64::from(outcome.down) + u64::from(outcome.refused),
    }
}

/// Sends through `send` in pieces of at most a burst.
pub(super) fn send_all(
    packets: &[TxPacket<'_>],
    class: impl Fn(u32) -> u32,
    mut send: impl FnMut(&[TxFrame<'_>]) -> TxOutcome,
) -> TxReport {
    let mut total = TxOutcome::default();
    for chunk in packets.chunks(BURST) {
        let mut frames = [TxFrame::default(); BURST];
        for (frame, packet) in frames.iter_mut().zip(chunk) {
            *frame = TxFrame {
                vnet: vnet_of(&packet.offload),
                head: &[],
                body: packet.octets,
                priority: class(packet.priority),
            };
        }
        total.add(&send(&frames[..chunk.len()]));
    }
    report(&total)
}

/// A packet ring's queue.
pub struct RingQueue(pub RxRing);

impl RxQueue for RingQueue {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        self.0.receive(max.min(BURST), |frame| lend(burst, frame));
    }

    fn release(&mut self) {
        self.0.release();
    }

    fn prepare_sleep(&mut self) -> bool {
        self.0.prepare_sleep()
    }

    fn stay_awake(&mut self) {
        self.0.stay_awake();
    }

    fn device(&self) -> Option<u32> {
        self.0.has_programs().then(|| self.0.ifindex())
    }

    fn losses(&mut self) -> RxLosses {
        let stats = self.0.stats();
        RxLosses { dropped: stats.drops, errors: stats.truncated }
    }

    fn recover(&mut self) -> bool {
        self.0.take_error();
        true
    }
}

/// A packet socket that sends.
pub struct RingSender {
    /// The socket.
    pub socket: TxSocket,
    /// Frames go by queues of the kernel's: a packet's priority is the number of its queue, 0 the default.
    pub queued: bool,
}

impl TxPort for RingSender {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        let Self { socket, queued } = self;
        let class = |queue: u32| if *queued && queue != 0 { sys::tc::priority_of(queue) } else { queue };
        send_all(packets, class, |frames| socket.send(frames))
    }

    fn share(&self) -> Option<Box<dyn TxPort>> {
        let socket = self.socket.another().ok()?;
        Some(Box::new(Self { socket, queued: self.queued }))
    }

    fn exit(&self) -> Option<Exit> {
        if self.queued { None } else { self.socket.device().map(Exit::Wire) }
    }
}

/// Packets from the host that make it worth its while to have the kernel look at them first; a host that only makes itself
/// known sends fewer.
const WORTH_A_LOOK: usize = 32;

/// A tap, received from by one half and sent through by the other: the kernel orders the two by itself. When it has had
/// some packets it rings a bell.
pub struct TapQueue {
    tap: Tap,
    device: Option<u32>,
    had: usize,
    bell: Option<mpsc::Sender<()>>,
}

impl TapQueue {
    /// The queue, and what hears its bell; with the device's index if the kernel may forward some of what comes by it.
    pub fn new(tap: Tap, device: Option<u32>) -> (Self, mpsc::Receiver<()>) {
        let (bell, heard) = mpsc::channel(1);
        (Self { tap, device, had: 0, bell: Some(bell) }, heard)
    }
}

impl RxQueue for TapQueue {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        let Self { tap, had, bell, .. } = self;
        // A device that is down reads as an error and has nothing to give.
        *had = had.saturating_add(tap.receive(max.min(BURST), |frame| lend(burst, frame)).unwrap_or(0));
        if *had >= WORTH_A_LOOK
            && let Some(bell) = bell.take()
        {
            // Whoever listened is gone with the device.
            let _ = bell.try_send(());
        }
    }

    fn device(&self) -> Option<u32> {
        self.device
    }
}

/// The sending half of a tap.
pub struct TapSender {
    /// The tap.
    pub tap: Tap,
    /// Its index, where it was opened.
    pub ifindex: u32,
}

impl TxPort for TapSender {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        send_all(packets, |queue| queue, |frames| self.tap.send(frames))
    }

    fn share(&self) -> Option<Box<dyn TxPort>> {
        Some(Box::new(Self { tap: self.tap.share(), ifindex: self.ifindex }))
    }

    fn exit(&self) -> Option<Exit> {
        self.tap.is_here().then_some(Exit::Host(self.ifindex))
    }
}

/// Packets, and their octets.
#[derive(Debug, Default)]
struct Tally {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn add(&self, octets: usize) {
        self.packets.fetch_add(1, Relaxed);
        self.bytes.fetch_add(octets as u64, Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.packets.load(Relaxed), self.bytes.load(Relaxed))
    }
}

/// The sending queues of a dummy, which count what goes by each of them.
#[derive(Debug, Clone, Default)]
pub struct DummyQueues(Arc<SendingQueues>);

#[derive(Debug, Default)]
struct SendingQueues {
    queues: Vec<Tally>,
    /// Packets go by the hash of their connection, not by the thread that sends them.
    by_hash: AtomicBool,
    seats: AtomicUsize,
}

impl DummyQueues {
    /// So many, at least one.
    pub fn new(n: u32) -> Self {
        let queues = (0..n.max(1)).map(|_| Tally::default()).collect();
        Self(Arc::new(SendingQueues { queues, ..SendingQueues::default() }))
    }

    /// Has packets go by their hash, or by thread; `true` if that is new.
    pub fn set_by_hash(&self, by_hash: bool) -> bool {
        self.0.by_hash.swap(by_hash, Relaxed) != by_hash
    }

    /// What each has sent: packets and octets.
    pub fn sent(&self) -> Vec<(u64, u64)> {
        self.0.queues.iter().map(Tally::get).collect()
    }

    /// For a thread that sends.
    pub fn seat(&self) -> DummySeat {
        DummySeat { queues: self.clone(), number: self.0.seats.fetch_add(1, Relaxed) }
    }
}

/// A thread's place among those that send by a dummy.
#[derive(Debug)]
pub struct DummySeat {
    queues: DummyQueues,
    number: usize,
}

impl DummySeat {
    fn another(&self) -> Self {
        self.queues.seat()
    }

    fn count(&self, octets: &[u8]) {
        let all = &self.queues.0;
        let chosen = match all.queues.len() {
            0 | 1 => 0,
            _ if all.by_hash.load(Relaxed) => flow::hash::five_tuple(&flow::extract(octets, 0).0, 0) as usize,
            _ => self.number,
        };
        if let Some(queue) = all.queues.get(chosen % all.queues.len().max(1)) {
            queue.add(octets.len());
        }
    }
}

/// Where a dummy port's packets wait between the command that brings them and the datapath that takes them.
#[derive(Clone, Default)]
pub struct DummyInbox {
    queue: Arc<Mutex<VecDeque<packet::PacketBuf>>>,
    record: Option<Arc<Mutex<Sink>>>,
    taken: Arc<Tally>,
}

/// Sees packets pass.
pub type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// Packets that wait at a dummy port at the most.
const DUMMY_QUEUE: usize = 100_000;

impl DummyInbox {
    /// The same, with what comes in shown to `sink`.
    pub fn recorded(mut self, sink: Option<Sink>) -> Self {
        self.record = sink.map(|sink| Arc::new(Mutex::new(sink)));
        self
    }

    /// Adds a packet; `false` when the queue is full.
    pub fn push(&self, packet: packet::PacketBuf) -> bool {
        if let Some(record) = &self.record {
            record.lock().unwrap_or_else(PoisonError::into_inner)(packet.data());
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let room = queue.len() < DUMMY_QUEUE;
        if room {
            queue.push_back(packet);
        }
        room
    }

    fn take(&self, max: usize) -> Vec<packet::PacketBuf> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let n = queue.len().min(max);
        queue.drain(..n).inspect(|packet| self.taken.add(packet.data().len())).collect()
    }

    /// What was taken out of it.
    pub fn taken(&self) -> (u64, u64) {
        self.taken.get()
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// A dummy port's queue.
#[derive(Default)]
pub struct DummyQueue {
    inbox: DummyInbox,
    lent: Vec<Vec<u8>>,
}

impl DummyQueue {
    /// A queue and where to put packets for it.
    pub fn new() -> (Self, DummyInbox) {
        let inbox = DummyInbox::default();
        (Self { inbox: inbox.clone(), lent: Vec::new() }, inbox)
    }
}

impl RxQueue for DummyQueue {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        let packets = self.inbox.take(max.min(BURST));
        let offloads: Vec<Offload> = packets.iter().map(|p| p.offload).collect();
        self.lent = packets
            .iter()
            .map(|p| {
                let mut octets = vec![0; packet::buffer::HEADROOM];
                octets.extend_from_slice(p.data());
                octets
            })
            .collect();
        for (octets, offload) in self.lent.iter_mut().zip(offloads) {
            let len = octets.len() - packet::buffer::HEADROOM;
            let _ = burst.try_push(Lent::new(octets, packet::buffer::HEADROOM, len, offload));
        }
    }

    fn release(&mut self) {
        self.lent.clear();
    }

    fn prepare_sleep(&mut self) -> bool {
        self.inbox.is_empty()
    }
}

/// The MTU of a dummy port, octets: set by the port, obeyed by the half that sends. It does not count the Ethernet
/// header.
#[derive(Clone, Debug)]
pub struct DummyMtu(Arc<AtomicU32>);

impl DummyMtu {
    /// What a new port has.
    pub const BOOT: u32 = 1500;

    /// The MTU now.
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// From now on, for the sending half as well.
    pub fn set(&self, mtu: u32) {
        self.0.store(mtu, Relaxed);
    }

    /// Whether a frame has a whole Ethernet header and not too much behind it; one VLAN tag is free.
    fn takes(&self, frame: &[u8]) -> bool {
        let Some(ethertype) = frame.get(12..packet::ethernet::HEADER_LEN) else { return false };
        let is_tagged = packet::vlan::is_tag(u16::from_be_bytes([ethertype[0], ethertype[1]]));
        let header = packet::ethernet::HEADER_LEN + if is_tagged { packet::vlan::HEADER_LEN } else { 0 };
        frame.len() - header.min(frame.len()) <= self.get() as usize
    }
}

impl Default for DummyMtu {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(Self::BOOT)))
    }
}

/// What leaves a dummy port: counted, and written to a capture file if one was asked for. What has no whole Ethernet
/// header, or is longer than the MTU allows, is lost.
pub struct DummySender {
    /// Gets every packet, from all threads that send by the port.
    pub sink: Option<Arc<Mutex<Sink>>>,
    /// How much a packet may carry.
    pub mtu: DummyMtu,
    /// Gets requests of ARP, which the port answers for an address of its own.
    pub arp: Option<tokio::sync::mpsc::Sender<Vec<u8>>>,
    /// By which queue.
    pub seat: DummySeat,
}

/// Whether a frame without tags is of ARP.
fn is_arp(octets: &[u8]) -> bool {
    octets.get(12..14) == Some(&[0x08, 0x06])
}

impl TxPort for DummySender {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        let mut report = TxReport::default();
        for packet in packets.iter().filter(|p| self.mtu.takes(p.octets)) {
            report.packets += 1;
            report.bytes += packet.octets.len() as u64;
            self.seat.count(packet.octets);
            if let Some(sink) = &self.sink {
                sink.lock().unwrap_or_else(PoisonError::into_inner)(packet.octets);
            }
            if let Some(arp) = self.arp.as_ref().filter(|_| is_arp(packet.octets)) {
                // What is asked faster than it is answered goes unanswered.
                let _ = arp.try_send(packet.octets.to_vec());
            }
        }
        report
    }

    fn share(&self) -> Option<Box<dyn TxPort>> {
        let (sink, mtu, arp) = (self.sink.clone(), self.mtu.clone(), self.arp.clone());
        Some(Box::new(Self { sink, mtu, arp, seat: self.seat.another() }))
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(port: u16) -> Vec<u8> {
        let text =
            format!("eth(),eth_type(0x0800),ipv4(src=1.2.3.4,dst=5.6.7.8,proto=17,frag=no),udp(src=1,dst={port})");
        let (key, _) = flow::odp_text::parse_key(&text, None).expect("a key");
        flow::compose(&key, flow::Payload::Octets(&[])).data().to_vec()
    }

    #[test]
    fn a_dummy_sends_by_thread_or_by_hash() {
        let queues = DummyQueues::new(3);
        let first = queues.seat();
        let second = first.another();
        let octets: u64 = (1..=60).map(|port| frame(port).len() as u64).sum();
        (1..=60).for_each(|port| second.count(&frame(port)));
        assert_eq!(queues.sent(), [(0, 0), (60, octets), (0, 0)]);
        assert!(queues.set_by_hash(true) && !queues.set_by_hash(true));
        (1..=60).for_each(|port| first.count(&frame(port)));
        let sent = queues.sent();
        assert!(sent[0].0 > 0 && sent[1].0 > 60 && sent[2].0 > 0, "{sent:?}");
        assert_eq!(sent.iter().map(|queue| queue.0).sum::<u64>(), 120);
    }
}
