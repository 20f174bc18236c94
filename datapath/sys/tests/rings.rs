//! Rings over real veths: what goes in comes out, whole, once, in order, and awake.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use common::*;
use sys::bpf::{PortPrograms, Program, ProgramKind};
use sys::{EarlySocket, Epoll, RingConfig, RingKind, RingStock, RxRing, TxFrame, VnetHdr, device, vnet_flag};

/// Small frames and GSO giants in bursts, while the reader sleeps whenever it can.
#[test]
fn content_survives_at_every_size() {
    for (kind, way) in kinds_and_ways() {
        in_namespace(move || {
            const FRAMES: u32 = 20_000;
            let (a, b) = veth("va", "vb");
            let config = fixed(16 << 20, kind);
            let mut ring = RxRing::open(b, &config).unwrap();
            let mut tx = tx_by(way, a);
            let make = |serial: u32, numbers: &mut Numbers| match numbers.below(10) {
                0 => large(serial, 2000 + numbers.below(63_000)),
                _ => (plain(serial, 60 + numbers.below(1454)), VnetHdr::default()),
            };
            let seen = Arc::new(AtomicU32::new(0));
            let done = Arc::clone(&seen);
            let sender = thread::spawn(move || {
                let mut numbers = Numbers(1);
                let mut pace = Numbers(2);
                for serial in 0..FRAMES {
                    let (frame, vnet) = make(serial, &mut numbers);
                    assert!(send_with(&mut tx, &frame, vnet), "frame {serial} was not sent");
                    // A bounded number on the way, of ever new size: no drop may happen.
                    let ahead = 1 + pace.below(40) as u32;
                    while serial - done.load(Ordering::Relaxed).min(serial) > ahead {
                        // Who yields again and again is put off for seconds where others never sleep.
                        thread::sleep(std::time::Duration::from_micros(10));
                    }
                }
            });
            let epoll = watch(&ring);
            let mut numbers = Numbers(1);
            let mut serial = 0;
            while serial < FRAMES {
                let n = ring.receive(32, |f| {
                    let (frame, mut vnet) = make(serial, &mut numbers);
                    if vnet.gso_type == 0 {
                        vnet.flags = f.vnet.flags;
                    }
                    assert!(f.data() == frame, "{kind:?}: frame {serial} is altered or out of order");
                    assert_eq!(VnetHdr { hdr_len: 0, ..f.vnet }, VnetHdr { hdr_len: 0, ..vnet }, "{serial}");
                    assert!(f.start >= 24 + 32, "headroom of {} bytes", f.start);
                    assert_ne!(f.timestamp_ns, 0);
                    serial += 1;
                });
                seen.store(serial, Ordering::Relaxed);
                assert!(n > 0 || wait(&mut ring, &epoll, PATIENCE_MS), "{kind:?}: {serial} came, then none");
            }
            sender.join().unwrap();
            let stats = ring.stats();
            assert_eq!((stats.packets, stats.drops, stats.truncated), (u64::from(FRAMES), 0, 0));
        });
    }
}

/// Writing over all of a frame, headroom included, harms neither its neighbours nor the ring.
#[test]
fn frames_may_be_overwritten() {
    for kind in KINDS {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &fixed(512 << 10, kind)).unwrap();
            let mut tx = tx(a);
            let epoll = watch(&ring);
            let (mut sent, mut got) = (0, 0);
            while got < 30_000 {
                for _ in 0..20 {
                    assert!(send(&mut tx, &plain(sent, 60 + sent as usize % 200)));
                    sent += 1;
                }
                while got < sent {
                    let mut frames = Vec::new();
                    ring.receive(32, |f| frames.push(f));
                    let none = frames.is_empty();
                    for f in &frames {
                        assert!(f.data() == plain(got, 60 + got as usize % 200), "{kind:?}: frame {got}");
                        got += 1;
                    }
                    for f in frames {
                        f.buf.fill(0xff);
                    }
                    assert!(!none || wait(&mut ring, &epoll, PATIENCE_MS), "{kind:?}: {got} came, then none");
                }
            }
        });
    }
}

#[test]
fn stripped_tags_are_put_back() {
    for (kind, way) in kinds_and_ways() {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(kind)).unwrap();
            let mut tx = tx_by(way, a);
            for (serial, tpid) in [(1, 0x8100u16), (2, 0x88a8)] {
                let (untagged, mut vnet) = large(serial, 5000);
                let mut tagged = untagged[..12].to_vec();
                tagged.extend_from_slice(&tpid.to_be_bytes());
                tagged.extend_from_slice(&[0x60 | 5, 0x17]);
                tagged.extend_from_slice(&untagged[12..]);
                vnet.csum_start += 4;
                vnet.hdr_len += 4;
                assert!(send_with(&mut tx, &tagged, vnet));
                let frames = gather(&mut ring, 1);
                assert!(frames[0].0 == tagged, "{kind:?}: the tag {tpid:#x} is not where it was");
                assert_eq!(frames[0].1, vnet);
            }
        });
    }
}

/// Programs that leave everything as it is without them.
fn programs() -> PortPrograms {
    // All of the frame, or whatever comes next; and the end.
    let load = |kind| Program::load(kind, &[0xffff_ffff_0000_00b7, 0x95]).expect("a program");
    PortPrograms {
        ring: load(ProgramKind::SocketFilter),
        alarm: load(ProgramKind::SocketFilter),
        early: load(ProgramKind::SocketFilter),
        ingress: load(ProgramKind::Classifier),
        tap: load(ProgramKind::Classifier),
    }
}

/// What comes before there is a ring is as a ring would have it: whole, with its tag, its work undone; and it wakes.
#[test]
fn a_port_without_a_ring_hears_as_with_one() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let programs = Arc::new(programs());
        let mut early = EarlySocket::open(b, &config(RingKind::V3), &programs).unwrap();
        assert!(early.is_empty());
        assert_eq!((early.receive(32, |_| ()), early.ifindex()), (0, b));
        let epoll = Epoll::new().unwrap();
        epoll.add(early.poll_fd(), 0).unwrap();
        let mut tx = tx(a);
        let (untagged, mut vnet) = large(7, 60_000);
        let tagged = [&untagged[..12], &[0x81, 0, 0x60, 0x17], &untagged[12..]].concat();
        vnet.csum_start += 4;
        vnet.hdr_len += 4;
        let sent = [(plain(1, 60), VnetHdr::default()), (tagged, vnet), (plain(2, 1500), VnetHdr::default())];
        for (frame, vnet) in &sent {
            assert!(send_with(&mut tx, frame, *vnet));
        }
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let seen = |f: sys::Frame<'_>| {
                assert!(f.start >= 104, "headroom of {} bytes", f.start);
                got.push((f.data().to_vec(), VnetHdr { flags: f.vnet.flags & vnet_flag::NEEDS_CSUM, ..f.vnet }));
            };
            if early.receive(2, seen) == 0 {
                assert!(epoll.wait(PATIENCE_MS, |_| ()).unwrap() > 0, "asleep after {} frames", got.len());
            }
        }
        assert!(got == sent, "altered or out of order");
        assert_eq!(early.stats().packets, 3);
        // A ring that follows hears what comes from then on.
        let mut ring = RingStock::new(&config(RingKind::V3)).succeed(b, &config(RingKind::V3), &programs).unwrap();
        sys::await_frames_under_way().unwrap();
        assert!(ring.has_programs());
        assert!(send(&mut tx, &plain(3, 100)));
        assert!(gather(&mut ring, 1)[0].0 == plain(3, 100));
    });
}

/// A receiver that sleeps before every frame is woken by every frame.
#[test]
fn no_wake_up_is_lost() {
    for kind in KINDS {
        in_namespace(move || {
            const FRAMES: u32 = 5_000;
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(kind)).unwrap();
            let mut tx = tx(a);
            let (answer, answers) = mpsc::sync_channel::<u32>(1);
            let sender = thread::spawn(move || {
                let mut numbers = Numbers(3);
                for serial in 0..FRAMES {
                    for _ in 0..numbers.below(3000) {
                        std::hint::spin_loop();
                    }
                    assert!(send(&mut tx, &plain(serial, 60)));
                    // Half of the time a second frame comes on the heels of the first.
                    if serial % 2 == 0 {
                        assert!(send(&mut tx, &plain(serial, 60)));
                    }
                    assert_eq!(answers.recv(), Ok(serial));
                }
            });
            let epoll = watch(&ring);
            let mut last = None;
            while last != Some(FRAMES - 1) {
                let mut newest = last;
                if ring.receive(32, |f| newest = f.data()[14..18].try_into().ok().map(u32::from_be_bytes)) == 0 {
                    assert!(wait(&mut ring, &epoll, PATIENCE_MS), "{kind:?}: asleep after frame {last:?}");
                }
                if newest != last {
                    last = newest;
                    answer.send(newest.unwrap()).unwrap();
                }
            }
            sender.join().unwrap();
        });
    }
}

#[test]
fn overflow_is_counted() {
    for kind in KINDS {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &fixed(512 << 10, kind)).unwrap();
            let mut tx = tx(a);
            let mut sent = 0u64;
            for serial in 0..20_000 {
                sent += u64::from(send(&mut tx, &plain(serial, 200)));
            }
            // The kernel hands frames over when it comes to it, and counts them before they are written.
            until(|| ring.stats().packets == sent);
            let mut got = 0;
            until(|| {
                got += drain(&mut ring) as u64;
                got + ring.stats().drops >= sent
            });
            let stats = ring.stats();
            assert!(stats.drops > 0, "{kind:?}: a full ring dropped nothing");
            assert_eq!((stats.packets, got + stats.drops), (sent, sent), "{kind:?}: {stats:?}");
            // And it works again.
            assert!(send(&mut tx, &plain(7, 100)));
            assert!(gather(&mut ring, 1)[0].0 == plain(7, 100));
            ring.rebuild(&fixed(4 << 20, kind)).unwrap();
            assert_eq!(ring.memory_bytes(), 4 << 20);
            assert!(send(&mut tx, &plain(8, 100)));
            assert!(gather(&mut ring, 1)[0].0 == plain(8, 100));
        });
    }
}

/// A reader that is kept from running for more than half a second finds the few frames that came meanwhile.
#[test]
fn few_frames_fill_no_ring() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let mut tx = tx(a);
        // Who sends may be kept from running as well, and for longer than the ring has room: it has more than one try.
        let is_kept = (0..30).any(|_| {
            let fixed = RingConfig { max_ring_bytes: 1 << 20, ..RingConfig::default() };
            let mut ring = RxRing::open(b, &fixed).unwrap();
            for serial in 0..120 {
                assert!(send(&mut tx, &plain(serial, 60)));
                thread::sleep(std::time::Duration::from_millis(5));
            }
            ring.stats().drops == 0 && drain(&mut ring) == 120
        });
        assert!(is_kept, "some are lost each time");
    });
}

/// A ring that overflows grows until it does not, and what comes through is whole all the while.
#[test]
fn a_losing_ring_grows() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let small = RingConfig { ring_bytes: 512 << 10, max_ring_bytes: 4 << 20, ..config(sys::RingKind::V3) };
        let mut ring = RxRing::open(b, &small).unwrap();
        let mut tx = tx(a);
        let epoll = watch(&ring);
        let (mut sent, mut got) = (0u32, 0u64);
        for round in 0.. {
            for _ in 0..12_000 {
                assert!(send(&mut tx, &plain(sent, 200)));
                sent += 1;
            }
            loop {
                let n = ring.receive(32, |f| {
                    let serial = u32::from_be_bytes(f.data()[14..18].try_into().unwrap());
                    assert!(f.data() == plain(serial, 200), "frame {serial} is altered");
                });
                got += n as u64;
                if n == 0 && !wait(&mut ring, &epoll, 100) {
                    break;
                }
            }
            if ring.memory_bytes() == 4 << 20 {
                break;
            }
            assert!(round < 100, "the ring still has {} bytes", ring.memory_bytes());
        }
        // The kernel hands frames over when it comes to it.
        until(|| {
            got += ring.receive(32, |_| ()) as u64;
            ring.stats().packets >= u64::from(sent) && got + ring.stats().drops >= ring.stats().packets
        });
        let stats = ring.stats();
        assert!(stats.drops > 0);
        assert_eq!(got + stats.drops, stats.packets, "{stats:?}");
        assert_eq!(stats.packets, u64::from(sent), "nothing was on its way when rings changed places");
        // It is as good as the first.
        for serial in 0..1000 {
            assert!(send(&mut tx, &plain(serial, 300)));
        }
        let frames = gather(&mut ring, 1000);
        assert!((0..1000).all(|i| frames[i].0 == plain(i as u32, 300)));
    });
}

/// A link that goes down and up again needs no new rings: they fill, and wake, as before.
#[test]
fn a_link_comes_up_again() {
    for (kind, way) in kinds_and_ways() {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut rings = RxRing::open_group(b, 2, &config(kind)).unwrap();
            rings.push(RxRing::open(b, &config(kind)).unwrap());
            let mut tx = tx_by(way, a);
            let epoll = sys::Epoll::new().unwrap();
            for (i, ring) in rings.iter().enumerate() {
                epoll.add(ring.poll_fd(), i as u64).unwrap();
            }
            for flap in 0..20 {
                device::set_up("vb", false).unwrap();
                assert!(!send(&mut tx, &large(0, 100).0), "sent into a link that is down");
                device::set_up("vb", true).unwrap();
                let _ = rings.iter().map(RxRing::take_error).max();
                for serial in 0..20 {
                    // Small ones and such as V2 fetches by a call that may fail once.
                    let (frame, vnet) = large(serial, 100 + 3000 * (serial as usize % 2));
                    assert!(send_with(&mut tx, &frame, vnet), "frame {serial} after flap {flap}");
                    let (mut shared, mut alone) = (0, 0);
                    while shared + alone < 2 {
                        if rings.iter_mut().all(RxRing::prepare_sleep) {
                            assert!(epoll.wait(PATIENCE_MS, |_| ()).unwrap() > 0, "{kind:?}: asleep after flap {flap}");
                        }
                        for (i, ring) in rings.iter_mut().enumerate() {
                            let n = ring.receive(32, |f| assert!(f.data() == frame, "altered after flap {flap}"));
                            *(if i < 2 { &mut shared } else { &mut alone }) += n;
                        }
                    }
                    assert_eq!((shared, alone), (1, 1), "{kind:?}: frame {serial} after flap {flap}");
                }
            }
        });
    }
}

/// A device that comes back under its old name and index is another one.
#[test]
fn a_device_is_known_to_be_gone() {
    in_namespace(|| {
        let (a, _) = veth("va", "vb");
        let watch = tx(a).watch().unwrap();
        assert!(watch.is_there());
        device::set_up("va", false).unwrap();
        assert!(watch.is_there(), "down is not gone");
        sys::delete_link(a).unwrap();
        assert!(!watch.is_there());
        let again = veth("va", "vb");
        assert!(!watch.is_there());
        assert!(tx(again.0).watch().unwrap().is_there());
    });
}

#[test]
fn link_down_is_an_error_to_take_once() {
    for kind in KINDS {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(kind)).unwrap();
            let mut tx = tx(a);
            let epoll = watch(&ring);
            device::set_up("vb", false).unwrap();
            let mut ready = None;
            epoll.wait(PATIENCE_MS, |r| ready = Some(r)).unwrap();
            assert!(ready.is_some_and(|r| r.error), "{kind:?}: {ready:?}");
            assert_eq!(ring.take_error(), 100, "ENETDOWN");
            assert_eq!(ring.take_error(), 0);
            assert_eq!(epoll.wait(0, |_| ()).unwrap(), 0, "{kind:?}: the error stays");
            device::set_up("vb", true).unwrap();
            ring.rebuild(&config(kind)).unwrap();
            assert!(send(&mut tx, &plain(1, 60)));
            assert!(gather(&mut ring, 1)[0].0 == plain(1, 60));
        });
    }
}

#[test]
fn a_device_may_vanish_under_load() {
    for (kind, way) in kinds_and_ways() {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(kind)).unwrap();
            let mut tx = tx_by(way, a);
            let epoll = watch(&ring);
            let sender = thread::spawn(move || {
                let mut outcome = sys::TxOutcome::default();
                for serial in 0.. {
                    let frame = plain(serial, 300);
                    let one = TxFrame { body: &frame, ..TxFrame::default() };
                    outcome.add(&tx.send(&[one; 8]));
                    if outcome.down > 0 {
                        break;
                    }
                }
                (outcome, tx.take_error())
            });
            let mut got = 0;
            while got < 5_000 {
                got += ring.receive(32, |_| ());
                wait(&mut ring, &epoll, 100);
            }
            sys::delete_link(b).unwrap();
            let (outcome, _) = sender.join().unwrap();
            assert!(outcome.sent >= 5_000 && outcome.refused == 0, "{outcome:?}");
            while ring.receive(32, |_| ()) > 0 {}
            assert_eq!(ring.take_error(), 100, "ENETDOWN");
            assert!(ring.prepare_sleep());
            assert!(ring.rebuild(&config(kind)).is_err(), "there is no device to open a ring on");
        });
    }
}

/// Every frame comes to one queue, that queue's sleeper is woken, and a flow stays where it is.
#[test]
fn queues_share_a_device() {
    for kind in KINDS {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut rings = RxRing::open_group(b, 3, &config(kind)).unwrap();
            let roomy = fixed(8 << 20, kind);
            let mut other = RxRing::open_group(b, 2, &roomy).unwrap();
            let mut tx = tx(a);
            let epoll = sys::Epoll::new().unwrap();
            for (i, ring) in rings.iter().enumerate() {
                epoll.add(ring.poll_fd(), i as u64).unwrap();
            }
            let mut queue_of = [None; 64];
            for serial in 0..2_000usize {
                let (mut frame, _) = large(serial as u32, 100);
                let flow = serial % 64;
                frame[35] = flow as u8;
                assert!(send(&mut tx, &frame));
                let mut found = None;
                while found.is_none() {
                    let mut ready = Vec::new();
                    if rings.iter_mut().all(RxRing::prepare_sleep) {
                        epoll.wait(PATIENCE_MS, |r| ready.push(r.token as usize)).unwrap();
                        assert!(!ready.is_empty(), "{kind:?}: nobody woke for frame {serial}");
                    } else {
                        ready.extend(0..rings.len());
                    }
                    for i in ready {
                        rings[i].receive(32, |f| {
                            assert!(f.data() == frame, "frame {serial} is altered, or came twice");
                            assert_eq!(found.replace(i), None, "frame {serial} came twice");
                        });
                    }
                }
                let queue = *queue_of[flow].get_or_insert(found.unwrap());
                assert_eq!(Some(queue), found, "flow {flow} changed its queue");
            }
            let used = |q: usize| queue_of.contains(&Some(q));
            assert!(used(0) && used(1) && used(2), "{queue_of:?}");
            let copies: usize = other.iter_mut().map(drain).sum();
            assert_eq!(copies, 2_000, "the other group has its own copies");
        });
    }
}

fn drain(ring: &mut RxRing) -> usize {
    let mut n = 0;
    loop {
        match ring.receive(64, |_| ()) {
            0 => return n,
            got => n += got,
        }
    }
}

/// One frame the kernel refuses does not stop those around it.
#[test]
fn bad_frames_are_stepped_past() {
    WAYS.into_iter().for_each(|way| {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(RingKind::V3)).unwrap();
            let mut tx = tx_by(way, a);
            let good = [plain(0, 60), plain(1, 60), plain(2, 60)];
            let (short, long) = (vec![0; 5], plain(9, 3000));
            let frame = |body| TxFrame { body, ..TxFrame::default() };
            let mut nonsense = frame(&good[1]);
            nonsense.vnet = VnetHdr { flags: vnet_flag::NEEDS_CSUM, csum_start: 5000, ..VnetHdr::default() };
            let mut priority = frame(&good[2]);
            priority.priority = 5;
            let outcome = tx.send(&[frame(&good[0]), frame(&short), frame(&long), nonsense, frame(&good[1]), priority]);
            assert_eq!((outcome.sent, outcome.sent_bytes), (3, 180), "{outcome:?}");
            assert_eq!((outcome.too_long, outcome.refused, outcome.dropped()), (1, 2, 3), "{outcome:?}");
            let frames = gather(&mut ring, 3);
            assert!(frames.iter().map(|f| &f.0).eq(&good), "others than the good ones came");
            // In two pieces.
            let outcome = tx.send(&[TxFrame { head: &good[0][..20], body: &good[0][20..], ..TxFrame::default() }]);
            assert_eq!(outcome.sent, 1);
            assert!(gather(&mut ring, 1)[0].0 == good[0]);
        })
    });
}

/// What the kernel cannot make a virtio header of, here UDP that is to be cut into fragments, keeps nobody waiting for what
/// follows it, nor awake when nothing does; and however much of it comes, no ring grows for it.
#[test]
fn holes_are_passed_over() {
    const ROUNDS: u32 = 4000;
    in_namespace(|| {
        let mut tap = sys::Tap::open("tp%d", sys::TapKind::Tap).expect("this test needs /dev/net/tun");
        let name = tap.name().to_owned();
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        sys::device::set_up(&name, true).unwrap();
        let may_grow = RingConfig { ring_bytes: 256 << 10, max_ring_bytes: 8 << 20, ..config(RingKind::V3) };
        let mut ring = RxRing::open(sys::device::index(&name).unwrap(), &may_grow).unwrap();
        let (mut odd, vnet) = large(0, 3000);
        odd[23] = 17;
        let vnet = VnetHdr { flags: 0, gso_type: sys::gso::UDP, csum_start: 0, csum_offset: 0, ..vnet };
        for round in 0..ROUNDS {
            let good = [plain(2 * round, 900), plain(2 * round + 1, 60)];
            let frame = |body| TxFrame { body, ..TxFrame::default() };
            let odd = TxFrame { vnet, ..frame(&odd) };
            assert_eq!(tap.send(&[frame(&good[0]), odd, frame(&good[1]), odd]).sent, 4);
            assert!(gather(&mut ring, 2).iter().map(|f| &f.0).eq(&good), "round {round}");
            until(|| {
                ring.receive(32, |_| ());
                ring.prepare_sleep()
            });
        }
        let stats = ring.stats();
        let rounds = u64::from(ROUNDS);
        assert_eq!((stats.packets, stats.drops, stats.holes), (4 * rounds, 2 * rounds, 2 * rounds));
        assert_eq!(ring.memory_bytes(), 256 << 10, "it has not grown");
    });
}

/// More frames than one system call takes.
#[test]
fn long_batches_are_cut() {
    WAYS.into_iter().for_each(|way| {
        in_namespace(move || {
            let (a, b) = veth("va", "vb");
            let mut ring = RxRing::open(b, &config(RingKind::V3)).unwrap();
            let frames: Vec<_> = (0..600).map(|i| plain(i, 100)).collect();
            let batch: Vec<_> = frames.iter().map(|body| TxFrame { body, ..TxFrame::default() }).collect();
            assert_eq!(tx_by(way, a).send(&batch).sent, 600);
            assert!(gather(&mut ring, 600).iter().map(|f| &f.0).eq(&frames));
        })
    });
}

/// What is sent by a ring is whole when it is read much later, though its slots have long had other frames.
#[test]
fn slots_are_free_when_nobody_reads_them_any_more() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let mut late = EarlySocket::open(b, &config(RingKind::V3), &Arc::new(programs())).unwrap();
        let mut tx = tx_by(Some(1500), a);
        let frames: Vec<_> = (0..600).map(|serial| plain(serial, 60 + serial as usize)).collect();
        for frame in &frames {
            assert!(send(&mut tx, frame));
        }
        let mut got = Vec::new();
        until(|| {
            while late.receive(32, |f| got.push(f.data().to_vec())) > 0 {}
            got.len() > 300
        });
        assert!(got.iter().zip(&frames).all(|(got, sent)| got == sent), "altered or out of order");
    });
}

/// A device that keeps frames to itself keeps their slots: what finds none is dropped and counted, and the others come in order.
#[test]
fn a_full_ring_pushes_back() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let mut ring = RxRing::open(b, &fixed(8 << 20, RingKind::V3)).unwrap();
        let slow = sys::tc::ClassRates { min: 200_000, max: 200_000, burst: 2000, priority: 0, mtu: 1500 };
        sys::tc::install(a, &sys::tc::Discipline::Htb).unwrap();
        for queue in [None, Some(0)] {
            sys::tc::set_class(a, &sys::tc::Discipline::Htb, queue, &slow).unwrap();
        }
        let through = sys::TxConfig { qdisc_bypass: false, ring_mtu: Some(1500), ..sys::TxConfig::default() };
        let mut tx = sys::TxSocket::open(a, &through).unwrap();
        let mut numbers = Numbers(5);
        let (mut sent, mut full) = (Vec::new(), 0);
        for serial in 0..1000 {
            // Now and then one that goes past the ring, in its turn.
            let (frame, vnet) = match numbers.below(20) {
                0 => large(serial, 10_000),
                _ => (plain(serial, 200), VnetHdr::default()),
            };
            let outcome = tx.send(&[TxFrame { vnet, head: &frame[..30], body: &frame[30..], priority: 0 }]);
            assert_eq!(outcome.sent + outcome.full, 1, "{outcome:?}");
            full += outcome.full;
            if outcome.sent == 1 {
                sent.push(frame);
            }
        }
        assert!(full > 0 && sent.len() > 256, "{full} found no room, {} did", sent.len());
        let got = gather(&mut ring, sent.len());
        assert!(got.iter().map(|frame| &frame.0).eq(&sent), "altered or out of order");
        // And all are free again.
        let again: Vec<_> = (0..250).map(|serial| plain(serial, 300)).collect();
        let batch: Vec<_> = again.iter().map(|body| TxFrame { body, ..TxFrame::default() }).collect();
        assert_eq!(tx.send(&batch).sent, 250);
        assert!(gather(&mut ring, 250).iter().map(|frame| &frame.0).eq(&again));
    });
}

/// A ring sends what is no longer than its device is said to take, and leaves it to `sendmmsg` to say what becomes of others; one
/// of longer slots follows where the device takes more.
#[test]
fn a_ring_knows_how_long_frames_may_be() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let mut ring = RxRing::open(b, &config(RingKind::V3)).unwrap();
        let mut tx = tx_by(Some(1500), a);
        let mtu = tx.ring_mtu().unwrap();
        assert_eq!((tx.ring_bytes(), tx_by(None, a).ring_bytes()), (512 << 10, 0));
        let tagged = |len: usize| {
            let frame = plain(7, len);
            [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
        };
        let takes = |tx: &mut sys::TxSocket, frame: &[u8]| {
            let outcome = tx.send(&[TxFrame { body: frame, ..TxFrame::default() }]);
            assert_eq!(outcome.sent + outcome.too_long, 1, "{outcome:?}");
            outcome.sent == 1
        };
        assert!(takes(&mut tx, &plain(1, 1514)) && takes(&mut tx, &tagged(1514)));
        assert!(!takes(&mut tx, &plain(1, 1515)) && !takes(&mut tx, &tagged(1515)));
        assert_eq!(gather(&mut ring, 2).len(), 2);
        // It goes by what it is told, since the kernel does not look at lengths there: this is how one knows who sent.
        device::set_mtu("va", 1400).unwrap();
        assert!(takes(&mut tx, &plain(1, 1514)));
        mtu.set(1400);
        assert!(!takes(&mut tx, &plain(1, 1514)) && takes(&mut tx, &plain(1, 1414)));
        assert_eq!(gather(&mut ring, 2).len(), 2);
        // Another of the same device goes by the same word, as soon as it has its ring.
        let mut another = tx.another().unwrap();
        mtu.set(1500);
        until(|| takes(&mut another, &plain(2, 1514)));
        assert_eq!(another.ring_bytes(), 512 << 10);
        assert!(gather(&mut ring, 1)[0].0 == plain(2, 1514));
        // Longer slots.
        device::set_mtu("va", 8000).unwrap();
        device::set_mtu("vb", 9000).unwrap();
        mtu.set(9000);
        until(|| takes(&mut tx, &plain(3, 9014)));
        assert!(gather(&mut ring, 1)[0].0 == plain(3, 9014));
    });
}

/// Rings that were made ahead are as good as others, and may be had after the stock is closed.
#[test]
fn a_stock_gives_rings_of_any_kind() {
    for kind in KINDS {
        in_namespace(move || {
            let usual = config(kind);
            let stock = RingStock::new(&usual);
            for i in 0..12 {
                let (a, b) = veth(&format!("a{i}"), &format!("b{i}"));
                let wanted = if i == 5 { fixed(2 << 20, kind) } else { usual };
                let mut rings = stock.open(b, if i == 7 { 3 } else { 1 }, &wanted).unwrap();
                assert_eq!(rings.len(), if i == 7 { 3 } else { 1 });
                assert_eq!((rings[0].ifindex(), rings[0].memory_bytes()), (b, wanted.ring_bytes));
                if i == 9 {
                    stock.close();
                }
                let frame = plain(i, 60);
                assert!(send(&mut tx(a), &frame));
                let mut got = 0;
                until(|| {
                    for ring in &mut rings {
                        ring.receive(64, |f| got += u32::from(f.data() == frame));
                    }
                    got > 0
                });
                assert_eq!(got, 1, "{kind:?}: port {i}");
            }
            assert!(stock.open(u32::MAX, 1, &usual).is_err());
        });
    }
}

/// 200 idle ports: their rings fit in a gigabyte, and none of them wakes anybody.
#[test]
fn two_hundred_idle_ports_sleep() {
    in_namespace(|| {
        let mut rings = Vec::new();
        let epoll = sys::Epoll::new().unwrap();
        let mut senders = Vec::new();
        for i in 0..100 {
            let (a, b) = veth(&format!("a{i}"), &format!("b{i}"));
            rings.push(RxRing::open(a, &RingConfig::default()).unwrap());
            rings.push(RxRing::open(b, &RingConfig::default()).unwrap());
            senders.push(tx(a));
        }
        for (i, ring) in rings.iter().enumerate() {
            epoll.add(ring.poll_fd(), i as u64).unwrap();
        }
        let memory: usize = rings.iter().map(RxRing::memory_bytes).sum();
        assert!(memory < 1 << 30, "{} MiB", memory >> 20);
        // What the devices said on coming up is not waited for.
        for ring in &mut rings {
            while !ring.prepare_sleep() {
                drain(ring);
            }
        }
        assert_eq!(epoll.wait(300, |_| ()).unwrap(), 0, "somebody was woken for nothing");
        for (i, sender) in senders.iter_mut().enumerate() {
            assert!(send(sender, &plain(i as u32, 60)));
            let mut woken = Vec::new();
            epoll.wait(PATIENCE_MS, |r| woken.push(r.token as usize)).unwrap();
            assert_eq!(woken, [2 * i + 1], "the wrong port was woken");
            assert!(gather(&mut rings[2 * i + 1], 1)[0].0 == plain(i as u32, 60));
            assert!(rings[2 * i + 1].prepare_sleep());
        }
        drop((rings, senders));
        sys::finish_closing();
    });
}
