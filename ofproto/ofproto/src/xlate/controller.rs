//! Packets for controllers: `controller`, expired time to live, misses, and paused packets.

use flow::odp::{self, ControllerCookie, Cookie};
use openflow::action::Controller;
use openflow::message::packet_in::reason;

use super::context::Context;
use super::record::NodeKind;

impl Context<'_> {
    pub(super) fn send_to_controller(&mut self, max_len: u16, why: u8, id: u16, meter: Option<u32>, userdata: &[u8]) {
        self.commit();
        let is_miss_rule = self.rule.as_ref().is_some_and(|r| r.priority == 0 && r.mini.mask().is_empty_but_type());
        let why = if why == reason::ACTION && is_miss_rule { reason::EXPLICIT_MISS } else { why };
        let mut state = self.frozen_state(self.table, false);
        state.userdata = userdata.to_vec();
        state.is_told = true;
        let recirc_id = self.alloc_recirc(state);
        let cookie = ControllerCookie {
            reason: why,
            dont_send: !self.tells(),
            continuation: false,
            recirc_id,
            rule_cookie: self.rule_cookie,
            controller_id: id,
            max_len,
        };
        self.put_userspace(cookie, meter);
    }

    /// Whether controllers are to be told.
    pub(super) fn tells(&self) -> bool {
        self.input.side_effects || self.underlay
    }

    fn put_userspace(&mut self, cookie: ControllerCookie, meter: Option<u32>) {
        let action = odp::Action::Userspace(Box::new(odp::Userspace {
            pid: 0,
            cookie: Cookie::Controller(Box::new(cookie)),
            actions: false,
            tunnel_out_port: None,
        }));
        // A meter limits the copy for the controller alone.
        match meter.and_then(|m| self.bridge.meters.get(&m)).map(|m| m.dp_id).or(self.bridge.controller_meter) {
            Some(meter) => self.odp.push(odp::Action::Sample {
                probability: u32::MAX,
                actions: [odp::Action::Meter(meter), action].into(),
            }),
            None => self.odp.push(action),
        }
    }

    /// `controller(...)`.
    pub(super) fn controller(&mut self, action: &Controller) {
        if action.pause {
            self.pause = Some(Box::new(action.clone()));
            self.commit();
            self.trigger_freeze();
        } else {
            self.send_to_controller(
                action.max_len,
                action.reason,
                action.controller_id,
                action.meter_id,
                &action.userdata,
            );
        }
    }

    /// Hands up a packet that waits for its controller.
    pub(super) fn emit_continuation(&mut self, pause: &Controller, recirc_id: u32) {
        let cookie = ControllerCookie {
            reason: pause.reason,
            dont_send: !self.tells(),
            continuation: true,
            recirc_id,
            rule_cookie: self.rule_cookie,
            controller_id: pause.controller_id,
            max_len: pause.max_len,
        };
        self.put_userspace(cookie, pause.meter_id);
    }

    /// `dec_ttl`. Gives whether the packet expired.
    pub(super) fn dec_ttl(&mut self, ids: &[u16]) -> bool {
        self.wc.set_nw_ttl(u8::MAX);
        self.wc.set_nw_proto(u8::MAX);
        if !super::wildcard::is_ip(&self.flow) {
            return false;
        }
        let ttl = self.flow.nw_ttl();
        if ttl > 1 {
            self.flow.set_nw_ttl(ttl - 1);
            return false;
        }
        let version = if self.flow.dl_type() == 0x0800 { 4 } else { 6 };
        self.expired(ids);
        self.report(NodeKind::Warn, || format!("IPv{version} decrement TTL exception"));
        true
    }

    pub(super) fn expired(&mut self, ids: &[u16]) {
        for id in ids {
            self.send_to_controller(u16::MAX, reason::INVALID_TTL, *id, None, &[]);
        }
    }
}

/// Whether a mask tells nothing but that the packet is Ethernet's.
trait TableMissMask {
    fn is_empty_but_type(&self) -> bool;
}

impl TableMissMask for flow::Mask {
    fn is_empty_but_type(&self) -> bool {
        let mut mask = self.clone();
        mask.set_packet_type(0);
        mask.is_empty()
    }
}
