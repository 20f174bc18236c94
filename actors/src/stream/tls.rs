//! TLS for streams: one configuration a process, files watched for change, both sides authenticated.
//!
//! Certificates of ovs-pki carry no subject alternative name, and peers are known by their certificate
//! authority alone: the chain is verified, the name is not. Source: ovs-vswitchd(8), "Public Key
//! Infrastructure Options". With a CA certificate to bootstrap, the first server's own is taken and trusted
//! from then on.

use super::errno_text;
use openssl::error::ErrorStack;
use openssl::ssl::{
    ErrorCode, NameType, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions, SslVerifyMode,
};
use openssl::x509::X509;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// The files and choices a TLS configuration is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// `--private-key`
    pub private_key: Option<PathBuf>,
    /// `--certificate`
    pub certificate: Option<PathBuf>,
    /// `--ca-cert`, or `--bootstrap-ca-cert`; the name `none` turns verification off.
    pub ca_cert: Option<PathBuf>,
    /// Whether a missing CA certificate is taken from the first server met.
    pub bootstrap: bool,
    /// `--peer-ca-cert`: sent along to peers that bootstrap.
    pub peer_ca_cert: Option<PathBuf>,
    /// `--ssl-protocols`: a list out of `TLSv1`, `TLSv1.1`, `TLSv1.2`; without one, or with one that is none, all that
    /// OpenSSL has.
    pub protocols: Option<String>,
    /// `--ssl-ciphers`: OpenSSL's cipher list.
    pub ciphers: Option<String>,
}

const DEFAULT_CIPHERS: &str = "HIGH:!aNULL:!MD5";

/// What tells that a file has changed: its inode, size and time of change.
type Stamp = Option<(u64, u64, i64, i64)>;

#[derive(Debug, Default)]
struct State {
    files: TlsFiles,
    built: Option<(SslContext, Vec<Stamp>)>,
    /// The files as they were when the log was told what is wrong with them.
    judged: Option<Vec<Stamp>>,
}

impl State {
    /// Tells the log what is wrong with the files, once for each state of them.
    fn judge(&mut self) {
        let stamps = stamps(&self.files);
        if self.judged.as_ref() != Some(&stamps) {
            for fault in faults(&self.files) {
                vlog::err!("stream_ssl", "{fault}");
            }
            self.judged = Some(stamps);
        }
    }
}

/// A handle to the process's TLS configuration; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    state: Arc<Mutex<State>>,
}

impl Tls {
    /// A configuration of `files`; nothing is read yet.
    pub fn new(files: TlsFiles) -> Tls {
        Tls { state: Arc::new(Mutex::new(State { files, ..State::default() })) }
    }

    /// Reads the files, to tell the log of those that will not do.
    pub fn judge(&self) {
        self.lock().judge();
    }

    /// Changes the configuration for the connections to come.
    pub fn configure(&self, files: TlsFiles) {
        let mut state = self.lock();
        if state.files != files {
            *state = State { files, ..State::default() };
            state.judge();
        }
    }

    /// The configuration in force.
    pub fn files(&self) -> TlsFiles {
        self.lock().files.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The context for the next connection: built anew when a file has changed.
    ///
    /// # Errors
    /// A file missing from the configuration or unusable; the log says which.
    pub fn context(&self, active: bool) -> io::Result<SslContext> {
        let mut state = self.lock();
        let stamps = stamps(&state.files);
        if let Some((context, then)) = &state.built
            && *then == stamps
        {
            return Ok(context.clone());
        }
        state.judge();
        match build(&state.files, active, state.built.is_none()) {
            Ok(context) => {
                state.built = Some((context.clone(), stamps));
                Ok(context)
            }
            // Files are replaced one by one: while they do not fit together, the last that did serve on.
            Err(error) => match &state.built {
                Some((context, _)) => Ok(context.clone()),
                None => Err(error),
            },
        }
    }

    /// Shakes hands as the client, who says whom it wants to speak to if `host` is a name (RFC 6066 section 3).
    ///
    /// # Errors
    /// Those of the handshake; and always after a bootstrap, for the connection itself proved nothing.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<SslStream<TcpStream>> {
        let context = self.context(true)?;
        let mut ssl = Ssl::new(&context).map_err(io::Error::other)?;
        if host.parse::<IpAddr>().is_err() {
            ssl.set_hostname(host).map_err(io::Error::other)?;
        }
        let mut stream = SslStream::new(ssl, tcp).map_err(io::Error::other)?;
        Pin::new(&mut stream).connect().await.map_err(|e| report("SSL_connect", &e))?;
        self.bootstrap(&stream)?;
        Ok(stream)
    }

    /// Shakes hands as the server.
    ///
    /// # Errors
    /// Those of the handshake.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<SslStream<TcpStream>> {
        let context = self.context(false)?;
        let ssl = Ssl::new(&context).map_err(io::Error::other)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(io::Error::other)?;
        let mut head = [0; 2];
        // A peer that speaks without TLS gets a line that says so.
        let _ = stream.get_ref().peek(&mut head).await;
        let accepted = Pin::new(&mut stream).accept().await;
        let accepted = accepted.map_err(|e| report("SSL_accept", &e));
        if accepted.is_err() {
            drain(stream.get_ref());
        }
        if accepted.is_err() && matches!(head[0], b'{' | b'[') {
            let peer = stream.get_ref().peer_addr().map_or_else(|_| String::new(), |peer| format!("ssl:{peer}: "));
            vlog::warn_rl!("stream_ssl", 10, 25, "{peer}received JSON-RPC data on SSL channel");
        }
        accepted.map(|()| stream)
    }

    /// Takes the server's CA certificate if there is none yet, and gives the connection up.
    fn bootstrap(&self, stream: &SslStream<TcpStream>) -> io::Result<()> {
        let files = self.files();
        let Some(path) = files.ca_cert.filter(|p| files.bootstrap && !p.exists()) else {
            return Ok(());
        };
        let protocol = || io::Error::from_raw_os_error(libc::EPROTO);
        let last = stream.ssl().peer_cert_chain().and_then(|chain| chain.iter().next_back());
        let Some(authority) = last else {
            vlog::err!("stream_ssl", "could not bootstrap CA cert: no certificate presented by peer");
            return Err(protocol());
        };
        let self_signed = authority.public_key().and_then(|key| authority.verify(&key)).unwrap_or(false);
        if !self_signed {
            vlog::err!("stream_ssl", "could not bootstrap CA cert: peer did not send its CA certificate chain");
            return Err(protocol());
        }
        let pem = authority.to_pem().map_err(io::Error::other)?;
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o444)
            .open(&path)
            .and_then(|mut file| file.write_all(&pem));
        match written {
            Ok(()) => {
                vlog::info!("stream_ssl", "successfully bootstrapped CA cert to {}", path.display());
                self.lock().built = None;
                Err(protocol())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                vlog::info!("stream_ssl", "reading CA cert {} created by another process", path.display());
                self.lock().built = None;
                Err(protocol())
            }
            Err(error) => {
                vlog::err!(
                    "stream_ssl",
                    "could not bootstrap CA cert: creating {} failed: {}",
                    path.display(),
                    errno_text(&error)
                );
                Err(error)
            }
        }
    }
}

/// Reads what has come already: a connection that is closed with octets unread is reset, and its peer told of that
/// instead of its end.
pub(super) fn drain(tcp: &TcpStream) {
    let mut octets = [0; 4096];
    for _ in 0..16 {
        if !matches!(tcp.try_read(&mut octets), Ok(1..)) {
            break;
        }
    }
}

/// How OpenSSL 3 tells of a peer that went without a word.
const EARLY_END: &str = "error:0A000126:SSL routines::unexpected eof while reading";

fn report(what: &str, error: &openssl::ssl::Error) -> io::Error {
    match (error.io_error(), error.ssl_error()) {
        (Some(io), _) => {
            vlog::warn_rl!("stream_ssl", 10, 25, "{what}: system error ({})", errno_text(io));
            io.raw_os_error().map_or_else(|| io::Error::from_raw_os_error(libc::EPROTO), io::Error::from_raw_os_error)
        }
        (None, Some(stack)) => {
            let text = stack.errors().last().map_or_else(|| "unknown".to_owned(), error_text);
            vlog::warn_rl!("stream_ssl", 10, 25, "{what}: {text}");
            io::Error::from_raw_os_error(libc::EPROTO)
        }
        (None, None) => {
            vlog::warn_rl!("stream_ssl", 10, 25, "{what}: {EARLY_END}");
            io::Error::from_raw_os_error(libc::EPROTO)
        }
    }
}

/// The outcome of an operation; an error is told to the log, and is what the system has for it: EIO where it is one of TLS.
pub(super) fn told<T>(what: &str, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    outcome.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<openssl::ssl::Error>());
        let text = match inner {
            None => format!("system error ({})", errno_text(&error)),
            Some(inner) => {
                let first = inner.ssl_error().and_then(|stack| stack.errors().last());
                first.map_or_else(|| inner.to_string(), error_text)
            }
        };
        vlog::warn_rl!("stream_ssl", 10, 25, "{what}: {text}");
        if inner.is_none() { error } else { io::Error::from_raw_os_error(libc::EIO) }
    })
}

/// Reads. A peer that ends the connection without saying so first (RFC 8446 section 6.1) is an error.
pub(super) fn poll_read(
    mut stream: Pin<&mut SslStream<TcpStream>>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let (before, room) = (buf.filled().len(), buf.remaining());
    let read = stream.as_mut().poll_read(cx, buf);
    if matches!(read, Poll::Ready(Ok(()))) && room > 0 && buf.filled().len() == before {
        let again = stream.poll_peek(cx, &mut [0]);
        if let Poll::Ready(Err(error)) = again
            && error.code() != ErrorCode::ZERO_RETURN
        {
            vlog::warn_rl!("stream_ssl", 10, 25, "SSL_read: {EARLY_END}");
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EIO)));
        }
    }
    told("SSL_read", read)
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    [&files.private_key, &files.certificate, &files.ca_cert, &files.peer_ca_cert]
        .into_iter()
        .map(|path| {
            let data = fs::metadata(path.as_ref()?).ok()?;
            Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
        })
        .collect()
}

/// Tells the log what a connection lacks: a file that is not named, or that could not be used.
fn lacking(present: [(&str, bool); 3]) -> io::Result<()> {
    let mut lacking = present.into_iter().filter(|(_, there)| !there).peekable();
    if lacking.peek().is_none() {
        return Ok(());
    }
    for (what, _) in lacking {
        vlog::err!("stream_ssl", "{what} must be configured to use SSL");
    }
    Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT))
}

/// What is wrong with the files and choices, in the words of OpenSSL and Open vSwitch.
fn faults(files: &TlsFiles) -> Vec<String> {
    let mut faults = Vec::new();
    let Ok(mut builder) = SslContext::builder(SslMethod::tls()) else { return faults };
    // OpenSSL keeps its errors in a queue, of which each complaint takes the first.
    let mut queue = VecDeque::new();
    let mut complain = |what: &str, done: Result<(), ErrorStack>| {
        if let Err(stack) = done {
            queue.extend(stack.errors().iter().map(error_text));
            faults.push(format!("{what}: {}", queue.pop_front().unwrap_or_default()));
        }
    };
    if let (Some(certificate), Some(key)) = (&files.certificate, &files.private_key) {
        complain("SSL_use_certificate_file", builder.set_certificate_chain_file(certificate));
        complain("SSL_use_PrivateKey_file", builder.set_private_key_file(key, SslFiletype::PEM));
    }
    if let Some(authority) = files.ca_cert.as_deref().filter(|path| path.as_os_str() != "none")
        && (!files.bootstrap || authority.exists())
    {
        let what = format!("failed to load client certificates from {}", authority.display());
        complain(&what, builder.set_ca_file(authority));
    }
    if let Some(ciphers) = &files.ciphers {
        complain("SSL_CTX_set_cipher_list", builder.set_cipher_list(ciphers));
    }
    if let Some(Err(error)) = files.peer_ca_cert.as_ref().map(fs::metadata) {
        let path = files.peer_ca_cert.as_deref().unwrap_or(Path::new(""));
        faults.push(format!("failed to open {} for reading: {}", path.display(), errno_text(&error)));
    }
    faults.extend(files.protocols.as_deref().and_then(|list| protocols_off(list).err()));
    faults
}

fn error_text(error: &openssl::error::Error) -> String {
    // The system's own errors are numbered with the top bit set, and have no text in OpenSSL.
    let system = (error.code() >> 31 & 1 == 1).then(|| {
        let number = i32::try_from(error.code() & 0x7fff_ffff).unwrap_or(0);
        errno_text(&io::Error::from_raw_os_error(number))
    });
    let library = error.library().unwrap_or("lib(0)");
    let reason = system.as_deref().or(error.reason()).unwrap_or("reason(0)");
    format!("error:{:08X}:{library}::{reason}", error.code())
}

/// The context that the files make; whoever has none yet (`first`) does without authorities that cannot be read, and
/// believes nobody.
fn build(files: &TlsFiles, active: bool, first: bool) -> io::Result<SslContext> {
    let mut builder = SslContext::builder(SslMethod::tls()).map_err(io::Error::other)?;
    builder.set_options(SslOptions::NO_SSLV2 | SslOptions::NO_SSLV3);
    // A write that is tried again may come from another place in memory.
    builder.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE);
    // What is no list of ciphers leaves only those of TLS 1.3; protocols that are none leave what is usual.
    match &files.ciphers {
        None => builder.set_cipher_list(DEFAULT_CIPHERS).map_err(io::Error::other)?,
        Some(ciphers) => drop(builder.set_cipher_list(ciphers)),
    }
    if let Some(Ok(off)) = files.protocols.as_deref().map(protocols_off) {
        builder.set_options(off);
    }
    let certificate = files.certificate.as_ref().is_some_and(|path| builder.set_certificate_chain_file(path).is_ok());
    let key = |path: &PathBuf| builder.set_private_key_file(path, SslFiletype::PEM).is_ok();
    let key = files.private_key.as_ref().is_some_and(key);
    if let Some(Err(error)) = files.ca_cert.as_deref().map(|path| verification(&mut builder, files, path, active)) {
        if !first {
            return Err(error);
        }
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }
    lacking([("Private key", key), ("Certificate", certificate), ("CA certificate", files.ca_cert.is_some())])?;
    for extra in files.peer_ca_cert.as_deref().and_then(|path| read_certificates(path).ok()).into_iter().flatten() {
        builder.add_extra_chain_cert(extra).map_err(io::Error::other)?;
    }
    builder.set_servername_callback(|ssl, _| {
        if let Some(name) = ssl.servername(NameType::HOST_NAME) {
            vlog::dbg!("stream_ssl", "connection indicated server name {name}");
        }
        Ok(())
    });
    Ok(builder.build())
}

/// Says whom to believe: the authorities in a file, anybody, or whom one bootstraps from.
fn verification(builder: &mut SslContextBuilder, files: &TlsFiles, authority: &Path, active: bool) -> io::Result<()> {
    if authority.as_os_str() == "none" {
        vlog::warn!("stream_ssl", "Peer certificate validation disabled (this is a security risk)");
        builder.set_verify(SslVerifyMode::NONE);
        return Ok(());
    }
    if files.bootstrap && !authority.exists() {
        if !active {
            vlog::warn!("stream_ssl", "{}: no CA certificate yet, no peer can be verified", authority.display());
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        } else {
            builder.set_verify(SslVerifyMode::NONE);
        }
        return Ok(());
    }
    for certificate in read_certificates(authority)? {
        builder.add_client_ca(&certificate).map_err(io::Error::other)?;
        builder.cert_store_mut().add_cert(certificate).map_err(io::Error::other)?;
    }
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(())
}

/// The options that leave only the listed protocols; the error is the log's. As in Open vSwitch 3.1, TLS 1.3 is no word
/// of such lists: a list with it is none, and leaves peers what they have without one.
fn protocols_off(list: &str) -> Result<SslOptions, String> {
    let all = SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1 | SslOptions::NO_TLSV1_2 | SslOptions::NO_TLSV1_3;
    let mut off = all;
    for word in list.split([' ', ',', '\t']).filter(|w| !w.is_empty()) {
        let on = match word {
            w if w.eq_ignore_ascii_case("TLSv1.2") => SslOptions::NO_TLSV1_2,
            w if w.eq_ignore_ascii_case("TLSv1.1") => SslOptions::NO_TLSV1_1,
            w if w.eq_ignore_ascii_case("TLSv1") => SslOptions::NO_TLSV1,
            _ => return Err(format!("{word}: SSL protocol not recognized")),
        };
        off.remove(on);
    }
    if off == all { Err("SSL protocol settings invalid".to_owned()) } else { Ok(off) }
}

fn read_certificates(path: &Path) -> io::Result<Vec<X509>> {
    X509::stack_from_pem(&fs::read(path)?).map_err(io::Error::other)
}
