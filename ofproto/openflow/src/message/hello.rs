//! Hello messages. Source: OpenFlow 1.3.5 section 7.5.1.

use super::kind::{self, Head, Kind};
use super::wire::{Put, Reader};
use crate::{Notes, Version, VersionSet};

/// Versions that the sender speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it allows: the bitmap, or all up to its header's version without one.
    pub versions: VersionSet,
    /// Version of its header, possibly one that this code does not know.
    pub header_version: u8,
    /// The message has octets that say nothing known; it is printed, not refused.
    pub malformed: bool,
}

/// Element that holds the bitmap.
const VERSION_BITMAP: u16 = 1;

/// Name of the log's module for what is said of hellos.
const LOG: &str = "ofp_util";

pub(super) fn decode(head: &Head<'_>, notes: Option<&Notes>) -> Hello {
    let mut hello = Hello { versions: VersionSet::up_to(head.version), header_version: head.version, malformed: false };
    let mut body = Reader::new(head.body);
    while !body.is_empty() {
        let Some(element) = element(&mut body) else {
            hello.malformed = true;
            break;
        };
        match bitmap(element, notes) {
            Some(versions) => hello.versions = versions,
            None => hello.malformed = true,
        }
    }
    hello
}

/// The next element, header included and padding excluded.
fn element<'a>(body: &mut Reader<'a>) -> Option<&'a [u8]> {
    let mut head = *body;
    let _kind = head.u16().ok()?;
    let len = usize::from(head.u16().ok()?);
    if len < 4 {
        return None;
    }
    let whole = body.take(len.next_multiple_of(8)).ok()?;
    Some(&whole[..len])
}

/// The versions of a bitmap element; its first 32 bits are all that can matter.
fn bitmap(element: &[u8], notes: Option<&Notes>) -> Option<VersionSet> {
    let mut octets = Reader::new(element);
    if octets.u16().ok()? != VERSION_BITMAP {
        return None;
    }
    octets.skip(2).ok()?;
    // Whole words only.
    if !octets.len().is_multiple_of(4) {
        return None;
    }
    let bits = octets.u32().ok()?;
    let warn = |text: &str| {
        if let Some(notes) = notes {
            notes.warn(LOG, text.to_owned());
        }
    };
    if bits & 1 != 0 {
        warn("peer claims to support invalid OpenFlow version 0x00");
    }
    let versions = bits & !1;
    if versions == 0 {
        warn("peer does not support any OpenFlow version (between 0x01 and 0x1f)");
        return None;
    }
    Some(VersionSet(versions))
}

/// Appends a hello that offers `versions`; its header has the newest, which may be one that this code does not know.
pub(super) fn encode(out: &mut Vec<u8>, versions: VersionSet, xid: u32) {
    let version = versions.newest().unwrap_or(Version::V10);
    let newest = versions.0.checked_ilog2().map_or(0, |bit| bit as u8).max(version.wire());
    let start = out.len();
    if let Some(shape) = kind::shape_of(Kind::Hello, version, false) {
        kind::put_head(out, shape, version, xid);
    }
    out[start] = newest;
    // Version 0, which is none, makes no difference.
    if versions.0 & !1 != VersionSet::up_to(newest).0 {
        out.put16(VERSION_BITMAP);
        out.put16(8);
        out.put32(versions.0);
    }
    kind::finish(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_the_newest_and_bitmaps_are_left_out_where_they_say_no_more() {
        for (versions, want) in [
            (0x02, "01 00 00 08 00 00 00 01"),
            (0x7e, "06 00 00 08 00 00 00 01"),
            (0x60, "06 00 00 10 00 00 00 01 00 01 00 08 00 00 00 60"),
            (0x80, "07 00 00 10 00 00 00 01 00 01 00 08 00 00 00 80"),
            (0xff, "07 00 00 08 00 00 00 01"),
            (0xffff_fffe, "1f 00 00 08 00 00 00 01"),
        ] {
            let mut out = Vec::new();
            encode(&mut out, VersionSet(versions), 1);
            let octets: Vec<String> = out.iter().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(octets.join(" "), want, "{versions:#x}");
        }
    }
}
