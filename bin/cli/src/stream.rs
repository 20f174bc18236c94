//! Blocking streams by name: `unix:FILE`, `tcp:HOST:PORT`, `ssl:HOST:PORT`, and for programs that
//! wait to be called `punix:`, `ptcp:` and `pssl:`.
//!
//! Source: ovsdb(7), "Connection Methods". Time limits belong to [`crate::alarm`].

use crate::groups::TlsSettings;
use crate::{dirs, tls};
use openssl::ssl::{SslContext, SslStream};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// System errors that have no `ErrorKind`.
pub mod errno {
    use std::io;

    /// `EAFNOSUPPORT`: the name is of no kind that we know.
    #[must_use]
    pub fn address_family_not_supported() -> io::Error {
        io::Error::from_raw_os_error(97)
    }

    /// Whether the error is `EAFNOSUPPORT`.
    #[must_use]
    pub fn is_address_family_not_supported(error: &io::Error) -> bool {
        error.raw_os_error() == Some(97)
    }

    /// `ENOPROTOOPT`: TLS is not configured.
    #[must_use]
    pub fn protocol_not_available() -> io::Error {
        io::Error::from_raw_os_error(92)
    }

    /// `EPROTO`: the peer does not speak the protocol.
    #[must_use]
    pub fn protocol_error() -> io::Error {
        io::Error::from_raw_os_error(71)
    }

    /// `EIO`: the peer broke off.
    #[must_use]
    pub fn input_output_error() -> io::Error {
        io::Error::from_raw_os_error(5)
    }

    /// `ESRCH`: the process is not there.
    #[must_use]
    pub fn no_such_process() -> io::Error {
        io::Error::from_raw_os_error(3)
    }

    /// `EINVAL`.
    #[must_use]
    pub fn invalid_argument() -> io::Error {
        io::Error::from_raw_os_error(22)
    }
}

/// What a name is read against.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Keys and certificates.
    pub tls: TlsSettings,
    /// The TCP port when the name gives none; zero if it must.
    pub default_port: u16,
}

/// The port of OVSDB servers.
pub const OVSDB_PORT: u16 = 6640;
/// The port of OpenFlow controllers and switches.
pub const OPENFLOW_PORT: u16 = 6653;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// A Unix domain socket.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<SslStream<TcpStream>>),
}

impl Stream {
    /// Connects to `name`.
    ///
    /// # Errors
    /// As the system reports them; `EAFNOSUPPORT` for a name of another kind.
    pub fn connect(name: &str, settings: &Settings) -> io::Result<Stream> {
        let Some((kind, address)) = name.split_once(':') else {
            return Err(errno::address_family_not_supported());
        };
        if kind != "unix" {
            // To connect may take long.
            crate::signals::end_in_order();
        }
        match kind {
            "unix" => connect_unix(address).map(Stream::Unix),
            "tcp" => connect_tcp(&Remote::new(name, address, settings.default_port).resolve()?).map(Stream::Tcp),
            "ssl" => connect_tls(name, address, settings),
            _ => Err(errno::address_family_not_supported()),
        }
    }

    /// Connects to `name`, or listens on it for the first caller if it is a passive name.
    ///
    /// # Errors
    /// As for [`Stream::connect`] and [`Listener::bind`].
    pub fn open(name: &str, settings: &Settings) -> io::Result<Stream> {
        if is_passive(name) { Listener::bind(name, settings)?.accept() } else { Stream::connect(name, settings) }
    }

    /// Whether bytes are already here that a poll of the descriptor does not show.
    #[must_use]
    pub fn has_buffered_input(&self) -> bool {
        match self {
            Stream::Tls(stream) => stream.ssl().pending() > 0,
            _ => false,
        }
    }

    /// Ends the stream in an orderly way where the protocol has one.
    pub fn close(self) {}
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Stream::Tls(stream) = self {
            // Without this the peer takes the end for a fault.
            let _ = stream.shutdown();
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(s) => s.as_fd(),
            Stream::Tcp(s) => s.as_fd(),
            Stream::Tls(s) => s.get_ref().as_fd(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => {
                crate::signals::wait_in_order(s.as_fd());
                s.read(buf)
            }
            Stream::Tcp(s) => s.read(buf),
            Stream::Tls(s) => s.read(buf).map_err(|error| tls::system_error("SSL_read", error)),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(s) => s.write(buf),
            Stream::Tcp(s) => s.write(buf),
            Stream::Tls(s) => s.write(buf).map_err(|error| tls::system_error("SSL_write", error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(s) => s.flush(),
            Stream::Tcp(s) => s.flush(),
            Stream::Tls(s) => s.flush(),
        }
    }
}

/// Whether `name` is one to listen on.
#[must_use]
pub fn is_passive(name: &str) -> bool {
    matches!(name.split_once(':'), Some(("punix" | "ptcp" | "pssl", _)))
}

/// A stream that waits for callers.
pub enum Listener {
    /// On a Unix domain socket, removed when the listener goes.
    Unix(UnixListener, String),
    /// On TCP.
    Tcp(TcpListener),
    /// On TCP, with TLS.
    Tls(TcpListener, SslContext),
}

impl Listener {
    /// Listens on `name`.
    ///
    /// # Errors
    /// As the system reports them; `EAFNOSUPPORT` for a name of another kind.
    pub fn bind(name: &str, settings: &Settings) -> io::Result<Listener> {
        crate::signals::end_in_order();
        let Some((kind, address)) = name.split_once(':') else {
            return Err(errno::address_family_not_supported());
        };
        match kind {
            "punix" => {
                let path = dirs::below(&dirs::rundir(), address);
                Ok(Listener::Unix(listen_unix(&path)?, path))
            }
            "ptcp" => Ok(Listener::Tcp(TcpListener::bind(passive_address(address, settings.default_port)?)?)),
            "pssl" => {
                let context = tls::context(&settings.tls)?;
                let tcp = TcpListener::bind(passive_address(address, settings.default_port)?)?;
                Ok(Listener::Tls(tcp, context))
            }
            _ => Err(errno::address_family_not_supported()),
        }
    }

    /// Waits for the next caller.
    ///
    /// # Errors
    /// As the system reports them, and a failed handshake.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Unix(listener, _) => Ok(Stream::Unix(listener.accept()?.0)),
            Listener::Tcp(listener) => Ok(Stream::Tcp(listener.accept()?.0)),
            Listener::Tls(listener, context) => {
                let stream = tls::handshake(context, tls::Side::Server, listener.accept()?.0)?;
                Ok(Stream::Tls(Box::new(stream)))
            }
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listener::Unix(_, path) => write!(f, "Listener::Unix({path})"),
            Listener::Tcp(listener) => write!(f, "Listener::Tcp({listener:?})"),
            Listener::Tls(listener, _) => write!(f, "Listener::Tls({listener:?})"),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener, _) => listener.as_fd(),
            Listener::Tcp(listener) | Listener::Tls(listener, _) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn connect_unix(address: &str) -> io::Result<UnixStream> {
    let path = dirs::below(&dirs::rundir(), address);
    with_short_path(&path, |p| UnixStream::connect(p))
}

/// Listens at `path`, in place of what is there: for this user and, as the process's mask allows, its group.
///
/// # Errors
/// As the system reports them.
pub fn listen_unix(path: &str) -> io::Result<UnixListener> {
    use rustix::fs::Mode;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    const BACKLOG: i32 = 64;
    let _ = std::fs::remove_file(path);
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A socket's mode, less the process's mask, becomes that of the file that names it.
    rustix::fs::fchmod(&socket, Mode::RWXU | Mode::RWXG)?;
    with_short_path(path, |path| Ok(bind(&socket, &SocketAddrUnix::new(path)?)?))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Calls `f` with a path to the same place that fits a socket address: a long directory is reached
/// through an open descriptor of it.
fn with_short_path<T>(path: &str, f: impl Fn(&str) -> io::Result<T>) -> io::Result<T> {
    const LONGEST: usize = 107;
    if path.len() <= LONGEST {
        return f(path);
    }
    let (dir, file) = path.rsplit_once('/').unwrap_or((".", path));
    let dir = std::fs::File::open(if dir.is_empty() { "/" } else { dir })?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&dir);
    let short = format!("/proc/self/fd/{fd}/{file}");
    if short.len() > LONGEST {
        return Err(io::Error::from_raw_os_error(36)); // ENAMETOOLONG
    }
    f(&short)
}

/// Splits `HOST:PORT`, where an IPv6 host is in brackets; one without them is no host with a port.
fn split_host(address: &str) -> (&str, Option<&str>) {
    match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, tail)) => (host, tail.strip_prefix(':')),
        None if address.matches(':').count() == 1 => {
            address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
        }
        None => (address, None),
    }
}

/// Whom a connection of TCP or TLS goes to.
struct Remote {
    /// The connection's name: `tcp:HOST:PORT`.
    name: String,
    /// What follows `tcp:` in it.
    address: String,
    default_port: u16,
}

impl Remote {
    /// The remote of the connection `name`, which may leave its port to the default, 0 for none.
    fn new(name: &str, address: &str, default_port: u16) -> Remote {
        let lacks_port = default_port != 0 && name.split(':').filter(|part| !part.is_empty()).count() < 3;
        let port = if lacks_port { format!(":{default_port}") } else { String::new() };
        match default_port {
            OVSDB_PORT if lacks_port => {
                vlog::warn!("stream", "The default OVSDB port number has changed from 6632 to 6640");
            }
            OPENFLOW_PORT if lacks_port => {
                vlog::warn!("stream", "The default OpenFlow port number has changed from 6633 to 6653");
            }
            _ => {}
        }
        Remote { name: format!("{name}{port}"), address: format!("{address}{port}"), default_port }
    }

    fn unsupported(&self) -> io::Error {
        let error = errno::address_family_not_supported();
        let kind = if self.name.starts_with("ssl") { "stream_ssl" } else { "stream_tcp" };
        let text = crate::program::strerror(&error);
        vlog::write_to(kind, vlog::Level::Err, format_args!("{}: connect: {text}", self.name));
        error
    }

    /// Fails if the host has a name that nobody knows.
    fn check_name(&self) -> io::Result<()> {
        let (host, _) = split_host(&self.address);
        let is_name = !host.is_empty() && host.parse::<std::net::IpAddr>().is_err();
        if is_name && (host, 0).to_socket_addrs().is_err() { Err(self.unsupported()) } else { Ok(()) }
    }

    /// The host, by name or by address.
    fn host(&self) -> &str {
        split_host(&self.address).0
    }

    /// Its addresses.
    fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let address = &self.address;
        let (host, port) = split_host(address);
        let port = match port {
            None => {
                vlog::err!("socket_util", "{address}: port must be specified");
                return Err(self.unsupported());
            }
            Some("") => self.default_port,
            Some(text) => text.parse().map_err(|_| {
                vlog::err!("socket_util", "{address}: bad port number \"{text}\"");
                self.unsupported()
            })?,
        };
        if host.is_empty() {
            return Err(self.unsupported());
        }
        Ok((host, port).to_socket_addrs().map_err(|_| self.unsupported())?.collect())
    }
}

/// Connects to the first that answers.
fn connect_tcp(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address) {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(errno::address_family_not_supported))
}

fn connect_tls(name: &str, address: &str, settings: &Settings) -> io::Result<Stream> {
    let remote = Remote::new(name, address, settings.default_port);
    remote.check_name()?;
    let context = tls::context(&settings.tls)?;
    let bootstrapping = settings.tls.bootstrap
        && settings.tls.ca_cert.as_deref().is_some_and(|file| !std::path::Path::new(file).exists());
    let tcp = connect_tcp(&remote.resolve()?)?;
    let stream = tls::handshake(&context, tls::Side::Client { host: remote.host() }, tcp)?;
    if bootstrapping {
        return Err(tls::bootstrap(&settings.tls, &stream));
    }
    Ok(Stream::Tls(Box::new(stream)))
}

/// The address of `[PORT][:IP]`, by default every IPv4 address.
fn passive_address(address: &str, default_port: u16) -> io::Result<SocketAddr> {
    let (port, ip) = match address.split_once(':') {
        Some((port, ip)) => (port, ip),
        None => (address, ""),
    };
    let bad = || {
        vlog::err!("socket_util", "{address}: bad port number \"{port}\"");
        errno::address_family_not_supported()
    };
    let port = if port.is_empty() { default_port } else { port.parse().map_err(|_| bad())? };
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let ip = if ip.is_empty() { "0.0.0.0" } else { ip };
    let ip = ip.parse().map_err(|_| errno::address_family_not_supported())?;
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, expect) in [
            ("1.2.3.4:5", ("1.2.3.4", Some("5"))),
            ("1.2.3.4:", ("1.2.3.4", Some(""))),
            ("host", ("host", None)),
            ("[::1]:6640", ("::1", Some("6640"))),
            ("[::1]", ("::1", None)),
            ("[::1]x", ("::1", None)),
            ("[::1", ("[::1", None)),
            ("::1:6640", ("::1:6640", None)),
        ] {
            assert_eq!(split_host(text), expect, "{text}");
        }
        for (name, expect) in [
            ("tcp:1.2.3.4", "tcp:1.2.3.4:7"),
            ("tcp:1.2.3.4:", "tcp:1.2.3.4::7"),
            ("tcp:1.2.3.4:5", "tcp:1.2.3.4:5"),
            ("tcp:[::1]", "tcp:[::1]"),
            ("tcp::1", "tcp::1:7"),
        ] {
            let remote = Remote::new(name, &name[4..], 7);
            assert_eq!((remote.name.as_str(), &remote.name[4..]), (expect, remote.address.as_str()));
        }
        assert_eq!(passive_address("6640", 0).unwrap().to_string(), "0.0.0.0:6640");
        assert_eq!(passive_address("0:[::1]", 0).unwrap().to_string(), "[::1]:0");
    }

    #[test]
    fn names_of_no_kind() {
        for name in ["foo", "foo:bar", "punix:x"] {
            let error = Stream::connect(name, &Settings::default()).unwrap_err();
            assert!(errno::is_address_family_not_supported(&error), "{name}");
        }
    }

    #[test]
    fn long_socket_paths() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s").to_string_lossy().into_owned();
        let listener = Listener::bind(&format!("punix:{path}"), &Settings::default()).unwrap();
        let mut client = Stream::connect(&format!("unix:{path}"), &Settings::default()).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        drop(listener);
        assert!(!std::path::Path::new(&path).exists());
    }
}
