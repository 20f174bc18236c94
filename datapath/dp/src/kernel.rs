//! Flows that the kernel forwards by itself: a cache below all others, filled with keys of busy flows' packets.
//!
//! Rings, caches and upcalls stay the truth. A packet whose flow does nothing but send it by a device, its tag changed at
//! most, and asks for nothing that the kernel does not tell apart ([`ebpf::eligible`]), gets an entry once as many of
//! its key have come that it pays: of an exact one, or, where the flow asks for nothing of IP, one that stands for all that
//! two stations send each other. The entry is gone before the flow's change or removal is reported, or that of a port of
//! its; what the kernel counted is added to the flow's, the ports' and the thread's counters whenever those are asked
//! for.
//!
//! What is in the ring when an entry is made may be overtaken by what comes next; so entries are made when the ring was
//! found empty, or has not been for long: then by as much as the ring holds. Absent here: system calls ([`KernelPath`]).

mod floods;
mod sketch;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrayvec::ArrayVec;
use ebpf::{Exit, FlowKey, Retag, Way};
use flow::OdpPort;

use crate::flows::{FlowRef, FlowTable};
use crate::outputs::Outputs;
use crate::stats::{Carried, PortStats, Stats};
use floods::{Floods, Machine, To, Turn};
use sketch::Sketch;

/// Packets alike before they are worth an entry, and how many more come before that is thought over.
const WORTH: u8 = 16;
const AGAIN: u8 = 64;
/// Packets that wait for their entries at the most, and how many get theirs at a time.
const WAITING: usize = 1 << 14;
const AT_A_TIME: usize = 256;
/// How long they wait for the ring to be empty, ms.
const PATIENCE_MS: u64 = 20;
/// How long an entry may be of no use, ms.
const IDLE_MS: u64 = 5_000;
/// No entry.
const NONE: u32 = u32::MAX;

/// Where the kernel keeps an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSlot(pub u32);

/// What the kernel counted; from the slot's beginning on, for whatever entries it has held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelCounters {
    /// Packets forwarded.
    pub packets: u64,
    /// Their octets.
    pub bytes: u64,
    /// How long ago the last one came, ms; by this entry.
    pub age_ms: u64,
    /// TCP flags seen, by this entry.
    pub tcp_flags: u16,
}

/// Whoever forwards below the datapath.
pub trait KernelPath: Send {
    /// Octets of the longest frame that leaves there uncut; `None` if none does.
    fn max_len(&mut self, exit: Exit) -> Option<u32>;

    /// Has packets with this key sent on this way. `None`: there is no room, or another thread's entry.
    fn add(&mut self, key: &FlowKey, way: Way) -> Option<KernelSlot>;

    /// What was counted so far.
    fn counters(&self, slot: KernelSlot) -> KernelCounters;

    /// Whether one of the machine's processors had little to do since this was asked last, or nothing else than this
    /// thread; `None` if that was long ago, or is not known.
    fn has_spare_processor(&mut self) -> Option<bool>;

    /// Whether what comes by a device may be received by a thread of the kernel's, and not by who sends it.
    fn can_thread(&mut self, device: u32) -> bool;

    /// Has what comes by a device received so, soon; or no more.
    fn set_threaded(&mut self, device: u32, is_threaded: bool);

    /// Takes an entry out. When this returns no further packet will be forwarded by it, and all that were are counted.
    fn remove(&mut self, key: &FlowKey, slot: KernelSlot) -> KernelCounters;
}

/// Why a packet got no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WhyNot {
    /// Its flow does more, or less, than send it by one port, its tag changed.
    Actions,
    /// Its flow asks for what the kernel does not tell apart.
    Mask,
    /// One of its ports is none of the kernel's devices, or watched, policed, or with queues.
    Port,
    /// It is none of those that the kernel looks at.
    Packet,
    /// There was no room, or another thread's entry.
    Room,
}

impl WhyNot {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Actions, Self::Mask, Self::Port, Self::Packet, Self::Room];

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Actions => "actions",
            Self::Mask => "match",
            Self::Port => "ports",
            Self::Packet => "packet",
            Self::Room => "no room",
        }
    }
}

/// What became of a thread's flows in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelReport {
    /// Entries there are.
    pub entries: u64,
    /// Packets that the kernel forwarded.
    pub hits: u64,
    /// Ports whose floods of small frames the rings have.
    pub floods: u64,
    /// Ports whose floods of small frames the kernel receives by threads of its own.
    pub threaded: u64,
    /// Packets that were looked at and got no entry, by [`WhyNot`].
    pub refused: [u64; WhyNot::ALL.len()],
}

impl std::ops::AddAssign for KernelReport {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.hits += other.hits;
        self.floods += other.floods;
        self.threaded += other.threaded;
        self.refused.iter_mut().zip(other.refused).for_each(|(sum, n)| *sum += n);
    }
}

/// An entry that the kernel has.
struct Held {
    key: FlowKey,
    slot: KernelSlot,
    flow: FlowRef,
    from: OdpPort,
    /// The host sent it into a tap.
    is_from_host: bool,
    to: OdpPort,
    exit: Exit,
    /// As the device has it.
    max_len: u32,
    /// Octets that a packet gains on its way.
    growth: i64,
    /// What of its counters is already added to others'.
    seen: KernelCounters,
    /// The entries of the same flow before and behind it.
    prev: u32,
    next: u32,
}

/// The table of a thread's entries.
pub(crate) struct Kernel {
    path: Box<dyn KernelPath>,
    held: Vec<Option<Held>>,
    free: Vec<u32>,
    sketch: Sketch,
    /// By their keys: whose they are, and where they come in.
    waiting: HashMap<FlowKey, (FlowRef, OdpPort)>,
    waiting_since_ms: u64,
    /// Devices of ports that are received from here.
    sources: BTreeMap<OdpPort, u32>,
    floods: Floods,
    report: KernelReport,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        for held in self.held.drain(..).flatten() {
            self.path.remove(&held.key, held.slot);
        }
        while let Some((port, device)) = self.sources.pop_first() {
            self.end_flood(port, device);
        }
    }
}

/// Whose counters the kernel's are added to.
pub(crate) struct Books<'a> {
    pub(crate) flows: &'a mut FlowTable,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) stats: &'a mut Stats,
    /// What the kernel forwards would have been found by the exact-match cache.
    pub(crate) has_emc: bool,
    /// But of these ports, which it leaves out.
    pub(crate) emc_off: &'a BTreeSet<OdpPort>,
    pub(crate) now_ms: u64,
}

/// What floods may ask.
struct Host<'a> {
    path: &'a mut dyn KernelPath,
    sources: &'a BTreeMap<OdpPort, u32>,
}

impl Machine for Host<'_> {
    fn has_spare(&mut self) -> Option<bool> {
        self.path.has_spare_processor()
    }

    fn can_thread(&mut self, port: OdpPort) -> bool {
        self.sources.get(&port).is_some_and(|device| self.path.can_thread(*device))
    }
}

impl Kernel {
    pub(crate) fn new(path: Box<dyn KernelPath>, sources: BTreeMap<OdpPort, u32>) -> Self {
        Self {
            path,
            held: Vec::new(),
            free: Vec::new(),
            sketch: Sketch::new(),
            waiting: HashMap::new(),
            waiting_since_ms: 0,
            sources,
            floods: Floods::default(),
            report: KernelReport::default(),
        }
    }

    pub(crate) fn report(&self) -> KernelReport {
        let count = |to| self.floods.count(to) as u64;
        KernelReport { floods: count(To::Ring), threaded: count(To::Thread), ..self.report }
    }

    /// A port's packets come by this device from now on, or cannot be told apart by the kernel.
    pub(crate) fn set_source(&mut self, port: OdpPort, device: Option<u32>) {
        let before = match device {
            Some(device) => self.sources.insert(port, device),
            None => self.sources.remove(&port),
        };
        if let Some(before) = before.filter(|before| Some(*before) != device) {
            self.end_flood(port, before);
        }
    }

    fn end_flood(&mut self, port: OdpPort, device: u32) {
        if self.floods.forget(port) == Some(To::Thread) {
            self.path.set_threaded(device, false);
        }
    }

    /// Notes a packet; whether it is worth an entry now.
    #[inline]
    pub(crate) fn is_due(&mut self, hash: u64) -> bool {
        let count = self.sketch.note(hash);
        count % AGAIN == WORTH
    }

    /// Takes a packet as it was received for an entry, if its flow may have one.
    #[cold]
    pub(crate) fn consider(&mut self, flow: FlowRef, from: OdpPort, octets: &[u8], flows: &mut FlowTable, now_ms: u64) {
        let Some(found) = flows.get_mut(flow) else { return };
        let made = match (found.breadth(), self.sources.get(&from)) {
            (_, None) => Err(WhyNot::Port),
            (None, _) => Err(WhyNot::Mask),
            (Some(breadth), Some(device)) => match FlowKey::of_frame(*device, octets, breadth) {
                Some(key) => Retag::of(&found.actions, key.tag()).map(|_| key).ok_or(WhyNot::Actions),
                None => Err(WhyNot::Packet),
            },
        };
        match made {
            // One too many comes again.
            Ok(_) if self.waiting.len() >= WAITING => (),
            Ok(key) => {
                if self.waiting.is_empty() {
                    self.waiting_since_ms = now_ms;
                }
                self.waiting.insert(key, (flow, from));
            }
            Err(why) => self.refuse(why),
        }
    }

    fn refuse(&mut self, why: WhyNot) {
        self.report.refused[why as usize] += 1;
    }

    /// So much was read from a port's ring. Whether any of it may get entries.
    #[inline]
    pub(crate) fn ring_read(&mut self, port: OdpPort, packets: u64, octets: u64) -> bool {
        self.floods.ring_read(port, packets, octets);
        !self.floods.keeps(port)
    }

    /// Whether entries are to be made now.
    #[inline]
    pub(crate) fn has_work(&self, is_drained: bool, now_ms: u64) -> bool {
        !self.waiting.is_empty() && (is_drained || now_ms >= self.waiting_since_ms + PATIENCE_MS)
    }

    /// Makes entries that wait. `is_policed`: what a port may bring in is limited.
    pub(crate) fn work(
        &mut self,
        flows: &mut FlowTable,
        outputs: &Outputs,
        is_policed: impl Fn(OdpPort) -> bool,
        now_ms: u64,
    ) {
        let due: ArrayVec<_, AT_A_TIME> = self.waiting.extract_if(|_, _| true).take(AT_A_TIME).collect();
        for (key, (flow, from)) in due {
            // It may have changed since.
            let Some(found) = flows.get_mut(flow) else { continue };
            let Some((to, retag)) = Retag::of(&found.actions, key.tag()) else { continue };
            let exit = outputs.exit(to).filter(|_| !outputs.is_watched(from) && !is_policed(from));
            let Some((exit, max_len)) = exit.and_then(|exit| Some((exit, self.path.max_len(exit)?))) else {
                self.refuse(WhyNot::Port);
                continue;
            };
            let way = Way { exit, max_len: retag.longest(key.tag(), max_len), retag };
            let Some(slot) = self.path.add(&key, way) else {
                self.refuse(WhyNot::Room);
                continue;
            };
            let seen = self.path.counters(slot);
            let index = self.free.pop().unwrap_or_else(|| {
                self.held.push(None);
                self.held.len() as u32 - 1
            });
            let next = std::mem::replace(found.kernel(), index);
            if let Some(Some(next)) = self.held.get_mut(next as usize) {
                next.prev = index;
            }
            let is_from_host = matches!(outputs.exit(from), Some(Exit::Host(_)));
            self.held[index as usize] = Some(Held {
                key,
                slot,
                flow,
                from,
                is_from_host,
                to,
                exit,
                max_len,
                growth: retag.growth(),
                seen,
                prev: NONE,
                next,
            });
            self.report.entries += 1;
            self.floods.entry_made(now_ms);
        }
    }

    /// Adds up all that the kernel counted.
    pub(crate) fn fold(&mut self, books: &mut Books<'_>) {
        for held in self.held.iter_mut().flatten() {
            let counters = self.path.counters(held.slot);
            let (packets, octets) = credit(held, counters, books);
            self.report.hits += packets;
            if packets > 0 && !held.is_from_host {
                self.floods.forwarded(held.from, packets, octets);
            }
        }
    }

    /// When [`Kernel::look`] is due, ms.
    pub(crate) fn look_ms(&self) -> Option<u64> {
        self.floods.look_ms()
    }

    /// Looks for floods, and moves them where more passes.
    pub(crate) fn look(&mut self, books: &mut Books<'_>) {
        self.fold(books);
        let has_entries = self.report.entries > 0;
        let mut machine = Host { path: self.path.as_mut(), sources: &self.sources };
        for turn in self.floods.look(books.now_ms, has_entries, &mut machine) {
            match turn {
                Turn::Begins(port, To::Ring) => {
                    self.waiting.retain(|_, (_, from)| *from != port);
                    self.retain(|_, held| held.from != port, books);
                }
                Turn::Begins(port, To::Thread) | Turn::Ends(port, To::Thread) => {
                    if let Some(device) = self.sources.get(&port) {
                        self.path.set_threaded(*device, matches!(turn, Turn::Begins(..)));
                    }
                }
                Turn::Ends(_, To::Ring) => (),
            }
        }
    }

    /// Takes out a flow's entries.
    pub(crate) fn recall_flow(&mut self, flow: FlowRef, books: &mut Books<'_>) {
        let Some(found) = books.flows.get_mut(flow) else { return };
        let mut at = std::mem::replace(found.kernel(), NONE);
        while let Some(held) = self.held.get_mut(at as usize).and_then(Option::take) {
            self.free.push(at);
            at = held.next;
            self.end(held, books);
        }
    }

    fn end(&mut self, mut held: Held, books: &mut Books<'_>) {
        let counters = self.path.remove(&held.key, held.slot);
        self.report.hits += credit(&mut held, counters, books).0;
        self.report.entries -= 1;
    }

    /// Takes out the entries that `is_wanted` does not want.
    fn retain(&mut self, mut is_wanted: impl FnMut(&mut dyn KernelPath, &Held) -> bool, books: &mut Books<'_>) {
        for at in 0..self.held.len() {
            let Some(held) = &self.held[at] else { continue };
            if is_wanted(self.path.as_mut(), held) {
                continue;
            }
            let Some(held) = self.held[at].take() else { continue };
            self.unlink(&held, books.flows);
            self.free.push(at as u32);
            self.end(held, books);
        }
    }

    /// Takes an entry out of its flow's list.
    fn unlink(&mut self, held: &Held, flows: &mut FlowTable) {
        if let Some(Some(next)) = self.held.get_mut(held.next as usize) {
            next.prev = held.prev;
        }
        match self.held.get_mut(held.prev as usize) {
            Some(Some(prev)) => prev.next = held.next,
            _ => flows.get_mut(held.flow).into_iter().for_each(|flow| *flow.kernel() = held.next),
        }
    }

    /// Takes out the entries of a port.
    pub(crate) fn recall_port(&mut self, port: OdpPort, books: &mut Books<'_>) {
        self.waiting.retain(|_, (_, from)| *from != port);
        self.retain(|_, held| held.from != port && held.to != port, books);
    }

    /// Takes out all entries.
    pub(crate) fn recall_all(&mut self, books: &mut Books<'_>) {
        self.waiting.clear();
        self.retain(|_, _| false, books);
    }

    /// Takes out entries that are of no use any more, and those whose device has changed. To be called once a second.
    pub(crate) fn tidy(&mut self, books: &mut Books<'_>) {
        self.fold(books);
        let mut ways = BTreeMap::new();
        for held in self.held.iter().flatten() {
            let way = || books.outputs.exit(held.to).and_then(|exit| Some((exit, self.path.max_len(exit)?)));
            ways.entry(held.to).or_insert_with(way);
        }
        let is_same = |held: &Held| ways.get(&held.to) == Some(&Some((held.exit, held.max_len)));
        self.retain(|path, held| is_same(held) && path.counters(held.slot).age_ms < IDLE_MS, books);
    }
}

/// Adds what an entry counted since it was last looked at; says how many packets that is, and octets.
fn credit(held: &mut Held, counters: KernelCounters, books: &mut Books<'_>) -> (u64, u64) {
    let seen = std::mem::replace(&mut held.seen, counters);
    let (packets, bytes) = (counters.packets.wrapping_sub(seen.packets), counters.bytes.wrapping_sub(seen.bytes));
    if packets == 0 {
        return (0, 0);
    }
    if let Some(flow) = books.flows.get_mut(held.flow) {
        let stats = &mut flow.stats;
        (stats.packets, stats.bytes) = (stats.packets + packets, stats.bytes + bytes);
        stats.used_ms = stats.used_ms.max(books.now_ms.saturating_sub(counters.age_ms) as i64);
        stats.tcp_flags |= counters.tcp_flags;
    }
    let tx_bytes = bytes.wrapping_add_signed(held.growth.wrapping_mul(packets as i64));
    let unseen = |is_so: bool, bytes| if is_so { Carried { packets, bytes } } else { Carried::default() };
    let rx_unseen = unseen(held.is_from_host, bytes);
    let tx_unseen = unseen(matches!(held.exit, Exit::Host(_)), tx_bytes);
    let received = PortStats { rx_packets: packets, rx_bytes: bytes, rx_unseen, ..PortStats::default() };
    let sent = PortStats { tx_packets: packets, tx_bytes, tx_unseen, ..PortStats::default() };
    books.outputs.credit(held.from, received);
    books.outputs.credit(held.to, sent);
    books.stats.received += packets;
    books.stats.octets += bytes;
    let of_simple = books.flows.are_simple(held.from);
    if of_simple && books.flows.get_mut(held.flow).is_some_and(|flow| flow.is_simple()) {
        books.stats.simple_hits += packets;
    } else if books.has_emc && !books.emc_off.contains(&held.from) {
        books.stats.emc_hits += packets;
    } else {
        books.stats.megaflow_hits += packets;
        books.stats.subtable_lookups += packets;
    }
    (packets, bytes)
}

/// The head of an empty list of entries.
pub(crate) const NO_ENTRY: u32 = NONE;
