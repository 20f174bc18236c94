//! Datapath flow keys and actions as text: what `dpctl/dump-flows` shows and `dpctl/add-flow` takes.
//!
//! A key is a list of groups (`ipv4(src=…,dst=…)`), each field with `/mask` where the mask is partial; groups and fields
//! that are wholly wildcarded are left out unless the text is verbose. Source: ovs-dpctl(8), and the texts that
//! Open vSwitch 3.1 shows.

mod action_format;
mod action_parse;
mod exact;
mod exact_tunnel;
mod key_format;
mod key_parse;
mod normalize;
mod scan;
mod tnl_push;
mod tunnel;

pub use action_format::{format_actions, slow_path_reasons};
pub use action_parse::{ParseError, parse_actions};
pub use exact::missing_ttl;
pub use key_format::{KeyOptions, format_key};
pub use key_parse::{Groups, parse_groups, parse_key};
pub use normalize::{Failure, normalize, reformat};

use crate::text::PortNames;

/// A datapath port: its name as it is, or its number.
pub fn port(number: u32, names: Option<&dyn PortNames>) -> String {
    match names.and_then(|n| n.name_of(number)) {
        Some(name) => name.into(),
        None => number.to_string(),
    }
}

/// A flow's identifier: `ufid:` is not part of it.
pub fn ufid(ufid: crate::Ufid) -> String {
    let n = ufid.0;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (n >> 96) as u32,
        (n >> 80) as u16,
        (n >> 64) as u16,
        (n >> 48) as u16,
        n as u64 & 0xffff_ffff_ffff
    )
}

/// Reads a flow's identifier, with or without `ufid:`.
pub fn parse_ufid(text: &str) -> Option<crate::Ufid> {
    let text = text.strip_prefix("ufid:").unwrap_or(text);
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(crate::Ufid)
}
