//! `packet-out`.

use openflow::action;
use openflow::hex_octets;
use openflow::matching::Match;
use openflow::message::{Message, NO_BUFFER, PacketOut};
use openflow::parse::packet_out::parse_packet_out;
use openflow::{Names, OfPort};

use super::flows::{noting, open_for_flow_mod, with_names};
use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;

/// The port that a text names without the switch's help, and what the log is to say of it; nothing of what is none.
fn noting_if_known(text: &str) -> Option<OfPort> {
    Names::NONE.parse_port(text)?;
    noting(Names::NONE, |names| names.parse_port(text).ok_or_else(String::new)).ok()
}

/// `packet-out SWITCH "in_port=… packet=… actions=…"`, or in the older way `packet-out SWITCH IN_PORT ACTIONS PACKET...`.
pub(super) fn packet_out(settings: &Settings, args: &[String]) -> Done {
    if args.len() == 2 {
        let ((packet_out, usable), found) = with_names(&args[0], settings, |names| parse_packet_out(&args[1], names))?;
        let (session, _) = open_for_flow_mod(found, &args[0], usable, settings)?;
        let request = session.encode(&Message::PacketOut(Box::new(packet_out)))?;
        return session.change(&request, settings);
    }
    if args.len() == 3 {
        return Err(Failure::Text(format!("Too many arguments ({})", args.len() + 1)));
    }
    let ((actions, usable), found) = with_names(&args[0], settings, |names| action::parse_actions(&args[2], names))?;
    let port = match noting_if_known(&args[1]) {
        Some(port) => port,
        None => super::ports::port_of(&Session::open(&args[0], settings)?, settings, &args[1])?,
    };
    let (session, _) = open_for_flow_mod(found, &args[0], usable, settings)?;
    let mut flow_metadata = Match::any();
    flow_metadata.set_in_port(port);
    for text in &args[3..] {
        let (octets, rest) = hex_octets(text);
        if !rest.is_empty() {
            return Err("Trailing garbage in packet data".into());
        }
        if octets.len() < ETHERNET {
            return Err("Packet data too short for Ethernet".into());
        }
        let packet_out = PacketOut {
            packet: octets.into(),
            buffer_id: NO_BUFFER,
            flow_metadata: flow_metadata.clone(),
            actions: actions.clone(),
        };
        let request = session.encode(&Message::PacketOut(Box::new(packet_out)))?;
        session.change(&request, settings)?;
    }
    Ok(())
}
