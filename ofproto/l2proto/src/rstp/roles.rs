//! The port role selection machine. Source: IEEE 802.1D-2004, clauses 17.21.25 and 17.28.

use super::{InfoIs, PriorityVector, Role, Rstp};

/// Address part of a bridge identifier.
fn address(bridge: u64) -> u64 {
    bridge & 0xffff_ffff_ffff
}

impl<P: Copy + Ord> Rstp<P> {
    /// Chooses the roles of all ports where one of them asks for it; gives whether it did.
    pub(super) fn select_roles(&mut self) -> bool {
        if !self.ports.values().any(|port| port.reselect) {
            return false;
        }
        self.choose_root();
        let own = self.settings.id();
        let (root_priority, root_port, root_times) = (self.root_priority, self.root_port, self.root_times);
        for (name, port) in &mut self.ports {
            port.reselect = false;
            port.selected = true;
            port.designated_priority = PriorityVector {
                root: root_priority.root,
                cost: root_priority.cost,
                bridge: own,
                port: port.settings.id(),
            };
            port.designated_times = root_times;
            let held = port.port_priority;
            (port.selected_role, port.updt_info) = match port.info_is {
                InfoIs::Disabled => (Role::Disabled, port.updt_info),
                InfoIs::Aged => (Role::Designated, true),
                InfoIs::Mine => {
                    let stale = held != port.designated_priority || port.port_times != port.designated_times;
                    (Role::Designated, stale)
                }
                InfoIs::Received if root_port == Some(*name) => (Role::Root, false),
                InfoIs::Received if port.designated_priority < held => (Role::Designated, true),
                InfoIs::Received if address(held.bridge) == address(own) => (Role::Backup, false),
                InfoIs::Received => (Role::Alternate, false),
            };
        }
        true
    }

    /// The best of the bridge's own vector and those of the paths that its ports were told of.
    pub(super) fn choose_root(&mut self) {
        let own = self.settings.id();
        let best = self
            .ports
            .iter()
            .filter(|(_, port)| port.info_is == InfoIs::Received && address(port.port_priority.bridge) != address(own))
            .map(|(name, port)| {
                let held = port.port_priority;
                let cost = held.cost.saturating_add(port.settings.path_cost);
                let mut times = port.port_times;
                times.message_age += 1;
                times.hello = self.settings.times().hello;
                ((PriorityVector { cost, ..held }, port.settings.id()), *name, times)
            })
            .min_by_key(|(order, ..)| *order);
        let mine = PriorityVector { root: own, cost: 0, bridge: own, port: 0 };
        match best {
            Some(((vector, _), name, times)) if vector < mine => {
                (self.root_priority, self.root_port, self.root_times) = (vector, Some(name), times);
            }
            _ => (self.root_priority, self.root_port, self.root_times) = (mine, None, self.settings.times()),
        }
    }
}
