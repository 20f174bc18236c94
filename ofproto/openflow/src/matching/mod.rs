//! Matches: which packets a rule is for.
//!
//! [`Match`] is a flow key and mask; its wire forms (OpenFlow 1.0's and 1.1's fixed structures, NXM and OXM lists of
//! fields) and its text are in the modules below. Source: OpenFlow 1.0-1.5, ovs-fields(7).

mod fixed;
mod normal;
mod oxm;
mod text;

use std::sync::Arc;

use flow::field::{Field, Prereq, TunTable, Value};
use flow::{Key, Mask, ct_state};

pub use fixed::{OF10_MATCH_LEN, OF11_MATCH_LEN, pull_of10, pull_of11, put_of10, put_of11};
pub use normal::normalize;
pub use oxm::{Reading, pull_match, pull_nxm, put_match, put_nxm, put_oxm_fields};
pub(crate) use oxm::{pull_match_into, pull_nxm_into};
pub use text::{nxm_from_text, nxm_to_text};

use crate::OfPort;
use crate::nxm;

/// A match: which bits of the key matter, and their values.
///
/// Ports are in OpenFlow 1.1's 32-bit form. Bits of `key` outside `mask` are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Values.
    pub key: Key,
    /// 1 bits matter.
    pub mask: Mask,
    /// Where the `tun_metadata*` fields lie in key and mask; `None` when the match has none.
    pub tun: Option<Arc<TunTable>>,
}

/// Whether a field's value is its mask as well. Open vSwitch 3.1 reads matches on these so: 0 is no condition, another
/// number asks for its ones.
fn is_own_mask(field: Field) -> bool {
    matches!(
        field,
        Field::TunErspanVer | Field::TunErspanDir | Field::TunErspanHwid | Field::TunGtpuFlags | Field::TunGtpuMsgtype
    )
}

impl Match {
    /// Matches every packet.
    pub fn any() -> Match {
        Match::default()
    }

    /// Matches every Ethernet packet; what OpenFlow 1.0 to 1.4 mean by an empty match.
    pub fn any_ethernet() -> Match {
        let mut m = Match::default();
        m.mask.set_packet_type(u32::MAX);
        m
    }

    /// Whether every packet matches.
    pub fn is_any(&self) -> bool {
        self.mask.0.iter().all(|word| *word == 0)
    }

    /// A field's value and mask, both as wide as the field (`tun_metadata*`: as the option).
    pub fn get(&self, field: Field) -> (Value, Value) {
        match (&self.tun, field) {
            (Some(tun), Field::TunMetadata(_)) => (field.get_in(&self.key, tun), field.mask_in(&self.mask, tun)),
            _ => (field.get(&self.key), field.mask(&self.mask)),
        }
    }

    /// Restricts the match to one value of a field; not for `tun_metadata*`.
    pub fn set_exact(&mut self, field: Field, number: u128) {
        let n = usize::from(field.meta().n_bytes);
        self.constrain(field, &Value::from_u128(number, n), &Value::ones(n, n * 8), None);
    }

    /// Makes a field's bits under `mask` have `value`, and forgets what the match said of the field before. Tunnel
    /// options go where `bridge`'s table has them; without one the match makes room of its own.
    pub fn constrain(&mut self, field: Field, value: &Value, mask: &Value, bridge: Option<&Arc<TunTable>>) {
        let Field::TunMetadata(i) = field else {
            let own = value.and(mask);
            let mask = if is_own_mask(field) { &own } else { mask };
            field.constrain(&mut self.key, &mut self.mask, value, mask);
            if field == Field::IpFrag && mask.to_u128() & 3 == 3 {
                self.mask.set_nw_frag(3);
                self.key.set_nw_frag(self.key.nw_frag() & 3);
            }
            return;
        };
        let mut skip = 0;
        match bridge {
            Some(bridge) => self.tun = Some(Arc::clone(bridge)),
            None => {
                skip = nxm::leading(field, value, mask);
                let table = Arc::make_mut(self.tun.get_or_insert_default());
                if table.entry(i).is_none() {
                    let _full = table.reserve(i, (value.len() - skip) as u8, !mask.is_ones());
                }
            }
        }
        let Some(table) = self.tun.clone() else { return };
        let (value, mask) = (Value::from_slice(&value.0[skip..]), Value::from_slice(&mask.0[skip..]));
        field.set_mask_in(&mut self.mask, &mask, &table);
        field.set_in(&mut self.key, &value.and(&mask), &table);
        let bit = 1u64 << (i & 63);
        let present = self.mask.tun_metadata_present();
        self.mask.set_tun_metadata_present(present | bit);
        self.key.set_tun_metadata_present(self.key.tun_metadata_present() | bit);
    }

    /// Has the tunnel options lie where `table` has them; those without a mask are exact there as well.
    pub fn move_options(&mut self, table: &Arc<TunTable>) {
        let Some(own) = self.tun.replace(Arc::clone(table)) else {
            self.tun = None;
            return;
        };
        let given: Vec<_> = own
            .entries()
            .map(|(i, entry)| (i, entry.masked, own.get(i, &self.key.0), own.get(i, &self.mask.0)))
            .collect();
        for (i, _, value, _) in &given {
            own.set(*i, &mut self.key.0, &Value::zeros(value.len()));
            own.set(*i, &mut self.mask.0, &Value::zeros(value.len()));
        }
        for (i, masked, value, mask) in given {
            let len = table.entry(i).map_or(0, |entry| usize::from(entry.len));
            let mask = if masked { mask } else { Value::ones(len, len * 8) };
            table.set(i, &mut self.key.0, &value);
            table.set(i, &mut self.mask.0, &mask);
        }
    }

    /// Whether the match says nothing of a field.
    pub fn is_wild(&self, field: Field) -> bool {
        match field {
            Field::TunMetadata(i) => self.mask.tun_metadata_present() & (1 << (i & 63)) == 0,
            _ => field.is_wild(&self.mask),
        }
    }

    /// Restricts the match to Ethernet packets unless it speaks of the packet type already.
    pub fn default_packet_type(&mut self) {
        if self.mask.packet_type() == 0 {
            self.mask.set_packet_type(u32::MAX);
            self.key.set_packet_type(0);
        }
    }

    /// Whether it matches Ethernet packets and no others.
    pub fn has_default_packet_type(&self) -> bool {
        self.mask.packet_type() == u32::MAX && self.key.packet_type() == 0
    }

    /// What a field presupposes of the packet type.
    pub fn add_ethernet_prereq(&mut self, field: Field) {
        if field.meta().prereq != Prereq::None {
            self.default_packet_type();
        }
    }

    /// The EtherType that packets of this match have, from the frame or the packet type.
    pub fn dl_type(&self) -> u16 {
        dl_type(&self.key)
    }

    /// Whether packets of this match have a field.
    pub fn meets(&self, prereq: Prereq) -> bool {
        if prereq != Prereq::Ct {
            return meets(&self.key, prereq);
        }
        // A state that only tracked, valid packets have, or one that says so itself.
        let (state, mask) = (self.key.ct_state(), self.mask.ct_state());
        let valid = ct_state::NEW | ct_state::EST | ct_state::REL | ct_state::RPL | ct_state::SNAT | ct_state::DNAT;
        state & valid != 0 || state & ct_state::TRK != 0 && mask & ct_state::INV != 0 && state & ct_state::INV == 0
    }

    /// Restricts the match to packets of one input port.
    pub fn set_in_port(&mut self, port: OfPort) {
        self.key.set_in_port(port.to_11());
        self.mask.set_in_port(u32::MAX);
    }

    /// The input port, when the match names one.
    pub fn in_port(&self) -> Option<OfPort> {
        (self.mask.in_port() != 0).then(|| OfPort::from_11(self.key.in_port()).unwrap_or(OfPort::NONE))
    }
}

/// The EtherType of a packet, from the frame or, of a packet without Ethernet header, from its packet type.
pub(crate) fn dl_type(key: &Key) -> u16 {
    match key.packet_type() {
        0 => key.dl_type(),
        t if t >> 16 == 1 => t as u16,
        _ => 0,
    }
}

/// Whether a packet has a field, with the EtherType taken as [`dl_type`] does.
pub(crate) fn meets(key: &Key, prereq: Prereq) -> bool {
    if key.packet_type() == 0 {
        return prereq.met(key);
    }
    let mut key = key.clone();
    key.set_dl_type(dl_type(&key));
    prereq.met(&key)
}
