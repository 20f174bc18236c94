//! Reading and writing fields of keys and masks.

use super::{Field, Location, TunTable, Value};
use crate::{Key, Mask};

const CFI: u16 = 0x1000;
const VID: u16 = 0x0fff;
/// OpenFlow 1.0's "no VLAN tag".
const VLAN_NONE: u16 = 0xffff;

fn ones(bits: u32) -> u128 {
    if bits >= 128 { u128::MAX } else { (1 << bits) - 1 }
}

/// The 16-bit image of a 32-bit OpenFlow port; ports that have none read as 0xffff.
pub fn port_to_of10(port: u32) -> u16 {
    match port {
        0..0xff00 => port as u16,
        0xffff_ff00.. => port as u16,
        _ => 0xffff,
    }
}

/// The 32-bit port that a 16-bit OpenFlow port stands for.
pub fn port_from_of10(port: u16) -> u32 {
    if port >= 0xff00 { 0xffff_0000 | u32::from(port) } else { u32::from(port) }
}

impl Field {
    /// Where `n_bits` bits of the field, from bit `ofs` up, lie: last word, offset and width as [`Key::bits`] takes them.
    /// All bits of a field whose place is wider (`icmp_type`) are all of the place. `None` for fields that are a view of
    /// other bits, or have not so many.
    #[inline]
    pub fn place(self, ofs: u16, n_bits: u16) -> Option<(usize, u32, u32)> {
        let meta = self.meta();
        match meta.location {
            Location::Bits { last_word, offset, bits } if ofs == 0 && n_bits == meta.n_bits => {
                Some((last_word.into(), offset.into(), bits.into()))
            }
            Location::Bits { last_word, offset, bits } if u32::from(ofs) + u32::from(n_bits) <= u32::from(bits) => {
                Some((last_word.into(), u32::from(offset) + u32::from(ofs), n_bits.into()))
            }
            _ => None,
        }
    }

    /// Its value in `key` as a number. `tun_metadata*` read 0.
    pub fn number(self, key: &Key) -> u128 {
        match self.meta().location {
            Location::Bits { last_word, offset, bits } => key.bits(last_word.into(), offset.into(), bits.into()),
            Location::InPort16 => port_to_of10(key.in_port()).into(),
            Location::DlVlan => (key.vlan_tci() & VID).into(),
            Location::VlanVid => (key.vlan_tci() & (VID | CFI)).into(),
            Location::VlanPcp => (key.vlan_tci() >> 13).into(),
            Location::NwTos => (key.nw_tos() & 0xfc).into(),
            Location::TunMetadata => 0,
        }
    }

    /// Its value in `key`.
    pub fn get(self, key: &Key) -> Value {
        let Field::TunMetadata(_) = self else {
            return Value::from_u128(self.number(key), self.meta().n_bytes.into());
        };
        Value::default()
    }

    /// Its value in `key`, `tun_metadata*` included; of the latter as many octets as the option has.
    pub fn get_in(self, key: &Key, tun: &TunTable) -> Value {
        match self {
            Field::TunMetadata(i) => tun.get(i, &key.0),
            _ => self.get(key),
        }
    }

    /// Writes a number; excess bits are lost. Writing a VLAN field adds a tag where there is none, except `dl_vlan`'s
    /// 0xffff, which removes it. `tun_metadata*` are not written.
    pub fn set_number(self, key: &mut Key, number: u128) {
        let low = number as u16;
        match self.meta().location {
            Location::Bits { last_word, offset, bits } => {
                key.set_bits(last_word.into(), offset.into(), bits.into(), number);
            }
            Location::InPort16 => key.set_in_port(port_from_of10(low)),
            Location::DlVlan if low == VLAN_NONE => key.set_vlan_tci(0),
            Location::DlVlan => key.set_vlan_tci((key.vlan_tci() & !VID) | (low & VID) | CFI),
            Location::VlanVid => key.set_vlan_tci((key.vlan_tci() & !(VID | CFI)) | (low & (VID | CFI))),
            Location::VlanPcp => key.set_vlan_tci((key.vlan_tci() & VID) | (low << 13) | CFI),
            Location::NwTos => key.set_nw_tos((key.nw_tos() & 3) | (number as u8 & 0xfc)),
            Location::TunMetadata => {}
        }
    }

    /// Writes a value; one of another width is aligned to the right.
    pub fn set(self, key: &mut Key, value: &Value) {
        self.set_number(key, value.to_u128());
    }

    /// Writes a value, `tun_metadata*` included.
    pub fn set_in(self, key: &mut Key, value: &Value, tun: &TunTable) {
        match self {
            Field::TunMetadata(i) => {
                tun.set(i, &mut key.0, value);
                key.set_tun_metadata_present(key.tun_metadata_present() | (1 << (i & 63)));
            }
            _ => self.set(key, value),
        }
    }

    /// Which bits of the field `mask` cares for, as wide as the field. A field that is exact reads as all ones.
    pub fn mask(self, mask: &Mask) -> Value {
        let meta = self.meta();
        let n = usize::from(meta.n_bytes);
        let tci = mask.vlan_tci();
        match meta.location {
            Location::Bits { last_word, offset, bits } => {
                let m = mask.bits(last_word.into(), offset.into(), bits.into());
                if m == ones(bits.into()) { Value::ones(n, n * 8) } else { Value::from_u128(m, n) }
            }
            Location::InPort16 if mask.in_port() == u32::MAX => Value::ones(n, n * 8),
            Location::InPort16 => Value::from_u128((mask.in_port() & 0xffff).into(), n),
            Location::DlVlan if tci & VID == VID => Value::ones(n, n * 8),
            Location::DlVlan => Value::from_u128((tci & VID).into(), n),
            Location::VlanVid if tci & (VID | CFI) == VID | CFI => Value::ones(n, n * 8),
            Location::VlanVid => Value::from_u128((tci & (VID | CFI)).into(), n),
            Location::VlanPcp if tci & 0xe000 == 0xe000 => Value::ones(n, n * 8),
            Location::VlanPcp => Value::from_u128((tci >> 13).into(), n),
            Location::NwTos if mask.nw_tos() & 0xfc == 0xfc => Value::ones(n, n * 8),
            Location::NwTos => Value::from_u128((mask.nw_tos() & 0xfc).into(), n),
            Location::TunMetadata => Value::default(),
        }
    }

    /// [`Self::mask`], `tun_metadata*` included.
    pub fn mask_in(self, mask: &Mask, tun: &TunTable) -> Value {
        match self {
            Field::TunMetadata(i) => tun.get(i, &mask.0),
            _ => self.mask(mask),
        }
    }

    /// Makes `mask` care for exactly the bits of the field that `bits` names; where the key's field is wider than the
    /// field (`icmp_type`), an exact mask covers all of it.
    pub fn set_mask(self, mask: &mut Mask, bits: &Value) {
        let meta = self.meta();
        let m = bits.to_u128();
        let exact = m & ones(meta.n_bits.into()) == ones(meta.n_bits.into());
        let low = m as u16;
        match meta.location {
            Location::Bits { last_word, offset, bits } => {
                let m = if exact { u128::MAX } else { m };
                mask.set_bits(last_word.into(), offset.into(), bits.into(), m);
            }
            Location::InPort16 => mask.set_in_port(if exact { u32::MAX } else { low.into() }),
            Location::DlVlan => mask.set_vlan_tci((mask.vlan_tci() & !VID) | (low & VID) | CFI),
            Location::VlanVid => mask.set_vlan_tci((mask.vlan_tci() & !(VID | CFI)) | (low & (VID | CFI))),
            Location::VlanPcp => mask.set_vlan_tci((mask.vlan_tci() & VID) | (low << 13) | CFI),
            Location::NwTos => mask.set_nw_tos((mask.nw_tos() & 3) | (m as u8 & 0xfc)),
            Location::TunMetadata => {}
        }
    }

    /// [`Self::set_mask`], `tun_metadata*` included.
    pub fn set_mask_in(self, mask: &mut Mask, bits: &Value, tun: &TunTable) {
        match self {
            Field::TunMetadata(i) => {
                tun.set(i, &mut mask.0, bits);
                mask.set_tun_metadata_present(mask.tun_metadata_present() | (1 << (i & 63)));
            }
            _ => self.set_mask(mask, bits),
        }
    }

    /// Makes `mask` care for the whole field.
    pub fn set_exact(self, mask: &mut Mask) {
        self.set_mask(mask, &Value::ones(self.meta().n_bytes.into(), usize::from(self.meta().n_bytes) * 8));
    }

    /// Adds a constraint to a match: `value` under `bits`. `dl_vlan=0xffff` matches frames without a tag.
    pub fn constrain(self, key: &mut Key, mask: &mut Mask, value: &Value, bits: &Value) {
        if self.constrain_bits(key, mask, value.to_u128(), bits.to_u128()) {
            return;
        }
        let masked = value.and(bits);
        match self {
            Field::DlVlan if bits.is_ones() && value.is_ones() => {
                key.set_vlan_tci(0);
                mask.set_vlan_tci(u16::MAX);
            }
            _ => {
                self.set_mask(mask, bits);
                self.set(key, &masked);
            }
        }
        key.apply(mask);
    }

    /// As [`Field::constrain`], with numbers, for fields that are bits of the key; does nothing and gives `false` for
    /// those that are a view of other bits.
    #[inline]
    pub fn constrain_bits(self, key: &mut Key, mask: &mut Mask, value: u128, wanted: u128) -> bool {
        let meta = self.meta();
        let Location::Bits { last_word, offset, bits } = meta.location else { return false };
        let (last, shift, width) = (usize::from(last_word), u32::from(offset), u32::from(bits));
        let whole = ones(meta.n_bits.into());
        mask.set_bits(last, shift, width, if wanted & whole == whole { u128::MAX } else { wanted });
        key.set_bits(last, shift, width, value & wanted);
        // Of a match nothing lies outside the mask; of the words that may have changed neither.
        let first = last - usize::from(shift + width > 64);
        (first..=last).for_each(|i| key.0[i] &= mask.0[i]);
        true
    }

    /// Whether `mask` cares for none of its bits.
    pub fn is_wild(self, mask: &Mask) -> bool {
        match self.meta().location {
            Location::Bits { last_word, offset, bits } => mask.bits(last_word.into(), offset.into(), bits.into()) == 0,
            _ => self.mask(mask).is_zero(),
        }
    }

    /// Whether a value of the right width has no bits where the field has none.
    pub fn is_value_valid(self, value: &Value) -> bool {
        let meta = self.meta();
        if value.len() != usize::from(meta.n_bytes) {
            return matches!(self, Field::TunMetadata(_)) && value.len() <= usize::from(meta.n_bytes);
        }
        self.is_number_valid(value.to_u128())
    }

    /// As [`Field::is_value_valid`], of a number.
    #[inline]
    pub fn is_number_valid(self, number: u128) -> bool {
        match self {
            Field::TunMetadata(_)
            | Field::TunErspanIdx
            | Field::TunErspanVer
            | Field::TunErspanDir
            | Field::TunErspanHwid => true,
            Field::ArpOp => number <= 0xff,
            Field::NshTtl => number <= 63,
            Field::NshMdtype => matches!(number, 1 | 2),
            Field::VlanVid => number & !0x1fff == 0,
            Field::NwTos => number & 3 == 0,
            Field::CtState => number & !0xff == 0,
            Field::InPortOxm | Field::ActsetOutput => !(0xff00..0xffff_ff00).contains(&(number as u32)),
            _ => number & !ones(self.meta().n_bits.into()) == 0,
        }
    }
}
