//! Names of ports and tables in text, and how text is to look.

use std::collections::BTreeMap;

use flow::field::{Field, Value};
use flow::text::{Colors, PLAIN, PortNames, parse_u32, quoted};

use crate::{Notes, OfPort};

/// Names of tables, for text that shows or takes them.
pub trait TableNames: Sync {
    /// The name of a table.
    fn name_of(&self, table: u8) -> Option<&str>;
    /// The table of a name.
    fn table_named(&self, name: &str) -> Option<u8>;
}

/// Names both ways. A name that two numbers have, or a number with two names, counts for nothing.
#[derive(Clone, Debug, Default)]
pub struct NameMap {
    by_number: BTreeMap<u32, Option<String>>,
    by_name: BTreeMap<String, Option<u32>>,
}

impl NameMap {
    /// No names.
    pub fn new() -> NameMap {
        NameMap::default()
    }

    /// Gives a number (of a port in its 32-bit form, or of a table) a name.
    pub fn insert(&mut self, number: u32, name: &str) {
        if self.by_number.get(&number).is_some_and(|n| n.as_deref() == Some(name)) {
            return;
        }
        if let Some(old) = self.by_name.insert(name.to_string(), Some(number)) {
            self.by_name.insert(name.to_string(), None);
            for number in old.into_iter().chain([number]) {
                self.by_number.insert(number, None);
            }
        } else if let Some(old) = self.by_number.insert(number, Some(name.to_string())) {
            self.by_number.insert(number, None);
            for name in old.into_iter().chain([name.to_string()]) {
                self.by_name.insert(name, None);
            }
        }
    }

    /// Gives a port a name.
    pub fn insert_port(&mut self, port: OfPort, name: &str) {
        self.insert(port.to_11(), name);
    }
}

impl PortNames for NameMap {
    fn name_of(&self, port: u32) -> Option<&str> {
        self.by_number.get(&port)?.as_deref()
    }
    fn port_named(&self, name: &str) -> Option<u32> {
        *self.by_name.get(name)?
    }
}

impl TableNames for NameMap {
    fn name_of(&self, table: u8) -> Option<&str> {
        self.by_number.get(&u32::from(table))?.as_deref()
    }
    fn table_named(&self, name: &str) -> Option<u8> {
        self.by_name.get(name).copied()?.and_then(|n| u8::try_from(n).ok())
    }
}

/// The names that text may use.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    /// Of ports.
    pub ports: Option<&'a dyn PortNames>,
    /// Of tables.
    pub tables: Option<&'a dyn TableNames>,
    /// Takes what the log is to say of text that is read.
    pub notes: Option<&'a Notes>,
}

impl Names<'_> {
    /// Numbers only.
    pub const NONE: Names<'static> = Names { ports: None, tables: None, notes: None };

    /// A port's reserved name, name or number.
    pub fn port(&self, port: OfPort) -> String {
        flow::text::ofp_port(port.to_11(), self.ports)
    }

    /// The port that a text names.
    pub fn parse_port(&self, text: &str) -> Option<OfPort> {
        self.note_port(text);
        flow::text::parse_ofp_port(text, self.ports).and_then(OfPort::from_11)
    }

    /// A field's value and mask from a text.
    ///
    /// # Errors
    /// A text for a user.
    pub(crate) fn parse_masked(&self, field: Field, text: &str) -> Result<(Value, Value), String> {
        self.note_field(field, text);
        flow::field::text::parse(field, text, self.ports)
    }

    /// A field's value from a text.
    ///
    /// # Errors
    /// A text for a user.
    pub(crate) fn parse_value(&self, field: Field, text: &str) -> Result<Value, String> {
        self.note_field(field, text);
        flow::field::text::parse_value(field, text, self.ports)
    }

    fn note_field(&self, field: Field, text: &str) {
        if matches!(field, Field::InPort | Field::InPortOxm | Field::ActsetOutput) {
            self.note_port(text);
        }
    }

    /// Lets the log know of numbers that no port has, or only in OpenFlow 1.0.
    fn note_port(&self, text: &str) {
        let Some(notes) = self.notes else { return };
        if text.starts_with('-') {
            notes.warn("ofp_port", format!("Negative value {text} is not a valid port number."));
        }
        let Some(number) = parse_u32(text, 10) else { return };
        let Ok(port) = u16::try_from(number).map(OfPort) else {
            if OfPort::from_11(number).is_none() {
                let range = "0 through ffff or 0xffffff00 through 0xffffffff";
                notes.warn("ofp_port", format!("port {number} is outside the supported range {range}"));
            }
            return;
        };
        if port.is_physical() {
            return;
        }
        let number = port.0;
        match port.reserved_name() {
            Some(name) => notes.warn_once(
                "ofp_port",
                format!(
                    "referring to port {name} as {number} is deprecated for compatibility with OpenFlow 1.1 and later"
                ),
            ),
            None => notes.warn(
                "ofp_port",
                format!(
                    "port {number} is a reserved OF1.0 port number that will be translated to {} when talking to an OF1.1 \
                     or later controller",
                    port.to_11()
                ),
            ),
        }
    }

    /// A table's name or number.
    pub fn table(&self, table: u8) -> String {
        match self.tables.and_then(|t| t.name_of(table)) {
            Some(name) => quoted(name),
            None => table.to_string(),
        }
    }

    /// The table that a text names.
    pub fn parse_table(&self, text: &str) -> Option<u8> {
        if let Some(notes) = self.notes.filter(|_| text.starts_with('-')) {
            notes.warn("ofp_table", format!("Negative value {text} is not a valid table number."));
        }
        if let Some(number) = parse_u32(text, 10) {
            if let Some(notes) = self.notes.filter(|_| number > 255) {
                notes.warn("ofp_table", format!("table {number} is outside the supported range 0 through 255"));
            }
            return u8::try_from(number).ok();
        }
        let plain = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        self.tables.and_then(|t| t.table_named(plain))
    }
}

impl std::fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Names {{ ports: {}, tables: {} }}", self.ports.is_some(), self.tables.is_some())
    }
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Names instead of numbers.
    pub names: Names<'a>,
    /// Escape sequences around the parts.
    pub colors: Colors,
}

impl Style<'_> {
    /// Numbers, no colours.
    pub const PLAIN: Style<'static> = Style { names: Names::NONE, colors: PLAIN };
}

impl Default for Style<'_> {
    fn default() -> Self {
        Style::PLAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_names_count_for_nothing() {
        let mut map = NameMap::new();
        map.insert(1, "a");
        map.insert(2, "b");
        map.insert(3, "b");
        assert_eq!((PortNames::name_of(&map, 1), map.port_named("a")), (Some("a"), Some(1)));
        assert_eq!((PortNames::name_of(&map, 2), map.port_named("b")), (None, None));
        let names = Names { ports: Some(&map), tables: Some(&map), notes: None };
        assert_eq!(
            (names.port(OfPort(1)), names.port(OfPort(3)), names.table(1)),
            ("a".into(), "3".into(), "a".into())
        );
        assert_eq!((names.parse_port("a"), names.parse_port("local")), (Some(OfPort(1)), Some(OfPort::LOCAL)));
        assert_eq!((names.parse_table("255"), names.parse_table("256")), (Some(255), None));
    }
}
