//! Forgetting tracked connections that a controller names, in part or in whole.

use actix::prelude::*;
use dp::ct::{Connection, Tuple};
use openflow::message::CtTuple;
use openflow::message::ct_flush::CtFlush as Wanted;
use std::fmt;
use std::net::Ipv6Addr;

use super::Datapath;
use crate::msg::datapath::CtFlush;

/// Connections looked at together.
const AT_ONCE: usize = 1024;

impl Handler<CtFlush> for Datapath {
    type Result = ();

    fn handle(&mut self, m: CtFlush, _: &mut Context<Self>) {
        self.desk.received();
        // There is no way to answer a controller that named what is not there.
        let _ = flush_connections(&mut self.engine, &m.0);
    }
}

/// Says which connections of the datapath of a name are to be forgotten.
pub(crate) fn log_flush(datapath: &str, wanted: &Wanted) {
    vlog::dbg!("ct_dpif", "{datapath}: ct_flush: {}", Named(wanted));
}

/// Connections as the log names them.
struct Named<'a>(&'a Wanted);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(wanted) = self;
        let all = Wanted { zone: wanted.zone, ..Wanted::default() };
        match wanted.zone {
            None if **wanted == all => return f.write_str("<all>"),
            Some(zone) if **wanted == all => return write!(f, "zone {zone}"),
            zone => write!(f, "zone={} '", zone.unwrap_or(0))?,
        }
        let addresses = [wanted.orig.src, wanted.orig.dst, wanted.reply.src, wanted.reply.dst];
        let is_v6 = addresses.iter().flatten().any(|ip| ip.to_ipv4_mapped().is_none());
        write_tuple(f, &wanted.orig, is_v6, wanted.ip_proto)?;
        write!(f, ",ct_nw_proto={}' '", wanted.ip_proto)?;
        write_tuple(f, &wanted.reply, is_v6, wanted.ip_proto)?;
        f.write_str("'")
    }
}

fn write_tuple(f: &mut fmt::Formatter<'_>, tuple: &CtTuple, is_v6: bool, ip_proto: u8) -> fmt::Result {
    let layer = if is_v6 { "ipv6" } else { "nw" };
    for (side, ip) in [("src", tuple.src), ("dst", tuple.dst)] {
        let ip = ip.unwrap_or(Ipv6Addr::UNSPECIFIED);
        match ip.to_ipv4_mapped() {
            Some(ip) => write!(f, "ct_{layer}_{side}={ip},")?,
            None => write!(f, "ct_{layer}_{side}={ip},")?,
        }
    }
    if matches!(ip_proto, 1 | 58) {
        let (id, kind, code) = (tuple.icmp_id, tuple.icmp_type, tuple.icmp_code);
        let (id, kind, code) = (id.unwrap_or(0), kind.unwrap_or(0), code.unwrap_or(0));
        write!(f, "icmp_id={id},icmp_type={kind},icmp_code={code}")
    } else {
        write!(f, "ct_tp_src={},ct_tp_dst={}", tuple.src_port.unwrap_or(0), tuple.dst_port.unwrap_or(0))
    }
}

/// A connection that was named in whole is not there.
#[derive(Debug)]
pub(crate) struct NoSuchConnection;

/// Removes the connections that are meant: all, those of a zone, those that parts of tuples agree with, or the one that
/// an original tuple names in whole, by either of its directions (one translated, by its original direction only).
pub(crate) fn flush_connections(engine: &mut dp::Datapath, wanted: &Wanted) -> Result<(), NoSuchConnection> {
    if let Some(tuple) = whole(wanted) {
        if engine.forget_connection(wanted.zone.unwrap_or(0), &tuple) {
            return Ok(());
        }
        vlog::warn!("conntrack", "Must flush tuple using the original pre-NATed tuple");
        return Err(NoSuchConnection);
    }
    let all = Wanted { zone: wanted.zone, ..Wanted::default() };
    if *wanted == all {
        engine.flush_connections(wanted.zone);
        return Ok(());
    }
    let (mut from, mut doomed) = (0, Vec::new());
    loop {
        let (found, next) = engine.dump_connections(from, AT_ONCE, wanted.zone);
        doomed.extend(found.iter().filter(|c| is_meant(wanted, c)).map(|c| (c.zone, c.original)));
        let Some(next) = next else { break };
        from = next;
    }
    for (zone, tuple) in doomed {
        engine.forget_connection(zone, &tuple);
    }
    Ok(())
}

/// The tuple that is named in whole, if one is: what is left out of ICMP's part is 0.
fn whole(wanted: &Wanted) -> Option<Tuple> {
    let orig = &wanted.orig;
    if wanted.ip_proto == 0 || wanted.reply != CtTuple::default() {
        return None;
    }
    let (src, dst) = (orig.src?, orig.dst?);
    let (v4_src, v4_dst) = (src.to_ipv4_mapped(), dst.to_ipv4_mapped());
    let (is_v6, src, dst) = match (v4_src, v4_dst) {
        (Some(src), Some(dst)) => (false, u128::from(u32::from(src)), u128::from(u32::from(dst))),
        (None, None) => (true, src.into(), dst.into()),
        _ => return None,
    };
    let mut tuple = Tuple { is_v6, proto: wanted.ip_proto, src, dst, ..Tuple::default() };
    if tuple.is_icmp() {
        let id = orig.icmp_id.unwrap_or(0);
        (tuple.sport, tuple.dport) = (id, id);
        tuple.icmp = (orig.icmp_type.unwrap_or(0), orig.icmp_code.unwrap_or(0));
    } else {
        (tuple.sport, tuple.dport) = (orig.src_port.filter(|p| *p != 0)?, orig.dst_port.filter(|p| *p != 0)?);
    }
    Some(tuple)
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
        && wanted.src_port.is_none_or(|p| p == 0 || !icmp && p == tuple.sport)
        && wanted.dst_port.is_none_or(|p| p == 0 || !icmp && p == tuple.dport)
        && wanted.icmp_id.is_none_or(|id| icmp && id == tuple.sport)
        && wanted.icmp_type.is_none_or(|kind| icmp && kind == tuple.icmp.0)
        && wanted.icmp_code.is_none_or(|code| icmp && code == tuple.icmp.1)
}
