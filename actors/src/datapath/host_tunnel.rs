//! Tunnel ports whose packets the host's own stack sends and receives ([`sys::HostTunnel`]): what the kernel's datapath does
//! for Open vSwitch.

use std::collections::HashMap;
use std::net::UdpSocket;

use dp::port::{Offloads, RxLosses};
use dp::{BURST, Burst, RxQueue, TxPacket, TxPort, TxReport};
use ofproto::view::underlay::{mapped, unmapped};
use sys::{HostTunnel, TunnelReceiver, TunnelSender};

use super::adapt::{lend, send_all};
use super::now_us;
use crate::msg::datapath::QueueParts;

/// How long it is believed by which address the host sends to another, µs: ways change.
const BELIEVED_US: u64 = 1_000_000;
/// Addresses of which that is remembered at the most.
const MOST_REMEMBERED: usize = 4096;
/// Any port will do to ask the kernel for a way.
const SOME_PORT: u16 = 9;

/// The halves of a port.
///
/// # Errors
/// Those of the kernel.
pub(super) fn open(sockets: &HostTunnel) -> sys::Result<(Vec<QueueParts>, Box<dyn TxPort>)> {
    let queues = sockets.receivers()?.into_iter().map(|receiver| {
        let wake = receiver.poll_fd().try_clone_to_owned();
        let wake = wake.map_err(|source| sys::Error { what: "duplicate a tunnel's socket", source })?;
        Ok(QueueParts { rx: Box::new(Incoming(receiver)), wake: Some(wake.into()) })
    });
    Ok((queues.collect::<sys::Result<_>>()?, Box::new(Outgoing::open()?)))
}

struct Incoming(TunnelReceiver);

impl RxQueue for Incoming {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        self.0.receive(max.min(BURST), |frame| lend(burst, frame));
    }

    fn recover(&mut self) -> bool {
        self.0.take_error();
        true
    }

    fn losses(&mut self) -> RxLosses {
        let (dropped, errors) = self.0.losses();
        RxLosses { dropped, errors }
    }
}

struct Outgoing {
    sender: TunnelSender,
    /// The address that the host sends from to each, by mark, if there is a way, and when it said so.
    sources: HashMap<(u128, u32), (Option<u128>, u64)>,
}

impl Outgoing {
    fn open() -> sys::Result<Self> {
        Ok(Self { sender: TunnelSender::open()?, sources: HashMap::new() })
    }
}

/// Asks the kernel; nothing is sent.
fn ask_source(to: u128, mark: u32) -> Option<u128> {
    let to = unmapped(to);
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    if mark != 0 {
        socket2::SockRef::from(&socket).set_mark(mark).ok()?;
    }
    socket.connect((to, SOME_PORT)).ok()?;
    Some(mapped(socket.local_addr().ok()?.ip()))
}

impl TxPort for Outgoing {
    fn send(&mut self, packets: &[TxPacket<'_>]) -> TxReport {
        send_all(packets, |queue| queue, |frames| self.sender.send(frames))
    }

    fn share(&self) -> Option<Box<dyn TxPort>> {
        Some(Box::new(Self::open().ok()?))
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn source(&mut self, to: u128, mark: u32) -> Option<u128> {
        let now = now_us();
        if let Some((source, _)) = self.sources.get(&(to, mark)).filter(|(_, at)| now.saturating_sub(*at) < BELIEVED_US)
        {
            return *source;
        }
        if self.sources.len() >= MOST_REMEMBERED {
            self.sources.clear();
        }
        let source = ask_source(to, mark);
        self.sources.insert((to, mark), (source, now));
        source
    }
}
