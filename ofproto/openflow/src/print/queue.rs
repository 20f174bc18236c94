//! Queues as text.

use std::fmt::Write;

use super::Options;
use super::port::counter;
use crate::message::queue::{QUEUE_ALL, RATE_NONE};
use crate::message::{QueueConfig, QueueStats};
use crate::names::Style;
use crate::{OfPort, Version};

pub(super) fn stats_request(out: &mut String, port: OfPort, queue: Option<u32>, style: &Style<'_>) {
    put!(out, " port={} queue=", style.names.port(port));
    match queue {
        None => out.push_str("ALL"),
        Some(queue) => put!(out, "{queue}"),
    }
}

pub(super) fn config_request(out: &mut String, port: OfPort, queue: Option<u32>, style: &Style<'_>) {
    put!(out, " port={}", style.names.port(port));
    if let Some(queue) = queue {
        put!(out, " queue={queue}");
    }
}

fn rate(out: &mut String, name: &str, rate: u16) {
    if rate == RATE_NONE {
        return;
    }
    if rate <= 1000 {
        put!(out, " {name}:{}.{}%", rate / 10, rate % 10);
    } else {
        put!(out, " {name}:(disabled)");
    }
}

pub(super) fn config_reply(
    out: &mut String,
    port: OfPort,
    queues: &[QueueConfig],
    version: Version,
    style: &Style<'_>,
) {
    if !queues.is_empty() {
        out.push(' ');
    }
    // No port is named for queues of port 0, as Open vSwitch does.
    let mut last = OfPort(0);
    let mut sorted: Vec<&QueueConfig> = queues.iter().collect();
    sorted.sort_by_key(|q| (q.port, q.queue));
    for queue in sorted {
        let port = if version >= Version::V14 { queue.port } else { port };
        if std::mem::replace(&mut last, port) != port {
            put!(out, "port={}\n", style.names.port(port));
        }
        put!(out, "queue {}:", queue.queue);
        rate(out, "min_rate", queue.min_rate);
        rate(out, "max_rate", queue.max_rate);
        out.push('\n');
    }
}

pub(super) fn stats(out: &mut String, queues: &[QueueStats], options: &Options<'_>) {
    put!(out, " {} queues\n", queues.len());
    if options.verbosity < 1 {
        return;
    }
    for stats in queues {
        put!(out, "  port {} queue ", options.style.names.port(stats.port));
        match stats.queue {
            QUEUE_ALL => out.push_str("ALL: "),
            queue => put!(out, "{queue}: "),
        }
        counter(out, "bytes=", stats.tx_bytes, false);
        counter(out, "pkts=", stats.tx_packets, false);
        counter(out, "errors=", stats.tx_errors, false);
        out.push_str("duration=");
        if stats.duration_sec == u32::MAX {
            out.push('?');
        } else {
            super::duration(out, stats.duration_sec, stats.duration_nsec);
        }
        out.push('\n');
    }
}
