//! The kernel's fast path: maps and programs, made once for all datapaths, and each thread's hand on them.
//!
//! An entry is a key in a hash map, which leads to a slot of an array that lies in our memory too. Generations make an
//! entry void at once, by one store; the array is where counters are read without a system call. What [`ebpf::program`]
//! does is the other side of this.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::napi::NapiThreads;
use dp::kernel::{KernelCounters, KernelPath, KernelSlot};
use ebpf::layout::{ENTRY_LEN, KEY_LEN, SLOT_LEN, VERDICT_LEN, slot, tag_word};
use ebpf::{Exit, FlowKey, Way, program};
use sys::bpf::{self, PortPrograms, Program, ProgramKind};
use sys::device;

/// Slots, the first of which is no flow's.
const SLOTS: u32 = 16_384;
/// Looks at a slot before a program that is about to count there is taken to have been put aside.
const LOOKS: u32 = 20_000;
/// Slots looked at for one that no program is about to count in.
const TRIES: usize = 16;

/// What all threads share.
#[derive(Debug)]
struct Shared {
    flows: bpf::HashMap<KEY_LEN, ENTRY_LEN>,
    slots: bpf::Array,
    free: Mutex<VecDeque<u32>>,
    programs: Arc<PortPrograms>,
    threads: NapiThreads,
    /// The programs know of it.
    _verdicts: bpf::PerCpu,
}

/// The kernel's fast path.
#[derive(Clone, Debug)]
pub struct KernelFlows {
    shared: Arc<Shared>,
    idle: Idle,
}

impl KernelFlows {
    /// Makes the maps, and has the kernel verify the programs.
    ///
    /// # Errors
    /// Why the kernel refuses.
    pub fn new() -> Result<Self, String> {
        let said = |error: sys::Error| error.to_string();
        let flows = bpf::HashMap::new(SLOTS).map_err(said)?;
        let slots = bpf::Array::new(SLOT_LEN, SLOTS).map_err(said)?;
        let verdicts = bpf::PerCpu::new(VERDICT_LEN).map_err(said)?;
        let maps = program::Maps { flows: flows.number(), slots: slots.number(), verdicts: verdicts.number() };
        let load = |kind, code: Result<Vec<u64>, ebpf::asm::Unbound>| {
            Program::load(kind, &code.map_err(|error| error.to_string())?).map_err(said)
        };
        let programs = PortPrograms {
            ring: load(ProgramKind::SocketFilter, program::ring(&maps))?,
            alarm: load(ProgramKind::SocketFilter, program::alarm(&maps))?,
            early: load(ProgramKind::SocketFilter, program::early(&maps))?,
            ingress: load(ProgramKind::Classifier, program::ingress(&maps))?,
            tap: load(ProgramKind::Classifier, program::tap(&maps))?,
        };
        let free = Mutex::new((1..SLOTS).collect());
        let (programs, threads) = (Arc::new(programs), NapiThreads::new());
        let shared = Shared { flows, slots, free, programs, threads, _verdicts: verdicts };
        Ok(Self { shared: Arc::new(shared), idle: Idle::default() })
    }

    /// What a port's sockets and its ingress filter run.
    pub fn programs(&self) -> &Arc<PortPrograms> {
        &self.shared.programs
    }
}

/// How long all processors together had nothing to do, or what this thread asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    /// When it was looked at, by a clock that goes on, and what it was then.
    last: Option<(Duration, Duration)>,
}

impl Idle {
    /// Between two looks that say anything.
    const SPAN: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(500);

    /// Whether one processor had nothing else to do for most of the time since the last look, by what proc_stat(5) says
    /// now, and the kernel's schedstat of this thread: how long it ran, in nanoseconds.
    fn look(&mut self, stat: &str, own: &str, now: Duration) -> Option<bool> {
        // Hundredths of a second in user mode, low priority, system, idle, and waiting for disks.
        let mut columns = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().skip(3);
        let mut hundredths = || columns.next()?.parse::<u64>().ok();
        let own = Duration::from_nanos(own.split_whitespace().next()?.parse().ok()?);
        let idle = Duration::from_millis(10 * (hundredths()? + hundredths()?)) + own;
        let (then, before) = self.last.replace((now, idle))?;
        let passed = now.saturating_sub(then);
        Self::SPAN.contains(&passed).then(|| idle.saturating_sub(before) * 10 >= passed * 6)
    }
}

impl Shared {
    fn long(&self, KernelSlot(i): KernelSlot, at: usize) -> u64 {
        self.slots.long(i, at).load(SeqCst)
    }

    /// Whether no program is about to count there.
    fn is_quiet(&self, slot: KernelSlot) -> bool {
        self.long(slot, slot::ENTERED) == self.long(slot, slot::PACKETS)
    }

    fn take_free(&self) -> Option<KernelSlot> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..TRIES {
            let i = free.pop_front()?;
            if self.is_quiet(KernelSlot(i)) {
                return Some(KernelSlot(i));
            }
            free.push_back(i);
        }
        None
    }

    fn give_back(&self, KernelSlot(i): KernelSlot) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(i);
    }

    /// Counts entries where programs look before they look any further.
    fn count_entries(&self, key: &FlowKey, by: u32) {
        if key.is_wide() {
            self.slots.word(0, slot::WIDE).fetch_add(by, SeqCst);
        }
        self.slots.word(0, 0).fetch_add(by, SeqCst);
    }
}

impl KernelPath for KernelFlows {
    fn max_len(&mut self, exit: Exit) -> Option<u32> {
        const HEADER: u32 = packet::ethernet::HEADER_LEN as u32;
        let name = device::name(exit.device()).ok()?;
        device::is_up(&name).ok()?.then_some(())?;
        Some(device::mtu(&name).ok()? + HEADER)
    }

    fn add(&mut self, key: &FlowKey, way: Way) -> Option<KernelSlot> {
        let shared = &self.shared;
        let at = shared.take_free()?;
        let KernelSlot(i) = at;
        shared.slots.word(i, slot::OUT).store(way.exit.device(), Relaxed);
        shared.slots.word(i, slot::TO_HOST).store(matches!(way.exit, Exit::Host(_)).into(), Relaxed);
        shared.slots.word(i, slot::MAX_LEN).store(way.max_len, Relaxed);
        shared.slots.word(i, slot::POP).store(way.retag.pops.into(), Relaxed);
        shared.slots.word(i, slot::PUSH).store(tag_word(way.retag.pushes), Relaxed);
        shared.slots.word(i, slot::TCP_FLAGS).store(0, Relaxed);
        shared.slots.long(i, slot::USED).store(bpf::clock_ns(), SeqCst);
        let mut entry = [0; ENTRY_LEN];
        entry[..4].copy_from_slice(&i.to_ne_bytes());
        entry[4..].copy_from_slice(&shared.slots.word(i, slot::GENERATION).load(SeqCst).to_ne_bytes());
        if shared.flows.insert(&key.0, &entry).is_err() {
            shared.give_back(at);
            return None;
        }
        shared.count_entries(key, 1);
        Some(at)
    }

    fn counters(&self, at: KernelSlot) -> KernelCounters {
        let shared = &self.shared;
        let age_ns = bpf::clock_ns().saturating_sub(shared.long(at, slot::USED));
        KernelCounters {
            packets: shared.long(at, slot::PACKETS),
            bytes: shared.long(at, slot::BYTES),
            age_ms: age_ns / 1_000_000,
            tcp_flags: shared.slots.word(at.0, slot::TCP_FLAGS).load(SeqCst) as u16,
        }
    }

    fn has_spare_processor(&mut self) -> Option<bool> {
        let all = std::fs::read_to_string("/proc/stat").ok()?;
        let own = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        self.idle.look(&all, &own, Duration::from_nanos(bpf::clock_ns()))
    }

    fn can_thread(&mut self, device: u32) -> bool {
        self.shared.threads.are_for(device)
    }

    fn set_threaded(&mut self, device: u32, is_threaded: bool) {
        self.shared.threads.want(device, is_threaded);
    }

    fn remove(&mut self, key: &FlowKey, at: KernelSlot) -> KernelCounters {
        let shared = &self.shared;
        shared.slots.word(at.0, slot::GENERATION).fetch_add(1, SeqCst);
        fence(SeqCst);
        let mut looks = 0;
        while !shared.is_quiet(at) && looks < LOOKS {
            std::hint::spin_loop();
            looks += 1;
        }
        let counters = self.counters(at);
        // It leads nowhere any more, whether it is still there or not.
        let _ = shared.flows.remove(&key.0);
        shared.count_entries(key, u32::MAX);
        shared.give_back(at);
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use sys::{RingConfig, RxRing, TxConfig, TxFrame, TxSocket};

    #[test]
    fn a_processor_is_spare_that_was_idle_for_most_of_the_time() {
        let mut idle = Idle::default();
        let mut look = |ms: u64, hundredths: u64, waiting: u64, own_ms: u64| {
            let stat = format!("cpu  1 2 3 {hundredths} {waiting} 9 9 9 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n");
            idle.look(&stat, &format!("{} 5 6\n", own_ms * 1_000_000), Duration::from_millis(ms))
        };
        assert_eq!(look(0, 1000, 10, 0), None, "nothing to compare with");
        assert_eq!(look(50, 1003, 10, 0), Some(true));
        assert_eq!(look(100, 1005, 10, 0), Some(false));
        assert_eq!(look(150, 1007, 10, 20), Some(true), "it ran itself");
        assert_eq!(look(250, 1007, 17, 20), Some(true), "waiting for a disk is no work");
        assert_eq!(look(255, 1012, 17, 20), None, "too soon");
        assert_eq!(look(2000, 2000, 17, 20), None, "too late");
        assert_eq!(look(2050, 1000, 17, 20), Some(false), "back in time");
        assert_eq!(Idle::default().look("nonsense", "1 2 3", Duration::ZERO), None);
    }

    /// What a ring loses while it grows it says: each frame that was sent came once, or is counted.
    #[test]
    fn a_ring_that_grows_under_load_counts_all_that_it_loses() {
        let room = std::thread::spawn(|| {
            sys::thread::enter_new_network_namespace().expect("this test needs root, to make a network namespace");
            sys::add_veth("va", "vb").expect("a pair of devices");
            for name in ["va", "vb"] {
                // The host's own chatter would be counted with the rest.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
                device::set_up(name, true).expect("set it up");
            }
            let [a, b] = ["va", "vb"].map(|name| device::index(name).expect("a device"));
            let kernel = KernelFlows::new().expect("the kernel takes programs");
            sys::host_stack::stop_with(b, &kernel.programs().ingress).expect("a filter");
            for _ in 0..8 {
                let small = RingConfig { ring_bytes: 256 << 10, max_ring_bytes: 16 << 20, ..RingConfig::default() };
                let mut ring = RxRing::open(b, &small).expect("a ring");
                ring.set_programs(kernel.programs()).expect("programs");
                grow_under_load(&mut ring, a);
            }
        });
        room.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    fn grow_under_load(ring: &mut RxRing, from: u32) {
        let (mut got, sent, is_over) = (0, AtomicU64::new(0), std::sync::atomic::AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tx = TxSocket::open(from, &TxConfig::default()).expect("a sender");
                let batch = [TxFrame { body: &[2; 200], ..TxFrame::default() }; 16];
                while !is_over.load(SeqCst) {
                    sent.fetch_add(u64::from(tx.send(&batch).sent), SeqCst);
                }
            });
            while ring.memory_bytes() < 16 << 20 {
                // Whoever keeps up needs no larger ring: now and then the reader is away.
                for _ in 0..1000 {
                    got += ring.receive(32, |_| ()) as u64;
                }
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
            is_over.store(true, SeqCst);
        });
        let sent = sent.into_inner();
        let mut stats = ring.stats();
        // The kernel hands frames over when it comes to it.
        for _ in 0..1000 {
            while let n @ 1.. = ring.receive(32, |_| ()) {
                got += n as u64;
            }
            stats = ring.stats();
            if got + stats.drops == sent {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!((stats.packets, got + stats.drops), (sent, sent), "of those sent are not counted: {stats:?}");
    }
}
