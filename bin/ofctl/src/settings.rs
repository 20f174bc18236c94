//! Options of ovs-ofctl and what they ask for.

use crate::Failure;
use cli::daemon::Daemon;
use cli::groups::{DAEMON, DaemonSettings, LOG, LogSettings, TLS, TlsSettings};
use cli::options::{self, Flag, Given, Order, UsageError};
use cli::program::Program;
use flow::text::{Colors, PLAIN};
use openflow::message::PacketInFormat;
use openflow::{Protocols, VersionSet};

const OWN: &[Flag] = &[
    Flag::value("timeout").short('t'),
    Flag::switch("strict"),
    Flag::switch("readd"),
    Flag::value("flow-format").short('F'),
    Flag::value("packet-in-format").short('P'),
    Flag::switch("more").short('m'),
    Flag::switch("timestamp"),
    Flag::optional("sort"),
    Flag::optional("rsort"),
    Flag::switch("names"),
    Flag::switch("no-names"),
    Flag::switch("stats"),
    Flag::switch("no-stats"),
    Flag::value("unixctl"),
    Flag::switch("help").short('h'),
    Flag::switch("option").short('o'),
    Flag::switch("bundle"),
    Flag::optional("color"),
    Flag::switch("may-create"),
    Flag::switch("pcap"),
    Flag::switch("raw"),
    Flag::switch("read-only"),
];

const PROTOCOLS: &[Flag] = &[Flag::switch("version").short('V'), Flag::value("protocols").short('O')];

/// Names of ports and tables in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UseNames {
    /// Accepted always, shown on a terminal.
    Default,
    /// Accepted and shown.
    Yes,
    /// Neither.
    No,
}

/// One key to sort flows by: a field's name, or nothing for the priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Criterion {
    /// Name of a field.
    pub field: Option<String>,
    /// Greatest first.
    pub descending: bool,
}

/// What the options ask for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub program: String,
    pub argv0: String,
    pub args: Vec<String>,
    pub timeout_s: Option<u32>,
    pub strict: bool,
    pub readd: bool,
    pub may_create: bool,
    pub read_only: bool,
    pub bundle: bool,
    pub timestamp: bool,
    pub show_stats: bool,
    pub pcap: bool,
    pub raw: bool,
    pub verbosity: u8,
    pub names: UseNames,
    pub versions: VersionSet,
    /// `-O` was given.
    pub versions_given: bool,
    pub allowed: Protocols,
    pub packet_in_format: Option<PacketInFormat>,
    pub criteria: Vec<Criterion>,
    pub colors: Colors,
    pub unixctl: Option<String>,
    pub daemon: DaemonSettings,
    pub tls: TlsSettings,
}

/// What the command line comes to.
pub(crate) enum Line {
    /// A command with its arguments.
    Run(Box<Settings>, Vec<String>),
    /// Only this text is to be shown.
    Shown(String),
    /// It cannot be understood.
    Wrong(String),
}

fn all_flags() -> Vec<Flag> {
    let mut flags = OWN.to_vec();
    flags.extend_from_slice(DAEMON);
    flags.extend_from_slice(PROTOCOLS);
    flags.extend_from_slice(LOG);
    flags.extend_from_slice(TLS);
    flags
}

impl Settings {
    /// With `--detach`, goes on in the background alone.
    pub fn detach(&self) -> Result<Daemon, Failure> {
        let program = Program { name: self.program.clone(), argv0: self.argv0.clone(), args: self.args.clone() };
        Daemon::detach(&program, &self.daemon).map_err(Failure::Text)
    }
}

/// Reads the command line; a wrong option ends the program.
pub(crate) fn parse(program: &Program) -> Line {
    let flags = all_flags();
    let parsed = program.parse(&flags, Order::Permute);
    let mut settings = Settings {
        program: program.name.clone(),
        argv0: program.argv0.clone(),
        args: program.args.clone(),
        timeout_s: None,
        strict: false,
        readd: false,
        may_create: false,
        read_only: false,
        bundle: false,
        timestamp: false,
        show_stats: true,
        pcap: false,
        raw: false,
        verbosity: 0,
        names: UseNames::Default,
        versions: VersionSet::of(openflow::Version::V10),
        versions_given: false,
        allowed: Protocols::ANY,
        packet_in_format: None,
        criteria: Vec::new(),
        colors: PLAIN,
        unixctl: None,
        daemon: DaemonSettings::default(),
        tls: TlsSettings::default(),
    };
    let mut log = LogSettings::default();
    for given in &parsed.given {
        let shown = match given.flag.long {
            "help" => Some(super::commands::usage(&program.name)),
            "version" => Some(program.version_text("OpenFlow versions 0x1:0x6\n")),
            "option" => Some(options::listing(&flags)),
            _ => None,
        };
        if let Some(shown) = shown {
            // What was said of the log before counts.
            return match log.start(&program.name) {
                Ok(()) => Line::Shown(shown),
                Err(UsageError(text)) => Line::Wrong(text),
            };
        }
        if let Err(UsageError(text)) = accept(&mut settings, &mut log, given) {
            return Line::Wrong(text);
        }
    }
    if let Err(UsageError(text)) = log.start(&program.name) {
        return Line::Wrong(text);
    }
    settings.tls.judge();
    program.end_at_fault(&parsed);
    finish(&mut settings);
    if settings.bundle {
        settings.versions = with_bundles(settings.versions);
    }
    let versions = Protocols::of_versions(settings.versions);
    if (settings.allowed & versions).is_empty() {
        let (versions, formats) = (settings.versions.names(), settings.allowed.to_string());
        return Line::Wrong(format!(
            "None of the enabled OpenFlow versions ({versions}) supports any of the enabled flow formats ({formats}).  \
             (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)"
        ));
    }
    settings.allowed &= versions;
    settings.versions = settings.versions.and(settings.allowed.versions());
    Line::Run(Box::new(settings), parsed.arguments)
}

/// Versions that can have bundles: if none of those allowed does, the oldest standard that has them instead.
pub(crate) fn with_bundles(versions: VersionSet) -> VersionSet {
    let has = versions.newest().is_some_and(|v| v >= openflow::Version::V13);
    if has { versions } else { VersionSet::of(openflow::Version::V14) }
}

fn finish(settings: &mut Settings) {
    // Flows of equal keys are told apart by their priority.
    if !settings.criteria.is_empty() {
        settings.criteria.push(Criterion { field: None, descending: true });
    }
}

fn accept(settings: &mut Settings, log: &mut LogSettings, given: &Given) -> Result<(), UsageError> {
    if log.accept(given)? || settings.daemon.accept(given)? || settings.tls.accept(given)? {
        return Ok(());
    }
    let text = given.text();
    match given.flag.long {
        "timeout" => settings.timeout_s = Some(timeout(text)?),
        "strict" => settings.strict = true,
        "readd" => settings.readd = true,
        "may-create" => settings.may_create = true,
        "read-only" => settings.read_only = true,
        "bundle" => settings.bundle = true,
        "timestamp" => settings.timestamp = true,
        "more" => settings.verbosity = settings.verbosity.saturating_add(1),
        "names" => settings.names = UseNames::Yes,
        "no-names" => settings.names = UseNames::No,
        "stats" => settings.show_stats = true,
        "no-stats" => settings.show_stats = false,
        "pcap" => settings.pcap = true,
        "raw" => settings.raw = true,
        "unixctl" => settings.unixctl = given.value.clone(),
        "flow-format" => settings.allowed = Protocols::parse(text).map_err(UsageError)?,
        "packet-in-format" => {
            let unknown = || UsageError(format!("unknown packet-in format `{text}'"));
            settings.packet_in_format = Some(PacketInFormat::parse(text).ok_or_else(unknown)?);
        }
        "protocols" => {
            settings.versions =
                VersionSet::parse(text).map_err(|word| UsageError(format!("Unknown OpenFlow version: \"{word}\"")))?;
            settings.versions_given = true;
            if settings.versions == VersionSet::default() {
                settings.versions = VersionSet::ALL;
            }
        }
        "sort" | "rsort" => {
            let field = given.value.clone().filter(|f| !f.eq_ignore_ascii_case("priority"));
            if let Some(name) = &field
                && flow::Field::by_name(name).is_none()
            {
                return Err(UsageError(format!("{name}: unknown field name")));
            }
            settings.criteria.push(Criterion { field, descending: given.flag.long == "rsort" });
        }
        "color" => settings.colors = colors(given.value.as_deref())?,
        _ => {}
    }
    Ok(())
}

fn timeout(text: &str) -> Result<u32, UsageError> {
    options::timeout_s('t', text)
}

fn colors(when: Option<&str>) -> Result<Colors, UsageError> {
    let on = match when {
        Some("always") => true,
        Some("never") => false,
        None | Some("auto") => rustix::termios::isatty(std::io::stdout()),
        Some(other) => return Err(UsageError(format!("incorrect value `{other}' for --color"))),
    };
    if !on {
        return Ok(PLAIN);
    }
    Ok(Colors {
        actions: "\x1b[1;31m\x1b[K",
        drop: "\x1b[34m\x1b[K",
        learn: "\x1b[31m\x1b[K",
        param: "\x1b[36m\x1b[K",
        paren: "\x1b[35m\x1b[K",
        special: "\x1b[33m\x1b[K",
        value: "\x1b[32m\x1b[K",
        end: "\x1b[m\x1b[K",
    })
}

impl Settings {
    /// Whether names are shown.
    pub fn shows_names(&self) -> bool {
        match self.names {
            UseNames::Yes => true,
            UseNames::No => false,
            UseNames::Default => rustix::termios::isatty(std::io::stdout()),
        }
    }

    /// Whether names are understood.
    pub fn accepts_names(&self) -> bool {
        self.names != UseNames::No
    }

    /// Streams' settings.
    pub fn stream(&self) -> cli::stream::Settings {
        cli::stream::Settings { tls: self.tls.clone(), default_port: cli::stream::OPENFLOW_PORT }
    }
}
