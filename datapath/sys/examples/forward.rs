//! A bare forwarder between two devices, without look-up: the upper bound of what a switch on these rings
//! can do, to compare with packet rates of the bench.
//!
//!     forward DEVICE DEVICE [v2|v3] [RING-MIB] [tx-ring]
//!
//! Runs until standard input ends, then says what passed.

use std::io::Read;

use sys::{Epoll, EventFd, RingConfig, RingKind, RxRing, TxConfig, TxFrame, TxOutcome, TxSocket, device};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, ..] = args.as_slice() else {
        return Err("usage: forward DEVICE DEVICE [v2|v3] [RING-MIB] [tx-ring]".into());
    };
    let kind = if args.get(2).is_some_and(|k| k == "v2") { RingKind::V2 } else { RingKind::V3 };
    let mib: usize = args.get(3).map_or(Ok(2), |m| m.parse())?;
    let config = RingConfig { kind, ring_bytes: mib << 20, ..RingConfig::default() };
    let ring_mtu = if args.get(4).is_some_and(|way| way == "tx-ring") { Some(device::mtu(a)?) } else { None };
    let way = TxConfig { ring_mtu, ..TxConfig::default() };
    let (a, b) = (device::index(a)?, device::index(b)?);
    let mut ports = [
        (RxRing::open(a, &config)?, TxSocket::open(b, &way)?, TxOutcome::default()),
        (RxRing::open(b, &config)?, TxSocket::open(a, &way)?, TxOutcome::default()),
    ];
    let epoll = Epoll::new()?;
    for (ring, ..) in &ports {
        epoll.add(ring.poll_fd(), 0)?;
    }
    let stop = std::sync::Arc::new(EventFd::new()?);
    epoll.add(std::os::fd::AsFd::as_fd(&*stop), 1)?;
    let stopper = std::sync::Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopper.notify();
    });
    let (mut batches, mut sleeps) = (0u64, 0u64);
    let mut running = true;
    while running {
        let mut n = 0;
        for (ring, tx, outcome) in &mut ports {
            n += forward(ring, tx, outcome, &mut batches);
        }
        if n == 0 && ports.iter_mut().all(|(ring, ..)| ring.prepare_sleep()) {
            sleeps += 1;
            epoll.wait(-1, |r| running &= r.token == 0)?;
        } else if batches % 1024 == 0 {
            epoll.wait(0, |r| running &= r.token == 0)?;
        }
    }
    println!("{batches} batches, {sleeps} sleeps");
    for (ring, _, outcome) in &mut ports {
        println!("{:?} {outcome:?}", ring.stats());
    }
    Ok(())
}

/// Sends one batch on.
fn forward(ring: &mut RxRing, tx: &mut TxSocket, outcome: &mut TxOutcome, batches: &mut u64) -> usize {
    let mut out = [TxFrame::default(); 64];
    let mut n = 0;
    ring.receive(64, |f| {
        let (start, end) = (f.start, f.start + f.len);
        out[n] = TxFrame { vnet: f.vnet, head: &[], body: &f.buf[start..end], priority: 0 };
        n += 1;
    });
    if n > 0 {
        outcome.add(&tx.send(&out[..n]));
        ring.release();
        *batches += 1;
    }
    n
}
