//! Controllers' roles. OpenFlow 1.3.5 section 7.3.9, 1.4 section 7.4.4, NXT_ROLE_REQUEST.

use super::Dialect;
use super::kind::{Class, Head, Kind};
use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError};

/// A role; the number is OpenFlow 1.2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Role {
    /// Keep the role (requests only).
    NoChange = 0,
    /// Full access, shared.
    #[default]
    Equal = 1,
    /// Full access, alone.
    Primary = 2,
    /// Read only.
    Secondary = 3,
}

/// Asks for, or tells, a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleRequest {
    /// Which message.
    pub dialect: Dialect,
    /// The role.
    pub role: Role,
    /// Number of the election, if given.
    pub generation_id: Option<u64>,
}

/// Why a role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleReason {
    /// Another controller became master.
    MasterRequest,
    /// The switch's configuration changed.
    Config,
    /// Something of an experimenter.
    Experimenter,
    /// A number that no version has.
    Other(u8),
}

impl RoleReason {
    fn wire(self) -> u8 {
        match self {
            RoleReason::MasterRequest => 0,
            RoleReason::Config => 1,
            RoleReason::Experimenter => 2,
            RoleReason::Other(number) => number,
        }
    }
}

/// A controller's role changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// The role now.
    pub role: Role,
    /// Why.
    pub reason: RoleReason,
    /// Number of the election, `u64::MAX` if none.
    pub generation_id: u64,
}

impl Role {
    fn from_wire(number: u32) -> Result<Role, OfError> {
        match number {
            0 => Ok(Role::NoChange),
            1 => Ok(Role::Equal),
            2 => Ok(Role::Primary),
            3 => Ok(Role::Secondary),
            _ => Err(ErrorCode::OFPRRFC_BAD_ROLE.into()),
        }
    }
}

pub(super) fn decode(head: &Head<'_>) -> Result<RoleRequest, OfError> {
    let mut body = Reader::new(head.body);
    let number = body.u32()?;
    if head.shape.class == Class::Nxt {
        // Nicira's numbers are one less; it cannot ask for no change.
        let role = Role::from_wire(number.checked_add(1).ok_or(ErrorCode::OFPRRFC_BAD_ROLE)?)?;
        return Ok(RoleRequest { dialect: Dialect::Nicira, role, generation_id: None });
    }
    let role = Role::from_wire(number)?;
    body.skip(4)?;
    let generation = body.u64()?;
    let counts = match role {
        Role::Primary | Role::Secondary => true,
        Role::Equal => head.shape.kind == Kind::RoleReply || generation != u64::MAX,
        Role::NoChange => head.shape.kind == Kind::RoleReply,
    };
    Ok(RoleRequest { dialect: Dialect::Standard, role, generation_id: counts.then_some(generation) })
}

pub(super) fn encode(out: &mut Vec<u8>, request: &RoleRequest, reply: bool) {
    match request.dialect {
        Dialect::Nicira => out.put32((request.role as u32).saturating_sub(1)),
        Dialect::Standard => {
            out.put32(request.role as u32);
            out.zeros(4);
            out.put64(request.generation_id.unwrap_or(if reply { u64::MAX } else { 0 }));
        }
    }
}

pub(super) fn decode_status(body: &[u8]) -> Result<RoleStatus, OfError> {
    let mut body = Reader::new(body);
    let role = Role::from_wire(body.u32()?)?;
    let reason = match body.u8()? {
        0 => RoleReason::MasterRequest,
        1 => RoleReason::Config,
        2 => RoleReason::Experimenter,
        number => RoleReason::Other(number),
    };
    body.skip(3)?;
    Ok(RoleStatus { role, reason, generation_id: body.u64()? })
}

pub(super) fn encode_status(out: &mut Vec<u8>, status: &RoleStatus) {
    out.put32(status.role as u32);
    out.put8(status.reason.wire());
    out.zeros(3);
    out.put64(status.generation_id);
}
