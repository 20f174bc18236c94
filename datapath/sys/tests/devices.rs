//! Taps, the host's stack, and questions to devices.

mod common;

use std::os::fd::AsFd;
use std::process::Command;

use common::*;
use sys::{
    Epoll, RingConfig, RxRing, Tap, TapKind, TxFrame, VnetHdr, device, ethtool, host_stack, host_stack::Discipline,
};

/// Frames pass a tap both ways, large ones uncut.
#[test]
fn a_tap_carries_frames_both_ways() {
    in_namespace(|| {
        let mut tap = Tap::open("tp%d", TapKind::Tap).expect("this test needs /dev/net/tun");
        let name = tap.name().to_owned();
        assert_eq!(name, "tp0");
        assert_eq!(tap.send(&[TxFrame { body: &plain(0, 60), ..TxFrame::default() }]).down, 1, "it is down");
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        device::set_address(&name, [2, 0, 0, 0, 0, 9]).unwrap();
        device::set_up(&name, true).unwrap();
        assert_eq!(device::address(&name).unwrap(), [2, 0, 0, 0, 0, 9]);
        device::set_mtu(&name, 1700).unwrap();
        assert_eq!(device::mtu(&name).unwrap(), 1700);
        assert!(device::is_up(&name).unwrap());
        let index = device::index(&name).unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(tap.as_fd(), 1).unwrap();
        assert_eq!(epoll.wait(0, |_| ()).unwrap(), 0);

        let mut host = tx(index);
        let frames: Vec<_> = (0..40)
            .map(|i| if i % 5 == 4 { large(i, 60_000) } else { (plain(i, 60 + i as usize * 30), VnetHdr::default()) })
            .collect();
        for (frame, vnet) in &frames {
            assert!(send_with(&mut host, frame, *vnet));
        }
        assert_eq!(epoll.wait(PATIENCE_MS, |_| ()).unwrap(), 1);
        let mut got = Vec::new();
        while tap.receive(32, |f| got.push((f.data().to_vec(), f.vnet))).unwrap() > 0 {}
        let bare = |v: &VnetHdr| VnetHdr { hdr_len: 0, ..*v };
        assert_eq!(got.len(), frames.len());
        for (i, (got, sent)) in got.iter().zip(&frames).enumerate() {
            assert!(got.0 == sent.0, "frame {i} is altered");
            assert_eq!(bare(&got.1), bare(&sent.1), "frame {i}");
        }

        let mut ring = RxRing::open(index, &RingConfig::default()).unwrap();
        let batch: Vec<_> =
            frames.iter().map(|(body, vnet)| TxFrame { vnet: *vnet, body, ..TxFrame::default() }).collect();
        assert_eq!(tap.send(&batch).sent, 40);
        let got = gather(&mut ring, 40);
        assert!(got.iter().map(|f| &f.0).eq(frames.iter().map(|f| &f.0)), "the host got something else");

        sys::delete_link(index).unwrap();
        assert_eq!(tap.receive(1, |_| ()).unwrap_err().errno(), 77, "EBADFD");
    });
}

/// Who is dropped tells by which thread.
struct Tells(std::sync::mpsc::SyncSender<std::thread::ThreadId>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().id());
    }
}

/// Who lets go of a tap does not wait until the kernel is done with it; who wants to know is told, and the next of the
/// same name finds its place free, though other handles were dropped later.
#[test]
fn a_tap_is_closed_by_others() {
    in_namespace(|| {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        for persists in [false, true, false] {
            let tap = Tap::open("tp7", TapKind::Tap).expect("this test needs /dev/net/tun");
            tap.set_persistent(persists).unwrap();
            tap.keep_until_closed(Tells(tell.clone()));
            let (other, wake) = (tap.share(), tap.wake_fd());
            drop(tap);
            assert!(other.is_attached() && told.try_recv().is_err(), "others hold it");
            drop(other);
            assert!(told.try_recv().is_err(), "who waits holds it");
            drop(wake);
            let by = told.recv().unwrap();
            assert!(by != std::thread::current().id());
            assert_eq!(device::index("tp7").is_ok(), persists, "it is gone by then, if it is to go");
        }
        let tap = Tap::open("tp7", TapKind::Tap).unwrap();
        let other = tap.share();
        drop(tap);
        let (at_last, opened) = std::sync::mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let next = scope.spawn(|| {
                let opened = Tap::open("tp7", TapKind::Tap).map(drop).map_err(|e| e.errno());
                at_last.send(()).unwrap();
                opened
            });
            assert!(opened.recv_timeout(std::time::Duration::from_millis(50)).is_err(), "the name is not free yet");
            drop(other);
            assert_eq!(next.join().unwrap(), Ok(()));
        });
    });
}

fn asks_for(ip: u8) -> Vec<u8> {
    let mut f = vec![0xff; 6];
    f.extend([2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    f.extend([2, 0, 0, 0, 0, 1, 10, 7, 0, 1, 0, 0, 0, 0, 0, 0, 10, 7, 0, ip]);
    f.resize(60, 0);
    f
}

/// The host answers ARP on a port's device until it is stopped, and again when it may.
#[test]
fn the_host_stack_is_kept_from_a_port() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        let added = Command::new("ip").args(["addr", "add", "10.7.0.2/24", "dev", "vb"]).status();
        assert!(added.expect("run ip").success());
        let mut at_a = RxRing::open(a, &config(sys::RingKind::V3)).unwrap();
        let mut at_b = RxRing::open(b, &config(sys::RingKind::V3)).unwrap();
        let mut tx = tx(a);
        let is_reply = |f: &(Vec<u8>, VnetHdr)| f.0[20..22] == [0, 2];
        for (step, stopped) in [(0, false), (1, true), (2, false)] {
            if stopped {
                let whose = [host_stack::stop(b).unwrap(), host_stack::stop(b).unwrap()];
                assert_eq!(whose, [Discipline::Own; 2]);
            } else if step > 0 {
                (0..2).for_each(|_| host_stack::resume(b, Discipline::Own).unwrap());
            }
            assert_eq!(tc("qdisc show dev vb").contains("clsact"), stopped);
            assert!(send(&mut tx, &asks_for(2)));
            assert!(gather(&mut at_b, 1)[0].0 == asks_for(2), "the ring sees the frame all the same");
            // What is not to come is not waited for as long as what is.
            let heard = gather_within(&mut at_a, 1, if stopped { 3000 } else { PATIENCE_MS });
            assert_eq!(heard.iter().any(is_reply), !stopped, "step {step}");
        }
        sys::delete_link(b).unwrap();
        host_stack::resume(b, Discipline::Own).unwrap();
    });
}

fn tc(words: &str) -> String {
    let output = Command::new("tc").args(words.split(' ')).output().expect("run tc");
    assert!(output.status.success(), "tc {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What others put beside the filter stays, and so does a queueing discipline that was there.
#[test]
fn other_peoples_filters_stay() {
    in_namespace(|| {
        let (a, b) = veth("va", "vb");
        tc("qdisc add dev va clsact");
        assert_eq!(host_stack::stop(a).unwrap(), Discipline::Foreign);
        host_stack::resume(a, Discipline::Foreign).unwrap();
        assert!(tc("qdisc show dev va").contains("clsact"));
        for hook in ["ingress", "egress"] {
            assert_eq!(host_stack::stop(b).unwrap(), Discipline::Own);
            tc(&format!("filter add dev vb {hook} prio 7 protocol all u32 match u32 0 0 flowid 1:1"));
            host_stack::resume(b, Discipline::Own).unwrap();
            assert!(tc(&format!("filter show dev vb {hook}")).contains("pref 7"));
            tc("qdisc del dev vb clsact");
        }
    });
}

#[test]
fn devices_answer_questions() {
    in_namespace(|| {
        veth("va", "vb");
        assert_eq!(ethtool::driver_info("va").unwrap().driver, "veth");
        let link = ethtool::link_settings("va").unwrap();
        assert_eq!((link.speed_mbps, link.full_duplex, link.autoneg), (Some(10_000), Some(true), false));
        assert!(ethtool::has_link("va").unwrap());
        device::set_up("vb", false).unwrap();
        assert!(!ethtool::has_link("va").unwrap());
        for name in ["", "no-such-device", "a-name-that-is-too-long-for-a-device"] {
            assert!(device::index(name).is_err(), "{name:?}");
        }
        assert_eq!(device::index("nosuch").unwrap_err().errno(), 19, "ENODEV");
    });
}

/// A device's address is replaced, and a default route needs a gateway on its network.
#[test]
fn a_device_has_an_address_and_a_way_out() {
    in_namespace(|| {
        use std::net::Ipv4Addr;
        let tap = Tap::open("ta%d", TapKind::Tap).expect("this test needs /dev/net/tun");
        let name = tap.name();
        let [mask, wider] = [Ipv4Addr::new(255, 255, 255, 0), Ipv4Addr::new(255, 255, 0, 0)];
        let [first, second] = [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(10, 1, 2, 4)];
        assert_eq!(sys::ipv4(name).unwrap_err().errno(), 99, "EADDRNOTAVAIL");
        device::set_up(name, true).unwrap();
        for (address, mask) in [(first, mask), (second, mask), (second, wider)] {
            sys::set_ipv4(name, address, mask).unwrap();
            assert_eq!(sys::ipv4(name).unwrap(), (address, mask));
        }
        assert_eq!(sys::set_ipv4(name, Ipv4Addr::new(225, 1, 1, 1), mask).unwrap_err().errno(), 22, "EINVAL");
        sys::add_default_route(first).unwrap();
        assert_eq!(sys::add_default_route(first).unwrap_err().errno(), 17, "EEXIST");
        assert_eq!(sys::add_default_route(Ipv4Addr::new(10, 9, 9, 9)).unwrap_err().errno(), 101, "ENETUNREACH");
    });
}
