//! `monitor`, `snoop`: messages as they come, and a control socket to act meanwhile.

use std::fs::OpenOptions;

use cli::daemon::{Daemon, Reports};
use cli::{clock, program};
use openflow::hex_octets;
use openflow::message::{self, Message, PacketIn, PacketInFormat};
use openflow::parse::monitor::parse_flow_monitor;
use openflow::parse::packet_out::parse_packet_out;
use openflow::{Msg, Protocols, Version, VersionSet};

use super::flows::with_names;
use super::show::{fetch_config, set_config};
use crate::session::{Session, Target, because, is_error, xid_of};
use crate::settings::Settings;
use crate::unixctl::{Request, Server};
use crate::{Done, Failure};

/// Versions that can send packets with an invalid TTL to the controller.
fn ttl_versions() -> VersionSet {
    VersionSet::of(Version::V10).with(Version::V11).with(Version::V12)
}

/// `monitor SWITCH [MISSLEN] [invalid_ttl] [watch:[...]]`.
pub(super) fn monitor(settings: &Settings, args: &[String]) -> Done {
    let mut daemon = settings.detach()?;
    let mut settings = settings.clone();
    if args.iter().any(|a| a == "invalid_ttl") {
        let usable = settings.versions.and(ttl_versions());
        if usable.is_empty() {
            return Err(Failure::Text(format!(
                "invalid_ttl requires one of the OpenFlow versions {} but none is enabled (use -O)",
                ttl_versions().names()
            )));
        }
        settings.versions = usable;
    }
    let settings = &settings;
    let session = Session::open(&args[0], settings)?;
    let mut resume = false;
    for arg in &args[1..] {
        if arg.starts_with(|c: char| c.is_ascii_digit()) {
            let digits: String = arg.chars().take_while(char::is_ascii_digit).collect();
            let mut config = fetch_config(&session)?;
            config.miss_send_len = digits.parse::<u32>().unwrap_or(0) as u16;
            set_config(&session, &config, settings)?;
        } else if arg == "invalid_ttl" {
            invalid_ttl(&session, settings)?;
        } else if let Some(text) = arg.strip_prefix("watch:") {
            watch(&session, args, text, settings)?;
        } else if arg == "resume" {
            resume = true;
            let mut config = fetch_config(&session)?;
            config.miss_send_len = u16::MAX;
            set_config(&session, &config, settings)?;
        } else {
            return Err(Failure::Text(format!("{arg}: unsupported \"monitor\" argument")));
        }
    }
    choose_packet_in_format(&session, settings)?;
    run(&session, settings, &mut daemon, true, resume)
}

fn invalid_ttl(session: &Session, settings: &Settings) -> Done {
    let mut config = fetch_config(session)?;
    config.invalid_ttl_to_controller = Some(true);
    set_config(session, &config, settings)
}

fn watch(session: &Session, args: &[String], text: &str, settings: &Settings) -> Done {
    let ((request, usable), _) = with_names(&args[0], settings, |names| parse_flow_monitor(text, session_id(), names))?;
    let protocol = Protocols::of_version(session.version);
    if (usable & protocol).is_empty() {
        return Err(super::flows::not_among(usable, settings));
    }
    if session.version == Version::V10 || settings.accepts_names() {
        session.skip_names();
    }
    let request = session.encode(&Message::FlowMonitorRequest(vec![request]))?;
    if settings.verbosity > 0 {
        program::print(&session.text(&request, settings, 1));
    }
    session.dump_octets(&request, settings)?;
    program::flush_stdout();
    Ok(())
}

/// Numbers of monitors count up from 0 within a run.
fn session_id() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Asks for a format of packet-ins; says whether the switch has it.
fn packet_in_format(session: &Session, format: PacketInFormat) -> Result<Option<Vec<u8>>, Failure> {
    let request = session.encode(&Message::SetPacketInFormat(format))?;
    session.transact_noreply(&request)
}

fn choose_packet_in_format(session: &Session, settings: &Settings) -> Done {
    if let Some(format) = settings.packet_in_format {
        let Some(error) = packet_in_format(session, format)? else { return Ok(()) };
        let text = session.text(&error, settings, 2);
        return Err(Failure::Text(format!(
            "{}: failed to set packet-in format to nx_packet_in, switch replied: {text}",
            session.name
        )));
    }
    if packet_in_format(session, PacketInFormat::Nxt2)?.is_some() && session.version == Version::V10 {
        let _ = packet_in_format(session, PacketInFormat::Nxt)?;
    }
    Ok(())
}

/// `snoop SWITCH`.
pub(super) fn snoop(settings: &Settings, args: &[String]) -> Done {
    let mut daemon = settings.detach()?;
    let settings = &Settings { versions: VersionSet::ALL, ..settings.clone() };
    let session = Session::open_target(&args[0], Target::Snoop, settings)?;
    run(&session, settings, &mut daemon, false, false)
}

/// The state of a running monitor.
struct Monitor<'a> {
    session: &'a Session,
    settings: &'a Settings,
    server: Server,
    /// Who waits for a barrier, and the barrier's number.
    barrier: Option<(Request, u32)>,
    blocked: bool,
    exiting: bool,
    echo: bool,
    resume: bool,
    /// A second connection, to ask for names while the first is watched.
    names: Option<Session>,
    /// Names have been used.
    named: bool,
}

fn run(session: &Session, settings: &Settings, daemon: &mut Daemon, echo: bool, resume: bool) -> Done {
    daemon.make_pidfile(&settings.program, &settings.daemon).map_err(Failure::Text)?;
    let server = Server::bind(settings.unixctl.as_deref(), &settings.program)
        .map_err(|e| because("failed to create unixctl server", &e))?;
    vlog::register(&settings.program);
    cli::signals::end_in_order();
    daemon.ready(Reports::Stderr);
    let mut monitor = Monitor {
        session,
        settings,
        server,
        barrier: None,
        blocked: false,
        exiting: false,
        echo,
        resume,
        names: None,
        named: false,
    };
    let result = monitor.run();
    drop(monitor);
    cli::alarm::remove_files();
    result
}

impl Monitor<'_> {
    fn run(&mut self) -> Done {
        let failed = |e: std::io::Error| because("vconn_recv", &e);
        let mut readable = false;
        loop {
            while !self.blocked {
                let Some(message) = self.session.receive_ready(readable).map_err(failed)? else { break };
                readable = false;
                self.message(&message)?;
            }
            if self.exiting {
                return Ok(());
            }
            let (here, others) = {
                let fds = self.server.descriptors();
                self.session.poll(&fds, !self.blocked).map_err(failed)?
            };
            readable = here;
            for request in self.server.ready(&others) {
                self.command(request);
            }
            if self.barrier.is_none() {
                self.server.sweep();
            }
        }
    }

    fn print(&self, text: &str) {
        program::eprint_quiet(text);
    }

    fn message(&mut self, octets: &[u8]) -> Done {
        if self.settings.timestamp {
            self.print(&timestamp());
        }
        self.print(&self.session.text(octets, self.settings, 2));
        if let Some((request, xid)) = &self.barrier
            && xid_of(octets) == *xid
            && !is_error(octets)
        {
            let request = request.clone();
            self.barrier = None;
            self.server.reply(&request, Ok(""));
        }
        match message::decode(octets) {
            Ok(Msg { body: Message::EchoRequest(data), xid, version }) if self.echo => {
                let reply = message::encode(&Message::EchoReply(data), version, xid).unwrap_or_default();
                self.session.write(&reply).map_err(|e| because("failed to send echo reply", &e))
            }
            Ok(Msg { body: Message::PacketIn(packet_in), .. }) if self.resume => self.send_resume(*packet_in),
            _ => Ok(()),
        }
    }

    fn send_resume(&self, packet_in: PacketIn) -> Done {
        if packet_in.raw_continuation.is_empty() {
            return Ok(());
        }
        let resume = Message::Resume(Box::new(PacketIn { userdata: Vec::new(), ..packet_in }));
        let reply = message::encode(&resume, self.session.version, 0).map_err(|e| crate::session::cannot(&e))?;
        self.print(&format!("send: {}", self.session.text(&reply, self.settings, 2)));
        self.session.write(&reply).map_err(|e| because("failed to send NXT_RESUME", &e))
    }

    fn command(&mut self, request: Request) {
        let args = &request.args;
        let counts = commands().find(|(name, ..)| *name == request.name);
        let answer = match counts {
            None => Err(format!(
                "\"{}\" is not a valid command (use \"list-commands\" to see a list of valid commands)",
                request.name
            )),
            Some((name, _, min, _)) if args.len() < min => {
                Err(format!("\"{name}\" command requires at least {min} arguments"))
            }
            Some((name, _, _, max)) if args.len() > max => {
                Err(format!("\"{name}\" command takes at most {max} arguments"))
            }
            Some(_) => match request.name.as_str() {
                "ofctl/barrier" => {
                    self.start_barrier(request);
                    return;
                }
                name => match vlog::command(name, args) {
                    Some(answer) => answer,
                    None => self.act(name, args),
                },
            },
        };
        self.server.reply(&request, answer.as_deref().map_err(String::as_str));
    }

    fn act(&mut self, name: &str, args: &[String]) -> Result<String, String> {
        match name {
            "exit" => self.exiting = true,
            "ofctl/block" => {
                if self.blocked {
                    return Ok("already blocking".to_string());
                }
                self.blocked = true;
            }
            "ofctl/unblock" => {
                if !self.blocked {
                    return Ok("already unblocked".to_string());
                }
                self.blocked = false;
            }
            "ofctl/send" => return self.send(args),
            "ofctl/packet-out" => return self.packet_out(&args[0]),
            "ofctl/set-output-file" => return set_output_file(&args[0]),
            "version" => return Ok(format!("{} (Open vSwitch) {}", self.settings.program, program::OVS_VERSION)),
            "list-commands" => return Ok(listing()),
            name => {
                if let Some(answer) = cli::control::coverage(name) {
                    return answer.map(str::to_owned).map_err(str::to_owned);
                }
            }
        }
        Ok(String::new())
    }

    fn start_barrier(&mut self, request: Request) {
        if self.barrier.is_some() {
            self.server.reply(&request, Err("already waiting for barrier reply"));
            return;
        }
        let Ok(octets) = self.session.encode(&Message::BarrierRequest) else { return };
        match self.session.write(&octets) {
            Ok(()) => self.barrier = Some((request, xid_of(&octets))),
            Err(error) => {
                let text = program::strerror(&error);
                self.server.reply(&request, Err(&text));
            }
        }
    }

    fn send(&self, args: &[String]) -> Result<String, String> {
        let mut out = String::new();
        let mut ok = true;
        for arg in args {
            let (octets, rest) = hex_octets(arg);
            if !rest.is_empty() {
                out.push_str("Trailing garbage in hex data\n");
                ok = false;
                continue;
            }
            if octets.len() < openflow::message::kind::HEADER_LEN {
                out.push_str("Message too short for OpenFlow\n");
                ok = false;
                continue;
            }
            if usize::from(u16::from_be_bytes([octets[2], octets[3]])) != octets.len() {
                out.push_str("Message size does not match length in OpenFlow header\n");
                ok = false;
                continue;
            }
            self.print(&format!("send: {}", self.session.text(&octets, self.settings, 0)));
            match self.session.write(&octets) {
                Err(error) => {
                    out.push_str(&format!("{}\n", program::strerror(&error)));
                    ok = false;
                }
                Ok(()) => out.push_str("sent\n"),
            }
        }
        if ok { Ok(out) } else { Err(out) }
    }

    fn packet_out(&mut self, text: &str) -> Result<String, String> {
        let mut parsed = parse_packet_out(text, openflow::names::Names::NONE);
        if self.settings.accepts_names() {
            if parsed.is_err() && self.names.is_none() {
                self.names = Session::open(&self.session.name, self.settings).ok();
            }
            if let (Err(_), Some(session)) = (&parsed, &self.names) {
                parsed = parse_packet_out(text, session.names());
            }
            if !std::mem::replace(&mut self.named, true) {
                // Numbered as if names had been asked for now, on connections of their own.
                for _ in 0..4 {
                    self.session.next_xid();
                }
            }
        }
        let (packet_out, usable) = parsed?;
        let protocol = Protocols::of_version(self.session.version);
        if (usable & protocol).is_empty() {
            return Err("PACKET_OUT actions are incompatible with the OpenFlow connection.".to_string());
        }
        let message = Message::PacketOut(Box::new(packet_out));
        let octets = self.session.encode(&message).map_err(|_| "cannot be sent in this version".to_string())?;
        self.print(&self.session.text(&octets, self.settings, 0));
        self.session.write(&octets).map_err(|e| program::strerror(&e))?;
        Ok(String::new())
    }
}

/// Commands of the control socket that are not the log's.
const COMMANDS: &[vlog::Command] = &[
    ("exit", "", 0, 0),
    ("list-commands", "", 0, 0),
    ("ofctl/barrier", "", 0, 0),
    ("ofctl/block", "", 0, 0),
    ("ofctl/packet-out", "\"in_port=<port> packet=<hex data> actions=...\"", 1, 1),
    ("ofctl/send", "OFMSG...", 1, usize::MAX),
    ("ofctl/set-output-file", "FILE", 1, 1),
    ("ofctl/unblock", "", 0, 0),
    ("version", "", 0, 0),
];

fn commands() -> impl Iterator<Item = vlog::Command> {
    cli::control::COVERAGE.into_iter().chain(COMMANDS.iter().copied()).chain(vlog::COMMANDS)
}

fn listing() -> String {
    let mut out = String::from("The available commands are:\n");
    for (name, usage, ..) in commands() {
        out.push_str(&format!("  {name:<23} {usage}\n"));
    }
    out
}

fn set_output_file(path: &str) -> Result<String, String> {
    let file = OpenOptions::new()
        .create(true)
        .append(false)
        .write(true)
        .truncate(true)
        .open(path)
        .map_err(|e| program::strerror(&e))?;
    rustix::stdio::dup2_stderr(&file).map_err(|e| program::strerror(&e.into()))?;
    Ok(String::new())
}

/// The wall clock for `--timestamp`, in local terms of the universal time.
fn timestamp() -> String {
    let now = clock::wall();
    let (days, seconds) = (now.as_secs() / 86400, now.as_secs() % 86400);
    let (year, month, day) = civil(days as i64);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}: ",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        now.subsec_millis()
    )
}

/// Year, month and day of a number of days since 1970, by the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}
