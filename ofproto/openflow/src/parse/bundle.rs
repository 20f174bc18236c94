//! Lines of a bundle file: `flow …`, `group …`, `packet-out …`; a line without such a word is a flow.

use crate::Protocols;
use crate::flow_mod::{Command, FlowMod, parse_flow_mod};
use crate::message::Message;
use crate::names::Names;

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// A flow-mod.
    Flow(Box<FlowMod>),
    /// Another message.
    Other(Box<Message>),
}

/// Reads a line. Returns the protocols that can say it beside it.
///
/// # Errors
/// A text for a user.
pub fn parse_line(text: &str, names: Names<'_>) -> Result<(Line, Protocols), String> {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
    // A comma belongs to what follows: after it there is no command. The beginning of a kind will do, as in Open vSwitch.
    let rest = rest.trim_start();
    match ["flow", "group", "packet-out"].into_iter().find(|kind| kind.starts_with(word)) {
        Some("flow") => {
            let parsed = parse_flow_mod(rest, Command::Named, names)?;
            Ok((Line::Flow(Box::new(parsed.flow_mod)), parsed.usable))
        }
        Some("group") => {
            let (group_mod, usable) = super::group::parse_group_mod(rest, None, names)?;
            Ok((Line::Other(Box::new(Message::GroupMod(group_mod))), usable))
        }
        Some(_) => {
            let (packet_out, usable) = super::packet_out::parse_packet_out(rest, names)?;
            Ok((Line::Other(Box::new(Message::PacketOut(Box::new(packet_out)))), usable))
        }
        None => Err(format!("Unsupported bundle message type: {word}")),
    }
}
