//! Requests in several parts: gathered until the last one is here, from OpenFlow 1.3 on.
//!
//! Requests for table features and for flow monitors are lists, whose parts are joined. Of any other request one part at
//! the most may say anything. Source: OpenFlow 1.3 section 7.3.5; observed answers of Open vSwitch 3.1.

use std::collections::BTreeMap;

use openflow::message::Message;
use openflow::message::kind::{self, Part};
use openflow::{ErrorCode, Version};

use super::{Bridge, ConnId, Incoming};

/// Octets of all parts of a request.
const OCTETS_AT_MOST: usize = 4 << 20;
/// Requests of one connection whose end is awaited, and octets of all of them.
const REQUESTS_AT_MOST: usize = 1 << 10;
const ALL_OCTETS_AT_MOST: usize = 2 * OCTETS_AT_MOST;
/// The next part is awaited so long, milliseconds.
const IDLE_MS: i64 = 1000;

/// A request that lacks its end.
#[derive(Debug)]
struct Partial {
    /// What it asks for.
    part: Part,
    /// Its first part, to be quoted in errors.
    first: Incoming,
    /// Parts that say anything.
    parts: Vec<Incoming>,
    octets: usize,
    deadline_ms: i64,
}

/// The requests of a connection that lack their ends, by transaction.
#[derive(Debug, Default)]
pub(crate) struct Partials(BTreeMap<u32, Partial>);

/// What became of a part.
enum Gathered {
    /// The request is whole.
    Whole(Incoming),
    /// Another part must follow.
    More,
    /// It is refused, with this message quoted.
    Refused(Incoming, ErrorCode),
}

impl Partials {
    /// When the first of them is given up.
    pub(crate) fn poll_timeout(&self) -> Option<i64> {
        self.0.values().map(|p| p.deadline_ms).min()
    }

    /// Those that waited too long.
    fn expire(&mut self, now_ms: i64) -> impl Iterator<Item = Incoming> + use<> {
        let due = |(_, p): &(&u32, &Partial)| p.deadline_ms <= now_ms;
        let due: Vec<u32> = self.0.iter().filter(due).map(|(xid, _)| *xid).collect();
        let gone: Vec<Partial> = due.into_iter().filter_map(|xid| self.0.remove(&xid)).collect();
        gone.into_iter().map(|p| p.first)
    }

    fn gather(&mut self, request: Incoming, now_ms: i64) -> Gathered {
        let is_other_version = request.body.as_ref().is_err_and(|error| error.code == ErrorCode::OFPBRC_BAD_VERSION);
        let part = match kind::request_part(&request.raw) {
            Ok(part) if !is_other_version => part,
            _ => return Gathered::Whole(request),
        };
        let all: usize = self.0.values().map(|p| p.octets).sum();
        let xid = request.xid;
        let known = self.0.get(&xid);
        if (known.is_none() && !part.more) || (!part.is_empty && !part.fits) {
            return Gathered::Whole(request);
        }
        if known.is_some_and(|p| p.part.name != part.name) {
            // Whoever mixes requests has neither answered.
            self.0.remove(&xid);
            return Gathered::Refused(request, ErrorCode::OFPBRC_BAD_STAT);
        }
        let n = self.0.len();
        let partial = self.0.entry(xid).or_insert_with(|| Partial {
            part,
            first: request.clone(),
            parts: Vec::new(),
            octets: 0,
            deadline_ms: 0,
        });
        let octets = request.raw.len();
        partial.octets += octets;
        partial.deadline_ms = now_ms + IDLE_MS;
        if partial.octets > OCTETS_AT_MOST || all + octets > ALL_OCTETS_AT_MOST || n > REQUESTS_AT_MOST {
            let first = partial.first.clone();
            self.0.remove(&xid);
            return Gathered::Refused(first, ErrorCode::OFPBRC_MULTIPART_BUFFER_OVERFLOW);
        }
        if part.more {
            if !part.is_empty {
                partial.parts.push(request);
            }
            return Gathered::More;
        }
        let mut parts = self.0.remove(&xid).map(|p| p.parts).unwrap_or_default();
        if !part.is_empty || parts.is_empty() {
            parts.push(request);
        }
        Gathered::Whole(joined(parts))
    }
}

/// The request that its parts make; the answer to what is wrong with any of them quotes the first.
fn joined(parts: Vec<Incoming>) -> Incoming {
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next() else { unreachable!("a request has a part") };
    for part in parts {
        match (&mut whole.body, part.body) {
            (Err(_), _) => break,
            (Ok(Message::TableFeaturesRequest(all)), Ok(Message::TableFeaturesRequest(more))) => all.extend(more),
            (Ok(Message::FlowMonitorRequest(all)), Ok(Message::FlowMonitorRequest(more))) => all.extend(more),
            (Ok(Message::TableFeaturesRequest(_) | Message::FlowMonitorRequest(_)), Err(error)) => {
                whole.body = Err(error);
            }
            _ => whole.body = Err(ErrorCode::OFPBRC_BAD_STAT.into()),
        }
    }
    whole
}

impl Bridge {
    /// Takes a request as a part of one; gives the whole request once it is here.
    pub(super) fn gather_parts(&mut self, id: ConnId, request: Incoming) -> Option<Incoming> {
        let conn = self.conns.get_mut(&id)?;
        if conn.version < Version::V13 {
            return Some(request);
        }
        match conn.partials.gather(request, self.now_ms) {
            Gathered::Whole(request) => return Some(request),
            Gathered::More => {}
            Gathered::Refused(request, code) => self.refuse(id, &request, code),
        }
        None
    }

    /// When the first unfinished request is given up.
    pub(super) fn partials_timeout(&self) -> Option<i64> {
        self.conns.values().filter_map(|c| c.partials.poll_timeout()).min()
    }

    /// Gives up requests whose next part does not come.
    pub(super) fn expire_partials(&mut self) {
        let now_ms = self.now_ms;
        let expired = |c: &mut super::Conn| c.partials.expire(now_ms).map(|r| (c.id, r)).collect::<Vec<_>>();
        let expired: Vec<_> = self.conns.values_mut().flat_map(expired).collect();
        for (conn, request) in expired {
            self.refuse(conn, &request, ErrorCode::OFPBRC_MULTIPART_REQUEST_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(hex: &str) -> Incoming {
        let raw: Vec<u8> =
            (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect();
        Incoming { body: super::super::decode_message(&raw, false, false), xid: 5, raw: raw.into() }
    }

    fn told(gathered: Gathered) -> String {
        match gathered {
            Gathered::Whole(Incoming { body: Ok(Message::PortStatsRequest(port)), .. }) => format!("port {port}"),
            Gathered::Whole(Incoming { body: Ok(Message::FlowMonitorRequest(all)), .. }) => format!("{}", all.len()),
            Gathered::Whole(Incoming { body: Ok(_), .. }) => "whole".into(),
            Gathered::Whole(Incoming { body: Err(error), .. }) => error.to_string(),
            Gathered::More => "more".into(),
            Gathered::Refused(_, code) => code.to_string(),
        }
    }

    const PORT: [&str; 4] = [
        "041200180000000500040000000000000000000100000000",
        "041200180000000500040001000000000000000100000000",
        "04120010000000050004000000000000",
        "04120010000000050004000100000000",
    ];
    const DESC: &str = "04120010000000050000000000000000";
    const CUT: &str = "0412001400000005000400010000000000000001";

    #[test]
    fn one_part_says_what_is_asked() {
        let cases: [(&[&str], &str); 8] = [
            (&[PORT[0]], "port 1"),
            (&[PORT[2]], "OFPBRC_BAD_LEN"),
            (&[PORT[1], PORT[2]], "more, port 1"),
            (&[PORT[3], PORT[0]], "more, port 1"),
            (&[PORT[3], PORT[2]], "more, OFPBRC_BAD_LEN"),
            (&[PORT[1], PORT[0]], "more, OFPBRC_BAD_STAT"),
            (&[PORT[1], CUT, DESC, PORT[2]], "more, OFPBRC_BAD_LEN, OFPBRC_BAD_STAT, OFPBRC_BAD_LEN"),
            (&[CUT, PORT[0]], "OFPBRC_BAD_LEN, port 1"),
        ];
        for (messages, expect) in cases {
            let mut partials = Partials::default();
            let heard: Vec<String> = messages.iter().map(|m| told(partials.gather(request(m), 0))).collect();
            assert_eq!(heard.join(", "), expect, "{messages:?}");
            assert!(partials.0.is_empty());
        }
    }

    #[test]
    fn lists_are_joined() {
        let monitor = |id: u8, more: u8| {
            request(&format!(
                "0512002800000005001000{more:02x}00000000000000{id:02x}ffffffffffffffff005fff000001000400000000"
            ))
        };
        let mut partials = Partials::default();
        assert_eq!(told(partials.gather(monitor(1, 1), 0)), "more");
        assert_eq!(told(partials.gather(monitor(2, 1), 0)), "more");
        assert_eq!(told(partials.gather(monitor(3, 0), 0)), "3");
    }

    #[test]
    fn what_does_not_end_is_given_up() {
        let mut partials = Partials::default();
        assert_eq!(told(partials.gather(request(PORT[3]), 10)), "more");
        assert_eq!(partials.poll_timeout(), Some(1010));
        assert_eq!(told(partials.gather(request(PORT[3]), 500)), "more");
        assert_eq!(partials.expire(1499).count(), 0);
        assert_eq!(partials.expire(1500).count(), 1);
        assert_eq!(partials.poll_timeout(), None);
    }

    #[test]
    fn what_does_not_end_is_bounded() {
        let mut partials = Partials::default();
        let last = (0..3000).map(|n| {
            let mut part = request(PORT[3]);
            part.xid = n;
            told(partials.gather(part, 0))
        });
        assert_eq!(last.last().as_deref(), Some("OFPBRC_MULTIPART_BUFFER_OVERFLOW"));
        assert!(partials.0.len() <= REQUESTS_AT_MOST + 1);
    }
}
