//! Fields written into packets, checksums kept right: whole ones, and those that only cover a pseudo header yet.
//!
//! The packet's key, already changed, says what the fields that the action names shall be; others stay, which a key may
//! not know of headers that are not as they should be. What differs is written, and the checksums that
//! cover it are updated by the difference (RFC 1624). A checksum still to be completed holds the pseudo header's sum, not
//! its complement; ports are then none of its business.

use flow::odp::{Set, SetGroup};
use flow::{Key, Layers, nw_frag};
use packet::{Offload, checksum, sctp};

use crate::ct::Tuple;
use crate::edit::{Edited, Unfit};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const UDPLITE: u8 = 136;

/// First word that is not of the tunnel.
const TUNNEL_WORDS: usize = 42;

/// The tunnel fields that a packet came with.
///
/// `set(tunnel(…))` says how the packet is to leave, which the key holds from then on; whoever is asked about the packet
/// afterwards is to know how it came, as with Linux's own datapath.
#[derive(Clone, Debug, Default)]
pub(crate) enum Came {
    /// The key still has them.
    #[default]
    Kept,
    /// By no tunnel.
    Plainly,
    /// The key's first words as they were.
    By(Box<[u64; TUNNEL_WORDS]>),
}

impl Came {
    /// Keeps a key's, before an action writes others.
    pub(crate) fn keep(&mut self, key: &Key) {
        if let (Came::Kept, Some((words, _))) = (&self, key.0.split_first_chunk()) {
            *self = if *words == [0; TUNNEL_WORDS] { Came::Plainly } else { Came::By(Box::new(*words)) };
        }
    }

    /// Puts them back into the key.
    pub(crate) fn restore(self, key: &mut Key) {
        match self {
            Came::Kept => {}
            Came::Plainly => key.0[..TUNNEL_WORDS].fill(0),
            Came::By(words) => key.0[..TUNNEL_WORDS].copy_from_slice(&words[..]),
        }
    }
}

/// All of every field.
const ALL: Key = Key([u64::MAX; flow::WORDS]);

/// The bits that an action names.
pub(crate) fn mask_of(set: &Set) -> Key {
    let mut mask = Key::EMPTY;
    for word in &set.words {
        if let Some(at) = mask.0.get_mut(usize::from(word.word)) {
            *at |= word.mask;
        }
    }
    mask
}

/// Changes the key as the action says; the tunnel's part is replaced as a whole.
pub(crate) fn change_key(key: &mut Key, set: &Set) {
    if matches!(set.group, SetGroup::Inert(_)) {
        return;
    }
    if let Some(tunnel) = &set.tunnel {
        key.0[..TUNNEL_WORDS].copy_from_slice(&tunnel.0[..TUNNEL_WORDS]);
    }
    for word in &set.words {
        if let Some(at) = key.0.get_mut(usize::from(word.word)) {
            *at = (*at & !word.mask) | (word.value & word.mask);
        }
    }
}

/// Whether a group lives in the packet, not beside it.
pub(crate) fn is_header(group: SetGroup) -> bool {
    !matches!(group, SetGroup::SkbPriority | SetGroup::SkbMark | SetGroup::Tunnel | SetGroup::Inert(_))
}

/// Writes one header of a packet as its key has it.
pub(crate) fn write(octets: &mut [u8], key: &Key, layers: &Layers, offload: &Offload, group: SetGroup) -> Edited {
    write_masked(octets, key, &ALL, layers, offload, group)
}

/// Writes what `mask` has of one header.
pub(crate) fn write_masked(
    octets: &mut [u8],
    key: &Key,
    mask: &Key,
    layers: &Layers,
    offload: &Offload,
    group: SetGroup,
) -> Edited {
    let mut header = Header { octets, key, mask, layers, offload };
    match group {
        SetGroup::SkbPriority | SetGroup::SkbMark | SetGroup::Tunnel | SetGroup::Inert(_) => Some(()),
        SetGroup::Eth => header.ethernet(),
        SetGroup::Mpls => header.mpls(),
        SetGroup::Ipv4 => header.ipv4(),
        SetGroup::Ipv6 => header.ipv6(),
        SetGroup::Arp => header.arp(),
        SetGroup::Tcp => header.ports(16),
        SetGroup::Udp => header.ports(6),
        SetGroup::Sctp => header.sctp(),
        SetGroup::Icmp | SetGroup::Icmpv6 => header.icmp(),
        SetGroup::Nd => header.nd(),
        SetGroup::NdExtensions => header.nd_extensions(),
        SetGroup::Nsh => header.nsh(),
    }
    .ok_or(Unfit)
}

/// Gives the packet quoted in an ICMP error other addresses and ports, and the error a right checksum.
///
/// `key` and `layers` are the error's.
pub(crate) fn write_quoted(octets: &mut [u8], key: &Key, layers: &Layers, from: &Tuple, to: &Tuple) -> Edited {
    let l4 = usize::from(layers.l4);
    let end = octets.len().checked_sub(usize::from(layers.l2_pad)).ok_or(Unfit)?;
    let error = octets.get_mut(l4..end).filter(|e| e.len() > 28).ok_or(Unfit)?;
    quoted(&mut error[8..], from, to).ok_or(Unfit)?;
    error[2..4].fill(0);
    let pseudo = match to.is_v6 {
        true => checksum::pseudo_v6(key.ipv6_src(), key.ipv6_dst(), ICMPV6, error.len() as u32),
        false => 0,
    };
    let csum = checksum::finish(checksum::sum(error, pseudo)).to_be_bytes();
    error[2..4].copy_from_slice(&csum);
    Ok(())
}

fn quoted(packet: &mut [u8], from: &Tuple, to: &Tuple) -> Option<()> {
    let (addresses, l4) = if to.is_v6 { (8, 40) } else { (12, usize::from(*packet.first()? & 0x0f) * 4) };
    let octets = |tuple: &Tuple| -> Vec<u8> {
        match tuple.is_v6 {
            true => [tuple.src.to_be_bytes(), tuple.dst.to_be_bytes()].concat(),
            false => [(tuple.src as u32).to_be_bytes(), (tuple.dst as u32).to_be_bytes()].concat(),
        }
    };
    let (old, new) = (octets(from), octets(to));
    packet.get_mut(addresses..addresses + new.len())?.copy_from_slice(&new);
    if !to.is_v6 {
        update(packet, 10, &old, &new)?;
    }
    let csum_offset = match to.proto {
        TCP => 16,
        UDP => 6,
        _ => return Some(()),
    };
    let ports = |tuple: &Tuple| [tuple.sport.to_be_bytes(), tuple.dport.to_be_bytes()].concat();
    packet.get_mut(l4..l4 + 4)?.copy_from_slice(&ports(to));
    // What is quoted may end before the checksum.
    let at = l4 + csum_offset;
    if be16(packet, at).is_some_and(|csum| to.proto == TCP || csum != 0) {
        update(packet, at, &[old, ports(from)].concat(), &[new, ports(to)].concat())?;
    }
    Some(())
}

struct Header<'a> {
    octets: &'a mut [u8],
    key: &'a Key,
    mask: &'a Key,
    layers: &'a Layers,
    offload: &'a Offload,
}

fn mac(address: u64) -> [u8; 6] {
    let b = address.to_be_bytes();
    [b[2], b[3], b[4], b[5], b[6], b[7]]
}

/// Source and destination port.
fn ports(key: &Key) -> [u8; 4] {
    let ([a, b], [c, d]) = (key.tp_src().to_be_bytes(), key.tp_dst().to_be_bytes());
    [a, b, c, d]
}

fn be16(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*octets.get(at)?, *octets.get(at + 1)?]))
}

/// Writes the bits of `new` that `mask` has at `at`; what was there and what is, if they differ.
fn replace<const N: usize>(octets: &mut [u8], at: usize, new: [u8; N], mask: [u8; N]) -> Option<Replaced<N>> {
    let place = octets.get_mut(at..at.checked_add(N)?)?;
    let mut old = [0; N];
    old.copy_from_slice(place);
    for ((octet, new), mask) in place.iter_mut().zip(new).zip(mask) {
        *octet = *octet & !mask | new & mask;
    }
    let mut now = [0; N];
    now.copy_from_slice(place);
    Some((old != now).then_some((old, now)))
}

/// What was there, and what is; nothing if they are the same.
type Replaced<const N: usize> = Option<([u8; N], [u8; N])>;

/// Updates the checksum at `at` after octets it covers changed.
fn update(octets: &mut [u8], at: usize, old: &[u8], new: &[u8]) -> Option<()> {
    let csum = checksum::update(be16(octets, at)?, old, new);
    octets.get_mut(at..at + 2)?.copy_from_slice(&csum.to_be_bytes());
    Some(())
}

impl Header<'_> {
    fn l3(&self) -> Option<usize> {
        (self.layers.l3 != Layers::NONE).then_some(usize::from(self.layers.l3))
    }

    /// The transport header; later fragments have none.
    fn l4(&self) -> Option<usize> {
        let is_there = self.layers.l4 != Layers::NONE && self.key.nw_frag() & nw_frag::LATER == 0;
        is_there.then_some(usize::from(self.layers.l4))
    }

    fn ethernet(&mut self) -> Option<()> {
        let (key, mask) = (self.key, self.mask);
        self.octets.get(..12)?;
        replace(self.octets, 0, mac(key.dl_dst()), mac(mask.dl_dst()))?;
        replace(self.octets, 6, mac(key.dl_src()), mac(mask.dl_src())).map(drop)
    }

    fn mpls(&mut self) -> Option<()> {
        let at = (self.layers.l2_5 != Layers::NONE).then_some(usize::from(self.layers.l2_5))?;
        replace(self.octets, at, self.key.mpls_lse0().to_be_bytes(), self.mask.mpls_lse0().to_be_bytes()).map(drop)
    }

    /// Where the packet ends, and padding begins.
    fn end(&self) -> Option<usize> {
        self.octets.len().checked_sub(usize::from(self.layers.l2_pad))
    }

    /// Where the checksum is that covers the pseudo header, if there is one.
    fn pseudo_checksum(&self) -> Option<usize> {
        let offset = match self.key.nw_proto() {
            TCP => 16,
            UDP | UDPLITE => 6,
            ICMPV6 if self.key.dl_type() == 0x86dd => 2,
            _ => return None,
        };
        let at = self.l4()? + offset;
        (at + 2 <= self.end()?).then_some(at)
    }

    /// Whether the checksum at `at` is still to be completed.
    fn is_partial(&self, at: usize) -> bool {
        self.offload.partial_csum.is_some_and(|p| usize::from(p.start) + usize::from(p.offset) == at)
    }

    /// Addresses changed that the transport checksum covers.
    fn addresses_changed(&mut self, old: &[u8], new: &[u8]) {
        let Some(at) = self.pseudo_checksum() else { return };
        let Some(csum) = be16(self.octets, at) else { return };
        let is_udp = self.key.nw_proto() == UDP;
        let csum = if self.is_partial(at) {
            !checksum::update(!csum, old, new)
        } else if is_udp && csum == 0 {
            return;
        } else {
            match checksum::update(csum, old, new) {
                0 if is_udp => 0xffff,
                csum => csum,
            }
        };
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&csum.to_be_bytes());
        }
    }

    fn ipv4(&mut self) -> Option<()> {
        let at = self.l3()?;
        self.octets.get(at..at + 20)?;
        let (key, mask) = (self.key, self.mask);
        for (offset, address, mask) in [(12, key.nw_src(), mask.nw_src()), (16, key.nw_dst(), mask.nw_dst())] {
            if let Some((old, new)) = replace(self.octets, at + offset, address.to_be_bytes(), mask.to_be_bytes())? {
                update(self.octets, at + 10, &old, &new)?;
                self.addresses_changed(&old, &new);
            }
        }
        // A word of its own each: the checksum goes by words.
        for (offset, new, mask) in
            [(0, [0, key.nw_tos()], [0, mask.nw_tos()]), (8, [key.nw_ttl(), 0], [mask.nw_ttl(), 0])]
        {
            if let Some((old, new)) = replace(self.octets, at + offset, new, mask)? {
                update(self.octets, at + 10, &old, &new)?;
            }
        }
        Some(())
    }

    fn ipv6(&mut self) -> Option<()> {
        let at = self.l3()?;
        self.octets.get(at..at + 40)?;
        let (key, mask) = (self.key, self.mask);
        if let Some((old, new)) =
            replace(self.octets, at + 8, key.ipv6_src().to_be_bytes(), mask.ipv6_src().to_be_bytes())?
        {
            self.addresses_changed(&old, &new);
        }
        let is_final = !self.has_route_left(at);
        if let Some((old, new)) =
            replace(self.octets, at + 24, key.ipv6_dst().to_be_bytes(), mask.ipv6_dst().to_be_bytes())?
            && is_final
        {
            self.addresses_changed(&old, &new);
        }
        let word = |key: &Key| (u32::from(key.nw_tos()) << 20 | key.ipv6_label() & 0x000f_ffff).to_be_bytes();
        replace(self.octets, at, word(key), word(mask))?;
        replace(self.octets, at + 7, [key.nw_ttl()], [mask.nw_ttl()]).map(drop)
    }

    /// Whether a routing header names a later destination: the pseudo header then has that one.
    fn has_route_left(&self, at: usize) -> bool {
        let mut next = self.octets[at + 6];
        let mut at = at + 40;
        while let Some(&[following, len, _kind, left, ..]) = self.octets.get(at..) {
            match next {
                43 => return left != 0,
                0 | 60 => at += (usize::from(len) + 1) * 8,
                51 => at += (usize::from(len) + 2) * 4,
                44 => at += 8,
                _ => return false,
            }
            next = following;
        }
        false
    }

    fn ports(&mut self, csum_offset: usize) -> Option<()> {
        let l4 = self.l4()?;
        let at = l4 + csum_offset;
        self.octets.get(at..at + 2)?;
        let Some((old, new)) = replace(self.octets, l4, ports(self.key), ports(self.mask))? else { return Some(()) };
        if self.is_partial(at) {
            return Some(());
        }
        if csum_offset == 6 {
            if be16(self.octets, at)? == 0 {
                return Some(());
            }
            update(self.octets, at, &old, &new)?;
            if be16(self.octets, at)? == 0 {
                self.octets[at..at + 2].fill(0xff);
            }
            return Some(());
        }
        update(self.octets, at, &old, &new)
    }

    /// SCTP's CRC: what was wrong with it before stays wrong.
    fn sctp(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let end = self.end()?;
        let packet = self.octets.get_mut(l4..end).filter(|p| p.len() >= 12)?;
        let Some((old, new)) = replace(packet, 0, ports(self.key), ports(self.mask))? else { return Some(()) };
        let partial = self.offload.partial_csum.is_some_and(|p| usize::from(p.start) == l4);
        if partial || self.key.nw_frag() != 0 {
            return Some(());
        }
        let read = |packet: &[u8]| u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let carried = read(packet);
        packet[8..12].fill(0);
        packet[..4].copy_from_slice(&old);
        let right_before = sctp::crc(packet);
        packet[..4].copy_from_slice(&new);
        let right_now = sctp::crc(packet);
        packet[8..12].copy_from_slice(&(carried ^ right_before ^ right_now).to_be_bytes());
        Some(())
    }

    fn icmp(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        // All of its header is there, or it has none.
        (l4 + 8 <= self.end()?).then_some(())?;
        let type_and_code = |key: &Key| [key.tp_src() as u8, key.tp_dst() as u8];
        if let Some((old, new)) = replace(self.octets, l4, type_and_code(self.key), type_and_code(self.mask))? {
            update(self.octets, l4 + 2, &old, &new)?;
        }
        Some(())
    }

    fn arp(&mut self) -> Option<()> {
        let at = self.l3()?;
        let (key, mask) = (self.key, self.mask);
        let arp = self.octets.get_mut(at..at + 28)?;
        // An operation is written whole: its upper octet is in no key.
        let whole = if mask.nw_proto() == 0 { [0, 0] } else { [0xff, mask.nw_proto()] };
        replace(arp, 6, [0, key.nw_proto()], whole)?;
        replace(arp, 8, mac(key.arp_sha()), mac(mask.arp_sha()))?;
        replace(arp, 14, key.nw_src().to_be_bytes(), mask.nw_src().to_be_bytes())?;
        replace(arp, 18, mac(key.arp_tha()), mac(mask.arp_tha()))?;
        replace(arp, 24, key.nw_dst().to_be_bytes(), mask.nw_dst().to_be_bytes()).map(drop)
    }

    fn nd(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let end = self.end().filter(|end| l4 + 24 <= *end)?;
        let (key, mask) = (self.key, self.mask);
        if let Some((old, new)) =
            replace(self.octets, l4 + 8, key.nd_target().to_be_bytes(), mask.nd_target().to_be_bytes())?
        {
            update(self.octets, l4 + 2, &old, &new)?;
        }
        let mut at = l4 + 24;
        while let Some(&[kind, len, ..]) = self.octets.get(at..at + 8).filter(|_| at + 8 <= end) {
            let (address, named) = match kind {
                1 => (key.arp_sha(), mask.arp_sha()),
                2 => (key.arp_tha(), mask.arp_tha()),
                _ => (0, 0),
            };
            if matches!(kind, 1 | 2)
                && len == 1
                && address != 0
                && let Some((old, new)) = replace(self.octets, at + 2, mac(address), mac(named))?
            {
                update(self.octets, l4 + 2, &old, &new)?;
            }
            if len == 0 {
                break;
            }
            at += usize::from(len) * 8;
        }
        Some(())
    }

    /// The reserved bits, and the type of the first option.
    fn nd_extensions(&mut self) -> Option<()> {
        let l4 = self.l4()?;
        let (key, mask) = (self.key, self.mask);
        if let Some((old, new)) =
            replace(self.octets, l4 + 4, key.igmp_group().to_be_bytes(), mask.igmp_group().to_be_bytes())?
        {
            update(self.octets, l4 + 2, &old, &new)?;
        }
        if self.end().is_some_and(|end| l4 + 32 <= end) {
            let (new, named) = ([key.tcp_flags() as u8, 0], [mask.tcp_flags() as u8, 0]);
            if let Some((old, new)) = replace(self.octets, l4 + 24, new, named)? {
                update(self.octets, l4 + 2, &old, &new)?;
            }
        }
        Some(())
    }

    fn nsh(&mut self) -> Option<()> {
        let at = self.l3()?;
        let (key, mask) = (self.key, self.mask);
        self.octets.get(at..at + 8)?;
        let base =
            |key: &Key| (u16::from(key.nsh_flags() & 3) << 12 | u16::from(key.nsh_ttl() & 0x3f) << 6).to_be_bytes();
        replace(self.octets, at, base(key), base(mask))?;
        let path = |key: &Key| (key.nsh_spi() << 8 | u32::from(key.nsh_si())).to_be_bytes();
        replace(self.octets, at + 4, path(key), path(mask))?;
        if key.nsh_mdtype() == 1 {
            self.octets.get(at + 8..at + 24)?;
            let words = |key: &Key| [key.nsh_c1(), key.nsh_c2(), key.nsh_c3(), key.nsh_c4()].map(u32::to_be_bytes);
            for (i, (word, mask)) in words(key).into_iter().zip(words(mask)).enumerate() {
                replace(self.octets, at + 8 + 4 * i, word, mask)?;
            }
        }
        Some(())
    }
}
