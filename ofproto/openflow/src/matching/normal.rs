//! Normalisation: a match loses the fields that packets of its kind do not have.
//!
//! Source: ovs-ofctl(8), "Flow Syntax".

use flow::Mask;

use super::Match;

/// Which groups of fields packets of a match can have.
#[derive(Default)]
struct May {
    nw_addr: bool,
    tp_addr: bool,
    nw_proto: bool,
    ip: bool,
    arp_sha: bool,
    arp_tha: bool,
    ipv6: bool,
    nd_target: bool,
    mpls: bool,
    ether: bool,
}

fn may_match(m: &Match) -> May {
    let key = &m.key;
    let mut may = May::default();
    let dl_type = if m.mask.packet_type() == 0 || m.has_default_packet_type() {
        may.ether = true;
        key.dl_type()
    } else if m.mask.packet_type() == u32::MAX && key.packet_type() >> 16 == 1 {
        key.packet_type() as u16
    } else {
        0
    };
    let proto = key.nw_proto();
    match dl_type {
        0x0800 => {
            (may.nw_proto, may.ip, may.nw_addr) = (true, true, true);
            may.tp_addr = matches!(proto, 1 | 6 | 17 | 132);
        }
        0x86dd => {
            (may.nw_proto, may.ip, may.ipv6) = (true, true, true);
            may.tp_addr = matches!(proto, 6 | 17 | 58 | 132);
            if proto == 58 {
                may.nd_target = matches!(key.tp_src(), 135 | 136);
                may.arp_sha = key.tp_src() == 135;
                may.arp_tha = key.tp_src() == 136;
            }
        }
        0x0806 | 0x8035 => {
            (may.nw_proto, may.nw_addr, may.arp_sha, may.arp_tha) = (true, true, true, true);
        }
        0x8847 | 0x8848 => may.mpls = true,
        _ => {}
    }
    may
}

/// Drops from a match the fields that packets of its kind do not have. Returns whether it changed.
pub fn normalize(m: &mut Match) -> bool {
    let may = may_match(m);
    let mut mask = m.mask.clone();
    let clear = |unless: bool, f: &dyn Fn(&mut Mask), mask: &mut Mask| {
        if !unless {
            f(mask);
        }
    };
    clear(may.ether, &|w| (w.set_dl_src(0), w.set_dl_dst(0)).0, &mut mask);
    clear(may.nw_addr, &|w| (w.set_nw_src(0), w.set_nw_dst(0)).0, &mut mask);
    clear(may.tp_addr, &|w| (w.set_tp_src(0), w.set_tp_dst(0)).0, &mut mask);
    clear(may.nw_proto, &|w| w.set_nw_proto(0), &mut mask);
    clear(may.ip, &|w| (w.set_nw_tos(0), w.set_nw_ttl(0)).0, &mut mask);
    clear(may.arp_sha, &|w| w.set_arp_sha(0), &mut mask);
    clear(may.arp_tha, &|w| w.set_arp_tha(0), &mut mask);
    clear(may.ipv6, &|w| (w.set_ipv6_src(0), w.set_ipv6_dst(0), w.set_ipv6_label(0)).0, &mut mask);
    clear(may.nd_target, &|w| w.set_nd_target(0), &mut mask);
    clear(may.mpls, &|w| (w.set_mpls_lse0(0), w.set_mpls_lse1(0), w.set_mpls_lse2(0)).0, &mut mask);
    let is_changed = mask != m.mask;
    // Extensions of neighbour discovery go without a word: on the wire they could not have been told.
    clear(may.nd_target, &|w| w.set_igmp_group(0), &mut mask);
    if mask != m.mask {
        m.key.apply(&mask);
        m.mask = mask;
    }
    is_changed
}
