//! OpenFlow error codes: every type and code of every version under one name, with the Nicira and ONF forms.
//!
//! A name keeps its meaning in every version; only its numbers differ ([`ErrorCode::in_version`]). Source: the
//! `ofp_error_type` sections of OpenFlow 1.0 to 1.5, ONF extensions 230, 187 and 191, and the Nicira extensions.

use crate::Version;

/// Organisation that defined a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Vendor {
    /// OpenFlow itself.
    Of,
    /// Nicira.
    Nx,
    /// Open Networking Foundation.
    Onf,
}

impl Vendor {
    /// The experimenter number; 0 for OpenFlow itself.
    pub const fn id(self) -> u32 {
        match self {
            Vendor::Of => 0,
            Vendor::Nx => crate::NX_VENDOR_ID,
            Vendor::Onf => crate::ONF_VENDOR_ID,
        }
    }
}

/// The numbers of a code in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numbers {
    /// Who defined it.
    pub vendor: Vendor,
    /// Error type; for a vendor's code of OpenFlow 1.2 and later the experimenter's type.
    pub kind: u16,
    /// Code within the type; 0 where a vendor's code has none.
    pub code: u16,
}

/// One kind of error, whatever the version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

/// Where a code is defined: vendor, first and last version on the wire, type, code.
type Spec = (Vendor, u8, u8, u16, u16);

struct Entry {
    name: &'static str,
    specs: &'static [Spec],
}

macro_rules! code_or_zero {
    () => {
        0
    };
    ($code:literal) => {
        $code
    };
}

macro_rules! codes {
    ($($name:ident: $($vendor:ident $from:literal..$to:literal ($kind:literal $(, $code:literal)?)),+;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]
        enum Index { $($name),* }

        const TABLE: &[Entry] = &[$(Entry {
            name: stringify!($name),
            specs: &[$((Vendor::$vendor, $from, $to, $kind, code_or_zero!($($code)?))),+],
        }),*];

        impl ErrorCode {
            $(#[doc = concat!("Error `", stringify!($name), "`.")] pub const $name: ErrorCode = ErrorCode(Index::$name as u16);)*
        }
    };
}

// Versions by their number on the wire: 1 is OpenFlow 1.0, 6 is 1.5. Where two names share numbers in a version, the
// first one is how those numbers are read.
codes! {
    OFPHFC_INCOMPATIBLE: Of 1..6 (0, 0);
    OFPHFC_EPERM: Of 1..6 (0, 1);

    OFPBRC_BAD_VERSION: Of 1..6 (1, 0);
    OFPBRC_BAD_TYPE: Of 1..6 (1, 1);
    OFPBRC_BAD_STAT: Of 1..6 (1, 2);
    OFPBRC_BAD_VENDOR: Of 1..6 (1, 3);
    OFPBRC_BAD_SUBTYPE: Of 1..6 (1, 4);
    OFPBRC_EPERM: Of 1..6 (1, 5);
    OFPBRC_BAD_LEN: Of 1..6 (1, 6);
    OFPBRC_BUFFER_EMPTY: Of 1..6 (1, 7);
    OFPBRC_BUFFER_UNKNOWN: Of 1..6 (1, 8);
    OFPBRC_BAD_TABLE_ID: Nx 1..1 (1, 512), Of 2..6 (1, 9);
    OFPBRC_IS_SECONDARY: Of 1..2 (1, 5), Of 3..6 (1, 10);
    OFPBRC_BAD_PORT: Nx 1..2 (1, 514), Of 3..6 (1, 11);
    OFPBRC_BAD_PACKET: Of 3..6 (1, 12);
    OFPBRC_MULTIPART_BUFFER_OVERFLOW: Of 4..6 (1, 13);
    OFPBRC_MULTIPART_REQUEST_TIMEOUT: Onf 4..4 (2640), Of 5..6 (1, 14);
    OFPBRC_MULTIPART_REPLY_TIMEOUT: Onf 4..4 (2641), Of 5..6 (1, 15);
    OFPBRC_MULTIPART_BAD_SCHED: Of 6..6 (1, 16);
    OFPBRC_PIPELINE_FIELDS_ONLY: Of 6..6 (1, 17);
    OFPBRC_UNKNOWN: Of 6..6 (1, 18);
    NXBRC_NXM_INVALID: Nx 1..2 (1, 256), Nx 3..6 (2);
    NXBRC_NXM_BAD_TYPE: Nx 1..2 (1, 257), Nx 3..6 (3);
    NXBRC_MUST_BE_ZERO: Nx 1..2 (1, 515), Nx 3..6 (4);
    NXBRC_BAD_REASON: Nx 1..2 (1, 516), Nx 3..6 (5);
    NXBRC_FM_BAD_EVENT: Nx 1..2 (1, 520), Nx 3..6 (9);
    NXBRC_UNENCODABLE_ERROR: Nx 1..2 (1, 521), Nx 3..6 (10);

    OFPBAC_BAD_TYPE: Of 1..6 (2, 0);
    OFPBAC_BAD_LEN: Of 1..6 (2, 1);
    OFPBAC_BAD_VENDOR: Of 1..6 (2, 2);
    OFPBAC_BAD_VENDOR_TYPE: Of 1..6 (2, 3);
    OFPBAC_BAD_OUT_PORT: Of 1..6 (2, 4);
    OFPBAC_BAD_ARGUMENT: Of 1..6 (2, 5);
    OFPBAC_EPERM: Of 1..6 (2, 6);
    OFPBAC_TOO_MANY: Of 1..6 (2, 7);
    OFPBAC_BAD_QUEUE: Of 1..6 (2, 8);
    OFPBAC_BAD_OUT_GROUP: Nx 1..1 (2, 9), Of 2..6 (2, 9);
    OFPBAC_MATCH_INCONSISTENT: Nx 1..1 (1, 522), Of 2..6 (2, 10);
    OFPBAC_UNSUPPORTED_ORDER: Of 2..6 (2, 11);
    OFPBAC_BAD_TAG: Of 2..6 (2, 12);
    OFPBAC_BAD_SET_TYPE: Nx 1..2 (1, 523), Of 3..6 (2, 13);
    OFPBAC_BAD_SET_LEN: Nx 1..2 (1, 524), Of 3..6 (2, 14);
    OFPBAC_BAD_SET_ARGUMENT: Nx 1..2 (1, 525), Of 3..6 (2, 15);
    OFPBAC_BAD_SET_MASK: Onf 4..5 (4250), Of 6..6 (2, 16);
    OFPBAC_BAD_METER: Of 6..6 (2, 17);
    NXBAC_MUST_BE_ZERO: Nx 1..2 (2, 256), Nx 3..6 (11);
    NXBAC_BAD_CONJUNCTION: Nx 1..2 (2, 526), Nx 3..6 (15);
    NXBAC_BAD_HEADER_TYPE: Nx 4..6 (39);
    NXBAC_UNKNOWN_ED_PROP: Nx 4..6 (40);
    NXBAC_BAD_ED_PROP: Nx 4..6 (41);
    NXBAC_CT_DATAPATH_SUPPORT: Nx 1..2 (1, 265), Nx 3..6 (42);

    OFPBIC_UNKNOWN_INST: Of 2..6 (3, 0);
    OFPBIC_UNSUP_INST: Nx 1..1 (2, 257), Of 2..6 (3, 1);
    OFPBIC_BAD_TABLE_ID: Of 2..6 (3, 2);
    OFPBIC_UNSUP_METADATA: Of 2..6 (3, 3);
    OFPBIC_UNSUP_METADATA_MASK: Of 2..6 (3, 4);
    OFPBIC_BAD_EXPERIMENTER: Of 2..6 (3, 5);
    OFPBIC_BAD_EXP_TYPE: Of 2..2 (3, 5), Of 3..6 (3, 6);
    OFPBIC_BAD_LEN: Of 3..6 (3, 7);
    OFPBIC_EPERM: Of 3..6 (3, 8);
    OFPBIC_DUP_INST: Nx 2..2 (3, 256), Onf 3..4 (2600), Of 5..6 (3, 9);

    OFPBMC_BAD_TYPE: Of 2..6 (4, 0);
    OFPBMC_BAD_LEN: Of 2..6 (4, 1);
    OFPBMC_BAD_TAG: Of 2..6 (4, 2);
    OFPBMC_BAD_DL_ADDR_MASK: Of 2..6 (4, 3);
    OFPBMC_BAD_NW_ADDR_MASK: Of 2..6 (4, 4);
    OFPBMC_BAD_WILDCARDS: Nx 1..1 (1, 262), Of 2..6 (4, 5);
    OFPBMC_BAD_FIELD: Nx 1..1 (0, 263), Of 2..6 (4, 6);
    OFPBMC_BAD_VALUE: Nx 1..1 (1, 258), Of 2..6 (4, 7);
    OFPBMC_BAD_MASK: Nx 1..2 (1, 259), Of 3..6 (4, 8);
    OFPBMC_BAD_PREREQ: Nx 1..2 (1, 260), Of 3..6 (4, 9);
    OFPBMC_DUP_FIELD: Nx 1..2 (1, 261), Of 3..6 (4, 10);
    OFPBMC_EPERM: Of 3..6 (4, 11);
    NXBMC_CT_DATAPATH_SUPPORT: Nx 1..2 (1, 264), Nx 3..6 (43);

    OFPFMFC_UNKNOWN: Of 2..6 (5, 0);
    OFPFMFC_TABLE_FULL: Of 1..1 (3, 0), Of 2..6 (5, 1);
    OFPFMFC_BAD_TABLE_ID: Of 2..6 (5, 2);
    OFPFMFC_OVERLAP: Of 1..1 (3, 1), Of 2..6 (5, 3);
    OFPFMFC_EPERM: Of 1..1 (3, 2), Of 2..6 (5, 4);
    OFPFMFC_BAD_TIMEOUT: Of 2..6 (5, 5);
    OFPFMFC_BAD_EMERG_TIMEOUT: Of 1..1 (3, 3);
    OFPFMFC_BAD_COMMAND: Of 1..1 (3, 4), Of 2..6 (5, 6);
    OFPFMFC_BAD_FLAGS: Nx 1..1 (3, 258), Nx 2..2 (5, 258), Of 3..6 (5, 7);
    OFPFMFC_CANT_SYNC: Of 5..6 (5, 8);
    OFPFMFC_BAD_PRIORITY: Onf 4..4 (2360), Of 5..6 (5, 9);
    OFPFMFC_IS_SYNC: Of 5..6 (5, 10);
    OFPFMFC_UNSUPPORTED: Of 1..1 (3, 5);
    NXFMFC_HARDWARE: Nx 1..2 (5, 256), Nx 3..6 (12);
    NXFMFC_BAD_TABLE_ID: Nx 1..2 (5, 257), Nx 3..6 (13);
    NXFMFC_INVALID_TLV_FIELD: Nx 1..2 (1, 536), Nx 3..6 (37);

    OFPGMFC_GROUP_EXISTS: Nx 1..1 (6, 0), Of 2..6 (6, 0);
    OFPGMFC_INVALID_GROUP: Nx 1..1 (6, 1), Of 2..6 (6, 1);
    OFPGMFC_WEIGHT_UNSUPPORTED: Nx 1..1 (6, 2), Of 2..6 (6, 2);
    OFPGMFC_OUT_OF_GROUPS: Nx 1..1 (6, 3), Of 2..6 (6, 3);
    OFPGMFC_OUT_OF_BUCKETS: Nx 1..1 (6, 4), Of 2..6 (6, 4);
    OFPGMFC_CHAINING_UNSUPPORTED: Nx 1..1 (6, 5), Of 2..6 (6, 5);
    OFPGMFC_WATCH_UNSUPPORTED: Nx 1..1 (6, 6), Of 2..6 (6, 6);
    OFPGMFC_LOOP: Nx 1..1 (6, 7), Of 2..6 (6, 7);
    OFPGMFC_UNKNOWN_GROUP: Nx 1..1 (6, 8), Of 2..6 (6, 8);
    OFPGMFC_CHAINED_GROUP: Nx 1..1 (6, 9), Of 3..6 (6, 9);
    OFPGMFC_BAD_TYPE: Nx 1..1 (6, 10), Of 3..6 (6, 10);
    OFPGMFC_BAD_COMMAND: Nx 1..1 (6, 11), Of 3..6 (6, 11);
    OFPGMFC_BAD_BUCKET: Nx 1..1 (6, 12), Of 3..6 (6, 12);
    OFPGMFC_BAD_WATCH: Nx 1..1 (6, 13), Of 3..6 (6, 13);
    OFPGMFC_EPERM: Nx 1..1 (6, 14), Of 3..6 (6, 14);
    OFPGMFC_UNKNOWN_BUCKET: Nx 1..1 (6, 15), Of 6..6 (6, 15);
    OFPGMFC_BUCKET_EXISTS: Nx 1..1 (6, 16), Of 6..6 (6, 16);

    OFPPMFC_BAD_PORT: Of 1..1 (4, 0), Of 2..6 (7, 0);
    OFPPMFC_BAD_HW_ADDR: Of 1..1 (4, 1), Of 2..6 (7, 1);
    OFPPMFC_BAD_CONFIG: Of 2..6 (7, 2);
    OFPPMFC_BAD_ADVERTISE: Of 2..6 (7, 3);
    OFPPMFC_EPERM: Of 3..6 (7, 4);

    OFPTMFC_BAD_TABLE: Of 2..6 (8, 0);
    OFPTMFC_BAD_CONFIG: Of 2..6 (8, 1);
    OFPTMFC_EPERM: Of 3..6 (8, 2);

    OFPQOFC_BAD_PORT: Of 1..1 (5, 0), Of 2..6 (9, 0);
    OFPQOFC_BAD_QUEUE: Of 1..1 (5, 1), Of 2..6 (9, 1);
    OFPQOFC_EPERM: Of 1..1 (5, 2), Of 2..6 (9, 2);
    NXQOFC_QUEUE_ERROR: Nx 5..6 (23);

    OFPSCFC_BAD_FLAGS: Of 2..6 (10, 0);
    OFPSCFC_BAD_LEN: Of 2..6 (10, 1);
    OFPSCFC_EPERM: Of 3..6 (10, 2);

    OFPRRFC_STALE: Of 3..6 (11, 0);
    OFPRRFC_UNSUP: Of 3..6 (11, 1);
    OFPRRFC_BAD_ROLE: Nx 1..2 (1, 513), Of 3..6 (11, 2);
    OFPRRFC_ID_UNSUP: Of 6..6 (11, 3);
    OFPRRFC_ID_IN_USE: Of 6..6 (11, 4);

    OFPMMFC_UNKNOWN: Of 4..6 (12, 0);
    OFPMMFC_METER_EXISTS: Of 4..6 (12, 1);
    OFPMMFC_INVALID_METER: Of 4..6 (12, 2);
    OFPMMFC_UNKNOWN_METER: Of 4..6 (12, 3);
    OFPMMFC_BAD_COMMAND: Of 4..6 (12, 4);
    OFPMMFC_BAD_FLAGS: Of 4..6 (12, 5);
    OFPMMFC_BAD_RATE: Of 4..6 (12, 6);
    OFPMMFC_BAD_BURST: Of 4..6 (12, 7);
    OFPMMFC_BAD_BAND: Of 4..6 (12, 8);
    OFPMMFC_BAD_BAND_VALUE: Of 4..6 (12, 9);
    OFPMMFC_OUT_OF_METERS: Of 4..6 (12, 10);
    OFPMMFC_OUT_OF_BANDS: Of 4..6 (12, 11);

    OFPTFFC_BAD_TABLE: Of 4..6 (13, 0);
    OFPTFFC_BAD_METADATA: Of 4..6 (13, 1);
    OFPTFFC_EPERM: Of 4..6 (13, 5);
    OFPTFFC_BAD_CAPA: Of 6..6 (13, 6);
    OFPTFFC_BAD_MAX_ENT: Of 6..6 (13, 7);
    OFPTFFC_BAD_FEATURES: Of 6..6 (13, 8);
    OFPTFFC_BAD_COMMAND: Of 6..6 (13, 9);
    OFPTFFC_TOO_MANY: Of 6..6 (13, 10);
    NXTFFC_DUP_TABLE: Nx 4..6 (44);

    OFPBPC_BAD_TYPE: Nx 1..2 (13, 2), Nx 3..3 (25), Of 4..4 (13, 2), Of 5..6 (14, 0);
    OFPBPC_BAD_LEN: Nx 1..2 (13, 3), Nx 3..3 (26), Of 4..4 (13, 3), Of 5..6 (14, 1);
    OFPBPC_BAD_VALUE: Nx 1..2 (13, 4), Nx 3..3 (27), Of 4..4 (13, 4), Of 5..6 (14, 2);
    OFPBPC_TOO_MANY: Nx 1..2 (14, 3), Nx 3..3 (28), Onf 4..4 (4443), Of 5..6 (14, 3);
    OFPBPC_DUP_TYPE: Nx 1..2 (14, 4), Nx 3..3 (29), Onf 4..4 (4444), Of 5..6 (14, 4);
    OFPBPC_BAD_EXPERIMENTER: Nx 1..2 (14, 5), Nx 3..3 (30), Onf 4..4 (4445), Of 5..6 (14, 5);
    OFPBPC_BAD_EXP_TYPE: Nx 1..2 (14, 6), Nx 3..3 (31), Onf 4..4 (4446), Of 5..6 (14, 6);
    OFPBPC_BAD_EXP_VALUE: Nx 1..2 (14, 7), Nx 3..3 (32), Onf 4..4 (4447), Of 5..6 (14, 7);
    OFPBPC_EPERM: Nx 1..2 (14, 8), Nx 3..3 (33), Onf 4..4 (4448), Of 5..6 (14, 8);

    OFPACFC_INVALID: Onf 4..4 (2370), Of 5..6 (15, 0);
    OFPACFC_UNSUPPORTED: Onf 4..4 (2371), Of 5..6 (15, 1);
    OFPACFC_EPERM: Onf 4..4 (2372), Of 5..6 (15, 2);

    OFPBFC_UNKNOWN: Onf 4..4 (2300), Of 5..6 (17, 0);
    OFPBFC_EPERM: Onf 4..4 (2301), Of 5..6 (17, 1);
    OFPBFC_BAD_ID: Onf 4..4 (2302), Of 5..6 (17, 2);
    OFPBFC_BUNDLE_EXIST: Onf 4..4 (2303), Of 5..6 (17, 3);
    OFPBFC_BUNDLE_CLOSED: Onf 4..4 (2304), Of 5..6 (17, 4);
    OFPBFC_OUT_OF_BUNDLES: Onf 4..4 (2305), Of 5..6 (17, 5);
    OFPBFC_BAD_TYPE: Onf 4..4 (2306), Of 5..6 (17, 6);
    OFPBFC_BAD_FLAGS: Onf 4..4 (2307), Of 5..6 (17, 7);
    OFPBFC_MSG_BAD_LEN: Onf 4..4 (2308), Of 5..6 (17, 8);
    OFPBFC_MSG_BAD_XID: Onf 4..4 (2309), Of 5..6 (17, 9);
    OFPBFC_MSG_UNSUP: Onf 4..4 (2310), Of 5..6 (17, 10);
    OFPBFC_MSG_CONFLICT: Onf 4..4 (2311), Of 5..6 (17, 11);
    OFPBFC_MSG_TOO_MANY: Onf 4..4 (2312), Of 5..6 (17, 12);
    OFPBFC_MSG_FAILED: Onf 4..4 (2313), Of 5..6 (17, 13);
    OFPBFC_TIMEOUT: Onf 4..4 (2314), Of 5..6 (17, 14);
    OFPBFC_BUNDLE_IN_PROGRESS: Onf 4..4 (2315), Of 5..6 (17, 15);
    OFPBFC_SCHED_NOT_SUPPORTED: Of 6..6 (17, 16);
    OFPBFC_SCHED_FUTURE: Of 6..6 (17, 17);
    OFPBFC_SCHED_PAST: Of 6..6 (17, 18);
    OFPBFC_BAD_VERSION: Nx 5..6 (22);

    OFPMOFC_UNKNOWN: Of 5..6 (16, 0);
    OFPMOFC_MONITOR_EXISTS: Nx 1..2 (1, 517), Nx 3..4 (6), Of 5..6 (16, 1);
    OFPMOFC_INVALID_MONITOR: Of 5..6 (16, 2);
    OFPMOFC_UNKNOWN_MONITOR: Nx 1..2 (1, 519), Nx 3..4 (8), Of 5..6 (16, 3);
    OFPMOFC_BAD_COMMAND: Of 5..6 (16, 4);
    OFPMOFC_BAD_FLAGS: Nx 1..2 (1, 518), Nx 3..4 (7), Of 5..6 (16, 5);
    OFPMOFC_BAD_TABLE_ID: Of 5..6 (16, 6);
    OFPMOFC_BAD_OUT: Of 5..6 (16, 7);

    NXTTMFC_BAD_COMMAND: Nx 1..2 (1, 527), Nx 3..6 (16);
    NXTTMFC_BAD_OPT_LEN: Nx 1..2 (1, 528), Nx 3..6 (17);
    NXTTMFC_BAD_FIELD_IDX: Nx 1..2 (1, 529), Nx 3..6 (18);
    NXTTMFC_TABLE_FULL: Nx 1..2 (1, 530), Nx 3..6 (19);
    NXTTMFC_ALREADY_MAPPED: Nx 1..2 (1, 531), Nx 3..6 (20);
    NXTTMFC_DUP_ENTRY: Nx 1..2 (1, 532), Nx 3..6 (21);
    NXTTMFC_INVALID_TLV_DEL: Nx 1..2 (1, 537), Nx 3..6 (38);

    NXR_NOT_SUPPORTED: Nx 1..2 (1, 533), Nx 3..6 (34);
    NXR_STALE: Nx 1..2 (1, 534), Nx 3..6 (35);

    NXST_NOT_CONFIGURED: Nx 1..2 (1, 535), Nx 3..6 (36);
}

impl ErrorCode {
    /// Every code, in the order of the table.
    pub fn all() -> impl Iterator<Item = ErrorCode> {
        (0..TABLE.len() as u16).map(ErrorCode)
    }

    /// Its name: `OFPBRC_BAD_LEN`.
    pub fn name(self) -> &'static str {
        TABLE.get(usize::from(self.0)).map_or("<invalid>", |entry| entry.name)
    }

    /// The code with this name, in any case.
    pub fn from_name(name: &str) -> Option<ErrorCode> {
        ErrorCode::all().find(|code| code.name().eq_ignore_ascii_case(name))
    }

    /// Its numbers in `version`; nothing if that version cannot say it.
    pub fn in_version(self, version: Version) -> Option<Numbers> {
        let wire = version.wire();
        let specs = TABLE.get(usize::from(self.0))?.specs;
        let (vendor, _, _, kind, code) = *specs.iter().find(|(_, from, to, ..)| (*from..=*to).contains(&wire))?;
        Some(Numbers { vendor, kind, code })
    }

    /// The code with these numbers in `version`.
    pub fn from_numbers(version: Version, vendor: u32, kind: u16, code: u16) -> Option<ErrorCode> {
        ErrorCode::all().find(|candidate| {
            candidate.in_version(version).is_some_and(|n| n.vendor.id() == vendor && n.kind == kind && n.code == code)
        })
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
