//! Fields: names, widths and texts, table by table.

use super::*;
use crate::{Key, Mask};

#[test]
fn ranks_are_dense() {
    for (i, field) in ALL.iter().enumerate() {
        assert_eq!(field.index(), i, "{field:?}");
        assert_eq!(field.meta().field, *field);
        assert_eq!(Field::by_name(field.name()), Some(*field));
        for header in field.meta().headers {
            let class = header.class;
            assert_eq!(Field::by_header(class.class, class.experimenter, header.number).unwrap().0, *field);
        }
    }
}

#[test]
fn values_and_masks_round_trip() {
    for field in ALL.iter().filter(|f| !matches!(f, Field::TunMetadata(_))) {
        let meta = field.meta();
        let n = usize::from(meta.n_bytes);
        let mut value = Value::ones(n, meta.n_bits.into());
        match field {
            Field::NwTos => value = Value::from_u128(0xfc, 1),
            Field::CtState | Field::ArpOp => value = Value::from_u128(0xff, n),
            Field::VlanVid => value = Value::from_u128(0x1fff, 2),
            _ => {}
        }
        let mut key = Key::EMPTY;
        field.set(&mut key, &value);
        assert_eq!(field.get(&key), value, "{field:?}");
        let mut mask = Mask::EMPTY;
        assert!(field.is_wild(&mask));
        field.set_exact(&mut mask);
        assert!(field.mask(&mask).is_ones(), "{field:?}");
    }
}
