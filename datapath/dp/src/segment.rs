//! A TCP segment whose text is rewritten on its way: another length, other numbers, checksums anew. (RFC 9293.)

use std::ops::Range;

use flow::{Key, Layers};
use packet::{PacketBuf, checksum, offload};

use crate::ct::helper::Edit;

const TCP: u8 = 6;
const HEADER: usize = 20;
const CHECKSUM: usize = 16;

fn be32(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?))
}

/// Sequence and acknowledgement number, and where the payload is.
pub(crate) fn read(frame: &[u8], layers: &Layers) -> Option<((u32, u32), Range<usize>)> {
    let l4 = usize::from(layers.l4);
    let end = frame.len().checked_sub(usize::from(layers.l2_pad))?;
    let header_len = usize::from(frame.get(l4 + 12)? >> 4) * 4;
    let payload = l4 + header_len;
    (header_len >= HEADER && payload <= end).then_some(((be32(frame, l4 + 4)?, be32(frame, l4 + 8)?), payload..end))
}

/// Changes a segment whose payload is at `payload`; `None`: it cannot become that.
pub(crate) fn edit(
    packet: &mut PacketBuf,
    key: &Key,
    layers: &Layers,
    payload: Range<usize>,
    edit: &Edit,
) -> Option<()> {
    let (l3, l4) = (usize::from(layers.l3), usize::from(layers.l4));
    offload::complete_checksum(packet);
    packet.truncate(payload.end);
    if let Some((range, text)) = &edit.payload {
        let (from, to) = (payload.start + range.start, payload.start + range.end);
        let rest = packet.data().get(to..)?.to_vec();
        packet.truncate(from);
        packet.extend(text);
        packet.extend(&rest);
    }
    let len = u16::try_from(packet.len() - l3).ok()?;
    let octets = packet.data_mut();
    for (at, by) in [(l4 + 4, edit.seq), (l4 + 8, edit.ack.wrapping_neg())] {
        let number = be32(octets, at)?.wrapping_add_signed(by);
        octets[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
    let segment_len = (octets.len() - l4) as u32;
    let pseudo = if key.dl_type() == 0x86dd {
        octets[l3 + 4..l3 + 6].copy_from_slice(&(len - 40).to_be_bytes());
        checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), TCP, segment_len)
    } else {
        octets[l3 + 2..l3 + 4].copy_from_slice(&len.to_be_bytes());
        octets[l3 + 10..l3 + 12].fill(0);
        let csum = checksum::of(&octets[l3..l4]);
        octets[l3 + 10..l3 + 12].copy_from_slice(&csum.to_be_bytes());
        checksum::pseudo_v4(key.nw_src(), key.nw_dst(), TCP, segment_len)
    };
    octets[l4 + CHECKSUM..l4 + CHECKSUM + 2].fill(0);
    let csum = checksum::finish(checksum::sum(&octets[l4..], pseudo));
    octets[l4 + CHECKSUM..l4 + CHECKSUM + 2].copy_from_slice(&csum.to_be_bytes());
    Some(())
}
