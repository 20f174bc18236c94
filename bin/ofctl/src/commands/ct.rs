//! Flushing of tracked connections.

use openflow::message::Message;
use openflow::parse::ct::parse_ct_flush;

use crate::Done;
use crate::session::Session;
use crate::settings::Settings;

/// `ct-flush-zone SWITCH ZONE`.
pub(super) fn flush_zone(settings: &Settings, args: &[String]) -> Done {
    let number = flow::text::parse_u64_prefix(&args[1], 0).filter(|(_, rest)| rest.is_empty());
    let zone = number.and_then(|(n, _)| u16::try_from(n).ok());
    let zone = zone.ok_or_else(|| format!("invalid zone_id \"{}\"", args[1]))?;
    let session = Session::open(&args[0], settings)?;
    let request = session.encode(&Message::CtFlushZone(zone))?;
    session.change(&request, settings)
}

/// `ct-flush SWITCH [zone=N] [TUPLE [TUPLE]]`.
pub(super) fn flush(settings: &Settings, args: &[String]) -> Done {
    let words: Vec<&str> = args[1..].iter().map(String::as_str).collect();
    let flush = parse_ct_flush(&words)?;
    let session = Session::open(&args[0], settings)?;
    let request = session.encode(&Message::CtFlush(flush))?;
    session.change(&request, settings)
}
