//! Headers pushed and popped. Each moves as little as it can, and keeps what the packet owes in place.

use flow::extract::ethertype as et;
use flow::odp::PushNsh;
use flow::{Key, Layers};

use crate::burst::{Packets, Slot};

/// Ethernet addresses, in front of the EtherType.
const ADDRESSES: usize = 12;
const ETHERNET: usize = 14;
const TAG: usize = 4;
const LSE: usize = 4;
/// Bit of a key's TCI that says there is a tag.
const TAG_PRESENT: u16 = 0x1000;
/// `packet_type` of what is named by an EtherType.
const ETHERTYPE_SPACE: u32 = 1 << 16;

/// A packet's headers do not allow the action.
pub(crate) struct Unfit;

pub(crate) type Edited = Result<(), Unfit>;

fn ensure(fits: bool) -> Edited {
    if fits { Ok(()) } else { Err(Unfit) }
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

fn is_tag(tpid: u16) -> bool {
    matches!(tpid, et::VLAN | et::QINQ)
}

pub(crate) fn push_vlan(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &Key, tpid: u16, tci: u16) -> Edited {
    ensure(key.packet_type() == 0 && packets.meta(*slot).len >= ETHERNET)?;
    ensure(packets.insert(slot, ADDRESSES, TAG))?;
    let (octets, _) = packets.own(slot);
    octets[ADDRESSES..ADDRESSES + 2].copy_from_slice(&tpid.to_be_bytes());
    octets[ADDRESSES + 2..ADDRESSES + 4].copy_from_slice(&(tci & !TAG_PRESENT).to_be_bytes());
    Ok(())
}

/// Without a tag nothing happens; says whether there was one.
pub(crate) fn pop_vlan(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &Key) -> Result<bool, Unfit> {
    let tagged = key.packet_type() == 0 && be16(packets.data(*slot), ADDRESSES).is_some_and(is_tag);
    if !tagged || packets.meta(*slot).len < ETHERNET + TAG {
        return Ok(false);
    }
    ensure(packets.remove(slot, ADDRESSES, TAG))?;
    Ok(true)
}

/// Names what follows the layer 2 header, which is `at` octets long.
fn set_ethertype(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &mut Key, at: usize, ethertype: u16) {
    if key.packet_type() == 0 {
        let (octets, _) = packets.own(slot);
        if let Some(field) = at.checked_sub(2).and_then(|from| octets.get_mut(from..at)) {
            field.copy_from_slice(&ethertype.to_be_bytes());
        }
    } else {
        key.set_packet_type(ETHERTYPE_SPACE | u32::from(ethertype));
    }
}

/// Where what follows the layer 2 header begins.
fn l2_end(layers: &Layers) -> Option<usize> {
    let at = if layers.l2_5 != Layers::NONE { layers.l2_5 } else { layers.l3 };
    (at != Layers::NONE).then_some(usize::from(at))
}

pub(crate) fn push_mpls(
    packets: &mut Packets<'_, '_>,
    slot: &mut Slot,
    key: &mut Key,
    layers: &Layers,
    lse: u32,
    ethertype: u16,
) -> Edited {
    let at = l2_end(layers).ok_or(Unfit)?;
    ensure(matches!(ethertype, et::MPLS | et::MPLS_MULTICAST))?;
    ensure(packets.insert(slot, at, LSE))?;
    let (octets, _) = packets.own(slot);
    octets[at..at + LSE].copy_from_slice(&lse.to_be_bytes());
    set_ethertype(packets, slot, key, at, ethertype);
    Ok(())
}

/// In front of the whole packet.
pub(crate) fn add_mpls(
    packets: &mut Packets<'_, '_>,
    slot: &mut Slot,
    key: &mut Key,
    lse: u32,
    ethertype: u16,
) -> Edited {
    ensure(matches!(ethertype, et::MPLS | et::MPLS_MULTICAST))?;
    ensure(packets.insert(slot, 0, LSE))?;
    let (octets, _) = packets.own(slot);
    octets[..LSE].copy_from_slice(&lse.to_be_bytes());
    key.set_packet_type(ETHERTYPE_SPACE | u32::from(ethertype));
    Ok(())
}

/// Without a label nothing happens.
pub(crate) fn pop_mpls(
    packets: &mut Packets<'_, '_>,
    slot: &mut Slot,
    key: &mut Key,
    layers: &Layers,
    ethertype: u16,
) -> Edited {
    if layers.l2_5 == Layers::NONE {
        return Ok(());
    }
    let at = usize::from(layers.l2_5);
    ensure(packets.remove(slot, at, LSE))?;
    if ethertype == packet::gre::ETHERNET && key.packet_type() != 0 {
        // What was behind the label is a frame.
        key.set_packet_type(0);
        return Ok(());
    }
    set_ethertype(packets, slot, key, at, ethertype);
    Ok(())
}

fn mac(address: u64) -> [u8; 6] {
    let b = address.to_be_bytes();
    [b[2], b[3], b[4], b[5], b[6], b[7]]
}

pub(crate) fn push_eth(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &mut Key, src: u64, dst: u64) -> Edited {
    let packet_type = key.packet_type();
    ensure(packet_type >> 16 == 1)?;
    ensure(packets.insert(slot, 0, ETHERNET))?;
    let (octets, _) = packets.own(slot);
    octets[..6].copy_from_slice(&mac(dst));
    octets[6..ADDRESSES].copy_from_slice(&mac(src));
    octets[ADDRESSES..ETHERNET].copy_from_slice(&(packet_type as u16).to_be_bytes());
    key.set_packet_type(0);
    Ok(())
}

/// Takes off all of layer 2, tags as well, as Open vSwitch does for tunnels that carry layer 3 alone; `layers` and `key`
/// are current.
pub(crate) fn pop_eth(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &mut Key, layers: &Layers) -> Edited {
    let at = l2_end(layers).ok_or(Unfit)?;
    ensure(key.packet_type() == 0)?;
    // As it stands there: a length, where the key has the type of frames of IEEE 802.3.
    let (octets, _) = packets.own(slot);
    let kind =
        octets.get(at.wrapping_sub(2)..at).and_then(|k| k.try_into().ok()).map(u16::from_be_bytes).ok_or(Unfit)?;
    let packet_type = ETHERTYPE_SPACE | u32::from(kind);
    ensure(packets.remove(slot, 0, at))?;
    key.set_packet_type(packet_type);
    Ok(())
}

/// Of NSH: base and service path header.
const NSH: usize = 8;
const NSH_CONTEXT: usize = 16;
const NSH_MD2_MAX: usize = 248;
const NSH_TYPE: u32 = ETHERTYPE_SPACE | et::NSH as u32;

pub(crate) fn push_nsh(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &mut Key, nsh: &PushNsh) -> Edited {
    let mut header = [0; NSH + NSH_MD2_MAX];
    let len = match nsh.mdtype {
        1 => {
            for (to, word) in header[NSH..].chunks_exact_mut(4).zip(nsh.context) {
                to.copy_from_slice(&word.to_be_bytes());
            }
            NSH + NSH_CONTEXT
        }
        _ => {
            ensure(nsh.md2.len() <= NSH_MD2_MAX && nsh.md2.len().is_multiple_of(4))?;
            header[NSH..NSH + nsh.md2.len()].copy_from_slice(&nsh.md2);
            NSH + nsh.md2.len()
        }
    };
    let base = u16::from(nsh.flags & 3) << 12 | u16::from(nsh.ttl & 0x3f) << 6 | (len / 4) as u16;
    header[..2].copy_from_slice(&base.to_be_bytes());
    header[2] = nsh.mdtype & 0x0f;
    header[3] = nsh.np;
    header[4..8].copy_from_slice(&nsh.path_hdr.to_be_bytes());
    // The longest is more than the usual headroom: refused there like any packet that cannot grow.
    ensure(packets.insert(slot, 0, len))?;
    let (octets, _) = packets.own(slot);
    octets[..len].copy_from_slice(&header[..len]);
    key.set_packet_type(NSH_TYPE);
    Ok(())
}

/// What the next protocol number of NSH (RFC 8300, 3.2) makes of a packet.
fn inner_type(np: u8) -> Option<u32> {
    Some(match np {
        1 => ETHERTYPE_SPACE | u32::from(et::IPV4),
        2 => ETHERTYPE_SPACE | u32::from(et::IPV6),
        3 => 0,
        4 => NSH_TYPE,
        5 => ETHERTYPE_SPACE | u32::from(et::MPLS),
        _ => return None,
    })
}

pub(crate) fn pop_nsh(packets: &mut Packets<'_, '_>, slot: &mut Slot, key: &mut Key) -> Edited {
    ensure(key.packet_type() == NSH_TYPE)?;
    let octets = packets.data(*slot);
    let base = be16(octets, 0).ok_or(Unfit)?;
    let np = *octets.get(3).ok_or(Unfit)?;
    let len = usize::from(base & 0x3f) * 4;
    ensure(len >= NSH)?;
    let inner = inner_type(np).ok_or(Unfit)?;
    ensure(packets.remove(slot, 0, len))?;
    key.set_packet_type(inner);
    Ok(())
}
