//! Parses connection methods: which kind of stream, which path, host and port.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// IANA's port of OVSDB.
pub const OVSDB_PORT: u16 = 6640;
/// IANA's port of OpenFlow.
pub const OPENFLOW_PORT: u16 = 6653;

/// A host and a port as a connection method names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A connection method, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// `unix:FILE`
    Unix(PathBuf),
    /// `tcp:HOST[:PORT]`
    Tcp(HostPort),
    /// `ssl:HOST[:PORT]`
    Ssl(HostPort),
    /// `punix:FILE`
    PassiveUnix(PathBuf),
    /// `ptcp:[PORT][:HOST]`; `None` is any IPv4 address.
    PassiveTcp(u16, Option<IpAddr>),
    /// `pssl:[PORT][:HOST]`
    PassiveSsl(u16, Option<IpAddr>),
}

/// Why a connection method does not parse: the text to show, without the method itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

impl Method {
    /// Reads a connection method; relative paths of sockets are taken from `run_dir`.
    ///
    /// # Errors
    /// An unknown kind, or a malformed address.
    pub fn parse(text: &str, default_port: u16, run_dir: &std::path::Path) -> Result<Method, NameError> {
        let unknown = || NameError("Address family not supported by protocol".into());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "unix" => Ok(Method::Unix(run_dir.join(rest))),
            "punix" => Ok(Method::PassiveUnix(run_dir.join(rest))),
            "tcp" => active(rest, default_port).map(Method::Tcp),
            "ssl" => active(rest, default_port).map(Method::Ssl),
            "ptcp" => passive(rest, default_port).map(|(port, host)| Method::PassiveTcp(port, host)),
            "pssl" => passive(rest, default_port).map(|(port, host)| Method::PassiveSsl(port, host)),
            _ => Err(unknown()),
        }
    }

    /// Whether this listens.
    pub fn is_passive(&self) -> bool {
        matches!(self, Method::PassiveUnix(_) | Method::PassiveTcp(..) | Method::PassiveSsl(..))
    }

    /// Whether this speaks TLS.
    pub fn is_ssl(&self) -> bool {
        matches!(self, Method::Ssl(_) | Method::PassiveSsl(..))
    }
}

/// Whether a name leaves its port to the default, as Open vSwitch sees it, which counts the parts between colons.
pub(super) fn lacks_port(name: &str) -> bool {
    name.split(':').filter(|part| !part.is_empty()).count() < 3
}

/// Splits `HOST[:PORT]` or `[V6][:PORT]` at the colon that matters. More colons than one, without brackets, are a host's.
fn split(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn port_number(text: &str) -> Result<u16, NameError> {
    text.parse().map_err(|_| NameError(format!("bad port number \"{text}\"")))
}

fn active(text: &str, default_port: u16) -> Result<HostPort, NameError> {
    let (host, port) = split(text);
    if host.is_empty() {
        return Err(NameError("host must be specified".into()));
    }
    let port = match port {
        Some(port) => port_number(port)?,
        None if host.contains(':') && !text.ends_with(']') => return Err(NameError("port must be specified".into())),
        None => default_port,
    };
    Ok(HostPort { host: host.to_owned(), port })
}

fn passive(text: &str, default_port: u16) -> Result<(u16, Option<IpAddr>), NameError> {
    let (port, host) = match text.split_once(':') {
        Some((port, host)) => (port, host),
        None => (text, ""),
    };
    let port = if port.is_empty() { default_port } else { port_number(port)? };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    // A zone (`fe80::1%eth0`) names an interface; the address alone is what is bound.
    let bare = bare.split('%').next().unwrap_or(bare);
    if bare.is_empty() {
        return Ok((port, None));
    }
    let ip = bare.parse().ok().or_else(|| address_of(bare, &std::fs::read_to_string("/etc/hosts").ok()?));
    let ip = ip.ok_or_else(|| NameError(format!("{text}: bad IP address \"{host}\"")))?;
    Ok((port, Some(ip)))
}

/// The address that hosts(5) has for a name, of IPv4 if it can be. Nobody here can wait for a name server; but what is
/// listened on is an address of this host, whose names are in that file.
fn address_of(name: &str, hosts: &str) -> Option<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or(line).split_whitespace());
    let addresses = lines.filter_map(|mut words| {
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(address)
    });
    addresses.min_by_key(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Method, String> {
        Method::parse(text, 6640, Path::new("/run/x")).map_err(|e| e.0)
    }

    #[test]
    fn names_of_this_host() {
        let hosts = "127.0.0.1 localhost # me\n::1 localhost six\n\n10.0.0.1\tme.here ME\n# 1.1.1.1 gone\n";
        let address = |name| address_of(name, hosts).map(|ip| ip.to_string());
        for (name, want) in
            [("localhost", Some("127.0.0.1")), ("six", Some("::1")), ("me", Some("10.0.0.1")), ("gone", None)]
        {
            assert_eq!(address(name).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn methods() {
        let host = |host: &str, port| HostPort { host: host.into(), port };
        for (text, want) in [
            ("unix:db.sock", Ok(Method::Unix("/run/x/db.sock".into()))),
            ("punix:/a/b", Ok(Method::PassiveUnix("/a/b".into()))),
            ("tcp:1.2.3.4", Ok(Method::Tcp(host("1.2.3.4", 6640)))),
            ("tcp:[::1]:5", Ok(Method::Tcp(host("::1", 5)))),
            ("ssl:[::1]", Ok(Method::Ssl(host("::1", 6640)))),
            ("ptcp:", Ok(Method::PassiveTcp(6640, None))),
            ("ptcp:0:127.0.0.1", Ok(Method::PassiveTcp(0, Some("127.0.0.1".parse().unwrap())))),
            ("pssl:6632:[::1]", Ok(Method::PassiveSsl(6632, Some("::1".parse().unwrap())))),
            ("tcp::5", Err("host must be specified".into())),
            ("tcp:::1:5", Err("port must be specified".into())),
            ("tcp:[::1", Err("port must be specified".into())),
            ("tcp:a:x", Err("bad port number \"x\"".into())),
            ("foo:bar", Err("Address family not supported by protocol".into())),
            ("foo", Err("Address family not supported by protocol".into())),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
        for (name, lacks) in [("tcp:a", true), ("tcp:", true), ("tcp:a:1", false), ("tcp:[::1]:1", false)] {
            assert_eq!(lacks_port(name), lacks, "{name}");
        }
        assert_eq!(host("::1", 5).to_string(), "[::1]:5");
    }
}
