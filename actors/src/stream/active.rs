//! Connects to a peer.

use super::name::lacks_port;
use super::tls::Tls;
use super::{HostPort, Method, NameError, OPENFLOW_PORT, OVSDB_PORT, Stream};
use crate::unixctl::coverage::Counter;
use std::io;
use std::path::Path;
use tokio::net::{TcpStream, UnixStream};

/// The longest path that fits a `sockaddr_un`.
pub(super) const UNIX_PATH_AT_MOST: usize = 107;

/// The operating system's words for an error, without Rust's "(os error N)".
pub fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Logs what there is to say of a name each time before a connection is opened by it: that it leaves its port to the
/// default, which was another one once, and what is wrong with it.
pub(crate) fn note_attempt(name: &str, default_port: u16, error: Option<&NameError>) {
    static SAID: [std::sync::Once; 2] = [const { std::sync::Once::new() }; 2];
    let (kind, address) = name.split_once(':').unwrap_or((name, ""));
    let (module, active) = match kind {
        "tcp" => ("stream_tcp", true),
        "ssl" => ("stream_ssl", true),
        "ptcp" | "pssl" => ("stream", false),
        _ => return,
    };
    let port = if active && lacks_port(name) { format!(":{default_port}") } else { String::new() };
    match default_port {
        _ if port.is_empty() => {}
        OVSDB_PORT => {
            SAID[0].call_once(|| {
                vlog::warn!("stream", "The default OVSDB port number has changed from 6632 to 6640");
            });
        }
        OPENFLOW_PORT => {
            SAID[1].call_once(|| {
                vlog::warn!("stream", "The default OpenFlow port number has changed from 6633 to 6653");
            });
        }
        _ => {}
    }
    let Some(error) = error else { return };
    // A host without a name is looked up all the same elsewhere.
    if !address.is_empty() && !address.starts_with(':') || error.0 == "port must be specified" {
        vlog::err!("socket_util", "{address}{port}: {error}");
    }
    if active {
        let text = "Address family not supported by protocol";
        vlog::write_to(module, vlog::Level::Err, format_args!("{name}{port}: connect: {text}"));
    }
}

/// Judges what a connection needs of this side before it is told of as begun: complete TLS files.
///
/// # Errors
/// What TLS lacks; the log says it.
pub(crate) fn prepare(method: &Method, tls: &Tls) -> io::Result<()> {
    if matches!(method, Method::Ssl(_)) { tls.context(true).map(|_| ()) } else { Ok(()) }
}

static OPENED: Counter = Counter::new("stream_open");

/// Opens a connection by an active method. The caller bounds the time it may take.
///
/// # Errors
/// Those of the operating system, of the name service, and of TLS.
pub async fn connect(method: &Method, tls: &Tls) -> io::Result<Stream> {
    OPENED.add();
    match method {
        Method::Unix(path) => unix(path).await.map(Stream::Unix),
        Method::Tcp(peer) => tcp(peer).await.map(Stream::Tcp),
        Method::Ssl(peer) => {
            // A configuration that cannot work is told before the network is bothered.
            tls.context(true)?;
            tls.connect(&peer.host, tcp(peer).await?).await.map(|s| Stream::Ssl(Box::new(s)))
        }
        Method::PassiveUnix(_) | Method::PassiveTcp(..) | Method::PassiveSsl(..) => {
            Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
        }
    }
}

async fn unix(path: &Path) -> io::Result<UnixStream> {
    let (short, _directory) = shorten(path)?;
    UnixStream::connect(short).await
}

/// A name of the same file that fits a socket address: through the open directory, if need be, which must
/// stay open while the name is used.
pub(super) fn shorten(path: &Path) -> io::Result<(std::path::PathBuf, Option<std::fs::File>)> {
    if path.as_os_str().len() <= UNIX_PATH_AT_MOST {
        return Ok((path.to_owned(), None));
    }
    let too_long = || io::Error::from_raw_os_error(libc::ENAMETOOLONG);
    let (parent, file) = (path.parent().ok_or_else(too_long)?, path.file_name().ok_or_else(too_long)?);
    let directory = std::fs::File::open(parent)?;
    let short = Path::new("/proc/self/fd").join(std::os::fd::AsRawFd::as_raw_fd(&directory).to_string()).join(file);
    if short.as_os_str().len() > UNIX_PATH_AT_MOST {
        return Err(too_long());
    }
    Ok((short, Some(directory)))
}

async fn tcp(peer: &HostPort) -> io::Result<TcpStream> {
    // A host that has no address is of no address family.
    let unknown = |_| io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    let mut refused = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    for address in tokio::net::lookup_host((peer.host.as_str(), peer.port)).await.map_err(unknown)? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
