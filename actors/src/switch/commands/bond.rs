//! `bond/*`.

use std::fmt::Write;

use ofproto::view::BondMode;

use super::context::Registry;
use crate::port::device::parse_mac;
use crate::switch::directory::Directory;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("bond/list", "", (0, 0), |directory, _| async move { Ok(list(&directory)) });
    registry.ask("bond/show", "[port]", (0, 1), |directory, args| async move {
        let Some(name) = args.first() else { return Ok(bonds(&directory).map(|b| text(&directory, &b)).collect()) };
        let found = bonds(&directory).find(|b| b.1 == *name).ok_or("no such bond")?;
        Ok(text(&directory, &found))
    });
    registry.say("bond/hash", "mac [vlan] [basis]", (1, 3), |args| {
        let mac = parse_mac(&args[0]).filter(|_| args[0].len() == 17).ok_or("invalid mac")?;
        let vlan = args.get(1).map_or(Some(0), |v| v.parse::<u16>().ok()).ok_or("invalid vlan")?;
        let basis = args.get(2).map_or(Some(0), |b| b.parse::<u32>().ok()).ok_or("invalid basis")?;
        Ok(format!("{}\n", flow::hash::mac_vlan(mac, vlan, basis) & 0xff))
    });
    for (name, usage, count) in [
        ("bond/enable-member", "port member", 2),
        ("bond/disable-member", "port member", 2),
        ("bond/set-active-member", "port member", 2),
        ("bond/migrate", "port hash member", 3),
    ] {
        registry.ask(name, usage, (count, count), move |directory, args| async move {
            bonds(&directory).find(|b| b.1 == args[0]).ok_or("no such bond")?;
            Err(format!("{name}: not supported: members are chosen by their links"))
        });
    }
}

/// Bridge, bundle, its members' names, mode, active member's name.
type Bond = (String, String, Vec<String>, BondMode, Option<String>);

fn bonds(directory: &Directory) -> impl Iterator<Item = Bond> {
    let mut found = Vec::new();
    for bridge in directory.view.bridges.values() {
        for bundle in bridge.bundles.values() {
            let Some(bond) = &bundle.bond else { continue };
            let name = |port: &openflow::OfPort| bridge.ports.get(port).map(|p| p.name.clone());
            let members = bundle.ports.iter().filter_map(name).collect();
            let active = bond.active.as_ref().and_then(name);
            found.push((bridge.name.clone(), bundle.name.clone(), members, bond.mode, active));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found.into_iter()
}

fn mode_text(mode: BondMode) -> &'static str {
    match mode {
        BondMode::ActiveBackup => "active-backup",
        BondMode::BalanceSlb => "balance-slb",
        BondMode::BalanceTcp => "balance-tcp",
    }
}

fn list(directory: &Directory) -> String {
    let mut out = String::from("bond\ttype\trecircID\tmembers\n");
    for (_, name, members, mode, _) in bonds(directory) {
        let _ = writeln!(out, "{name}\t{}\t0\t{}", mode_text(mode), members.join(", "));
    }
    out
}

fn text(directory: &Directory, (_, name, members, mode, active): &Bond) -> String {
    let mut out = format!("---- {name} ----\nbond_mode: {}\n", mode_text(*mode));
    out.push_str(
        "bond may use recirculation: no, Recirc-ID : -1\nbond-hash-basis: 0\nlb_output action: disabled, bond-id: -1\n",
    );
    out.push_str("updelay: 0 ms\ndowndelay: 0 ms\nlacp_status: off\nlacp_fallback_ab: false\n");
    let active_text = active.as_deref().unwrap_or("<none>");
    let _ = writeln!(out, "active-backup primary: <none>\nactive member mac: 00:00:00:00:00:00({active_text})\n");
    for member in members {
        let up = directory.view.bridges.values().any(|b| b.ports.values().any(|p| p.name == *member && p.may_enable));
        let _ = writeln!(out, "member {member}: {}", if up { "enabled" } else { "disabled" });
        if active.as_ref() == Some(member) {
            out.push_str("  active member\n");
        }
        let _ = writeln!(out, "  may_enable: {up}\n");
    }
    out
}
