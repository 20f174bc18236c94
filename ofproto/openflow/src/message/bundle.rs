//! Bundles: messages gathered and then applied as one. OpenFlow 1.4 sections 7.3.9, ONF extension 230 for 1.3.

use super::Msg;
use super::kind::{self, Head, Kind};
use super::wire::{Put, Reader};
use crate::{ErrorCode, OfError};

/// What a bundle control message asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleCtrlType {
    /// Opens a bundle.
    OpenRequest,
    /// It is open.
    OpenReply,
    /// Closes a bundle: nothing is added any more.
    CloseRequest,
    /// It is closed.
    CloseReply,
    /// Puts all messages of a bundle into effect, or none.
    CommitRequest,
    /// They are in effect.
    CommitReply,
    /// Forgets a bundle.
    DiscardRequest,
    /// It is forgotten.
    DiscardReply,
    /// One that no version has.
    Other(u16),
}

/// The known types, by their numbers.
const TYPES: [BundleCtrlType; 8] = [
    BundleCtrlType::OpenRequest,
    BundleCtrlType::OpenReply,
    BundleCtrlType::CloseRequest,
    BundleCtrlType::CloseReply,
    BundleCtrlType::CommitRequest,
    BundleCtrlType::CommitReply,
    BundleCtrlType::DiscardRequest,
    BundleCtrlType::DiscardReply,
];

impl BundleCtrlType {
    fn from_wire(number: u16) -> BundleCtrlType {
        TYPES.get(usize::from(number)).copied().unwrap_or(BundleCtrlType::Other(number))
    }

    fn wire(self) -> u16 {
        match self {
            BundleCtrlType::Other(number) => number,
            known => TYPES.iter().position(|t| *t == known).map_or(0, |at| at as u16),
        }
    }
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
    /// The message as it came, for errors that quote it; empty when made here, and where a switch reads.
    pub raw: Vec<u8>,
}

pub(super) fn decode_ctrl(body: &[u8]) -> Result<BundleCtrl, OfError> {
    let mut body = Reader::new(body);
    let (id, kind, flags) = (body.u32()?, body.u16()?, body.u16()?);
    Ok(BundleCtrl { id, kind: BundleCtrlType::from_wire(kind), flags })
}

pub(super) fn encode_ctrl(out: &mut Vec<u8>, ctrl: &BundleCtrl) {
    out.put32(ctrl.id);
    out.put16(ctrl.kind.wire());
    out.put16(ctrl.flags);
}

/// Name of the log's module for what is said of bundles.
const LOG: &str = "ofp_bundle";
/// What the log calls a message that brings another, whatever the version.
const ADD_MESSAGE: &str = "OFPT14_BUNDLE_ADD_MESSAGE";

/// Whether messages of a kind may be in a bundle.
pub fn is_bundlable(kind: Kind) -> bool {
    matches!(kind, Kind::PortMod | Kind::FlowMod | Kind::GroupMod | Kind::PacketOut)
}

/// Reads the identifier and flags, and gives the message within, checked but not decoded.
pub(crate) fn decode_add<'a>(head: &Head<'a>) -> Result<(u32, u16, &'a [u8]), OfError> {
    let mut body = Reader::new(head.body);
    let id = body.u32()?;
    body.skip(2)?;
    let flags = body.u16()?;
    let inner = body.rest();
    if inner.len() < kind::HEADER_LEN {
        return Err(ErrorCode::OFPBFC_MSG_BAD_LEN.into());
    }
    if inner[0] != head.version {
        return Err(ErrorCode::OFPBFC_BAD_VERSION.into());
    }
    let len = usize::from(u16::from_be_bytes([inner[2], inner[3]]));
    if len < kind::HEADER_LEN || len > inner.len() {
        return Err(ErrorCode::OFPBFC_MSG_BAD_LEN.into());
    }
    if inner[4..8] != head.xid.to_be_bytes() {
        return Err(ErrorCode::OFPBFC_MSG_BAD_XID.into());
    }
    let inner = &inner[..len];
    match kind::head(inner) {
        Ok(head) if is_bundlable(head.shape.kind) => Ok((id, flags, inner)),
        Ok(head) => {
            let text = format!("{} message not allowed inside {ADD_MESSAGE}", head.shape.name);
            Err(ErrorCode::OFPBFC_MSG_UNSUP.because(LOG, text))
        }
        Err(error) => {
            let text = format!("{ADD_MESSAGE} contained message is unparsable ({})", error.code);
            Err(error.under(ErrorCode::OFPBFC_MSG_UNSUP).remark(LOG, text))
        }
    }
}

/// Appends identifier and flags; the message follows.
pub(super) fn encode_add(out: &mut Vec<u8>, id: u32, flags: u16) {
    out.put32(id);
    out.zeros(2);
    out.put16(flags);
}
