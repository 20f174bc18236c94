//! A clean room with veth pairs, and frames whose content can be checked.

#![allow(dead_code)]

use std::thread;

use sys::{Epoll, RingConfig, RingKind, RxRing, TxConfig, TxFrame, TxSocket, VnetHdr, device, gso, vnet_flag};

/// Both layouts.
pub const KINDS: [RingKind; 2] = [RingKind::V3, RingKind::V2];

/// Runs `test` on a thread in a network namespace of its own, which ends with it.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let room = thread::spawn(|| {
        if let Err(e) = sys::thread::enter_new_network_namespace() {
            panic!("this test needs root, to make a network namespace: {e}");
        }
        test();
    });
    if let Err(panic) = room.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A veth pair, both ends up: their indexes.
pub fn veth(a: &str, b: &str) -> (u32, u32) {
    sys::add_veth(a, b).expect("make a veth pair");
    for name in [a, b] {
        // The host's own IPv6 chatter would be in the way.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        device::set_up(name, true).expect("set a veth up");
    }
    (device::index(a).unwrap(), device::index(b).unwrap())
}

/// Milliseconds until what does not come is told to be missing: longer than a busy machine keeps anybody waiting.
pub const PATIENCE_MS: i32 = 45_000;

/// A ring that is as large as is said and stays so: those that may grow begin small where the other tests of the process have
/// many.
pub fn fixed(bytes: usize, kind: RingKind) -> RingConfig {
    // So late a timer, by Linux's 16 bits, that only early reading can pass these tests.
    RingConfig { kind, ring_bytes: bytes, max_ring_bytes: bytes, retire_ms: 60_000, ..RingConfig::default() }
}

/// One of the usual size.
pub fn config(kind: RingKind) -> RingConfig {
    fixed(RingConfig::default().ring_bytes, kind)
}

pub fn tx(ifindex: u32) -> TxSocket {
    TxSocket::open(ifindex, &TxConfig::default()).expect("open a sending socket")
}

/// By `sendmmsg`, and by a ring for devices of the usual MTU.
pub const WAYS: [Option<u32>; 2] = [None, Some(1500)];

pub fn tx_by(way: Option<u32>, ifindex: u32) -> TxSocket {
    TxSocket::open(ifindex, &TxConfig { ring_mtu: way, ..TxConfig::default() }).expect("open a sending socket")
}

/// Every layout of receiving with every way of sending.
pub fn kinds_and_ways() -> impl Iterator<Item = (RingKind, Option<u32>)> {
    KINDS.into_iter().flat_map(|kind| WAYS.into_iter().map(move |way| (kind, way)))
}

/// Sends one frame without metadata; whether the kernel took it.
pub fn send(tx: &mut TxSocket, frame: &[u8]) -> bool {
    send_with(tx, frame, VnetHdr::default())
}

pub fn send_with(tx: &mut TxSocket, frame: &[u8], vnet: VnetHdr) -> bool {
    tx.send(&[TxFrame { vnet, head: &[], body: frame, priority: 0 }]).sent == 1
}

/// A small generator of numbers, the same each run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

const MARK: [u8; 2] = [0x88, 0xb5];

/// A plain frame of `len` bytes that carries `serial` and a pattern made from it.
pub fn plain(serial: u32, len: usize) -> Vec<u8> {
    let mut f = vec![0; len.max(18)];
    f[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    f[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    f[12..14].copy_from_slice(&MARK);
    f[14..18].copy_from_slice(&serial.to_be_bytes());
    fill(&mut f[18..], serial);
    f
}

/// A TCP segment to be cut later, `payload` bytes long, with a partial checksum.
pub fn large(serial: u32, payload: usize) -> (Vec<u8>, VnetHdr) {
    let mut f = vec![0; 54 + payload];
    f[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    f[14] = 0x45;
    f[16..18].copy_from_slice(&((40 + payload) as u16).to_be_bytes());
    f[22..24].copy_from_slice(&[64, 6]);
    f[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let sum: u32 = f[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    f[24..26].copy_from_slice(&(!(((sum & 0xffff) + (sum >> 16)) as u16)).to_be_bytes());
    f[34..38].copy_from_slice(&[0x12, 0x34, 0, 80]);
    f[38..42].copy_from_slice(&serial.to_be_bytes());
    f[46] = 0x50;
    f[47] = 0x10;
    f[48] = 0x20;
    fill(&mut f[54..], serial);
    let vnet = VnetHdr {
        flags: vnet_flag::NEEDS_CSUM,
        gso_type: gso::TCPV4,
        hdr_len: 54,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };
    (f, vnet)
}

fn fill(bytes: &mut [u8], serial: u32) {
    for (i, b) in bytes.iter_mut().enumerate() {
        *b = (i as u32).wrapping_mul(31).wrapping_add(serial.wrapping_mul(2654435761) >> 8) as u8 | 1;
    }
}

/// Waits until the ring has something, as an actor would; `false` after `ms` without anything.
pub fn wait(ring: &mut RxRing, epoll: &Epoll, ms: i32) -> bool {
    !ring.prepare_sleep() || epoll.wait(ms, |_| ()).expect("wait") > 0
}

pub fn watch(ring: &RxRing) -> Epoll {
    let epoll = Epoll::new().unwrap();
    epoll.add(ring.poll_fd(), 0).unwrap();
    epoll
}

/// Receives until `n` frames came or nothing came for as long as anybody waits.
pub fn gather(ring: &mut RxRing, n: usize) -> Vec<(Vec<u8>, VnetHdr)> {
    gather_within(ring, n, PATIENCE_MS)
}

/// Receives until `n` frames came or nothing came for so many milliseconds.
pub fn gather_within(ring: &mut RxRing, n: usize, ms: i32) -> Vec<(Vec<u8>, VnetHdr)> {
    let epoll = watch(ring);
    let mut frames = Vec::new();
    while frames.len() < n {
        if ring.receive(32, |f| frames.push((f.data().to_vec(), f.vnet))) == 0 && !wait(ring, &epoll, ms) {
            break;
        }
    }
    frames
}

/// Asks every millisecond, for as long as anybody waits.
pub fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..PATIENCE_MS {
        if holds() {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("never");
}
