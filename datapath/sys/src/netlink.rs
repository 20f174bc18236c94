//! Just enough route netlink for what must be done on the thread that owns a ring: a request, its
//! acknowledgement (netlink(7), rtnetlink(7)). All else about links belongs to a netlink crate.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::{Error, Result, check};

const HEADER: usize = 16;

/// A message under construction.
#[derive(Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of type `kind`; an acknowledgement is always asked for.
    pub(crate) fn new(kind: u16, flags: i32) -> Self {
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self { bytes }
    }

    /// Appends plain bytes, padded to four.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Appends an attribute.
    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let len = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.put(value)
    }

    /// Appends an attribute made of what `fill` appends.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.attr(kind, &[]);
        fill(self);
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// What it is so far; its length is filled in when it is sent.
    #[cfg(test)]
    pub(crate) fn octets(&self) -> &[u8] {
        &self.bytes
    }

    /// Sends the request in the calling thread's network namespace: the socket that its answer comes to.
    fn ask(&mut self, what: &'static str) -> Result<OwnedFd> {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_ROUTE) };
        let fd = check("open a netlink socket", fd)?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: the kernel reads the live message. An unbound socket sends to the kernel by default.
        let sent = unsafe { libc::send(fd.as_raw_fd(), self.bytes.as_ptr().cast(), self.bytes.len(), 0) };
        if sent < 0 { Err(Error::last(what)) } else { Ok(fd) }
    }

    /// Sends the request and awaits its acknowledgement.
    pub(crate) fn send(&mut self, what: &'static str) -> Result<()> {
        let socket = self.ask(what)?;
        let mut reply = [0u8; 4096];
        let got = receive(&socket, &mut reply, what)?;
        let Some(error) = got.get(HEADER..HEADER + 4).filter(|_| kind(got) == libc::NLMSG_ERROR) else {
            // What was asked for; its acknowledgement follows.
            return if got.len() > HEADER { Ok(()) } else { Err(Error::os(what, libc::EPROTO)) };
        };
        let errno = read_i32(error);
        if errno == 0 { Ok(()) } else { Err(Error::os(what, -errno)) }
    }

    /// Sends a request for something, or a list: what is told, each with a fixed part of so many octets.
    pub(crate) fn answers(&mut self, what: &'static str, fixed: usize) -> Result<Vec<Answer>> {
        let socket = self.ask(what)?;
        let mut reply = vec![0u8; 32_768];
        let mut answers = Vec::new();
        loop {
            let mut rest = receive(&socket, &mut reply, what)?;
            if rest.is_empty() {
                return Err(Error::os(what, libc::EPROTO));
            }
            while let Some(header) = rest.get(..HEADER) {
                let len = (read_i32(header) as usize).clamp(HEADER, rest.len());
                let (one, others) = (&rest[..len], rest.get(len.next_multiple_of(4)..).unwrap_or_default());
                match (kind(one), one.get(HEADER..HEADER + 4).map_or(0, read_i32)) {
                    (libc::NLMSG_DONE, _) | (libc::NLMSG_ERROR, 0) => return Ok(answers),
                    (libc::NLMSG_ERROR, errno) => return Err(Error::os(what, -errno)),
                    _ => answers.extend(Answer::of(&one[HEADER..], fixed)),
                }
                rest = others;
            }
        }
    }

    /// Sends a request for a list: whether there is anything on it.
    pub(crate) fn is_answered(&mut self, what: &'static str) -> Result<bool> {
        let socket = self.ask(what)?;
        let mut reply = [0u8; 32_768];
        let got = receive(&socket, &mut reply, what)?;
        match kind(got) {
            libc::NLMSG_DONE => Ok(false),
            libc::NLMSG_ERROR => Err(Error::os(what, libc::EPROTO)),
            _ => Ok(true),
        }
    }
}

/// What the kernel tells of one thing.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) fixed: Vec<u8>,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Answer {
    fn of(octets: &[u8], fixed: usize) -> Option<Self> {
        let (fixed, mut rest) = octets.split_at_checked(fixed)?;
        let mut attributes = Vec::new();
        while let Some(header) = rest.get(..4) {
            let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
            let Some(value) = rest.get(4..len) else { break };
            attributes.push((u16::from_ne_bytes([header[2], header[3]]), value.to_vec()));
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Some(Self { fixed: fixed.to_vec(), attributes })
    }

    /// An attribute that is a number of 32 bits.
    pub(crate) fn number(&self, kind: u16) -> Option<u32> {
        let (_, value) = self.attributes.iter().find(|(k, _)| *k == kind)?;
        value.first_chunk().map(|four| u32::from_ne_bytes(*four))
    }
}

/// The type of the first message.
fn kind(octets: &[u8]) -> i32 {
    octets.get(4..6).map_or(0, |two| i32::from(u16::from_ne_bytes([two[0], two[1]])))
}

/// The number that begins these octets, of which there are four and more.
fn read_i32(octets: &[u8]) -> i32 {
    octets.first_chunk().map_or(0, |four| i32::from_ne_bytes(*four))
}

/// Takes an answer, which the kernel has given by the time that the request was sent: this does not wait.
fn receive<'a>(socket: &OwnedFd, reply: &'a mut [u8], what: &'static str) -> Result<&'a [u8]> {
    // SAFETY: at most `reply.len()` bytes are written into the live buffer.
    let got = unsafe { libc::recv(socket.as_raw_fd(), reply.as_mut_ptr().cast(), reply.len(), libc::MSG_DONTWAIT) };
    usize::try_from(got).map(|len| &reply[..len.min(reply.len())]).map_err(|_| Error::last(what))
}

/// The fixed part of a link message.
pub(crate) fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut b = [0; 16];
    b[4..8].copy_from_slice(&index.to_ne_bytes());
    b[8..12].copy_from_slice(&flags.to_ne_bytes());
    b[12..16].copy_from_slice(&change.to_ne_bytes());
    b
}

/// A string attribute's bytes.
fn zero_terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// Makes a pair of virtual Ethernet devices in the calling thread's network namespace, both down.
pub fn add_veth(name: &str, peer: &str) -> Result<()> {
    const VETH_INFO_PEER: u16 = 1;
    Message::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
        .put(&ifinfo(0, 0, 0))
        .attr(libc::IFLA_IFNAME, &zero_terminated(name))
        .nest(libc::IFLA_LINKINFO, |m| {
            m.attr(libc::IFLA_INFO_KIND, b"veth").nest(libc::IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| {
                    m.put(&ifinfo(0, 0, 0)).attr(libc::IFLA_IFNAME, &zero_terminated(peer));
                });
            });
        })
        .send("make a veth pair")
}

/// Deletes a device.
pub fn delete_link(index: u32) -> Result<()> {
    Message::new(libc::RTM_DELLINK, 0).put(&ifinfo(index, 0, 0)).send("delete a device")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_far_as_they_go() {
        for (octets, expect) in [
            (&[1, 2, 3, 4, 8, 0, 5, 0, 7, 0, 0, 0, 6, 0, 9, 0, 1, 1, 0, 0][..], Some((Some(7), None))),
            (&[1, 2, 3, 4], Some((None, None))),
            (&[1, 2, 3, 4, 8, 0, 5, 0, 7, 0], Some((None, None))),
            (&[1, 2, 3, 4, 2, 0, 5, 0, 8, 0, 5, 0, 7, 0, 0, 0], Some((None, None))),
            (&[1, 2, 3], None),
        ] {
            let octets: Vec<u8> = octets.to_vec();
            let answer = Answer::of(&octets, 4);
            assert_eq!(answer.as_ref().map(|a| (a.number(5), a.number(9))), expect, "{octets:?}");
            assert!(answer.is_none_or(|answer| answer.fixed == [1, 2, 3, 4]));
        }
    }
}
