//! Bonds: which member takes a packet, and which packets a member lets in.

use std::sync::Arc;

use flow::hash;
use l2proto::mac_learning::{MacKey, is_multicast};
use openflow::OfPort;
use openflow::action::HashFields;

use super::Effect;
use super::context::Context;
use super::output::Via;
use crate::view::{BOND_BUCKETS, BondMode, BondView, BundleView, PortView};

impl Context<'_> {
    /// The member for a packet, and how to reach it.
    pub(super) fn choose_member(&mut self, bundle: &BundleView, bond: &BondView, vlan: u16) -> Option<(OfPort, Via)> {
        if bond.mode == BondMode::BalanceTcp && !bond.lacp_negotiated && !bond.lacp_fallback_ab {
            return None;
        }
        if bond.mode == BondMode::BalanceTcp && bond.recirc_id != 0 && !bond.buckets.is_empty() {
            let any = bond.enabled.first().copied()?;
            let via = if bond.lb_output {
                Via::Bond(bond.recirc_id)
            } else {
                Via::Hash { recirc_id: bond.recirc_id, basis: bond.basis }
            };
            return Some((any, via));
        }
        if bond.mode == BondMode::ActiveBackup || bond.buckets.len() < BOND_BUCKETS {
            return bond.active.map(|port| (port, Via::Port));
        }
        let bucket = match bond.mode {
            BondMode::BalanceSlb => {
                self.wc.set_dl_src(u64::MAX);
                self.wc.set_vlan_tci(self.wc.vlan_tci() | 0x1fff);
                hash::mac_vlan(self.flow.dl_src(), vlan, bond.basis)
            }
            _ => {
                self.mask_hash_fields(HashFields::SymmetricL4);
                hash::symmetric_l4(&self.flow, bond.basis, true)
            }
        } as u8;
        let member = bond.buckets.get(usize::from(bucket)).copied().flatten().or(bond.active)?;
        let bridge = self.bridge.id;
        self.effect(Effect::Bond { bridge, bundle: bundle.id, bucket, recirculated: false });
        Some((member, Via::Port))
    }

    /// Whether a member lets a packet in.
    pub(super) fn is_admitted_by_bond(&mut self, port: &PortView, bundle: &Arc<BundleView>, vlan: u16) -> bool {
        let Some(bond) = &bundle.bond else { return true };
        let enabled = bond.enabled.contains(&port.port);
        let mut accept = enabled;
        let mut drop_if_moved = false;
        if !bond.lacp_negotiated {
            if bond.lacp && !bond.lacp_fallback_ab {
                accept = false;
            }
            if accept && is_multicast(self.flow.dl_dst()) {
                // The same broadcast reaches every member; one of them counts.
                accept = bond.active == Some(port.port) || bond.all_members_active;
            }
            if accept {
                match bond.mode {
                    BondMode::BalanceSlb => drop_if_moved = true,
                    BondMode::ActiveBackup => accept = bond.active == Some(port.port),
                    BondMode::BalanceTcp => accept = bond.lacp_fallback_ab && bond.active == Some(port.port),
                }
            }
        }
        if !accept {
            self.detail("bonding refused admissibility, dropping");
            return false;
        }
        if !drop_if_moved {
            return true;
        }
        let key = MacKey { vlan, mac: self.flow.dl_src() };
        let entry = self.bridge.mac.as_ref().and_then(|m| m.lookup(&key)).copied();
        if let Some(entry) = entry
            && entry.port != bundle.id.0
            && (!self.is_gratuitous_arp() || self.input.now_ms < entry.locked_until_ms)
        {
            self.detail("SLB bond thinks this packet looped back, dropping");
            return false;
        }
        true
    }
}
