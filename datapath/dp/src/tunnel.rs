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

use crate::notice::Notice;

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

fn be32(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*octets.get(at..)?.first_chunk()?))
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
/// checksums need not be looked at. `None`: it is not what the port takes. What people should know of it goes to `said`.
pub(crate) fn open(
    kind: TunnelKind,
    port: OdpPort,
    octets: &[u8],
    (outer, layers): (&Key, &Layers),
    trusted: bool,
    said: &mut Option<Notice>,
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
    if !is_v6 && !trusted && checksum::of(octets.get(l3..l4)?) != 0 {
        *said = Some(Notice::IpChecksum);
        return None;
    }
    // Options of the outer header are none of what tunnels take.
    if !is_v6 && l4 - l3 != 20 {
        *said = Some(Notice::IpOptions(l4 - l3));
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
        TunnelKind::Vxlan { gbp, .. } => opening.vxlan(&mut opened, gbp, said),
        TunnelKind::Geneve => opening.geneve(&mut opened, said),
        TunnelKind::Gre => opening.gre(&mut opened),
        TunnelKind::Erspan => opening.erspan(&mut opened, said),
        TunnelKind::Gtpu => opening.gtpu(&mut opened, said),
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

    /// The generic protocol extension is taken by ports without it as well, as in Open vSwitch.
    fn vxlan(&self, opened: &mut Opened, gbp: bool, said: &mut Option<Notice>) -> Option<()> {
        let rest = self.udp(opened)?;
        let head = vxlan::Packet::new(rest).ok()?;
        let key = &mut opened.key;
        let (mut word, network) = (be32(rest, 0)?, be32(rest, 4)?);
        if gbp && head.flags() & vxlan::HAS_GBP != 0 {
            key.set_tun_gbp_id(head.policy_id());
            key.set_tun_gbp_flags(head.policy_flags());
            word &= !vxlan::GBP_WORD;
        } else if head.flags() & vxlan::HAS_NEXT != 0 {
            if head.flags() & vxlan::OAM != 0 {
                return None;
            }
            key.set_packet_type(match rest[3] {
                1 => ETHERTYPES | u32::from(IPV4),
                2 => ETHERTYPES | u32::from(IPV6),
                3 => 0,
                4 => ETHERTYPES | 0x894f,
                _ => return None,
            });
            word &= !vxlan::NEXT_WORD;
        }
        if word != u32::from(vxlan::HAS_VNI) << 24 || network & 0xff != 0 {
            *said = Some(Notice::VxlanFlags(word, network));
            return None;
        }
        key.set_tun_id(head.vni().into());
        add_flags(key, tun_flag::KEY);
        opened.header += vxlan::HEADER_LEN;
        Some(())
    }

    fn geneve(&self, opened: &mut Opened, said: &mut Option<Notice>) -> Option<()> {
        let rest = self.udp(opened)?;
        let Ok(head) = geneve::Packet::new(rest) else {
            *said = Some(Notice::GeneveHeader(UDP_HEADER + geneve::HEADER_LEN, UDP_HEADER + rest.len()));
            return None;
        };
        let Ok(options) = head.option_octets() else {
            let headers = opened.header + head.header_len();
            *said = Some(Notice::GeneveOptions { headers, packet: self.octets.len() });
            return None;
        };
        if head.version() != 0 {
            *said = Some(Notice::GeneveVersion(head.version()));
            return None;
        }
        if head.protocol() != gre::ETHERNET {
            *said = Some(Notice::GeneveProtocol(head.protocol()));
            return None;
        }
        let key = &mut opened.key;
        key.set_tun_id(head.vni().into());
        add_flags(key, tun_flag::KEY | if head.oam() != 0 { tun_flag::OAM } else { 0 });
        // What is wrong with them is told by who looks for fields in them.
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

    fn erspan(&self, opened: &mut Opened, said: &mut Option<Notice>) -> Option<()> {
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
            version => {
                *said = Some(Notice::ErspanVersion(version));
                return None;
            }
        }
        key.set_tun_erspan_ver(head.version());
        key.set_tun_id(head.session().into());
        add_flags(key, tun_flag::KEY);
        Some(())
    }

    /// What is no user's packet goes on without an identifier, for rules and controllers to see: signalling whole, anything
    /// else as a frame.
    fn gtpu(&self, opened: &mut Opened, said: &mut Option<Notice>) -> Option<()> {
        let rest = self.udp(opened)?;
        let head = gtpu::Packet::new(rest).ok()?;
        let key = &mut opened.key;
        key.set_tun_gtpu_flags(head.flags());
        key.set_tun_gtpu_msgtype(head.msg_type());
        if head.msg_type() != gtpu::MSG_GPDU {
            *said = Some(Notice::GtpuMessage(head.msg_type()));
            opened.header = 0;
            return Some(());
        }
        let len = gtpu::payload_at(rest);
        opened.header += len.unwrap_or(gtpu::HEADER_LEN);
        let ethertype = match len.and_then(|len| rest.get(len)).map(|octet| octet >> 4) {
            Some(4) => IPV4,
            Some(6) => IPV6,
            _ => {
                *said = Some(Notice::GtpuNotIp);
                return Some(());
            }
        };
        key.set_tun_id(head.teid().into());
        add_flags(key, tun_flag::KEY);
        key.set_packet_type(ETHERTYPES | u32::from(ethertype));
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
        let opened = open(kind, 9, &packet, (&outer, &layers), false, &mut None).ok_or("not taken out")?;
        assert_eq!(packet.get(opened.header..), Some(inner));
        // A flipped bit of what a checksum covers is seen.
        let mut broken = packet.clone();
        *broken.last_mut().ok_or("empty")? ^= 1;
        let has_csum = opened.key.tun_flags() & tun_flag::CSUM != 0;
        assert_eq!(open(kind, 9, &broken, (&outer, &layers), false, &mut None).is_none(), has_csum);
        let mut other = packet.clone();
        other[ETHERNET] ^= 0x20;
        assert!(open(kind, 9, &other, (&outer, &layers), true, &mut None).is_none(), "of another IP version");
        // Whatever is cut off, nothing but a shorter packet or none comes out.
        for len in 0..packet.len() {
            let (outer, layers) = flow::extract(&packet[..len], 3);
            if let Some(opened) = open(kind, 9, &packet[..len], (&outer, &layers), true, &mut None) {
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
        // An option that is longer than all options together is for who reads them.
        let mut cut = geneve;
        cut.header[73] = 2;
        assert!(there_and_back(TunnelKind::Geneve, &cut, &frame).is_ok());
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

    /// A packet with an outer header of IPv4 and UDP to `port`, or of GRE without one, and `rest`.
    fn outer(port: Option<u16>, options: &[u8], rest: &[u8]) -> Vec<u8> {
        let udp = port.map(|port| [50_000, port, 8 + rest.len() as u16, 0].map(u16::to_be_bytes).concat());
        let udp = udp.unwrap_or_default();
        let mut ip = vec![0x45 + options.len() as u8 / 4, 0];
        ip.extend((20 + options.len() as u16 + (udp.len() + rest.len()) as u16).to_be_bytes());
        ip.extend([0, 1, 0, 0, 64, if port.is_some() { proto::UDP } else { 47 }, 0, 0, 1, 1, 2, 92, 1, 1, 2, 88]);
        ip.extend(options);
        let sum = checksum::of(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let ethernet = [0xaa, 0x55, 0xaa, 0x55, 0, 0, 0xf8, 0xbc, 0x12, 0x44, 0x34, 0xb6, 8, 0];
        [&ethernet[..], &ip, &udp, rest].concat()
    }

    /// What is said of a packet, and whether it comes out of the tunnel: octets of its headers, and its packet type.
    fn heard(kind: TunnelKind, packet: &[u8]) -> (Option<(usize, u32)>, String) {
        let (outer, layers) = flow::extract(packet, 3);
        let mut said = None;
        let opened = open(kind, 9, packet, (&outer, &layers), false, &mut said);
        (opened.map(|o| (o.header, o.key.packet_type())), said.map(|notice| notice.to_string()).unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_is_said_as_open_vswitch_does() {
        let frame = inner();
        let refused = |text: &str| (None, text.to_owned());
        let plain = TunnelKind::Vxlan { gbp: false, gpe: false };
        let gbp = TunnelKind::Vxlan { gbp: true, gpe: false };
        let vxlan = |kind, word: u32, network: u32| {
            let head = [word, network].map(u32::to_be_bytes).concat();
            heard(kind, &outer(Some(4789), &[], &[&head[..], &frame].concat()))
        };
        let taken = |packet_type| (Some((50, packet_type)), String::new());
        assert_eq!(vxlan(plain, 0x0800_0000, 0x7b00), taken(0));
        assert_eq!(vxlan(plain, 0, 0x7b00), refused("invalid vxlan flags=0 vni=0x7b00"));
        assert_eq!(vxlan(plain, 0x0800_0000, 0x7b01), refused("invalid vxlan flags=0x8000000 vni=0x7b01"));
        assert_eq!(vxlan(plain, 0x8800_0512, 0x7b00), refused("invalid vxlan flags=0x88000512 vni=0x7b00"));
        assert_eq!(vxlan(gbp, 0x8800_0512, 0x7b00), taken(0));
        assert_eq!(vxlan(gbp, 0x0800_0512, 0x7b00), refused("invalid vxlan flags=0x8000512 vni=0x7b00"));
        // The generic protocol extension's own bits are left out of what is told; operations are nobody's here.
        assert_eq!(vxlan(plain, 0x3c00_0003, 0x7b00), taken(0));
        assert_eq!(vxlan(plain, 0x0c00_0002, 0x7b00), taken(0x1_86dd));
        assert_eq!(vxlan(plain, 0x3e00_ff03, 0x7b01), refused("invalid vxlan flags=0xa00ff00 vni=0x7b01"));
        assert_eq!(vxlan(plain, 0x0400_0003, 0x7b00), refused("invalid vxlan flags=0 vni=0x7b00"));
        assert_eq!(vxlan(plain, 0x0c00_0009, 0x7b00), refused(""));
        assert_eq!(vxlan(plain, 0x0d00_0003, 0x7b00), refused(""));

        let geneve = |head: &[u8]| heard(TunnelKind::Geneve, &outer(Some(6081), &[], &[head, &frame[..56]].concat()));
        assert_eq!(geneve(&[0x40, 0, 8, 0, 0, 0, 0x7b, 0]), refused("unknown geneve version: 1"));
        assert_eq!(geneve(&[0, 0, 8, 0, 0, 0, 0x7b, 0]), refused("unknown geneve encapsulated protocol: 0x800"));
        let long = "geneve packet too small: header len=302 packet size=106";
        assert_eq!(geneve(&[0x7f, 0, 8, 0, 0, 0, 0x7b, 0]), refused(long));
        let short = heard(TunnelKind::Geneve, &outer(Some(6081), &[], &[0, 0, 0x65]));
        assert_eq!(short, refused("geneve packet too small: min header=16 packet size=11"));

        let mut sound = outer(Some(6081), &[], &[&[0, 0, 0x65, 0x58, 0, 0, 0x7b, 0], &frame[..]].concat());
        assert_eq!(heard(TunnelKind::Geneve, &sound), taken(0));
        sound[ETHERNET + 10] ^= 1;
        assert_eq!(heard(TunnelKind::Geneve, &sound), refused("ip packet has invalid checksum"));
        let odd = outer(Some(6081), &[1; 4], &[0, 0, 0x65, 0x58, 0, 0, 0x7b, 0]);
        assert_eq!(heard(TunnelKind::Geneve, &odd), refused("ip options not supported on tunnel packets (24 bytes)"));

        let erspan = [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x30, 5, 0, 7, 0, 0, 0, 3], &frame[..]].concat();
        assert_eq!(heard(TunnelKind::Erspan, &outer(None, &[], &erspan)), refused("ERSPAN version error 3"));

        let gtpu = |head: &[u8]| heard(TunnelKind::Gtpu, &outer(Some(2152), &[], head));
        let signalling = (Some((0, 0)), "Receive non-GPDU msgtype: 1".to_owned());
        assert_eq!(gtpu(&[0x30, 1, 0, 0, 0, 0, 0, 0x7b, 0, 0, 0, 0]), signalling);
        let odd = (Some((50, 0)), "GTP-U: Receive non-IP packet.".to_owned());
        assert_eq!(gtpu(&[0x30, 255, 0, 0, 0, 0, 0, 0x7b, 0x55, 0x55]), odd);
        assert_eq!(gtpu(&[0x30, 255, 0, 0, 0, 0, 0, 0x7b]), odd);
        assert_eq!(gtpu(&[0x30, 255, 0, 0, 0, 0, 0, 0x7b, 0x45, 0]), taken(0x1_0800));
        // A number alone, no extension, a container of a PDU session, that and another; one of no length, one cut short.
        let extended = |behind: &[u8]| gtpu(&[&[0x34, 255, 0, 0, 0, 0, 0, 0x7b, 0, 0, 0], behind].concat());
        let taken_behind = |octets: usize| (Some((50 + octets, 0x1_0800)), String::new());
        assert_eq!(gtpu(&[0x32, 255, 0, 0, 0, 0, 0, 0x7b, 0, 1, 0, 0, 0x45, 0]), taken_behind(4));
        assert_eq!(extended(&[0, 0x45, 0]), taken_behind(4));
        assert_eq!(extended(&[0x85, 1, 0, 9, 0, 0x45, 0]), taken_behind(8));
        assert_eq!(extended(&[0x85, 1, 0, 9, 0xc0, 2, 0, 0, 0, 0, 0, 0, 0, 0x45, 0]), taken_behind(16));
        assert_eq!(extended(&[0x85, 0, 0, 9, 0, 0x45, 0]), odd);
        assert_eq!(extended(&[0x85, 2, 0, 9, 0, 0x45, 0]), odd);
    }
}
