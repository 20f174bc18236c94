//! `dump-ports`, `dump-ports-desc`, `mod-port`, `queue-stats`, `queue-get-config`.

use openflow::message::port::port_config;
use openflow::message::{Message, PortDesc, PortMod};
use openflow::{Names, OfPort, Version};

use super::flows::noting;
use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// The port that a text names, by number, reserved name or the switch's own name for it.
pub(super) fn port_of(session: &Session, settings: &Settings, text: &str) -> Result<OfPort, Failure> {
    let unknown = || format!("{}: unknown port `{text}'", session.given);
    if let Ok(port) = noting(Names::NONE, |names| names.parse_port(text).ok_or_else(unknown)) {
        return Ok(port);
    }
    if !settings.accepts_names() {
        // Looked at once more, without names.
        return Ok(noting(Names::NONE, |names| names.parse_port(text).ok_or_else(unknown))?);
    }
    // Numbered as if ports were asked for on a connection of their own, meanwhile.
    let (_hello, _request) = (session.next_xid(), session.next_xid());
    Ok(noting(session.names(), |names| names.parse_port(text).ok_or_else(unknown))?)
}

/// `dump-ports SWITCH [PORT]`.
pub(super) fn dump_ports(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let port = args.get(1).map_or(Ok(OfPort::ANY), |text| port_of(&session, settings, text))?;
    session.dump(&Message::PortStatsRequest(port), settings)
}

/// `dump-ports-desc SWITCH [PORT]`.
pub(super) fn dump_ports_desc(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let port = args.get(1).map_or(Ok(OfPort::ANY), |text| port_of(&session, settings, text))?;
    session.dump(&Message::PortDescRequest(port), settings)
}

/// Whether a text stands for all ports, or all queues.
fn is_all(text: &str) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case("ALL")
}

fn queue_of(text: Option<&String>) -> Result<Option<u32>, Failure> {
    match text {
        None => Ok(None),
        Some(text) if is_all(text) => Ok(None),
        Some(text) => {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            Ok(Some(digits.parse().unwrap_or(0)))
        }
    }
}

/// `queue-stats SWITCH [PORT [QUEUE]]`.
pub(super) fn queue_stats(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let port = match args.get(1) {
        Some(text) if !is_all(text) => port_of(&session, settings, text)?,
        _ => OfPort::ANY,
    };
    let queue = queue_of(args.get(2))?;
    session.dump(&Message::QueueStatsRequest { port, queue }, settings)
}

/// `queue-get-config SWITCH [PORT [QUEUE]]`.
pub(super) fn queue_get_config(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let port = args.get(1).map_or(Ok(OfPort::ANY), |text| port_of(&session, settings, text))?;
    let queue = queue_of(args.get(2))?;
    if session.version >= Version::V14 {
        return session.dump(&Message::QueueConfigRequest { port, queue }, settings);
    }
    if session.version == Version::V10 && port == OfPort::ANY {
        // 1.0 has no request for all ports: each in turn.
        let ports = session.ports()?;
        let _hello = session.next_xid();
        for desc in ports {
            if desc.port.is_physical() {
                session.dump(&Message::QueueConfigRequest { port: desc.port, queue: None }, settings)?;
            }
        }
        return Ok(());
    }
    session.dump(&Message::QueueConfigRequest { port, queue: None }, settings)
}

fn describe(session: &Session, name: &str) -> Result<PortDesc, Failure> {
    // Reserved names are none here, but numbers are.
    let digits = name.trim_ascii_start();
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let number = Names::NONE.parse_port(digits).filter(|_| is_number);
    let found = session.ports()?.into_iter().find(|p| match number {
        Some(port) => p.port == port,
        None => p.name == name,
    });
    found.ok_or_else(|| Failure::Text(format!("{}: couldn't find port `{name}'", session.given)))
}

/// What `mod-port` can change: word, bit, whether the word sets the bit. `no` or `no-` before a word turns it round.
const CHANGES: &[(&str, u32, bool)] = &[
    ("up", port_config::PORT_DOWN, false),
    ("down", port_config::PORT_DOWN, true),
    ("stp", port_config::NO_STP, false),
    ("receive", port_config::NO_RECV, false),
    ("receive-stp", port_config::NO_RECV_STP, false),
    ("flood", port_config::NO_FLOOD, false),
    ("forward", port_config::NO_FWD, false),
    ("packet-in", port_config::NO_PACKET_IN, false),
];

/// The bit that a word of `mod-port` is about, and whether it sets it.
fn port_change(word: &str) -> Option<(u32, bool)> {
    let word = word.to_ascii_lowercase();
    let (plain, turned) = match word.strip_prefix("no") {
        Some(rest) => (rest.strip_prefix('-').unwrap_or(rest), true),
        None => (word.as_str(), false),
    };
    CHANGES.iter().find(|(name, ..)| *name == plain).map(|(_, bit, sets)| (*bit, sets ^ turned))
}

/// `mod-port SWITCH PORT ACTION`.
pub(super) fn mod_port(settings: &Settings, args: &[String]) -> Done {
    let (bit, sets) = port_change(&args[2]).ok_or_else(|| format!("unknown mod-port command '{}'", args[2]))?;
    let session = Session::open(&args[0], settings)?;
    let desc = describe(&session, &args[1])?;
    let config = if sets { bit } else { 0 };
    let port_mod =
        PortMod { port: desc.port, hw_addr: desc.hw_addr, hw_addr64: desc.hw_addr64, config, mask: bit, advertise: 0 };
    let request = session.encode(&Message::PortMod(port_mod))?;
    session.change(&request, settings)
}
