//! The field registry and the key's accessors name the same bits.

use flow::Key;
use flow::field::{Field, Value};

#[test]
fn registry_agrees_with_accessors() {
    type Read = fn(&Key) -> u128;
    let table: &[(Field, Read)] = &[
        (Field::TunId, |k| k.tun_id().into()),
        (Field::TunSrc, |k| k.tun_src().into()),
        (Field::TunDst, |k| k.tun_dst().into()),
        (Field::TunIpv6Src, Key::tun_ipv6_src),
        (Field::TunIpv6Dst, Key::tun_ipv6_dst),
        (Field::Metadata, |k| k.metadata().into()),
        (Field::PktMark, |k| k.pkt_mark().into()),
        (Field::CtZone, |k| k.ct_zone().into()),
        (Field::CtMark, |k| k.ct_mark().into()),
        (Field::CtLabel, Key::ct_label),
        (Field::CtNwProto, |k| k.ct_nw_proto().into()),
        (Field::CtNwSrc, |k| k.ct_nw_src().into()),
        (Field::CtNwDst, |k| k.ct_nw_dst().into()),
        (Field::CtIpv6Src, Key::ct_ipv6_src),
        (Field::CtIpv6Dst, Key::ct_ipv6_dst),
        (Field::CtTpSrc, |k| k.ct_tp_src().into()),
        (Field::CtTpDst, |k| k.ct_tp_dst().into()),
        (Field::EthSrc, |k| k.dl_src().into()),
        (Field::EthDst, |k| k.dl_dst().into()),
        (Field::EthType, |k| k.dl_type().into()),
        (Field::VlanTci, |k| k.vlan_tci().into()),
        (Field::Ipv4Src, |k| k.nw_src().into()),
        (Field::Ipv4Dst, |k| k.nw_dst().into()),
        (Field::Ipv6Src, Key::ipv6_src),
        (Field::Ipv6Dst, Key::ipv6_dst),
        (Field::Ipv6Label, |k| k.ipv6_label().into()),
        (Field::IpProto, |k| k.nw_proto().into()),
        (Field::IpTtl, |k| k.nw_ttl().into()),
        (Field::IpFrag, |k| k.nw_frag().into()),
        (Field::ArpSha, |k| k.arp_sha().into()),
        (Field::ArpTha, |k| k.arp_tha().into()),
        (Field::TcpSrc, |k| k.tp_src().into()),
        (Field::TcpDst, |k| k.tp_dst().into()),
        (Field::TcpFlags, |k| k.tcp_flags().into()),
        (Field::NdTarget, Key::nd_target),
        (Field::NdReserved, |k| k.igmp_group().into()),
        (Field::NshSpi, |k| k.nsh_spi().into()),
        (Field::NshSi, |k| k.nsh_si().into()),
        (Field::NshC4, |k| k.nsh_c4().into()),
    ];
    for (field, read) in table {
        let mut key = Key::EMPTY;
        let bits = field.meta().n_bits;
        let ones = if bits >= 128 { u128::MAX } else { (1u128 << bits) - 1 };
        let value = Value::from_u128(ones, field.meta().n_bytes.into());
        field.set(&mut key, &value);
        assert_eq!(read(&key), ones, "{field:?}");
        assert_eq!(
            key.0.iter().map(|w| w.count_ones()).sum::<u32>(),
            u32::from(bits),
            "{field:?} writes other bits too"
        );
    }
}
