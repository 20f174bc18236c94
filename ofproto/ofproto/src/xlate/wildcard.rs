//! Which bits a cached flow always matches, and which it never does.

use flow::nw_frag;
use flow::{Key, Mask};

/// Words of the key that describe the tunnel a packet came through.
pub(super) const TUNNEL_WORDS: usize = flow::key::TUN_METADATA_WORD + flow::key::TUN_METADATA_BYTES / 8;
/// VLAN tag present.
const CFI: u16 = 0x1000;

pub(super) fn is_ip(key: &Key) -> bool {
    matches!(key.dl_type(), 0x0800 | 0x86dd)
}

pub(super) fn is_mpls(dl_type: u16) -> bool {
    matches!(dl_type, 0x8847 | 0x8848)
}

fn is_vlan(tpid: u16) -> bool {
    matches!(tpid, 0x8100 | 0x88a8)
}

/// What is matched before any rule is looked at; `recirc` if the datapath can bring packets again.
pub(super) fn initial(key: &Key, recirc: bool) -> Mask {
    let mut mask = Mask::EMPTY;
    mask.set_in_port(u32::MAX);
    mask.set_dl_type(u16::MAX);
    if recirc {
        mask.set_packet_type(u32::MAX);
        mask.set_recirc_id(u32::MAX);
    }
    if is_ip(key) {
        mask.set_nw_frag(3);
    }
    if key.tun_dst() != 0 || key.tun_ipv6_dst() != 0 {
        mask.set_tun_id(u64::MAX);
        if key.tun_dst() != 0 {
            mask.set_tun_src(u32::MAX);
            mask.set_tun_dst(u32::MAX);
        } else {
            mask.set_tun_ipv6_src(u128::MAX);
            mask.set_tun_ipv6_dst(u128::MAX);
        }
        mask.set_tun_flags(flow::tun_flag::DONT_FRAGMENT | flow::tun_flag::CSUM | flow::tun_flag::KEY);
        mask.set_tun_tos(u8::MAX);
    }
    mask
}

/// What NetFlow needs of every flow.
pub(super) fn netflow(key: &Key, mask: &mut Mask) {
    if key.dl_type() == 0x0800 {
        mask.set_nw_src(u32::MAX);
        mask.set_nw_dst(u32::MAX);
        mask.set_nw_proto(u8::MAX);
        mask.set_nw_tos(mask.nw_tos() | 0xfc);
        mask.set_tp_src(u16::MAX);
        mask.set_tp_dst(u16::MAX);
    }
}

/// Leaves out what the datapath's key does not have or the packet cannot show. `upcall` is the key at the start, `key` the
/// pipeline's at the end.
pub(super) fn finish(mask: &mut Mask, upcall: &Key, key: &Key) {
    // Pipeline fields: metadata, registers, the action set's output, conjunction identifiers.
    mask.set_metadata(0);
    (0..16).for_each(|i| mask.set_reg(i, 0));
    mask.set_actset_output(0);
    mask.set_conj_id(0);
    if upcall.tun_dst() == 0 && upcall.tun_ipv6_dst() == 0 {
        // What is written of a tunnel to come is no part of the packet.
        mask.0[..TUNNEL_WORDS].fill(0);
    }
    if upcall.packet_type() != 0 {
        mask.set_dl_src(0);
        mask.set_dl_dst(0);
    }
    let icmp = |k: &Key| (k.dl_type() == 0x0800 && k.nw_proto() == 1) || (k.dl_type() == 0x86dd && k.nw_proto() == 58);
    if icmp(key) {
        mask.set_tp_src(mask.tp_src() & 0xff);
        mask.set_tp_dst(mask.tp_dst() & 0xff);
    }
    if mask.vlan_tci() != 0 {
        mask.set_vlan_tci(mask.vlan_tci() | CFI);
    }
    if mask.vlan2_tci() != 0 {
        mask.set_vlan2_tci(mask.vlan2_tci() | CFI);
    }
    if upcall.nw_frag() & nw_frag::LATER != 0 {
        mask.set_tp_src(0);
        mask.set_tp_dst(0);
    }
    if !is_mpls(upcall.dl_type()) {
        mask.set_mpls_lse0(0);
        mask.set_mpls_lse1(0);
        mask.set_mpls_lse2(0);
    }
    if !is_vlan(upcall.vlan_tpid()) {
        mask.set_vlan_tpid(0);
        mask.set_vlan_tci(0);
    }
    if !is_vlan(upcall.vlan2_tpid()) {
        mask.set_vlan2_tpid(0);
        mask.set_vlan2_tci(0);
    }
}
