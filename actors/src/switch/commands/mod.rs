//! Control commands of the switch: each finds its parts in the directory and asks them. One file a family.
//!
//! Names, argument counts and texts are those of Open vSwitch 3.1's ovs-vswitchd. Source: ovs-vswitchd(8), ovs-dpctl(8),
//! and what it prints.

mod bond;
mod conntrack;
mod context;
mod detrace;
mod dpctl;
mod dpctl_edit;
mod dpif;
mod drops;
mod dummy;
mod flows;
pub(crate) use flows::log_sweep;
mod implementations;
mod pipeline;
mod pmd;
mod protocols;
mod top;
mod tunnel;

pub(super) use dpif::{capabilities, log_features, log_implementations};
pub(crate) use pmd::{hits, iteration_table};

use super::directory::Shared;
use crate::unixctl::Commands;
use context::Registry;
pub(crate) use drops::DROP_REASONS;

/// Families that are there once the switch has had its first configuration, and so not in one that waits for the
/// database's lock: as in Open vSwitch, who asks is told by that which of two switches is at work.
const FAMILIES: [&str; 9] =
    ["dpctl/", "dpif/", "fdb/", "mdb/", "ofproto/", "ovs/route/", "revalidator/", "tnl/", "upcall/"];
/// A member of theirs that is there from the start.
const EARLY: &str = "tnl/egress_port_range";

/// Registers them.
pub fn add(commands: &mut Commands, directory: &Shared) {
    let known = directory.clone();
    commands.gate(move |name| {
        let is_late = FAMILIES.iter().any(|family| name.starts_with(family)) && name != EARLY;
        !is_late || known.load().is_configured
    });
    let registry = &mut Registry { commands, directory };
    const UNKNOWN: &str = "no such bridge";
    for (name, usage, count) in [
        ("fdb/show", "bridge", 1),
        ("fdb/stats-show", "bridge", 1),
        ("fdb/add", "bridge port vlan mac", 4),
        ("fdb/del", "bridge vlan mac", 3),
        ("mdb/show", "bridge", 1),
    ] {
        registry.bridge(name, usage, (count, count), UNKNOWN);
    }
    registry.bridges("fdb/flush", UNKNOWN, "table successfully flushed");
    registry.bridges("fdb/stats-clear", UNKNOWN, "statistics successfully cleared");
    registry.bridges("mdb/flush", UNKNOWN, "table successfully flushed");
    bond::add(registry);
    conntrack::add(registry);
    detrace::add(registry);
    dpctl::add(registry);
    dpctl_edit::add(registry);
    dpif::add(registry);
    drops::add(registry);
    dummy::add(registry);
    flows::add(registry);
    pipeline::add(registry);
    protocols::add(registry);
    top::add(registry);
    tunnel::add(registry);
}
