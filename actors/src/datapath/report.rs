//! Everything that is counted, added up over a datapath's threads; and what all threads are told alike.

use actix::prelude::*;
use futures::future::join_all;

use super::flows::later;
use super::{Datapath, PATIENCE, now_us};
use crate::msg::datapath::*;
use crate::unixctl::coverage::Counter;

static METER_SET: Counter = Counter::new("dpif_meter_set");
static METER_DELETED: Counter = Counter::new("dpif_meter_del");
static METER_READ: Counter = Counter::new("dpif_meter_get");

impl Datapath {
    /// What this thread counted.
    fn own_report(&mut self) -> DatapathReport {
        self.engine.fold(now_us());
        let mut ports = Vec::new();
        for (number, port) in &mut self.ports {
            let stats = self.engine.port_stats(*number).unwrap_or_default();
            let losses: Vec<_> =
                port.queues.iter().filter_map(|q| self.engine.queue_mut(q.id).map(|q| q.losses())).collect();
            let truncated = losses.iter().map(|lost| lost.errors).sum();
            if truncated > std::mem::replace(&mut port.truncated, truncated) {
                vlog::warn_rl!(
                    "netdev_linux",
                    5,
                    5,
                    "{}: Dropped {truncated} packets so far: Too big. They came truncated, longer than 64 KiB or a ring's \
                     block, as gso_max_size of their sender's device allows (BIG TCP)",
                    port.name
                );
            }
            ports.push((*number, stats, losses.iter().map(|lost| lost.dropped).sum::<u64>() + truncated));
        }
        let stats = *self.engine.stats();
        let threads = self.pmd.map(|pmd| {
            let now_us = now_us();
            let since = |then_us: u64| now_us.saturating_sub(then_us);
            let (age_us, settled_us) = (since(pmd.since_us), since(pmd.settled_us));
            ThreadReport { core: pmd.core, stats, age_us, busy_us: pmd.busy_us, settled_us }
        });
        let queues = self.ports.iter().flat_map(|(port, of)| of.queues.iter().map(move |queue| (*port, queue)));
        DatapathReport {
            stats,
            main: if threads.is_none() { stats } else { dp::Stats::default() },
            threads: threads.into_iter().collect(),
            metrics: self.pmd.and_then(|pmd| Some((pmd.core, self.metrics.clone()?))).into_iter().collect(),
            queues: queues.map(|(port, q)| QueueReport { port, number: q.number, load: q.load }).collect(),
            flows: self.engine.n_flows(),
            masks: self.engine.n_masks(),
            emc_entries: self.engine.n_emc_entries(),
            ports,
            drops: self.engine.port_drops(),
            kernel: self.engine.kernel_report(),
            awake_within_us: self.owner.low_latency.as_ref().and_then(super::low_latency::LowLatency::held_us),
            dummies: self.dummies.iter().map(|(number, dummy)| (*number, dummy.counted())).collect(),
        }
    }
}

impl DatapathReport {
    /// Adds what another thread of the datapath counted.
    fn add(&mut self, other: Self) {
        self.stats += other.stats;
        self.threads.extend(other.threads);
        self.metrics.extend(other.metrics);
        self.queues.extend(other.queues);
        self.emc_entries += other.emc_entries;
        for (number, stats, lost) in other.ports {
            // All threads tell of ports in the order of their numbers.
            if let Ok(at) = self.ports.binary_search_by_key(&number, |(n, ..)| *n) {
                let (_, sum, all_lost) = &mut self.ports[at];
                *sum += stats;
                *all_lost += lost;
            }
        }
        if let Some(kernel) = other.kernel {
            *self.kernel.get_or_insert_default() += kernel;
        }
        self.drops.extend(other.drops);
        self.drops.sort_by_key(|d| (d.port, d.why));
        self.drops.dedup_by(|drop, sum| {
            let is_same = (drop.port, drop.why) == (sum.port, sum.why);
            if is_same {
                (sum.packets, sum.last_ms) = (sum.packets + drop.packets, sum.last_ms.max(drop.last_ms));
            }
            is_same
        });
    }
}

impl Handler<ReadStats> for Datapath {
    type Result = Response<DatapathReport>;

    fn handle(&mut self, _: ReadStats, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let mut report = self.own_report();
        let threads = self.hub.addresses();
        if threads.is_empty() {
            return Response::reply(report);
        }
        later(async move {
            let others = join_all(threads.values().map(|thread| thread.ask(ReadStats, PATIENCE))).await;
            others.into_iter().flatten().for_each(|other| report.add(other));
            report
        })
    }
}

impl Handler<ClearMetrics> for Datapath {
    type Result = ();

    fn handle(&mut self, m: ClearMetrics, _: &mut Context<Self>) {
        self.desk.received();
        self.hub.tell(|| Order::ClearMetrics(m.0));
    }
}

impl Handler<Quiesce> for Datapath {
    type Result = Response<()>;

    fn handle(&mut self, _: Quiesce, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        while self.work() {}
        let threads = self.hub.addresses();
        if threads.is_empty() {
            return Response::reply(());
        }
        later(async move {
            join_all(threads.values().map(|thread| thread.ask(Quiesce, PATIENCE))).await;
        })
    }
}

impl Datapath {
    /// Takes other settings, in all threads.
    pub(super) fn configure(&mut self, config: dp::Config) {
        self.set_config(config);
        self.hub.tell(|| Order::Configure(config));
    }
}

impl Handler<LimitFlows> for Datapath {
    type Result = ();

    fn handle(&mut self, m: LimitFlows, _: &mut Context<Self>) {
        self.desk.received();
        self.configure(dp::Config { flow_limit: m.0, ..*self.engine.config() });
    }
}

impl Handler<VlanLimit> for Datapath {
    type Result = ();

    fn handle(&mut self, m: VlanLimit, _: &mut Context<Self>) {
        self.desk.received();
        self.configure(dp::Config { max_vlans: m.0, ..*self.engine.config() });
    }
}

impl Handler<TunnelSources> for Datapath {
    type Result = ();

    fn handle(&mut self, m: TunnelSources, _: &mut Context<Self>) {
        self.desk.received();
        self.configure(dp::Config { tunnel_sources: m.0, ..*self.engine.config() });
    }
}

impl Handler<MeterSet> for Datapath {
    type Result = ();

    fn handle(&mut self, m: MeterSet, _: &mut Context<Self>) {
        self.desk.received();
        match m.config {
            Some(config) => {
                METER_SET.add();
                self.engine.set_meter(m.id, config, now_us());
            }
            None => {
                METER_DELETED.add();
                drop(self.engine.delete_meter(m.id));
            }
        }
    }
}

impl Handler<MeterRead> for Datapath {
    type Result = MessageResult<MeterRead>;

    fn handle(&mut self, m: MeterRead, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        METER_READ.add();
        MessageResult(self.engine.meter(m.id).map(|meter| meter.stats().clone()))
    }
}

impl Handler<BondSet> for Datapath {
    type Result = ();

    fn handle(&mut self, m: BondSet, _: &mut Context<Self>) {
        self.desk.received();
        self.set_bond(&m);
        self.hub.tell(|| Order::Bond(m.clone()));
    }
}

impl Handler<TunnelsAre> for Datapath {
    type Result = ();

    fn handle(&mut self, m: TunnelsAre, _: &mut Context<Self>) {
        self.desk.received();
        self.hub.tell(|| Order::Tunnels(m.clone()));
        self.set_tunnels(m);
    }
}
