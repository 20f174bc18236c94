//! `dump-flows`, `dump-aggregate`, `add-flow`, `add-flows`, `mod-flows`, `del-flows`.

use cli::program;
use flow::classifier::Shapes;
use openflow::flow_mod::{
    Command, FlowMod, FlowModCommand, FlowStats, FlowStatsRequest, PackedFlowMod, ParsedFlowMod, parse_flow_mod,
    parse_stats_request, write_flow_stats,
};
use openflow::matching::Match;
use openflow::message::frame::message_len;
use openflow::message::{self, Dialect, Message};
use openflow::names::{Names, Style};
use openflow::{Notes, Protocols, Version};

use super::flow_file;
use crate::session::Session;
use crate::settings::{Criterion, Settings};
use crate::{Done, Failure};

/// Which message a protocol's flows take.
pub(super) fn dialect(protocol: Protocols) -> Dialect {
    if Protocols::OF10_NXM_ANY.contains(protocol) { Dialect::Nicira } else { Dialect::Standard }
}

pub(super) fn not_among(usable: Protocols, settings: &Settings) -> Failure {
    Failure::Text(format!(
        "none of the usable flow formats ({usable}) is among the allowed flow formats ({})",
        settings.allowed
    ))
}

/// Connects, and agrees with the switch on a protocol that can say what is to be said.
pub(super) fn open_for_flow_mod(
    found: Option<Session>,
    name: &str,
    usable: Protocols,
    settings: &Settings,
) -> Result<(Session, Protocols), Failure> {
    if (usable & settings.allowed).is_empty() {
        return Err(not_among(usable, settings));
    }
    let session = session(found, name, settings)?;
    let mut current = Protocols::initial(session.version);
    if (usable & settings.allowed).contains(current) {
        return Ok((session, current));
    }
    for want in (usable & settings.allowed).iter() {
        if want != current && session.try_protocol(want, &mut current)? {
            return Ok((session, want));
        }
    }
    Err(Failure::Text(format!("switch does not support any of the usable flow formats ({usable})")))
}

/// Agrees with the switch on a protocol for dumps: the one that says most.
pub(super) fn protocol_for_dump(
    session: &Session,
    usable: Protocols,
    settings: &Settings,
) -> Result<Protocols, Failure> {
    const PREFERENCE: [Protocols; 7] = [
        Protocols::OF15_OXM,
        Protocols::OF14_OXM,
        Protocols::OF13_OXM,
        Protocols::OF12_OXM,
        Protocols::OF11_STD,
        Protocols::OF10_NXM,
        Protocols::OF10_STD,
    ];
    let mut current = Protocols::initial(session.version);
    for want in PREFERENCE {
        if (usable & settings.allowed).contains(want) && session.try_protocol(want, &mut current)? {
            return Ok(want);
        }
    }
    if (usable & settings.allowed).is_empty() {
        return Err(not_among(usable, settings));
    }
    Err(Failure::Text(format!("switch does not support any of the usable flow formats ({usable})")))
}

/// Reads a text for `switch`. When names may be used the switch is connected to first, and asked for them if the text
/// cannot be understood without.
pub(super) fn with_names<T>(
    switch: &str,
    settings: &Settings,
    attempt: impl Fn(Names<'_>) -> Result<T, String>,
) -> Result<(T, Option<Session>), Failure> {
    if !settings.accepts_names() {
        return noting(Names::NONE, attempt).map(|value| (value, None)).map_err(Failure::Text);
    }
    let session = open_named(switch, settings)?;
    let mut names = Names::NONE;
    let value = noting_line(Some(&session), &mut names, attempt).map_err(Failure::Text)?;
    Ok((value, Some(session)))
}

/// Reads a text and logs what there is to say of it.
pub(super) fn noting<T>(names: Names<'_>, attempt: impl Fn(Names<'_>) -> Result<T, String>) -> Result<T, String> {
    let notes = Notes::default();
    let read = attempt(Names { notes: Some(&notes), ..names });
    crate::text::log(&notes.take());
    read
}

/// Reads one of several texts and logs what there is to say of it. A switch is asked for its names when the first text
/// cannot do without; from there on they count.
pub(super) fn noting_line<'s, T>(
    session: Option<&'s Session>,
    names: &mut Names<'s>,
    attempt: impl Fn(Names<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let notes = Notes::default();
    let mut read = attempt(Names { notes: Some(&notes), ..*names });
    if read.is_err()
        && let Some(session) = session
        && names.ports.is_none()
    {
        let _without_names = notes.take();
        *names = session.names();
        read = attempt(Names { notes: Some(&notes), ..*names });
    }
    crate::text::log(&notes.take());
    read
}

/// Connects to a switch whose names may be used. Its transactions are numbered as if ports and tables had been asked for
/// on connections of their own, as they are elsewhere.
pub(super) fn open_named(switch: &str, settings: &Settings) -> Result<Session, Failure> {
    let session = Session::open(switch, settings)?;
    session.set_next_xid(6);
    Ok(session)
}

/// The connection that there is already, or a new one.
pub(super) fn session(found: Option<Session>, switch: &str, settings: &Settings) -> Result<Session, Failure> {
    found.map_or_else(|| Session::open(switch, settings), Ok)
}

fn prepare(
    settings: &Settings,
    args: &[String],
    aggregate: bool,
) -> Result<(Session, Protocols, FlowStatsRequest), Failure> {
    let (parsed, found) = match args.get(1) {
        Some(text) => with_names(&args[0], settings, |names| parse_stats_request(text, aggregate, names))?,
        None => (parse_stats_request("", aggregate, Names::NONE)?, None),
    };
    let session = session(found, &args[0], settings)?;
    let protocol = protocol_for_dump(&session, parsed.usable, settings)?;
    Ok((session, protocol, parsed.request))
}

fn request(protocol: Protocols, request: FlowStatsRequest) -> Message {
    Message::FlowStatsRequest { dialect: dialect(protocol), request: Box::new(request) }
}

/// `dump-aggregate SWITCH [FLOW]`.
pub(super) fn dump_aggregate(settings: &Settings, args: &[String]) -> Done {
    let (session, protocol, wanted) = prepare(settings, args, true)?;
    session.dump(&request(protocol, wanted), settings)
}

/// `dump-flows SWITCH [FLOW]`.
pub(super) fn dump_flows(settings: &Settings, args: &[String]) -> Done {
    let (session, protocol, wanted) = prepare(settings, args, false)?;
    let request = request(protocol, wanted);
    if settings.criteria.is_empty() && !settings.shows_names() && settings.show_stats {
        return session.dump(&request, settings);
    }
    let mut flows = fetch(&session, &request)?;
    if !settings.criteria.is_empty() {
        flows.sort_by(|a, b| compare(a, b, &settings.criteria));
    }
    let names = if settings.shows_names() { session.names() } else { Names::NONE };
    let style = Style { names, colors: settings.colors };
    let mut out = String::new();
    for flow in &flows {
        out.push(' ');
        write_flow_stats(&mut out, flow, &style, settings.show_stats);
        out.push('\n');
    }
    program::print(&out);
    Ok(())
}

/// All rules that a request asks for.
pub(super) fn fetch(session: &Session, request: &Message) -> Result<Vec<FlowStats>, Failure> {
    let mut flows = Vec::new();
    each_flow(session, request, |flow| flows.push(flow))?;
    Ok(flows)
}

/// As [`fetch`], one by one as they come.
pub(super) fn each_flow(session: &Session, request: &Message, mut take: impl FnMut(FlowStats)) -> Done {
    session.each_part(request, "dump flows", |msg| {
        if let Message::FlowStatsReply { flows, dialect } = msg.body {
            for mut flow in flows {
                if dialect == Dialect::Nicira {
                    // Nicira's ages count only where flows are shown as they come.
                    (flow.idle_age, flow.hard_age) = (None, None);
                }
                take(flow);
            }
        }
        Ok(())
    })
}

fn compare(a: &FlowStats, b: &FlowStats, criteria: &[Criterion]) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    for criterion in criteria {
        let order = match criterion.field.as_deref().and_then(flow::Field::by_name) {
            None => a.priority.cmp(&b.priority),
            Some(field) => {
                let of = |f: &FlowStats| {
                    let (value, mask) = f.matching.get(field);
                    let is_there = match (field, &f.matching.tun) {
                        // Its mask does not tell: it may be zero.
                        (flow::Field::TunMetadata(i), Some(tun)) => tun.entry(i).is_some(),
                        _ => !mask.is_zero(),
                    };
                    is_there.then_some(value)
                };
                match (of(a), of(b)) {
                    (None, None) => Ordering::Equal,
                    // A flow without the field comes last, whichever way the order is.
                    (None, Some(_)) => return Ordering::Greater,
                    (Some(_), None) => return Ordering::Less,
                    (Some(va), Some(vb)) => as_number(&va.0).cmp(&as_number(&vb.0)),
                }
            }
        };
        let order = if criterion.descending { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Octets as a number that compares: metadata of a tunnel has as many as each match needed.
fn as_number(octets: &[u8]) -> (usize, &[u8]) {
    let octets = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
    (octets.len(), octets)
}

fn one_flow(settings: &Settings, args: &[String], command: FlowModCommand) -> Done {
    let (switch, text) = (&args[0], args.get(1).map_or("", String::as_str));
    let command = Command::Mod(command);
    if text == "-" && command == Command::Mod(FlowModCommand::Add) {
        return from_file(settings, switch, text, command);
    }
    let (parsed, found) = with_names(switch, settings, |names| parse_flow_mod(text, command, names))?;
    if let Some(after) = &parsed.normalized {
        note(&parsed.flow_mod.matching, after);
    }
    send(settings, found, switch, &[parsed.flow_mod.pack(&mut Shapes::default())], parsed.usable)
}

/// Logs what is dropped from a match that packets of its kind do not have.
pub(super) fn note(before: &Match, after: &Match) {
    for line in openflow::flow_mod::normalization_notes(before, after) {
        vlog::info!("ofp_match", "{line}");
    }
}

fn from_file(settings: &Settings, switch: &str, file: &str, command: Command) -> Done {
    let mut session = flow_file::open_for_names(settings, switch)?;
    let text = flow_file::Text::read(file)?;
    if text.is_long() {
        let stream = if settings.bundle { super::bundle::stream } else { stream };
        if let Some(done) = stream(settings, session, switch, &text, command) {
            return done;
        }
        session = flow_file::open_for_names(settings, switch)?;
    }
    let (flow_mods, usable, found) = flow_file::parse_text(session, file, &text, command)?;
    send(settings, found, switch, &flow_mods, usable)
}

/// Flow-mods that are sent one by one, each when the one before it has been accepted.
const ONE_BY_ONE: usize = 256;
/// Flow-mods behind those that are sent together, while the switch is still busy with as many before them.
const TOGETHER: usize = 4096;

/// Sends flow-mods, in a bundle if so asked. Otherwise the first that the switch refuses is told of and ends the command.
/// The switch is asked after each of the first ones, so that nothing behind the refused one is sent. In a long list it is
/// asked less often: up to twice [`TOGETHER`] flow-mods behind the refused one may have been carried out as well.
pub(super) fn send(
    settings: &Settings,
    found: Option<Session>,
    switch: &str,
    flow_mods: &[PackedFlowMod],
    usable: Protocols,
) -> Done {
    if settings.bundle {
        return super::bundle::send_flow_mods(settings, found, switch, flow_mods, usable);
    }
    let (session, protocol) = open_for_flow_mod(found, switch, usable, settings)?;
    let mut requests = Vec::new();
    for flow_mod in flow_mods {
        put(&mut requests, &session, &flow_mod.unpack(), protocol)?;
    }
    send_octets(settings, &session, &requests)
}

/// As [`send`], of flow-mods as octets.
fn send_octets(settings: &Settings, session: &Session, mut requests: &[u8]) -> Done {
    let first = first_messages(&mut requests, ONE_BY_ONE);
    session.change_in_windows(windows(first, 1), 0, settings)?;
    session.change_in_windows(windows(requests, TOGETHER), 1, settings)
}

/// Takes up to `n` messages off the front.
fn first_messages<'a>(messages: &mut &'a [u8], n: usize) -> &'a [u8] {
    let mut len = 0;
    for _ in 0..n {
        let Ok(Some(one)) = message_len(&messages[len..]) else { break };
        len += one;
    }
    let (first, rest) = messages.split_at(len);
    *messages = rest;
    first
}

/// Messages, `n` at a time.
fn windows(mut messages: &[u8], n: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || Some(first_messages(&mut messages, n)).filter(|window| !window.is_empty()))
}

/// Sends the flow-mods of a long file, which become octets on all processors. Gives nothing where a line cannot be said so:
/// it may use names, be in error or want another protocol. Nothing has been sent or told of then.
fn stream(
    settings: &Settings,
    found: Option<Session>,
    switch: &str,
    text: &flow_file::Text,
    command: Command,
) -> Option<Done> {
    // Some lines say which protocol it will be, unless others want another one.
    let (session, protocol) = open_for_flow_mod(found, switch, flow_file::sample(text, command)?, settings).ok()?;
    let version = session.version;
    let table_id = Protocols::TABLE_ID.contains(protocol);
    let first = session.reserve_xids(text.len());
    let encode = |out: &mut Vec<u8>, place: usize, parsed: &ParsedFlowMod| {
        let xid = first.wrapping_add(place as u32);
        parsed.usable.contains(protocol)
            && message::encode_flow_mod(out, dialect(protocol), &parsed.flow_mod, table_id, version, xid).is_ok()
    };
    let mut requests = Vec::new();
    let mut blocks = Vec::new();
    let is_whole = flow_file::each_block(text, command, &encode, |mut block| {
        requests.append(&mut std::mem::take(&mut block.octets));
        blocks.push(block);
    });
    if !is_whole {
        return None;
    }
    blocks.iter().for_each(flow_file::Block::log);
    Some(send_octets(settings, &session, &requests))
}

/// Appends a flow-mod in the form of a protocol.
pub(super) fn put(out: &mut Vec<u8>, session: &Session, flow_mod: &FlowMod, protocol: Protocols) -> Done {
    let version = protocol.version().unwrap_or(Version::V10);
    let table_id = Protocols::TABLE_ID.contains(protocol);
    message::encode_flow_mod(out, dialect(protocol), flow_mod, table_id, version, session.next_xid())
        .map_err(|e| crate::session::cannot(&e))
}

/// `add-flow SWITCH FLOW`.
pub(super) fn add_flow(settings: &Settings, args: &[String]) -> Done {
    one_flow(settings, args, FlowModCommand::Add)
}

/// `add-flows SWITCH FILE`: each line may say what it does.
pub(super) fn add_flows(settings: &Settings, args: &[String]) -> Done {
    from_file(settings, &args[0], &args[1], Command::Named)
}

/// `mod-flows SWITCH FLOW`.
pub(super) fn mod_flows(settings: &Settings, args: &[String]) -> Done {
    let command = if settings.strict { FlowModCommand::ModifyStrict } else { FlowModCommand::Modify };
    if args[1] == "-" {
        return from_file(settings, &args[0], "-", Command::Mod(command));
    }
    one_flow(settings, args, command)
}

/// `del-flows SWITCH [FLOW]`.
pub(super) fn del_flows(settings: &Settings, args: &[String]) -> Done {
    let command = if settings.strict { FlowModCommand::DeleteStrict } else { FlowModCommand::Delete };
    if args.get(1).is_some_and(|text| text == "-") {
        return from_file(settings, &args[0], "-", Command::Mod(command));
    }
    one_flow(settings, args, command)
}
