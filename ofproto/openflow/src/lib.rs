//! OpenFlow 1.0-1.5 and Nicira extensions: codec and text.
//!
//! [`message`] has one internal form for every message whatever its version; [`mod@print`] writes messages as
//! `ovs-ofctl ofp-print` does. No sockets, no clock.

pub mod action;
pub mod error_code;
pub mod flow_mod;
pub mod matching;
pub mod message;
pub mod names;
pub mod nxm;
pub mod of_error;
pub mod parse;
pub mod port_no;
pub mod print;
pub mod protocols;
pub mod version;
mod wire;
mod words;

pub use error_code::ErrorCode;
pub use message::{Message, Msg, Unsupported};
pub use names::{NameMap, Names, Style, TableNames};
pub use of_error::{Level, Notes, OfError, Remark};
pub use port_no::OfPort;
pub use protocols::Protocols;
pub use version::{Version, VersionSet};
pub use words::hex_octets;

/// Experimenter number of Nicira, under which Open vSwitch's extensions go.
pub const NX_VENDOR_ID: u32 = 0x0000_2320;
/// Experimenter number of the Open Networking Foundation.
pub const ONF_VENDOR_ID: u32 = 0x4f4e_4600;
/// Experimenter number of Intel.
pub const INTEL_VENDOR_ID: u32 = 0x0000_aa01;

/// The words of a text in the manner of flows: `key=value`, `key:value`, `key(value)`, `key`.
pub fn key_values(text: &str) -> impl Iterator<Item = (&str, &str)> {
    words::Words(text)
}
