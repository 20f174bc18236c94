//! OpenFlow port numbers: 16 bits as in OpenFlow 1.0, with the reserved numbers of all versions.
//!
//! OpenFlow 1.1 and later widen port numbers to 32 bits; the reserved ones move to the top of that range, and all others
//! must stay below 0xff00, because the switch keeps 16. Source: ovs-ofctl(8), OpenFlow 1.1 section A.2.1.

/// A port number, as in OpenFlow 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OfPort(pub u16);

/// First number that is not a port's: `OFPP_MAX`.
pub const MAX: u16 = 0xff00;
/// What is added to a reserved number in OpenFlow 1.1 and later.
const OFFSET_11: u32 = 0xffff_0000;

/// Reserved numbers with their names.
const NAMES: [(OfPort, &str); 10] = [
    (OfPort::UNSET, "UNSET"),
    (OfPort::IN_PORT, "IN_PORT"),
    (OfPort::TABLE, "TABLE"),
    (OfPort::NORMAL, "NORMAL"),
    (OfPort::FLOOD, "FLOOD"),
    (OfPort::ALL, "ALL"),
    (OfPort::CONTROLLER, "CONTROLLER"),
    (OfPort::LOCAL, "LOCAL"),
    (OfPort::NONE, "ANY"),
    (OfPort::NONE, "NONE"),
];

impl OfPort {
    /// Not set in the action set.
    pub const UNSET: OfPort = OfPort(0xfff7);
    /// Where the packet came in.
    pub const IN_PORT: OfPort = OfPort(0xfff8);
    /// Submit to the first table (packet-out only).
    pub const TABLE: OfPort = OfPort(0xfff9);
    /// Learning switch.
    pub const NORMAL: OfPort = OfPort(0xfffa);
    /// All ports but the input port and those with flooding disabled.
    pub const FLOOD: OfPort = OfPort(0xfffb);
    /// All ports but the input port.
    pub const ALL: OfPort = OfPort(0xfffc);
    /// The controllers.
    pub const CONTROLLER: OfPort = OfPort(0xfffd);
    /// The bridge's own port.
    pub const LOCAL: OfPort = OfPort(0xfffe);
    /// No port; any port in requests.
    pub const NONE: OfPort = OfPort(0xffff);
    /// No port; any port in requests.
    pub const ANY: OfPort = OfPort::NONE;

    /// The 32-bit number of OpenFlow 1.1 and later.
    pub fn to_11(self) -> u32 {
        if self.0 < MAX { u32::from(self.0) } else { u32::from(self.0) + OFFSET_11 }
    }

    /// The port of a 32-bit number; nothing if it lies where no port can.
    pub fn from_11(number: u32) -> Option<OfPort> {
        match number {
            0..0xff00 => Some(OfPort(number as u16)),
            0xffff_ff00.. => Some(OfPort((number - OFFSET_11) as u16)),
            _ => None,
        }
    }

    /// Whether the number is one of a port's rather than a reserved one.
    pub fn is_physical(self) -> bool {
        self.0 < MAX
    }

    /// The name of a reserved number: `LOCAL`.
    pub fn reserved_name(self) -> Option<&'static str> {
        NAMES.iter().find(|(port, _)| *port == self).map(|(_, name)| *name)
    }

    /// The reserved number with this name, in any case.
    pub fn from_reserved_name(name: &str) -> Option<OfPort> {
        NAMES.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(port, _)| *port)
    }
}

impl std::fmt::Display for OfPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reserved_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
