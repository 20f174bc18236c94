//! Layer-2 state machines without I/O: MAC learning and its kin.

pub mod bfd;
pub mod bond;
pub mod cfm;
mod fairness;
pub mod lacp;
pub mod lldp;
pub mod mac_learning;
pub mod mcast_snooping;
pub mod membership;
pub mod rstp;
pub mod stp;
