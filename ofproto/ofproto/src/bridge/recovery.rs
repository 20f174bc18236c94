//! What a bridge goes on from after its own end or the datapath's: a view of its former self, and what the datapath must
//! be told anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::message::config::FragMode;
use openflow::message::meter::METER_ALL;

use super::group::Group;
use super::meter::for_datapath;
use super::{Bridge, Output};
use crate::view::{BridgeView, FragHandling};

impl Bridge {
    /// Takes over what a view shows: this bridge goes on where another incarnation of it stopped. Tables, groups, meters
    /// and learned addresses are there again; how long a group has been there, and what it counted, is not.
    pub fn adopt(&mut self, view: &BridgeView) {
        self.view.tables = view.tables.clone();
        self.view.version = view.version;
        let tables = view.tables.iter().flatten();
        tables.flat_map(|table| table.rules.iter()).for_each(|rule| self.teachers.adopt(rule));
        self.goes_on = true;
        self.own.clear();
        self.lessons.clear();
        self.busy = None;
        self.outputs.clear();
        for (id, shown) in view.groups.iter() {
            self.group_incarnations += 1;
            let (desc, incarnation) = (shown.desc.clone(), self.group_incarnations);
            let group = Arc::new(Group { desc, created_ms: self.now_ms, incarnation });
            self.groups.insert(*id, Arc::clone(&group));
            self.published_groups.insert(*id, group);
        }
        self.view.groups = view.groups.clone();
        for (id, meter) in view.meters.iter() {
            self.keep_meter(*id, meter.clone());
        }
        self.publish_meters();
        self.view.frag = view.frag;
        self.frags = match view.frag {
            FragHandling::Normal => FragMode::Normal,
            FragHandling::Drop => FragMode::Drop,
            FragHandling::Reassemble => FragMode::Reassemble,
            FragHandling::NxMatch => FragMode::NxMatch,
        };
        if let Some(macs) = &view.mac {
            self.macs.adopt(macs);
        }
        self.macs_changed();
    }

    /// The bridge goes: so does what it has set in its datapath, which others use.
    pub fn leave(&mut self) {
        self.delete_meters(METER_ALL);
        self.withdraw_bonds();
    }

    /// The datapath has been started anew and knows nothing: it is told of meters and bonds. Its flows are gone, and will
    /// be missed one by one.
    pub fn datapath_returned(&mut self) {
        let meters: BTreeMap<u32, _> = self.meters.values().map(|m| (m.dp_id, for_datapath(&m.config))).collect();
        for (id, config) in meters {
            self.put(Output::SetMeter { id, config: Some(config) });
        }
        self.tell_bonds();
    }
}
