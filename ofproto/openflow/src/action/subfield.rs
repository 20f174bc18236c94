//! Subfields as text: `NXM_NX_REG0[4..7]`.
//!
//! Source: ovs-fields(7), "Field Specifications".

use flow::field::{Field, TunTable, Value};

use super::Subfield;
use crate::nxm;

/// The field at the start of a text: by name, or by the name of its header with or without `_W`.
fn field_named(name: &str) -> Option<Field> {
    let header = |name: &str| Field::by_header_name(name).map(|(field, _)| field);
    header(name).or_else(|| header(name.strip_suffix("_W")?)).or_else(|| Field::by_name(name))
}

/// The field that a whole text names.
pub(crate) fn parse_field(text: &str) -> Result<Field, String> {
    field_named(text).ok_or_else(|| format!("unknown field `{text}'"))
}

/// Whole numbers as C's `%d` reads them.
fn int(text: &str) -> Option<(i64, &str)> {
    let (number, rest) = flow::text::parse_wrapping_prefix(text, 10)?;
    Some((i64::from(number as i32), rest))
}

/// The bits in `[...]` at the start of a text.
fn range(text: &str) -> Option<(Option<(i64, i64)>, &str)> {
    if let Some(rest) = text.strip_prefix("[]") {
        return Some((None, rest));
    }
    let (start, rest) = int(text.strip_prefix('[')?)?;
    if let Some(rest) = rest.strip_prefix(']') {
        return Some((Some((start, start)), rest));
    }
    let (end, rest) = int(rest.strip_prefix("..")?)?;
    Some((Some((start, end)), rest.strip_prefix(']')?))
}

impl Subfield {
    /// A whole field.
    pub fn whole(field: Field) -> Subfield {
        Subfield { field, ofs: 0, n_bits: nxm::n_bits(field, None) as u16, width: field.meta().n_bytes }
    }

    /// Some bits of a field, whose width is `tun`'s where it maps it.
    pub(crate) fn of(field: Field, ofs: u16, n_bits: u16, tun: Option<&TunTable>) -> Subfield {
        Subfield { field, ofs, n_bits, width: nxm::n_bytes(field, tun) as u16 }
    }

    /// Whether this is all of its field.
    pub fn is_whole(&self) -> bool {
        let full = match self.field {
            Field::TunMetadata(_) => self.width * 8,
            field => Subfield::whole(field).n_bits,
        };
        self.ofs == 0 && self.n_bits == full
    }

    /// Reads a subfield at the start of a text, and what follows it.
    pub(crate) fn parse_prefix(text: &str) -> Result<(Subfield, &str), String> {
        let name_len = text.find(['[', '-']).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_len);
        let field = field_named(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
        let n_bits = i64::from(Subfield::whole(field).n_bits);
        let (mut start, mut end, mut after) = (0, n_bits - 1, rest);
        if rest.starts_with('[') {
            let (bits, tail) = range(rest)
                .ok_or_else(|| format!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]"))?;
            (start, end) = bits.unwrap_or((start, end));
            after = tail;
        }
        if start > end {
            return Err(format!("{text}: starting bit {start} is after ending bit {end}"));
        }
        for (bit, which) in [(start, "starting"), (end, "ending")] {
            if bit < 0 || bit >= n_bits {
                return Err(format!("{text}: {which} bit {bit} is not valid because field is only {n_bits} bits wide"));
            }
        }
        Ok((Subfield::of(field, start as u16, (end - start + 1) as u16, None), after))
    }

    /// Reads a subfield.
    ///
    /// # Errors
    /// A text for a user.
    pub fn parse(text: &str) -> Result<Subfield, String> {
        match Subfield::parse_prefix(text)? {
            (sub, "") => Ok(sub),
            _ => Err("unexpected input following field syntax".to_string()),
        }
    }
}

impl std::fmt::Display for Subfield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(nxm::header_for(self.field, None).map_or(self.field.name(), |h| h.name))?;
        if self.is_whole() {
            return f.write_str("[]");
        }
        match (self.ofs, self.n_bits) {
            (ofs, 1) => write!(f, "[{ofs}]"),
            (ofs, n) => write!(f, "[{ofs}..{}]", i32::from(ofs) + i32::from(n) - 1),
        }
    }
}

/// A number of `n` octets at the start of a text, and what follows: `0x…` of any width, or up to 64 bits in C's manner.
/// `None` for what is no number or does not fit.
pub(crate) fn parse_int(text: &str, n: usize) -> Option<(Value, &str)> {
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        let (number, rest) = flow::text::parse_u64_prefix(text, 0)?;
        let fits = n >= 8 || number >> (n * 8) == 0;
        return fits.then(|| (Value::from_u128(number.into(), n), rest));
    };
    let len = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(len);
    let mut value = Value::zeros(n);
    for (i, digit) in digits.bytes().rev().enumerate() {
        let nibble = (digit as char).to_digit(16)? as u8;
        match value.0.len().checked_sub(1 + i / 2) {
            Some(at) => value.0[at] |= nibble << (4 * (i % 2)),
            None if nibble != 0 => return None,
            None => {}
        }
    }
    Some((value, rest))
}

/// Octets as `0x…` without leading zeros, `0` for none.
pub(crate) fn hex(octets: &[u8]) -> String {
    let digits: String = octets.iter().map(|o| format!("{o:02x}")).collect();
    match digits.trim_start_matches('0') {
        "" => "0".to_string(),
        digits => format!("0x{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfields() {
        for (text, shown) in [
            ("reg0", "NXM_NX_REG0[]"),
            ("reg0[3]", "NXM_NX_REG0[3]"),
            ("NXM_NX_REG0[3..7]", "NXM_NX_REG0[3..7]"),
            ("xreg1[0..63]", "OXM_OF_PKT_REG1[]"),
            ("NXM_OF_IN_PORT[]", "NXM_OF_IN_PORT[]"),
        ] {
            assert_eq!(Subfield::parse(text).map(|s| s.to_string()), Ok(shown.to_string()));
        }
        for (text, error) in [
            ("foo[]", "foo[]: unknown field `foo'"),
            ("reg0[32]", "reg0[32]: starting bit 32 is not valid because field is only 32 bits wide"),
            ("reg0[3..1]", "reg0[3..1]: starting bit 3 is after ending bit 1"),
            ("reg0[", "reg0[: syntax error expecting [] or [<bit>] or [<start>..<end>]"),
            ("reg0[]x", "unexpected input following field syntax"),
        ] {
            assert_eq!(Subfield::parse(text), Err(error.to_string()));
        }
    }
}
