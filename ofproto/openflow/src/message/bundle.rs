//! Bundles: messages gathered and then applied as one. OpenFlow 1.4 sections 7.3.9, ONF extension 230 for 1.3.

use super::Msg;

/// What a bundle control message asks or answers; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
#[repr(u16)]
pub enum BundleCtrlType {
    OpenRequest = 0,
    OpenReply = 1,
    CloseRequest = 2,
    CloseReply = 3,
    CommitRequest = 4,
    CommitReply = 5,
    DiscardRequest = 6,
    DiscardReply = 7,
}

/// Apply all or none.
pub const BUNDLE_ATOMIC: u16 = 1;
/// Apply in the order given.
pub const BUNDLE_ORDERED: u16 = 2;

/// A bundle control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleCtrl {
    /// Which bundle.
    pub id: u32,
    /// What.
    pub kind: BundleCtrlType,
    /// [`BUNDLE_ATOMIC`], [`BUNDLE_ORDERED`].
    pub flags: u16,
}

/// A message added to a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleAdd {
    /// Which bundle.
    pub id: u32,
    /// [`BUNDLE_ATOMIC`], [`BUNDLE_ORDERED`].
    pub flags: u16,
    /// The message.
    pub message: Box<Msg>,
    /// The message as it came, for errors that quote it; empty when made here.
    pub raw: Vec<u8>,
}
