//! Continuity check messages. Source: IEEE 802.1ag-2007, clause 21.6; ovs-vswitchd.conf.db(5) for the extension.
//!
//! A message here starts at its maintenance domain level; the Ethernet header (EtherType 0x8902) is the caller's. In
//! extended mode three fields follow the maintenance association's name: the interval in milliseconds, a 64-bit end
//! point number, and whether the end point is operationally down. Numbers are big-endian.

/// Octets of a message.
pub const LEN: usize = 75;
/// Octets that one has to have: all but the end of its TLVs.
const LEAST: usize = LEN - 1;
/// Destination of messages.
pub const GROUP: u64 = 0x0180_c200_0030;
/// Destination in extended mode.
pub const GROUP_EXTENDED: u64 = 0x0123_2000_0030;

const OPCODE_CCM: u8 = 1;
/// From the first octet behind this field to the first TLV.
const TLV_OFFSET: u8 = 70;
const FLAG_RDI: u8 = 0x80;
const AT_MAID: usize = 10;
const MAID_LEN: usize = 48;
const AT_INTERVAL: usize = 58;
const AT_MPID64: usize = 60;
const AT_DOWN: usize = 68;

/// Intervals of the standard by their number less one, milliseconds.
const INTERVALS_MS: [u32; 7] = [3, 10, 100, 1000, 10_000, 60_000, 600_000];

/// The largest interval of the standard that is no longer than `ms`: its number and length.
pub fn standard_interval(ms: u32) -> (u8, u32) {
    let at = INTERVALS_MS.iter().rposition(|known| *known <= ms).unwrap_or(0);
    (at as u8 + 1, INTERVALS_MS[at])
}

/// The interval of extended mode: its number, 0 if it is none of the standard's, and length. Those of the standard are
/// told as there.
pub fn extended_interval(ms: u32) -> (u8, u32) {
    match INTERVALS_MS.iter().position(|known| *known == ms) {
        Some(at) => (at as u8 + 1, ms),
        None => (0, ms.clamp(1, u16::MAX.into())),
    }
}

/// The number that stands for an end point of extended mode where the standard has room for one: whoever does not know
/// the extension sees one that is most likely nobody's own.
pub fn short_mpid(mpid: u64) -> u16 {
    (hashing::finish(hashing::add64(0, mpid), 8) as u16).max(1)
}

/// The name of the one maintenance association there is: domain `ovs` and short name `ovs`, both character strings.
fn maid() -> [u8; MAID_LEN] {
    let mut out = [0; MAID_LEN];
    out[..10].copy_from_slice(b"\x04\x03ovs\x02\x03ovs");
    out
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ccm {
    /// The sender does not hear others.
    pub rdi: bool,
    /// Number of the interval; 0 for one that the standard has not, in extended mode.
    pub interval: u8,
    /// Counts the messages of the sender.
    pub seq: u32,
    /// The sender's endpoint, 13 bits; in extended mode of [`short_mpid`].
    pub mpid: u16,
    /// Extended mode: the interval, milliseconds; 0 where its number tells.
    pub interval_ms: u16,
    /// The sender's endpoint in extended mode.
    pub mpid64: u64,
    /// Extended mode: the sender is out of service.
    pub down: bool,
}

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Of our association.
    Ours(Ccm),
    /// Of another one.
    Foreign,
    /// Another kind of message, with its number.
    Other(u8),
}

impl Ccm {
    /// Reads a message, of whatever level and version. `None` for what is too short.
    pub fn parse(bytes: &[u8]) -> Option<Heard> {
        let b: &[u8; LEAST] = bytes.first_chunk()?;
        if b[1] != OPCODE_CCM {
            return Some(Heard::Other(b[1]));
        }
        if b[AT_MAID..AT_MAID + MAID_LEN] != maid() {
            return Some(Heard::Foreign);
        }
        let number = |at: usize, len: usize| b[at..at + len].iter().fold(0u64, |n, octet| n << 8 | u64::from(*octet));
        Some(Heard::Ours(Ccm {
            rdi: b[2] & FLAG_RDI != 0,
            interval: b[2] & 7,
            seq: number(4, 4) as u32,
            mpid: number(8, 2) as u16,
            interval_ms: number(AT_INTERVAL, 2) as u16,
            mpid64: number(AT_MPID64, 8),
            down: b[AT_DOWN] != 0,
        }))
    }

    /// The octets.
    pub fn emit(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[1] = OPCODE_CCM;
        out[2] = self.interval | if self.rdi { FLAG_RDI } else { 0 };
        out[3] = TLV_OFFSET;
        out[4..8].copy_from_slice(&self.seq.to_be_bytes());
        out[8..10].copy_from_slice(&self.mpid.to_be_bytes());
        out[AT_MAID..AT_MAID + MAID_LEN].copy_from_slice(&maid());
        out[AT_INTERVAL..AT_MPID64].copy_from_slice(&self.interval_ms.to_be_bytes());
        out[AT_MPID64..AT_DOWN].copy_from_slice(&self.mpid64.to_be_bytes());
        out[AT_DOWN] = u8::from(self.down);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let ccm = Ccm { rdi: true, interval: 3, seq: 78, mpid: 1, interval_ms: 300, mpid64: 1 << 40, down: true };
        let bytes = ccm.emit();
        assert_eq!(Ccm::parse(&bytes), Some(Heard::Ours(ccm)));
        assert_eq!(Ccm::parse(&bytes[..LEAST - 1]), None);
        assert_eq!(bytes[..20], *b"\x00\x01\x83\x46\x00\x00\x00\x4e\x00\x01\x04\x03ovs\x02\x03ovs");
        let mut foreign = bytes;
        foreign[AT_MAID + 3] = b'x';
        assert_eq!(Ccm::parse(&foreign), Some(Heard::Foreign));
        foreign[1] = 2;
        assert_eq!(Ccm::parse(&foreign), Some(Heard::Other(2)));
        let mut level = bytes;
        (level[0], level[3]) = (0x21, 0);
        assert_eq!(Ccm::parse(&level[..LEAST]), Some(Heard::Ours(ccm)));
    }

    #[test]
    fn endpoints_of_extended_mode_have_open_vswitchs_short_numbers() {
        for (mpid, short) in [(1, 0x5d44), (2, 0xa2f4), (255, 0x09b7), (0x1_0000, 0xc15f), (123_456_789, 0xfe31)] {
            assert_eq!(short_mpid(mpid), short, "{mpid}");
        }
    }

    #[test]
    fn intervals_are_rounded_down() {
        for (ms, expected) in [(1, (1, 3)), (300, (3, 100)), (1000, (4, 1000)), (u32::MAX, (7, 600_000))] {
            assert_eq!(standard_interval(ms), expected);
        }
        for (ms, expected) in [
            (0, (0, 1)),
            (3, (1, 3)),
            (300, (0, 300)),
            (1000, (4, 1000)),
            (70_000, (0, 65_535)),
            (600_000, (7, 600_000)),
        ] {
            assert_eq!(extended_interval(ms), expected);
        }
    }
}
