//! Packet-outs from text: `in_port=1,packet=ffff…,actions=output:2`.

use flow::field::Field;
use flow::text::parse_u64_prefix;

use crate::action;
use crate::flow_mod::parse_match_field;
use crate::matching::Match;
use crate::message::{NO_BUFFER, PacketOut};
use crate::names::Names;
use crate::words::{Words, hex_octets};
use crate::{OfPort, Protocols};

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;

/// Fields that a packet-out may set besides the input port (1.5).
fn is_pipeline(field: Field) -> bool {
    field.is_tunnel() || field.is_register() || matches!(field, Field::Metadata | Field::InPort | Field::PacketType)
}

/// A name space and a type in it, with or without parentheses; what is no number counts as 0. Versions before 1.5 do not
/// say it.
fn packet_type(value: &str) -> Result<u32, String> {
    let numbers = value.trim_start_matches('(').split_once(',');
    let (ns, kind) = numbers.ok_or_else(|| format!("packet_type({value}) can't be interpreted"))?;
    let number = |text: &str| parse_u64_prefix(text, 0).map_or(0, |(number, _)| number as u16);
    Ok(u32::from(number(ns)) << 16 | u32::from(number(kind)))
}

/// Reads a packet-out. Returns the protocols that can say it beside it.
///
/// # Errors
/// A text for a user.
pub fn parse_packet_out(text: &str, names: Names<'_>) -> Result<(PacketOut, Protocols), String> {
    let (head, actions) = match text.find("action") {
        Some(at) => {
            let actions = text[at..].split_once('=').map(|(_, value)| value).ok_or("must specify an action")?;
            (text[..at].trim_end_matches([',', ' ', '\t']), actions)
        }
        None => (text, ""),
    };
    let mut usable = Protocols::ANY;
    let mut packet = None;
    let mut metadata = Match::any();
    metadata.set_in_port(OfPort::CONTROLLER);
    for (name, value) in Words(head) {
        if value.is_empty() {
            return Err(format!("field {name} missing value"));
        }
        match name {
            "in_port" => {
                let port = names.parse_port(value).ok_or_else(|| format!("{value} is not a valid OpenFlow port"))?;
                let good = port.is_physical() || matches!(port, OfPort::LOCAL | OfPort::NONE | OfPort::CONTROLLER);
                if !good {
                    return Err(format!("{value} is not a valid OpenFlow port for PACKET_OUT"));
                }
                metadata.set_in_port(port);
            }
            "packet_type" => {
                metadata.set_exact(Field::PacketType, packet_type(value)?.into());
            }
            "packet" => {
                let (octets, rest) = hex_octets(value);
                if octets.is_empty() || !rest.is_empty() {
                    return Err(format!("{name}: Trailing garbage in packet data"));
                }
                if octets.len() < ETHERNET {
                    return Err(format!("{name}: Packet data too short for Ethernet"));
                }
                packet = Some(octets);
            }
            _ => {
                let field = Field::by_name(name).ok_or_else(|| format!("unknown keyword {name}"))?;
                if !is_pipeline(field) {
                    return Err(format!("{name} is not a valid pipeline field for PACKET_OUT"));
                }
                usable &= parse_match_field(&mut metadata, field, value, names)?;
                usable &= Protocols::OF15_UP;
            }
        }
    }
    let packet = packet.filter(|p| !p.is_empty()).ok_or("must specify packet")?;
    let (actions, can) = action::parse_actions(actions, names)?;
    usable &= can;
    Ok((PacketOut { packet: packet.into(), buffer_id: NO_BUFFER, flow_metadata: metadata, actions }, usable))
}
