//! Packets from the controller. OpenFlow 1.0 section 5.3.6, 1.1, 1.5.1 section 7.3.6.

use ::flow::{Mask, WORDS, extract_with};

use super::wire::{Put, Reader};
use super::{Context, NO_BUFFER, Octets, flow};
use crate::action::{self, Actions};
use crate::matching::{self, Match, Reading};
use crate::{ErrorCode, OfError, OfPort, Protocols, Version};

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketOut {
    /// The packet; empty with a buffer.
    pub packet: Octets,
    /// Buffer, [`super::NO_BUFFER`] for none.
    pub buffer_id: u32,
    /// Metadata: `in_port` always, in 1.5 others.
    pub flow_metadata: Match,
    /// What to do with it.
    pub actions: Actions,
}

pub(super) fn decode(body: &[u8], version: Version, context: &Context<'_>) -> Result<PacketOut, OfError> {
    let mut body = Reader::new(body);
    let buffer_id = body.u32()?;
    let mut flow_metadata = Match::any();
    let actions_len = match version {
        Version::V10 => {
            flow_metadata.set_in_port(body.port10()?);
            body.u16()?
        }
        Version::V15 => {
            let len = body.u16()?;
            body.skip(2)?;
            let reading = Reading { loose: true, pipeline_only: true, tun: context.tun, ..Reading::default() };
            flow_metadata = flow::take_oxm(&mut body, reading)?;
            len
        }
        _ => {
            flow_metadata.set_in_port(body.port11()?);
            let len = body.u16()?;
            body.skip(6)?;
            len
        }
    };
    let in_port = flow_metadata.in_port().ok_or(ErrorCode::OFPBRC_BAD_PORT)?;
    let actions = action::take_actions(&mut body, actions_len)?;
    let decoding = context.decoding(version);
    let actions = action::pull_unbound(actions, &decoding)?;
    if !in_port.is_physical() && !matches!(in_port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER) {
        let why = format!("packet-out has bad input port {:#x}", in_port.0);
        return Err(ErrorCode::OFPBRC_BAD_PORT.because("ofp_packet", why));
    }
    let packet: Octets = if buffer_id == NO_BUFFER { body.rest().into() } else { [].into() };
    // The switch takes no actions that make no sense for this very packet; one with a buffer it takes not at all.
    let actions = if context.by_switch && buffer_id == NO_BUFFER {
        let (key, _) = extract_with(&packet, &flow_metadata.key, ::flow::extract::MAX_VLANS);
        let exact = Match { key, mask: Mask([u64::MAX; WORDS]), tun: None };
        action::check_consistency(actions, &exact, Protocols::initial(version), &context.check)?
    } else {
        actions
    };
    Ok(PacketOut { packet, buffer_id, flow_metadata, actions })
}

pub(super) fn encode(out: &mut Vec<u8>, packet_out: &PacketOut, version: Version) {
    let in_port = packet_out.flow_metadata.in_port().unwrap_or(OfPort::NONE);
    out.put32(packet_out.buffer_id);
    let len_at = match version {
        Version::V10 => {
            out.port10(in_port);
            let at = out.len();
            out.zeros(2);
            at
        }
        Version::V15 => {
            let at = out.len();
            out.zeros(4);
            matching::put_match(out, &packet_out.flow_metadata, version);
            at
        }
        _ => {
            out.port11(in_port);
            let at = out.len();
            out.zeros(8);
            at
        }
    };
    let len = action::put_actions(out, &packet_out.actions, version);
    out.patch16(len_at, u16::try_from(len).unwrap_or(u16::MAX));
    if packet_out.buffer_id == NO_BUFFER {
        out.octets(&packet_out.packet);
    }
}
