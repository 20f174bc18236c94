//! The end of a switch that is asked to end: what it takes down, and what the log is told of.

use std::sync::Arc;

use actix::prelude::*;
use dp::rxq;
use hashing::HashOrder;

use super::Switch;
use super::desired::DesiredSwitch;
use crate::msg::switch::CleanUp;

impl Handler<CleanUp> for Switch {
    type Result = ();

    fn handle(&mut self, m: CleanUp, _: &mut Context<Self>) {
        self.desk.received();
        self.pending = None;
        let nothing = Arc::new(DesiredSwitch::default());
        if m.keeps_devices {
            self.tell_of_end();
        } else {
            self.close_unwanted(&nothing);
        }
        for backer in self.datapaths.values_mut() {
            let polled = std::mem::take(&mut backer.polling.assignment);
            super::polling::log(&rxq::note_threads(&polled, &rxq::Assignment::default()));
        }
        self.log_monitoring(&nothing);
    }
}

impl Switch {
    /// Ports go with the switch, whether or not their devices stay.
    fn tell_of_end(&self) {
        for name in HashOrder::by_name(self.bridges.keys().map(|name| (name.as_str(), name))).iter() {
            let Some(bridge) = self.bridges.get(name) else { continue };
            let added = bridge.ports.iter().filter(|(_, port)| port.added);
            for (port, number) in HashOrder::by_name(added.map(|(port, p)| (port.as_str(), (port, p.port.0)))).iter() {
                vlog::info!("bridge", "bridge {name}: deleted interface {port} on port {number}");
            }
        }
    }
}
