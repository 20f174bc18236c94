//! Error messages. OpenFlow 1.3.5 section 7.5.4, Nicira's vendor errors for 1.0 and 1.1.

use super::kind::Head;
use super::wire::{Put, Reader};
use super::{ErrorKind, ErrorMessage};
use crate::{ErrorCode, NX_VENDOR_ID, OfError, Version};

/// Type of vendors' errors in 1.0 and 1.1.
const TYPE_NX_VENDOR: u16 = 0xb0c2;
/// Type of experimenters' errors in 1.2 and later.
const TYPE_EXPERIMENTER: u16 = 0xffff;
/// Octets of the offending message that an error quotes.
pub const QUOTED: usize = u16::MAX as usize - 24;

pub(super) fn decode(head: &Head<'_>) -> Result<ErrorMessage, OfError> {
    let mut body = Reader::new(head.body);
    let (mut kind, mut code) = (body.u16()?, body.u16()?);
    let mut vendor = 0;
    // Either form is understood in any version.
    if kind == TYPE_NX_VENDOR && code == 0 {
        vendor = body.u32()?;
        kind = body.u16()?;
        code = body.u16()?;
    } else if kind == TYPE_EXPERIMENTER {
        vendor = body.u32()?;
        kind = code;
        code = 0;
    }
    let known = Version::from_wire(head.version).and_then(|v| ErrorCode::from_numbers(v, vendor, kind, code));
    let kind = match known {
        Some(code) => ErrorKind::Known(code),
        None => ErrorKind::Unknown { vendor, kind, code },
    };
    Ok(ErrorMessage { code: kind, data: body.rest().to_vec() })
}

/// Appends the body of an error; one that the version cannot say becomes `NXBRC_UNENCODABLE_ERROR`.
pub(super) fn encode(out: &mut Vec<u8>, error: &ErrorMessage, version: Version) {
    let (vendor, kind, code) = match error.code {
        ErrorKind::Known(code) => {
            let numbers = code
                .in_version(version)
                .or_else(|| ErrorCode::NXBRC_UNENCODABLE_ERROR.in_version(version))
                .map(|n| (n.vendor.id(), n.kind, n.code));
            numbers.unwrap_or((NX_VENDOR_ID, 1, 521))
        }
        ErrorKind::Unknown { vendor, kind, code } => (vendor, kind, code),
    };
    if vendor == 0 {
        out.put16(kind);
        out.put16(code);
    } else if version <= Version::V11 {
        out.put16(TYPE_NX_VENDOR);
        out.put16(0);
        out.put32(vendor);
        out.put16(kind);
        out.put16(code);
    } else {
        out.put16(TYPE_EXPERIMENTER);
        out.put16(kind);
        out.put32(vendor);
    }
    out.octets(&error.data);
}

impl ErrorMessage {
    /// The answer to `request`, a whole message of which the first octets are quoted.
    pub fn reply(code: ErrorCode, request: &[u8]) -> ErrorMessage {
        ErrorMessage { code: ErrorKind::Known(code), data: request[..request.len().min(QUOTED)].to_vec() }
    }

    /// The refusal of a hello, with its text.
    pub fn hello_failed(code: ErrorCode, text: &str) -> ErrorMessage {
        ErrorMessage { code: ErrorKind::Known(code), data: text.as_bytes().to_vec() }
    }
}
