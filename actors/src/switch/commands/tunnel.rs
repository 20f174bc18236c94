//! `tnl/*` and `ovs/route/*`: what userspace tunnels know of routes and neighbours.
//!
//! The switch keeps routes, neighbours and the ports that tunnels send from in its view.

use std::fmt::Write;
use std::net::IpAddr;

use flow::OdpPort;
use ofproto::view::underlay::{DEFAULT_AGING_S, RouteOrigin, is_v4, mapped, unmapped};
use ofproto::view::{SwitchView, TunnelConfig};
use ofproto::xlate::listening;

use super::context::{PATIENCE, Registry};
use crate::msg::switch::UnderlayEdit;
use crate::port::device::{mac_text, parse_mac};
use crate::switch::directory::Directory;
use crate::switch::underlay::MAPPED_BITS;
use crate::unixctl::{Answer, leading_number};

/// Has the switch change what it knows.
pub(super) async fn change(directory: &Directory, edit: UnderlayEdit) -> Answer {
    let switch = directory.underlay.as_ref().ok_or("the switch is not ready")?;
    switch.ask(edit, PATIENCE).await.map_err(|e| e.to_string())??;
    Ok("OK".to_owned())
}

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    for (show, set, flush, aging) in [
        ("tnl/arp/show", "tnl/arp/set", "tnl/arp/flush", "tnl/arp/aging"),
        ("tnl/neigh/show", "tnl/neigh/set", "tnl/neigh/flush", "tnl/neigh/aging"),
    ] {
        registry.ask(show, "", (0, 0), |directory, _| async move { Ok(neighbours_text(&directory)) });
        registry.ask(set, "BRIDGE IP MAC", (3, 3), |directory, args| async move {
            let address = mapped(args[1].parse().map_err(|_| "bad IP address")?);
            let mac = parse_mac(&args[2]).ok_or("bad MAC address")?;
            change(&directory, UnderlayEdit::Neighbour { bridge: args[0].clone(), address, mac }).await
        });
        registry.ask(flush, "", (0, 0), |directory, _| async move {
            change(&directory, UnderlayEdit::FlushNeighbours).await
        });
        registry.ask(aging, "[SECS]", (0, 1), |directory, args| async move {
            let Some(text) = args.first() else {
                return Ok(format!("{}\n", directory.view.underlay.aging_s.unwrap_or(DEFAULT_AGING_S)));
            };
            let aging_s = Some(leading_number(text)).filter(|s| (1..=3600).contains(s)).ok_or("bad aging value")?;
            change(&directory, UnderlayEdit::Aging(aging_s as u32)).await
        });
    }
    registry.ask("tnl/ports/show", "-v", (0, 1), |directory, args| async move {
        Ok(ports_text(&directory, args.first().is_some_and(|a| a == "-v")))
    });
    registry.ask("tnl/egress_port_range", "min max", (0, 2), |directory, args| async move {
        let [min, max] = args.as_slice() else {
            let (min, max) = directory.view.underlay.sources.unwrap_or(dp::TUNNEL_SOURCES);
            return Ok(format!("Tunnel UDP source port range: {min}-{max}\n"));
        };
        let Some(min) = min.parse::<u16>().ok().filter(|n| *n > 0) else { return Ok("Invalid min.\n".to_owned()) };
        let Some(max) = max.parse::<u16>().ok().filter(|n| *n > 0) else { return Ok("Invalid max.\n".to_owned()) };
        change(&directory, UnderlayEdit::Sources((min.min(max), min.max(max)))).await
    });
    add_routes(registry);
}

fn neighbours_text(directory: &Directory) -> String {
    let mut out = format!("{:<46}{:<20}Bridge\n{}\n", "IP", "MAC", "=".repeat(74));
    for (bridge, address, mac) in directory.view.underlay.neighbours.iter().rev() {
        let _ = writeln!(out, "{:<46}{:<20}{bridge}", unmapped(*address).to_string(), mac_text(*mac));
    }
    out
}

/// Datapath ports of tunnels that the switch opens itself, how many share each, and with `-v` what is opened.
fn ports_text(directory: &Directory, verbose: bool) -> String {
    let mut out = "Listening ports:\n".to_owned();
    let mut shared: Vec<(OdpPort, &TunnelConfig, usize)> = Vec::new();
    for (_, odp, config) in directory.view.tunnels.ports.iter().filter(|(.., c)| listening(c).is_some()) {
        match shared.iter_mut().find(|(known, ..)| known == odp) {
            Some((.., n)) => *n += 1,
            None => shared.push((*odp, config, 1)),
        }
    }
    shared.sort_by_key(|(odp, ..)| *odp);
    if verbose {
        // Of several that take the same packets the first gets them.
        let mut taken = Vec::new();
        shared.retain(|(_, config, _)| {
            let packets = listening(config);
            let is_first = !taken.contains(&packets);
            taken.push(packets);
            is_first
        });
    }
    for (odp, config, n) in shared.iter() {
        let name = config.datapath_port();
        if verbose {
            opened(&mut out, directory, (&name, *odp), config);
        } else {
            let _ = writeln!(out, "{name} ({odp}) ref_cnt={n}");
        }
    }
    out
}

fn opened(out: &mut String, directory: &Directory, (name, odp): (&str, OdpPort), config: &TunnelConfig) {
    let Some((proto, port)) = listening(config) else { return };
    let under = &directory.view.underlay;
    for (device, mac) in ends(&directory.view) {
        for own in under.own(device).filter(|own| under.listens(device, *own)) {
            let (dl_type, ip) = if is_v4(own) { (0x0800, "ipv4") } else { (0x86dd, "ipv6") };
            let mac = mac_text(mac);
            let _ = write!(out, "{name} ({odp}) : eth(dst={mac}),eth_type(0x{dl_type:04x}),");
            let _ = write!(out, "{ip}(dst={},proto={proto},frag=no)", unmapped(own));
            if let Some(port) = port {
                let _ = write!(out, ",udp(dst={port})");
            }
            out.push('\n');
        }
    }
}

/// The devices that tunnels may end at, with their Ethernet addresses (48 bits): bridges' own ports first.
fn ends(view: &SwitchView) -> impl Iterator<Item = (&str, u64)> {
    let is_bridge = |device: &&String| view.bridge_by_name(device).is_some();
    let bridges = view.bridges.values().map(|bridge| (bridge.name.as_str(), bridge.hw_addr));
    let dummies = view.underlay.addresses.keys().filter(move |device| !is_bridge(device)).filter_map(|device| {
        let at = view.device(device)?;
        Some((device.as_str(), view.bridges.get(&at.bridge)?.mac_of(at.port)?))
    });
    let hosts = view.underlay.host.by_mac.iter().flat_map(move |(mac, devices)| {
        devices.iter().filter(move |device| !is_bridge(device)).map(|device| (device.as_str(), *mac))
    });
    bridges.chain(dummies).chain(hosts)
}

/// Reads `ADDRESS[/LEN]` or `ADDRESS/MASK`: the address in its IPv6 form, and the bits of it that count.
pub(super) fn prefix(text: &str) -> Option<(u128, u8)> {
    let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
    let address: IpAddr = address.parse().ok()?;
    let (most, width) = if address.is_ipv4() { (32, 32_u32) } else { (128, 128) };
    let of_mask = |mask: &str| {
        let ones = match (mask.parse().ok()?, address) {
            (IpAddr::V4(mask), IpAddr::V4(_)) => u128::from(u32::from(mask)) << 96,
            (IpAddr::V6(mask), IpAddr::V6(_)) => u128::from(mask),
            _ => return None,
        };
        (ones.leading_ones() == ones.count_ones() && ones.count_ones() <= width).then(|| ones.count_ones() as u8)
    };
    let len = len.map_or(Some(most), |len| len.parse().ok().filter(|l| *l <= most).or_else(|| of_mask(len)))?;
    Some((mapped(address), if address.is_ipv4() { MAPPED_BITS + len } else { len }))
}

/// Reads `pkt_mark=NUMBER` as C's `%i` reads a number: any base, a sign, what follows it ignored, 32 bits kept.
fn mark(text: &str) -> Option<u32> {
    let (number, rest) = flow::text::parse_wrapping_prefix(text.strip_prefix("pkt_mark=")?, 0)?;
    // No digit behind `0x`.
    (number != 0 || !rest.starts_with(['x', 'X'])).then_some(number as u32)
}

fn routes_text(directory: &Directory) -> String {
    let mut out = "Route Table:\n".to_owned();
    for route in directory.view.underlay.listed_routes() {
        let kind = if route.origin == RouteOrigin::User { "User" } else { "Cached" };
        let len = if is_v4(route.source) { route.len.saturating_sub(MAPPED_BITS) } else { route.len };
        let _ = write!(out, "{kind}: {}/{len}", unmapped(route.prefix));
        if route.mark != 0 {
            let _ = write!(out, " MARK {}", route.mark);
        }
        let _ = write!(out, " dev {}", route.device);
        if let Some(gateway) = route.gateway {
            let _ = write!(out, " GW {}", unmapped(gateway));
        }
        let local = if route.origin == RouteOrigin::Local { " local" } else { "" };
        let _ = writeln!(out, " SRC {}{local}", unmapped(route.source));
    }
    out
}

fn add_routes(registry: &mut Registry<'_>) {
    registry.ask("ovs/route/show", "", (0, 0), |directory, _| async move { Ok(routes_text(&directory)) });
    let usage = "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]";
    registry.ask("ovs/route/add", usage, (2, 4), |directory, args| async move {
        let to = prefix(&args[0]).ok_or("Invalid parameters")?;
        let (mut gateway, mut marked) = (None, 0);
        if let Some(text) = args.get(2) {
            let is_v6 = args[0].contains(':');
            match (mark(text), text.parse::<IpAddr>()) {
                (Some(mark), _) => marked = mark,
                (None, Ok(address)) if address.is_ipv6() == is_v6 => gateway = Some(mapped(address)),
                (None, _) if is_v6 => return Err("Invalid pkt_mark or IPv6 gateway".to_owned()),
                (None, _) => return Err("Invalid pkt_mark or gateway".to_owned()),
            }
        }
        if let Some(text) = args.get(3) {
            marked = mark(text).ok_or("Invalid pkt_mark")?;
        }
        change(&directory, UnderlayEdit::AddRoute { to, bridge: args[1].clone(), gateway, mark: marked }).await
    });
    registry.ask("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", (1, 2), |directory, args| async move {
        let to = prefix(&args[0]).ok_or("Invalid parameters")?;
        let mark = args.get(1).map_or(Ok(0), |text| mark(text).ok_or("Invalid pkt_mark"))?;
        change(&directory, UnderlayEdit::DeleteRoute { to, mark }).await
    });
    registry.ask("ovs/route/lookup", "ip_addr [pkt_mark=mark]", (1, 2), |directory, args| async move {
        let (to, _) = prefix(&args[0]).filter(|(_, len)| *len == 128).ok_or("Invalid parameters")?;
        let mark = args.get(1).map_or(Ok(0), |text| mark(text).ok_or("Invalid pkt_mark"))?;
        let route = directory.view.underlay.route(to, mark).ok_or("Not found")?;
        let gateway = route.gateway.map_or_else(|| "::".to_owned(), |g| unmapped(g).to_string());
        Ok(format!("src {}\ngateway {gateway}\ndev {}\n", unmapped(route.source), route.device))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_a_length_or_a_mask() {
        for (text, len) in [
            ("1.2.3.4", Some(128)),
            ("1.2.3.4/24", Some(120)),
            ("1.2.3.4/+24", Some(120)),
            ("1.2.3.4/0", Some(96)),
            ("1.2.3.4/33", None),
            ("1.2.3.4/", None),
            ("1.2.3.4/24x", None),
            ("1.2.3.4/255.255.255.0", Some(120)),
            ("1.2.3.4/0.0.0.0", Some(96)),
            ("1.2.3.4/255.0.255.0", None),
            ("1.2.3.4/ffff::", None),
            ("2001:db8::1/64", Some(64)),
            ("2001:db8::1/129", None),
            ("2001:db8::1/ffff:ffff::", Some(32)),
            ("2001:db8::1/::", Some(0)),
            ("2001:db8::1/255.0.0.0", None),
        ] {
            assert_eq!(prefix(text).map(|(_, len)| len), len, "{text}");
        }
    }

    #[test]
    fn marks_are_numbers_of_any_base() {
        for (text, number) in [
            ("7", Some(7)),
            ("0x7", Some(7)),
            ("010", Some(8)),
            ("-1", Some(u32::MAX)),
            ("+5", Some(5)),
            ("4294967297", Some(1)),
            ("99999999999999999999", Some(1_661_992_959)),
            ("0x100000007", Some(7)),
            ("7foo", Some(7)),
            (" 5", Some(5)),
            ("0", Some(0)),
            ("0x", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(mark(&format!("pkt_mark={text}")), number, "{text}");
        }
        assert_eq!(mark("7"), None);
    }
}
