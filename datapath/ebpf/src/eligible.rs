//! Whether a flow asks for nothing that the kernel does not tell apart.

use flow::classifier::Shape;
use flow::key::word;

/// What differs between packets of one [`crate::FlowKey`]: type of service, time to live, flow label, TCP flags. All else
/// that a flow's mask may ask for is in the key, or the same for all packets that have one: there are no tags, labels,
/// fragments, and no metadata but the port.
const UNTOLD: [(usize, u64); 2] = [(word::IP, 0x000f_ffff_00ff_ff00), (word::ARP_THA_TCP_FLAGS, 0xffff)];

/// Whether all packets of one [`crate::FlowKey`], as they are received, are alike under the mask.
pub fn covers(shape: &Shape) -> bool {
    let asked = |word: usize| shape.words().iter().find(|(i, _)| usize::from(*i) == word).map_or(0, |(_, mask)| *mask);
    UNTOLD.iter().all(|(word, bits)| asked(*word) & bits == 0)
}

#[cfg(test)]
mod tests {
    use flow::Mask;

    use super::*;

    #[test]
    fn only_what_the_key_holds_may_be_asked_for() {
        type Set = fn(&mut Mask);
        let rows: [(&str, Set, bool); 11] = [
            ("in_port", |m| m.set_in_port(u32::MAX), true),
            ("recirc_id", |m| m.set_recirc_id(u32::MAX), true),
            ("dl_dst", |m| m.set_dl_dst(u64::MAX), true),
            ("dl_type", |m| m.set_dl_type(u16::MAX), true),
            ("nw_dst", |m| m.set_nw_dst(0xffff_ff00), true),
            ("nw_frag", |m| m.set_nw_frag(3), true),
            ("tp_dst", |m| m.set_tp_dst(u16::MAX), true),
            ("nw_tos", |m| m.set_nw_tos(0xfc), false),
            ("nw_ttl", |m| m.set_nw_ttl(1), false),
            ("ipv6_label", |m| m.set_ipv6_label(0x80000), false),
            ("tcp_flags", |m| m.set_tcp_flags(2), false),
        ];
        for (name, set, expected) in rows {
            let mut mask = Mask::EMPTY;
            set(&mut mask);
            assert_eq!(covers(&Shape::of(&mask)), expected, "{name}");
        }
    }
}
