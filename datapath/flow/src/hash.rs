//! Hashes of keys: for spreading connections over members, buckets and threads.
//!
//! MurmurHash3's 32-bit mixing and Bob Jenkins' lookup3 (both public domain), over octets in wire order read as
//! little-endian words: the values are those of Open vSwitch, so that a connection goes to the same member there and
//! here. Symmetric hashes are the same for both directions of a connection.

pub use hashing::{add, add64, bytes, finish, two_words};

use crate::Key;
use crate::extract::ethertype as et;
use crate::key::word;

/// Hash of octets by lookup3.
pub fn jenkins(octets: &[u8], basis: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(octets.len() as u32).wrapping_add(basis);
    let mut s = [start; 3];
    let mut chunks = octets.chunks_exact(12);
    for chunk in &mut chunks {
        add_words(&mut s, chunk);
        jenkins_mix(&mut s);
    }
    if !chunks.remainder().is_empty() {
        add_words(&mut s, chunks.remainder());
        jenkins_end(&mut s);
    }
    s[2]
}

fn add_words(s: &mut [u32; 3], octets: &[u8]) {
    for (sum, chunk) in s.iter_mut().zip(octets.chunks(4)) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        *sum = sum.wrapping_add(u32::from_le_bytes(word));
    }
}

fn jenkins_mix([a, b, c]: &mut [u32; 3]) {
    fn step(x: &mut u32, y: &mut u32, z: &mut u32, k: u32) {
        *x = x.wrapping_sub(*z) ^ z.rotate_left(k);
        *z = z.wrapping_add(*y);
    }
    step(a, b, c, 4);
    step(b, c, a, 6);
    step(c, a, b, 8);
    step(a, b, c, 16);
    step(b, c, a, 19);
    step(c, a, b, 4);
}

fn jenkins_end([a, b, c]: &mut [u32; 3]) {
    fn step(x: &mut u32, y: u32, k: u32) {
        *x = (*x ^ y).wrapping_sub(y.rotate_left(k));
    }
    step(c, *b, 14);
    step(a, *c, 11);
    step(b, *a, 25);
    step(c, *b, 16);
    step(a, *c, 4);
    step(b, *a, 14);
    step(c, *b, 24);
}

fn has_ports(proto: u8) -> bool {
    matches!(proto, 6 | 17 | 132 | 1 | 58)
}

/// Of the addresses, the protocol and the ports, as they are: the datapath's own hash of a connection's one direction. Of
/// fragments the first has its ports, later ones have 0.
pub fn five_tuple(key: &Key, basis: u32) -> u32 {
    let mut hash = basis;
    match key.dl_type() {
        // ARP's operation stands where a protocol would.
        et::IPV4 | et::ARP => hash = add64(hash, key.0[word::NW].swap_bytes()),
        et::IPV6 => {
            for word in &key.0[word::IPV6_SRC..word::IPV6_SRC + 4] {
                hash = add64(hash, word.swap_bytes());
            }
        }
        _ => return finish(hash, 42),
    }
    hash = add(hash, key.nw_proto().into());
    if has_ports(key.nw_proto()) {
        hash = add(hash, ((key.0[word::TP] >> 32) as u32).swap_bytes());
    }
    finish(hash, 42)
}

/// Of layer 2 to 4, the same for both directions: Ethernet addresses, VLANs, EtherType, IP addresses and protocol, TCP
/// and SCTP ports (and UDP ones when `udp`).
pub fn symmetric_l4(key: &Key, basis: u32, udp: bool) -> u32 {
    // Addresses (16 octets), EtherType, VLAN, port, Ethernet address, protocol, to a multiple of four.
    let mut fields = [0u8; 32];
    match key.dl_type() {
        et::IPV4 => fields[..4].copy_from_slice(&(key.nw_src() ^ key.nw_dst()).to_be_bytes()),
        et::IPV6 => fields[..16].copy_from_slice(&(key.ipv6_src() ^ key.ipv6_dst()).to_be_bytes()),
        _ => {}
    }
    fields[16..18].copy_from_slice(&key.dl_type().to_be_bytes());
    fields[18..20].copy_from_slice(&((key.vlan_tci() ^ key.vlan2_tci()) & 0x0fff).to_be_bytes());
    if matches!(key.dl_type(), et::IPV4 | et::IPV6) {
        fields[20..22].copy_from_slice(&symmetric_port(key, udp).to_be_bytes());
        fields[28] = key.nw_proto();
    }
    fields[22..28].copy_from_slice(&(key.dl_src() ^ key.dl_dst()).to_be_bytes()[2..]);
    jenkins(&fields, basis)
}

/// Of layers 3 and 4, the same for both directions. Of anything but IP, of layer 2.
pub fn symmetric_l3l4(key: &Key, basis: u32, udp: bool) -> u32 {
    let Some(hash) = symmetric_addresses(key, basis) else { return symmetric_l2(key, basis) };
    let mut hash = add(hash, key.nw_proto().into());
    // A fragment, the first too, goes by its addresses alone, so that all of a packet goes one way.
    let has_ports = matches!(key.nw_proto(), 6 | 132) || (udp && key.nw_proto() == 17);
    if has_ports && key.nw_frag() == 0 {
        hash = add(hash, symmetric_port(key, udp).swap_bytes().into());
    }
    finish(hash, basis)
}

/// Of the EtherType and the IP addresses, the same for both directions.
pub fn symmetric_l3(key: &Key, basis: u32) -> u32 {
    let mut fields = [0; 20];
    match key.dl_type() {
        et::IPV4 => fields[..4].copy_from_slice(&(key.nw_src() ^ key.nw_dst()).to_be_bytes()),
        et::IPV6 => fields[..16].copy_from_slice(&(key.ipv6_src() ^ key.ipv6_dst()).to_be_bytes()),
        _ => {}
    }
    fields[16..18].copy_from_slice(&key.dl_type().to_be_bytes());
    jenkins(&fields, basis)
}

/// Of VLANs, EtherType and Ethernet addresses, the same for both directions.
pub fn symmetric_l2(key: &Key, basis: u32) -> u32 {
    let vlan = (key.vlan_tci() ^ key.vlan2_tci()) & 0x0fff;
    let hash = add(basis, u32::from(vlan.swap_bytes()) << 16 | u32::from(key.dl_type().swap_bytes()));
    let mut addresses = [0; 8];
    addresses[..6].copy_from_slice(&(key.dl_src() ^ key.dl_dst()).to_be_bytes()[2..]);
    finish(add64(hash, u64::from_le_bytes(addresses)), basis)
}

/// Of an Ethernet address (48 bits) and a VLAN identifier.
pub fn mac_vlan(mac: u64, vlan: u16, basis: u32) -> u32 {
    finish(add64(basis, u64::from(vlan) << 48 | mac), 8)
}

fn symmetric_addresses(key: &Key, hash: u32) -> Option<u32> {
    match key.dl_type() {
        et::IPV4 => Some(add(hash, (key.nw_src() ^ key.nw_dst()).swap_bytes())),
        et::IPV6 => {
            let both = (key.ipv6_src() ^ key.ipv6_dst()).swap_bytes();
            Some(add64(add64(hash, both as u64), (both >> 64) as u64))
        }
        _ => None,
    }
}

fn symmetric_port(key: &Key, udp: bool) -> u16 {
    let counts = matches!(key.nw_proto(), 6 | 132) || (udp && key.nw_proto() == 17);
    if counts { key.tp_src() ^ key.tp_dst() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nw_frag;

    /// What `multipath(…,modulo_n,65536,…)` of Open vSwitch 3.1 chose for bases 0, 7 and 50.
    #[test]
    fn values_are_open_vswitchs() {
        let mut key = Key::EMPTY;
        key.set_dl_src(1);
        key.set_dl_dst(2);
        key.set_dl_type(0x0806);
        let low = |hash: u32| hash & 0xffff;
        let of = |f: &dyn Fn(u32) -> u32| [low(f(0)), low(f(7)), low(f(50))];
        assert_eq!(of(&|b| jenkins(&[0, 0, 0, 0, 0, 1], b)), [0x19f3, 0x7bdc, 0xf47a]);
        assert_eq!(of(&|b| symmetric_l4(&key, b, false)), [0x3673, 0x91d5, 0x15c5]);
        assert_eq!(of(&|b| symmetric_l3l4(&key, b, false)), [0xa446, 0x0da9, 0x9877]);
        let mut tcp = key.clone();
        tcp.set_dl_type(0x0800);
        tcp.set_nw_proto(6);
        tcp.set_tp_src(1000);
        tcp.set_tp_dst(28);
        tcp.set_nw_src(0x0a00_0001);
        tcp.set_nw_dst(0x0a00_0002);
        assert_eq!(of(&|b| symmetric_l4(&tcp, b, false)), [0xe5b0, 0x906b, 0x747c]);
        assert_eq!(of(&|b| symmetric_l3l4(&tcp, b, false)), [0x1751, 0x64a1, 0x362b]);
        // What Open vSwitch 3.1 chooses of 65536 links.
        let mut l3 = Key::EMPTY;
        for (dl_type, src, expected) in [(0x0800, 0, 0xa425), (0x0800, 1, 0xba4a), (0x0806, 0, 0xb052)] {
            l3.set_dl_type(dl_type);
            l3.set_nw_src(src);
            assert_eq!(symmetric_l3(&l3, 0) & 0xffff, expected);
        }
        let mut udp = tcp.clone();
        udp.set_nw_proto(17);
        udp.set_tp_dst(1);
        assert_eq!(two_words(five_tuple(&udp, 0), 0), 0x2a8b_cac1);
        // Of 65535 links.
        let mut later = Key::EMPTY;
        later.set_dl_type(0x0800);
        later.set_nw_proto(17);
        later.set_nw_src(0x0a00_0003);
        later.set_nw_dst(0x0a00_0104);
        assert_eq!(symmetric_l3l4(&later, 50, true) % 65535, 0x98cb);
        later.set_nw_frag(nw_frag::ANY);
        assert_eq!(symmetric_l3l4(&later, 50, true) % 65535, 0xd322);
        // The UDP port that 3.1 sends something from that it puts into a tunnel tells the upper bits.
        let udp_port = |key: &Key| ((u64::from(five_tuple(key, 0)) * (61_000 - 32_768)) >> 32) + 32_768;
        let mut arp = Key::EMPTY;
        arp.set_dl_type(0x0806);
        arp.set_nw_proto(2);
        arp.set_nw_src(0x0a01_0164);
        arp.set_nw_dst(0x0a01_0101);
        assert_eq!(udp_port(&arp), 51_420);
        assert_eq!(udp_port(&Key::EMPTY), 0x83a9);
        let mut fragment = tcp.clone();
        fragment.set_tp_src(1001);
        fragment.set_tp_dst(80);
        fragment.set_nw_frag(nw_frag::ANY);
        assert_eq!(udp_port(&fragment), 0xc064);
        fragment.set_tp_src(0);
        fragment.set_tp_dst(0);
        fragment.set_nw_frag(nw_frag::ANY | nw_frag::LATER);
        assert_eq!(udp_port(&fragment), 0x8e64);
        let mut v6 = key.clone();
        v6.set_dl_type(0x86dd);
        v6.set_nw_proto(6);
        v6.set_ipv6_src(0xfe80 << 112 | 1);
        v6.set_ipv6_dst(0xfe80 << 112 | 0x1234);
        assert_eq!(of(&|b| symmetric_l4(&v6, b, false)), [0x6c22, 0xbad6, 0x2e72]);
        assert_eq!(of(&|b| symmetric_l3l4(&v6, b, false)), [0x921b, 0xbd5d, 0x53b1]);
    }
}
