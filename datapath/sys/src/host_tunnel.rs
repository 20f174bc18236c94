//! Tunnels by the host's own IP stack (udp(7), raw(7), ip(7), ipv6(7)): datagrams of a UDP port, or packets of GRE, in both
//! directions, with the outer header that came or is to go.
//!
//! Packets begin with an Ethernet header, so that they look like those of a device; its last four octets of destination are the
//! packet's mark ([`mark`]), all other octets of its addresses zero. The kernel finds the way,
//! keeps to its filter and its policies, and puts fragments together; what is to leave has its addresses, type of service, time to
//! live and whether it may be cut up in its own header, and is checked by nobody else.

use std::io;
use std::mem::{size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::device;
use crate::error::{Error, Result, check};
use crate::frame::{Frame, VnetHdr, gso, vnet_flag};
use crate::tx::{TX_BATCH, TxFrame, TxOutcome};

/// Packets received at once.
const BATCH: usize = 32;
/// Room in front of what a socket gives: for the longest outer header, and some to push.
const HEADROOM: usize = 128;
/// Longest datagram.
const LONGEST: usize = 65_536;
const SLOT: usize = HEADROOM + LONGEST;
/// What the kernel may keep for a socket until it is read, octets.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
const SEND_BUFFER: libc::c_int = 4 << 20;
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;
/// `SK_MEMINFO_DROPS` of `SO_MEMINFO`, and the number of words it gives.
const DROPS: usize = 8;
const MEMINFO: usize = 9;
/// `UDP_NO_CHECK6_RX` (linux/udp.h).
const NO_CHECK6_RX: libc::c_int = 102;
/// Hardly a device takes fewer octets of IP; packets that are no longer are taken as they are.
const LONGEST_USUAL: usize = 1500;
/// `IP_DF`.
const DONT_FRAGMENT: u8 = 0x40;

/// `SO_RCVMARK` (asm-generic/socket.h), since Linux 5.19.
const RCVMARK: libc::c_int = 75;
/// Of `struct cmsghdr`: its length with what it announces, level and type.
const CONTROL_HEADER: usize = 16;

/// Where a packet's mark is in its Ethernet header, in network byte order.
pub const MARK: std::ops::Range<usize> = 2..6;

/// The mark of a packet of a tunnel; 0 for none.
pub fn mark(packet: &[u8]) -> u32 {
    packet.get(MARK).and_then(|octets| octets.first_chunk()).map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// What a tunnel's packets are carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// UDP, to this port.
    Udp(u16),
    /// GRE.
    Gre,
}

/// The sockets of one kind of tunnel, open as long as this is.
#[derive(Debug)]
pub struct HostTunnel {
    carrier: Carrier,
    v4: OwnedFd,
    /// Absent where the host has no IPv6.
    v6: Option<OwnedFd>,
}

fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    let fd = check("open a tunnel's socket", unsafe { libc::socket(domain, kind, protocol) })?;
    // SAFETY: the descriptor is fresh and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set<T: Copy>(fd: &OwnedFd, what: &'static str, level: libc::c_int, name: libc::c_int, value: &T) -> Result<()> {
    let (at, len) = ((value as *const T).cast(), size_of_val(value) as libc::socklen_t);
    // SAFETY: `value` is a live, plain value and its own size is passed; the kernel only reads it.
    check(what, unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, at, len) }).map(drop)
}

fn ask(fd: &OwnedFd, level: libc::c_int, names: &[libc::c_int]) -> Result<()> {
    names.iter().try_for_each(|name| set(fd, "ask for what came with a packet", level, *name, &1i32))
}

/// A buffer beyond the system's limit, or as much as that limit allows.
fn set_buffer(fd: &OwnedFd, force: libc::c_int, polite: libc::c_int, octets: libc::c_int) {
    if set(fd, "size a buffer", libc::SOL_SOCKET, force, &octets).is_err() {
        // Without CAP_NET_ADMIN the system's limit applies; the socket works all the same.
        let _ = set(fd, "size a buffer", libc::SOL_SOCKET, polite, &octets);
    }
}

fn address(to: IpAddr, port: u16) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero is a valid address.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let at = (&raw mut storage).cast::<u8>();
    let len = match to {
        IpAddr::V4(to) => {
            let address = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: port.to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(to).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: a storage has room for every address, at an alignment that is good for all.
            unsafe { at.cast::<libc::sockaddr_in>().write(address) };
            size_of::<libc::sockaddr_in>()
        }
        IpAddr::V6(to) => {
            let address = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: port.to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr { s6_addr: to.octets() },
                sin6_scope_id: 0,
            };
            // SAFETY: as above.
            unsafe { at.cast::<libc::sockaddr_in6>().write(address) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

fn bind(fd: &OwnedFd, to: IpAddr, port: u16) -> Result<()> {
    let (storage, len) = address(to, port);
    // SAFETY: the address is live and its size is passed; the kernel only reads it.
    check("bind a tunnel's socket", unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), len) }).map(drop)
}

impl HostTunnel {
    /// Opens the sockets in the calling thread's network namespace.
    ///
    /// # Errors
    /// Those of the kernel: `EADDRINUSE` where somebody else has the UDP port, `EPERM`.
    pub fn open(carrier: Carrier) -> Result<Self> {
        let (kind, protocol, port) = match carrier {
            Carrier::Udp(port) => (libc::SOCK_DGRAM, 0, Some(port)),
            Carrier::Gre => (libc::SOCK_RAW, libc::IPPROTO_GRE, None),
        };
        let v4 = socket(libc::AF_INET, kind, protocol)?;
        ask(&v4, libc::IPPROTO_IP, &[libc::IP_PKTINFO, libc::IP_RECVTOS, libc::IP_RECVTTL])?;
        set_buffer(&v4, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        // Older kernels do not tell of marks.
        let _ = ask(&v4, libc::SOL_SOCKET, &[RCVMARK]);
        if let Some(port) = port {
            bind(&v4, Ipv4Addr::UNSPECIFIED.into(), port)?;
        }
        let v6 = match socket(libc::AF_INET6, kind, protocol) {
            Ok(v6) => Some(v6),
            Err(error) if error.errno() == libc::EAFNOSUPPORT => None,
            Err(error) => return Err(error),
        };
        if let Some(v6) = &v6 {
            let names = [libc::IPV6_RECVPKTINFO, libc::IPV6_RECVTCLASS, libc::IPV6_RECVHOPLIMIT];
            ask(v6, libc::IPPROTO_IPV6, &names)?;
            let _ = ask(v6, libc::SOL_SOCKET, &[RCVMARK]);
            set_buffer(v6, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
            if let Some(port) = port {
                set(v6, "leave IPv4 to another socket", libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1i32)?;
                set(v6, "take packets without checksum", libc::IPPROTO_UDP, NO_CHECK6_RX, &1i32)?;
                bind(v6, Ipv6Addr::UNSPECIFIED.into(), port)?;
            }
        }
        Ok(Self { carrier, v4, v6 })
    }

    /// What receives, one for each version of IP.
    ///
    /// # Errors
    /// There are no more descriptors to be had.
    pub fn receivers(&self) -> Result<Vec<TunnelReceiver>> {
        let all = [(Some(&self.v4), false), (self.v6.as_ref(), true)];
        let all = all.into_iter().filter_map(|(fd, is_v6)| Some((fd?, is_v6)));
        all.map(|(fd, is_v6)| TunnelReceiver::new(fd, self.carrier, is_v6)).collect()
    }
}

/// Arrays of a `recvmmsg`, kept from call to call.
struct Received {
    names: [libc::sockaddr_storage; BATCH],
    control: [[u64; 16]; BATCH],
    parts: [libc::iovec; BATCH],
    messages: [libc::mmsghdr; BATCH],
}

// SAFETY: between calls the pointers in the arrays are stale, and never followed: every call fills what it passes to the
// kernel anew.
unsafe impl Send for Received {}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Received")
    }
}

/// The receiving half for one version of IP.
#[derive(Debug)]
pub struct TunnelReceiver {
    fd: OwnedFd,
    carrier: Carrier,
    is_v6: bool,
    /// Its pages are touched when they are first received into.
    memory: Vec<u8>,
    received: Box<Received>,
    truncated: u64,
}

/// What the kernel said beside a packet.
#[derive(Clone, Copy, Debug)]
struct Beside {
    from: IpAddr,
    from_port: u16,
    to: IpAddr,
    tos: u8,
    ttl: u8,
    /// The device it came by.
    ifindex: u32,
    mark: u32,
}

impl TunnelReceiver {
    fn new(fd: &OwnedFd, carrier: Carrier, is_v6: bool) -> Result<Self> {
        let fd = fd.try_clone().map_err(|source| Error { what: "duplicate a tunnel's socket", source })?;
        // SAFETY: all-zero is a valid value of every array.
        let received: Box<Received> = unsafe { Box::new(std::mem::zeroed()) };
        Ok(Self { fd, carrier, is_v6, memory: vec![0; BATCH * SLOT], received, truncated: 0 })
    }

    /// Takes up to `max` packets that are there.
    pub fn receive<'a>(&'a mut self, max: usize, mut each: impl FnMut(Frame<'a>)) -> usize {
        let Self { fd, carrier, is_v6, memory, received, truncated } = self;
        let max = max.min(BATCH);
        for (i, slot) in memory.chunks_exact_mut(SLOT).enumerate().take(max) {
            received.parts[i] = libc::iovec { iov_base: slot[HEADROOM..].as_mut_ptr().cast(), iov_len: LONGEST };
            let Received { names, control, parts, messages } = &mut **received;
            let head = &mut messages[i].msg_hdr;
            head.msg_name = (&raw mut names[i]).cast();
            head.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            head.msg_iov = &mut parts[i];
            head.msg_iovlen = 1;
            head.msg_control = control[i].as_mut_ptr().cast();
            head.msg_controllen = size_of_val(&control[i]);
            head.msg_flags = 0;
        }
        let messages = received.messages.as_mut_ptr();
        // SAFETY: every message points to live parts: names and control words in the box beside it, memory of its own slot;
        // the kernel writes no more than their lengths, and keeps no pointer after the call.
        let n = unsafe {
            libc::recvmmsg(fd.as_raw_fd(), messages, max as libc::c_uint, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let Ok(n) = usize::try_from(n) else { return 0 };
        for (i, slot) in memory.chunks_exact_mut(SLOT).enumerate().take(n) {
            let message = &received.messages[i];
            let len = message.msg_len as usize;
            let control = control_octets(&received.control[i], message.msg_hdr.msg_controllen);
            let beside = beside(&received.names[i], control, *is_v6);
            if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
                *truncated += 1;
            } else if let Some(beside) = beside
                && let Some(start) = put_header(slot, len, *carrier, &beside)
            {
                let len = HEADROOM + len - start;
                let mut vnet = VnetHdr { flags: vnet_flag::DATA_VALID, ..VnetHdr::default() };
                if let Some(mtu) = exceeded_mtu(len - ETHERNET, beside.ifindex) {
                    (vnet.gso_type, vnet.gso_size) = (gso::OUTER, mtu);
                }
                each(Frame { len, buf: slot, start, vnet, timestamp_ns: 0 });
            }
        }
        n
    }

    /// Packets that the kernel had no room for, and those that came truncated; since the socket was opened.
    pub fn losses(&self) -> (u64, u64) {
        let mut words = [0u32; MEMINFO];
        let mut len = size_of_val(&words) as libc::socklen_t;
        let at = words.as_mut_ptr().cast();
        // SAFETY: the kernel writes at most `len` octets into `words`, a live array of that size.
        unsafe { libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, at, &mut len) };
        (words[DROPS].into(), self.truncated)
    }

    /// Takes the pending error, so that it wakes nobody again.
    pub fn take_error(&self) {
        let mut error: libc::c_int = 0;
        let mut len = size_of_val(&error) as libc::socklen_t;
        let at = (&raw mut error).cast();
        // SAFETY: the kernel writes one number, of this type, into the live variable.
        unsafe { libc::getsockopt(self.fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, at, &mut len) };
    }

    /// What to wait for.
    pub fn poll_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The MTU of the device that a packet of IP came by, if it is longer: it came from a device that takes packets to be cut later.
fn exceeded_mtu(len: usize, ifindex: u32) -> Option<u16> {
    if len <= LONGEST_USUAL {
        return None;
    }
    let mtu = device::mtu(&device::name(ifindex).ok()?).ok()?;
    u16::try_from(mtu).ok().filter(|mtu| len > usize::from(*mtu))
}

/// The octets of control words that the kernel has written.
fn control_octets(words: &[u64], len: usize) -> &[u8] {
    let len = len.min(size_of_val(words));
    // SAFETY: the octets of live words, no more than there are; any value is one of an octet.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), len) }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*octets.get(at..)?.first_chunk()?))
}

/// Reads what came beside a packet; `None` if something is missing.
fn beside(name: &libc::sockaddr_storage, mut control: &[u8], is_v6: bool) -> Option<Beside> {
    let (mut to, mut tos, mut ttl, mut ifindex, mut mark) = (None, 0, 0, 0, 0);
    while let Some(len) = control.first_chunk().map(|len| usize::from_ne_bytes(*len)) {
        let Some(data) = control.get(CONTROL_HEADER..len) else { break };
        let number = || data.first().copied().unwrap_or_default();
        match (word(control, 8)? as libc::c_int, word(control, 12)? as libc::c_int) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // Index, the host's address, the header's.
                let octets: [u8; 4] = *data.get(8..)?.first_chunk()?;
                (to, ifindex) = (Some(IpAddr::from(octets)), word(data, 0)?);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let octets: [u8; 16] = *data.first_chunk()?;
                (to, ifindex) = (Some(IpAddr::from(octets)), word(data, 16)?);
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => tos = number(),
            (libc::SOL_SOCKET, libc::SO_MARK) => mark = word(data, 0)?,
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => tos = word(data, 0)? as u8,
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => ttl = word(data, 0)? as u8,
            _ => {}
        }
        control = control.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    let at = std::ptr::from_ref(name).cast::<u8>();
    let (from, from_port) = if is_v6 {
        // SAFETY: a live storage, of which every octet is written, is as long and as aligned as every address.
        let name = unsafe { at.cast::<libc::sockaddr_in6>().read() };
        (IpAddr::from(name.sin6_addr.s6_addr), name.sin6_port)
    } else {
        // SAFETY: as above.
        let name = unsafe { at.cast::<libc::sockaddr_in>().read() };
        (IpAddr::from(name.sin_addr.s_addr.to_ne_bytes()), name.sin_port)
    };
    Some(Beside { from, from_port: u16::from_be(from_port), to: to?, tos, ttl, ifindex, mark })
}

/// Puts the outer header, which the kernel has taken off, in front of `len` octets behind [`HEADROOM`]; where it begins.
fn put_header(slot: &mut [u8], len: usize, carrier: Carrier, beside: &Beside) -> Option<usize> {
    let (protocol, l4) = match carrier {
        Carrier::Udp(_) => (libc::IPPROTO_UDP as u8, UDP),
        Carrier::Gre => (libc::IPPROTO_GRE as u8, 0),
    };
    let payload = u16::try_from(l4 + len).ok()?;
    let mut l3 = [0; IPV6];
    let (ip, ethertype) = match (beside.from, beside.to, carrier) {
        // A raw socket of IPv4 has its header.
        (IpAddr::V4(_), IpAddr::V4(_), Carrier::Gre) => (0, libc::ETH_P_IP),
        (IpAddr::V4(from), IpAddr::V4(to), _) => {
            l3[..2].copy_from_slice(&[0x45, beside.tos]);
            l3[2..4].copy_from_slice(&payload.checked_add(IPV4 as u16)?.to_be_bytes());
            l3[8..10].copy_from_slice(&[beside.ttl, protocol]);
            l3[12..16].copy_from_slice(&from.octets());
            l3[16..20].copy_from_slice(&to.octets());
            (IPV4, libc::ETH_P_IP)
        }
        (IpAddr::V6(from), IpAddr::V6(to), _) => {
            l3[..4].copy_from_slice(&(6u32 << 28 | u32::from(beside.tos) << 20).to_be_bytes());
            l3[4..6].copy_from_slice(&payload.to_be_bytes());
            l3[6..8].copy_from_slice(&[protocol, beside.ttl]);
            l3[8..24].copy_from_slice(&from.octets());
            l3[24..40].copy_from_slice(&to.octets());
            (IPV6, libc::ETH_P_IPV6)
        }
        _ => return None,
    };
    let start = HEADROOM.checked_sub(ETHERNET + ip + l4)?;
    let head = slot.get_mut(start..HEADROOM)?;
    head[..ETHERNET - 2].fill(0);
    head[MARK].copy_from_slice(&beside.mark.to_be_bytes());
    head[ETHERNET - 2..ETHERNET].copy_from_slice(&(ethertype as u16).to_be_bytes());
    head[ETHERNET..ETHERNET + ip].copy_from_slice(&l3[..ip]);
    if let Carrier::Udp(port) = carrier {
        let udp = &mut head[ETHERNET + ip..];
        udp[0..2].copy_from_slice(&beside.from_port.to_be_bytes());
        udp[2..4].copy_from_slice(&port.to_be_bytes());
        udp[4..6].copy_from_slice(&payload.to_be_bytes());
        udp[6..8].fill(0);
    }
    Some(start)
}

/// Arrays of a `sendmmsg`, kept from call to call.
struct Sent {
    names: [libc::sockaddr_storage; TX_BATCH],
    parts: [libc::iovec; TX_BATCH],
    /// A header and a mark each.
    control: [[u64; 3]; TX_BATCH],
    messages: [libc::mmsghdr; TX_BATCH],
}

// SAFETY: as of `Received`.
unsafe impl Send for Sent {}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sent")
    }
}

/// What sends packets of IP by the host's stack, whatever they carry.
#[derive(Debug)]
pub struct TunnelSender {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
    sent: Box<Sent>,
}

/// What is wanted of the host with a packet of IP.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    tos: u8,
    ttl: u8,
    may_be_cut: bool,
}

impl Wanted {
    /// Reads the header of a packet behind Ethernet's.
    fn read(packet: &[u8]) -> Option<Self> {
        let ip = packet.get(ETHERNET..)?;
        match ip.first()? >> 4 {
            4 => {
                let head: &[u8; IPV4] = ip.first_chunk()?;
                let address = |at: usize| IpAddr::from([head[at], head[at + 1], head[at + 2], head[at + 3]]);
                let may_be_cut = head[6] & DONT_FRAGMENT == 0;
                let (from, to) = (address(12), address(16));
                Some(Self { from, to, protocol: head[9], tos: head[1], ttl: head[8], may_be_cut })
            }
            6 => {
                let (from, to): (&[u8; 16], &[u8; 16]) = (ip.get(8..)?.first_chunk()?, ip.get(24..)?.first_chunk()?);
                let tos = ip[0] << 4 | ip.get(1)? >> 4;
                let (from, to) = (IpAddr::from(*from), IpAddr::from(*to));
                Some(Self { from, to, protocol: ip[6], tos, ttl: ip[7], may_be_cut: false })
            }
            _ => None,
        }
    }
}

impl TunnelSender {
    /// Opens sockets, which receive nothing, in the calling thread's network namespace.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn open() -> Result<Self> {
        let v4 = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        let v6 = socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_RAW).ok();
        for fd in [Some(&v4), v6.as_ref()].into_iter().flatten() {
            set_buffer(fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, SEND_BUFFER);
        }
        // SAFETY: all-zero is a valid value of every array.
        let sent: Box<Sent> = unsafe { Box::new(std::mem::zeroed()) };
        Ok(Self { v4, v6, sent })
    }

    /// Sends the packets in order: whole packets of IP behind an Ethernet header that nobody looks at.
    pub fn send(&mut self, frames: &[TxFrame<'_>]) -> TxOutcome {
        let mut outcome = TxOutcome::default();
        let mut rest = frames;
        while !rest.is_empty() {
            let Some(first) = rest.first().and_then(|frame| Wanted::read(frame.body)) else {
                outcome.refused += 1;
                rest = &rest[1..];
                continue;
            };
            let is_same = |frame: &&TxFrame<'_>| {
                Wanted::read(frame.body).is_some_and(|wanted| wanted.to.is_ipv6() == first.to.is_ipv6())
            };
            let same = rest.iter().take_while(is_same).take(TX_BATCH).count().max(1);
            let (run, after) = rest.split_at(same);
            self.send_run(run, first.to.is_ipv6(), &mut outcome);
            rest = after;
        }
        outcome
    }

    fn send_run(&mut self, frames: &[TxFrame<'_>], is_v6: bool, outcome: &mut TxOutcome) {
        let Some(fd) = (if is_v6 { self.v6.as_ref() } else { Some(&self.v4) }) else {
            outcome.refused += frames.len() as u32;
            return;
        };
        let Sent { names, parts, control, messages } = &mut *self.sent;
        for (i, frame) in frames.iter().enumerate() {
            let Some(wanted) = Wanted::read(frame.body) else { continue };
            let (name, len) = address(wanted.to, 0);
            names[i] = name;
            let packet = &frame.body[ETHERNET..];
            parts[i] = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
            messages[i].msg_hdr.msg_name = (&raw mut names[i]).cast();
            messages[i].msg_hdr.msg_namelen = len;
            messages[i].msg_hdr.msg_iov = &mut parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            let mark = mark(frame.body);
            control[i] = marked(mark);
            messages[i].msg_hdr.msg_control = control[i].as_mut_ptr().cast();
            messages[i].msg_hdr.msg_controllen = if mark == 0 { 0 } else { size_of_val(&control[i]) };
        }
        let mut at = 0;
        while at < frames.len() {
            let rest = &mut messages[at..frames.len()];
            let (first, n) = (rest.as_mut_ptr(), rest.len() as libc::c_uint);
            // SAFETY: every message points to live parts: names in the box beside it, packets borrowed by the caller; the
            // kernel only reads them, and keeps no pointer after the call.
            let n = unsafe { libc::sendmmsg(fd.as_raw_fd(), first, n, libc::MSG_DONTWAIT) };
            if let Ok(n @ 1..) = usize::try_from(n) {
                outcome.sent += n as u32;
                outcome.sent_bytes += frames[at..at + n].iter().map(|f| f.len() as u64).sum::<u64>();
                at += n;
                continue;
            }
            match Error::last("send").errno() {
                libc::EINTR => {}
                libc::EAGAIN => {
                    outcome.full += (frames.len() - at) as u32;
                    return;
                }
                libc::EMSGSIZE => {
                    let in_pieces = send_in_pieces(frames[at].body);
                    outcome.sent += u32::from(in_pieces.is_ok());
                    outcome.sent_bytes += if in_pieces.is_ok() { frames[at].len() as u64 } else { 0 };
                    outcome.too_long += u32::from(in_pieces.is_err());
                    at += 1;
                }
                libc::ENOBUFS => {
                    outcome.full += 1;
                    at += 1;
                }
                libc::ENETDOWN => {
                    outcome.down += 1;
                    at += 1;
                }
                _ => {
                    outcome.refused += 1;
                    at += 1;
                }
            }
        }
    }
}

/// What asks the kernel for a mark on a packet.
fn marked(mark: u32) -> [u64; 3] {
    let len = CONTROL_HEADER + size_of::<u32>();
    let mut octets = [0; 24];
    octets[..8].copy_from_slice(&len.to_ne_bytes());
    octets[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    octets[12..16].copy_from_slice(&libc::SO_MARK.to_ne_bytes());
    octets[16..20].copy_from_slice(&mark.to_ne_bytes());
    let word = |at: usize| u64::from_ne_bytes(octets[at..at + 8].try_into().unwrap_or_default());
    [word(0), word(8), word(16)]
}

/// Sends one packet of IPv4 that is longer than its way takes, and may be cut up, in fragments: the kernel makes those of
/// packets whose header is its own alone.
#[cold]
fn send_in_pieces(packet: &[u8]) -> Result<()> {
    let what = "send a packet in fragments";
    let wanted = Wanted::read(packet).filter(|wanted| wanted.may_be_cut);
    let (Some(wanted), Some(payload)) = (wanted, packet.get(ETHERNET + IPV4..)) else {
        return Err(Error::os(what, libc::EMSGSIZE));
    };
    let fd = socket(libc::AF_INET, libc::SOCK_RAW, wanted.protocol.into())?;
    // It receives nothing while it is there.
    let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
    let nothing = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
    set(&fd, what, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &nothing)?;
    set(&fd, what, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &libc::IP_PMTUDISC_DONT)?;
    set(&fd, what, libc::IPPROTO_IP, libc::IP_TOS, &libc::c_int::from(wanted.tos))?;
    set(&fd, what, libc::IPPROTO_IP, libc::IP_TTL, &libc::c_int::from(wanted.ttl.max(1)))?;
    set(&fd, what, libc::SOL_SOCKET, libc::SO_MARK, &mark(packet))?;
    bind(&fd, wanted.from, 0)?;
    let (name, len) = address(wanted.to, 0);
    // SAFETY: payload and address are live, and their lengths passed; the kernel only reads them.
    let n = unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            libc::MSG_DONTWAIT,
            (&raw const name).cast(),
            len,
        )
    };
    if n < 0 { Err(Error { what, source: io::Error::last_os_error() }) } else { Ok(()) }
}
