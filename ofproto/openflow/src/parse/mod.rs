//! Messages from text, as ovs-ofctl(8) takes them: groups, meters, tables, monitors, tunnel options, connections,
//! packet-outs, and the lines of a bundle. Flows are in [`crate::flow_mod`].

pub mod bundle;
pub mod ct;
pub mod group;
pub mod meter;
pub mod monitor;
pub mod packet_out;
pub mod table;
pub mod tlv;
