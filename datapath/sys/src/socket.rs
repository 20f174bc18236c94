//! A packet socket and its options (packet(7)).

use std::mem::{size_of, size_of_val};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::bpf::Program;
use crate::closer::SlowFd;
use crate::error::{Error, Result, check};

/// A tag that is kept beside a frame: protocol and control information.
pub(crate) type Tag = (u16, u16);

/// A raw packet socket, non-blocking, closed on exec; it receives nothing until it is bound.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    fd: SlowFd,
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl PacketSocket {
    /// Opens a socket of protocol 0 in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Self> {
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is passed.
        let fd = check("open a packet socket", unsafe { libc::socket(libc::AF_PACKET, flags, 0) })?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        Ok(Self { fd: SlowFd::new(unsafe { OwnedFd::from_raw_fd(fd) }) })
    }

    /// `setsockopt` with a plain value.
    pub(crate) fn set<T: Copy>(&self, what: &'static str, level: i32, name: i32, value: &T) -> Result<()> {
        // SAFETY: `value` is a live, plain value and its own size is passed; the kernel only reads it.
        let rc = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                name,
                (value as *const T).cast(),
                size_of_val(value) as libc::socklen_t,
            )
        };
        check(what, rc).map(drop)
    }

    /// `setsockopt` of a packet-level integer.
    pub(crate) fn set_int(&self, what: &'static str, name: i32, value: i32) -> Result<()> {
        self.set(what, libc::SOL_PACKET, name, &value)
    }

    /// `getsockopt` into words; says how many bytes came.
    pub(crate) fn get_words<const N: usize>(&self, what: &'static str, level: i32, name: i32) -> Result<[u32; N]> {
        let mut words = [0u32; N];
        let mut len = size_of_val(&words) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes into `words`, a live array of that size.
        let rc = unsafe { libc::getsockopt(self.fd.as_raw_fd(), level, name, words.as_mut_ptr().cast(), &mut len) };
        check(what, rc)?;
        Ok(words)
    }

    /// Binds to a device; `protocol` in host order, 0 to receive nothing.
    pub(crate) fn bind(&self, ifindex: u32, protocol: u16) -> Result<()> {
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut addr: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        addr.sll_family = libc::AF_PACKET as u16;
        addr.sll_protocol = protocol.to_be();
        addr.sll_ifindex = ifindex as i32;
        // SAFETY: `addr` is live and its size is passed; the kernel only reads it.
        let rc = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&addr as *const libc::sockaddr_ll).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        check("bind a packet socket", rc).map(drop)
    }

    /// Takes the socket's pending error (`SO_ERROR`), 0 if none; ends a POLLERR.
    pub(crate) fn take_error(&self) -> i32 {
        match self.get_words::<1>("read a socket's error", libc::SOL_SOCKET, libc::SO_ERROR) {
            Ok([errno]) => errno as i32,
            Err(e) => e.errno(),
        }
    }

    /// Whether the device it was bound to is still there, by this name or another, and in the same namespace.
    pub(crate) fn is_attached(&self) -> bool {
        // SAFETY: all-zero is a valid sockaddr_ll.
        let mut addr: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let address = (&mut addr as *mut libc::sockaddr_ll).cast();
        // SAFETY: the kernel writes at most `len` bytes into the live address.
        let rc = unsafe { libc::getsockname(self.fd.as_raw_fd(), address, &mut len) };
        rc == 0 && addr.sll_ifindex > 0
    }

    /// A second descriptor of the same socket.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let fd = self.fd.as_fd().try_clone_to_owned();
        Ok(Self { fd: SlowFd::new(fd.map_err(|source| Error { what: "duplicate a packet socket", source })?) })
    }

    /// Sees every frame of the device, not only those addressed to it.
    pub(crate) fn set_promiscuous(&self, ifindex: u32) -> Result<()> {
        let request = libc::packet_mreq {
            mr_ifindex: ifindex as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set("enter promiscuous mode", libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// Has a program say how much of each frame the socket is to have, in place of any other.
    pub(crate) fn attach(&self, program: &Program) -> Result<()> {
        self.set("attach a program to a socket", libc::SOL_SOCKET, libc::SO_ATTACH_BPF, &program.as_fd().as_raw_fd())
    }

    /// Receives nothing more, at once.
    pub(crate) fn drop_everything(&self) -> Result<()> {
        let mut program = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
        // The program is live until the call has copied it.
        let request = libc::sock_fprog { len: 1, filter: program.as_mut_ptr() };
        self.set("stop a ring", libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &request)
    }

    /// Receives again after [`PacketSocket::drop_everything`].
    pub(crate) fn drop_nothing(&self) -> Result<()> {
        self.set("start a ring again", libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &0)
    }

    /// Asks for a send or receive buffer beyond the system's limit, or for as much as that limit allows.
    pub(crate) fn set_buffer(&self, force: i32, polite: i32, bytes: i32) {
        if self.set("size a buffer", libc::SOL_SOCKET, force, &bytes).is_err() {
            // Without CAP_NET_ADMIN the system's limit applies; the socket works all the same.
            let _ = self.set("size a buffer", libc::SOL_SOCKET, polite, &bytes);
        }
    }

    /// Closes it here and now, which takes the kernel a grace period.
    pub(crate) fn close_now(self) {
        self.fd.close_now();
    }

    /// Whether a frame waits to be received.
    pub(crate) fn has_frame(&self) -> bool {
        let mut len: libc::c_int = 0;
        // SAFETY: the kernel writes one number, of this type, into the live variable.
        let rc = unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &mut len) };
        rc == 0 && len > 0
    }

    /// Receives one frame in two parts, as [`PacketSocket::recv_parts`] does, and the tag (protocol, control information)
    /// that the kernel keeps beside it, which must have been asked for (`PACKET_AUXDATA`).
    pub(crate) fn recv_tagged(&self, head: &mut [u8], frame: &mut [u8]) -> Result<Option<(usize, Option<Tag>)>> {
        /// Of `struct tpacket_auxdata`: the status, and behind it lengths and offsets.
        const STATUS: usize = 0;
        const TCI: usize = 16;
        const TPID: usize = 18;
        let mut control = [0u64; 8];
        let (n, control) = match self.recv(head, frame, &mut control)? {
            Some(received) => received,
            None => return Ok(None),
        };
        // A header (length of 8 octets, level, type), and what it announces.
        let word = |at: usize| control.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_ne_bytes);
        let half = |at: usize| control.get(at..at + 2).and_then(|w| w.try_into().ok()).map_or(0, u16::from_ne_bytes);
        let is_told = word(8) == libc::SOL_PACKET as u32 && word(12) == libc::PACKET_AUXDATA as u32;
        let status = word(16 + STATUS);
        let tag = (is_told && status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let is_named = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
            (if is_named { half(16 + TPID) } else { libc::ETH_P_8021Q as u16 }, half(16 + TCI))
        });
        Ok(Some((n, tag)))
    }

    /// Receives one datagram in two parts, vnet header and frame; `Ok(None)` when there is none.
    pub(crate) fn recv_parts(&self, head: &mut [u8], frame: &mut [u8]) -> Result<Option<usize>> {
        Ok(self.recv(head, frame, &mut [])?.map(|(n, _)| n))
    }

    /// Receives one datagram in two parts, and what the kernel says of it beside.
    fn recv<'c>(&self, head: &mut [u8], frame: &mut [u8], control: &'c mut [u64]) -> Result<Option<(usize, &'c [u8])>> {
        let mut iov = [
            libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: head.len() },
            libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() },
        ];
        // SAFETY: all-zero is a valid msghdr.
        let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
        msg.msg_iov = iov.as_mut_ptr();
        msg.msg_iovlen = iov.len();
        if !control.is_empty() {
            msg.msg_control = control.as_mut_ptr().cast();
            msg.msg_controllen = size_of_val(control);
        }
        // SAFETY: all parts are live, exclusively ours and described by their own lengths.
        let n = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &mut msg, libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
        match usize::try_from(n) {
            Ok(n) => {
                let told = msg.msg_controllen.min(size_of_val(control));
                // SAFETY: the octets of live words, no more than there are; any value is one of an octet.
                Ok(Some((n, unsafe { std::slice::from_raw_parts(control.as_ptr().cast(), told) })))
            }
            Err(_) => {
                let e = Error::last("receive a frame");
                if e.errno() == libc::EAGAIN || e.errno() == libc::EINTR { Ok(None) } else { Err(e) }
            }
        }
    }
}
