//! TLS options: keys, certificates, protocols and ciphers; and the text about connection methods.

use std::collections::VecDeque;

use super::{Accepted, section};
use crate::options::{Flag, Given};

/// The options every program that speaks TLS takes.
pub const TLS: &[Flag] = &[
    Flag::value("private-key").short('p').help("  -p, --private-key=FILE  file with private key\n"),
    Flag::value("certificate").short('c').help("  -c, --certificate=FILE  file with certificate for private key\n"),
    Flag::value("ca-cert").short('C').help("  -C, --ca-cert=FILE      file with peer CA certificate\n"),
    Flag::value("ssl-protocols").help("  --ssl-protocols=PROTOS  list of SSL protocols to enable\n"),
    Flag::value("ssl-ciphers").help("  --ssl-ciphers=CIPHERS   list of SSL ciphers to enable\n"),
];

/// The options of programs that may take the authority's certificate from the peer.
pub const BOOTSTRAP: &[Flag] = &[
    Flag::value("bootstrap-ca-cert")
        .help("  --bootstrap-ca-cert=FILE  file with peer CA certificate to read or create\n"),
    Flag::value("peer-ca-cert"),
];

/// The lines of `--help` about methods that connect.
pub const ACTIVE: &str = "  tcp:HOST:PORT           PORT at remote HOST
  ssl:HOST:PORT           SSL PORT at remote HOST
  unix:FILE               Unix domain socket named FILE
";

/// The lines of `--help` about methods that listen.
pub const PASSIVE: &str = "  ptcp:PORT[:IP]          listen to TCP PORT on IP
  pssl:PORT[:IP]          listen for SSL on PORT on IP
  punix:FILE              listen on Unix domain socket FILE
";

/// What the TLS options ask for. `db:` references are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// `--private-key`.
    pub private_key: Option<String>,
    /// `--certificate`.
    pub certificate: Option<String>,
    /// `--ca-cert` or `--bootstrap-ca-cert`, whichever came last.
    pub ca_cert: Option<String>,
    /// Whether `ca_cert` may be written from what the peer presents on the first connection.
    pub bootstrap: bool,
    /// `--peer-ca-cert`: sent along with our certificate to peers that bootstrap.
    pub peer_ca_cert: Option<String>,
    /// `--ssl-protocols`, for example `TLSv1.2`.
    pub protocols: Option<String>,
    /// `--ssl-ciphers`, in OpenSSL's notation.
    pub ciphers: Option<String>,
    /// The options in the order given.
    given: Vec<&'static str>,
}

impl TlsSettings {
    /// Takes the option if it is one of this group.
    ///
    /// # Errors
    /// None; [`TlsSettings::judge`] looks into the files.
    pub fn accept(&mut self, option: &Given) -> Accepted {
        let value = option.value.clone();
        match option.flag.long {
            "private-key" => self.private_key = value,
            "certificate" => self.certificate = value,
            "ca-cert" => {
                self.ca_cert = value;
                self.bootstrap = false;
            }
            "bootstrap-ca-cert" => {
                self.ca_cert = value;
                self.bootstrap = true;
            }
            "peer-ca-cert" => self.peer_ca_cert = value,
            "ssl-protocols" => self.protocols = value,
            "ssl-ciphers" => self.ciphers = value,
            _ => return Ok(false),
        }
        self.given.push(option.flag.long);
        Ok(true)
    }

    /// Tells the log of a tool, which has started, what is wrong with the files and lists, wanted or not.
    pub fn judge(&self) {
        let mut errors = VecDeque::new();
        for option in &self.given {
            crate::tls::judge(self, option, &mut errors);
        }
    }

    /// The sections of `--help` about keys and about protocols.
    #[must_use]
    pub fn usage(program: &str, bootstrap: bool) -> String {
        let mut keys = TLS[..3].to_vec();
        if bootstrap {
            keys.extend_from_slice(BOOTSTRAP);
        }
        section(program, "PKI configuration (required to use SSL):", &keys)
            + &section(program, "SSL options:", &TLS[3..])
    }
}

/// The sections of `--help` about connection methods for `what` (such as `database`), followed by the
/// sections about TLS; after a blank line.
#[must_use]
pub fn connection_methods(program: &str, what: &str, active: bool, passive: bool, bootstrap: bool) -> String {
    let mut out = String::from("\n");
    if active {
        out += &format!("Active {what} connection methods:\n{ACTIVE}");
    }
    if passive {
        out += &format!("Passive {what} connection methods:\n{PASSIVE}");
    }
    out + &TlsSettings::usage(program, bootstrap)
}
