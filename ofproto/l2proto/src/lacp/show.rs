//! Texts of `lacp/show` and `lacp/show-stats`.

use std::fmt::Write;

use super::{Freshness, Info, Lacp, Member, state};

impl<M: Copy + Ord> Lacp<M> {
    fn by_name(&self) -> Vec<&Member> {
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        members
    }

    /// `lacp/show`.
    pub fn show(&self) -> String {
        let config = &self.config;
        let mut out = format!(
            "---- {} ----\n  status: {}{}\n  sys_id: {}\n  sys_priority: {}\n  aggregation key: {}\n  lacp_time: {}\n",
            config.name,
            if config.active { "active" } else { "passive" },
            if self.negotiated { " negotiated" } else { "" },
            flow::text::mac(config.system_id),
            config.system_priority,
            self.key(),
            if config.fast { "fast" } else { "slow" },
        );
        for member in self.by_name() {
            let freshness = match member.freshness {
                Freshness::Current => "current",
                Freshness::Expired => "expired",
                Freshness::Defaulted => "defaulted",
            };
            let _ = write!(
                out,
                "\nmember: {}: {freshness} {}\n  port_id: {}\n  port_priority: {}\n  may_enable: {}\n",
                member.config.name,
                if member.attached { "attached" } else { "detached" },
                member.config.port_id,
                member.config.port_priority,
                self.is_fit(member),
            );
            show_info(&mut out, "actor", &self.actor(member));
            show_info(&mut out, "partner", &member.partner);
        }
        out
    }

    /// `lacp/show-stats`.
    pub fn show_stats(&self) -> String {
        let mut out = format!("---- {} statistics ----\n", self.config.name);
        for member in self.by_name() {
            let counts = &member.counts;
            let _ = write!(
                out,
                "\nmember: {}:\n  TX PDUs: {}\n  RX PDUs: {}\n  RX Bad PDUs: {}\n  RX Marker Request PDUs: {}\n  \
                 Link Expired: {}\n  Link Defaulted: {}\n  Carrier Status Changed: {}\n",
                member.config.name,
                counts.tx,
                counts.rx,
                counts.rx_bad,
                counts.rx_marker,
                counts.expired,
                counts.defaulted,
                counts.carrier,
            );
        }
        out
    }
}

fn show_info(out: &mut String, who: &str, info: &Info) {
    let names = state::NAMES.iter().enumerate().filter(|(bit, _)| info.state & (1 << bit) != 0);
    let words: String = names.map(|(_, name)| format!(" {name}")).collect();
    let _ = write!(
        out,
        "\n  {who} sys_id: {}\n  {who} sys_priority: {}\n  {who} port_id: {}\n  {who} port_priority: {}\n  \
         {who} key: {}\n  {who} state:{words}\n",
        flow::text::mac(info.system_id),
        info.system_priority,
        info.port_id,
        info.port_priority,
        info.key,
    );
}
