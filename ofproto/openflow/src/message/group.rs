//! Groups. OpenFlow 1.1 section 5.6 on, 1.5.1 sections 7.3.4.3 and 7.3.5.10, Nicira's selection method extension.

use super::FieldArray;
use crate::OfPort;
use crate::action::Actions;

/// Greatest group number that a group can have.
pub const GROUP_MAX: u32 = 0xffff_ff00;
/// All groups.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// Any group; no group.
pub const GROUP_ANY: u32 = 0xffff_ffff;
/// Greatest bucket identifier.
pub const BUCKET_MAX: u32 = 0xffff_ff00;
/// The first bucket, in commands.
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
/// The last bucket, in commands.
pub const BUCKET_LAST: u32 = 0xffff_fffe;
/// All buckets, in commands.
pub const BUCKET_ALL: u32 = 0xffff_ffff;

/// What a group does with its buckets; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum GroupType {
    /// Every bucket, each with its own copy.
    #[default]
    All = 0,
    /// One bucket by hash.
    Select = 1,
    /// The one bucket.
    Indirect = 2,
    /// The first live bucket.
    FastFailover = 3,
}

impl GroupType {
    /// All, in the order of their numbers.
    pub const ALL: [GroupType; 4] = [GroupType::All, GroupType::Select, GroupType::Indirect, GroupType::FastFailover];

    /// The type with this number.
    pub fn from_wire(number: u8) -> Option<GroupType> {
        GroupType::ALL.get(usize::from(number)).copied()
    }

    /// `all`, `select`, `indirect`, `ff`.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
        }
    }
}

/// What a group-mod does; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum GroupCommand {
    /// Add a new group.
    Add = 0,
    /// Replace an existing group.
    Modify = 1,
    /// Delete groups.
    Delete = 2,
    /// Insert buckets (1.5 or Nicira).
    InsertBucket = 3,
    /// Remove buckets (1.5 or Nicira).
    RemoveBucket = 5,
    /// Add or replace (Nicira).
    AddOrMod = 0x8000,
}

/// How a select group chooses; Nicira's extension.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GroupProps {
    /// `hash`, `dp_hash` or empty for the default; at most 15 octets.
    pub selection_method: String,
    /// Parameter of the method: basis of the hash.
    pub selection_method_param: u64,
    /// Fields that are hashed, with masks.
    pub fields: FieldArray,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    /// Identifier (1.5 and Nicira); [`BUCKET_ALL`] when none was given.
    pub bucket_id: u32,
    /// Share in a select group.
    pub weight: u16,
    /// Port whose liveness decides, [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// Group whose liveness decides, [`GROUP_ANY`] for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Actions,
}

/// Add, modify or delete a group or its buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMod {
    /// What to do.
    pub command: GroupCommand,
    /// Type.
    pub kind: GroupType,
    /// Group, or [`GROUP_ALL`].
    pub group_id: u32,
    /// For bucket commands: which bucket or where; [`BUCKET_ALL`] otherwise.
    pub command_bucket_id: u32,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection method.
    pub props: GroupProps,
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDesc {
    /// Which.
    pub group_id: u32,
    /// Type.
    pub kind: GroupType,
    /// Buckets.
    pub buckets: Vec<Bucket>,
    /// Selection method.
    pub props: GroupProps,
}

/// Counters of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BucketStats {
    /// Packets.
    pub packet_count: u64,
    /// Octets.
    pub byte_count: u64,
}

/// Counters of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    /// Which.
    pub group_id: u32,
    /// Flows and groups that send there.
    pub ref_count: u32,
    /// Packets.
    pub packet_count: u64,
    /// Octets.
    pub byte_count: u64,
    /// How long it has been there, seconds; `u32::MAX` if unknown (before 1.3).
    pub duration_sec: u32,
    /// And nanoseconds.
    pub duration_nsec: u32,
    /// By bucket.
    pub buckets: Vec<BucketStats>,
}

/// What groups can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GroupFeatures {
    /// Bit n: [`GroupType`] n.
    pub types: u32,
    /// Bits 0 to 3: select weight, select liveness, chaining, chaining checks.
    pub capabilities: u32,
    /// Most groups, by type.
    pub max_groups: [u32; 4],
    /// Actions by type, bit n = OpenFlow 1.2's action type n.
    pub actions: [u32; 4],
}
