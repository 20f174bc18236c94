//! Queueing disciplines at a device's root and their classes, set by route netlink (tc(8), tc-htb(8), tc-hfsc(7),
//! tc-sfq(8), tc-codel(8), tc-fq_codel(8), tc-netem(8)). Reading their counters is left to a netlink crate.

use crate::error::Result;
use crate::netlink::Message;

const TC_H_ROOT: u32 = 0xffff_ffff;
/// Handle of the disciplines made here: `1:`.
const HANDLE: u32 = 1 << 16;
/// Minor number of the class above all others: `1:fffe`.
const ROOT_CLASS: u32 = 0xfffe;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// The scheduler's ticks are 64 ns each.
const TICK_NS: u64 = 64;
/// Octets a turn of an HTB class are its rate by this, unless it says otherwise.
const RATE_TO_QUANTUM: u32 = 10;
/// Octets that the shortest frame counts as.
const LEAST_FRAME: u16 = 60;

/// A queueing discipline with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// Classes with rates; what is not classified goes to queue 0.
    Htb,
    /// Classes with service curves; what is not classified goes to queue 0.
    Hfsc,
    /// Flows by hash, served in turn.
    Sfq {
        /// Octets a turn.
        quantum: u32,
        /// Seconds after which the hash changes; 0: never.
        perturb: u32,
    },
    /// Drops by the time that packets stayed.
    Codel {
        /// Acceptable stay, in microseconds.
        target: u32,
        /// Packets that the queue holds.
        limit: u32,
        /// Window over which a stay is judged, in microseconds.
        interval: u32,
    },
    /// [`Discipline::Codel`] for flows by hash, served in turn.
    FqCodel {
        /// Acceptable stay, in microseconds.
        target: u32,
        /// Packets that all queues hold.
        limit: u32,
        /// Window over which a stay is judged, in microseconds.
        interval: u32,
        /// Queues.
        flows: u32,
        /// Octets a turn.
        quantum: u32,
    },
    /// Delays and loses.
    Netem {
        /// Delay, in microseconds.
        latency: u32,
        /// Packets that the queue holds.
        limit: u32,
        /// Loss, in percent.
        loss: u32,
        /// Variation of the delay, in microseconds.
        jitter: u32,
    },
}

/// Rates of a class; octets a second, octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassRates {
    /// Guaranteed, octets a second.
    pub min: u64,
    /// At the most, octets a second.
    pub max: u64,
    /// Octets that may go at once.
    pub burst: u32,
    /// Lower goes first; HTB only.
    pub priority: u32,
    /// The device's MTU, octets: no turn of a class of HTB is shorter.
    pub mtu: u32,
}

impl Discipline {
    fn kind(&self) -> &'static [u8] {
        match self {
            Self::Htb => b"htb\0",
            Self::Hfsc => b"hfsc\0",
            Self::Sfq { .. } => b"sfq\0",
            Self::Codel { .. } => b"codel\0",
            Self::FqCodel { .. } => b"fq_codel\0",
            Self::Netem { .. } => b"netem\0",
        }
    }

    fn options(&self, message: &mut Message) {
        let words = |list: &[u32]| list.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
        match *self {
            Self::Htb => {
                const TCA_HTB_INIT: u16 = 2;
                // version, rate to quantum, default class, debug, direct packets
                let init = words(&[3, RATE_TO_QUANTUM, 1, 0, 0]);
                message.nest(TCA_OPTIONS, |m| {
                    m.attr(TCA_HTB_INIT, &init);
                });
            }
            Self::Hfsc => {
                message.attr(TCA_OPTIONS, &1u16.to_ne_bytes());
            }
            Self::Sfq { quantum, perturb } => {
                // quantum, perturbation, limit, divisor, flows
                message.attr(TCA_OPTIONS, &words(&[quantum, perturb, 0, 0, 0]));
            }
            Self::Codel { target, limit, interval } => {
                message.nest(TCA_OPTIONS, |m| {
                    m.attr(1, &target.to_ne_bytes()).attr(2, &limit.to_ne_bytes()).attr(3, &interval.to_ne_bytes());
                });
            }
            Self::FqCodel { target, limit, interval, flows, quantum } => {
                message.nest(TCA_OPTIONS, |m| {
                    m.attr(1, &target.to_ne_bytes()).attr(2, &limit.to_ne_bytes()).attr(3, &interval.to_ne_bytes());
                    m.attr(5, &flows.to_ne_bytes()).attr(6, &quantum.to_ne_bytes());
                });
            }
            Self::Netem { latency, limit, loss, jitter } => {
                // latency, limit, loss, gap, duplicate, jitter
                let list = [netem_time(latency), limit, netem_probability(loss), 0, 0, netem_time(jitter)];
                message.attr(TCA_OPTIONS, &words(&list));
            }
        }
    }
}

/// A time of netem's, given in microseconds, in the kernel's ticks; of what is longer than 2^32 of them the rest, as Open
/// vSwitch has it.
pub fn netem_time(us: u32) -> u32 {
    (u64::from(us) * 1000 / TICK_NS) as u32
}

/// A probability of netem's, given in percent, out of 2^32 - 1.
pub fn netem_probability(percent: u32) -> u32 {
    (u64::from(u32::MAX) * u64::from(percent.min(100)) / 100) as u32
}

/// The fixed part: family and padding, device, handle, parent, information.
fn tcmsg(ifindex: u32, handle: u32, parent: u32) -> [u8; 20] {
    let mut octets = [0; 20];
    for (at, word) in [(4, ifindex), (8, handle), (12, parent)] {
        octets[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    octets
}

fn qdisc(ifindex: u32, discipline: &Discipline) -> Message {
    let mut message = Message::new(libc::RTM_NEWQDISC, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    message.put(&tcmsg(ifindex, HANDLE, TC_H_ROOT)).attr(TCA_KIND, discipline.kind());
    discipline.options(&mut message);
    message
}

/// Removes the discipline at the device's root; the kernel's own takes its place.
pub fn remove(ifindex: u32) -> Result<()> {
    let gone =
        Message::new(libc::RTM_DELQDISC, 0).put(&tcmsg(ifindex, 0, TC_H_ROOT)).send("remove a queueing discipline");
    match gone {
        Err(e) if matches!(e.errno(), libc::ENOENT | libc::EINVAL | libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// Puts a discipline at the device's root, in place of what is there. `ENOENT`: this kernel lacks it.
pub fn install(ifindex: u32, discipline: &Discipline) -> Result<()> {
    remove(ifindex)?;
    qdisc(ifindex, discipline).send("install a queueing discipline")
}

/// Where a class is: `1:fffe` above all, `1:N+1` for queue N below it.
fn place(queue: Option<u32>) -> (u32, u32) {
    match queue {
        None => (HANDLE | ROOT_CLASS, HANDLE),
        Some(queue) => (priority_of(queue), HANDLE | ROOT_CLASS),
    }
}

/// The `skb->priority` by which frames get to a queue's class.
pub fn priority_of(queue: u32) -> u32 {
    HANDLE | (queue.wrapping_add(1) & 0xffff)
}

/// A rate as the kernel wants it: cell, line layer (Ethernet), overheads, least frame, octets a second.
fn rate_spec(rate: u64) -> [u8; 12] {
    let mut octets = [0; 12];
    octets[1] = 1;
    octets[6..8].copy_from_slice(&LEAST_FRAME.to_ne_bytes());
    octets[8..].copy_from_slice(&u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    octets
}

/// How long octets take at a rate, in ticks modulo 2^32, as Open vSwitch has it.
fn ticks(octets: u32, rate: u64) -> u32 {
    (u64::from(octets) * (1_000_000_000 / TICK_NS) / rate.max(1)) as u32
}

fn htb_class(ifindex: u32, queue: Option<u32>, rates: &ClassRates) -> Message {
    const TCA_HTB_PARMS: u16 = 1;
    const TCA_HTB_RATE64: u16 = 6;
    const TCA_HTB_CEIL64: u16 = 7;
    let (handle, parent) = place(queue);
    let mut parms = Vec::with_capacity(44);
    parms.extend(rate_spec(rates.min));
    parms.extend(rate_spec(rates.max));
    // The kernel's own quantum, unless not even a frame could go at once.
    let quantum = if rates.min / u64::from(RATE_TO_QUANTUM) < u64::from(rates.mtu) { rates.mtu } else { 0 };
    // bucket, bucket of the ceiling, quantum, level, priority
    for word in [ticks(rates.burst, rates.min), ticks(rates.burst, rates.max), quantum, 0, rates.priority] {
        parms.extend(word.to_ne_bytes());
    }
    let mut message = Message::new(libc::RTM_NEWTCLASS, libc::NLM_F_CREATE);
    message.put(&tcmsg(ifindex, handle, parent)).attr(TCA_KIND, b"htb\0").nest(TCA_OPTIONS, |m| {
        if rates.min > u64::from(u32::MAX) {
            m.attr(TCA_HTB_RATE64, &rates.min.to_ne_bytes());
        }
        if rates.max > u64::from(u32::MAX) {
            m.attr(TCA_HTB_CEIL64, &rates.max.to_ne_bytes());
        }
        m.attr(TCA_HTB_PARMS, &parms);
    });
    message
}

fn hfsc_class(ifindex: u32, queue: Option<u32>, rates: &ClassRates) -> Message {
    const TCA_HFSC_RSC: u16 = 1;
    const TCA_HFSC_FSC: u16 = 2;
    const TCA_HFSC_USC: u16 = 3;
    let (handle, parent) = place(queue);
    // Both slopes alike: a straight line.
    let curve = |rate: u64| {
        let rate = u32::try_from(rate).unwrap_or(u32::MAX);
        [rate, 0, rate].iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>()
    };
    let mut message = Message::new(libc::RTM_NEWTCLASS, libc::NLM_F_CREATE);
    message.put(&tcmsg(ifindex, handle, parent)).attr(TCA_KIND, b"hfsc\0").nest(TCA_OPTIONS, |m| {
        m.attr(TCA_HFSC_RSC, &curve(rates.min))
            .attr(TCA_HFSC_FSC, &curve(rates.min))
            .attr(TCA_HFSC_USC, &curve(rates.max));
    });
    message
}

/// Makes or changes a class of [`Discipline::Htb`] or [`Discipline::Hfsc`]; `None` is the one above all queues.
pub fn set_class(ifindex: u32, discipline: &Discipline, queue: Option<u32>, rates: &ClassRates) -> Result<()> {
    let mut message = match discipline {
        Discipline::Hfsc => hfsc_class(ifindex, queue, rates),
        _ => htb_class(ifindex, queue, rates),
    };
    message.send("set a queue's class")
}

/// Removes a queue's class; what waits there is lost.
pub fn remove_class(ifindex: u32, queue: u32) -> Result<()> {
    let (handle, parent) = place(Some(queue));
    Message::new(libc::RTM_DELTCLASS, 0).put(&tcmsg(ifindex, handle, parent)).send("remove a queue's class")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &Message) -> Vec<u8> {
        message.octets().to_vec()
    }

    #[test]
    fn an_htb_discipline_sends_strangers_to_queue_0() {
        let octets = text(&qdisc(7, &Discipline::Htb));
        assert_eq!(octets[4..6], libc::RTM_NEWQDISC.to_ne_bytes());
        assert_eq!(octets[20..24], 7u32.to_ne_bytes());
        assert_eq!(octets[24..28], 0x1_0000u32.to_ne_bytes());
        let init: Vec<u8> = [3u32, 10, 1, 0, 0].iter().flat_map(|w| w.to_ne_bytes()).collect();
        assert!(octets.ends_with(&init));
    }

    #[test]
    fn classes_are_named_by_their_queue() {
        assert_eq!(priority_of(0), 0x1_0001);
        assert_eq!(priority_of(5), 0x1_0006);
        let rates = ClassRates { min: 125_000, max: 2_500_000, burst: 1564, priority: 3, mtu: 1500 };
        let octets = text(&htb_class(7, Some(5), &rates));
        assert_eq!(octets[24..28], 0x1_0006u32.to_ne_bytes());
        assert_eq!(octets[28..32], 0x1_fffeu32.to_ne_bytes());
        assert!(octets.ends_with(&[0u32, 0, 3].map(u32::to_ne_bytes).concat()), "the kernel's own quantum");
        let slow = ClassRates { min: 1500, ..rates };
        let octets = text(&htb_class(7, Some(5), &slow));
        assert!(octets.ends_with(&[1500u32, 0, 3].map(u32::to_ne_bytes).concat()), "a frame at least");
        assert_eq!(ticks(1564, 125_000), 195_500);
    }

    #[test]
    fn an_hfsc_class_has_three_curves() {
        let rates = ClassRates { min: 1, max: 1000, ..ClassRates::default() };
        let octets = text(&hfsc_class(7, None, &rates));
        let curve: Vec<u8> = [1000u32, 0, 1000].iter().flat_map(|w| w.to_ne_bytes()).collect();
        assert!(octets.ends_with(&curve));
        assert_eq!(octets[24..28], 0x1_fffeu32.to_ne_bytes());
    }

    #[test]
    fn netem_counts_in_ticks_and_parts_of_2_to_the_32() {
        assert_eq!((netem_time(1000), netem_probability(1), netem_probability(200)), (15_625, 42_949_672, u32::MAX));
    }

    #[test]
    fn other_disciplines_say_what_they_are() {
        for (discipline, len) in [
            (Discipline::Sfq { quantum: 1500, perturb: 10 }, 36 + 8 + 24),
            (Discipline::Codel { target: 5000, limit: 10240, interval: 100_000 }, 36 + 12 + 4 + 24),
            (
                Discipline::FqCodel { target: 5000, limit: 10240, interval: 100_000, flows: 1024, quantum: 1514 },
                36 + 16 + 4 + 40,
            ),
            (Discipline::Netem { latency: 100, limit: 1000, loss: 0, jitter: 0 }, 36 + 12 + 28),
        ] {
            assert_eq!(text(&qdisc(1, &discipline)).len(), len, "{discipline:?}");
        }
    }
}
