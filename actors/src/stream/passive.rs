//! Listens for peers.
//!
//! A Unix socket is made over a stale one and removed with its listener. A TLS handshake is the accepted
//! connection's own affair ([`Accepted::finish`]), so that one slow peer does not hold up the next.
//!
//! Peers never get a process's last file descriptors: those are for what it opens itself, and some of them for people's
//! control commands ([`Listener::for_control`]). Who comes when no others are left waits until there are.

use super::active::{UNIX_PATH_AT_MOST, errno_text, shorten};
use super::{Method, Stream, Tls};
use crate::unixctl::coverage::Counter;
use socket2::{Domain, Socket, Type};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

const BACKLOG: i32 = 1024;
/// Descriptors that peers leave: as many, but no larger a share than a quarter of what the process may have.
const LEFT_BY_PEERS: u64 = 64;
/// Who may connect to a Unix socket: its owner and group, as far as the process's mask has it.
const UNIX_MODE: nix::sys::stat::Mode = nix::sys::stat::Mode::S_IRWXU.union(nix::sys::stat::Mode::S_IRWXG);

#[derive(Debug)]
enum Kind {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
    Ssl(TcpListener, Tls),
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    /// Descriptors from this number on are not for peers.
    beyond: RawFd,
    /// Who has come, and waits for one that is.
    parked: RefCell<Option<Accepted>>,
}

/// A connection as accepted; TLS has still to shake hands.
#[derive(Debug)]
pub struct Accepted {
    /// The peer's name, as logs print it: `unix#3`, `tcp:127.0.0.1:40012`.
    pub name: String,
    stream: Raw,
}

#[derive(Debug)]
enum Raw {
    Unix(UnixStream),
    Tcp(TcpStream),
    Ssl(TcpStream, Tls),
}

impl Raw {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Raw::Unix(stream) => stream.as_raw_fd(),
            Raw::Tcp(stream) | Raw::Ssl(stream, _) => stream.as_raw_fd(),
        }
    }
}

static OPENED: Counter = Counter::new("pstream_open");
static UNIX_PEERS: AtomicU64 = AtomicU64::new(0);

/// The number that [`Listener::beyond`] has at first, and the one it has for control commands.
fn bounds() -> (RawFd, RawFd) {
    use nix::sys::resource::{Resource, getrlimit};
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let left = (most / 4).min(LEFT_BY_PEERS);
    let number = |n: u64| RawFd::try_from(n).unwrap_or(RawFd::MAX);
    (number(most - left), number(most - left / 2))
}

impl Listener {
    /// Starts to listen by a passive method. Must be called inside a runtime.
    ///
    /// # Errors
    /// Those of the operating system. They are logged too, as Open vSwitch logs them.
    pub fn bind(method: &Method, tls: &Tls) -> io::Result<Listener> {
        OPENED.add();
        let kind = match method {
            Method::PassiveUnix(path) => bind_unix(path)?,
            Method::PassiveTcp(port, ip) => Kind::Tcp(bind_tcp(*port, *ip)?),
            // A TLS configuration that is not complete may become so: it is judged at each connection.
            Method::PassiveSsl(port, ip) => Kind::Ssl(bind_tcp(*port, *ip)?, tls.clone()),
            Method::Unix(_) | Method::Tcp(_) | Method::Ssl(_) => {
                return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
            }
        };
        Ok(Listener { kind, beyond: bounds().0, parked: RefCell::new(None) })
    }

    /// Lets peers have some of the descriptors that those of other listeners leave.
    #[must_use]
    pub fn for_control(mut self) -> Listener {
        self.beyond = bounds().1;
        self
    }

    /// The port bound, for status columns and tests. `None` for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match &self.kind {
            Kind::Unix(..) => None,
            Kind::Tcp(l) | Kind::Ssl(l, _) => l.local_addr().ok().map(|a| a.port()),
        }
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// Those of `accept` (out of file descriptors, but for those that peers leave), and a TLS configuration that will
    /// not do; a caller pauses before it tries again.
    pub async fn accept(&self) -> io::Result<Accepted> {
        let (peer, descriptor) = match self.parked.take() {
            // The kernel gives the lowest number that is free.
            Some(peer) => (peer, self.as_fd().try_clone_to_owned().map_or(RawFd::MAX, |fd| fd.as_raw_fd())),
            None => {
                let peer = self.take().await?;
                let descriptor = peer.stream.as_raw_fd();
                (peer, descriptor)
            }
        };
        if descriptor >= self.beyond {
            *self.parked.borrow_mut() = Some(peer);
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        Ok(peer)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Unix(listener, _) => listener.as_fd(),
            Kind::Tcp(listener) | Kind::Ssl(listener, _) => listener.as_fd(),
        }
    }

    async fn take(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let number = UNIX_PEERS.fetch_add(1, Relaxed);
                Ok(Accepted { name: format!("unix#{number}"), stream: Raw::Unix(stream) })
            }
            Kind::Tcp(listener) => {
                let (stream, peer) = accept_tcp(listener).await?;
                Ok(Accepted { name: format!("tcp:{peer}"), stream: Raw::Tcp(stream) })
            }
            Kind::Ssl(listener, tls) => {
                let (stream, peer) = accept_tcp(listener).await?;
                // Without keys and certificates there is nobody to shake hands with.
                tls.context(false).inspect_err(|_| super::tls::drain(&stream))?;
                Ok(Accepted { name: format!("ssl:{peer}"), stream: Raw::Ssl(stream, tls.clone()) })
            }
        }
    }
}

impl Accepted {
    /// Completes the connection. The caller bounds the time it may take.
    ///
    /// # Errors
    /// Those of the TLS handshake.
    pub async fn finish(self) -> io::Result<Stream> {
        match self.stream {
            Raw::Unix(stream) => Ok(Stream::Unix(stream)),
            Raw::Tcp(stream) => Ok(Stream::Tcp(stream)),
            Raw::Ssl(stream, tls) => tls.accept(stream).await.map(|s| Stream::Ssl(Box::new(s))),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix(_, path) = &self.kind {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

fn bind_unix(path: &Path) -> io::Result<Kind> {
    let failed = |error: &io::Error| {
        vlog::err!("stream_unix", "{}: binding failed: {}", path.display(), errno_text(error));
    };
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).inspect_err(failed)?;
    let attempt = || {
        let (short, _directory) = shorten(path)?;
        debug_assert!(short.as_os_str().len() <= UNIX_PATH_AT_MOST);
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            vlog::warn!("socket_util_unix", "unlinking \"{}\": {}", path.display(), errno_text(&error));
            return Err(error);
        }
        // A socket's mode, less the process's mask, becomes that of the file that names it.
        nix::sys::stat::fchmod(&socket, UNIX_MODE)?;
        socket.bind(&socket2::SockAddr::unix(&short)?)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket.into())
    };
    match attempt() {
        Ok(listener) => Ok(Kind::Unix(listener, path.to_owned())),
        Err(error) => {
            if let Err(gone) = std::fs::remove_file(path) {
                vlog::warn!("fatal_signal", "could not unlink \"{}\" ({})", path.display(), errno_text(&gone));
            }
            failed(&error);
            Err(error)
        }
    }
}

fn bind_tcp(port: u16, ip: Option<IpAddr>) -> io::Result<TcpListener> {
    let target = match ip {
        None => port.to_string(),
        Some(IpAddr::V4(ip)) => format!("{port}:{ip}"),
        Some(IpAddr::V6(ip)) => format!("{port}:[{ip}]"),
    };
    let ip = ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if ip.is_ipv6() {
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    if let Err(error) = socket.bind(&address.into()) {
        vlog::err!("socket_util", "{target}: bind: {}", errno_text(&error));
        return Err(error);
    }
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    if port == 0 {
        let chosen = listener.local_addr()?.port();
        vlog::info!("socket_util", "{target}: listening on port {chosen}");
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[actix::test]
    async fn who_comes_when_none_but_the_last_descriptors_are_free_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let mut listener = Listener::bind(&Method::PassiveUnix(path.clone()), &Tls::default()).unwrap();
        assert_eq!(listener.beyond, bounds().0);
        assert!(bounds().0 < bounds().1);

        listener.beyond = 0;
        let mut first = UnixStream::connect(&path).await.unwrap();
        let mut second = UnixStream::connect(&path).await.unwrap();
        for _ in 0..3 {
            let refused = listener.accept().await.map(|peer| peer.name).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EMFILE));
        }
        listener.beyond = RawFd::MAX;
        // Nobody was turned away, and nobody taken twice.
        let names = [listener.accept().await.unwrap().name, listener.accept().await.unwrap().name];
        assert_ne!(names[0], names[1]);
        for client in [&mut first, &mut second] {
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
    }
}
