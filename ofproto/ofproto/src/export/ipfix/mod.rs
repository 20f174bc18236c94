//! IPFIX: flow records of sampled packets.
//!
//! A record leaves at once, or gathers the packets of its flow for a while where a cache is configured. Each leaves in a
//! message of its own, as Open vSwitch's do; templates are told before the first and every ten minutes. Source: RFC 7011
//! (protocol), RFC 5102 and IANA's registry (information elements), ovs-vswitchd.conf.db(5), tables IPFIX and
//! Flow_Sample_Collector_Set; observed messages of Open vSwitch 3.1.

mod record;
mod template;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use openflow::message::IpfixStats;

use super::{Datagram, Stamp};
use record::{Counts, Gathered, Shape, Totals};
pub use record::{Interface, Sample, Tunnel};

/// Milliseconds between two tellings of the templates.
const TEMPLATES_MS: i64 = 600_000;
/// Version in a message's header.
const VERSION: u16 = 10;
/// Octets of a message's header: version and length (16 each), export time, sequence, observation domain (32 each).
const HEADER_LEN: usize = 16;
/// Records that are gathered at one time at the most, whatever is configured.
const FLOWS_AT_MOST: usize = 1 << 16;

/// Why a record leaves (flowEndReason, element 136).
mod reason {
    pub const ACTIVE_TIMEOUT: u8 = 2;
    pub const FORCED_END: u8 = 4;
    pub const LACK_OF_RESOURCES: u8 = 5;
}

/// An IPFIX row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpfixConfig {
    /// Collectors.
    pub to: Arc<[SocketAddr]>,
    /// One in so many packets is sampled, at least 1; for bridges alone.
    pub sampling: u32,
    /// Observation domain; for bridges alone.
    pub domain: u32,
    /// Observation point; for bridges alone.
    pub point: u32,
    /// Seconds that a record gathers packets, 0 for none.
    pub active_timeout_s: u32,
    /// Records that gather at one time, 0 for none.
    pub max_flows: u32,
    /// Tell of tunnels.
    pub tunnels: bool,
    /// Sample what comes in; for bridges alone.
    pub input: bool,
    /// Sample what goes out; for bridges alone.
    pub output: bool,
    /// Told with each record, if not empty.
    pub virtual_obs_id: String,
}

impl IpfixConfig {
    /// Of 2^32 - 1, how many packets are sampled.
    pub fn probability(&self) -> u32 {
        u32::MAX / self.sampling.max(1)
    }

    fn gathers(&self) -> bool {
        self.active_timeout_s > 0 && self.max_flows > 0
    }
}

/// What sends records of one row.
#[derive(Debug)]
pub struct Exporter {
    config: IpfixConfig,
    /// Tells this exporting process from others of the switch.
    process: u32,
    /// Names its datagrams when sending them has failed.
    source: Option<u32>,
    /// Records told so far, and one.
    sequence: u32,
    templates_ms: Option<i64>,
    gathered: BTreeMap<Arc<[u8]>, (Shape, Gathered)>,
    /// Keys of `gathered` in the order in which they began.
    order: VecDeque<Arc<[u8]>>,
    totals: Totals,
    stats: IpfixStats,
    ready: Vec<Datagram>,
}

impl Exporter {
    /// An exporter that has told nothing yet. `source` is the collector set's number, `None` for the bridge's own.
    pub fn new(config: IpfixConfig, source: Option<u32>, process: u32) -> Exporter {
        let stats = IpfixStats { collector_set_id: source.unwrap_or(0), ..IpfixStats::default() };
        Exporter {
            config,
            process,
            source,
            sequence: 1,
            templates_ms: None,
            gathered: BTreeMap::new(),
            order: VecDeque::new(),
            totals: Totals::default(),
            stats,
            ready: Vec::new(),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &IpfixConfig {
        &self.config
    }

    /// Takes another configuration: what was gathered goes on; other collectors hear the templates anew.
    pub fn configure(&mut self, config: IpfixConfig) {
        if config.to != self.config.to {
            self.templates_ms = None;
        }
        self.config = config;
    }

    /// Counters, as controllers may ask for them.
    pub fn stats(&self) -> IpfixStats {
        IpfixStats { current_flows: self.order.len() as u64, ..self.stats }
    }

    /// So many datagrams could not be sent.
    pub fn failed(&mut self, n: u64) {
        self.stats.tx_errors += n;
        self.stats.tx_pkts = self.stats.tx_pkts.saturating_sub(n);
    }

    /// Tells of a packet.
    pub fn sample(&mut self, sample: &Sample<'_>, now_ms: i64) {
        let shape = Shape::of(sample);
        let key: Arc<[u8]> = record::key(&shape, sample, &self.config).into();
        let counts = Counts::of(sample);
        self.count(sample);
        self.totals.add(sample, &counts);
        let gathers = self.config.gathers();
        if gathers && let Some((_, gathered)) = self.gathered.get_mut(&key) {
            gathered.add(&counts, &self.totals, now_ms);
            return;
        }
        self.stats.total_flows += 1;
        let gathered = Gathered::new(&counts, &self.totals, now_ms);
        if !gathers {
            self.tell(&key, shape, &gathered, reason::ACTIVE_TIMEOUT, now_ms);
            return;
        }
        let room = (self.config.max_flows as usize).min(FLOWS_AT_MOST);
        while self.order.len() >= room {
            self.tell_oldest(reason::LACK_OF_RESOURCES, now_ms);
        }
        self.order.push_back(key.clone());
        self.gathered.insert(key, (shape, gathered));
    }

    fn count(&mut self, sample: &Sample<'_>) {
        let stats = &mut self.stats;
        stats.pkts += 1;
        let is_known = record::transport(sample.key).is_some();
        match (sample.key.dl_type(), is_known) {
            (record::ETH_IPV4, true) => stats.ipv4_pkts += 1,
            (record::ETH_IPV6, true) => stats.ipv6_pkts += 1,
            (record::ETH_IPV4, false) => stats.ipv4_error_pkts += 1,
            (record::ETH_IPV6, false) => stats.ipv6_error_pkts += 1,
            _ => {}
        }
        stats.error_pkts = stats.ipv4_error_pkts + stats.ipv6_error_pkts;
    }

    /// When [`Exporter::run`] has something to do.
    pub fn poll_timeout(&self) -> i64 {
        if !self.ready.is_empty() {
            return 0;
        }
        let oldest = self.order.front().and_then(|key| self.gathered.get(key));
        oldest.map_or(i64::MAX, |(_, gathered)| gathered.start_ms + self.timeout_ms())
    }

    fn timeout_ms(&self) -> i64 {
        i64::from(self.config.active_timeout_s) * 1000
    }

    /// Gives what is to be sent by now.
    pub fn run(&mut self, now_ms: i64) -> Vec<Datagram> {
        let timeout_ms = self.timeout_ms();
        while let Some((_, oldest)) = self.order.front().and_then(|key| self.gathered.get(key))
            && oldest.start_ms + timeout_ms <= now_ms
        {
            self.tell_oldest(reason::ACTIVE_TIMEOUT, now_ms);
        }
        std::mem::take(&mut self.ready)
    }

    /// Gives all that is left to be sent: there will be nothing more.
    pub fn end(mut self, now_ms: i64) -> Vec<Datagram> {
        while !self.order.is_empty() {
            self.tell_oldest(reason::FORCED_END, now_ms);
        }
        self.ready
    }

    fn tell_oldest(&mut self, why: u8, now_ms: i64) {
        let Some(key) = self.order.pop_front() else { return };
        if let Some((shape, gathered)) = self.gathered.remove(&key) {
            self.tell(&key, shape, &gathered, why, now_ms);
        }
    }

    /// Makes the message of a record.
    fn tell(&mut self, key: &[u8], shape: Shape, gathered: &Gathered, why: u8, now_ms: i64) {
        // The domain goes before the elements in a key.
        let (domain, elements) = key.split_at(4);
        let domain = u32::from_be_bytes(domain.try_into().unwrap_or_default());
        if self.templates_ms.is_none_or(|told_ms| now_ms >= told_ms + TEMPLATES_MS) {
            self.tell_templates(domain);
            self.templates_ms = Some(now_ms);
        }
        let mut record = elements.to_vec();
        let times_at = HEADER_LEN + template::SET_HEADER_LEN + record.len();
        record::put_counts(&mut record, shape, gathered, why);
        let ages_us = [gathered.start_ms, gathered.end_ms].map(|ms| (now_ms - ms).max(0) * 1000);
        let stamp = Stamp::Ipfix { deltas: Some((times_at, ages_us)) };
        self.put(domain, shape.template_id(), &record, stamp);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn tell_templates(&mut self, domain: u32) {
        let with_id = !self.config.virtual_obs_id.is_empty();
        for templates in template::messages(with_id) {
            self.put(domain, template::TEMPLATE_SET, &templates, Stamp::Ipfix { deltas: None });
        }
        let stamp = Stamp::Ipfix { deltas: None };
        self.put(0, template::OPTIONS_SET, &template::process_options(), stamp.clone());
        let mut record = self.process.to_be_bytes().to_vec();
        record.extend(self.stats.tx_errors.to_be_bytes());
        self.put(0, template::PROCESS_TEMPLATE, &record, stamp);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn put(&mut self, domain: u32, set: u16, body: &[u8], stamp: Stamp) {
        let set_len = template::SET_HEADER_LEN + body.len();
        let mut octets = Vec::with_capacity(HEADER_LEN + set_len);
        octets.extend(VERSION.to_be_bytes());
        octets.extend(((HEADER_LEN + set_len) as u16).to_be_bytes());
        // The time of export is put in when it leaves.
        octets.extend([0; 4]);
        octets.extend(self.sequence.to_be_bytes());
        octets.extend(domain.to_be_bytes());
        octets.extend(set.to_be_bytes());
        octets.extend((set_len as u16).to_be_bytes());
        octets.extend(body);
        self.stats.tx_pkts += self.config.to.len() as u64;
        let from = Some(self.source);
        self.ready.push(Datagram { to: self.config.to.clone(), octets, stamp, from });
    }
}

#[cfg(test)]
mod tests;
