//! Controllers' roles. OpenFlow 1.3.5 section 7.3.9, 1.4 section 7.4.4, NXT_ROLE_REQUEST.

use super::Dialect;

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

/// Why a role changed; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum RoleReason {
    MasterRequest = 0,
    Config = 1,
    Experimenter = 2,
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
