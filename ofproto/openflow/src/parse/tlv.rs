//! Mappings of tunnel options from text: `{class=0xffff,type=1,len=4}->tun_metadata0`.

use crate::message::tlv_map::TlvCommand;
use crate::message::{TlvMap, TlvTableMod};

/// Reads a request; an empty text is good for [`TlvCommand::Clear`].
///
/// # Errors
/// A text for a user.
pub fn parse_tlv_table_mod(text: Option<&str>, command: TlvCommand) -> Result<TlvTableMod, String> {
    let mut mappings = Vec::new();
    let mut rest = text.unwrap_or("").trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let bad = || "invalid tlv mapping".to_string();
        let body = rest.strip_prefix('{').ok_or_else(bad)?;
        let (fields, tail) = body.split_once("}->tun_metadata").ok_or_else(bad)?;
        let mut parts = fields.split(',');
        let mut number = |name: &str| -> Result<u32, String> {
            let part = parts.next().ok_or_else(bad)?;
            let value = part.trim().strip_prefix(name).and_then(|v| v.strip_prefix('=')).ok_or_else(bad)?;
            let value = value.trim();
            let parsed = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => value.parse(),
            };
            parsed.map_err(|_| bad())
        };
        let (class, kind, len) = (number("class")?, number("type")?, number("len")?);
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let index = tail[..digits].parse::<u16>().map_err(|_| bad())?;
        mappings.push(TlvMap { option_class: class as u16, option_type: kind as u8, option_len: len as u8, index });
        rest = tail[digits..].trim_start_matches([',', ' ']);
    }
    Ok(TlvTableMod { command, mappings })
}
