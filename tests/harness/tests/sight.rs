//! What people see of a running switch: captures that other tools read, live rates, metrics in Prometheus's format.

use harness::lab::{Lab, on_lab};
use harness::process;
use harness::side::Side;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn need(what: &str, holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}")) }
}

/// Captures eight packets of echoes at two ports into a file, and has tshark read it: some of each way at either port.
fn captured(lab: &Lab, file: &str) -> Result<(), String> {
    let words = ["port/capture", "br0", "v1", "v2", "--count=8", "--filter", "icmp and net 10.9.0.0/24", "-w", file];
    let said = lab.tool_args("ovs-appctl", &words)?;
    need(
        &format!("it tells what it did: {said}"),
        said.starts_with("8 packets captured on v1, v2: 4 received, 4 sent; 0 lost"),
    )?;
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "_ws.col.Protocol"];
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["-e", field]).collect();
    let read = lab.host.run(&[&["tshark", "-r", file, "-T", "fields"], fields.as_slice()].concat())?;
    let lines: Vec<&str> = read.lines().collect();
    need(&format!("tshark reads 8 packets: {read}"), lines.len() == 8 && lines.iter().all(|l| l.ends_with("ICMP")))?;
    for (port, way) in [("v1", "0x00000001"), ("v1", "0x00000002"), ("v2", "0x00000001"), ("v2", "0x00000002")] {
        let seen = lines.iter().filter(|l| l.starts_with(&format!("{port}\t{way}"))).count();
        need(&format!("two packets {way} at {port}: {read}"), (1..=3).contains(&seen))?;
    }
    Ok(())
}

#[test]
fn captures_rates_and_metrics() {
    on_lab(Side::troupe(), &["--metrics=9475"], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;

        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let file = dir.path().join("c.pcapng").display().to_string();
        // Echoes until all that wants to see some has seen them.
        let log = dir.path().join("ping");
        let pinging = a.space.start(&["ping", "-n", "-q", "-i", "0.02", &b.ip], &log)?;
        // One port may be watched some packets earlier than the other where the switch is kept from running.
        let mut seen = captured(lab, &file);
        let _in_vain = process::until("two echoes each way at either port", Duration::from_secs(60), || {
            seen.is_ok() || {
                seen = captured(lab, &file);
                seen.is_ok()
            }
        });
        seen?;
        let wrong =
            lab.tool_args("ovs-appctl", &["port/capture", "br0", "v1", "-f", "port http"]).err().unwrap_or_default();
        need(&format!("a filter's fault is named: {wrong}"), wrong.contains("\"http\" is no port number"))?;
        let lines = lab.tool_args("ovs-appctl", &["port/capture", "br0", "--duration", "0.1", "-f", "vlan 99"])?;
        need(
            &format!("without packets it ends in time: {lines}"),
            lines.starts_with("0 packets captured on br0, v1, v2"),
        )?;

        let flow = |line: &str| line.contains("in_port(v1)") && line.contains("actions:v2");
        process::until("the busy flow to show", Duration::from_secs(60), || {
            lab.appctl("switch/top --interval 0.5").is_ok_and(|top| top.lines().any(flow))
        })?;
        drop(pinging);

        lab.host.line("ip link set lo up")?;
        let answered = a.ping_with(&b.ip, 40, &["-i", "0.01"])?;
        let text = lab.host.line("curl -sf http://127.0.0.1:9475/metrics")?;
        let metrics = parse(&text)?;
        let of = |name: &str| metrics.get(name).copied().unwrap_or(-1.0);
        let counted = of("troupe_port_receive_packets_total{bridge=\"br0\",port=\"v1\"}");
        need(&format!("{counted} packets came in by v1, {answered} were answered"), {
            answered > 0 && counted >= f64::from(answered)
        })?;
        need("hits are told", of("troupe_datapath_hits_total{datapath=\"system\",cache=\"megaflow\"}") >= 0.0)?;
        need("drops by reason", metrics.keys().any(|k| k.starts_with("troupe_datapath_drops_total{")))?;
        need("mailboxes", metrics.keys().any(|k| k.starts_with("troupe_actor_mailbox_capacity{actor=\"bridge br0\"")))?;
        lab.vsctl("set open . other_config:metrics=9476")?;
        process::until("the database's address to serve", Duration::from_secs(60), || {
            lab.host.line("curl -sf http://127.0.0.1:9476/metrics").is_ok()
        })?;
        lab.vsctl("remove open . other_config metrics")?;
        process::until("it to serve no longer", Duration::from_secs(60), || {
            lab.host.line("curl -sf http://127.0.0.1:9476/metrics").is_err()
        })
    });
}

#[test]
fn drops_and_flows_lead_back_to_their_rules() {
    on_lab(Side::troupe(), &[], |lab| {
        let guests = lab.bridge_with_guests(2, 1500)?;
        let (a, b) = (&guests[0], &guests[1]);
        need("traffic flows", a.reaches(&b.ip))?;
        let origin = "br0: cookie=0x0, table=0, priority=0 actions=NORMAL";
        let flow = || {
            let flows = lab.appctl("dpctl/dump-flows").unwrap_or_default();
            flows.lines().find(|line| line.contains("eth_type(0x0800)")).map(str::to_owned)
        };
        // A flow may go, or change, between the two questions.
        let mut said = String::new();
        process::until("a flow to be led back to its rule", Duration::from_secs(60), || {
            a.reaches(&b.ip);
            said = flow()
                .and_then(|flow| lab.tool_args("ovs-appctl", &["ofproto/detrace", &flow]).ok())
                .unwrap_or_default();
            said.lines().any(|line| line.trim() == origin)
        })
        .map_err(|why| format!("{why}: {said}"))?;
        let all = lab.appctl("ofproto/detrace")?;
        need(&format!("all flows at once: {all}"), all.contains(origin))?;
        let wrong = lab.tool_args("ovs-appctl", &["ofproto/detrace", "zork(1)"]).err().unwrap_or_default();
        need(&format!("a flow's fault is named: {wrong}"), wrong.contains("parsing flow key"))?;

        lab.tool_args("ovs-ofctl", &["add-flow", "br0", "cookie=0x77,icmp,in_port=1,actions=drop"])?;
        let rule = "br0: cookie=0x77, table=0, icmp,in_port=1 actions=drop";
        let mut said = String::new();
        process::until("the drop to be explained", Duration::from_secs(60), || {
            let _ = a.ping_with(&b.ip, 1, &["-W", "0.2"]);
            said = lab.appctl("ofproto/why-dropped br0").unwrap_or_default();
            said.lines().any(|line| line.trim() == rule)
        })
        .map_err(|why| format!("{why}: {said}"))?;
        need(
            &format!("the port is told: {said}"),
            said.lines().any(|l| l.starts_with("  v1: ") && l.ends_with("the OpenFlow rules say so")),
        )?;
        need("events are counted", lab.appctl("coverage/read-counter drop_action_of_pipeline")?.trim() != "0")?;
        need("a stranger is refused", lab.appctl("ofproto/why-dropped nosuch").is_err())
    });
}

/// Reads Prometheus's text format strictly: every sample follows the help and type of its family, no family comes
/// twice, no sample either; names and labels are well formed.
fn parse(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let name_ok = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let (mut families, mut samples, mut family) = (BTreeSet::new(), BTreeMap::new(), String::new());
    need("it ends in a line's end", text.ends_with('\n'))?;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap_or_default().to_owned();
            need(&format!("{family} comes once"), families.insert(family.clone()) && name_ok(&family))?;
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let known = kind == format!("{family} counter") || kind == format!("{family} gauge");
            need(&format!("the type of {family}: {kind}"), known)?;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or_else(|| format!("no value: {line}"))?;
        let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        let (name, labels) = series.split_once('{').map_or((series, None), |(n, l)| (n, Some(l)));
        need(&format!("{line} belongs to {family}"), name == family)?;
        if let Some(labels) = labels {
            let labels = labels.strip_suffix("\"}").ok_or_else(|| format!("labels do not end: {line}"))?;
            for label in labels.split("\",") {
                let (label, _) = label.split_once("=\"").ok_or_else(|| format!("no label: {line}"))?;
                need(&format!("label {label}"), name_ok(label))?;
            }
        }
        need(&format!("{series} comes once"), samples.insert(series.to_owned(), value).is_none())?;
    }
    Ok(samples)
}
