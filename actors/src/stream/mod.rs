//! Byte streams by name: `unix:FILE`, `tcp:HOST[:PORT]`, `ssl:HOST[:PORT]`, and their passive forms
//! `punix:FILE`, `ptcp:[PORT][:HOST]`, `pssl:[PORT][:HOST]`.
//!
//! Source: ovsdb(7), "Connection Methods"; ovs-vswitchd.conf.db(5), `target`. Default ports are the caller's
//! (6640 for OVSDB, 6653 for OpenFlow). Deliberately absent: framing, reconnection, and Windows pipes.

mod active;
mod name;
mod passive;
mod tls;

pub use active::{connect, errno_text};
pub(crate) use active::{note_attempt, prepare};
pub use name::{HostPort, Method, NameError, OPENFLOW_PORT, OVSDB_PORT};
pub use passive::{Accepted, Listener};
pub use tls::{Tls, TlsFiles};

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected byte stream of any kind.
#[derive(Debug)]
pub enum Stream {
    /// A Unix socket.
    Unix(UnixStream),
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Ssl(Box<tokio_openssl::SslStream<TcpStream>>),
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Stream::Ssl(stream) = self {
            // One attempt to say goodbye: without it the peer takes the end for a fault.
            let mut context = Context::from_waker(std::task::Waker::noop());
            let _ = Pin::new(stream.as_mut()).poll_shutdown(&mut context);
        }
    }
}

impl Stream {
    /// The common name of the peer's certificate: the role key of RBAC. `None` without TLS.
    pub fn peer_common_name(&self) -> Option<String> {
        let Stream::Ssl(stream) = self else {
            return None;
        };
        let certificate = stream.ssl().peer_certificate()?;
        let entry = certificate.subject_name().entries_by_nid(openssl::nid::Nid::COMMONNAME).next()?;
        entry.data().to_string().ok().map(|name| name.to_string())
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Stream::Unix(_) => None,
            Stream::Tcp(stream) => Some(stream),
            Stream::Ssl(stream) => Some(stream.get_ref()),
        }
    }

    /// The local address, without TLS or a Unix socket's path.
    pub fn local_addr(&self) -> Option<std::net::SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> Option<std::net::SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    /// Whether there is something to read, without telling the runtime; of TLS that is not known.
    pub fn is_readable(&self) -> bool {
        let mut octet = [std::mem::MaybeUninit::uninit()];
        let seen = match self {
            Stream::Unix(stream) => socket2::SockRef::from(stream).peek(&mut octet),
            Stream::Tcp(stream) => socket2::SockRef::from(stream).peek(&mut octet),
            Stream::Ssl(_) => return false,
        };
        seen.is_ok()
    }

    /// Reads what is there, without telling the runtime, which hears of it all the same. `None`: nothing is, or it is
    /// TLS, of which that is not known.
    pub fn read_past_runtime(&self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        let read = match self {
            Stream::Unix(stream) => (&*socket2::SockRef::from(stream)).read(buffer),
            Stream::Tcp(stream) => (&*socket2::SockRef::from(stream)).read(buffer),
            Stream::Ssl(_) => return None,
        };
        match read {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
            read => Some(read),
        }
    }

    /// Marks outgoing packets with a DSCP (0 to 63).
    ///
    /// # Errors
    /// Those of `setsockopt`.
    pub fn set_dscp(&self, dscp: u8) -> io::Result<()> {
        let Some(tcp) = self.tcp() else {
            return Ok(());
        };
        let tos = u32::from(dscp & 63) << 2;
        let socket = socket2::SockRef::from(tcp);
        if tcp.peer_addr()?.is_ipv4() { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Ssl(s) => tls::poll_read(Pin::new(s.as_mut()), cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_write(cx, data),
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, data),
            Stream::Ssl(s) => tls::told("SSL_write", Pin::new(s.as_mut()).poll_write(cx, data)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_write_vectored(cx, data),
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, data),
            Stream::Ssl(s) => Pin::new(s.as_mut()).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        !matches!(self, Stream::Ssl(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_flush(cx),
            Stream::Tcp(s) => Pin::new(s).poll_flush(cx),
            Stream::Ssl(s) => Pin::new(s.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Ssl(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
        }
    }
}
