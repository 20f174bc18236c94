//! Tunnel options: which option each field `tun_metadata0` to `tun_metadata63` is. NXT_TLV_TABLE_MOD; ovs-ofctl(8),
//! "Tunnel metadata".

use std::sync::Arc;

use flow::field::{Field, TunError, TunTable};
use openflow::ErrorCode;
use openflow::action::names_field;
use openflow::message::tlv_map::TlvCommand;
use openflow::message::{TlvMap, TlvTableMod, TlvTableReply};

use super::Bridge;
use crate::rule::Rule;

/// Octets of options that a packet's metadata holds.
const OPTION_SPACE: u32 = 256;
/// Number of fields.
const FIELDS: u16 = 64;

fn code_of(error: TunError) -> ErrorCode {
    match error {
        TunError::BadIndex => ErrorCode::NXTTMFC_BAD_FIELD_IDX,
        TunError::BadLength => ErrorCode::NXTTMFC_BAD_OPT_LEN,
        TunError::AlreadyMapped => ErrorCode::NXTTMFC_ALREADY_MAPPED,
        TunError::DuplicateEntry => ErrorCode::NXTTMFC_DUP_ENTRY,
        TunError::TableFull => ErrorCode::NXTTMFC_TABLE_FULL,
    }
}

impl Bridge {
    pub(super) fn tlv_table_mod(&mut self, wanted: &TlvTableMod) -> Result<(), ErrorCode> {
        let mut table = (*self.view.tun_table).clone();
        match wanted.command {
            TlvCommand::Add => {
                for map in &wanted.mappings {
                    let index = u8::try_from(map.index).map_err(|_| ErrorCode::NXTTMFC_BAD_FIELD_IDX)?;
                    if table.entry(index).is_some() {
                        return Err(ErrorCode::NXTTMFC_ALREADY_MAPPED);
                    }
                    table.map(index, map.option_class, map.option_type, map.option_len).map_err(code_of)?;
                }
            }
            TlvCommand::Delete => {
                let mapped: Vec<u8> = wanted
                    .mappings
                    .iter()
                    .filter_map(|map| u8::try_from(map.index).ok())
                    .filter(|i| table.entry(*i).is_some())
                    .collect();
                self.check_unused(&mapped)?;
                for i in mapped {
                    let _ = table.unmap(i);
                }
            }
            TlvCommand::Clear => {
                let mapped: Vec<u8> = table.entries().map(|(i, _)| i).collect();
                self.check_unused(&mapped)?;
                table = TunTable::default();
            }
        }
        if table != *self.view.tun_table {
            self.view.tun_table = Arc::new(table);
            self.dirty = true;
        }
        Ok(())
    }

    /// An option that a rule matches upon, or whose actions name it, stays.
    fn check_unused(&self, fields: &[u8]) -> Result<(), ErrorCode> {
        if fields.is_empty() {
            return Ok(());
        }
        let is_meant = |field| matches!(field, Field::TunMetadata(i) if fields.contains(&i));
        let matches = |rule: &Rule| {
            let present = rule.mini.mask().tun_metadata_present();
            rule.tun.is_some() && fields.iter().any(|i| present >> (i & 63) & 1 != 0)
        };
        let uses = |rule: &Rule| matches(rule) || names_field(&rule.actions, &is_meant);
        let mut rules = self.view.tables.iter().flatten().flat_map(|t| t.rules.iter());
        if rules.any(|rule| uses(rule)) { Err(ErrorCode::NXTTMFC_INVALID_TLV_DEL) } else { Ok(()) }
    }

    pub(super) fn tlv_table(&self) -> TlvTableReply {
        let mappings = self
            .view
            .tun_table
            .entries()
            .map(|(i, e)| TlvMap { option_class: e.class, option_type: e.kind, option_len: e.len, index: u16::from(i) })
            .collect();
        TlvTableReply { max_option_space: OPTION_SPACE, max_fields: FIELDS, mappings }
    }
}
