//! Texts of `bond/show` and `bond/list`.

use std::fmt::Write;

use super::{Bond, BondMode};

impl<M: Copy + Ord> Bond<M> {
    /// `bond/show`; `recirc_id` is the bond's recirculation identifier, and its number in the datapath.
    pub fn show(&self, recirc_id: u32, now_ms: i64) -> String {
        let config = &self.config;
        let mut out = format!("---- {} ----\nbond_mode: {}\n", config.name, config.mode.name());
        let number = |shown: bool, n: u32| if shown { n.to_string() } else { "-1".to_owned() };
        let recirculates = self.recirculates();
        let by_datapath = recirculates && config.lb_output;
        let _ = write!(
            out,
            "bond may use recirculation: {}, Recirc-ID : {}\nbond-hash-basis: {}\nlb_output action: {}, bond-id: {}\n",
            if recirculates { "yes" } else { "no" },
            number(recirculates, recirc_id),
            config.basis,
            if by_datapath { "enabled" } else { "disabled" },
            number(by_datapath, recirc_id),
        );
        if config.mode == BondMode::BalanceSlb {
            let _ = writeln!(out, "all members active: {}", config.all_members_active);
        }
        let _ = writeln!(out, "updelay: {} ms\ndowndelay: {} ms", config.updelay_ms, config.downdelay_ms);
        if self.is_balanced() && config.rebalance_interval_ms != 0 {
            let _ = writeln!(out, "next rebalance: {} ms", self.next_rebalance_ms - now_ms);
        }
        let primary = match (&config.primary, config.mode, config.lacp_fallback_ab) {
            (Some(_), mode, false) if mode != BondMode::ActiveBackup => "<none>".to_owned(),
            (Some(name), ..) if self.primary().is_some() => name.clone(),
            (Some(name), ..) => format!("{name} (no such member)"),
            (None, ..) => "<none>".to_owned(),
        };
        let _ = write!(
            out,
            "lacp_status: {}\nlacp_fallback_ab: {}\nactive-backup primary: {primary}\nactive member mac: {}({})\n\n",
            self.lacp.name(),
            config.lacp_fallback_ab,
            flow::text::mac(if self.active.is_some() { self.active_mac } else { 0 }),
            self.active.map_or("none", |m| self.name_of(m)),
        );
        self.show_members(&mut out, now_ms);
        out
    }

    fn show_members(&self, out: &mut String, now_ms: i64) {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by(|(_, a), (_, b)| a.state.name.cmp(&b.state.name));
        for (id, member) in members {
            let enabled = if member.enabled { "enabled" } else { "disabled" };
            let _ = writeln!(out, "member {}: {enabled}", member.state.name);
            if self.active == Some(*id) {
                out.push_str("  active member\n");
            }
            if let Some(at) = member.delay_expires_ms {
                let delay = if member.enabled { "downdelay" } else { "updelay" };
                let _ = writeln!(out, "  {delay} expires in {} ms", at - now_ms);
            }
            let _ = writeln!(out, "  may_enable: {}", member.state.may_enable);
            if self.is_balanced() {
                let own = self.buckets.iter().enumerate().filter(|(_, b)| b.member == Some(*id));
                for (hash, bucket) in own.filter(|(_, b)| b.tx_bytes / 1024 > 0) {
                    let _ = writeln!(out, "  hash {hash}: {} kB load", bucket.tx_bytes / 1024);
                }
            }
            out.push('\n');
        }
    }

    /// A line of `bond/list`.
    pub fn list_line(&self, recirc_id: u32) -> String {
        let names: Vec<&str> = self.members.values().map(|m| m.state.name.as_str()).collect();
        format!("{}\t{}\t{recirc_id}\t{}\n", self.config.name, self.config.mode.name(), names.join(", "))
    }
}
