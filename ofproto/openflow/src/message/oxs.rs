//! Statistics as a list of fields: OXS. OpenFlow 1.5.1 section 7.2.4.

use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError};

/// Class of the standard fields.
const CLASS: u16 = 0x8002;
/// Numbers of fields; the lowest bit, of whose use nothing is said, is zero.
const DURATION: u8 = 0 << 1;
const IDLE_TIME: u8 = 1 << 1;
const FLOW_COUNT: u8 = 3 << 1;
const PACKET_COUNT: u8 = 4 << 1;
const BYTE_COUNT: u8 = 5 << 1;

/// What a list of statistics says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oxs {
    /// Seconds and nanoseconds.
    pub duration: Option<(u32, u32)>,
    /// Seconds since the last packet.
    pub idle: Option<u32>,
    /// Rules.
    pub flows: Option<u32>,
    /// Packets.
    pub packets: Option<u64>,
    /// Octets.
    pub bytes: Option<u64>,
}

/// Reads a list, its header and padding included.
pub(super) fn decode(body: &mut Reader<'_>) -> Result<Oxs, OfError> {
    // A header that is cut off has no length.
    let len = body.rest().get(2..4).map_or(0, |len| usize::from(crate::wire::be16(len, 0)));
    if len < 4 {
        return Err(ErrorCode::OFPBMC_BAD_LEN.into());
    }
    let whole = body.take(len.next_multiple_of(8)).map_err(|_| ErrorCode::OFPBMC_BAD_LEN)?;
    let mut list = Reader::new(&whole[4..len]);
    let mut oxs = Oxs::default();
    while !list.is_empty() {
        let mut head = list.sub(4).map_err(|_| ErrorCode::OFPBMC_BAD_LEN)?;
        let (class, field, len) = (head.u16()?, head.u8()?, usize::from(head.u8()?));
        let mut value = list.sub(len).map_err(|_| ErrorCode::OFPBMC_BAD_LEN)?;
        match (class, field, len) {
            (CLASS, DURATION, 8) => oxs.duration = Some((value.u32()?, value.u32()?)),
            (CLASS, IDLE_TIME, 8) => oxs.idle = Some(value.u32()?),
            (CLASS, FLOW_COUNT, 4) => oxs.flows = Some(value.u32()?),
            (CLASS, PACKET_COUNT, 8) => oxs.packets = Some(value.u64()?),
            (CLASS, BYTE_COUNT, 8) => oxs.bytes = Some(value.u64()?),
            _ => {}
        }
    }
    Ok(oxs)
}

fn field(out: &mut Vec<u8>, number: u8, len: u8) {
    out.put16(CLASS);
    out.put8(number);
    out.put8(len);
}

/// Appends a list, its header and padding included.
pub(super) fn encode(out: &mut Vec<u8>, oxs: &Oxs) {
    let start = out.len();
    out.zeros(4);
    if let Some((sec, nsec)) = oxs.duration {
        field(out, DURATION, 8);
        out.put32(sec);
        out.put32(nsec);
    }
    if let Some(idle) = oxs.idle {
        field(out, IDLE_TIME, 8);
        out.put32(idle);
        out.put32(0);
    }
    if let Some(packets) = oxs.packets {
        field(out, PACKET_COUNT, 8);
        out.put64(packets);
    }
    if let Some(bytes) = oxs.bytes {
        field(out, BYTE_COUNT, 8);
        out.put64(bytes);
    }
    if let Some(flows) = oxs.flows {
        field(out, FLOW_COUNT, 4);
        out.put32(flows);
    }
    let len = out.len() - start;
    out.patch16(start + 2, len as u16);
    out.pad8(start);
}
