//! The machines of a port. Source: IEEE 802.1D-2004, clauses 17.24 to 17.31. Each takes one step where its conditions
//! hold and says whether it did; the bridge runs them until none does.

use super::bpdu::{Bpdu, Flags, Kind};
use super::{InfoIs, MIGRATE_TIME, Migration, Port, PriorityVector, Role, Rstp, TopologyState};

/// What a message is to a port (clause 17.21.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    SuperiorDesignated,
    RepeatedDesignated,
    InferiorDesignated,
    InferiorRootAlternate,
    Other,
}

impl<P: Copy + Ord> Rstp<P> {
    /// One step of every machine of a port.
    pub(super) fn run_port(&mut self, name: P) -> bool {
        let rstp = !self.settings.stp_only;
        let Some(port) = self.ports.get_mut(&name) else { return false };
        let mut moved = port.migrate(rstp);
        moved |= port.detect_bridge();
        moved |= port.inform(rstp);
        moved |= self.change_role(name);
        if let Some(port) = self.ports.get_mut(&name) {
            moved |= port.change_state();
        }
        moved |= self.change_topology(name);
        moved |= self.transmit(name);
        moved
    }

    /// The port role transitions machine (clause 17.29).
    fn change_role(&mut self, name: P) -> bool {
        let all_synced = self
            .ports
            .values()
            .all(|p| p.selected && p.role == p.selected_role && !p.updt_info && (p.synced || p.role == Role::Root));
        let re_rooted = self.ports.iter().all(|(other, p)| *other == name || p.timers.rr_while == 0);
        let rstp = !self.settings.stp_only;
        let Some(port) = self.ports.get_mut(&name) else { return false };
        if !port.selected || port.updt_info {
            return false;
        }
        if port.role != port.selected_role {
            port.role = port.selected_role;
            port.settled = false;
            if matches!(port.role, Role::Disabled | Role::Alternate | Role::Backup) {
                port.learn = false;
                port.forward = false;
            }
            if port.role == Role::Root {
                port.timers.rr_while = port.designated_times.forward;
            }
            return true;
        }
        match port.role {
            Role::Disabled => port.run_disabled(),
            Role::Designated => port.run_designated(),
            Role::Root => match port.run_root(all_synced, re_rooted, rstp) {
                Some(Tree::Sync) => self.all(|p| p.sync = true),
                Some(Tree::ReRoot) => self.all(|p| p.re_root = true),
                Some(Tree::Alone) => true,
                None => false,
            },
            Role::Alternate | Role::Backup => match port.run_alternate(all_synced) {
                Some(Tree::Sync) => self.all(|p| p.sync = true),
                Some(_) => true,
                None => false,
            },
        }
    }

    fn all(&mut self, change: impl Fn(&mut Port)) -> bool {
        self.ports.values_mut().for_each(change);
        true
    }

    /// The topology change machine (clause 17.31).
    fn change_topology(&mut self, name: P) -> bool {
        let root_times = self.root_times;
        let Some(port) = self.ports.get_mut(&name) else { return false };
        let takes_part = matches!(port.role, Role::Root | Role::Designated);
        let heard = port.rcvd_tc || port.rcvd_tcn || port.rcvd_tc_ack || port.tc_prop;
        let mut tell_others = false;
        match port.topology {
            TopologyState::Inactive => {
                if std::mem::take(&mut port.fdb_flush) {
                    self.flushes.push(name);
                    return true;
                }
                if !port.learn {
                    return false;
                }
                port.topology = TopologyState::Learning;
                port.forget_changes();
            }
            TopologyState::Learning => {
                if takes_part && port.forward && !port.oper_edge {
                    port.new_tc_while(root_times);
                    port.new_info = true;
                    port.topology = TopologyState::Active;
                    tell_others = true;
                } else if !(takes_part || port.learn || port.learning || heard) {
                    port.topology = TopologyState::Inactive;
                    port.fdb_flush = true;
                    port.timers.tc_while = 0;
                    port.tc_ack = false;
                } else if heard {
                    port.forget_changes();
                } else {
                    return false;
                }
            }
            TopologyState::Active => {
                if !takes_part || port.oper_edge {
                    port.topology = TopologyState::Learning;
                    port.forget_changes();
                } else if port.rcvd_tcn || port.rcvd_tc {
                    if port.rcvd_tcn {
                        port.new_tc_while(root_times);
                    }
                    port.rcvd_tcn = false;
                    port.rcvd_tc = false;
                    port.tc_ack |= port.role == Role::Designated;
                    tell_others = true;
                } else if port.tc_prop {
                    port.new_tc_while(root_times);
                    port.tc_prop = false;
                    self.flushes.push(name);
                } else if port.rcvd_tc_ack {
                    port.timers.tc_while = 0;
                    port.rcvd_tc_ack = false;
                } else {
                    return false;
                }
            }
        }
        if tell_others {
            self.ports.iter_mut().filter(|(other, _)| **other != name).for_each(|(_, p)| p.tc_prop = true);
        }
        true
    }

    /// The port transmit machine (clause 17.26).
    fn transmit(&mut self, name: P) -> bool {
        let hold_count = self.settings.hold_count.clamp(1, 10);
        let Some(port) = self.ports.get_mut(&name) else { return false };
        if !port.settings.enabled {
            port.new_info = true;
            port.tx_count = 0;
            return false;
        }
        if !port.selected || port.updt_info {
            return false;
        }
        if port.timers.hello_when == 0 {
            port.new_info |= port.role == Role::Designated || port.role == Role::Root && port.timers.tc_while != 0;
            port.timers.hello_when = port.designated_times.hello.max(1);
            return true;
        }
        let speaks = port.send_rstp || matches!(port.role, Role::Root | Role::Designated);
        if !port.new_info || !speaks || port.tx_count >= hold_count {
            return false;
        }
        port.new_info = false;
        if port.role == Role::Disabled {
            return true;
        }
        let unit = match (port.send_rstp, port.role) {
            (false, Role::Root) => Bpdu::tcn(),
            (rapid, _) => port.unit(if rapid { Kind::Rst } else { Kind::Config }),
        };
        port.tx_count += 1;
        port.tc_ack = false;
        port.counters.tx += 1;
        port.timers.hello_when = port.designated_times.hello.max(1);
        self.units.push((name, unit.emit()));
        true
    }
}

/// What a step of a role asks of all ports.
enum Tree {
    Alone,
    Sync,
    ReRoot,
}

impl Port {
    /// Delay before a port learns or forwards (clause 17.20.5).
    fn forward_delay(&self) -> u16 {
        if self.send_rstp { self.designated_times.hello } else { self.designated_times.forward }
    }

    /// The port protocol migration machine (clause 17.24).
    fn migrate(&mut self, rstp: bool) -> bool {
        let start_over = |port: &mut Port| {
            port.migration = Migration::CheckingRstp;
            port.mcheck = false;
            port.send_rstp = rstp;
            port.timers.mdelay_while = MIGRATE_TIME;
            true
        };
        match self.migration {
            Migration::CheckingRstp => {
                if self.timers.mdelay_while == 0 {
                    self.migration = Migration::Sensing;
                    self.rcvd_rstp = false;
                    self.rcvd_stp = false;
                    return true;
                }
                self.timers.mdelay_while != MIGRATE_TIME && !self.settings.enabled && start_over(self)
            }
            Migration::SelectingStp => {
                let over = self.timers.mdelay_while == 0 || !self.settings.enabled || self.mcheck;
                if over {
                    self.migration = Migration::Sensing;
                    self.rcvd_rstp = false;
                    self.rcvd_stp = false;
                }
                over
            }
            Migration::Sensing => {
                if !self.settings.enabled || self.mcheck || rstp && !self.send_rstp && self.rcvd_rstp {
                    return start_over(self);
                }
                if self.send_rstp && self.rcvd_stp {
                    self.migration = Migration::SelectingStp;
                    self.send_rstp = false;
                    self.timers.mdelay_while = MIGRATE_TIME;
                    return true;
                }
                false
            }
        }
    }

    /// The bridge detection machine (clause 17.25).
    fn detect_bridge(&mut self) -> bool {
        let enabled = self.settings.enabled;
        let edge = if !enabled {
            self.settings.admin_edge
        } else {
            let silent = self.timers.edge_delay_while == 0 && self.settings.auto_edge;
            self.oper_edge || silent && self.send_rstp && self.proposing
        };
        std::mem::replace(&mut self.oper_edge, edge) != edge
    }

    /// The port information machine (clause 17.27).
    fn inform(&mut self, rstp: bool) -> bool {
        if !self.settings.enabled {
            self.message = None;
            if self.info_is == InfoIs::Disabled {
                return false;
            }
            self.info_is = InfoIs::Disabled;
            (self.proposing, self.proposed, self.agree, self.agreed) = (false, false, false, false);
            self.timers.rcvd_info_while = 0;
            return self.ask_for_role();
        }
        if self.info_is == InfoIs::Disabled {
            self.info_is = InfoIs::Aged;
            return self.ask_for_role();
        }
        if self.selected && self.updt_info {
            self.proposing = false;
            self.proposed = false;
            self.agreed &= self.info_is == InfoIs::Mine && self.designated_priority <= self.port_priority;
            self.synced &= self.agreed;
            self.port_priority = self.designated_priority;
            self.port_times = self.designated_times;
            self.updt_info = false;
            self.info_is = InfoIs::Mine;
            self.new_info = true;
            return true;
        }
        if self.updt_info {
            return false;
        }
        if let Some(message) = self.message.take() {
            self.take_message(&message, rstp);
            return true;
        }
        if self.info_is == InfoIs::Received && self.timers.rcvd_info_while == 0 {
            self.info_is = InfoIs::Aged;
            return self.ask_for_role();
        }
        false
    }

    fn ask_for_role(&mut self) -> bool {
        self.reselect = true;
        self.selected = false;
        true
    }

    fn take_message(&mut self, message: &Bpdu, rstp: bool) {
        match self.classify(message) {
            Received::SuperiorDesignated => {
                self.agreed = false;
                self.proposing = false;
                self.record_proposal(message);
                self.set_tc_flags(message);
                self.agree &= self.info_is == InfoIs::Received && message.priority <= self.port_priority;
                self.port_priority = message.priority;
                self.port_times = message.times;
                self.port_times.hello = self.port_times.hello.max(1);
                self.update_info_while();
                self.info_is = InfoIs::Received;
                self.ask_for_role();
            }
            Received::RepeatedDesignated => {
                self.record_proposal(message);
                self.set_tc_flags(message);
                self.update_info_while();
            }
            Received::InferiorDesignated => {
                if message.kind == Kind::Rst && message.flags.learning {
                    self.disputed = true;
                    self.agreed = false;
                }
            }
            Received::InferiorRootAlternate => {
                self.agreed =
                    rstp && self.settings.point_to_point && message.kind == Kind::Rst && message.flags.agreement;
                self.proposing &= !self.agreed;
                self.set_tc_flags(message);
            }
            Received::Other => self.rcvd_tcn |= message.kind == Kind::Tcn,
        }
    }

    fn classify(&self, message: &Bpdu) -> Received {
        let held = self.port_priority;
        match message.role {
            _ if message.kind == Kind::Tcn => Received::Other,
            Some(Role::Designated) => {
                let number = |vector: PriorityVector| (vector.bridge & 0xffff_ffff_ffff, vector.port & 0x0fff);
                let same_sender = self.info_is == InfoIs::Received && number(message.priority) == number(held);
                if message.priority == held && self.info_is == InfoIs::Received && message.times == self.port_times {
                    Received::RepeatedDesignated
                } else if message.priority < held
                    || same_sender
                    || message.priority == held && message.times != self.port_times
                {
                    Received::SuperiorDesignated
                } else {
                    Received::InferiorDesignated
                }
            }
            Some(Role::Root | Role::Alternate | Role::Backup) if message.priority >= held => {
                Received::InferiorRootAlternate
            }
            _ => Received::Other,
        }
    }

    fn record_proposal(&mut self, message: &Bpdu) {
        self.proposed |= message.role == Some(Role::Designated) && message.flags.proposal;
    }

    fn set_tc_flags(&mut self, message: &Bpdu) {
        self.rcvd_tc |= message.flags.change;
        self.rcvd_tc_ack |= message.flags.change_ack;
    }

    fn update_info_while(&mut self) {
        let times = self.port_times;
        let fresh = times.message_age < times.max_age;
        self.timers.rcvd_info_while = if fresh { 3 * times.hello } else { 0 };
    }

    fn run_disabled(&mut self) -> bool {
        if self.learning || self.forwarding {
            return false;
        }
        let max_age = self.designated_times.max_age;
        if self.settled && self.timers.fd_while == max_age && self.synced && !self.sync && !self.re_root {
            return false;
        }
        self.settled = true;
        self.timers.fd_while = max_age;
        self.timers.rr_while = 0;
        (self.synced, self.sync, self.re_root) = (true, false, false);
        true
    }

    fn run_root(&mut self, all_synced: bool, re_rooted: bool, rstp: bool) -> Option<Tree> {
        let may_move = self.timers.fd_while == 0 || re_rooted && self.timers.rb_while == 0 && rstp;
        if self.proposed && !self.agree {
            self.proposed = false;
            return Some(Tree::Sync);
        }
        if all_synced && !self.agree || self.proposed && self.agree {
            self.proposed = false;
            self.sync = false;
            self.agree = true;
            self.new_info = true;
            return Some(Tree::Alone);
        }
        if !self.forward && !self.re_root {
            return Some(Tree::ReRoot);
        }
        if may_move && !self.learn {
            self.timers.fd_while = self.forward_delay();
            self.learn = true;
            return Some(Tree::Alone);
        }
        if may_move && !self.forward {
            self.timers.fd_while = 0;
            self.forward = true;
            return Some(Tree::Alone);
        }
        if self.re_root && self.forward {
            self.re_root = false;
            return Some(Tree::Alone);
        }
        let forward = self.designated_times.forward;
        (self.timers.rr_while != forward).then(|| {
            self.timers.rr_while = forward;
            Tree::Alone
        })
    }

    fn run_designated(&mut self) -> bool {
        let retiring = self.re_root && self.timers.rr_while != 0;
        let may_move = (self.timers.fd_while == 0 || self.agreed || self.oper_edge) && !retiring && !self.sync;
        if !self.forward && !self.agreed && !self.proposing && !self.oper_edge {
            self.proposing = true;
            self.timers.edge_delay_while =
                if self.settings.point_to_point { MIGRATE_TIME } else { self.designated_times.max_age };
            self.new_info = true;
        } else if !self.synced && (!self.learning && !self.forwarding || self.agreed || self.oper_edge)
            || self.sync && self.synced
        {
            self.timers.rr_while = 0;
            self.synced = true;
            self.sync = false;
        } else if self.timers.rr_while == 0 && self.re_root {
            self.re_root = false;
        } else if (self.sync && !self.synced || retiring || self.disputed)
            && !self.oper_edge
            && (self.learn || self.forward)
        {
            (self.learn, self.forward, self.disputed) = (false, false, false);
            self.timers.fd_while = self.forward_delay();
        } else if may_move && !self.learn {
            self.learn = true;
            self.timers.fd_while = self.forward_delay();
        } else if may_move && !self.forward {
            self.forward = true;
            self.timers.fd_while = 0;
            self.agreed = self.send_rstp;
        } else {
            return false;
        }
        true
    }

    fn run_alternate(&mut self, all_synced: bool) -> Option<Tree> {
        if self.learning || self.forwarding {
            return None;
        }
        let delay = self.forward_delay();
        let backup_time = 2 * self.designated_times.hello;
        if !self.settled || self.timers.fd_while != delay || self.sync || self.re_root || !self.synced {
            self.settled = true;
            self.timers.fd_while = delay;
            self.timers.rr_while = 0;
            (self.synced, self.sync, self.re_root) = (true, false, false);
            return Some(Tree::Alone);
        }
        if self.proposed && !self.agree {
            self.proposed = false;
            return Some(Tree::Sync);
        }
        if all_synced && !self.agree || self.proposed && self.agree {
            self.proposed = false;
            self.agree = true;
            self.new_info = true;
            return Some(Tree::Alone);
        }
        (self.role == Role::Backup && self.timers.rb_while != backup_time).then(|| {
            self.timers.rb_while = backup_time;
            Tree::Alone
        })
    }

    /// The port state transition machine (clause 17.30).
    fn change_state(&mut self) -> bool {
        let learning = self.learn;
        let forwarding = self.learn && self.forward && (self.forwarding || self.learning);
        let before = (self.learning, self.forwarding);
        (self.learning, self.forwarding) = (learning, forwarding);
        before != (learning, forwarding)
    }

    fn forget_changes(&mut self) {
        (self.rcvd_tc, self.rcvd_tcn, self.rcvd_tc_ack, self.tc_prop) = (false, false, false, false);
    }

    fn new_tc_while(&mut self, root_times: super::Times) {
        if self.timers.tc_while != 0 {
            return;
        }
        if self.send_rstp {
            self.timers.tc_while = self.designated_times.hello + 1;
            self.new_info = true;
        } else {
            self.timers.tc_while = root_times.max_age + root_times.forward;
        }
    }

    fn unit(&self, kind: Kind) -> Bpdu {
        let rapid = kind == Kind::Rst;
        Bpdu {
            kind,
            flags: Flags {
                change: self.timers.tc_while != 0,
                proposal: rapid && self.role == Role::Designated && self.proposing,
                learning: rapid && self.learning,
                forwarding: rapid && self.forwarding,
                agreement: rapid && (self.role != Role::Designated && self.agree),
                change_ack: !rapid && self.tc_ack,
            },
            role: Some(self.role),
            priority: self.designated_priority,
            times: self.designated_times,
        }
    }
}
