//! `netdev-dummy/*`: packets for dummy ports, and their state, as test suites set them.

use flow::odp_text;
use ofproto::view::underlay::{is_v4, unmapped};
use packet::PacketBuf;

use super::context::{PATIENCE, Registry, settle};
use crate::msg::port::{AddAddress, ReadWire, SetAdmin};
use crate::msg::switch::UnderlayEdit;
use crate::port::Receive;
use crate::port::device::dummy_queues;

const DEVICE_UNKNOWN: &str = "Unknown Dummy Interface";

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    let usage = "name [--qid queue_id] packet|flow [--len packet_len]";
    registry.ask("netdev-dummy/receive", usage, (2, usize::MAX), |directory, args| async move {
        let by_hand = || directory.made.values().find_map(|datapath| datapath.own.get(&args[0]));
        let entry = directory.ports.get(&args[0]).or_else(by_hand);
        let entry = entry.filter(|e| is_dummy(&e.kind)).ok_or("no such dummy netdev")?;
        let queues = if entry.kind == "dummy-pmd" { dummy_queues(&entry.options) } else { 1 };
        let (queue, packets) = packets_of(&args[1..], queues)?;
        let _ = entry.address.ask(Receive(queue, packets), PATIENCE).await;
        settle().await;
        Ok(String::new())
    });
    registry.ask("netdev-dummy/set-admin-state", "[netdev] up|down", (1, 2), |directory, args| async move {
        let up = match args.last().map(String::as_str) {
            Some("up") => true,
            Some("down") => false,
            _ => return Err("Invalid Admin State".to_owned()),
        };
        if args.len() == 2 {
            let entry = directory.ports.get(&args[0]).filter(|e| is_dummy(&e.kind)).ok_or(DEVICE_UNKNOWN)?;
            entry.address.offer(SetAdmin(up));
        } else {
            for entry in directory.ports.values().filter(|e| is_dummy(&e.kind)) {
                entry.address.offer(SetAdmin(up));
            }
        }
        settle().await;
        Ok("OK".to_owned())
    });
    registry.ask("netdev-dummy/conn-state", "[netdev]", (0, 1), |directory, args| async move {
        let mut out = String::new();
        for (name, entry) in
            directory.ports.iter().filter(|(name, _)| args.first().is_none_or(|wanted| wanted == *name))
        {
            let state = entry.address.ask(ReadWire, PATIENCE).await.ok().flatten();
            if let Some(connected) = state {
                out.push_str(&format!("{name}: {}\n", if connected { "connected" } else { "disconnected" }));
            }
        }
        match args.first() {
            Some(name) if out.is_empty() => Ok(format!("{name}: unknown\n")),
            _ => Ok(out),
        }
    });
    registry.ask("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", (2, 2), |directory, args| async move {
        let known = directory.ports.get(&args[0]).is_some_and(|e| is_dummy(&e.kind));
        known.then_some(()).ok_or(DEVICE_UNKNOWN)?;
        let address = super::tunnel::prefix(&args[1]).filter(|(address, _)| is_v4(*address));
        let address = address.ok_or_else(|| format!("{}: invalid IP address", args[1]))?;
        let own = AddAddress(unmapped(address.0));
        let told = directory.ports.get(&args[0]).is_some_and(|e| e.address.offer(own));
        told.then_some(()).ok_or("the port is busy")?;
        super::tunnel::change(&directory, UnderlayEdit::Address { device: args[0].clone(), address }).await
    });
    registry.ask("netdev-dummy/ip6addr", "[netdev] ip6addr", (2, 2), |directory, args| async move {
        let known = directory.ports.get(&args[0]).is_some_and(|e| is_dummy(&e.kind));
        known.then_some(()).ok_or(DEVICE_UNKNOWN)?;
        let address = super::tunnel::prefix(&args[1]).filter(|(address, _)| !is_v4(*address));
        let address = address.ok_or_else(|| format!("{}: invalid IPv6 address", args[1]))?;
        let own = AddAddress(unmapped(address.0));
        let told = directory.ports.get(&args[0]).is_some_and(|e| e.address.offer(own));
        told.then_some(()).ok_or("the port is busy")?;
        super::tunnel::change(&directory, UnderlayEdit::Address { device: args[0].clone(), address }).await
    });
}

/// Whether a port of this kind can be a dummy at all; others take no packets by command.
fn is_dummy(kind: &str) -> bool {
    kind != "patch"
}

/// The queue, and packets given as hex digits or as flows, each flow perhaps with a length.
fn packets_of(args: &[String], queues: u32) -> Result<(u32, Vec<PacketBuf>), String> {
    let mut packets = Vec::new();
    let mut queue = 0;
    let mut args = args;
    if let [option, asked, packets @ ..] = args
        && option == "--qid"
    {
        // What is no number is the first.
        queue = Some(asked.parse().unwrap_or(0)).filter(|queue| *queue < queues).ok_or("bad rx queue id.")?;
        args = packets;
    }
    let mut args = args.iter().peekable();
    while let Some(text) = args.next() {
        if let Some(octets) = hex_octets(text) {
            packets.push(PacketBuf::new(&octets));
            continue;
        }
        let odp_text::Groups { key, lacks_ttl, .. } = odp_text::parse_groups(text, None)?;
        if lacks_ttl {
            return Err(odp_text::missing_ttl(text, None));
        }
        let packet = if args.next_if(|a| *a == "--len").is_some() {
            let len = args.next().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
            flow::compose::compose_len(&key, len).ok_or("too small packet len")?
        } else {
            flow::compose::compose(&key, flow::compose::Payload::default())
        };
        packets.push(packet);
    }
    Ok((queue, packets))
}

/// The octets of a frame.
fn hex_octets(text: &str) -> Option<Vec<u8>> {
    let (octets, rest) = openflow::hex_octets(text);
    (rest.is_empty() && octets.len() >= packet::ethernet::HEADER_LEN).then_some(octets)
}
