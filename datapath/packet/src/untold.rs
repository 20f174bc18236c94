//! What a sender's kernel left undone in a packet that came by a way that does not tell of it: by a socket, in a tunnel's
//! datagram that never saw a wire.
//!
//! A checksum that is left to a device holds the pseudo header's sum in its place meanwhile; a packet that is left to be cut is
//! longer than its way takes. Source: the kernel's Documentation/networking/checksum-offloads.rst.

use crate::offload::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, Headers};
use crate::{Gso, Offload, PartialCsum, checksum, ipv4, tcp, udp};

/// Where TCP and UDP have their checksum.
const TCP_CSUM: usize = 16;
const UDP_CSUM: usize = 6;

/// What a packet owes: a frame, or what an EtherType names. `most`: so many octets a piece of it may have, if it was to be cut.
pub fn find(octets: &[u8], ethertype: Option<u16>, most: Option<usize>) -> Offload {
    look(octets, ethertype, most).unwrap_or_default()
}

fn look(octets: &[u8], ethertype: Option<u16>, most: Option<usize>) -> Option<Offload> {
    let headers = match ethertype {
        None => Headers::find(octets),
        Some(ethertype) => Headers::find_bare(octets, ethertype),
    };
    let headers = headers.ok().filter(|headers| !headers.fragment)?;
    let segment = octets.get(headers.l4..headers.end())?;
    let (at, header, kind) = match (headers.proto, headers.version) {
        (ipv4::proto::TCP, version) => {
            let kind = if version == 4 { GSO_TCPV4 } else { GSO_TCPV6 };
            (TCP_CSUM, tcp::Packet::new(segment).ok()?.header_len(), kind)
        }
        (ipv4::proto::UDP, _) => (UDP_CSUM, udp::HEADER_LEN, GSO_UDP_L4),
        _ => return None,
    };
    let stored = u16::from_be_bytes(*segment.get(at..)?.first_chunk()?);
    let pseudo = headers.pseudo(segment.len() as u32);
    // A whole checksum may be the same number by chance.
    if stored != checksum::fold(pseudo) || checksum::finish(checksum::sum(segment, pseudo)) == 0 {
        return None;
    }
    let start = u16::try_from(headers.l4).ok()?;
    let gso = most.filter(|most| octets.len() > *most).and_then(|most| {
        let hdr_len = headers.l4 + header;
        let size = u16::try_from(most.checked_sub(hdr_len)?).ok()?;
        Some(Gso { kind, size, hdr_len: u16::try_from(hdr_len).ok()? })
    });
    Some(Offload { partial_csum: Some(PartialCsum { start, offset: at as u16 }), gso, csum_valid: false, hash: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PacketBuf, offload};

    /// TCP with so many octets of data, its checksum left undone.
    fn undone(data: usize) -> PacketBuf {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend(((40 + data) as u16).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([4, 0, 0x14, 0x51, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
        frame.extend((0..data).map(|i| i as u8));
        let pseudo = checksum::pseudo_v4(0x0a00_0001, 0x0a00_0002, 6, (20 + data) as u32);
        frame[50..52].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        PacketBuf::new(&frame)
    }

    #[test]
    fn a_checksum_that_was_left_undone_is_found() {
        let mut packet = undone(100);
        let owed = find(packet.data(), None, Some(1450));
        assert_eq!(owed.partial_csum, Some(PartialCsum { start: 34, offset: 16 }));
        assert_eq!(owed.gso, None);
        assert_eq!(
            find(&packet.data()[14..], Some(0x0800), None).partial_csum,
            Some(PartialCsum { start: 20, offset: 16 })
        );
        packet.offload = owed;
        offload::complete_checksum(&mut packet);
        assert_eq!(find(packet.data(), None, None), Offload::default(), "it owes nothing once it is done");
        packet.data_mut()[50] ^= 1;
        assert_eq!(find(packet.data(), None, None), Offload::default(), "a wrong one is nobody's debt");
    }

    #[test]
    fn what_is_longer_than_its_way_takes_was_to_be_cut() {
        let mut packet = undone(3000);
        packet.offload = find(packet.data(), None, Some(1450));
        assert_eq!(packet.offload.gso, Some(Gso { kind: GSO_TCPV4, size: 1396, hdr_len: 54 }));
        let lengths: Vec<usize> = offload::settle(packet).unwrap_or_default().iter().map(PacketBuf::len).collect();
        assert_eq!(lengths, [1450, 1450, 262]);
    }

    #[test]
    fn what_is_cut_off_anywhere_owes_nothing_and_harms_nobody() {
        let packet = undone(20);
        for len in 0..packet.len() {
            assert_eq!(find(&packet.data()[..len], None, Some(60)), Offload::default());
            find(&packet.data()[len..], Some(0x86dd), Some(60));
        }
    }
}
