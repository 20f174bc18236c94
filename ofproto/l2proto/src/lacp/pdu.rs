//! LACPDUs: what one side tells the other about itself and about what it heard. Source: IEEE 802.1AX-2008 section 5.4.2.

/// Octets of a LACPDU, Ethernet header and checksum left out.
pub const PDU_LEN: usize = 110;

const SUBTYPE_LACP: u8 = 1;
const SUBTYPE_MARKER: u8 = 2;
const VERSION: u8 = 1;
/// Type and length of the TLVs.
const ACTOR: [u8; 2] = [1, 20];
const PARTNER: [u8; 2] = [2, 20];
const COLLECTOR: [u8; 2] = [3, 16];
/// Where they begin.
const ACTOR_AT: usize = 2;
const PARTNER_AT: usize = 22;
const COLLECTOR_AT: usize = 42;

/// Bits of a state.
pub mod state {
    /// Sends without being asked.
    pub const ACTIVITY: u8 = 0x01;
    /// Short timeout.
    pub const TIMEOUT: u8 = 0x02;
    /// May be part of a bundle.
    pub const AGGREGATION: u8 = 0x04;
    /// Agrees to be part of this bundle.
    pub const SYNC: u8 = 0x08;
    /// Takes frames.
    pub const COLLECTING: u8 = 0x10;
    /// Sends frames.
    pub const DISTRIBUTING: u8 = 0x20;
    /// Heard nobody: works with defaults.
    pub const DEFAULTED: u8 = 0x40;
    /// What it heard is too old.
    pub const EXPIRED: u8 = 0x80;

    /// Names, in order of the bits.
    pub const NAMES: [&str; 8] =
        ["activity", "timeout", "aggregation", "synchronized", "collecting", "distributing", "defaulted", "expired"];
}

/// One side's information on one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Lower is preferred.
    pub system_priority: u16,
    /// 48 bits.
    pub system_id: u64,
    /// Ports of one key may be joined.
    pub key: u16,
    /// Lower is preferred.
    pub port_priority: u16,
    /// Number of the port within the system.
    pub port_id: u16,
    /// Bits of [`state`].
    pub state: u8,
}

impl Info {
    /// Whether the partner need not be told of a difference (IEEE 802.1AX section 5.4.9, "update NTT").
    pub fn tells_the_same(&self, other: &Info) -> bool {
        const TOLD: u8 = state::ACTIVITY | state::TIMEOUT | state::SYNC | state::AGGREGATION;
        let told = |info: &Info| Info { state: info.state & TOLD, ..*info };
        told(self) == told(other)
    }

    fn parse(octets: &[u8]) -> Option<Info> {
        let u16_at = |at: usize| Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]));
        Some(Info {
            system_priority: u16_at(0)?,
            system_id: octets.get(2..8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
            key: u16_at(8)?,
            port_priority: u16_at(10)?,
            port_id: u16_at(12)?,
            state: *octets.get(14)?,
        })
    }

    fn emit(&self, octets: &mut [u8]) {
        octets[0..2].copy_from_slice(&self.system_priority.to_be_bytes());
        octets[2..8].copy_from_slice(&self.system_id.to_be_bytes()[2..]);
        octets[8..10].copy_from_slice(&self.key.to_be_bytes());
        octets[10..12].copy_from_slice(&self.port_priority.to_be_bytes());
        octets[12..14].copy_from_slice(&self.port_id.to_be_bytes());
        octets[14] = self.state;
    }
}

/// A LACPDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// The sender.
    pub actor: Info,
    /// The receiver, as the sender knows it.
    pub partner: Info,
}

/// Whether it is a message of the marker protocol.
pub fn is_marker(octets: &[u8]) -> bool {
    octets.first() == Some(&SUBTYPE_MARKER)
}

impl Pdu {
    /// Reads one; `None` if it is none, or short.
    pub fn parse(octets: &[u8]) -> Option<Pdu> {
        let octets = octets.get(..PDU_LEN)?;
        let head = octets[0] == SUBTYPE_LACP && octets[1] == VERSION;
        let tlvs = octets[ACTOR_AT..ACTOR_AT + 2] == ACTOR && octets[PARTNER_AT..PARTNER_AT + 2] == PARTNER;
        if !head || !tlvs {
            return None;
        }
        Some(Pdu { actor: Info::parse(&octets[ACTOR_AT + 2..])?, partner: Info::parse(&octets[PARTNER_AT + 2..])? })
    }

    /// Writes it.
    pub fn emit(&self) -> [u8; PDU_LEN] {
        let mut octets = [0; PDU_LEN];
        octets[0] = SUBTYPE_LACP;
        octets[1] = VERSION;
        octets[ACTOR_AT..ACTOR_AT + 2].copy_from_slice(&ACTOR);
        self.actor.emit(&mut octets[ACTOR_AT + 2..]);
        octets[PARTNER_AT..PARTNER_AT + 2].copy_from_slice(&PARTNER);
        self.partner.emit(&mut octets[PARTNER_AT + 2..]);
        octets[COLLECTOR_AT..COLLECTOR_AT + 2].copy_from_slice(&COLLECTOR);
        octets
    }
}
