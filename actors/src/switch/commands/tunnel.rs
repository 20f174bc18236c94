//! `tnl/*` and `ovs/route/*`: what userspace tunnels know of routes and neighbours.
//!
//! Neighbours and the range of source ports are kept as a person sets them; the datapath does not encapsulate by itself
//! yet, so nothing else reads them. Routes are refused as long as no tunnel endpoint has an address.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::context::Registry;
use crate::port::device::{mac_text, parse_mac};

#[derive(Debug)]
struct Book {
    neighbours: Vec<(IpAddr, u64, String)>,
    aging_s: u32,
    ports: (u16, u16),
}

static BOOK: Mutex<Book> = Mutex::new(Book { neighbours: Vec::new(), aging_s: 900, ports: (32768, 61000) });

fn book<R>(edit: impl FnOnce(&mut Book) -> R) -> R {
    edit(&mut BOOK.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    for (show, set, flush, aging) in [
        ("tnl/arp/show", "tnl/arp/set", "tnl/arp/flush", "tnl/arp/aging"),
        ("tnl/neigh/show", "tnl/neigh/set", "tnl/neigh/flush", "tnl/neigh/aging"),
    ] {
        registry.say(show, "", (0, 0), |_| Ok(book(|b| b.neighbours_text())));
        registry.say(set, "BRIDGE IP MAC", (3, 3), |args| {
            let ip: IpAddr = args[1].parse().map_err(|_| "bad IP address")?;
            let mac = parse_mac(&args[2]).ok_or("bad MAC address")?;
            book(|b| {
                b.neighbours.retain(|(i, _, bridge)| (i, bridge) != (&ip, &args[0]));
                b.neighbours.push((ip, mac, args[0].clone()));
            });
            Ok("OK".to_owned())
        });
        registry.say(flush, "", (0, 0), |_| {
            book(|b| b.neighbours.clear());
            Ok("OK".to_owned())
        });
        registry.say(aging, "[SECS]", (0, 1), |args| match args.first() {
            None => Ok(format!("{}\n", book(|b| b.aging_s))),
            Some(text) => {
                let aging_s = text.parse().ok().filter(|s| (1..=3600).contains(s)).ok_or("bad aging value")?;
                book(|b| b.aging_s = aging_s);
                Ok("OK".to_owned())
            }
        });
    }
    registry.say("tnl/ports/show", "-v", (0, 1), |_| Ok("Listening ports:\n".to_owned()));
    registry.say("tnl/egress_port_range", "min max", (0, 2), |args| {
        let [min, max] = args else {
            let (min, max) = book(|b| b.ports);
            return Ok(format!("Tunnel UDP source port range: {min}-{max}\n"));
        };
        let Some(min) = min.parse::<u16>().ok().filter(|n| *n > 0) else { return Ok("Invalid min.\n".to_owned()) };
        let Some(max) = max.parse::<u16>().ok().filter(|n| *n > 0) else { return Ok("Invalid max.\n".to_owned()) };
        book(|b| b.ports = if min > max { (max, min) } else { (min, max) });
        Ok("OK".to_owned())
    });
    add_routes(registry);
}

impl Book {
    fn neighbours_text(&self) -> String {
        let mut out = format!("{:<46}{:<20}Bridge\n{}\n", "IP", "MAC", "=".repeat(74));
        for (ip, mac, bridge) in self.neighbours.iter().rev() {
            let _ = writeln!(out, "{:<46}{:<20}{bridge}", ip.to_string(), mac_text(*mac));
        }
        out
    }
}

/// Reads `ADDRESS[/LEN]`.
fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, len) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let len = if len.is_empty() { most } else { len.parse().ok().filter(|l| *l <= most)? };
    Some((address, len))
}

fn mark(text: &str) -> Option<u32> {
    text.strip_prefix("pkt_mark=")?.parse().ok()
}

fn add_routes(registry: &mut Registry<'_>) {
    registry.say("ovs/route/show", "", (0, 0), |_| Ok("Route Table:\n".to_owned()));
    registry.say("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", (2, 4), |args| {
        prefix(&args[0]).ok_or("Invalid parameters")?;
        if let Some(text) = args.get(2)
            && mark(text).is_none()
            && text.parse::<IpAddr>().is_err()
        {
            return Err("Invalid pkt_mark or gateway".to_owned());
        }
        if args.get(3).is_some_and(|text| mark(text).is_none()) {
            return Err("Invalid pkt_mark".to_owned());
        }
        Err("Error while inserting route.".to_owned())
    });
    for (name, usage) in
        [("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]"), ("ovs/route/lookup", "ip_addr [pkt_mark=mark]")]
    {
        registry.say(name, usage, (1, 2), |args| {
            prefix(&args[0]).ok_or("Invalid parameters")?;
            if args.get(1).is_some_and(|text| mark(text).is_none()) {
                return Err("Invalid pkt_mark".to_owned());
            }
            Err("Not found".to_owned())
        });
    }
}
