//! Records: what a sampled packet is told as, and what is counted of its flow.

use flow::Key;

use super::IpfixConfig;
use super::template::FIRST;

pub(super) const ETH_IPV4: u16 = 0x0800;
pub(super) const ETH_IPV6: u16 = 0x86dd;
const ETHERNET_LEN: u8 = 14;
const TAG_LEN: u8 = 4;
/// A tag control word's bit that says that there is a tag.
const TAG_PRESENT: u16 = 1 << 12;
const BROADCAST: u64 = 0xffff_ffff_ffff;
/// The bit of an Ethernet address (48 bits) that marks groups.
const GROUP: u64 = 1 << 40;

/// A port as records tell of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interface<'a> {
    /// The host's number, 0 for none.
    pub ifindex: u32,
    /// Name.
    pub name: &'a str,
}

/// A tunnel as records tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// VMware's number of the kind.
    kind: u8,
    /// Octets of its key.
    key_len: u8,
    /// IP's protocol.
    protocol: u8,
}

impl Tunnel {
    /// A tunnel of an interface's type; `None` for types that are not told of.
    pub fn of(kind: &str) -> Option<Tunnel> {
        const UDP: u8 = 17;
        let (kind, key_len, protocol) = match kind {
            "vxlan" => (1, 3, UDP),
            "gre" => (2, 4, 47),
            "lisp" => (3, 3, UDP),
            "stt" => (4, 8, 6),
            "geneve" => (7, 3, UDP),
            _ => return None,
        };
        Some(Tunnel { kind, key_len, protocol })
    }
}

/// A sampled packet.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Its key as it was when sampled.
    pub key: &'a Key,
    /// Octets from its Ethernet header on.
    pub len: usize,
    /// Observation domain.
    pub domain: u32,
    /// Observation point.
    pub point: u32,
    /// Where it came in.
    pub input: Interface<'a>,
    /// Where it goes out, for what is sampled there.
    pub output: Option<Interface<'a>>,
    /// The tunnel it came by.
    pub tunnel: Option<Tunnel>,
    /// It goes nowhere.
    pub drops: bool,
}

/// Layer 3 of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Other,
    V4,
    V6,
}

/// Layer 4 of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Other,
    Tcp,
    Udp,
    Sctp,
    Icmp,
}

const NETWORKS: [Network; 3] = [Network::Other, Network::V4, Network::V6];
const TRANSPORTS: [Transport; 5] = [Transport::Other, Transport::Tcp, Transport::Udp, Transport::Sctp, Transport::Icmp];

/// Layer 4 of a packet; `None` for what is not told of.
pub(super) fn transport(key: &Key) -> Option<Transport> {
    Some(match (key.dl_type(), key.nw_proto()) {
        (ETH_IPV4, 1) | (ETH_IPV6, 58) => Transport::Icmp,
        (ETH_IPV4 | ETH_IPV6, 6) => Transport::Tcp,
        (ETH_IPV4 | ETH_IPV6, 17) => Transport::Udp,
        (ETH_IPV4 | ETH_IPV6, 132) => Transport::Sctp,
        _ => return None,
    })
}

/// What decides upon a record's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub vlan: bool,
    pub network: Network,
    pub transport: Transport,
    pub tunnel: bool,
    pub egress: bool,
}

impl Shape {
    pub fn of(sample: &Sample<'_>) -> Shape {
        let key = sample.key;
        Shape {
            vlan: key.vlan_tci() & TAG_PRESENT != 0,
            network: match key.dl_type() {
                ETH_IPV4 => Network::V4,
                ETH_IPV6 => Network::V6,
                _ => Network::Other,
            },
            transport: transport(key).unwrap_or(Transport::Other),
            tunnel: sample.tunnel.is_some(),
            egress: sample.output.is_some(),
        }
    }

    /// All that there can be, in the order of their templates.
    pub fn all() -> impl Iterator<Item = Shape> {
        let mut all = Vec::new();
        for vlan in [false, true] {
            for network in NETWORKS {
                for transport in TRANSPORTS {
                    if network == Network::Other && transport != Transport::Other {
                        continue;
                    }
                    for (tunnel, egress) in [(false, false), (false, true), (true, false), (true, true)] {
                        all.push(Shape { vlan, network, transport, tunnel, egress });
                    }
                }
            }
        }
        all.into_iter()
    }

    pub fn template_id(self) -> u16 {
        let layers = (u16::from(self.vlan) * 3 + self.network as u16) * 5 + self.transport as u16;
        FIRST + (layers * 2 + u16::from(self.tunnel)) * 2 + u16::from(self.egress)
    }
}

/// The observation domain (32 bits) and the elements that tell flows apart.
pub(super) fn key(shape: &Shape, sample: &Sample<'_>, config: &IpfixConfig) -> Vec<u8> {
    let key = sample.key;
    let mut out = Vec::with_capacity(96);
    out.extend(sample.domain.to_be_bytes());
    out.extend(sample.point.to_be_bytes());
    out.push(shape.egress.into());
    out.extend(&key.dl_src().to_be_bytes()[2..]);
    out.extend(&key.dl_dst().to_be_bytes()[2..]);
    out.extend(key.dl_type().to_be_bytes());
    out.push(header_len(key));
    interface(&mut out, &sample.input);
    if let Some(output) = &sample.output {
        interface(&mut out, output);
    }
    if shape.vlan {
        let (vid, pcp) = (key.vlan_tci() & 0xfff, key.vlan_tci() >> 13);
        out.extend(vid.to_be_bytes());
        out.extend(vid.to_be_bytes());
        out.push(pcp as u8);
    }
    if shape.network != Network::Other {
        let (version, tos) = (if shape.network == Network::V4 { 4 } else { 6 }, key.nw_tos());
        out.extend([version, key.nw_ttl(), key.nw_proto(), tos >> 2, tos >> 5, tos]);
    }
    match shape.network {
        Network::V4 => {
            out.extend(key.nw_src().to_be_bytes());
            out.extend(key.nw_dst().to_be_bytes());
        }
        Network::V6 => {
            out.extend(key.ipv6_src().to_be_bytes());
            out.extend(key.ipv6_dst().to_be_bytes());
            out.extend(key.ipv6_label().to_be_bytes());
        }
        Network::Other => {}
    }
    match shape.transport {
        Transport::Tcp | Transport::Udp | Transport::Sctp => {
            out.extend(key.tp_src().to_be_bytes());
            out.extend(key.tp_dst().to_be_bytes());
        }
        // Type and code, where others have their ports.
        Transport::Icmp => out.extend([key.tp_src() as u8, key.tp_dst() as u8]),
        Transport::Other => {}
    }
    if let Some(tunnel) = &sample.tunnel {
        out.extend(key.tun_src().to_be_bytes());
        out.extend(key.tun_dst().to_be_bytes());
        out.push(tunnel.protocol);
        out.extend(key.tun_tp_src().to_be_bytes());
        out.extend(key.tun_tp_dst().to_be_bytes());
        out.extend([tunnel.kind, tunnel.key_len]);
        out.extend(&key.tun_id().to_be_bytes()[8 - usize::from(tunnel.key_len)..]);
    }
    if !config.virtual_obs_id.is_empty() {
        string(&mut out, &config.virtual_obs_id);
    }
    out
}

fn header_len(key: &Key) -> u8 {
    ETHERNET_LEN + if key.vlan_tci() & TAG_PRESENT != 0 { TAG_LEN } else { 0 }
}

/// Number, type (which is not told), name and description (none).
fn interface(out: &mut Vec<u8>, interface: &Interface<'_>) {
    out.extend(interface.ifindex.to_be_bytes());
    out.extend([0; 4]);
    string(out, interface.name);
    out.push(0);
}

/// Octets behind their number, at most 254 (RFC 7011 §7).
fn string(out: &mut Vec<u8>, text: &str) {
    let shown = &text.as_bytes()[..text.len().min(254)];
    out.push(shown.len() as u8);
    out.extend(shown);
}

/// What one packet counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    layer2: u64,
    /// Octets from the IP header on, 0 for other packets.
    octets: u64,
    drops: bool,
    /// It leaves for a group.
    multicast_out: bool,
}

impl Counts {
    pub fn of(sample: &Sample<'_>) -> Counts {
        let key = sample.key;
        let layer2 = sample.len as u64;
        let is_ip = matches!(key.dl_type(), ETH_IPV4 | ETH_IPV6);
        Counts {
            layer2,
            octets: if is_ip { layer2.saturating_sub(header_len(key).into()) } else { 0 },
            drops: sample.drops,
            multicast_out: sample.output.is_some() && key.dl_dst() & GROUP != 0 && key.dl_dst() != BROADCAST,
        }
    }
}

/// A flow's packets since its record began.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub start_ms: i64,
    pub end_ms: i64,
    sums: Sums,
    /// What the exporter had sampled altogether, this flow's last packet included.
    totals: Totals,
    minimum: u64,
    maximum: u64,
}

impl Gathered {
    pub fn new(counts: &Counts, totals: &Totals, now_ms: i64) -> Gathered {
        let mut gathered = Gathered { start_ms: now_ms, minimum: u64::MAX, ..Gathered::default() };
        gathered.add(counts, totals, now_ms);
        gathered
    }

    pub fn add(&mut self, counts: &Counts, totals: &Totals, now_ms: i64) {
        self.end_ms = now_ms;
        self.sums.add(counts);
        self.totals = *totals;
        self.minimum = self.minimum.min(counts.octets);
        self.maximum = self.maximum.max(counts.octets);
    }
}

/// Sums that records tell both since they began and since the exporter began.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    dropped_packets: u64,
    packets: u64,
    multicast_packets: u64,
    layer2: u64,
    dropped_octets: u64,
    octets: u64,
    squares: u64,
    multicast_octets: u64,
}

impl Sums {
    fn add(&mut self, counts: &Counts) {
        let if_so = |is_so: bool, n: u64| if is_so { n } else { 0 };
        self.packets += 1;
        self.layer2 += counts.layer2;
        self.octets += counts.octets;
        self.squares = self.squares.wrapping_add(counts.octets.wrapping_mul(counts.octets));
        self.dropped_packets += u64::from(counts.drops);
        self.dropped_octets += if_so(counts.drops, counts.octets);
        self.multicast_packets += u64::from(counts.multicast_out);
        self.multicast_octets += if_so(counts.multicast_out, counts.octets);
    }
}

/// What an exporter has sampled altogether.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    sums: Sums,
    /// Unicast, multicast, broadcast.
    ingress: [u64; 3],
    /// Unicast, multicast (which is told as [`Sums::multicast_packets`]), broadcast.
    egress: [u64; 3],
    /// By TCP's flags: FIN, SYN, RST, PSH, ACK, URG, as their bits stand.
    tcp_flags: [u64; 6],
}

impl Totals {
    pub fn add(&mut self, sample: &Sample<'_>, counts: &Counts) {
        self.sums.add(counts);
        let kind = match sample.key.dl_dst() {
            BROADCAST => 2,
            group if group & GROUP != 0 => 1,
            _ => 0,
        };
        let way = if sample.output.is_some() { &mut self.egress } else { &mut self.ingress };
        way[kind] += 1;
        if transport(sample.key) == Some(Transport::Tcp) {
            let flags = sample.key.tcp_flags();
            for (bit, total) in self.tcp_flags.iter_mut().enumerate() {
                *total += u64::from(flags >> bit & 1);
            }
        }
    }
}

/// Adds the elements that are counted; room for the two times comes first.
pub(super) fn put_counts(out: &mut Vec<u8>, shape: Shape, gathered: &Gathered, why: u8) {
    let totals = &gathered.totals;
    let (delta, total) = (&gathered.sums, &totals.sums);
    let put = |out: &mut Vec<u8>, numbers: &[u64]| numbers.iter().for_each(|n| out.extend(n.to_be_bytes()));
    out.extend([0; 8]);
    put(out, &[delta.dropped_packets, total.dropped_packets, delta.packets, total.packets]);
    put(out, &totals.ingress);
    put(out, &[totals.egress[0], totals.egress[2]]);
    put(out, &[delta.multicast_packets, total.multicast_packets, delta.layer2, total.layer2]);
    out.push(why);
    if shape.network == Network::Other {
        return;
    }
    put(out, &[delta.dropped_octets, total.dropped_octets, delta.octets, total.octets]);
    put(out, &[delta.squares, total.squares, gathered.minimum, gathered.maximum]);
    put(out, &[delta.multicast_octets, total.multicast_octets]);
    if shape.transport == Transport::Tcp {
        let [fin, syn, rst, psh, ack, urg] = totals.tcp_flags;
        put(out, &[ack, fin, psh, rst, syn, urg]);
    }
}
