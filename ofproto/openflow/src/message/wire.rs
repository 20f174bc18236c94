//! Reading and writing of octets in network order, with every length checked.

use crate::{ErrorCode, OfError, OfPort};

/// A cursor over octets that came from outside.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the start of `octets`.
    pub fn new(octets: &'a [u8]) -> Self {
        Reader { rest: octets }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number of octets left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` octets.
    ///
    /// # Errors
    /// `OFPBRC_BAD_LEN` if there are fewer, as all readers here.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], ErrorCode> {
        if self.rest.len() < n {
            return Err(ErrorCode::OFPBRC_BAD_LEN);
        }
        let (head, tail) = self.rest.split_at(n);
        self.rest = tail;
        Ok(head)
    }

    /// A reader of the next `n` octets.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, ErrorCode> {
        Ok(Reader::new(self.take(n)?))
    }

    /// Passes over `n` octets.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn skip(&mut self, n: usize) -> Result<(), ErrorCode> {
        self.take(n).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ErrorCode> {
        let mut octets = [0; N];
        octets.copy_from_slice(self.take(N)?);
        Ok(octets)
    }

    /// One octet.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u8(&mut self) -> Result<u8, ErrorCode> {
        Ok(self.array::<1>()?[0])
    }

    /// Two octets.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u16(&mut self) -> Result<u16, ErrorCode> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four octets.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u32(&mut self) -> Result<u32, ErrorCode> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Six octets, an Ethernet address.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u48(&mut self) -> Result<u64, ErrorCode> {
        let high = u64::from(self.u16()?);
        Ok((high << 32) | u64::from(self.u32()?))
    }

    /// Eight octets.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn u64(&mut self) -> Result<u64, ErrorCode> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A text of at most `n` octets, filled with zeros; octets that are not UTF-8 travel in it as `octets` has it.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn text(&mut self, n: usize) -> Result<String, ErrorCode> {
        let octets = self.take(n)?;
        let end = octets.iter().position(|o| *o == 0).unwrap_or(n);
        Ok(octets::to_text(&octets[..end]).into_owned())
    }

    /// A port of 16 bits.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn port10(&mut self) -> Result<OfPort, ErrorCode> {
        Ok(OfPort(self.u16()?))
    }

    /// A port of 32 bits.
    ///
    /// # Errors
    /// `OFPBAC_BAD_OUT_PORT` if it is where no port can be.
    pub fn port11(&mut self) -> Result<OfPort, OfError> {
        port11(self.u32()?)
    }
}

/// The port of 32 bits on the wire.
///
/// # Errors
/// As [`Reader::port11`].
pub fn port11(number: u32) -> Result<OfPort, OfError> {
    OfPort::from_11(number).ok_or_else(|| {
        let text = format!(
            "port {number} is outside the supported range 0 through {} or 0xffffff00 through 0xffffffff",
            crate::port_no::MAX - 1
        );
        ErrorCode::OFPBAC_BAD_OUT_PORT.because("ofp_port", text)
    })
}

/// What the entries of a list are called in the log, and their shape.
#[derive(Clone, Copy, Debug)]
pub struct Entries {
    /// Name of the log's module.
    pub module: &'static str,
    /// Name of the message.
    pub name: &'static str,
    /// Octets that every entry has.
    pub least: usize,
    /// Where in an entry its length is.
    pub len_at: usize,
}

impl Entries {
    /// Takes the next entry, whole.
    ///
    /// # Errors
    /// `OFPBRC_BAD_LEN` if it is cut, or says a length that cannot be.
    pub fn next<'a>(&self, list: &mut Reader<'a>) -> Result<Reader<'a>, OfError> {
        let refuse = |what: String| ErrorCode::OFPBRC_BAD_LEN.because(self.module, format!("{} {what}", self.name));
        if list.len() < self.least {
            return Err(refuse(format!("has {} leftover bytes at end", list.len())));
        }
        let len = usize::from(crate::wire::be16(list.rest(), self.len_at));
        if len < self.least || len > list.len() {
            return Err(refuse(format!("claims invalid length {len}")));
        }
        Ok(list.sub(len)?)
    }
}

/// Appending to a message.
pub trait Put {
    /// One octet.
    fn put8(&mut self, value: u8);
    /// Two octets.
    fn put16(&mut self, value: u16);
    /// Four octets.
    fn put32(&mut self, value: u32);
    /// Six octets, an Ethernet address.
    fn put48(&mut self, value: u64);
    /// Eight octets.
    fn put64(&mut self, value: u64);
    /// `n` zeros.
    fn zeros(&mut self, n: usize);
    /// Octets as they are.
    fn octets(&mut self, octets: &[u8]);
    /// A text in `n` octets, its last a zero.
    fn text(&mut self, text: &str, n: usize);
    /// A port in 16 bits.
    fn port10(&mut self, port: OfPort);
    /// A port in 32 bits.
    fn port11(&mut self, port: OfPort);
    /// Overwrites two octets at `at`.
    fn patch16(&mut self, at: usize, value: u16);
    /// Zeros until the length since `start` is a multiple of 8.
    fn pad8(&mut self, start: usize);
}

impl Put for Vec<u8> {
    fn put8(&mut self, value: u8) {
        self.push(value);
    }

    fn put16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put48(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes()[2..]);
    }

    fn put64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }

    fn octets(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }

    fn text(&mut self, text: &str, n: usize) {
        let text = octets::of_text(text);
        let used = text.len().min(n.saturating_sub(1));
        self.extend_from_slice(&text[..used]);
        self.zeros(n - used);
    }

    fn port10(&mut self, port: OfPort) {
        self.put16(port.0);
    }

    fn port11(&mut self, port: OfPort) {
        self.put32(port.to_11());
    }

    fn patch16(&mut self, at: usize, value: u16) {
        self[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn pad8(&mut self, start: usize) {
        let n = (self.len() - start).next_multiple_of(8) - (self.len() - start);
        self.zeros(n);
    }
}

/// One property of a list: type, experimenter's numbers where it has them, value, whole.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// Type number.
    pub kind: u16,
    /// Experimenter and its type, for types 0xffff.
    pub experimenter: Option<(u32, u32)>,
    /// What follows the header (and experimenter numbers), without padding.
    pub value: &'a [u8],
}

impl Property<'_> {
    /// What is wrong with a property of an unknown type. `module` of the log says of which list (`what`) it is.
    pub fn unknown(&self, module: &'static str, what: &str) -> OfError {
        match self.experimenter {
            None => ErrorCode::OFPBPC_BAD_TYPE.because(module, format!("unknown {what} property type {}", self.kind)),
            Some((vendor, kind)) => {
                let text = format!("unknown {what} property type for exp_id {vendor:#x}, exp_type {}", kind as i32);
                ErrorCode::OFPBPC_BAD_EXP_TYPE.because(module, text)
            }
        }
    }
}

/// The experimenter's property type.
pub const EXPERIMENTER: u16 = 0xffff;

/// The next property of a list: a header of type and length, padded to 8 octets. Experimenter properties are those of
/// type 0xffff.
///
/// # Errors
/// As Open vSwitch: `OFPBPC_BAD_LEN` if it is too short or longer than what is left, `OFPBPC_BAD_EXPERIMENTER` for
/// experimenter 0.
pub fn property<'a>(list: &mut Reader<'a>) -> Result<Property<'a>, ErrorCode> {
    property_of_experimenters_from(EXPERIMENTER, list)
}

/// As [`property`], in a list where all kinds from `least` on are experimenters'.
///
/// # Errors
/// As [`property`].
pub fn property_of_experimenters_from<'a>(least: u16, list: &mut Reader<'a>) -> Result<Property<'a>, ErrorCode> {
    let bad = ErrorCode::OFPBPC_BAD_LEN;
    let mut head = *list;
    let kind = head.u16().map_err(|_| bad)?;
    let len = usize::from(head.u16().map_err(|_| bad)?);
    if len < 4 {
        return Err(bad);
    }
    let whole = &list.take(len.next_multiple_of(8)).map_err(|_| bad)?[..len];
    let (experimenter, value) = if kind >= least {
        let mut body = Reader::new(&whole[4..]);
        let ids = (body.u32().map_err(|_| bad)?, body.u32().map_err(|_| bad)?);
        if ids.0 == 0 {
            return Err(ErrorCode::OFPBPC_BAD_EXPERIMENTER);
        }
        (Some(ids), body.rest())
    } else {
        (None, &whole[4..])
    };
    Ok(Property { kind, experimenter, value })
}

/// Begins a property; give the result to [`end_property`].
pub fn start_property(out: &mut Vec<u8>, kind: u16) -> usize {
    let start = out.len();
    out.put16(kind);
    out.put16(0);
    start
}

/// Begins an experimenter's property.
pub fn start_experimenter(out: &mut Vec<u8>, vendor: u32, kind: u32) -> usize {
    let start = start_property(out, EXPERIMENTER);
    out.put32(vendor);
    out.put32(kind);
    start
}

/// Ends a property: fills in its length, and pads it to 8 octets.
pub fn end_property(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start;
    out.patch16(start + 2, u16::try_from(len).unwrap_or(u16::MAX));
    out.pad8(start);
}

/// Fails unless `octets` are all zero.
///
/// # Errors
/// `code`.
pub fn must_be_zero(octets: &[u8], code: ErrorCode) -> Result<(), ErrorCode> {
    if octets.iter().all(|o| *o == 0) { Ok(()) } else { Err(code) }
}
