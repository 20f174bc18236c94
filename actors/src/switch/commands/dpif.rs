//! `dpif/*`, `dpif-netdev/*`, `odp-execute/*`, `upcall/*` and `revalidator/*`: datapaths as bridges use them, their threads,
//! and the care of cached flows.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ofproto::revalidate::show::upcall_show;
use ofproto::view::{CtSupport, Support};

use super::context::{PATIENCE, Registry, settle};
use super::dpctl::kind_text;
use crate::datapath::supervision;
use crate::msg::datapath::ReadStats;
use crate::msg::revalidator::{Hold, Purge, ReadFlowLimit, SetFlowLimit, Sweep};
use crate::msg::switch::{DatapathEdit, EditRefused, Share};
use crate::switch::directory::Directory;
use crate::switch::tunnels;
use crate::unixctl::{Answer, leading_number};

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("dpif/show", "", (0, 0), |directory, _| async move { show(&directory).await });
    registry.ask("dpif/dump-dps", "", (0, 0), |directory, _| async move {
        Ok(directory.bridges.iter().map(|(name, b)| format!("{}@{name}\n", b.datapath)).collect())
    });
    registry.ask("dpif/show-dp-features", "bridge", (1, 1), |directory, args| async move {
        directory.bridges.get(&args[0]).ok_or("no such bridge")?;
        Ok(FEATURES.iter().map(|(_, text, value)| format!("{text}: {}\n", capital(value))).collect())
    });
    registry.ask("dpif/set-dp-features", "bridge", (1, 3), |directory, args| async move {
        directory.bridges.get(&args[0]).ok_or("no such bridge")?;
        let said = set_features(&args[1..])?;
        if args.len() > 2
            && let Some(hand) = &directory.hand
        {
            hand.ask(wanted_features(), PATIENCE).await.map_err(|e| e.to_string())?.map_err(|_| "cannot be set")?;
            settle().await;
        }
        Ok(said)
    });
    registry.ask("memory/show", "", (0, 0), |directory, _| async move {
        let bridges = directory.view.bridges.values();
        let tables = bridges.flat_map(|b| b.tables.iter().flatten());
        let bundles = directory.view.bridges.values().flat_map(|b| b.bundles.values());
        let bonds = bundles.filter_map(|b| b.bond.as_ref()).filter(|bond| bond.recirc_id != 0);
        let buckets: usize = bonds.map(|bond| bond.buckets.iter().flatten().count()).sum();
        let hidden = directory.bridges.len() * HIDDEN_RULES + buckets;
        let rules: usize = tables.map(|t| t.rules.len()).sum::<usize>() + hidden;
        let mut flows = 0;
        for datapath in directory.datapaths.values() {
            flows += datapath.address.ask(ReadStats, PATIENCE).await.map_or(0, |report| report.flows);
        }
        let flows = if flows > 0 { format!(" udpif keys:{flows}") } else { String::new() };
        let (datapaths, ports) = (directory.datapaths.len(), directory.ports.len());
        let all = |each: u32| datapaths * each as usize;
        let (handlers, revalidators) = (all(directory.threads.handlers), all(directory.threads.revalidators));
        let cells = match &directory.idl {
            Some(idl) => idl.ask(crate::idl::ReadCells, PATIENCE).await.unwrap_or(0),
            None => 0,
        };
        let cells = if cells > 0 { format!("idl-cells-Open_vSwitch:{cells} ") } else { String::new() };
        // What there is none of is not listed.
        if directory.bridges.is_empty() && datapaths == 0 {
            return Ok(format!("{}\n", cells.trim_end()));
        }
        Ok(format!("handlers:{handlers} {cells}ports:{ports} revalidators:{revalidators} rules:{rules}{flows}\n"))
    });
    registry.ask("dpif-dummy/change-port-number", "dp port new-number", (3, 3), |directory, args| async move {
        let kind = args[0].strip_prefix("ovs-").filter(|k| *k == "dummy");
        let entry = kind.and_then(|k| directory.datapaths.get(k)).ok_or("unknown datapath or not a dummy")?;
        entry.ports.values().find(|n| **n == args[1]).ok_or("unknown port")?;
        // What is no number is as good as 0.
        let number = args[2].parse::<i64>().ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        let number = Some(number).filter(|n| !matches!(*n, 0 | u32::MAX)).ok_or("bad port number")?;
        let renumber = DatapathEdit::Renumber { kind: "dummy".to_owned(), name: args[1].clone(), number };
        match super::dpctl_edit::edit(&directory, renumber).await {
            Ok(_) => {}
            Err(EditRefused::Busy) => return Err("port number already in use".to_owned()),
            Err(EditRefused::OtherType) => return Err("not supported: only a dummy changes its number".to_owned()),
            Err(_) => return Err("unknown port".to_owned()),
        }
        if let Some(shares) = &directory.shares {
            let _ = shares.ask(Share { devices: true }, PATIENCE).await;
        }
        settle().await;
        Ok(String::new())
    });
    add_upcalls(registry);
    add_threads(registry);
    super::implementations::add(registry);
}

async fn show(directory: &Directory) -> Answer {
    let mut out = String::new();
    for (kind, datapath) in directory.datapaths.iter() {
        let report = datapath.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())?;
        let (hits, misses, _) = super::pmd::lookups(kind, &report);
        let _ = writeln!(out, "{kind}@ovs-{kind}: hit:{hits} missed:{misses}");
        for (name, _) in directory.bridges.iter().filter(|(_, b)| b.datapath == *kind) {
            let _ = writeln!(out, "  {name}:");
            for (port_name, port) in directory.ports.iter().filter(|(_, p)| p.bridge == *name) {
                let odp = port.odp.map_or("none".to_owned(), |n| n.to_string());
                let text = match &port.tunnel {
                    Some(config) => tunnels::text(config),
                    None => kind_text(&port.kind, &port.options),
                };
                let _ = writeln!(out, "    {port_name} {}/{odp}: ({text})", port.port.0);
            }
        }
    }
    Ok(out)
}

/// Rules of the last table that each bridge has of its own.
const HIDDEN_RULES: usize = 4;

/// What the datapath can do: name, text, value; in the order that `dpif/show-dp-features` has them.
const FEATURES: &[(&str, &str, &str)] = &[
    ("masked_set_action", "Masked set action", "true"),
    ("tnl_push_pop", "Tunnel push pop", "true"),
    ("ufid", "Ufid", "true"),
    ("trunc", "Truncate action", "true"),
    ("clone", "Clone action", "true"),
    ("sample_nesting", "Sample nesting", "10"),
    ("ct_eventmask", "Conntrack eventmask", "true"),
    ("ct_clear", "Conntrack clear", "true"),
    ("max_hash_alg", "Max dp_hash algorithm", "1"),
    ("check_pkt_len", "Check pkt length action", "true"),
    ("ct_timeout", "Conntrack timeout policy", "true"),
    ("explicit_drop_action", "Explicit Drop action", "true"),
    ("lb_output_action", "Optimized Balance TCP mode", "true"),
    ("ct_zero_snat", "Conntrack all-zero IP SNAT", "true"),
    ("add_mpls", "MPLS Label add", "true"),
    ("max_vlan_headers", "Max VLAN headers", "1"),
    ("max_mpls_depth", "Max MPLS depth", "3"),
    ("recirc", "Recirc", "true"),
    ("ct_state", "CT state", "true"),
    ("ct_zone", "CT zone", "true"),
    ("ct_mark", "CT mark", "true"),
    ("ct_label", "CT label", "true"),
    ("ct_state_nat", "CT state NAT", "true"),
    ("ct_orig_tuple", "CT orig tuple", "true"),
    ("ct_orig_tuple6", "CT orig tuple for IPv6", "true"),
    ("nd_ext", "IPv6 ND Extension", "true"),
];

/// Tells the log that a datapath is made, and of its ways to look up, which are named once.
pub(in super::super) fn log_implementations() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    vlog::info!("dpif_netdev_extract", "Default MFEX Extract implementation is scalar.");
    ONCE.call_once(|| vlog::info!("dpif_netdev_impl", "Default DPIF implementation is dpif_scalar."));
}

/// Tells the log what a new datapath can do.
pub(in super::super) fn log_features(kind: &str) {
    const SUPPORTS: [(&str, &str); 22] = [
        ("recirc", "recirculation"),
        ("max_vlan_headers", "VLAN header stack length"),
        ("max_mpls_depth", "MPLS label stack length"),
        ("trunc", "truncate action"),
        ("ufid", "unique flow ids"),
        ("clone", "clone action"),
        ("sample_nesting", "Max sample nesting level"),
        ("ct_eventmask", "eventmask in conntrack action"),
        ("ct_clear", "ct_clear action"),
        ("max_hash_alg", "Max dp_hash algorithm"),
        ("check_pkt_len", "check_pkt_len action"),
        ("ct_timeout", "timeout policy in conntrack action"),
        ("ct_zero_snat", "ct_zero_snat"),
        ("add_mpls", "add_mpls action"),
        ("ct_state", "ct_state"),
        ("ct_zone", "ct_zone"),
        ("ct_mark", "ct_mark"),
        ("ct_label", "ct_label"),
        ("ct_state_nat", "ct_state_nat"),
        ("ct_orig_tuple", "ct_orig_tuple"),
        ("ct_orig_tuple6", "ct_orig_tuple6"),
        ("nd_ext", "IPv6 ND Extensions"),
    ];
    for (name, what) in SUPPORTS {
        let value = FEATURES.iter().find(|(of, ..)| *of == name).map_or("", |(.., value)| *value);
        match (name, value) {
            (_, "true") => vlog::info!("ofproto_dpif", "{kind}@ovs-{kind}: Datapath supports {what}"),
            ("max_hash_alg", n) => vlog::info!("ofproto_dpif", "{kind}@ovs-{kind}: {what} probed to be {n}"),
            (_, n) => vlog::info!("ofproto_dpif", "{kind}@ovs-{kind}: {what} probed as {n}"),
        }
    }
}

/// What the datapath can do, for its row in the database.
pub(in super::super) fn capabilities() -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = [("ct_flush", "true")];
    // The database tells whether samples nest, not how deep.
    FEATURES.iter().map(|(name, _, value)| (*name, if *name == "sample_nesting" { "true" } else { *value })).chain(own)
}

/// The same features in the order that `dpif/set-dp-features` lists them.
const LISTED: [&str; 26] = [
    "sample_nesting",
    "clone",
    "ufid",
    "lb_output_action",
    "nd_ext",
    "ct_orig_tuple",
    "tnl_push_pop",
    "ct_eventmask",
    "ct_state",
    "ct_zero_snat",
    "ct_clear",
    "max_vlan_headers",
    "recirc",
    "ct_label",
    "max_hash_alg",
    "add_mpls",
    "ct_state_nat",
    "ct_timeout",
    "explicit_drop_action",
    "ct_mark",
    "ct_orig_tuple6",
    "max_mpls_depth",
    "masked_set_action",
    "check_pkt_len",
    "ct_zone",
    "trunc",
];

/// Values that a person set for the run, by place in [`FEATURES`].
static SET_FEATURES: Mutex<[Option<u32>; 26]> = Mutex::new([None; 26]);

/// Whether sweeps ask the datapath for names and counters of flows alone (`upcall/disable-ufid`).
pub(super) fn dumps_tersely() -> bool {
    UFID.load(Relaxed)
}

fn capital(value: &str) -> &str {
    match value {
        "true" => "Yes",
        "false" => "No",
        number => number,
    }
}

/// Those of the features that translation heeds.
fn wanted_features() -> DatapathEdit {
    let set = SET_FEATURES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let number = |name: &str| {
        let i = FEATURES.iter().position(|(n, ..)| *n == name)?;
        set[i].or_else(|| if FEATURES[i].2 == "true" { Some(1) } else { FEATURES[i].2.parse().ok() })
    };
    let on = |name: &str| number(name) != Some(0);
    let depth = |name: &str| number(name).map_or(0, |n| n as usize);
    DatapathEdit::Features(Box::new(Support {
        ct: CtSupport {
            state: on("ct_state"),
            state_nat: on("ct_state_nat"),
            zone: on("ct_zone"),
            mark: on("ct_mark"),
            label: on("ct_label"),
            orig_tuple: on("ct_orig_tuple"),
            orig_tuple6: on("ct_orig_tuple6"),
        },
        trunc: on("trunc"),
        max_vlan_headers: depth("max_vlan_headers"),
        max_mpls_depth: depth("max_mpls_depth"),
        recirc: on("recirc"),
        masked_set: on("masked_set_action"),
        tnl_push_pop: on("tnl_push_pop"),
        sample_nesting: depth("sample_nesting"),
        clone: on("clone"),
        check_pkt_len: on("check_pkt_len"),
        explicit_drop: on("explicit_drop_action"),
        lb_output: on("lb_output_action"),
        max_hash_alg: number("max_hash_alg").unwrap_or(0),
    }))
}

fn set_features(args: &[String]) -> Answer {
    let mut set = SET_FEATURES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let line = |i: usize, set: &[Option<u32>; 26]| {
        let (name, text, boot) = FEATURES[i];
        let now = match (set[i], boot) {
            (Some(n), "true" | "false") => if n != 0 { "true" } else { "false" }.to_owned(),
            (Some(n), _) => n.to_string(),
            (None, boot) => boot.to_owned(),
        };
        format!("{name} ({text}) : [run time]:{now}, [boot time]:{boot}\n")
    };
    let place = |name: &str| FEATURES.iter().position(|(n, ..)| *n == name);
    let Some(name) = args.first() else {
        return Ok(LISTED.iter().filter_map(|name| place(name)).map(|i| line(i, &set)).collect());
    };
    let Some(i) = place(name) else {
        return Ok("Unexpected support field\n".to_owned());
    };
    match args.get(1) {
        None => Ok(line(i, &set)),
        Some(value) => {
            let number = match (value.as_str(), FEATURES[i].2) {
                ("true", "true") => Ok(1),
                ("false", "true") => Ok(0),
                (_, "true") => Err("Boolean value expected\n"),
                (text, boot) => match text.parse::<i32>().map(u32::try_from) {
                    Err(_) => Err("Integer number expected\n"),
                    Ok(Err(_)) => Err("Negative number not expected\n"),
                    Ok(Ok(n)) if n > boot.parse().unwrap_or(0) => {
                        Err("Can not set value beyond the datapath capability\n")
                    }
                    Ok(Ok(n)) => Ok(n),
                },
            };
            match number {
                Ok(number) => {
                    set[i] = Some(number);
                    Ok(String::new())
                }
                Err(text) => Ok(text.to_owned()),
            }
        }
    }
}

static UFID: AtomicBool = AtomicBool::new(true);

fn add_upcalls(registry: &mut Registry<'_>) {
    registry.ask("upcall/show", "", (0, 0), |directory, _| async move {
        let mut out = String::new();
        for (kind, datapath) in directory.datapaths.iter() {
            let report = datapath.address.ask(ReadStats, PATIENCE).await.map_err(|e| e.to_string())?;
            let limit = datapath.revalidator()?.ask(ReadFlowLimit, PATIENCE).await.map_err(|e| e.to_string())?;
            let name = format!("{kind}@ovs-{kind}");
            // One revalidator does what as many as are asked for would share.
            let all = directory.threads.revalidators as usize;
            let share = |i: u32| (i + 1, report.flows / all + usize::from((i as usize) < report.flows % all));
            let shares: Vec<_> = (0..directory.threads.revalidators).map(share).collect();
            out.push_str(&upcall_show(&name, report.flows, &limit, UFID.load(Relaxed), &shares));
        }
        Ok(out)
    });
    // Each packet a flow of its own, or again as much in one as was not looked at.
    for (name, done) in
        [("upcall/disable-megaflows", "megaflows disabled"), ("upcall/enable-megaflows", "megaflows enabled")]
    {
        registry.ask(name, "", (0, 0), move |directory, _| async move {
            for bridge in directory.bridges.keys() {
                super::context::control(&directory, bridge, name, Vec::new(), "no such bridge").await?;
            }
            purge(&directory).await?;
            Ok(done.to_owned())
        });
    }
    registry.say("upcall/disable-ufid", "", (0, 0), |_| {
        UFID.store(false, Relaxed);
        Ok("Datapath dumping tersely using UFID disabled".to_owned())
    });
    registry.say("upcall/enable-ufid", "", (0, 0), |_| {
        UFID.store(true, Relaxed);
        Ok("Datapath dumping tersely using UFID enabled for supported datapaths".to_owned())
    });
    registry.ask("upcall/set-flow-limit", "flow-limit-number", (1, 1), |directory, args| async move {
        // Of a number beyond 32 bits those count, as there.
        let limit = leading_number(&args[0]) as u32;
        for datapath in directory.datapaths.values() {
            datapath.revalidator()?.ask(SetFlowLimit(limit as usize), PATIENCE).await.map_err(|e| e.to_string())?;
        }
        Ok(format!("set flow_limit to {limit}\n"))
    });
    registry.ask("revalidator/wait", "", (0, 0), |directory, _| async move {
        if directory.datapaths.len() != 1 {
            return Err("can't wait on multiple udpifs.".to_owned());
        }
        settle().await;
        for datapath in directory.datapaths.values() {
            datapath.revalidator()?.ask(Sweep, PATIENCE).await.map_err(|e| e.to_string())?;
        }
        settle().await;
        Ok(String::new())
    });
    for (name, holds) in [("revalidator/pause", true), ("revalidator/resume", false)] {
        registry.ask(name, "", (0, 0), move |directory, _| async move {
            for datapath in directory.datapaths.values() {
                datapath.revalidator()?.offer(Hold(holds));
            }
            Ok(String::new())
        });
        registry.commands.hide(name);
    }
    registry.ask("revalidator/purge", "", (0, 0), |directory, _| async move { purge(&directory).await });
}

async fn purge(directory: &Directory) -> Answer {
    for datapath in directory.datapaths.values() {
        datapath.revalidator()?.ask(Purge, PATIENCE).await.map_err(|e| e.to_string())?;
    }
    settle().await;
    Ok(String::new())
}

fn add_threads(registry: &mut Registry<'_>) {
    super::pmd::add(registry);
    let usage = "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]";
    registry.say("dpif-netdev/pmd-perf-log-set", usage, (0, 10), |args| {
        supervision::set(args).map(|()| String::new()).map_err(str::to_owned)
    });
    registry.ask("dpif-netdev/bond-show", "[dp]", (0, 1), |directory, args| async move {
        let wanted = super::pmd::Wanted::of(&directory, &args)?;
        args.first().is_none_or(|name| wanted.is_named(name)).then_some(()).ok_or(super::pmd::NO_DATAPATH)?;
        let work = |engine: &mut dp::Datapath, _| {
            let bonds = engine.bonds();
            let mut out = String::new();
            if !bonds.is_empty() {
                out.push_str("Bonds:\n");
            }
            for (id, members) in bonds {
                let _ = writeln!(out, "  bond-id {id}:");
                for (bucket, member) in members.iter().enumerate() {
                    let _ = writeln!(out, "    bucket {bucket} - member {member}");
                }
            }
            Ok(out)
        };
        super::context::perform(wanted.entry, Box::new(work)).await
    });
}
