//! Bridge protocol data units of the rapid spanning tree protocol. Source: IEEE 802.1D-2004, clause 9.
//!
//! A unit here starts at its protocol identifier. Numbers are big-endian; times are 1/256 second on the wire and whole
//! seconds here, as the timers of clause 17 are.

use super::{PriorityVector, Role, Times};

const CONFIG_LEN: usize = 35;
const RST_LEN: usize = 36;
const TYPE_CONFIG: u8 = 0x00;
const TYPE_RST: u8 = 0x02;
const TYPE_TCN: u8 = 0x80;

/// Flags of a unit (clause 9.3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The topology changed.
    pub change: bool,
    /// The sender would like to be designated at once.
    pub proposal: bool,
    /// The sender learns there.
    pub learning: bool,
    /// The sender forwards there.
    pub forwarding: bool,
    /// The sender agrees to a proposal.
    pub agreement: bool,
    /// The sender has heard of a change.
    pub change_ack: bool,
}

/// What kind of unit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rapid.
    Rst,
    /// Of the older protocol.
    Config,
    /// Topology change notification, of the older protocol.
    Tcn,
}

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bpdu {
    /// Kind.
    pub kind: Kind,
    /// Flags; a configuration unit has the two of the topology change.
    pub flags: Flags,
    /// Role of the sending port; `None` for unknown. Configuration units come from designated ports.
    pub role: Option<Role>,
    /// Priority vector of the message.
    pub priority: PriorityVector,
    /// Times of the message.
    pub times: Times,
}

impl Bpdu {
    /// A topology change notification.
    pub fn tcn() -> Bpdu {
        Bpdu {
            kind: Kind::Tcn,
            flags: Flags::default(),
            role: None,
            priority: PriorityVector::default(),
            times: Times::default(),
        }
    }

    /// Reads a unit; padding after it is allowed. `None` for what is too short, of another protocol or of no known type.
    pub fn parse(bytes: &[u8]) -> Option<Bpdu> {
        let head: &[u8; 4] = bytes.first_chunk()?;
        let kind = match (&head[..2], head[2], head[3]) {
            ([0, 0], _, TYPE_TCN) => return Some(Bpdu::tcn()),
            ([0, 0], _, TYPE_CONFIG) => Kind::Config,
            ([0, 0], 2.., TYPE_RST) if bytes.len() >= RST_LEN => Kind::Rst,
            _ => return None,
        };
        let b: &[u8; CONFIG_LEN] = bytes.first_chunk()?;
        let u16_at = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
        let u64_at = |at: usize| b[at..at + 8].iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
        let bit = |n: u8| b[4] & (1 << n) != 0;
        let rapid = kind == Kind::Rst;
        Some(Bpdu {
            kind,
            flags: Flags {
                change: bit(0),
                proposal: rapid && bit(1),
                learning: rapid && bit(4),
                forwarding: rapid && bit(5),
                agreement: rapid && bit(6),
                change_ack: bit(7),
            },
            role: match b[4] >> 2 & 3 {
                _ if !rapid => Some(Role::Designated),
                1 => Some(Role::Alternate),
                2 => Some(Role::Root),
                3 => Some(Role::Designated),
                _ => None,
            },
            priority: PriorityVector {
                root: u64_at(5),
                cost: u32::from(u16_at(13)) << 16 | u32::from(u16_at(15)),
                bridge: u64_at(17),
                port: u16_at(25),
            },
            times: Times {
                message_age: u16_at(27) >> 8,
                max_age: u16_at(29) >> 8,
                hello: u16_at(31) >> 8,
                forward: u16_at(33) >> 8,
            },
        })
    }

    /// The octets.
    pub fn emit(&self) -> Vec<u8> {
        let (version, kind) = match self.kind {
            Kind::Tcn => return vec![0, 0, 0, TYPE_TCN],
            Kind::Config => (0, TYPE_CONFIG),
            Kind::Rst => (2, TYPE_RST),
        };
        let role = match self.role {
            Some(Role::Alternate | Role::Backup) => 1,
            Some(Role::Root) => 2,
            Some(Role::Designated) => 3,
            Some(Role::Disabled) | None => 0,
        };
        let f = self.flags;
        let mut flags = u8::from(f.change) | u8::from(f.change_ack) << 7;
        if self.kind == Kind::Rst {
            flags |= u8::from(f.proposal) << 1 | role << 2 | u8::from(f.learning) << 4;
            flags |= u8::from(f.forwarding) << 5 | u8::from(f.agreement) << 6;
        }
        let mut out = Vec::with_capacity(RST_LEN);
        out.extend([0, 0, version, kind, flags]);
        out.extend(self.priority.root.to_be_bytes());
        out.extend(self.priority.cost.to_be_bytes());
        out.extend(self.priority.bridge.to_be_bytes());
        out.extend(self.priority.port.to_be_bytes());
        let t = self.times;
        for seconds in [t.message_age, t.max_age, t.hello, t.forward] {
            out.extend((seconds << 8).to_be_bytes());
        }
        if self.kind == Kind::Rst {
            out.push(0);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let rst = Bpdu {
            kind: Kind::Rst,
            flags: Flags { proposal: true, agreement: true, change: true, ..Flags::default() },
            role: Some(Role::Designated),
            priority: PriorityVector { root: 0x1000_aa55_aa55_0000, cost: 2000, bridge: 7, port: 0x8008 },
            times: Times { message_age: 1, max_age: 20, hello: 2, forward: 15 },
        };
        let plain = Flags { change: true, ..Flags::default() };
        let config = Bpdu { kind: Kind::Config, flags: plain, ..rst };
        for bpdu in [rst, config, Bpdu::tcn()] {
            let mut bytes = bpdu.emit();
            assert_eq!(Bpdu::parse(&bytes[..bytes.len() - 1]), None, "cut short");
            assert_eq!(Bpdu::parse(&bytes), Some(bpdu));
            bytes.resize(60, 0);
            assert_eq!(Bpdu::parse(&bytes), Some(bpdu), "padding");
        }
        assert_eq!(rst.emit()[..5], [0, 0, 2, 2, 0x4f]);
    }
}
