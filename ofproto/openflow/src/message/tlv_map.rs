//! Mappings of tunnel options to `tun_metadata` fields. NXT_TLV_TABLE_MOD, NXT_TLV_TABLE_REPLY.

/// Tunnel option that a field stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlvMap {
    /// Class.
    pub option_class: u16,
    /// Type.
    pub option_type: u8,
    /// Octets of the value: a multiple of 4, 4 to 124.
    pub option_len: u8,
    /// n of `tun_metadata`n.
    pub index: u16,
}

/// What to do with mappings; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum TlvCommand {
    Add = 0,
    Delete = 1,
    Clear = 2,
}

/// Add or delete mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvCommand,
    /// With which.
    pub mappings: Vec<TlvMap>,
}

/// Mappings, with the switch's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableReply {
    /// Octets for all options.
    pub max_option_space: u32,
    /// Number of fields.
    pub max_fields: u16,
    /// Mappings.
    pub mappings: Vec<TlvMap>,
}
