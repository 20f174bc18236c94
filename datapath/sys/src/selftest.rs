//! Does early reading work on this kernel? A few hundred lonely frames tell, in a room of their own.
//!
//! A short-lived thread moves into a new network namespace, makes a veth pair, and sends frame after frame,
//! each only when the last was received. The ring's own timer is set so late that whoever receives all of
//! them within the time allowed cannot have waited for it: no clock is needed.
//!
//! Where no namespace may be made (a container without `CAP_SYS_ADMIN`) it takes a tap where it is, under a name that the
//! kernel chooses: it has no address, the host has nothing to say to what comes by it, and it goes with its descriptor,
//! whatever becomes of the process.

use std::os::fd::AsFd;

use crate::epoll::Epoll;
use crate::error::{Error, Result};
use crate::frame::VnetHdr;
use crate::process::{self, Fork};
use crate::ring::{RingConfig, RingKind, RxRing};
use crate::tap::{Tap, TapKind};
use crate::tx::{TxConfig, TxFrame, TxOutcome, TxSocket};
use crate::{device, netlink, thread};

const FRAMES: u32 = 300;
/// Later than all waits of a lonely frame together could be on a working kernel.
const RETIRE_MS: u32 = 10_000;
/// The longest wait for one frame, ms.
const WAIT_MS: i32 = 1_000;

/// Whether a ring read early wakes for, and delivers, every lonely frame. Needs `CAP_NET_ADMIN` and `CAP_NET_RAW`; takes
/// some 50 ms.
///
/// `Ok(false)`: it does not, or the machine's memory model does not allow it: use [`RingKind::V2`].
pub fn early_reading_works() -> Result<bool> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(false);
    }
    std::thread::Builder::new()
        .name("ring-self-test".into())
        .spawn(run)
        .map_err(|source| crate::Error { what: "start the ring's self-test", source })?
        .join()
        .unwrap_or(Ok(false))
}

/// The same, by a process of its own: for a program that is to fork later, or to give up what the test takes (it makes a
/// network namespace) before it knows whether it will ask.
///
/// # Errors
/// This process has several threads, or there are no more to be had.
pub fn early_reading_works_apart() -> Result<bool> {
    const WHAT: &str = "start the ring's self-test";
    match process::fork().map_err(|source| Error { what: WHAT, source })? {
        Fork::Parent(child) => process::ended_well(child).map_err(|source| Error { what: WHAT, source }),
        Fork::Child => process::end_at_once(i32::from(!early_reading_works().unwrap_or(false))),
    }
}

fn run() -> Result<bool> {
    match thread::enter_new_network_namespace() {
        Ok(()) => by_veth(),
        Err(refused) if refused.errno() == libc::EPERM => by_tap(),
        Err(error) => Err(error),
    }
}

fn by_veth() -> Result<bool> {
    netlink::add_veth("rst0", "rst1")?;
    device::set_up("rst0", true)?;
    device::set_up("rst1", true)?;
    let mut tx = TxSocket::open(device::index("rst0")?, &TxConfig::default())?;
    hears_all(device::index("rst1")?, |frame| tx.send(&[frame]))
}

fn by_tap() -> Result<bool> {
    let mut tap = Tap::open("rst%d", TapKind::Tap)?;
    let name = tap.name().to_owned();
    // Best effort: nobody need greet the neighbours there.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
    device::set_up(&name, true)?;
    hears_all(device::index(&name)?, |frame| tap.send(&[frame]))
}

/// Whether a ring of the device has every frame that comes there by `send`.
fn hears_all(ifindex: u32, mut send: impl FnMut(TxFrame<'_>) -> TxOutcome) -> Result<bool> {
    let config = RingConfig {
        kind: RingKind::V3,
        ring_bytes: 512 << 10,
        retire_ms: RETIRE_MS,
        // A device of nobody's shows all that comes.
        promiscuous: false,
        ..RingConfig::default()
    };
    let mut ring = RxRing::open(ifindex, &config)?;
    let epoll = Epoll::new()?;
    epoll.add(ring.poll_fd().as_fd(), 0)?;
    for serial in 0..FRAMES {
        let frame = frame(serial);
        let body = TxFrame { vnet: VnetHdr::default(), head: &[], body: &frame, priority: 0 };
        if send(body).sent != 1 || !answers(&mut ring, &epoll, &frame)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `frame` arrives in time; frames of others, such as the host's own, are passed over.
fn answers(ring: &mut RxRing, epoll: &Epoll, frame: &[u8]) -> Result<bool> {
    for _ in 0..100 {
        let mut found = false;
        while ring.receive(32, |f| found |= f.data() == frame) > 0 {}
        if found {
            return Ok(true);
        }
        if ring.prepare_sleep() && epoll.wait(WAIT_MS, |_| ())? == 0 {
            return Ok(false);
        }
    }
    Ok(false)
}

/// A frame of an EtherType for experiments, told from all others by its number.
fn frame(serial: u32) -> [u8; 60] {
    let mut frame = [0x5a; 60];
    frame[..6].fill(0x02);
    frame[6..12].fill(0x04);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame[14..18].copy_from_slice(&serial.to_be_bytes());
    frame
}
