//! Echo requests from a network namespace, each waited for.
//!
//! `ping` gives up on its last request after two round trips, or a tenth of a second: on a busy machine an echo that came
//! is then told to be lost. Here what was asked is waited for.

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sockopt};
use nix::sys::time::TimeVal;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the first answer is waited for after the last request.
const FIRST: Duration = Duration::from_secs(2);
/// How long the others are, where one has come.
const REST: Duration = Duration::from_secs(10);
/// How many packets a socket may hold by the time its exchange ends: more than its memory has room for.
const LATE: usize = 10_000;
/// Octets of an IPv4 header without options, and of that of an echo.
const HEADERS: (usize, usize) = (20, 8);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoes {
    /// How many requests.
    pub count: u16,
    /// Octets of each behind its header.
    pub size: usize,
    /// The octet of IPv4's header that was once the type of service.
    pub tos: u8,
}

impl Echoes {
    /// So many as `ping` sends them.
    pub fn new(count: u16) -> Echoes {
        Echoes { count, size: 56, tos: 0 }
    }

    /// As the options `-s SIZE`, `-Q TOS` and `-M do` of `ping` say. The last is what the kernel does by itself with what
    /// fits the device. `None` if there is another.
    pub fn with(count: u32, options: &[&str]) -> Option<Echoes> {
        let mut echoes = Echoes::new(u16::try_from(count).ok()?);
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match *word {
                "-s" => echoes.size = words.next()?.parse().ok()?,
                "-Q" => echoes.tos = words.next()?.parse().ok()?,
                "-M" if words.next() == Some(&"do") => {}
                _ => return None,
            }
        }
        Some(echoes)
    }

    /// Sends them from the named namespace; how many were answered.
    ///
    /// # Errors
    /// Those of entering the namespace and of the socket. A request that could not be sent is one without an answer.
    pub fn exchange(self, namespace: &str, to: Ipv4Addr) -> Result<u32, String> {
        // Who entered a namespace stays there.
        thread::scope(|scope| {
            let apart =
                scope.spawn(|| self.exchange_here(namespace, to).map_err(|error| format!("echoes to {to}: {error}")));
            apart.join().unwrap_or_else(|_| Err("the thread of echoes panicked".to_owned()))
        })
    }

    fn exchange_here(self, namespace: &str, to: Ipv4Addr) -> Result<u32, String> {
        let file = File::open(format!("/run/netns/{namespace}")).map_err(|error| error.to_string())?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|error| error.to_string())?;
        let socket = self.socket().map_err(|error| error.to_string())?;
        let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
        let mut asked = Asked { socket, id: identifier(), size: self.size, answered: BTreeSet::new() };
        for number in 1..=self.count {
            // What is not sent is not answered.
            let request = request(asked.id, number, self.size);
            let _refused = socket::sendto(asked.socket.as_raw_fd(), &request, &to, MsgFlags::empty());
            let last = number == self.count;
            asked.hear(if last { FIRST } else { INTERVAL }, |answered| last && answered > 0);
        }
        let count = usize::from(self.count);
        if !asked.answered.is_empty() {
            asked.hear(REST, |answered| answered == count);
        }
        Ok(asked.answered.len() as u32)
    }

    fn socket(self) -> nix::Result<OwnedFd> {
        let socket = socket::socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)?;
        socket::setsockopt(&socket, sockopt::Ipv4Tos, &i32::from(self.tos))?;
        Ok(socket)
    }
}

/// A socket with requests under way.
struct Asked {
    socket: OwnedFd,
    id: u16,
    size: usize,
    answered: BTreeSet<u16>,
}

impl Asked {
    /// Takes answers until `limit` has passed or enough have come.
    fn hear(&mut self, limit: Duration, enough: impl Fn(usize) -> bool) {
        let end = Instant::now() + limit;
        let mut packet = vec![0; HEADERS.0 + HEADERS.1 + self.size + 64];
        // What waits is taken even by who comes late, but not for ever: a raw socket hears all echoes of its namespace,
        // and others may ask there without a pause.
        let mut late = 0;
        while !enough(self.answered.len()) && late < LATE {
            let left = end.saturating_duration_since(Instant::now());
            let is_late = left < Duration::from_millis(1);
            let flags = if is_late { MsgFlags::MSG_DONTWAIT } else { MsgFlags::empty() };
            late += usize::from(is_late);
            let left = TimeVal::new(left.as_secs() as i64, i64::from(left.subsec_micros()));
            if !is_late && socket::setsockopt(&self.socket, sockopt::ReceiveTimeout, &left).is_err() {
                return;
            }
            match socket::recv(self.socket.as_raw_fd(), &mut packet, flags) {
                Ok(length) => self.answered.extend(answer(&packet[..length], self.id)),
                // An error of the way, such as a neighbour that does not answer, is told once and is no end.
                Err(_) if !is_late => {}
                Err(_) => return,
            }
        }
    }
}

/// A number of an exchange, apart from those of others in the same namespace.
fn identifier() -> u16 {
    static MADE: AtomicU16 = AtomicU16::new(0);
    (std::process::id() as u16).wrapping_mul(97).wrapping_add(MADE.fetch_add(1, Ordering::Relaxed))
}

/// An echo request with its checksum.
fn request(id: u16, number: u16, size: usize) -> Vec<u8> {
    let mut octets = vec![8, 0, 0, 0];
    octets.extend(id.to_be_bytes());
    octets.extend(number.to_be_bytes());
    octets.extend((0..size).map(|at| at as u8));
    let sum: u32 =
        octets.chunks(2).map(|two| u32::from(two[0]) << 8 | two.get(1).map_or(0, |low| u32::from(*low))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    octets[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    octets
}

/// The number of the request that a packet answers, if it answers one of this identifier.
fn answer(packet: &[u8], id: u16) -> Option<u16> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let echo = packet.get(header..header + HEADERS.1)?;
    let is_ours = echo[0] == 0 && echo[4..6] == id.to_be_bytes();
    is_ours.then(|| u16::from_be_bytes([echo[6], echo[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_as_ping_has_them() {
        assert_eq!(Echoes::with(5, &[]), Some(Echoes { count: 5, size: 56, tos: 0 }));
        let all = ["-M", "do", "-s", "1472", "-Q", "4"];
        assert_eq!(Echoes::with(40, &all), Some(Echoes { count: 40, size: 1472, tos: 4 }));
        for other in [&["-i", "0.01"][..], &["-s"], &["-s", "x"], &["-M", "want"], &["-q"]] {
            assert_eq!(Echoes::with(1, other), None, "{other:?}");
        }
    }

    #[test]
    fn requests_have_their_sums_and_answers_their_numbers() {
        // By hand: 0800 + 1234 + 0007 = 1a3b, and its complement.
        assert_eq!(request(0x1234, 7, 0), [8, 0, 0xe5, 0xc4, 0x12, 0x34, 0, 7]);
        let mut reply = vec![0x45; 20];
        reply.extend([0, 0, 0, 0, 0x12, 0x34, 0, 7]);
        assert_eq!(answer(&reply, 0x1234), Some(7));
        assert_eq!(answer(&reply, 0x1235), None);
        assert_eq!(answer(&reply[..24], 0x1234), None);
        // The request itself, as a host that asks itself hears it.
        reply[20] = 8;
        assert_eq!(answer(&reply, 0x1234), None);
    }

    #[test]
    fn a_host_answers_itself() {
        let space = crate::lab::Namespace::new("echo").unwrap_or_else(|why| panic!("{why}"));
        let echoes = Echoes { count: 3, size: 2000, tos: 4 };
        assert_eq!(echoes.exchange(space.name(), Ipv4Addr::LOCALHOST), Ok(3));
        // Nobody is there: told at once, and no error.
        assert_eq!(Echoes::new(2).exchange(space.name(), Ipv4Addr::new(192, 0, 2, 1)), Ok(0));
        assert!(echoes.exchange("no such namespace", Ipv4Addr::LOCALHOST).is_err());
    }

    #[test]
    fn others_who_ask_without_a_pause_are_no_reason_to_wait() {
        let space = crate::lab::Namespace::new("noise").unwrap_or_else(|why| panic!("{why}"));
        let log = tempfile::NamedTempFile::new().unwrap_or_else(|why| panic!("{why}"));
        let noise = space.start(&["ping", "-q", "-f", "127.0.0.1"], log.path()).unwrap_or_else(|why| panic!("{why}"));
        let (sender, receiver) = std::sync::mpsc::channel();
        let name = space.name().to_owned();
        thread::spawn(move || sender.send(Echoes::new(3).exchange(&name, Ipv4Addr::LOCALHOST)));
        let told = receiver.recv_timeout(Duration::from_secs(60));
        drop(noise);
        // A flood may take the room of what was asked here.
        assert!(matches!(told, Ok(Ok(0..=3))), "{told:?}");
    }
}
