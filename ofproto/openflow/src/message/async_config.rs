//! Which asynchronous messages a controller gets: the masks of reasons by role, in all their wire forms.
//!
//! Source: OpenFlow 1.3.5 section 7.3.10, 1.4.0 section 7.3.10, Nicira's NXT_SET_ASYNC_CONFIG and its second form.

use super::kind::{Class, Head, Kind};
use super::packet_in::reason;
use super::wire::{self, Put, Reader};
use crate::{ErrorCode, OfError, Version};

/// Kinds of asynchronous messages that can be chosen, in the order of printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AsyncKind {
    /// Packets handed to controllers.
    PacketIn = 0,
    /// Changes of ports.
    PortStatus = 1,
    /// Ends of rules.
    FlowRemoved = 2,
    /// Changes of roles (OpenFlow 1.4+).
    RoleStatus = 3,
    /// Changes of tables (OpenFlow 1.4+).
    TableStatus = 4,
    /// Requests of other controllers (OpenFlow 1.4+).
    RequestForward = 5,
}

impl AsyncKind {
    /// All, in order.
    pub const ALL: [AsyncKind; 6] = [
        AsyncKind::PacketIn,
        AsyncKind::PortStatus,
        AsyncKind::FlowRemoved,
        AsyncKind::RoleStatus,
        AsyncKind::TableStatus,
        AsyncKind::RequestForward,
    ];

    /// Its name as printed.
    pub fn name(self) -> &'static str {
        match self {
            AsyncKind::PacketIn => "PACKET_IN",
            AsyncKind::PortStatus => "PORT_STATUS",
            AsyncKind::FlowRemoved => "FLOW_REMOVED",
            AsyncKind::RoleStatus => "ROLE_STATUS",
            AsyncKind::TableStatus => "TABLE_STATUS",
            AsyncKind::RequestForward => "REQUESTFORWARD",
        }
    }
}

/// For each [`AsyncKind`] (as index) the reasons wanted, bit n = reason number n.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct AsyncConfig {
    /// As master (primary) or with the equal role.
    pub primary: [u32; 6],
    /// As slave (secondary).
    pub secondary: [u32; 6],
}

/// A request to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAsync {
    /// Wire form.
    pub form: AsyncForm,
    /// New masks by kind; `None` leaves a mask as it is.
    pub primary: [Option<u32>; 6],
    /// As slave (secondary).
    pub secondary: [Option<u32>; 6],
}

/// Wire form of [`SetAsync`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncForm {
    /// OFPT_SET_ASYNC.
    Standard,
    /// NXT_SET_ASYNC_CONFIG.
    Nicira,
    /// NXT_SET_ASYNC_CONFIG2.
    Nicira2,
}

impl AsyncConfig {
    /// What a controller gets before it chooses.
    pub fn defaults(version: Version) -> AsyncConfig {
        let mut packet_in = PACKET_IN_14 & !(1 << reason::INVALID_TTL) | 1 << reason::EXPLICIT_MISS;
        if version <= Version::V12 {
            packet_in |= 1 << reason::IMPLICIT_MISS;
        }
        let flow_removed = match version {
            Version::V10 | Version::V11 | Version::V12 => FLOW_REMOVED_10,
            Version::V13 => FLOW_REMOVED_13,
            Version::V14 | Version::V15 => FLOW_REMOVED_14,
        };
        AsyncConfig {
            primary: [packet_in, PORT_STATUS, flow_removed, 0, 0, 0],
            secondary: [0, PORT_STATUS, 0, 0, 0, 0],
        }
    }

    /// Takes over what `set` chooses.
    pub fn apply(&mut self, set: &SetAsync) {
        for i in 0..6 {
            self.primary[i] = set.primary[i].unwrap_or(self.primary[i]);
            self.secondary[i] = set.secondary[i].unwrap_or(self.secondary[i]);
        }
    }
}

/// The property of experimenters for connections that are not primary; the next one is for those that are.
const EXPERIMENTER_SECONDARY: u16 = 0xfffe;

const PACKET_IN_10: u32 = 0b111;
const PACKET_IN_14: u32 = 0b11_1111;
const PORT_STATUS: u32 = 0b111;
const FLOW_REMOVED_10: u32 = 0b111;
const FLOW_REMOVED_13: u32 = 0b1111;
const FLOW_REMOVED_14: u32 = 0b11_1111;

/// Reasons that a kind of message can have in a version.
fn allowed(kind: AsyncKind, version: Version) -> u32 {
    match kind {
        AsyncKind::PacketIn if version >= Version::V14 => PACKET_IN_14,
        AsyncKind::PacketIn => PACKET_IN_10,
        AsyncKind::PortStatus => PORT_STATUS,
        AsyncKind::FlowRemoved => FLOW_REMOVED_14,
        AsyncKind::RoleStatus => 0b111,
        AsyncKind::TableStatus => 0b1_1000,
        AsyncKind::RequestForward => 0b11,
    }
}

/// Checks a mask, and lets a packet-in's "no match" stand for its finer reasons.
fn mask(wire: u32, kind: AsyncKind, version: Version, loose: bool) -> Result<u32, OfError> {
    let allowed = allowed(kind, version);
    if wire & !allowed != 0 && !loose {
        let text = format!("bad value {wire:#x} for {} (allowed mask {allowed:#x})", kind.name());
        return Err(ErrorCode::OFPACFC_INVALID.because("ofp_connection", text));
    }
    let mut mask = wire & allowed;
    if kind == AsyncKind::PacketIn && mask & (1 << reason::NO_MATCH) != 0 {
        mask |= 1 << reason::EXPLICIT_MISS;
        if version < Version::V13 {
            mask |= 1 << reason::IMPLICIT_MISS;
        }
    }
    Ok(mask)
}

fn decode_properties(body: &[u8], version: Version, loose: bool, set: &mut SetAsync) -> Result<(), OfError> {
    let mut body = Reader::new(body);
    while !body.is_empty() {
        let property = wire::property_of_experimenters_from(EXPERIMENTER_SECONDARY, &mut body)?;
        let Some(kind) = AsyncKind::ALL.get(usize::from(property.kind / 2)).copied() else {
            if loose {
                continue;
            }
            let error = property.unknown("ofp_connection", "async config");
            let plain = error.code == ErrorCode::OFPBPC_BAD_TYPE;
            return Err(if plain { error.under(ErrorCode::OFPACFC_UNSUPPORTED) } else { error });
        };
        if property.value.len() != 4 {
            return Err(ErrorCode::OFPBPC_BAD_LEN.into());
        }
        let mask = mask(Reader::new(property.value).u32()?, kind, version, loose)?;
        let masks = if property.kind % 2 == 1 { &mut set.primary } else { &mut set.secondary };
        masks[kind as usize] = Some(mask);
    }
    Ok(())
}

/// Reads a request to choose, or the reply that tells the choice, of which nothing is refused.
pub(crate) fn decode(head: &Head<'_>, version: Version) -> Result<SetAsync, OfError> {
    let loose = head.shape.kind == Kind::GetAsyncReply;
    let form = match (head.shape.kind, head.shape.class) {
        (Kind::SetAsync2, _) => AsyncForm::Nicira2,
        (_, Class::Nxt) => AsyncForm::Nicira,
        _ => AsyncForm::Standard,
    };
    let mut set = SetAsync { form, primary: [None; 6], secondary: [None; 6] };
    if form == AsyncForm::Nicira2 || (form == AsyncForm::Standard && version >= Version::V14) {
        decode_properties(head.body, version, loose, &mut set)?;
        return Ok(set);
    }
    let mut body = Reader::new(head.body);
    for kind in [AsyncKind::PacketIn, AsyncKind::PortStatus, AsyncKind::FlowRemoved] {
        set.primary[kind as usize] = Some(mask(body.u32()?, kind, version, true)?);
        set.secondary[kind as usize] = Some(mask(body.u32()?, kind, version, true)?);
    }
    Ok(set)
}

/// Appends masks in the form of `form`.
pub(super) fn encode(out: &mut Vec<u8>, set: &SetAsync, version: Version) {
    let tlv = set.form == AsyncForm::Nicira2 || (set.form == AsyncForm::Standard && version >= Version::V14);
    for kind in AsyncKind::ALL {
        let allowed = allowed(kind, version);
        let (primary, secondary) = (set.primary[kind as usize], set.secondary[kind as usize]);
        if !tlv {
            if kind <= AsyncKind::FlowRemoved {
                out.put32(primary.unwrap_or(0) & allowed);
                out.put32(secondary.unwrap_or(0) & allowed);
            }
            continue;
        }
        for (n, mask) in [(0, secondary), (1, primary)] {
            if let Some(mask) = mask {
                out.put16(kind as u16 * 2 + n);
                out.put16(8);
                out.put32(mask & allowed);
            }
        }
    }
}

impl From<&AsyncConfig> for SetAsync {
    fn from(config: &AsyncConfig) -> SetAsync {
        SetAsync { form: AsyncForm::Standard, primary: config.primary.map(Some), secondary: config.secondary.map(Some) }
    }
}

impl From<&SetAsync> for AsyncConfig {
    fn from(set: &SetAsync) -> AsyncConfig {
        let mut config = AsyncConfig::default();
        config.apply(set);
        config
    }
}
