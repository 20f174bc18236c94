//! Bonds: several ports that act as one. Which members may carry traffic, which one is active, and how load is spread
//! over them by hash bucket.
//!
//! `M` names a member. Whether a member's link is fit is told from outside (carrier, LACP, BFD); a change becomes
//! effective after `updelay` or `downdelay`. Time is milliseconds of the switch's clock.
//!
//! Absent here: LACP (see [`crate::lacp`]) and which bucket a packet falls into (the translation's). Source:
//! ovs-vswitchd.conf.db(5) "Bonding Configuration", ovs-vswitchd(8) "BOND COMMANDS".

mod rebalance;
mod show;

use std::collections::BTreeMap;

/// Hash buckets of a balancing bond.
pub const BUCKETS: usize = 256;

/// How a bond spreads packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BondMode {
    /// By source address and VLAN.
    BalanceSlb,
    /// By transport connection.
    BalanceTcp,
    /// One member at a time.
    #[default]
    ActiveBackup,
}

impl BondMode {
    /// As the database words it.
    pub fn name(self) -> &'static str {
        match self {
            BondMode::BalanceSlb => "balance-slb",
            BondMode::BalanceTcp => "balance-tcp",
            BondMode::ActiveBackup => "active-backup",
        }
    }
}

/// What LACP says of the whole bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LacpStatus {
    /// It is not configured.
    #[default]
    Off,
    /// It is, and there is no partner.
    Configured,
    /// There is a partner.
    Negotiated,
}

impl LacpStatus {
    fn name(self) -> &'static str {
        match self {
            LacpStatus::Off => "off",
            LacpStatus::Configured => "configured",
            LacpStatus::Negotiated => "negotiated",
        }
    }
}

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondConfig {
    /// The bond's name.
    pub name: String,
    /// Mode.
    pub mode: BondMode,
    /// How long a link is up before its member is enabled.
    pub updelay_ms: i64,
    /// How long a link is down before its member is disabled.
    pub downdelay_ms: i64,
    /// How often load is shifted; 0 for never, else at least a second.
    pub rebalance_interval_ms: i64,
    /// Basis of the hash.
    pub basis: u32,
    /// The datapath balances.
    pub lb_output: bool,
    /// A bond that waits for LACP acts as active-backup.
    pub lacp_fallback_ab: bool,
    /// All members take in broadcast and multicast (balance-slb).
    pub all_members_active: bool,
    /// The member that is active whenever it can be, by name.
    pub primary: Option<String>,
}

impl Default for BondConfig {
    fn default() -> Self {
        BondConfig {
            name: String::new(),
            mode: BondMode::default(),
            updelay_ms: 0,
            downdelay_ms: 0,
            rebalance_interval_ms: 10_000,
            basis: 0,
            lb_output: false,
            lacp_fallback_ab: false,
            all_members_active: false,
            primary: None,
        }
    }
}

/// A member as it is told from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Name.
    pub name: String,
    /// Ethernet address, 48 bits.
    pub mac: u64,
    /// Its link is up, and no protocol says that it must not be used.
    pub may_enable: bool,
}

#[derive(Clone, Debug)]
struct Member {
    state: MemberState,
    enabled: bool,
    /// When the link's state becomes the member's.
    delay_expires_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket<M> {
    member: Option<M>,
    tx_bytes: u64,
    /// It has carried something since it was emptied.
    used: bool,
}

/// A bond.
#[derive(Clone, Debug)]
pub struct Bond<M> {
    config: BondConfig,
    members: BTreeMap<M, Member>,
    active: Option<M>,
    /// Address of the member that was active last, 48 bits; survives a restart by the database.
    active_mac: u64,
    /// Empty in active-backup mode.
    buckets: Vec<Bucket<M>>,
    /// The members that were enabled when buckets were dealt out last.
    dealt_to: Vec<M>,
    next_rebalance_ms: i64,
    lacp: LacpStatus,
    /// Which enabled member gets the next bucket.
    turn: usize,
    /// The neighbours are to learn anew where stations are.
    teaches: bool,
    news: Vec<String>,
}

impl<M: Copy + Ord> Bond<M> {
    /// A bond without members; `active_mac` is the address of the member that is to be active if it can be, 0 for none.
    pub fn new(config: BondConfig, active_mac: u64, now_ms: i64) -> Self {
        let mut bond = Bond {
            config,
            members: BTreeMap::new(),
            active: None,
            active_mac,
            buckets: Vec::new(),
            dealt_to: Vec::new(),
            next_rebalance_ms: 0,
            lacp: LacpStatus::Off,
            turn: 0,
            teaches: false,
            news: Vec::new(),
        };
        bond.reset_buckets(now_ms);
        bond
    }

    /// The configuration.
    pub fn config(&self) -> &BondConfig {
        &self.config
    }

    /// Takes another configuration.
    pub fn configure(&mut self, config: BondConfig, now_ms: i64) {
        if config == self.config {
            return;
        }
        let spreads_anew = config.mode != self.config.mode || config.basis != self.config.basis;
        let other_primary = config.primary != self.config.primary;
        let later = config.rebalance_interval_ms - self.config.rebalance_interval_ms;
        self.config = config;
        if spreads_anew {
            self.reset_buckets(now_ms);
        } else {
            self.next_rebalance_ms += later;
        }
        if other_primary && self.is_active_backup() && self.primary().is_some() {
            self.choose_active(now_ms);
        }
    }

    /// Has no other members than these: those that leave are disabled, and another becomes active for the active one.
    pub fn keep_members(&mut self, stay: &[M], now_ms: i64) {
        let news = &mut self.news;
        self.members.retain(|m, member| {
            let stays = stay.contains(m);
            if !stays && member.enabled {
                news.push(format!("member {}: disabled", member.state.name));
            }
            stays
        });
        if self.active.is_some_and(|m| !self.members.contains_key(&m)) {
            self.choose_active(now_ms);
        }
        for bucket in &mut self.buckets {
            bucket.member = bucket.member.filter(|m| self.members.contains_key(m));
        }
    }

    /// Has exactly these members. New ones whose link is up are enabled at once, and the primary among them is active.
    pub fn set_members(&mut self, members: impl IntoIterator<Item = (M, MemberState)>, now_ms: i64) {
        let wanted: BTreeMap<M, MemberState> = members.into_iter().collect();
        self.keep_members(&wanted.keys().copied().collect::<Vec<_>>(), now_ms);
        for (m, state) in wanted {
            match self.members.get_mut(&m) {
                Some(member) => member.state = state,
                None => {
                    let enabled = state.may_enable;
                    if enabled {
                        self.news.push(format!("member {}: enabled", state.name));
                    }
                    self.members.insert(m, Member { state, enabled, delay_expires_ms: None });
                    self.prefer_primary(m, now_ms);
                }
            }
        }
    }

    /// Does what is due, given what LACP says. Gives whether the forwarding of packets may have changed.
    pub fn run(&mut self, lacp: LacpStatus, now_ms: i64) -> bool {
        let before = self.outcome();
        let lacp_changed = std::mem::replace(&mut self.lacp, lacp) != lacp;
        let ids: Vec<M> = self.members.keys().copied().collect();
        for m in ids {
            self.update_link(m, now_ms);
        }
        if self.active.is_none_or(|m| !self.is_enabled(m)) {
            self.choose_active(now_ms);
        }
        self.assign_buckets();
        self.rebalance(now_ms);
        lacp_changed || self.outcome() != before
    }

    fn outcome(&self) -> (Vec<M>, Option<M>, Vec<Option<M>>) {
        (self.enabled(), self.active, self.buckets.iter().map(|b| b.member).collect())
    }

    /// When [`Bond::run`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        let delays = self.members.values().filter_map(|m| m.delay_expires_ms).map(|at| (at, "a link's delay is over"));
        let rebalances = self.is_balanced() && self.config.rebalance_interval_ms > 0;
        let rebalance = rebalances.then_some((self.next_rebalance_ms, "a bond balances its load"));
        delays.chain(rebalance).min()
    }

    /// Lines for the log since the last call.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Whether another member became active or one was lost since the last call, so that a frame from each station that
    /// is not behind the bond has to tell those who are of the new way. With balance-tcp it is one switch that has all
    /// links, and knows.
    pub fn take_teaching(&mut self) -> bool {
        std::mem::take(&mut self.teaches) && self.config.mode != BondMode::BalanceTcp
    }

    /// The member for packets of a hash, where load is spread by it, else the active one.
    pub fn member_for(&self, hash: u8) -> Option<M> {
        let bucket = self.buckets.get(usize::from(hash)).filter(|_| self.is_balanced());
        bucket.and_then(|b| b.member).or(self.active)
    }

    /// Members that carry traffic.
    pub fn enabled(&self) -> Vec<M> {
        self.members.iter().filter(|(_, m)| m.enabled).map(|(id, _)| *id).collect()
    }

    fn is_enabled(&self, m: M) -> bool {
        self.members.get(&m).is_some_and(|m| m.enabled)
    }

    /// The active member.
    pub fn active(&self) -> Option<M> {
        self.active
    }

    /// Address of the active member, 0 while there never was one.
    pub fn active_mac(&self) -> u64 {
        self.active_mac
    }

    /// The member of each bucket; empty unless load is balanced.
    pub fn buckets(&self) -> Vec<Option<M>> {
        if self.is_balanced() { self.buckets.iter().map(|b| b.member).collect() } else { Vec::new() }
    }

    /// Whether it waits for LACP as an active-backup bond.
    pub fn falls_back(&self) -> bool {
        self.config.mode != BondMode::ActiveBackup
            && self.lacp == LacpStatus::Configured
            && self.config.lacp_fallback_ab
    }

    /// Whether load is spread.
    pub fn is_balanced(&self) -> bool {
        self.config.mode != BondMode::ActiveBackup && !self.falls_back()
    }

    /// Whether packets come back from the datapath with their hash to find their member.
    pub fn recirculates(&self) -> bool {
        self.config.mode == BondMode::BalanceTcp && !self.falls_back()
    }

    fn is_active_backup(&self) -> bool {
        self.config.mode == BondMode::ActiveBackup
    }

    /// A packet of so many octets left by a bucket.
    pub fn account(&mut self, bucket: u8, octets: u64) {
        if let Some(bucket) = self.buckets.get_mut(usize::from(bucket)) {
            bucket.tx_bytes = bucket.tx_bytes.saturating_add(octets);
            bucket.used = true;
        }
    }

    fn member_named(&self, name: &str) -> Option<M> {
        self.members.iter().find(|(_, m)| m.state.name == name).map(|(id, _)| *id)
    }

    fn name_of(&self, m: M) -> &str {
        self.members.get(&m).map_or("", |m| &m.state.name)
    }

    /// The configured primary, where one counts.
    fn primary(&self) -> Option<M> {
        self.member_named(self.config.primary.as_deref()?)
    }

    fn update_link(&mut self, m: M, now_ms: i64) {
        let (updelay_ms, downdelay_ms) = (self.config.updelay_ms, self.config.downdelay_ms);
        let Some(member) = self.members.get_mut(&m) else { return };
        let (name, up) = (&member.state.name, member.state.may_enable);
        if (up == member.enabled) != member.delay_expires_ms.is_none() {
            self.news.push(format!("member {name}: link state {}", if up { "up" } else { "down" }));
            let (becomes, keeps) = if up { ("enabled", "up") } else { ("disabled", "down") };
            if up == member.enabled {
                member.delay_expires_ms = None;
                self.news.push(format!("member {name}: will not be {}", if up { "disabled" } else { "enabled" }));
            } else {
                let delay_ms = if up { updelay_ms } else { downdelay_ms };
                member.delay_expires_ms = Some(now_ms + delay_ms);
                if delay_ms > 0 {
                    self.news.push(format!("member {name}: will be {becomes} if it stays {keeps} for {delay_ms} ms"));
                }
            }
        }
        if member.delay_expires_ms.is_some_and(|at| at <= now_ms) {
            self.enable(m, up, now_ms);
        }
    }

    fn enable(&mut self, m: M, enable: bool, now_ms: i64) {
        let Some(member) = self.members.get_mut(&m) else { return };
        member.delay_expires_ms = None;
        if member.enabled == enable {
            return;
        }
        member.enabled = enable;
        self.teaches |= !enable;
        let word = if enable { "enabled" } else { "disabled" };
        self.news.push(format!("member {}: {word}", member.state.name));
        self.prefer_primary(m, now_ms);
    }

    /// Makes a member that was just enabled the active one in another's place, if it is the primary.
    fn prefer_primary(&mut self, m: M, now_ms: i64) {
        let is_preferred = self.is_active_backup() && self.active.is_some() && self.primary() == Some(m);
        if is_preferred && self.is_enabled(m) {
            self.choose_active(now_ms);
        }
    }

    fn choose_active(&mut self, now_ms: i64) {
        let old = self.active;
        self.active = self.best_member();
        let name = &self.config.name;
        let Some(m) = self.active else {
            if old.is_some() {
                self.news.push(format!("bond {name}: all members disabled"));
            }
            return;
        };
        self.teaches = true;
        let Some(member) = self.members.get(&m) else { return };
        self.active_mac = member.state.mac;
        if member.enabled {
            if old != Some(m) {
                self.news.push(format!("bond {name}: active member is now {}", member.state.name));
            }
            return;
        }
        let left_ms = member.delay_expires_ms.map_or(0, |at| (at - now_ms).max(0));
        self.news.push(format!(
            "bond {name}: active member is now {}, skipping remaining {left_ms} ms updelay (since no member was enabled)",
            member.state.name
        ));
        self.enable(m, true, now_ms);
    }

    /// The primary, else the one that was active last, else the first that is enabled, else the one enabled soonest.
    fn best_member(&self) -> Option<M> {
        let enabled = |m: &M| self.is_enabled(*m);
        let last = || self.members.iter().find(|(_, m)| m.state.mac == self.active_mac).map(|(id, _)| *id);
        let primary = if self.is_active_backup() || self.falls_back() { self.primary() } else { None };
        primary.filter(enabled).or_else(|| last().filter(enabled)).or_else(|| self.enabled().first().copied()).or_else(
            || {
                let waiting = self.members.iter().filter(|(_, m)| m.state.may_enable);
                waiting.filter_map(|(id, m)| Some((m.delay_expires_ms?, *id))).min().map(|(_, id)| id)
            },
        )
    }

    /// Makes a member active, by name.
    ///
    /// # Errors
    /// A text for a user.
    pub fn set_active(&mut self, name: &str) -> Result<&'static str, &'static str> {
        let m = self.member_named(name).ok_or("no such member")?;
        if !self.is_enabled(m) {
            return Err("cannot make disabled member active");
        }
        if self.active == Some(m) {
            return Ok("no change");
        }
        self.active = Some(m);
        self.teaches = true;
        self.active_mac = self.members.get(&m).map_or(0, |m| m.state.mac);
        self.news.push(format!("bond {}: active member is now {name}", self.config.name));
        Ok("done")
    }

    /// Enables or disables a member until its link says otherwise, by name.
    ///
    /// # Errors
    /// A text for a user.
    pub fn force(&mut self, name: &str, enable: bool, now_ms: i64) -> Result<&'static str, &'static str> {
        let m = self.member_named(name).ok_or("no such member")?;
        self.enable(m, enable, now_ms);
        Ok(if enable { "enabled" } else { "disabled" })
    }

    /// Moves a bucket to a member, by name.
    ///
    /// # Errors
    /// A text for a user.
    pub fn migrate(&mut self, hash: &str, name: &str) -> Result<&'static str, &'static str> {
        if self.config.mode != BondMode::BalanceSlb {
            return Err("not an SLB bond");
        }
        let is_number = !hash.is_empty() && hash.bytes().all(|b| b.is_ascii_digit());
        let hash: usize = is_number.then(|| hash.parse().unwrap_or(0)).ok_or("bad hash")?;
        let m = self.member_named(name).ok_or("no such member")?;
        if !self.is_enabled(m) {
            return Err("cannot migrate to disabled member");
        }
        if let Some(bucket) = self.buckets.get_mut(hash % BUCKETS) {
            bucket.member = Some(m);
        }
        Ok("migrated")
    }
}

#[cfg(test)]
mod tests;
