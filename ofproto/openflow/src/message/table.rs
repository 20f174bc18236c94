//! Tables: configuration, description, status and counters. OpenFlow 1.1 on, 1.4 sections 7.3.4.3, 7.3.5.18, 7.4.5.

/// All tables.
pub const TABLE_ALL: u8 = 0xff;

/// What becomes of packets that no rule matches (1.1 and 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)]
pub enum TableMiss {
    #[default]
    Default,
    Controller,
    Continue,
    Drop,
}

/// Thresholds of vacancy events, percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Vacancy {
    /// Tell when vacancy falls below.
    pub down: u8,
    /// Tell when vacancy rises above.
    pub up: u8,
    /// Vacancy now.
    pub vacancy: u8,
}

/// Bits of `eviction_flags`.
#[allow(missing_docs)]
pub mod eviction_flag {
    pub const OTHER: u32 = 1;
    pub const IMPORTANCE: u32 = 2;
    pub const LIFETIME: u32 = 4;
}

/// Configure a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMod {
    /// Which, [`TABLE_ALL`] for all.
    pub table_id: u8,
    /// 1.1 and 1.2 (parsed, refused by later ones).
    pub miss: TableMiss,
    /// Eviction on or off, if given (1.4+).
    pub eviction: Option<bool>,
    /// `u32::MAX` if not given.
    pub eviction_flags: u32,
    /// Vacancy events on or off, if given (1.4+).
    pub vacancy: Option<bool>,
    /// Thresholds, with `vacancy` on.
    pub table_vacancy: Vacancy,
}

/// Configuration of a table (1.4+).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDesc {
    /// Which.
    pub table_id: u8,
    /// Eviction on or off, if said.
    pub eviction: Option<bool>,
    /// `u32::MAX` if not said.
    pub eviction_flags: u32,
    /// Vacancy events on or off, if said.
    pub vacancy: Option<bool>,
    /// Thresholds, with `vacancy` on.
    pub table_vacancy: Vacancy,
}

/// Why a table status is sent; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum TableReason {
    VacancyDown = 3,
    VacancyUp = 4,
}

/// A table fills up or empties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Why.
    pub reason: TableReason,
    /// The table.
    pub desc: TableDesc,
}

/// Counters of a table, with what versions before 1.3 say of its features there.
#[derive(Clone, Debug, PartialEq)]
pub struct TableStats {
    /// Which.
    pub table_id: u8,
    /// Rules.
    pub active_count: u32,
    /// Packets looked up.
    pub lookup_count: u64,
    /// Packets that matched.
    pub matched_count: u64,
    /// Features (before 1.3; default otherwise).
    pub features: super::TableFeatures,
}
