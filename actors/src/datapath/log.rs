//! What a datapath logs of packets that it could not take, and, for who asked for it (`vlog/set dpif_netdev:dbg dpif:dbg`), of
//! packets handed up and of flows.
//!
//! The texts, and which module says them, equal Open vSwitch's: scripts read them.

use std::fmt;

use dp::{Notice, Speaker};
use flow::{FlowChange, FlowEntry, Key, Mask, Upcall, UpcallKind, odp_text};

/// Says what is to be known of packets, as often as Open vSwitch does. `port` is the name of the port it is of, if of any.
pub(super) fn say(notice: Notice, port: &str) {
    match notice.speaker() {
        Speaker::Tunnels => vlog::warn_rl!("native_tnl", 60, 5, "{notice}"),
        Speaker::Tracking => vlog::warn_rl!("conntrack", 5, 5, "{notice}"),
        Speaker::Devices => vlog::warn_rl!("netdev_linux", 5, 20, "error sending Ethernet packet on {port}: {notice}"),
    }
}

struct HandedUp<'a> {
    /// Of the actor: `datapath TYPE`, and more for threads other than the main one.
    name: &'a str,
    upcall: &'a Upcall,
}

impl fmt::Display for HandedUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.upcall.kind {
            UpcallKind::Miss => "miss",
            UpcallKind::Action(_) => "action",
        };
        let options = odp_text::KeyOptions { verbose: true, ports: None };
        let key = odp_text::format_key(&self.upcall.key, None, &options);
        let name = self.name.split(' ').nth(1).unwrap_or(self.name);
        let packet = openflow::print::packet_text(self.upcall.packet.data());
        write!(f, "ovs-{name}: {kind} upcall:\n{key}\n{}", packet.trim_end())
    }
}

/// A flow, and where its first packet's key comes from.
struct Added<'a, F>(&'a FlowEntry, F);

impl<F: Fn() -> Option<Key>> fmt::Display for Added<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FlowEntry { ufid, actions, .. } = self.0;
        let ufid = odp_text::ufid(*ufid);
        // As the first packet had it: of a tag that is looked at in part, all is told.
        let key = (self.1)().unwrap_or_else(|| self.0.key());
        let key = odp_text::format_key(&key, Some(&self.0.mask()), &odp_text::KeyOptions::default());
        write!(f, "flow_add: ufid:{ufid} mega_ufid:{ufid} {key}, actions:{}", odp_text::format_actions(actions, None))
    }
}

/// A change of a flow in a datapath, and where what the flow matches comes from.
struct Changed<'a, F>(&'a str, &'a FlowChange, F);

impl<F: Fn() -> Option<(Key, Mask)>> fmt::Display for Changed<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changed(name, change, matching) = self;
        let kind = name.split(' ').nth(1).unwrap_or(name);
        let options = odp_text::KeyOptions { verbose: true, ports: None };
        let key = matching().map(|(key, mask)| odp_text::format_key(&key, Some(&mask), &options)).unwrap_or_default();
        let (ufid, actions) = (odp_text::ufid(change.ufid), odp_text::format_actions(&change.actions, None));
        write!(f, "{kind}@ovs-{kind}: put[modify] ufid:{ufid} {key}, actions:{actions}")
    }
}

/// A packet is handed up.
pub(super) fn upcall(name: &str, upcall: &Upcall) {
    vlog::dbg!("dpif_netdev", "{}", HandedUp { name, upcall });
}

/// A flow is sent to the datapath; its first packet had the key that `first` finds.
pub(crate) fn flow_add(entry: &FlowEntry, first: impl Fn() -> Option<Key>) {
    vlog::dbg!("dpif_netdev", "{}", Added(entry, first));
}

/// A datapath is told to do something else with the packets of a flow; `name` is the datapath's actor's.
pub(crate) fn flow_modify(name: &str, change: &FlowChange, matching: impl Fn() -> Option<(Key, Mask)>) {
    vlog::dbg!("dpif", "{}", Changed(name, change, matching));
}
