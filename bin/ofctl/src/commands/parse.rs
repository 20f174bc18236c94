//! Commands that only turn text and octets into each other: no switch is asked.

use std::io::Read;

use cli::program;
use flow::classifier::Shapes;
use openflow::action::{self, Actions, Check, Decoding, check_consistency};
use openflow::flow_mod::{Command, FlowModCommand, PackedFlowMod, parse_exact_flow, parse_flow_mod};
use openflow::hex_octets;
use openflow::matching::{self, Match};
use openflow::message::hello::Hello;
use openflow::message::{self, ErrorKind, ErrorMessage, Message};
use openflow::names::{Names, Style};
use openflow::print::hex;
use openflow::{ErrorCode, Notes, OfError, OfPort, Protocols, Version, VersionSet, port_no};

use super::flows::dialect;
use super::ofp_print::show;
use super::pcap::{self, Pcap};
use crate::settings::Settings;
use crate::{Done, Failure, text};

/// The protocol in which flows are shown: the oldest among the usable that is allowed.
fn chosen(usable: Protocols, settings: &Settings) -> Result<Protocols, Failure> {
    let allowed = if settings.versions_given { settings.allowed } else { allowed_formats(settings) };
    (usable & allowed).iter().next().ok_or_else(|| "no usable protocol".into())
}

fn allowed_formats(settings: &Settings) -> Protocols {
    settings.allowed
}

fn show_flows(settings: &Settings, flows: &[PackedFlowMod], usable: Protocols) -> Done {
    program::print(&format!("usable protocols: {usable}\n"));
    let protocol = chosen(usable, settings)?;
    program::print(&format!("chosen protocol: {protocol}\n"));
    let version = protocol.version().unwrap_or(Version::V10);
    let table_id = Protocols::TABLE_ID.contains(protocol);
    for (i, flow_mod) in flows.iter().enumerate() {
        let mut out = Vec::new();
        message::encode_flow_mod(&mut out, dialect(protocol), &flow_mod.unpack(), table_id, version, i as u32 + 1)
            .map_err(|e| crate::session::cannot(&e))?;
        show(settings, &out, 0);
    }
    Ok(())
}

/// `parse-flow FLOW`.
pub(super) fn flow(settings: &Settings, args: &[String]) -> Done {
    let add = Command::Mod(FlowModCommand::Add);
    let parsed = super::flows::noting(Names::NONE, |names| parse_flow_mod(&args[0], add, names))?;
    if let Some(after) = &parsed.normalized {
        super::flows::note(&parsed.flow_mod.matching, after);
    }
    show_flows(settings, &[parsed.flow_mod.pack(&mut Shapes::default())], parsed.usable)
}

/// `parse-flows FILE`.
pub(super) fn flows(settings: &Settings, args: &[String]) -> Done {
    let (file, add) = (&args[0], Command::Mod(FlowModCommand::Add));
    let (flows, usable, _) = super::flow_file::parse_text(None, file, &super::flow_file::Text::read(file)?, add)?;
    show_flows(settings, &flows, usable)
}

/// `parse-group GROUP`.
pub(super) fn group(settings: &Settings, args: &[String]) -> Done {
    let command = openflow::message::group::GroupCommand::Add;
    let (group_mod, usable) = super::flows::noting(Names::NONE, |names| {
        openflow::parse::group::parse_group_mod(&args[0], Some(command), names)
    })?;
    let versions = usable.versions().and(settings.versions);
    program::print(&format!("usable protocols: {usable}\n"));
    program::flush_stdout();
    let version = versions.oldest().ok_or_else(|| Failure::Text("no usable protocol".to_string()))?;
    program::print(&format!("chosen version: {version}\n"));
    let octets = message::encode(&Message::GroupMod(group_mod), version, 1).map_err(|e| crate::session::cannot(&e))?;
    show(settings, &octets, 1);
    Ok(())
}

/// A list of fields on each line of standard input, in NXM or the OXM of `version`; lines of comment come back as they
/// are.
fn matches(settings: &Settings, version: Option<Version>) -> Done {
    for line in std::io::stdin().lines() {
        let line = line.map_err(|e| Failure::Text(program::strerror(&e)))?;
        let fields = line.split('#').next().unwrap_or("");
        if line.starts_with('#') {
            program::print(&format!("{line}\n"));
        } else if fields.trim().is_empty() {
            program::print("\n");
        } else {
            one_match(settings, version, fields)?;
        }
    }
    Ok(())
}

fn one_match(settings: &Settings, version: Option<Version>, fields: &str) -> Done {
    let octets = matching::nxm_from_text(fields).map_err(Failure::Text)?;
    let reading = matching::Reading { cookie: true, loose: !settings.strict, ..Default::default() };
    let (m, (cookie, mask)) = match matching::pull_nxm(&octets, reading) {
        Ok(read) => read,
        Err(error) => {
            text::log(&error.remarks);
            program::print(&format!("nx_pull_match() returned error {error}\n"));
            return Ok(());
        }
    };
    let mut out = Vec::new();
    let text = match version {
        None => {
            let len = matching::put_nxm(&mut out, &m, cookie, mask);
            matching::nxm_to_text(&out[..len])
        }
        Some(version) => {
            let len = matching::put_match(&mut out, &m, version);
            matching::nxm_to_text(&out[OXM_HEAD_LEN..len])
        }
    };
    program::print(&format!("{text}\n"));
    if settings.verbosity > 0 && !out.is_empty() {
        program::print(&format!("{}\n", hex::plain(&out).trim_end_matches(['-', '\n'])));
    }
    Ok(())
}

/// `parse-nxm`.
pub(super) fn nx_match(settings: &Settings, _: &[String]) -> Done {
    matches(settings, None)
}

fn version_of(text: &str) -> Result<Version, Failure> {
    Version::parse(text).ok_or_else(|| Failure::Text(format!("{text}: not a valid OpenFlow version")))
}

/// `parse-oxm VERSION`.
pub(super) fn oxm(settings: &Settings, args: &[String]) -> Done {
    let version = Version::parse(&args[0]).filter(|version| *version >= Version::V12);
    let version = version.ok_or_else(|| Failure::Text(format!("{}: not a valid version for OXM", args[0])))?;
    matches(settings, Some(version))
}

/// Octets of the type and the length in front of OXM's fields.
const OXM_HEAD_LEN: usize = 4;

/// The octets in which `b` differs from `a`, a line each behind `prefix`.
fn difference(prefix: &str, a: &[u8], b: &[u8]) {
    for i in 0..a.len().max(b.len()) {
        match (a.get(i), b.get(i)) {
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => program::print(&format!("{prefix}{i:2}: {x:02x} -> {y:02x}\n")),
            (Some(x), None) => program::print(&format!("{prefix}{i:2}: {x:02x} -> (none)\n")),
            (None, Some(y)) => program::print(&format!("{prefix}{i:2}: (none) -> {y:02x}\n")),
            (None, None) => {}
        }
    }
}

fn whole_hex(line: &str) -> Result<Vec<u8>, Failure> {
    let (octets, rest) = hex_octets(line);
    if rest.is_empty() { Ok(octets) } else { Err("Trailing garbage in hex data".into()) }
}

/// Splits off the number of a table and a comma, for which 0 stands where there are none.
fn table_of(line: &str) -> (u8, &str) {
    let Some((table, rest)) = line.split_once(',') else { return (0, line) };
    (flow::text::parse_u64_prefix(table, 10).map_or(0, |(number, _)| number as u8), rest.trim_start())
}

/// Calls `f` with the octets on each line of standard input that has any.
fn octet_lines(mut f: impl FnMut(&[u8]) -> Done) -> Done {
    super::flow_file::lines("-", |line, _| f(&whole_hex(line)?))
}

/// Checks a table's instructions against a match of every packet.
fn suits_any_packet(list: Actions, version: Version, table: u8) -> Result<Actions, OfError> {
    let circumstances = Check { max_ports: OfPort(port_no::MAX), table, n_tables: u8::MAX, tun: None };
    check_consistency(list, &Match::any(), Protocols::of_version(version), &circumstances)
}

fn action_lists(args: &[String], instructions: bool) -> Done {
    let version = version_of(&args[0])?;
    super::flow_file::lines("-", |line, _| {
        let (table, line) = table_of(line);
        let octets = &whole_hex(line)?;
        let notes = Notes::default();
        let decoding = Decoding { notes: Some(&notes), ..Decoding::new(version) };
        let read = if instructions {
            action::pull_instructions(octets, &decoding).and_then(|list| suits_any_packet(list, version, table))
        } else {
            action::pull_actions(octets, &decoding)
        };
        text::log(&notes.take());
        match read {
            Err(error) => {
                text::log(&error.remarks);
                let what = if instructions { "instructions" } else { "actions" };
                program::print(&format!("bad OpenFlow{} {what}: {error}\n\n", &version.name()[8..]));
            }
            Ok(list) => {
                let mut text = String::from("actions=");
                action::write(&mut text, &list, &Style::PLAIN);
                program::print(&format!("{text}\n"));
                let mut out = Vec::new();
                if instructions {
                    action::put_instructions(&mut out, &list, version);
                } else {
                    action::put_actions(&mut out, &list, version);
                }
                difference("", octets, &out);
                program::print("\n");
            }
        }
        Ok(())
    })
}

/// `parse-actions VERSION`.
pub(super) fn actions(_: &Settings, args: &[String]) -> Done {
    action_lists(args, false)
}

/// `parse-instructions VERSION`.
pub(super) fn instructions(_: &Settings, args: &[String]) -> Done {
    action_lists(args, true)
}

/// `parse-ofp10-match`.
pub(super) fn ofp10_match(_: &Settings, _: &[String]) -> Done {
    octet_lines(|octets| {
        if octets.len() != matching::OF10_MATCH_LEN {
            return Err(Failure::Text(format!(
                "Input is {} bytes, expected {}",
                octets.len(),
                matching::OF10_MATCH_LEN
            )));
        }
        let m = matching::pull_of10(octets);
        let mut once = Vec::new();
        matching::put_of10(&mut once, &m);
        let mut normal = m.clone();
        if matching::normalize(&mut normal) {
            super::flows::note(&m, &normal);
        }
        let mut twice = Vec::new();
        matching::put_of10(&mut twice, &normal);
        let text = openflow::flow_mod::format_match(&m, Some(0x8000), &Style::PLAIN);
        program::print(&format!("{text}\n"));
        difference("", octets, &once);
        difference("normal: ", &once, &twice);
        program::print("\n");
        Ok(())
    })
}

/// `parse-ofp11-match`.
pub(super) fn ofp11_match(_: &Settings, _: &[String]) -> Done {
    octet_lines(|octets| {
        if octets.len() != matching::OF11_MATCH_LEN {
            return Err(Failure::Text(format!(
                "Input is {} bytes, expected {}",
                octets.len(),
                matching::OF11_MATCH_LEN
            )));
        }
        match matching::pull_of11(octets) {
            Err(error) => {
                text::log(&error.remarks);
                program::print(&format!("bad ofp11_match: {error}\n\n"));
            }
            Ok(m) => {
                let text = openflow::flow_mod::format_match(&m, Some(0x8000), &Style::PLAIN);
                program::print(&format!("{text}\n"));
                let mut out = Vec::new();
                matching::put_of11(&mut out, &m);
                difference("", octets, &out);
                program::print("\n");
            }
        }
        Ok(())
    })
}

/// `parse-packet`: a packet on standard input.
pub(super) fn packet(_: &Settings, _: &[String]) -> Done {
    let mut octets = Vec::new();
    std::io::stdin().read_to_end(&mut octets).map_err(|e| Failure::Text(program::strerror(&e)))?;
    let (key, _) = flow::extract::extract(&octets, 0);
    program::print(&format!("{}\n", flow::match_text::format_flow(&key, &flow::match_text::Options::default())));
    Ok(())
}

/// `OFPP_ANY` of OpenFlow 1.1 and later.
const NO_PORT: u32 = u32::MAX;

/// `parse-pcap PCAP...`: each packet's headers.
pub(super) fn pcap(settings: &Settings, args: &[String]) -> Done {
    for file in args {
        let packets = Pcap::open(file).unwrap_or_else(|failure| give_up(settings, file, &failure));
        for packet in packets {
            let packet = packet.unwrap_or_else(|failure| give_up(settings, file, &failure));
            // Nobody knows where it came in.
            let (key, _) = flow::extract::extract(&packet, NO_PORT);
            let text = flow::match_text::format_flow(&key, &flow::match_text::Options::default());
            program::print(&format!("{text}\n"));
        }
    }
    Ok(())
}

/// Ends the program with the number of the error, as `parse-pcap` does.
fn give_up(settings: &Settings, file: &str, failure: &pcap::Failed) -> ! {
    program::flush_stdout();
    program::eprintln_quiet(&format!("{}: {file}: {failure}", settings.program));
    std::process::exit(failure.code())
}

/// `ofp-parse-pcap PCAP [PORT...]`: OpenFlow in TCP streams of the ports, by default 6633 and 6653.
pub(super) fn ofp_pcap(settings: &Settings, args: &[String]) -> Done {
    let ports: Vec<u16> = args[1..].iter().filter_map(|p| p.parse().ok()).collect();
    let ports = if ports.is_empty() { vec![6653, 6633] } else { ports };
    let mut streams: Vec<((u32, u32, u16, u16), message::frame::Framer)> = Vec::new();
    let packets = Pcap::open(&args[0]).map_err(|failure| Failure::Text(format!("{}: {failure}", args[0])))?;
    // What cannot be read ends the capture.
    for packet in packets.map_while(Result::ok) {
        let (key, _) = flow::extract::extract(&packet, 0);
        let (src, dst) = (key.tp_src(), key.tp_dst());
        if key.dl_type() != 0x0800 || key.nw_proto() != 6 || !(ports.contains(&src) || ports.contains(&dst)) {
            continue;
        }
        let Some(payload) = tcp_payload(&packet) else { continue };
        let id = (key.nw_src(), key.nw_dst(), src, dst);
        let at = match streams.iter().position(|(i, _)| *i == id) {
            Some(at) => at,
            None => {
                streams.push((id, Default::default()));
                streams.len() - 1
            }
        };
        let framer = &mut streams[at].1;
        framer.push(payload);
        while let Ok(Some(octets)) = framer.next_message() {
            let octets = octets.to_vec();
            let text = text::message(&octets, settings.verbosity.saturating_add(1), Style::default());
            program::print(&format!("{}.{src} > {}.{dst}:\n{text}", flow::text::ipv4(id.0), flow::text::ipv4(id.1)));
        }
    }
    Ok(())
}

/// What a TCP segment over IPv4 carries.
fn tcp_payload(packet: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    while packet.get(at..at + 2)? == [0x81, 0x00] {
        at += 4;
    }
    let ip = packet.get(at + 2..)?;
    let header = usize::from(ip.first()? & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let tcp = ip.get(header..total.min(ip.len()))?;
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    tcp.get(offset..)
}

fn number_of(text: &str) -> u64 {
    let hex = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(hex, 16).unwrap_or(0)
}

/// `check-vlan TCI MASK`: what becomes of a VLAN match in every form.
pub(super) fn check_vlan(_: &Settings, args: &[String]) -> Done {
    let (tci, mask) = (number_of(&args[0]) as u16, number_of(&args[1]) as u16);
    let mut m = Match::any();
    // Bits outside the mask stay, as in the octets of a peer that does not clear them.
    m.key.set_vlan_tci(tci);
    m.mask.set_vlan_tci(mask);
    let text = openflow::flow_mod::format_match(&m, Some(0x8000), &Style::PLAIN);
    program::print(&format!("{text} -> "));
    program::flush_stdout();
    match parse_flow_mod(&text, Command::Request, Names::NONE) {
        Ok(parsed) => {
            let back = parsed.flow_mod.matching;
            program::print(&format!("{:04x}/{:04x}\n", back.key.vlan_tci(), back.mask.vlan_tci()));
        }
        Err(error) => return Err(Failure::Text(error)),
    }
    let mut nxm = Vec::new();
    let len = matching::put_nxm(&mut nxm, &m, 0, 0);
    nxm.truncate(len);
    program::print(&format!("NXM: {} -> ", matching::nxm_to_text(&nxm)));
    match matching::pull_nxm(&nxm, Default::default()) {
        Ok((b, _)) => program::print(&format!("{:04x}/{:04x}\n", b.key.vlan_tci(), b.mask.vlan_tci())),
        Err(error) => {
            // It was read twice: to be shown, and as a match.
            crate::text::log(&error.remarks);
            crate::text::log(&error.remarks);
            program::print(&format!("{error}\n"));
        }
    }
    let mut oxm = Vec::new();
    matching::put_oxm_fields(&mut oxm, &m, Version::V12);
    program::print(&format!("OXM: {} -> ", matching::nxm_to_text(&oxm)));
    match matching::pull_nxm(&oxm, Default::default()) {
        Ok((b, _)) => {
            let (vid, vid_mask) = (b.key.vlan_tci() & 0x1fff, b.mask.vlan_tci() & 0x1fff);
            let pcp = if b.mask.vlan_tci() & 0xe000 != 0 {
                format!("{:02x}", b.key.vlan_tci() >> 13)
            } else {
                "--".to_string()
            };
            program::print(&format!("{vid:04x}/{vid_mask:04x},{pcp}\n"));
        }
        Err(code) => program::print(&format!("{code}\n")),
    }
    fixed_vlan(&m);
    Ok(())
}

fn fixed_vlan(m: &Match) {
    let mut ten = Vec::new();
    matching::put_of10(&mut ten, m);
    let wildcards = u32::from_be_bytes([ten[0], ten[1], ten[2], ten[3]]);
    let back = matching::pull_of10(&ten);
    let vlan = u16::from_be_bytes([ten[18], ten[19]]);
    program::print(&format!(
        "OF1.0: {vlan:04x}/{},{:02x}/{} -> {:04x}/{:04x}\n",
        u8::from(wildcards & (1 << 1) != 0),
        ten[20],
        u8::from(wildcards & (1 << 20) != 0),
        back.key.vlan_tci(),
        back.mask.vlan_tci()
    ));
    let mut eleven = Vec::new();
    matching::put_of11(&mut eleven, m);
    let wildcards = u32::from_be_bytes([eleven[8], eleven[9], eleven[10], eleven[11]]);
    let vlan = u16::from_be_bytes([eleven[36], eleven[37]]);
    if let Ok(back) = matching::pull_of11(&eleven) {
        program::print(&format!(
            "OF1.1: {vlan:04x}/{},{:02x}/{} -> {:04x}/{:04x}\n",
            u8::from(wildcards & (1 << 1) != 0),
            eleven[38],
            u8::from(wildcards & (1 << 2) != 0),
            back.key.vlan_tci(),
            back.mask.vlan_tci()
        ));
    }
}

fn error_named(name: &str) -> Result<ErrorCode, Failure> {
    ErrorCode::from_name(name).ok_or_else(|| Failure::Text(format!("unknown error \"{name}\"")))
}

/// `print-error NAME`: its numbers in every version.
pub(super) fn print_error(_: &Settings, args: &[String]) -> Done {
    let code = error_named(&args[0])?;
    for version in Version::ALL {
        if let Some(n) = code.in_version(version) {
            let vendor = if n.vendor.id() == 0 { "0".to_string() } else { format!("{:#x}", n.vendor.id()) };
            program::print(&format!(
                "OpenFlow {}: vendor {vendor}, type {}, code {}\n",
                version.dotted(),
                n.kind,
                n.code
            ));
        }
    }
    Ok(())
}

/// Octets without their characters.
fn plain_dump(octets: &[u8]) {
    // The dash behind eight octets is for those that follow.
    let text = hex::plain(octets);
    program::print(&format!("{}\n", text.trim_end_matches(['-', '\n'])));
}

/// `encode-error-reply NAME REQUEST`.
pub(super) fn encode_error_reply(_: &Settings, args: &[String]) -> Done {
    let code = error_named(&args[0])?;
    let (request, rest) = hex_octets(&args[1]);
    if !rest.is_empty() {
        return Err("Trailing garbage in hex data".into());
    }
    if request.len() < 8 {
        return Err("Request too short".into());
    }
    if usize::from(u16::from_be_bytes([request[2], request[3]])) != request.len() {
        return Err("Request size inconsistent".into());
    }
    let version = Version::from_wire(request[0]).unwrap_or_else(|| {
        let number = request[0];
        vlog::err!("ofp_errors", "cannot encode error for unknown OpenFlow version 0x{number:02x}");
        Version::V10
    });
    if code.in_version(version).is_none() {
        vlog::err!("ofp_errors", "cannot encode {code} for OpenFlow 1.{}", version.wire() - 1);
    }
    let xid = crate::session::xid_of(&request);
    let mut error = ErrorMessage::reply(code, &request);
    let numbers = code.in_version(version).or_else(|| ErrorCode::NXBRC_UNENCODABLE_ERROR.in_version(version));
    let mut form = version;
    if let (Some(n), true) = (numbers, request[0] > Version::V15.wire()) {
        // A version to come is taken for 1.0, but the form of a vendor's error is that of the newest.
        error.code = ErrorKind::Unknown { vendor: n.vendor.id(), kind: n.kind, code: n.code };
        form = Version::V15;
    }
    let mut reply = message::encode(&Message::Error(error), form, xid).map_err(|e| crate::session::cannot(&e))?;
    if let Some(octet) = reply.first_mut() {
        *octet = version.wire();
    }
    plain_dump(&reply);
    Ok(())
}

/// `encode-hello BITMAP`.
pub(super) fn encode_hello(settings: &Settings, args: &[String]) -> Done {
    let text = &args[0];
    let number = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap_or(0),
        None => text.parse().unwrap_or(0),
    };
    let versions = VersionSet(number);
    let hello = Hello { versions, header_version: 0, malformed: false };
    let octets = message::encode(&Message::Hello(hello), Version::V10, 1).map_err(|e| crate::session::cannot(&e))?;
    plain_dump(&octets);
    show(settings, &octets, 0);
    Ok(())
}

/// `parse-key-value TEXT...`.
pub(super) fn key_value(_: &Settings, args: &[String]) -> Done {
    for text in args {
        let pairs: Vec<String> = openflow::key_values(text)
            .map(|(key, value)| if value.is_empty() { key.to_string() } else { format!("{key}={value}") })
            .collect();
        program::print(&format!("{}\n", pairs.join(", ")));
    }
    Ok(())
}

/// `compose-packet FLOW [PAYLOAD]`. A flow that a packet alone cannot be of is told of, and fails.
pub(super) fn compose_packet(settings: &Settings, args: &[String]) -> Done {
    let m = parse_exact_flow(&args[0], Names::NONE)?;
    let packet = match args.get(1) {
        None => flow::compose(&m.key, flow::Payload::default()),
        Some(text) => {
            let (octets, rest) = hex_octets(text);
            if !rest.is_empty() {
                return Err(format!("{text}: trailing garbage in packet data").into());
            }
            flow::compose(&m.key, flow::Payload::Octets(&octets))
        }
    };
    let octets = packet.data();
    let (mut extracted, _) = flow::extract::extract(octets, m.key.in_port());
    extracted.set_in_port(OfPort::NONE.to_11());
    let same = extracted == m.key;
    if !same {
        let text = |key| flow::match_text::format_flow(key, &flow::match_text::Options::default());
        let (specified, extracted) = (text(&m.key), text(&extracted));
        program::eprint_quiet(&format!(
            "specified and extracted flows differ:\nspecified: {specified}\nextracted: {extracted}"
        ));
    }
    if settings.raw {
        use std::io::Write;
        let _ = std::io::stdout().write_all(octets);
    } else if settings.pcap {
        use std::io::Write;
        let _ = std::io::stdout().write_all(&pcap_file(octets));
    } else {
        plain_dump(octets);
    }
    if same { Ok(()) } else { Err(Failure::Said) }
}

/// A capture with one packet.
fn pcap_file(packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4u32.to_le_bytes());
    out.extend(2u16.to_le_bytes());
    out.extend(4u16.to_le_bytes());
    for word in [0u32, 0, 1518, 1, 0, 0, packet.len() as u32, packet.len() as u32] {
        out.extend(word.to_le_bytes());
    }
    out.extend_from_slice(packet);
    out
}
