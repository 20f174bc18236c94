//! Continuity check messages. Source: IEEE 802.1ag-2007, clause 21.6; ovs-vswitchd.conf.db(5) for the extension.
//!
//! A message here starts at its maintenance domain level; the Ethernet header (EtherType 0x8902) is the caller's. In
//! extended mode three fields follow the maintenance association's name: the interval in milliseconds, a 64-bit end
//! point number, and whether the end point is operationally down. Numbers are big-endian.

/// Octets of a message.
pub const LEN: usize = 75;
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
    /// Number of the interval, 0 in extended mode.
    pub interval: u8,
    /// Counts the messages of the sender.
    pub seq: u32,
    /// The sender's endpoint, 13 bits; 0 in extended mode.
    pub mpid: u16,
    /// Extended mode.
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
}

impl Ccm {
    /// Reads a message. `None` for what is too short, of another level, version or kind.
    pub fn parse(bytes: &[u8]) -> Option<Heard> {
        let b: &[u8; LEN] = bytes.first_chunk()?;
        if b[0] != 0 || b[1] != OPCODE_CCM || b[3] < TLV_OFFSET {
            return None;
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
        assert_eq!(Ccm::parse(&bytes[..LEN - 1]), None);
        assert_eq!(bytes[..20], *b"\x00\x01\x83\x46\x00\x00\x00\x4e\x00\x01\x04\x03ovs\x02\x03ovs");
        let mut foreign = bytes;
        foreign[AT_MAID + 3] = b'x';
        assert_eq!(Ccm::parse(&foreign), Some(Heard::Foreign));
        foreign[1] = 2;
        assert_eq!(Ccm::parse(&foreign), None);
    }

    #[test]
    fn intervals_are_rounded_down() {
        for (ms, expected) in [(1, (1, 3)), (300, (3, 100)), (1000, (4, 1000)), (u32::MAX, (7, 600_000))] {
            assert_eq!(standard_interval(ms), expected);
        }
    }
}
