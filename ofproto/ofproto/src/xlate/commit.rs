//! From changes of the flow to datapath actions: the least that makes the packet what the pipeline says it is.
//!
//! Headers come in a fixed order: Ethernet, network, transport, MPLS, VLAN, priority, mark. Each header is written once,
//! with the fields that differ and under the mask of bits that matter.

use flow::odp::{Action, MaskedWord, Set, SetGroup, slow};
use flow::{Field, Key, Mask, nw_frag};
use smallvec::SmallVec;
use std::sync::LazyLock;

use super::context::{Context, Pending};
use super::wildcard::{is_ip, is_mpls};

const CFI: u16 = 0x1000;
/// Word of the key with `skb_priority` and `pkt_mark`.
const PRIORITY_AND_MARK: usize = 51;
/// First of the words with headers, from the packet type on.
const HEADERS: usize = 58;

/// Some bits of the key's words.
type Bits = SmallVec<[(usize, u64); 3]>;

/// A header, and which of its fields can be written.
struct Header {
    group: SetGroup,
    fields: Vec<Bits>,
    all: Bits,
    /// What the header has besides, as a datapath wants to hear it that only writes headers whole.
    fixed: Bits,
}

impl Header {
    fn new(group: SetGroup, fields: &[Field]) -> Self {
        let bits_of = |mask: &Mask| mask.0.iter().copied().enumerate().filter(|(_, m)| *m != 0).collect::<Bits>();
        let mut fixed = Mask::EMPTY;
        if matches!(group, SetGroup::Ipv4 | SetGroup::Ipv6) {
            fixed.set_nw_proto(u8::MAX);
            fixed.set_nw_frag(nw_frag::ANY | nw_frag::LATER);
        }
        let mut all = Mask::EMPTY;
        let mut each = Vec::new();
        for field in fields {
            let mut mask = Mask::EMPTY;
            field.set_exact(&mut mask);
            if *field == Field::NwTos {
                // Written as one octet with the ECN bits.
                mask.set_nw_tos(u8::MAX);
            }
            all.join(&mask);
            each.push(bits_of(&mask));
        }
        Header { group, fields: each, all: bits_of(&all), fixed: bits_of(&fixed) }
    }
}

/// Whether two keys have the same of some bits.
fn is_same(a: &Key, b: &Key, bits: &Bits) -> bool {
    bits.iter().all(|(i, m)| (a.0[*i] ^ b.0[*i]) & m == 0)
}

macro_rules! headers {
    ($($name:ident: $group:ident [$($field:ident),*];)*) => {
        $(static $name: LazyLock<Header> = LazyLock::new(|| Header::new(SetGroup::$group, &[$(Field::$field),*]));)*
    };
}

headers! {
    ETH: Eth [EthSrc, EthDst];
    IPV4: Ipv4 [Ipv4Src, Ipv4Dst, NwTos, IpTtl];
    IPV6: Ipv6 [Ipv6Src, Ipv6Dst, Ipv6Label, NwTos, IpTtl];
    ARP: Arp [ArpSpa, ArpTpa, ArpOp, ArpSha, ArpTha];
    TCP: Tcp [TcpSrc, TcpDst];
    UDP: Udp [TcpSrc, TcpDst];
    SCTP: Sctp [TcpSrc, TcpDst];
    ICMP: Icmp [Icmpv4Type, Icmpv4Code];
    ICMPV6: Icmpv6 [Icmpv4Type, Icmpv4Code];
    ND: Nd [NdTarget, NdSll, NdTll];
    ND_EXT: NdExtensions [NdReserved, NdOptionsType];
    NSH: Nsh [NshFlags, NshTtl, NshSpi, NshSi, NshC1, NshC2, NshC3, NshC4];
    PRIORITY: SkbPriority [SkbPriority];
    MARK: SkbMark [PktMark];
}

impl Context<'_> {
    /// Writes what differs between the flow and what the datapath has so far.
    pub fn commit(&mut self) {
        if self.was_tagged && count_vlans(&self.base) > 0 && vlans(&self.base) == vlans(&self.flow) {
            self.look_at_tags();
        }
        // Of the many ports that a packet is flooded to hardly one wants it otherwise than the one before.
        if self.pending == Pending::None && !self.has_uncommitted() {
            return;
        }
        self.commit_encap_decap();
        if self.base.packet_type() == 0 {
            self.commit_fields(&ETH);
        }
        let mut mpls_done = false;
        if is_mpls(self.base.dl_type()) && !is_mpls(self.flow.dl_type()) {
            self.commit_mpls();
            mpls_done = true;
        }
        self.commit_network();
        self.commit_ports();
        self.commit_icmp();
        if !mpls_done {
            self.commit_mpls();
        }
        self.commit_vlans();
        self.commit_fields(&PRIORITY);
        self.commit_fields(&MARK);
    }

    /// Whether anything that can be written differs: priority, mark, and all from the first header's fields on.
    fn has_uncommitted(&self) -> bool {
        let (flow, base) = (&self.flow.0, &self.base.0);
        flow[PRIORITY_AND_MARK] != base[PRIORITY_AND_MARK] || flow[HEADERS..] != base[HEADERS..]
    }

    /// One header: the fields that differ, as far as their bits matter; all of them exactly if none of these does.
    fn commit_fields(&mut self, header: &Header) -> bool {
        if is_same(&self.flow, &self.base, &header.all) {
            return false;
        }
        let mut write = Mask::EMPTY;
        if !self.view.support.masked_set {
            for (i, m) in header.all.iter().chain(&header.fixed) {
                self.wc.0[*i] |= m;
                write.0[*i] |= m;
            }
        }
        for bits in header.fields.iter().filter(|bits| !is_same(&self.flow, &self.base, bits)) {
            let cared = bits.iter().any(|(i, m)| self.wc.0[*i] & m != 0);
            for (i, m) in bits {
                write.0[*i] |= if cared { m & self.wc.0[*i] } else { *m };
            }
        }
        if header.group == SetGroup::Nsh {
            // What else of an NSH header matters is written again with it, as Open vSwitch does.
            for (i, m) in &header.all {
                write.0[*i] |= m & self.wc.0[*i];
            }
        }
        let word = |i: usize| MaskedWord { word: i as u8, value: self.flow.0[i] & write.0[i], mask: write.0[i] };
        let mut places: SmallVec<[usize; 4]> = header.all.iter().chain(&header.fixed).map(|(i, _)| *i).collect();
        places.sort_unstable();
        places.dedup();
        let words: SmallVec<[MaskedWord; 2]> = places.into_iter().filter(|i| write.0[*i] != 0).map(word).collect();
        self.odp.push(Action::Set(Set { group: header.group, words, tunnel: None }));
        for (i, m) in &header.all {
            self.base.0[*i] = (self.base.0[*i] & !m) | (self.flow.0[*i] & m);
        }
        true
    }

    fn commit_network(&mut self) {
        match self.base.dl_type() {
            _ if self.flow.nw_proto() == 0 && self.base.dl_type() != 0x894f => {}
            0x0800 => {
                self.commit_fields(&IPV4);
            }
            0x86dd => {
                self.commit_fields(&IPV6);
                // What was written before the type changed is written as well.
                if self.base.is_nd() {
                    if self.commit_fields(&ND_EXT) {
                        self.slow |= slow::ACTION;
                    }
                    if self.commit_fields(&ND) {
                        self.slow |= slow::ACTION;
                    }
                }
            }
            0x0806 => {
                let written = self.commit_fields(&ARP);
                self.slow |= if written { slow::ACTION } else { 0 };
            }
            // A header behind a label that was pushed is no longer known.
            0x894f if self.flow.dl_type() == 0x894f => {
                self.commit_fields(&NSH);
            }
            _ => {}
        }
    }

    fn commit_ports(&mut self) {
        let header = match self.flow.nw_proto() {
            6 => &TCP,
            17 => &UDP,
            132 => &SCTP,
            _ => return,
        };
        if is_ip(&self.base) {
            self.commit_fields(header);
        }
    }

    fn commit_icmp(&mut self) {
        let header = match (self.flow.dl_type(), self.flow.nw_proto()) {
            (0x0800, 1) => &ICMP,
            (0x86dd, 58) => &ICMPV6,
            _ => return,
        };
        if self.flow.nw_frag() & nw_frag::LATER != 0 || !is_ip(&self.base) {
            return;
        }
        if !is_same(&self.flow, &self.base, &header.all) {
            // Type and code are written together.
            for (i, m) in &header.all {
                self.wc.0[*i] |= m;
            }
            self.base.set_tp_src(!self.flow.tp_src());
            self.base.set_tp_dst(!self.flow.tp_dst());
            self.commit_fields(header);
            self.slow |= slow::ACTION;
        }
    }

    fn commit_mpls(&mut self) {
        let mut base_n = count_labels(&self.base);
        let flow_n = count_labels(&self.flow);
        let mut common = 0;
        while common < base_n.min(flow_n)
            && lse(&self.base, base_n - 1 - common) == lse(&self.flow, flow_n - 1 - common)
        {
            common += 1;
        }
        while base_n > common {
            if base_n - 1 == common && flow_n > common {
                // All of it is written: other packets of this flow must have the same there. Open vSwitch looks at no more
                // than the field that changes, and gives packets of one label another's. (Those behind are exact by then.)
                if base_n <= count_labels(self.input.key) {
                    self.wc.set_mpls_lse0(u32::MAX);
                }
                let value = lse(&self.flow, flow_n - base_n);
                let words = SmallVec::from_slice(&[MaskedWord {
                    word: MPLS_WORD,
                    value: u64::from(value) << 32,
                    mask: u64::from(u32::MAX) << 32,
                }]);
                self.odp.push(Action::Set(Set { group: SetGroup::Mpls, words, tunnel: None }));
                self.base.set_mpls_lse0(value);
                common += 1;
            } else {
                // While labels remain behind it the type has to be one of MPLS, if possible the one they end up with.
                let last = self.flow.dl_type();
                let ethertype = if base_n == 1 || matches!(last, 0x8847 | 0x8848) { last } else { 0x8847 };
                self.odp.push(Action::PopMpls { ethertype });
                pop_label(&mut self.base, base_n, self.flow.dl_type());
                base_n -= 1;
            }
        }
        while base_n < flow_n {
            let value = lse(&self.flow, flow_n - base_n - 1);
            self.odp.push(Action::PushMpls { lse: value, ethertype: self.flow.dl_type() });
            push_label(&mut self.base, base_n, self.flow.dl_type());
            self.base.set_mpls_lse0(value);
            base_n += 1;
        }
    }

    fn commit_vlans(&mut self) {
        if vlans(&self.base) == vlans(&self.flow) {
            return;
        }
        let (mut base_n, mut flow_n) = (count_vlans(&self.base), count_vlans(&self.flow));
        while base_n > 0 && flow_n > 0 && vlans(&self.base)[base_n - 1] == vlans(&self.flow)[flow_n - 1] {
            base_n -= 1;
            flow_n -= 1;
        }
        if base_n > 0 {
            self.look_at_tags();
        }
        for _ in 0..base_n {
            self.odp.push(Action::PopVlan);
        }
        for i in (0..flow_n).rev() {
            let (tpid, tci) = vlans(&self.flow)[i];
            self.odp.push(Action::PushVlan { tpid, tci });
        }
        set_vlans(&mut self.base, vlans(&self.flow));
    }

    fn look_at_tags(&mut self) {
        self.wc.set_vlan_tpid(u16::MAX);
        self.wc.set_vlan_tci(u16::MAX);
        self.wc.set_vlan2_tpid(u16::MAX);
        self.wc.set_vlan2_tci(u16::MAX);
    }
}

const MPLS_WORD: u8 = 62;

pub(super) fn lse(key: &Key, i: usize) -> u32 {
    match i {
        0 => key.mpls_lse0(),
        1 => key.mpls_lse1(),
        2 => key.mpls_lse2(),
        _ => 0,
    }
}

pub(super) fn set_lse(key: &mut Key, i: usize, value: u32) {
    match i {
        0 => key.set_mpls_lse0(value),
        1 => key.set_mpls_lse1(value),
        2 => key.set_mpls_lse2(value),
        _ => {}
    }
}

/// Labels of a packet, at most three; of a stack whose end is not seen, those that are not zero.
pub(super) fn count_labels(key: &Key) -> usize {
    if !is_mpls(key.dl_type()) {
        return 0;
    }
    let bottom = (0..3).find(|i| lse(key, *i) & 0x100 != 0);
    bottom.map_or_else(|| (0..3).filter(|i| lse(key, *i) != 0).count(), |i| i + 1)
}

pub(super) fn pop_label(key: &mut Key, n: usize, dl_type: u16) {
    for i in 1..n {
        set_lse(key, i - 1, lse(key, i));
    }
    set_lse(key, n.saturating_sub(1), 0);
    // Behind the last label is what the new type says; behind others, labels.
    key.set_dl_type(if n > 1 && !is_mpls(dl_type) { 0x8847 } else { dl_type });
}

pub(super) fn push_label(key: &mut Key, n: usize, dl_type: u16) {
    for i in (1..=n.min(2)).rev() {
        set_lse(key, i, lse(key, i - 1));
    }
    key.set_dl_type(dl_type);
}

/// TPID and TCI of both tags.
pub(super) fn vlans(key: &Key) -> [(u16, u16); 2] {
    [(key.vlan_tpid(), key.vlan_tci()), (key.vlan2_tpid(), key.vlan2_tci())]
}

pub(super) fn set_vlans(key: &mut Key, vlans: [(u16, u16); 2]) {
    key.set_vlan_tpid(vlans[0].0);
    key.set_vlan_tci(vlans[0].1);
    key.set_vlan2_tpid(vlans[1].0);
    key.set_vlan2_tci(vlans[1].1);
}

pub(super) fn count_vlans(key: &Key) -> usize {
    vlans(key).iter().take_while(|(_, tci)| tci & CFI != 0).count()
}
