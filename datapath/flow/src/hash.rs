//! Hashes of keys: for spreading connections over members, buckets and threads.
//!
//! MurmurHash3's 32-bit mixing (public domain), fed with 32-bit words. Values are stable between runs and machines.
//! Symmetric hashes are the same for both directions of a connection.

use crate::Key;
use crate::extract::ethertype as et;
use crate::key::word;

/// Mixes one word into a running hash.
#[inline]
pub fn add(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// Mixes a double word into a running hash.
#[inline]
pub fn add64(hash: u32, word: u64) -> u32 {
    add(add(hash, word as u32), (word >> 32) as u32)
}

/// Ends a hash over `len` octets.
#[inline]
pub fn finish(hash: u32, len: u32) -> u32 {
    let mut hash = hash ^ len;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Hash of octets.
pub fn bytes(octets: &[u8], basis: u32) -> u32 {
    let mut hash = basis;
    for chunk in octets.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = add(hash, u32::from_le_bytes(word));
    }
    finish(hash, octets.len() as u32)
}

fn has_ports(proto: u8) -> bool {
    matches!(proto, 6 | 17 | 132)
}

/// Of the addresses, the protocol and the ports, as they are: the datapath's own hash of a connection's one direction.
pub fn five_tuple(key: &Key, basis: u32) -> u32 {
    let mut hash = basis;
    match key.dl_type() {
        et::IPV4 => hash = add64(hash, key.0[word::NW]),
        et::IPV6 => {
            for word in &key.0[word::IPV6_SRC..word::IPV6_SRC + 4] {
                hash = add64(hash, *word);
            }
        }
        _ => return 0,
    }
    hash = add(hash, key.nw_proto().into());
    if has_ports(key.nw_proto()) && key.nw_frag() == 0 {
        hash = add(hash, (key.0[word::TP] >> 32) as u32);
    }
    finish(hash, 42)
}

/// Of layer 2 to 4, the same for both directions: Ethernet addresses, VLAN, EtherType, IP addresses and protocol, TCP
/// and SCTP ports (and UDP ones when `udp`).
pub fn symmetric_l4(key: &Key, basis: u32, udp: bool) -> u32 {
    let mut hash = add64(basis, key.dl_src() ^ key.dl_dst());
    hash = add(hash, u32::from(key.dl_type()));
    if key.vlan_tci() != 0 {
        hash = add(hash, u32::from(key.vlan_tci() & 0x0fff));
    }
    hash = symmetric_addresses(key, hash);
    hash = symmetric_ports(key, hash, udp);
    finish(hash, 36)
}

/// Of layers 3 and 4, the same for both directions. Of anything but IP, of the Ethernet addresses.
pub fn symmetric_l3l4(key: &Key, basis: u32, udp: bool) -> u32 {
    if !matches!(key.dl_type(), et::IPV4 | et::IPV6) {
        return symmetric_l2(key, basis);
    }
    let hash = symmetric_addresses(key, basis);
    finish(symmetric_ports(key, hash, udp), 12)
}

/// Of the IP addresses, the same for both directions. Of anything but IP, of the Ethernet addresses.
pub fn symmetric_l3(key: &Key, basis: u32) -> u32 {
    match key.dl_type() {
        et::IPV4 => finish(add(basis, key.nw_src() ^ key.nw_dst()), 4),
        et::IPV6 => finish(symmetric_v6(key, basis), 16),
        _ => symmetric_l2(key, basis),
    }
}

/// Of VLAN, EtherType and Ethernet addresses, the same for both directions.
pub fn symmetric_l2(key: &Key, basis: u32) -> u32 {
    let addresses = key.dl_src() ^ key.dl_dst();
    let hash = add(basis, u32::from(key.vlan_tci() & 0x1fff) << 16 | u32::from(key.dl_type()));
    finish(add64(hash, addresses), 16)
}

/// Of an Ethernet address and a VLAN identifier.
pub fn mac_vlan(mac: u64, vlan: u16, basis: u32) -> u32 {
    finish(add64(add(basis, vlan.into()), mac), 12)
}

fn symmetric_v6(key: &Key, hash: u32) -> u32 {
    add64(
        add64(hash, key.0[word::IPV6_SRC] ^ key.0[word::IPV6_DST]),
        key.0[word::IPV6_SRC + 1] ^ key.0[word::IPV6_DST + 1],
    )
}

fn symmetric_addresses(key: &Key, hash: u32) -> u32 {
    match key.dl_type() {
        et::IPV4 => add(add(hash, key.nw_src() ^ key.nw_dst()), key.nw_proto().into()),
        et::IPV6 => add(symmetric_v6(key, hash), key.nw_proto().into()),
        _ => hash,
    }
}

fn symmetric_ports(key: &Key, hash: u32, udp: bool) -> u32 {
    if matches!(key.nw_proto(), 6 | 132) || (udp && key.nw_proto() == 17) {
        add(hash, u32::from(key.tp_src() ^ key.tp_dst()))
    } else {
        hash
    }
}
