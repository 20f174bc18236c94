//! Mappings of tunnel options to `tun_metadata` fields. NXT_TLV_TABLE_MOD, NXT_TLV_TABLE_REPLY.

use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError};

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
pub enum TlvCommand {
    /// Options get fields.
    Add = 0,
    /// Options lose their fields.
    Delete = 1,
    /// All options lose their fields.
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

/// Fields that can be mapped.
const FIELDS: u16 = 64;
/// Greatest length of an option's value, octets.
const OPTION_MAX: u8 = 124;
/// Name of the log's module for what is said of these mappings.
const LOG: &str = "ofp_match";

fn decode_maps(body: &mut Reader<'_>, fields: u16) -> Result<Vec<TlvMap>, OfError> {
    let mut mappings = Vec::new();
    while !body.is_empty() {
        let map =
            TlvMap { option_class: body.u16()?, option_type: body.u8()?, option_len: body.u8()?, index: body.u16()? };
        body.skip(2)?;
        if !map.option_len.is_multiple_of(4) || map.option_len > OPTION_MAX {
            let text = format!("tlv table option length ({}) is not a valid option size", map.option_len);
            return Err(ErrorCode::NXTTMFC_BAD_OPT_LEN.because(LOG, text));
        }
        if map.index >= fields {
            let text = format!(
                "tlv table field index ({}) is too large (max {})",
                map.index,
                u32::from(fields).wrapping_sub(1)
            );
            return Err(ErrorCode::NXTTMFC_BAD_FIELD_IDX.because(LOG, text));
        }
        mappings.push(map);
    }
    Ok(mappings)
}

fn encode_maps(out: &mut Vec<u8>, mappings: &[TlvMap]) {
    for map in mappings {
        out.put16(map.option_class);
        out.put8(map.option_type);
        out.put8(map.option_len);
        out.put16(map.index);
        out.zeros(2);
    }
}

pub(super) fn decode_mod(body: &[u8]) -> Result<TlvTableMod, OfError> {
    let mut body = Reader::new(body);
    let command = match body.u16()? {
        0 => TlvCommand::Add,
        1 => TlvCommand::Delete,
        2 => TlvCommand::Clear,
        command => {
            let text = format!("tlv table mod command ({command}) is out of range");
            return Err(ErrorCode::NXTTMFC_BAD_COMMAND.because(LOG, text));
        }
    };
    body.skip(6)?;
    Ok(TlvTableMod { command, mappings: decode_maps(&mut body, FIELDS)? })
}

pub(super) fn encode_mod(out: &mut Vec<u8>, table_mod: &TlvTableMod) {
    out.put16(table_mod.command as u16);
    out.zeros(6);
    encode_maps(out, &table_mod.mappings);
}

pub(super) fn decode_reply(body: &[u8]) -> Result<TlvTableReply, OfError> {
    let mut body = Reader::new(body);
    let (max_option_space, max_fields) = (body.u32()?, body.u16()?);
    body.skip(10)?;
    Ok(TlvTableReply { max_option_space, max_fields, mappings: decode_maps(&mut body, max_fields)? })
}

pub(super) fn encode_reply(out: &mut Vec<u8>, reply: &TlvTableReply) {
    out.put32(reply.max_option_space);
    out.put16(reply.max_fields);
    out.zeros(10);
    encode_maps(out, &reply.mappings);
}
