//! What tables can. OpenFlow 1.3.5 section 7.3.5.5, 1.5.1 section 7.3.5.18; 1.0 to 1.2 say it in table statistics.

use super::FieldSet;
use super::table::TableMiss;

/// What rules of one kind (ordinary ones, or table-miss rules) can do.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct InstructionFeatures {
    /// Tables that `goto_table` can name, bit n of octet n / 8 (least significant first).
    pub next: [u8; 32],
    /// Instructions, bit n = OpenFlow 1.3's instruction type n.
    pub instructions: u32,
    /// `write_actions`.
    pub write: ActionFeatures,
    /// `apply_actions`.
    pub apply: ActionFeatures,
}

/// Actions and the fields they can set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ActionFeatures {
    /// Bit n: an action kind, numbered as in [`ACTION_KINDS`].
    pub actions: u64,
    /// Fields for `set_field`.
    pub set_fields: FieldSet,
}

/// Kinds of actions for table features: name as printed, and number on the wire (1.3+).
pub const ACTION_KINDS: [(&str, u16); 18] = [
    ("output", 0),
    ("group", 22),
    ("set_field", 25),
    ("push_vlan", 17),
    ("strip_vlan", 18),
    ("push_mpls", 19),
    ("pop_mpls", 20),
    ("set_mpls_ttl", 15),
    ("dec_mpls_ttl", 16),
    ("set_queue", 21),
    ("mod_nw_ttl", 23),
    ("dec_ttl", 24),
    ("copy_ttl_out", 11),
    ("copy_ttl_in", 12),
    ("push_pbb", 26),
    ("pop_pbb", 27),
    ("copy_field", 28),
    ("meter", 29),
];

/// What a table can.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TableFeatures {
    /// Which.
    pub table_id: u8,
    /// Its name, at most 31 octets.
    pub name: String,
    /// Metadata bits that can be matched.
    pub metadata_match: u64,
    /// Metadata bits that can be written.
    pub metadata_write: u64,
    /// Most rules.
    pub max_entries: u32,
    /// What becomes of packets that no rule matches (1.1 and 1.2).
    pub miss: TableMiss,
    /// Whether it can evict (1.4+ request; `None` if not said).
    pub eviction: Option<bool>,
    /// Whether it can tell of vacancy.
    pub vacancy: Option<bool>,
    /// Ordinary rules.
    pub nonmiss: InstructionFeatures,
    /// Table-miss rules.
    pub miss_rules: InstructionFeatures,
    /// Fields that can be matched.
    pub matching: FieldSet,
    /// Of these, with which any mask may be used.
    pub mask: FieldSet,
    /// Of these, which may be left out.
    pub wildcard: FieldSet,
    /// Command (1.5's request; 0 otherwise).
    pub command: u8,
    /// Feature bits (1.5; 0 otherwise).
    pub features: u32,
}
