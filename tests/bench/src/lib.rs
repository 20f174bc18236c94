//! Messages for the benchmarks: what controllers and switches send each other most; and a switch without threads.

pub mod rules;
pub mod switch;

use openflow::flow_mod::{Command, FlowMod, parse_flow_mod};
use openflow::message::{Dialect, Message, NO_BUFFER, PacketIn, PacketInFormat, encode_flow_mod};
use openflow::{Names, Version, matching::Match};

/// A flow of the kind that network virtualization installs: a tunnel, registers, addresses, a few actions.
pub const FLOW: &str = "table=3,priority=100,tun_id=0x1234,reg0=0x5,tcp,nw_src=10.1.2.0/24,nw_dst=10.9.8.7,tp_dst=443,\
                        actions=set_field:0x7->reg1,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],dec_ttl,output:17";

/// The flow-mod that adds [`FLOW`].
///
/// # Panics
/// If the text cannot be read.
pub fn flow_mod() -> FlowMod {
    let command = Command::Mod(openflow::flow_mod::FlowModCommand::Add);
    parse_flow_mod(FLOW, command, Names::NONE).expect("a good flow").flow_mod
}

/// The octets of [`flow_mod`] as a controller of a version sends them.
///
/// # Panics
/// If the version cannot say it.
pub fn flow_mod_octets(version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    encode_flow_mod(&mut out, dialect(version), &flow_mod(), true, version, 1).expect("sayable");
    out
}

/// OpenFlow 1.0 says the flow in Nicira's form only.
pub fn dialect(version: Version) -> Dialect {
    if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard }
}

/// A packet of 128 octets for a controller, as the switch passes it to the codec.
pub fn packet_in() -> Message {
    let mut flow_metadata = Match::any();
    flow_metadata.set_in_port(openflow::OfPort(5));
    let packet: Vec<u8> = (0..128u8).collect();
    Message::PacketIn(Box::new(PacketIn {
        format: PacketInFormat::Standard,
        packet: packet.into(),
        total_len: 128,
        buffer_id: NO_BUFFER,
        reason: 1,
        table_id: 0,
        cookie: 7,
        flow_metadata,
        userdata: Vec::new(),
        continuation: None,
        raw_continuation: Vec::new(),
    }))
}
