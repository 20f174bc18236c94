//! Choosing by hash: `multipath` and `bundle`.

use flow::hash;
use openflow::OfPort;
use openflow::action::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};

use super::context::Context;
use super::wildcard::is_ip;

impl Context<'_> {
    /// Lets everything that a hash is taken of matter.
    pub(super) fn mask_hash_fields(&mut self, fields: HashFields) {
        let flow = &self.flow;
        let wc = &mut self.wc;
        let (v4, v6) = (flow.dl_type() == 0x0800, flow.dl_type() == 0x86dd);
        let mut addresses = |src: bool, dst: bool| {
            if v4 && src {
                wc.set_nw_src(u32::MAX);
            }
            if v4 && dst {
                wc.set_nw_dst(u32::MAX);
            }
            if v6 && src {
                wc.set_ipv6_src(u128::MAX);
            }
            if v6 && dst {
                wc.set_ipv6_dst(u128::MAX);
            }
        };
        match fields {
            HashFields::EthSrc => wc.set_dl_src(u64::MAX),
            HashFields::SymmetricL4 => {
                addresses(true, true);
                wc.set_dl_src(u64::MAX);
                wc.set_dl_dst(u64::MAX);
                if is_ip(flow) {
                    wc.set_nw_proto(u8::MAX);
                    // UDP's ports are no part of the hash; what others have in their place counts as mattering.
                    if flow.nw_proto() != 17 {
                        wc.set_tp_src(u16::MAX);
                        wc.set_tp_dst(u16::MAX);
                    }
                }
                wc.set_vlan_tci(wc.vlan_tci() | 0x1fff);
            }
            HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => {
                addresses(true, true);
                if is_ip(flow) {
                    wc.set_nw_proto(u8::MAX);
                    let udp = fields == HashFields::SymmetricL3L4Udp && flow.nw_proto() == 17;
                    // A fragment's ports are not asked for.
                    if (matches!(flow.nw_proto(), 6 | 132) || udp) && flow.nw_frag() == 0 {
                        wc.set_tp_src(u16::MAX);
                        wc.set_tp_dst(u16::MAX);
                    }
                }
            }
            HashFields::NwSrc => addresses(true, false),
            HashFields::NwDst => addresses(false, true),
            HashFields::SymmetricL3 => addresses(true, true),
            HashFields::Unknown(_) => {}
        }
    }

    fn hash_fields(&self, fields: HashFields, basis: u32) -> u32 {
        let flow = &self.flow;
        let address = |v4: u32, v6: u128| match flow.dl_type() {
            0x0800 => hash::jenkins(&v4.to_be_bytes(), basis),
            0x86dd => hash::jenkins(&v6.to_be_bytes(), basis),
            _ => basis,
        };
        match fields {
            HashFields::EthSrc => hash::jenkins(&flow.dl_src().to_be_bytes()[2..], basis),
            HashFields::SymmetricL4 => hash::symmetric_l4(flow, basis, false),
            HashFields::SymmetricL3L4 => hash::symmetric_l3l4(flow, basis, false),
            HashFields::SymmetricL3L4Udp => hash::symmetric_l3l4(flow, basis, true),
            HashFields::NwSrc => address(flow.nw_src(), flow.ipv6_src()),
            HashFields::NwDst => address(flow.nw_dst(), flow.ipv6_dst()),
            HashFields::SymmetricL3 => hash::symmetric_l3(flow, basis),
            HashFields::Unknown(_) => basis,
        }
    }

    pub(super) fn multipath(&mut self, mp: &Multipath) {
        let hash = self.hash_fields(mp.fields, mp.basis.into());
        let n = u32::from(mp.max_link) + 1;
        let link = link(mp.algorithm, hash, n, mp.arg);
        self.mask_hash_fields(mp.fields);
        self.load(&mp.dst, link.into());
        self.report_subfield(&mp.dst);
    }

    fn is_enabled(&self, port: OfPort) -> bool {
        match port {
            OfPort::CONTROLLER => false,
            OfPort::IN_PORT | OfPort::TABLE | OfPort::NORMAL | OfPort::FLOOD | OfPort::ALL | OfPort::NONE => true,
            _ => self.port(port).is_some_and(|p| p.may_enable && p.link_up),
        }
    }

    pub(super) fn bundle(&mut self, bundle: &Bundle, is_last: bool, in_bucket: bool) {
        let enabled = bundle.members.iter().enumerate().filter(|(_, p)| self.is_enabled(**p));
        let hashed = bundle.algorithm == BundleAlgorithm::Hrw;
        let chosen = if hashed {
            let hash = self.hash_fields(bundle.fields, bundle.basis.into());
            let score = |i: usize| hash::two_words(i as u32, hash);
            enabled.max_by_key(|(i, _)| (score(*i), std::cmp::Reverse(*i))).map(|(_, p)| *p)
        } else {
            enabled.map(|(_, p)| *p).next()
        };
        // Between fewer than two there is nothing to choose, whatever the packet.
        if hashed && bundle.members.len() > 1 {
            self.mask_hash_fields(bundle.fields);
        }
        let port = chosen.unwrap_or(OfPort::NONE);
        match &bundle.dst {
            Some(dst) => {
                self.load(dst, port.0.into());
                self.report_subfield(dst);
            }
            None => self.output(port, 0, is_last, false, in_bucket),
        }
    }
}

fn link(algorithm: MultipathAlgorithm, hash: u32, n: u32, arg: u32) -> u32 {
    let rehash = |i: u32| hash::two_words(hash, i);
    match algorithm {
        MultipathAlgorithm::ModuloN => hash % n,
        MultipathAlgorithm::HashThreshold if n == 1 => 0,
        MultipathAlgorithm::HashThreshold => hash / (u32::MAX / n + 1),
        MultipathAlgorithm::Hrw if n <= 64 => (0..n).max_by_key(|i| (rehash(*i), std::cmp::Reverse(*i))).unwrap_or(0),
        MultipathAlgorithm::Hrw => iterate(hash, n, arg),
        MultipathAlgorithm::IterHash => iterate(hash, n, arg),
    }
}

/// Hashes until a link below `n` comes out, of `modulus` rounded up to a power of two.
fn iterate(hash: u32, n: u32, modulus: u32) -> u32 {
    let modulus = if modulus < n || modulus / 2 > n { n.next_power_of_two() } else { modulus };
    for i in 0..64 {
        let link = hash::two_words(hash, i) % modulus.max(1);
        if link < n {
            return link;
        }
    }
    hash % n
}
