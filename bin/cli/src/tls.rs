//! TLS for blocking streams: a context from the options, with the chain of the peer's certificate
//! verified and its name not looked at, since the certificates of ovs-pki carry none.
//!
//! Source: ovs-vsctl(8), "Public Key Infrastructure Options"; ovsdb(7). The OpenSSL library does the work.

use crate::groups::TlsSettings;
use crate::stream::errno;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslStream, SslVerifyMode};
use openssl::x509::{X509, X509Name, X509Ref};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Which side of the handshake we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side<'a> {
    /// Who calls `host`, a name or an address.
    Client { host: &'a str },
    /// Who is called.
    Server,
}

/// An error of OpenSSL's in the form of `ERR_error_string(3)`.
fn in_words(e: &openssl::error::Error) -> String {
    // The system's own errors are numbered with the top bit set, and have no text here.
    let system = (e.code() >> 31 & 1 == 1).then(|| {
        let number = i32::try_from(e.code() & 0x7fff_ffff).unwrap_or(0);
        crate::program::strerror(&io::Error::from_raw_os_error(number))
    });
    let reason = system.as_deref().or(e.reason()).unwrap_or("reason(0)");
    format!("error:{:08X}:{}::{reason}", e.code(), e.library().unwrap_or("lib(0)"))
}

/// The first error of OpenSSL's queue.
fn first(stack: &ErrorStack) -> String {
    stack.errors().first().map_or_else(|| "unknown error".to_string(), in_words)
}

/// A context for the settings, or an error when they do not suffice; each fault is logged.
pub(crate) fn context(settings: &TlsSettings) -> io::Result<SslContext> {
    let failed = |stack: ErrorStack| {
        vlog::err!("stream_ssl", "SSL_CTX_new: {}", first(&stack));
        errno::protocol_not_available()
    };
    let mut builder = SslContextBuilder::new(SslMethod::tls()).map_err(failed)?;
    builder.set_options(SslOptions::NO_SSLV2 | SslOptions::NO_SSLV3);
    // What is no list of ciphers or protocols was complained about as the option was read; such ciphers leave only those
    // of TLS 1.3.
    match &settings.ciphers {
        Some(ciphers) => {
            let _ = builder.set_cipher_list(ciphers);
        }
        None => builder.set_cipher_list("HIGH:!aNULL:!MD5").map_err(failed)?,
    }
    if let Some(off) = settings.protocols.as_deref().and_then(|list| disabled_protocols(list).ok()) {
        builder.set_options(off);
    }
    let key = load_key(&mut builder, settings).unwrap_or(false);
    let certificate = load_certificate(&mut builder, settings).unwrap_or(false);
    add_chain(&mut builder, settings);
    // A file that holds no authority leaves nobody to trust.
    let authority = load_authority(&mut builder, settings).unwrap_or(true);
    for (ok, what) in [(key, "Private key"), (certificate, "Certificate"), (authority, "CA certificate")] {
        if !ok {
            vlog::err!("stream_ssl", "{what} must be configured to use SSL");
        }
    }
    if !(key && certificate && authority) {
        return Err(errno::protocol_not_available());
    }
    builder.check_private_key().map_err(|stack| {
        vlog::err!("stream_ssl", "Private key does not match certificate public key: {}", first(&stack));
        errno::protocol_not_available()
    })?;
    Ok(builder.build())
}

/// Tells the log what is wrong with the file or the list that the option `name` gives. `errors` are OpenSSL's that nobody
/// was told of: they queue up, and each complaint takes one, after the first maybe one of what went before.
pub(crate) fn judge(settings: &TlsSettings, name: &str, errors: &mut VecDeque<String>) {
    let Ok(mut builder) = SslContextBuilder::new(SslMethod::tls()) else { return };
    let ciphers = settings.ciphers.as_deref();
    let (what, failed) = match name {
        "private-key" => ("SSL_use_PrivateKey_file".to_string(), load_key(&mut builder, settings).err()),
        "certificate" => ("SSL_use_certificate_file".to_string(), load_certificate(&mut builder, settings).err()),
        "ca-cert" | "bootstrap-ca-cert" => {
            let file = settings.ca_cert.as_deref().unwrap_or_default();
            if file == "none" {
                vlog::warn!("stream_ssl", "Peer certificate validation disabled (this is a security risk)");
            }
            let loaded = load_authority(&mut builder, settings);
            // Names are looked for before certificates.
            let failed = loaded.err().map(|stack| X509Name::load_client_ca_file(file).err().unwrap_or(stack));
            (format!("failed to load client certificates from {file}"), failed)
        }
        "peer-ca-cert" => {
            let file = settings.peer_ca_cert.as_deref().unwrap_or_default();
            match std::fs::read(file) {
                Err(error) if error.kind() != std::io::ErrorKind::IsADirectory => {
                    let text = crate::program::strerror(&error);
                    vlog::err!("stream_ssl", "failed to open {file} for reading: {text}");
                }
                read => {
                    let Some(fault) = fault_of_chain(&read.unwrap_or_default()) else { return };
                    errors.push_back(fault);
                    let text = errors.pop_front().unwrap_or_default();
                    vlog::err!("stream_ssl", "PEM_read_X509 failed reading {file}: {text}");
                }
            }
            return;
        }
        "ssl-ciphers" => {
            let set = ciphers.map_or(Ok(()), |ciphers| builder.set_cipher_list(ciphers));
            ("SSL_CTX_set_cipher_list".to_string(), set.err())
        }
        "ssl-protocols" => {
            if let Some(Err(text)) = settings.protocols.as_deref().map(disabled_protocols) {
                vlog::err!("stream_ssl", "{text}");
            }
            return;
        }
        _ => return,
    };
    if let Some(stack) = failed {
        errors.extend(stack.errors().iter().map(in_words));
        let text = errors.pop_front().unwrap_or_else(|| first(&stack));
        vlog::err!("stream_ssl", "{what}: {text}");
    }
}

/// What is wrong with a file that is to hold certificates, one after the other, and nothing behind them.
fn fault_of_chain(pem: &[u8]) -> Option<String> {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    match X509::stack_from_pem(pem) {
        Err(stack) => Some(first(&stack)),
        Ok(chain) => {
            let behind = pem.windows(END.len()).rposition(|at| at == END).map_or(0, |at| at + END.len());
            let more = chain.is_empty() || !pem[behind..].trim_ascii().is_empty();
            more.then(|| "error:0480006C:PEM routines::no start line".to_string())
        }
    }
}

/// The versions that a list of protocols leaves out, or what is wrong with the list. As in Open vSwitch 3.1, TLS 1.3 is
/// no word of such lists.
fn disabled_protocols(list: &str) -> Result<SslOptions, String> {
    let all = SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1 | SslOptions::NO_TLSV1_2 | SslOptions::NO_TLSV1_3;
    let mut off = all;
    for word in list.split([',', ' ', '\t']).filter(|w| !w.is_empty()) {
        off &= !match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => SslOptions::NO_TLSV1_2,
            "tlsv1.1" => SslOptions::NO_TLSV1_1,
            "tlsv1" => SslOptions::NO_TLSV1,
            _ => return Err(format!("{word}: SSL protocol not recognized")),
        };
    }
    if off == all {
        return Err("SSL protocol settings invalid".to_string());
    }
    Ok(off)
}

/// The file that the private key was read from, and the key, if it could be.
static KEY: Mutex<Option<(String, Option<PKey<Private>>)>> = Mutex::new(None);

/// Whether there is a key, as for certificates and authorities.
fn load_key(builder: &mut SslContextBuilder, settings: &TlsSettings) -> Result<bool, ErrorStack> {
    let Some(file) = &settings.private_key else { return Ok(false) };
    // Whoever has given a pass phrase once is not asked again.
    let mut known = KEY.lock().unwrap_or_else(PoisonError::into_inner);
    match known.as_ref().filter(|(name, _)| name == file) {
        Some((_, Some(key))) => return builder.set_private_key(key).map(|()| true),
        Some((_, None)) => return Ok(false),
        None => {}
    }
    let mut probe = SslContextBuilder::new(SslMethod::tls())?;
    let loaded = probe.set_private_key_file(file, SslFiletype::PEM);
    let key = probe.build().private_key().map(ToOwned::to_owned);
    *known = Some((file.clone(), key.clone()));
    loaded?;
    key.map_or(Ok(()), |key| builder.set_private_key(&key)).map(|()| true)
}

fn load_certificate(builder: &mut SslContextBuilder, settings: &TlsSettings) -> Result<bool, ErrorStack> {
    let Some(file) = &settings.certificate else { return Ok(false) };
    builder.set_certificate_chain_file(file).map(|()| true)
}

/// Adds the authority's certificate for peers that bootstrap.
fn add_chain(builder: &mut SslContextBuilder, settings: &TlsSettings) {
    let (Some(_), Some(peer)) = (&settings.certificate, &settings.peer_ca_cert) else { return };
    match std::fs::read(peer)
        .map_err(|e| e.to_string())
        .and_then(|pem| X509::stack_from_pem(&pem).map_err(|stack| first(&stack)))
    {
        Ok(chain) => {
            for certificate in chain {
                if let Err(stack) = builder.add_extra_chain_cert(certificate) {
                    vlog::err!("stream_ssl", "SSL_CTX_add_extra_chain_cert: {}", first(&stack));
                }
            }
        }
        Err(text) => vlog::err!("stream_ssl", "failed to load client certificates from {peer}: {text}"),
    }
}

fn load_authority(builder: &mut SslContextBuilder, settings: &TlsSettings) -> Result<bool, ErrorStack> {
    let Some(file) = &settings.ca_cert else { return Ok(false) };
    if file == "none" || (settings.bootstrap && !Path::new(file).exists()) {
        builder.set_verify(SslVerifyMode::NONE);
        return Ok(true);
    }
    builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    builder.set_ca_file(file).map(|()| true)
}

/// Runs the handshake over `tcp`. A client says whom it wants to speak to if it knows that by name (RFC 6066 section 3).
pub(crate) fn handshake(context: &SslContext, side: Side<'_>, tcp: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let mut ssl = Ssl::new(context).map_err(|_| errno::protocol_not_available())?;
    if let Side::Client { host } = side
        && host.parse::<IpAddr>().is_err()
        && let Err(stack) = ssl.set_hostname(host)
    {
        vlog::err!("stream_ssl", "{host}: failed to set server name indication ({})", first(&stack));
    }
    let mut stream = SslStream::new(ssl, tcp).map_err(|_| errno::protocol_not_available())?;
    let (name, result) = match side {
        Side::Client { .. } => ("SSL_connect", stream.connect()),
        Side::Server => ("SSL_accept", stream.accept()),
    };
    if let Err(error) = result {
        let (text, told) = match (error.ssl_error(), error.io_error()) {
            (Some(stack), _) => (first(stack), None),
            (None, Some(io)) => (format!("system error ({})", crate::program::strerror(io)), io.raw_os_error()),
            // How OpenSSL 3 tells of a peer that went without a word.
            (None, None) => ("error:0A000126:SSL routines::unexpected eof while reading".to_string(), None),
        };
        vlog::warn!("stream_ssl", "{name}: {text}");
        return Err(told.map_or_else(errno::protocol_error, io::Error::from_raw_os_error));
    }
    Ok(stream)
}

/// A certificate in words: whose it is and its fingerprint.
fn description(certificate: &X509Ref) -> String {
    let mut subject = String::new();
    for entry in certificate.subject_name().entries() {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        let text = entry.data().to_string().map(|text| text.to_string()).unwrap_or_default();
        subject.push_str(&format!("/{kind}={text}"));
    }
    let digest = certificate.digest(MessageDigest::sha1());
    let digest: Vec<String> = digest.iter().flat_map(|d| d.iter()).map(|byte| format!("{byte:02x}")).collect();
    format!("({subject}) (fingerprint {})", digest.join(":"))
}

/// The error of a read or write on a TLS stream as the system would report it.
pub(crate) fn system_error(name: &str, error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<openssl::ssl::Error>()) {
        None => {
            if !matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) {
                vlog::warn!("stream_ssl", "{name}: system error ({})", crate::program::strerror(&error));
            }
            error
        }
        Some(inner) => {
            let text = inner.ssl_error().map_or_else(|| inner.to_string(), first);
            vlog::warn!("stream_ssl", "{name}: {text}");
            errno::input_output_error()
        }
    }
}

/// Writes the authority's certificate that the peer presented to the file that should hold it. The
/// connection that brought it proves nothing, so it has to be made anew afterwards.
///
/// # Errors
/// Always: either the file cannot be made, or the connection must not be used.
pub(crate) fn bootstrap(settings: &TlsSettings, stream: &SslStream<TcpStream>) -> io::Error {
    let file = settings.ca_cert.as_deref().unwrap_or("");
    let chain = stream.ssl().peer_cert_chain();
    let Some(last) = chain.and_then(|chain| chain.iter().last()) else {
        vlog::err!("stream_ssl", "could not get peer certificate chain");
        return errno::protocol_error();
    };
    let same = match (last.subject_name().to_der(), last.issuer_name().to_der()) {
        (Ok(subject), Ok(issuer)) => subject == issuer,
        _ => false,
    };
    if !same {
        vlog::err!("stream_ssl", "could not bootstrap CA cert: no self-signed certificate in peer certificate chain");
        return errno::protocol_error();
    }
    let pem = match last.to_pem() {
        Ok(pem) => pem,
        Err(_) => return errno::protocol_error(),
    };
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(file)
        .and_then(|mut out| out.write_all(&pem));
    match written {
        Ok(()) => {
            vlog::info!("stream_ssl", "successfully bootstrapped CA cert to {file}");
            vlog::info!("stream_ssl", "Trusting CA cert from {file} {}", description(last));
            vlog::info!("stream_ssl", "killing successful connection to retry using CA cert");
            errno::protocol_error()
        }
        Err(error) => {
            vlog::err!(
                "stream_ssl",
                "could not bootstrap CA cert: creating {file} failed: {}",
                crate::program::strerror(&error)
            );
            error
        }
    }
}
