//! Matches: which packets a rule is for.
//!
//! [`Match`] is a flow key and mask; its wire forms (OpenFlow 1.0's and 1.1's fixed structures, NXM and OXM lists of
//! fields) and its text are in the modules below. Source: OpenFlow 1.0-1.5, ovs-fields(7).

use std::sync::Arc;

use flow::field::{Field, TunTable, Value};
use flow::{Key, Mask};

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

    /// Restricts the match to one value of a field.
    pub fn set_exact(&mut self, field: Field, number: u128) {
        let n = usize::from(field.meta().n_bytes);
        field.constrain(&mut self.key, &mut self.mask, &Value::from_u128(number, n), &Value::ones(n, n * 8));
    }
}
