//! What the core asks for, as messages.

use actix::prelude::*;
use futures::future::{BoxFuture, join_all};
use ofproto::bridge::{Answer, CountFor, DatapathMeter, DatapathMeterStats, Decisions, Question};
use ofproto::rule::{RuleId, RuleStats};
use ofproto::table::{Staged, TableView};
use openflow::message::PortStats;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::datapath::log_flush;
use crate::host::ReadCounters;
use crate::msg::datapath::{BondSet, CtFlush, MeterRead, MeterSet, ReadStats};
use crate::msg::port::SetAdmin;
use crate::msg::revalidator::CreditFlows;
use crate::msg::switch::UnderlayEdit;
use crate::msg::table::*;
use crate::revalidator::Revalidator;
use crate::supervise::{Role, Strategy};
use crate::table::NEWS_AT_MOST;

/// How long a table or the datapath may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a change of a device may take to come back as news of it: then whoever waits goes on.
const SHARING: Duration = Duration::from_secs(1);
/// Effects on another bridge, other than sums, that wait for room in its mailbox.
const FOREIGN_AT_MOST: usize = 4096;
/// Messages that fit a table's mailbox.
const TABLE_MAILBOX: usize = 256;

impl Bridge {
    /// Tells the log which flows are changed.
    pub(super) fn log_changes(&self, decisions: &Decisions) {
        let datapath = self.setup.datapath.card().name();
        for change in &decisions.modify {
            crate::datapath::log::flow_modify(datapath, change, || self.core.cached_match(change.ufid));
        }
    }

    /// Tells whoever keeps the tunnels' neighbours what this bridge has seen of them.
    fn tell_underlay(&self, edit: impl FnOnce(String) -> UnderlayEdit) {
        if let Some(underlay) = &self.setup.directory.load().underlay {
            underlay.offer(edit(self.setup.name.clone()));
        }
    }

    fn configure_table(&mut self, table: u8, config: ConfigureTable, ctx: &mut Context<Self>) {
        let asked = self.table(table).map(|table| table.ask(config, PATIENCE));
        self.configuring += 1;
        let step = actix::fut::wrap_future::<_, Self>(futures::future::OptionFuture::from(asked));
        ctx.spawn(step.map(|_, this, ctx| {
            this.configuring -= 1;
            this.carried_out(ctx);
            if this.configuring == 0 {
                this.configured.tell();
            }
        }));
    }

    fn flush_connections(&mut self, flush: openflow::message::CtFlush) {
        if let Some(here) = self.setup.directory.load().bridges.get(&self.setup.name) {
            log_flush(&format!("{0}@ovs-{0}", here.datapath), &flush);
        }
        let sent = self.setup.datapath.offer(CtFlush(flush));
        self.complain_unless(sent, "connections were not flushed");
    }

    pub(super) fn carry_out(&mut self, output: Wish, ctx: &mut Context<Self>) {
        match output {
            Output::Send { conn, msg } => {
                if let Some(peer) = self.peers.get_mut(&conn)
                    && peer.unsent.len() < UNSENT_AT_MOST
                {
                    peer.unsent.push_back(msg);
                }
            }
            Output::PacketsDropped { name, packets } => {
                coverage::PACKETS_DROPPED.add_many(packets);
                for _ in 0..packets.min(5) {
                    let bridge = &self.setup.name;
                    vlog::info_rl!("connmgr", 5, 5, "{bridge}<->{name}: dropping packet-in due to queue overflow");
                }
            }
            Output::Close(conn) => {
                self.peers.remove(&conn);
            }
            Output::Stage { batches, watched } => self.stage(batches, watched, ctx),
            Output::Settle { table, commit } => {
                self.unsettled.push((table, Settle { commit }));
                self.settle_tables();
            }
            Output::ConfigureTable { table, config } => self.configure_table(table, ConfigureTable(config), ctx),
            Output::Share => {
                self.publish(true);
                let shared = self.setup.shares.ask(Share { devices: false }, SHARING);
                let step = actix::fut::wrap_future::<_, Self>(shared);
                ctx.spawn(step.map(|_, this, ctx| this.carried_out(ctx)));
            }
            Output::Ask { questions, credited } => self.ask(questions, credited, ctx),
            Output::Credit { rules, lookups } => self.credit(rules, lookups),
            Output::FinTimeout { rule, idle, hard } => {
                self.uncredited.entry(rule.table).or_default().fins.push((rule, idle, hard));
            }
            Output::Install { entries, thread } => {
                let view_version = self.core.view().version;
                for entry in &entries {
                    crate::datapath::log::flow_add(entry, || self.core.cached_key(entry.ufid));
                }
                // What does not fit any more will miss again.
                let _ = self.installs.send(FlowInstall { view_version, entries, thread });
            }
            Output::Execute { packets, answered } => self.execute(packets, answered, false),
            Output::Receipt { answered } => self.execute(Vec::new(), answered, true),
            Output::SetMeter { id, config } => {
                let config = config.as_ref().map(meter_config);
                let sent = self.setup.datapath.offer(MeterSet { id, config });
                self.complain_unless(sent, "a meter was not set");
            }
            Output::SetBond { id, members } => {
                let members = members.map(|m| m.into_iter().map(|odp| odp.unwrap_or(u32::MAX)).collect());
                let sent = self.setup.datapath.offer(BondSet { id, members });
                self.complain_unless(sent, "a bond was not set");
            }
            Output::CtFlush(flush) => self.flush_connections(flush),
            Output::Export(datagrams) => {
                let failed = self.collectors.send(datagrams);
                self.core.export_failed(&failed);
            }
            // Who answers again is heard again, and who is used again is told of again.
            Output::NeighbourHeard { address, mac } => {
                self.tell_underlay(|bridge| UnderlayEdit::Neighbour { bridge, address, mac });
            }
            Output::NeighbourUsed { address } => {
                self.tell_underlay(|bridge| UnderlayEdit::NeighbourUsed { bridge, address });
            }
            Output::Count(whose, ports) => self.count(whose, ports, ctx),
            Output::Complain(text) => vlog::warn_rl!("ofproto_dpif_xlate", 1, 5, "{text}"),
            Output::Explain(text) => vlog::warn_rl!("ofproto_dpif_upcall", 1, 1, "{text}"),
            Output::Remark(remark) => {
                let level = match remark.level {
                    openflow::Level::Err => vlog::Level::Err,
                    openflow::Level::Warn | openflow::Level::Info => vlog::Level::Warn,
                };
                match remark.kind {
                    Some(kind) => vlog::write_first(remark.module, kind, level, format_args!("{}", remark.text)),
                    None => vlog::write_limited(remark.module, level, 1, 5, format_args!("{}", remark.text)),
                }
            }
            Output::Log(note) => crate::controller::write_note(&note),
            Output::FindNextHops(remotes) => self.find_next_hops(&remotes),
            Output::SetAdmin { port, up } => self.set_admin(port, up, ctx),
            Output::StationsGone(stations) => {
                let gone = StationsGone(stations.into());
                let own = self.core.view().id;
                let directory = self.setup.directory.load();
                for other in directory.bridges.values().filter(|other| other.id != own) {
                    other.address.outlet::<StationsGone>().deliver(gone.clone());
                }
            }
            Output::Foreign { bridge, effect, stats } => {
                self.foreign.entry(bridge).or_default().effects.push((effect, stats));
            }
            Output::ForeignPacketIn { bridge, message, cookie } => {
                self.foreign.entry(bridge).or_default().packets.push((message, cookie));
            }
        }
    }

    fn execute(&mut self, packets: Vec<flow::Execute>, answered: Vec<(flow::OdpPort, flow::Ticket)>, is_receipt: bool) {
        let Some(own) = &self.own else { return };
        let bridge = own.outlet::<Upcalls>();
        let sent = self.executes.send(PacketExecute { packets, answered, is_receipt, bridge }).is_ok();
        // A receipt that is lost is taken for given after a while.
        self.complain_unless(sent || is_receipt, "packets were lost");
    }

    /// Takes what it had set out of the datapath, if that stays.
    pub(super) fn withdraw(&mut self) {
        for output in self.core.take_outputs() {
            match output {
                Output::SetMeter { id, .. } => drop(self.setup.datapath.post(MeterSet { id, config: None })),
                Output::SetBond { id, .. } => drop(self.setup.datapath.post(BondSet { id, members: None })),
                Output::Log(note) => crate::controller::write_note(&note),
                _ => {}
            }
        }
    }

    /// Does something with another bridge, if it is still there.
    fn with_bridge<R>(&self, bridge: BridgeId, act: impl FnOnce(&Address<Bridge>) -> R) -> Option<R> {
        let directory = self.setup.directory.load();
        directory.bridges.values().find(|b| b.id == bridge).map(|entry| act(&entry.address))
    }

    /// Brings a port's device up or down, and goes on when that is known of.
    fn set_admin(&self, port: openflow::OfPort, up: bool, ctx: &mut Context<Self>) {
        let directory = self.setup.directory.load();
        let here = |e: &&crate::switch::directory::PortEntry| e.bridge == self.setup.name && e.port == port;
        let asked = directory.ports.values().find(here).map(|e| e.address.ask(SetAdmin(up), SHARING));
        let shares = self.setup.shares.clone();
        let step = actix::fut::wrap_future::<_, Self>(async move {
            if let Some(asked) = asked {
                let _ = asked.await;
                let _ = shares.ask(Share { devices: true }, SHARING).await;
            }
        });
        ctx.spawn(step.map(|(), this, ctx| this.carried_out(ctx)));
    }

    /// Says what the datapath's mailbox had no room for.
    fn complain_unless(&self, sent: bool, what: &str) {
        if !sent {
            vlog::warn_rl!("ofproto", 5, 5, "{}: {what}, the datapath does not keep up", self.setup.name);
        }
    }

    /// An output whose end the core waits for has come to it.
    fn carried_out(&mut self, ctx: &mut Context<Self>) {
        self.core.set_now(clock::now_ms());
        self.core.carried_out();
        self.settle(ctx);
    }

    /// A table's actor, made when first needed from what the core's view shows of it.
    fn table(&mut self, id: u8) -> Option<Address<FlowTable>> {
        if let Some(table) = self.tables.get(&id) {
            return Some(table.clone());
        }
        let own = self.own.clone()?;
        let known = self.core.view().table(id).cloned().unwrap_or_else(|| Arc::new(TableView::empty(id)));
        let role = Role::new(format!("table {} {id}", self.setup.name), "table", TABLE_MAILBOX, Strategy::OneForOne);
        let latest = self.setup.latest.clone();
        let table = self.family.hire(role, move |desk, _| {
            // A later incarnation begins with what was published last.
            let published = latest.load().as_ref().and_then(|b| b.table(id).cloned());
            let view = published.unwrap_or_else(|| known.clone());
            FlowTable::new(desk, &view, own.outlet::<TableChanged>().retry(NEWS_AT_MOST))
        });
        self.tables.insert(id, table.clone());
        Some(table)
    }

    /// Tells tables what becomes of what they have staged; what one has no room for waits, with all that follows it.
    pub(super) fn settle_tables(&mut self) {
        for (id, settle) in std::mem::take(&mut self.unsettled) {
            let waits = self.is_unsettled(id);
            let Some(table) = self.table(id) else { continue };
            if let Some(refused) = if waits { Some(settle) } else { table.post(settle).err() } {
                self.unsettled.push((id, refused));
            }
        }
    }

    /// Whether a table has yet to hear what becomes of what it has staged.
    fn is_unsettled(&self, table: u8) -> bool {
        self.unsettled.iter().any(|(id, _)| *id == table)
    }

    /// Credits rules and tables; what a table has no room for is credited later.
    pub(super) fn credit(&mut self, rules: Vec<(RuleId, RuleStats)>, lookups: Vec<(u8, u64, u64)>) {
        let mut by_table = std::mem::take(&mut self.uncredited);
        for (rule, stats) in rules {
            by_table.entry(rule.table).or_default().entries.push((rule, stats));
        }
        for (table, looked_up, matched) in lookups {
            let credit = by_table.entry(table).or_default();
            credit.lookups += looked_up;
            credit.matches += matched;
        }
        for (table, credit) in by_table {
            if self.core.view().table(table).is_none() {
                continue;
            }
            let Some(address) = self.table(table) else { continue };
            // The rest of its mailbox is for what changes rules, which nobody would say again.
            let refused = if address.card().is_half_full() { Some(credit) } else { address.post(credit).err() };
            if let Some(mut refused) = refused {
                refused.condense();
                self.uncredited.insert(table, refused);
            }
        }
    }

    /// Tells other bridges what packets did there; what one has no room for waits for the next time.
    pub(super) fn send_foreign(&mut self) {
        for (bridge, effects) in std::mem::take(&mut self.foreign) {
            if let Some(mut refused) = self.with_bridge(bridge, |other| other.post(effects).err()).flatten() {
                ofproto::xlate::condense(&mut refused.effects, FOREIGN_AT_MOST);
                coverage::PACKETS_DROPPED.add_many(refused.packets.len().saturating_sub(FOREIGN_AT_MOST) as u64);
                refused.packets.truncate(FOREIGN_AT_MOST);
                self.foreign.insert(bridge, refused);
            }
        }
    }

    fn stage(&mut self, batches: Vec<(u8, Vec<ofproto::table::Change>)>, watched: bool, ctx: &mut Context<Self>) {
        self.settle_tables();
        let asked: Vec<BoxFuture<'static, (u8, Option<Staged>)>> = batches
            .into_iter()
            .map(|(id, changes)| -> BoxFuture<'static, (u8, Option<Staged>)> {
                match self.table(id).filter(|_| !self.is_unsettled(id)) {
                    Some(table) => {
                        let answer = table.ask(FlowMods { changes, watched }, PATIENCE);
                        Box::pin(async move { (id, answer.await.ok()) })
                    }
                    None => Box::pin(async move { (id, None) }),
                }
            })
            .collect();
        let step = actix::fut::wrap_future::<_, Self>(join_all(asked)).map(|results, this, ctx| {
            this.core.staged(results, clock::now_ms());
            this.settle(ctx);
        });
        ctx.spawn(step);
    }

    fn ask(&mut self, questions: Vec<Question>, credited: bool, ctx: &mut Context<Self>) {
        if let Some(revalidator) = credited.then(|| self.revalidator()).flatten() {
            // Who counts what has passed so far; the tables hear of it before they are asked.
            let credited = revalidator.ask(CreditFlows, PATIENCE);
            let step = actix::fut::wrap_future::<_, Self>(credited);
            ctx.spawn(step.map(|_, this, ctx| this.ask_credited(questions, ctx)));
        } else {
            self.ask_credited(questions, ctx);
        }
    }

    fn revalidator(&self) -> Option<Address<Revalidator>> {
        let directory = self.setup.directory.load();
        let here = directory.bridges.get(&self.setup.name)?;
        directory.datapaths.get(&here.datapath)?.revalidator.clone()
    }

    fn ask_credited(&mut self, questions: Vec<Question>, ctx: &mut Context<Self>) {
        let asked = self.put_questions(questions);
        let step = actix::fut::wrap_future::<_, Self>(join_all(asked)).map(|answers, this, ctx| {
            this.core.answered(answers.into_iter().flatten().collect(), clock::now_ms());
            this.settle(ctx);
        });
        ctx.spawn(step);
    }

    /// Asks tables, ports and the datapath.
    pub(super) fn put_questions(&mut self, questions: Vec<Question>) -> Vec<BoxFuture<'static, Option<Answer>>> {
        questions
            .into_iter()
            .map(|question| -> BoxFuture<'static, Option<Answer>> {
                match question {
                    Question::Rules { table, .. }
                    | Question::Aggregate { table, .. }
                    | Question::TableCounters { table } => match self.table(table) {
                        Some(address) => {
                            let answer = address.ask(Ask(question), PATIENCE);
                            Box::pin(async move { answer.await.ok().flatten() })
                        }
                        None => Box::pin(async { None }),
                    },
                    Question::Ports(ports) => self.ask_ports(ports),
                    Question::Queues(wanted) => self.ask_queues(wanted),
                    Question::Meters(ids) => self.ask_meters(ids),
                }
            })
            .collect()
    }

    fn ask_meters(&self, ids: Vec<u32>) -> BoxFuture<'static, Option<Answer>> {
        let asked: Vec<_> = ids.iter().map(|id| self.setup.datapath.ask(MeterRead { id: *id }, PATIENCE)).collect();
        Box::pin(async move {
            let counted = ids.into_iter().zip(join_all(asked).await);
            let stats = counted.filter_map(|(id, answer)| {
                let stats = answer.ok().flatten()?;
                Some(DatapathMeterStats { id, packets: stats.packets, bytes: stats.bytes, bands: stats.bands })
            });
            Some(Answer::Meters(stats.collect()))
        })
    }

    fn ask_queues(&self, wanted: Vec<(openflow::OfPort, Option<u32>)>) -> BoxFuture<'static, Option<Answer>> {
        let directory = self.setup.directory.load_full();
        let name = self.setup.name.clone();
        let report = self.setup.datapath.ask(ReadStats, PATIENCE);
        Box::pin(async move {
            let dummies = report.await.map(|report| report.dummies).unwrap_or_default();
            let now_ms = clock::now_ms();
            let mut stats = Vec::new();
            for (port, queue) in wanted {
                let here = |e: &&crate::switch::directory::PortEntry| e.bridge == name && e.port == port;
                let Some(entry) = directory.ports.values().find(here) else { continue };
                let (shaping, counters) = crate::qos::commands::read(&directory, entry).await;
                let mut queues = shaping.map(|s| s.queues).unwrap_or_default();
                let dummy = entry.odp.is_some_and(|odp| dummies.contains_key(&odp));
                if dummy {
                    // A dummy has its default queue, of which nothing is known.
                    queues.insert(0, crate::qos::Queue::default());
                }
                for (number, own) in queues.into_iter().filter(|(n, _)| queue.is_none_or(|q| q == *n)) {
                    let counted = counters.get(&number).copied().unwrap_or_default();
                    let known = |n: u64| if dummy { u64::MAX } else { n };
                    let age_ms = u64::try_from(now_ms - own.since_ms).unwrap_or(0);
                    let age = |part: u64| if dummy { u32::MAX } else { u32::try_from(part).unwrap_or(u32::MAX - 1) };
                    stats.push(openflow::message::QueueStats {
                        port,
                        queue: number,
                        tx_bytes: known(counted.bytes),
                        tx_packets: known(counted.packets),
                        tx_errors: known(counted.errors),
                        duration_sec: age(age_ms / 1000),
                        duration_nsec: age(age_ms % 1000 * 1_000_000),
                    });
                }
            }
            Some(Answer::Queues(stats))
        })
    }

    /// Counts ports and the datapath for collectors, or for those who look at a port's traffic.
    fn count(&mut self, whose: CountFor, ports: Vec<openflow::OfPort>, ctx: &mut Context<Self>) {
        let asked = futures::future::join(self.ask_ports(ports.clone()), self.setup.datapath.ask(ReadStats, PATIENCE));
        ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(move |(answer, report), this, ctx| {
            let stats = match (answer, whose) {
                (Some(Answer::Ports(stats)), _) => stats,
                (_, CountFor::Liveness) => Vec::new(),
                (_, CountFor::Collectors) => return,
            };
            let switch = report.map(|report| switch_counters(&report)).unwrap_or_default();
            this.core.counted(whose, &ports, switch, stats, clock::now_ms());
            this.settle(ctx);
        }));
    }

    fn ask_ports(&self, ports: Vec<openflow::OfPort>) -> BoxFuture<'static, Option<Answer>> {
        let now_ms = clock::now_ms();
        let known: Vec<_> = ports
            .into_iter()
            .map(|port| {
                let odp = self.core.view().ports.get(&port).filter(|p| p.tunnel().is_none()).and_then(|p| p.odp);
                (port, odp, self.core.virtual_stats(port), self.core.port_age_ms(port, now_ms))
            })
            .collect();
        let report = self.setup.datapath.ask(ReadStats, PATIENCE);
        let directory = self.setup.directory.load_full();
        let name = self.setup.name.clone();
        Box::pin(async move {
            let report = report.await.ok();
            let dummy = |odp: Option<flow::OdpPort>| report.as_ref()?.dummies.get(&odp?);
            let kernel = match &directory.host {
                Some(host) => host.address.ask(ReadCounters, PATIENCE).await.unwrap_or_default(),
                None => Arc::default(),
            };
            let devices: BTreeMap<openflow::OfPort, _> = directory
                .ports
                .iter()
                .filter(|(_, entry)| entry.bridge == name)
                .filter_map(|(device, entry)| Some((entry.port, (kernel.get(device)?, entry.kind.as_str()))))
                .collect();
            let stats = known.into_iter().map(|(port, odp, own, age_ms)| {
                let mut stats = crate::switch::counters(odp, report.as_ref());
                if let Some((counters, kind)) = devices.get(&port) {
                    crate::switch::kernel_counters(counters, kind, (odp, report.as_ref()), &mut stats);
                }
                if odp.is_none()
                    && let Some(own) = own
                {
                    (stats.rx_packets, stats.rx_bytes) = (own.rx_packets, own.rx_bytes);
                    (stats.tx_packets, stats.tx_bytes) = (own.tx_packets, own.tx_bytes);
                }
                if let Some(queues) = dummy(odp) {
                    let more = crate::switch::dummy_counters(&stats, queues);
                    stats.custom = more.into_iter().map(|(name, n)| (name, n as u64)).collect();
                }
                let duration_sec = u32::try_from(age_ms / 1000).unwrap_or(u32::MAX);
                PortStats { port, duration_sec, duration_nsec: (age_ms % 1000) as u32 * 1_000_000, ..stats }
            });
            Some(Answer::Ports(stats.collect()))
        })
    }
}

/// A datapath's counters as collectors hear of them, which wrap.
fn switch_counters(report: &crate::msg::datapath::DatapathReport) -> ofproto::export::sflow::SwitchCounters {
    ofproto::export::sflow::SwitchCounters {
        hits: crate::switch::commands::hits(&report.stats) as u32,
        misses: report.stats.misses as u32,
        lost: report.stats.lost as u32,
        flows: report.flows as u32,
    }
}

/// A meter in the datapath's words.
fn meter_config(meter: &DatapathMeter) -> dp::MeterConfig {
    let band = |b: &ofproto::bridge::DatapathBand| dp::Band {
        kind: b.prec_level.map_or(dp::BandKind::Drop, |prec_level| dp::BandKind::DscpRemark { prec_level }),
        rate: b.rate,
        burst_size: b.burst,
    };
    dp::MeterConfig { pktps: meter.pktps, bands: meter.bands.iter().map(band).collect() }
}
