//! Forgetting tracked connections that a controller names, in part or in whole.

use actix::prelude::*;
use dp::ct::{Connection, Tuple};
use openflow::message::CtTuple;
use openflow::message::ct_flush::CtFlush as Wanted;

use super::Datapath;
use crate::msg::datapath::CtFlush;

/// Connections looked at together.
const AT_ONCE: usize = 1024;

impl Handler<CtFlush> for Datapath {
    type Result = ();

    fn handle(&mut self, m: CtFlush, _: &mut Context<Self>) {
        self.desk.received();
        let mut wanted = m.0;
        // A whole tuple is one of zone 0 unless another is named; parts of one are looked for everywhere.
        let ends = (wanted.orig.src_port, wanted.orig.dst_port);
        let has_ends = matches!(ends, (Some(_), Some(_))) || wanted.orig.icmp_id.is_some();
        if wanted.orig.src.is_some() && wanted.orig.dst.is_some() && wanted.ip_proto != 0 && has_ends {
            wanted.zone.get_or_insert(0);
        }
        let all = Wanted { zone: wanted.zone, ..Wanted::default() };
        if wanted == all {
            self.engine.flush_connections(wanted.zone, None);
            return;
        }
        let (mut from, mut doomed) = (0, Vec::new());
        loop {
            let (found, next) = self.engine.dump_connections(from, AT_ONCE, wanted.zone);
            doomed.extend(found.iter().filter(|c| is_meant(&wanted, c)).map(|c| (c.zone, c.original)));
            let Some(next) = next else { break };
            from = next;
        }
        for (zone, tuple) in doomed {
            self.engine.flush_connections(Some(zone), Some(&tuple));
        }
    }
}

fn is_meant(wanted: &Wanted, connection: &Connection) -> bool {
    (wanted.ip_proto == 0 || wanted.ip_proto == connection.original.proto)
        && agrees(&wanted.orig, &connection.original)
        && agrees(&wanted.reply, &connection.reply)
}

fn agrees(wanted: &CtTuple, tuple: &Tuple) -> bool {
    let address = |wanted: Option<std::net::Ipv6Addr>, has: u128| {
        wanted.is_none_or(|ip| match ip.to_ipv4_mapped() {
            Some(v4) => !tuple.is_v6 && u128::from(u32::from(v4)) == has,
            None => tuple.is_v6 && u128::from(ip) == has,
        })
    };
    let icmp = tuple.is_icmp();
    address(wanted.src, tuple.src)
        && address(wanted.dst, tuple.dst)
        && wanted.src_port.is_none_or(|p| !icmp && p == tuple.sport)
        && wanted.dst_port.is_none_or(|p| !icmp && p == tuple.dport)
        && wanted.icmp_id.is_none_or(|id| icmp && id == tuple.sport)
        && wanted.icmp_type.is_none_or(|kind| icmp && kind == tuple.icmp.0)
        && wanted.icmp_code.is_none_or(|code| icmp && code == tuple.icmp.1)
}
