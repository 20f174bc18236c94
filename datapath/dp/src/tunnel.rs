//! Tunnels opened and closed here: outer headers put in front of packets, and taken off again.
//!
//! The outer header comes whole with the action; what depends on the packet is filled in here: lengths, checksums,
//! sequence numbers, and the UDP source port, which tells connections apart for those on the way that share load by it.
//! A packet that comes out of a tunnel has the key of the packet inside and the outer header's fields beside it.
//!
//! Absent here: which tunnel a packet is for (translation's), fragments (translation hands none down).
//! Sources: RFC 7348 (VXLAN), RFC 8926 (Geneve), RFC 2784 and 2890 (GRE), draft-foschiano-erspan-03, 3GPP TS 29.281
//! (GTP-U); ovs-vswitchd.conf.db(5), "Tunnel Options".

use flow::extract::ethertype::{IPV4, IPV6};
use flow::field::TunTable;
use flow::outer::TunnelKind;
use flow::{Key, Layers, OdpPort, tun_flag};
use packet::ipv4::proto;
use packet::{checksum, erspan, geneve, gre, gtpu, vxlan};

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;
const UDP_HEADER: usize = 8;
/// GRE's flags: a checksum, a key, a sequence number.
const GRE_CSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQ: u16 = 0x1000;
/// `OVS_VPORT_TYPE_GTPU`.
pub(crate) const TYPE_GTPU: u32 = 110;
/// Space of packet types that EtherTypes name.
const ETHERTYPES: u32 = 1 << 16;

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

fn put16(octets: &mut [u8], at: usize, value: u16) -> Option<()> {
    *octets.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

/// Sum of the pseudo header that covers `len` octets.
fn pseudo(octets: &[u8], is_v6: bool, protocol: u8, len: u32) -> Option<u64> {
    let ip = octets.get(ETHERNET..)?;
    Some(if is_v6 {
        let address = |at: usize| Some(u128::from_be_bytes(*ip.get(at..)?.first_chunk()?));
        checksum::pseudo_v6(address(8)?, address(24)?, protocol, len)
    } else {
        let address = |at: usize| Some(u32::from_be_bytes(*ip.get(at..)?.first_chunk()?));
        checksum::pseudo_v4(address(12)?, address(16)?, protocol, len)
    })
}

/// Completes the outer header that `octets` begin with: `hash` is the inner packet's, `sequence` the tunnel's next
/// number, `sources` as in [`crate::Config`], `stamp` the wall clock in ERSPAN's units. `None`: it is no such header, or the
/// packet is too long for it.
pub(crate) fn complete(
    octets: &mut [u8],
    is_gtpu: bool,
    hash: u32,
    sequence: &mut u32,
    sources: (u16, u16),
    stamp: u32,
) -> Option<()> {
    let is_v6 = be16(octets, 12)? == IPV6;
    let ip_len = u16::try_from(octets.len().checked_sub(ETHERNET)?).ok()?;
    let (l4, protocol) = if is_v6 {
        put16(octets, ETHERNET + 4, ip_len.checked_sub(40)?)?;
        (ETHERNET + 40, octets[ETHERNET + 6])
    } else {
        put16(octets, ETHERNET + 2, ip_len)?;
        put16(octets, ETHERNET + 10, 0)?;
        let sum = checksum::of(octets.get(ETHERNET..ETHERNET + 20)?);
        put16(octets, ETHERNET + 10, sum)?;
        (ETHERNET + 20, octets[ETHERNET + 9])
    };
    if protocol == proto::UDP {
        put16(octets, l4, source(sources, hash))?;
        complete_udp(octets, is_gtpu, l4, is_v6)
    } else {
        complete_gre(octets, l4, sequence, stamp)
    }
}

/// A port to send from that is the same for all packets of a hash.
fn source((first, end): (u16, u16), hash: u32) -> u16 {
    let span = u64::from(end.saturating_sub(first));
    first + ((u64::from(hash) * span) >> 32) as u16
}

fn complete_udp(octets: &mut [u8], is_gtpu: bool, l4: usize, is_v6: bool) -> Option<()> {
    let len = u16::try_from(octets.len().checked_sub(l4 + UDP_HEADER)?).ok()?;
    put16(octets, l4 + 4, len + UDP_HEADER as u16)?;
    if is_gtpu {
        put16(octets, l4 + UDP_HEADER + 2, len.checked_sub(gtpu::HEADER_LEN as u16)?)?;
    }
    // GTP-U always has its checksum, as Open vSwitch sends it.
    if be16(octets, l4 + 6)? != 0 || is_gtpu {
        put16(octets, l4 + 6, 0)?;
        let pseudo = pseudo(octets, is_v6, proto::UDP, u32::from(len) + UDP_HEADER as u32)?;
        let sum = checksum::finish(checksum::sum(&octets[l4..], pseudo));
        // Zero would say that there is none.
        put16(octets, l4 + 6, if sum == 0 { u16::MAX } else { sum })?;
    }
    Some(())
}

fn complete_gre(octets: &mut [u8], l4: usize, sequence: &mut u32, stamp: u32) -> Option<()> {
    let flags = be16(octets, l4)?;
    let word = |on: u16| if flags & on != 0 { 4 } else { 0 };
    if flags & GRE_SEQ != 0 {
        let at = l4 + gre::HEADER_LEN + word(GRE_CSUM) + word(GRE_KEY);
        *octets.get_mut(at..)?.first_chunk_mut()? = sequence.to_be_bytes();
        *sequence = sequence.wrapping_add(1);
        if be16(octets, l4 + 2)? == gre::ERSPAN3 {
            *octets.get_mut(at + 8..)?.first_chunk_mut()? = stamp.to_be_bytes();
        }
    }
    if flags & GRE_CSUM != 0 {
        put16(octets, l4 + gre::HEADER_LEN, 0)?;
        let sum = checksum::of(&octets[l4..]);
        put16(octets, l4 + gre::HEADER_LEN, sum)?;
    }
    Some(())
}

/// The key of an outer packet before it is looked at: the inner one's marks go with it.
pub(crate) fn outer_key(inner: &Key) -> Key {
    let mut key = Key::EMPTY;
    key.set_in_port(inner.in_port());
    key.set_pkt_mark(inner.pkt_mark());
    key.set_skb_priority(inner.skb_priority());
    key
}

/// A packet taken out of its tunnel.
pub(crate) struct Opened {
    /// What is known of it besides its own headers.
    pub(crate) key: Key,
    /// Octets of the outer header.
    pub(crate) header: usize,
}

/// Reads the outer header of a packet that came for tunnel port `port`. `outer` and `layers` are its own; `trusted`: its
/// checksums need not be looked at. `None`: it is not what the port takes.
pub(crate) fn open(
    kind: TunnelKind,
    port: OdpPort,
    octets: &[u8],
    (outer, layers): (&Key, &Layers),
    trusted: bool,
) -> Option<Opened> {
    let octets = octets.get(..octets.len().checked_sub(usize::from(layers.l2_pad))?)?;
    let (l3, l4) = (usize::from(layers.l3), usize::from(layers.l4));
    if layers.l3 == Layers::NONE || layers.l4 == Layers::NONE || l3 < ETHERNET {
        return None;
    }
    let is_v6 = outer.dl_type() == IPV6;
    // A key tells of any version; a tunnel takes what the EtherType says.
    if octets.get(l3)? >> 4 != if is_v6 { 6 } else { 4 } {
        return None;
    }
    // Options of the outer header are none of what tunnels take.
    if !is_v6 && (l4 - l3 != 20 || !trusted && checksum::of(octets.get(l3..l4)?) != 0) {
        return None;
    }
    let mut key = outer_key(outer);
    key.set_in_port(port);
    key.set_tun_src(outer.nw_src());
    key.set_tun_dst(outer.nw_dst());
    key.set_tun_ipv6_src(outer.ipv6_src());
    key.set_tun_ipv6_dst(outer.ipv6_dst());
    key.set_tun_tos(outer.nw_tos());
    key.set_tun_ttl(outer.nw_ttl());
    let mut opened = Opened { key, header: l4 };
    let opening = Opening { octets, l3, l4, is_v6, trusted };
    match kind {
        TunnelKind::Vxlan { gbp, gpe } => opening.vxlan(&mut opened, gbp, gpe),
        TunnelKind::Geneve => opening.geneve(&mut opened),
        TunnelKind::Gre => opening.gre(&mut opened),
        TunnelKind::Erspan => opening.erspan(&mut opened),
        TunnelKind::Gtpu => opening.gtpu(&mut opened),
    }?;
    (opened.header <= octets.len()).then_some(opened)
}

/// An outer packet being read.
struct Opening<'a> {
    octets: &'a [u8],
    l3: usize,
    l4: usize,
    is_v6: bool,
    trusted: bool,
}

fn add_flags(key: &mut Key, flags: u16) {
    key.set_tun_flags(key.tun_flags() | flags);
}

impl Opening<'_> {
    /// Reads the UDP header; what is behind it comes back.
    fn udp(&self, opened: &mut Opened) -> Option<&[u8]> {
        let head = self.octets.get(self.l4..)?;
        opened.key.set_tun_tp_src(be16(head, 0)?);
        opened.key.set_tun_tp_dst(be16(head, 2)?);
        if be16(head, 6)? != 0 {
            add_flags(&mut opened.key, tun_flag::CSUM);
            if !self.trusted {
                let pseudo = pseudo(self.octets.get(self.l3 - ETHERNET..)?, self.is_v6, proto::UDP, head.len() as u32)?;
                if checksum::finish(checksum::sum(head, pseudo)) != 0 {
                    return None;
                }
            }
        }
        opened.header = self.l4 + UDP_HEADER;
        head.get(UDP_HEADER..)
    }

    fn vxlan(&self, opened: &mut Opened, gbp: bool, gpe: bool) -> Option<()> {
        let rest = self.udp(opened)?;
        let head = vxlan::Packet::new(rest).ok()?;
        let key = &mut opened.key;
        let flags = head.flags();
        if flags & vxlan::HAS_VNI == 0 || rest[7] != 0 {
            return None;
        }
        if gbp && flags & vxlan::HAS_GBP != 0 {
            key.set_tun_gbp_id(head.policy_id());
            key.set_tun_gbp_flags(head.policy_flags());
        } else if gpe && flags & vxlan::HAS_NEXT != 0 {
            key.set_packet_type(match rest[3] {
                1 => ETHERTYPES | u32::from(IPV4),
                2 => ETHERTYPES | u32::from(IPV6),
                3 => 0,
                4 => ETHERTYPES | 0x894f,
                _ => return None,
            });
        } else if flags != vxlan::HAS_VNI || rest[1] != 0 || rest[2] != 0 || rest[3] != 0 {
            return None;
        }
        key.set_tun_id(head.vni().into());
        add_flags(key, tun_flag::KEY);
        opened.header += vxlan::HEADER_LEN;
        Some(())
    }

    fn geneve(&self, opened: &mut Opened) -> Option<()> {
        let head = geneve::Packet::new(self.udp(opened)?).ok()?;
        if head.version() != 0 || head.protocol() != gre::ETHERNET {
            return None;
        }
        let key = &mut opened.key;
        key.set_tun_id(head.vni().into());
        add_flags(key, tun_flag::KEY | if head.oam() != 0 { tun_flag::OAM } else { 0 });
        let options = head.option_octets().ok()?;
        if geneve::options(options).any(|option| option.is_err()) {
            return None;
        }
        TunTable::set_wire_options(key, options);
        opened.header += head.header_len();
        Some(())
    }

    /// Reads a GRE header; it and what is behind it come back.
    fn gre_head(&self, opened: &mut Opened) -> Option<(gre::Packet<&[u8]>, &[u8])> {
        let octets = self.octets.get(self.l4..)?;
        let head = gre::Packet::new(octets).ok().filter(gre::Packet::is_plain)?;
        let rest = octets.get(head.header_len()..)?;
        if head.has_csum() != 0 {
            if !self.trusted && checksum::of(octets) != 0 {
                return None;
            }
            add_flags(&mut opened.key, tun_flag::CSUM);
        }
        if let Some(number) = head.key() {
            opened.key.set_tun_id(number.into());
            add_flags(&mut opened.key, tun_flag::KEY);
        }
        opened.header += head.header_len();
        Some((head, rest))
    }

    fn gre(&self, opened: &mut Opened) -> Option<()> {
        let (head, _) = self.gre_head(opened)?;
        if head.protocol() != gre::ETHERNET {
            opened.key.set_packet_type(ETHERTYPES | u32::from(head.protocol()));
        }
        Some(())
    }

    fn erspan(&self, opened: &mut Opened) -> Option<()> {
        let (gre, rest) = self.gre_head(opened)?;
        let head = erspan::Packet::new(rest).ok()?;
        gre.seq()?;
        let key = &mut opened.key;
        if !matches!(gre.protocol(), gre::ERSPAN2 | gre::ERSPAN3) {
            return None;
        }
        // The version says what it is, whatever GRE calls it.
        match head.version() {
            1 => {
                key.set_tun_erspan_idx(head.word() & 0xf_ffff);
                opened.header += erspan::V1_LEN;
            }
            2 => {
                let tail = be16(rest, 10)?;
                key.set_tun_erspan_dir((tail >> 3 & 1) as u8);
                key.set_tun_erspan_hwid((tail >> 4 & 0x3f) as u8);
                opened.header += erspan::V2_LEN;
            }
            _ => return None,
        }
        key.set_tun_erspan_ver(head.version());
        key.set_tun_id(head.session().into());
        add_flags(key, tun_flag::KEY);
        Some(())
    }

    fn gtpu(&self, opened: &mut Opened) -> Option<()> {
        let rest = self.udp(opened)?;
        let head = gtpu::Packet::new(rest).ok()?;
        let key = &mut opened.key;
        key.set_tun_gtpu_flags(head.flags());
        key.set_tun_gtpu_msgtype(head.msg_type());
        key.set_tun_id(head.teid().into());
        add_flags(key, tun_flag::KEY);
        if head.msg_type() != gtpu::MSG_GPDU {
            // Signalling is for rules and controllers to see whole.
            opened.header = 0;
            return Some(());
        }
        let len = gtpu::HEADER_LEN + if head.flags() & gtpu::FLAGS_OPTIONAL != 0 { 4 } else { 0 };
        let ethertype = match rest.get(len)? >> 4 {
            4 => IPV4,
            6 => IPV6,
            _ => return None,
        };
        key.set_packet_type(ETHERTYPES | u32::from(ethertype));
        opened.header += len;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TUNNEL_SOURCES;
    use flow::Action;
    use flow::odp::TnlPush;
    use flow::odp_text::{KeyOptions, format_key, parse_actions};

    const V4: &str = "eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x0800),\
                      ipv4(src=1.1.2.88,dst=1.1.2.92,proto=PROTO,tos=0x4,ttl=64,frag=0x4000)";
    const V6: &str = "eth(dst=f8:bc:12:44:34:b6,src=aa:55:aa:55:00:00,dl_type=0x86dd),\
                      ipv6(src=2001:cafe::88,dst=2001:cafe::92,label=0,proto=PROTO,tclass=0x0,hlimit=64)";

    fn push(kind: u32, ip: &str, proto: u8, size: usize, rest: &str) -> TnlPush {
        let ip = ip.replace("PROTO", &proto.to_string());
        let text = format!("tnl_push(tnl_port(9),header(size={size},type={kind},{ip},{rest}),out_port(1))");
        match parse_actions(&text, None).expect("an action").remove(0) {
            Action::TnlPush(push) => *push,
            other => panic!("{other:?} is not tnl_push"),
        }
    }

    fn inner() -> Vec<u8> {
        let mut frame = vec![0x50, 0x54, 0, 0, 0, 0x0a, 0x50, 0x54, 0, 0, 0, 9, 0x12, 0x34];
        frame.extend(0..47);
        frame
    }

    /// Puts a packet into a tunnel and takes it out again: what is known of it then.
    fn there_and_back(kind: TunnelKind, push: &TnlPush, inner: &[u8]) -> Result<String, String> {
        let mut packet = [&push.header[..], inner].concat();
        complete(&mut packet, push.tnl_type == TYPE_GTPU, 0x8000_0000, &mut 7, TUNNEL_SOURCES, 9)
            .ok_or("not put in")?;
        let (outer, layers) = flow::extract(&packet, 3);
        let opened = open(kind, 9, &packet, (&outer, &layers), false).ok_or("not taken out")?;
        assert_eq!(packet.get(opened.header..), Some(inner));
        // A flipped bit of what a checksum covers is seen.
        let mut broken = packet.clone();
        *broken.last_mut().ok_or("empty")? ^= 1;
        let has_csum = opened.key.tun_flags() & tun_flag::CSUM != 0;
        assert_eq!(open(kind, 9, &broken, (&outer, &layers), false).is_none(), has_csum);
        let mut other = packet.clone();
        other[ETHERNET] ^= 0x20;
        assert!(open(kind, 9, &other, (&outer, &layers), true).is_none(), "of another IP version");
        // Whatever is cut off, nothing but a shorter packet or none comes out.
        for len in 0..packet.len() {
            let (outer, layers) = flow::extract(&packet[..len], 3);
            if let Some(opened) = open(kind, 9, &packet[..len], (&outer, &layers), true) {
                assert!(opened.header <= len, "{} octets of {len}", opened.header);
            }
        }
        let text = format_key(&opened.key, None, &KeyOptions::default());
        Ok(text.split("),skb_").next().unwrap_or_default().split("tunnel(").nth(1).unwrap_or_default().to_owned())
    }

    fn check(kind: TunnelKind, push: &TnlPush, inner: &[u8], expect: &str) {
        assert_eq!(there_and_back(kind, push, inner), Ok(expect.to_owned()));
    }

    #[test]
    fn packets_come_out_of_tunnels_as_they_went_in() {
        let frame = inner();
        let ends = "src=1.1.2.88,dst=1.1.2.92,tos=0x4,ttl=64";
        let plain = TunnelKind::Vxlan { gbp: false, gpe: false };
        let vxlan = push(4, V4, 17, 50, "udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b)");
        check(plain, &vxlan, &frame, &format!("tun_id=0x7b,{ends},tp_src=46884,tp_dst=4789,flags(key)"));
        let group = push(4, V4, 17, 50, "udp(src=0,dst=4789,csum=0xffff),vxlan(flags=0x88000512,vni=0x7b)");
        let gbp = TunnelKind::Vxlan { gbp: true, gpe: false };
        let shown = "tp_src=46884,tp_dst=4789,vxlan(gbp(id=1298,flags=0)),flags(csum|key)";
        check(gbp, &group, &frame, &format!("tun_id=0x7b,{ends},{shown}"));
        assert_eq!(there_and_back(plain, &group, &frame), Err("not taken out".to_owned()));
        let ends6 = "ipv6_src=2001:cafe::88,ipv6_dst=2001:cafe::92,ttl=64";
        let geneve = "udp(src=0,dst=6081,csum=0xffff),\
                      geneve(oam,vni=0x7b,options({class=0xffff,type=0x80,len=4,0xa}))";
        let geneve = push(5, V6, 17, 78, geneve);
        let options = "geneve({class=0xffff,type=0x80,len=4,0xa})";
        let shown = format!("tun_id=0x7b,{ends6},tp_src=46884,tp_dst=6081,{options},flags(oam|csum|key)");
        check(TunnelKind::Geneve, &geneve, &frame, &shown);
        // An option that is longer than all options together.
        let mut cut = geneve;
        cut.header[73] = 2;
        assert_eq!(there_and_back(TunnelKind::Geneve, &cut, &frame), Err("not taken out".to_owned()));
        let gre = push(3, V4, 47, 50, "gre((flags=0xb000,proto=0x6558),csum=0x0,key=0x1c8,seq=0x0)");
        check(TunnelKind::Gre, &gre, &frame, &format!("tun_id=0x1c8,{ends},flags(csum|key)"));
        let erspan = push(107, V4, 47, 50, "erspan(ver=1,sid=0x7,idx=0x3)");
        check(TunnelKind::Erspan, &erspan, &frame, &format!("tun_id=0x7,{ends},erspan(ver=1,idx=0x3),flags(key)"));
        let erspan = push(108, V6, 47, 74, "erspan(ver=2,sid=0x7,dir=1,hwid=0x4)");
        let shown = format!("tun_id=0x7,{ends6},erspan(ver=2,dir=1,hwid=0x4),flags(key)");
        check(TunnelKind::Erspan, &erspan, &frame, &shown);
        // The header's own version counts, and 3 is none.
        let mut other = erspan;
        other.header[56..58].copy_from_slice(&gre::ERSPAN2.to_be_bytes());
        check(TunnelKind::Erspan, &other, &frame, &shown);
        other.header[62] = 0x30;
        assert_eq!(there_and_back(TunnelKind::Erspan, &other, &frame), Err("not taken out".to_owned()));
        let gtpu = push(110, V4, 17, 50, "udp(src=0,dst=2152,csum=0x0),gtpu(flags=0x30,msgtype=255,teid=0x7b)");
        let shown = format!("tun_id=0x7b,{ends},tp_src=46884,tp_dst=2152,gtpu(flags=0x30,msgtype=255),flags(csum|key)");
        check(TunnelKind::Gtpu, &gtpu, &[0x45; 40], &shown);
        assert_eq!(there_and_back(TunnelKind::Geneve, &vxlan, &frame), Err("not taken out".to_owned()));
    }

    #[test]
    fn too_long_a_packet_is_refused() {
        let vxlan = push(4, V4, 17, 50, "udp(src=0,dst=4789,csum=0x0),vxlan(flags=0x8000000,vni=0x7b)");
        let mut packet = vxlan.header.clone();
        packet.resize(66_000, 0);
        assert_eq!(complete(&mut packet, false, 0, &mut 0, TUNNEL_SOURCES, 9), None);
    }
}
