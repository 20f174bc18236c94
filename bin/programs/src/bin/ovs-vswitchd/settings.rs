//! The command line of `ovs-vswitchd`.

use actors::stream::Tls;
use actors::switch::plan::DummyMode;
use actors::vswitchd::VswitchdConfig;
use cli::dirs;
use cli::groups::{self, DaemonSettings, LogSettings, TlsSettings};
use cli::options::{Flag, Parsed, UsageError};

/// The options that are not shared with other daemons.
const OWN: &[Flag] = &[
    Flag::value("unixctl").help("  --unixctl=SOCKET          override default control socket name\n"),
    Flag::switch("mlockall"),
    // Of ours alone, and told in the README: the help text is Open vSwitch's to the letter.
    Flag::value("metrics").whole(),
    // Of later versions.
    Flag::value("hw-rawio-access").whole(),
    Flag::optional("enable-dummy"),
    Flag::switch("disable-system"),
    Flag::switch("disable-system-route"),
    Flag::switch("dpdk"),
    Flag::value("dummy-numa"),
];

/// All options, in the order in which what an abbreviation may stand for is told.
pub fn flags() -> Vec<Flag> {
    let (first, last) = OWN.split_at(4);
    let shown = [groups::HELP, groups::VERSION];
    [first, &shown, groups::DAEMON, groups::LOG, groups::TLS, groups::BOOTSTRAP, last].concat()
}

/// What the command line asks for.
pub struct Settings {
    pub daemon: DaemonSettings,
    pub log: LogSettings,
    pub switch: VswitchdConfig,
    pub unixctl: Option<String>,
    pub metrics: Option<String>,
    pub lock_memory: bool,
    /// `actor/panic`, `time/stop` and `time/warp` are there.
    pub test_commands: bool,
}

impl Settings {
    /// Judges the options and arguments given.
    pub fn read(parsed: &Parsed) -> Result<Settings, UsageError> {
        let mut settings = Settings {
            daemon: DaemonSettings::default(),
            log: LogSettings::default(),
            switch: VswitchdConfig {
                server: String::new(),
                run_dir: dirs::rundir().into(),
                tls: Tls::default(),
                dummy: DummyMode::Off,
                dummy_numa: None,
                disable_system: false,
                disable_system_route: false,
                seed: 0,
                fill_empty: None,
                database: None,
                ring: None,
                wake_latency: None,
            },
            unixctl: None,
            metrics: None,
            lock_memory: false,
            test_commands: false,
        };
        let mut tls = TlsSettings::default();
        for given in &parsed.given {
            match given.flag.long {
                "unixctl" => settings.unixctl = given.value.clone(),
                "metrics" => settings.metrics = given.value.clone(),
                "mlockall" => settings.lock_memory = true,
                "enable-dummy" => {
                    settings.test_commands = true;
                    settings.switch.dummy = match given.value.as_deref() {
                        Some("override") => DummyMode::Override,
                        Some("system") => DummyMode::System,
                        None | Some("") => DummyMode::On,
                        Some(other) => return Err(UsageError(format!("{other}: unknown dummy level"))),
                    };
                }
                "dummy-numa" => settings.switch.dummy_numa = given.value.clone(),
                "disable-system" => settings.switch.disable_system = true,
                "disable-system-route" => settings.switch.disable_system_route = true,
                "hw-rawio-access" => {}
                "dpdk" => return Err(UsageError("Using --dpdk to configure DPDK is not supported.".to_owned())),
                _ => {
                    let _ = settings.daemon.accept(given)? || settings.log.accept(given)? || tls.accept(given)?;
                }
            }
        }
        settings.switch.tls = Tls::new(programs::tls_files(tls));
        settings.switch.server = match parsed.arguments.as_slice() {
            [] => format!("unix:{}/db.sock", dirs::rundir()),
            [server] => server.clone(),
            _ => return Err(UsageError("at most one non-option argument accepted; use --help for usage".to_owned())),
        };
        Ok(settings)
    }
}

/// The text of `--help`.
pub fn usage(program: &str) -> String {
    format!(
        "{program}: Open vSwitch daemon\nusage: {program} [OPTIONS] [DATABASE]\nwhere DATABASE is a socket on which ovsdb-server is listening\n      (default: \"unix:{}/db.sock\").\n",
        dirs::rundir()
    ) + &groups::connection_methods(program, "DATABASE", true, false, true)
        + &DaemonSettings::usage(program)
        + &LogSettings::usage(program)
        + "\nDPDK options:\nConfiguration of DPDK via command-line is removed from this\n\
           version of Open vSwitch. DPDK is configured through ovsdb.\n"
        + &groups::section(program, "\nOther options:", &OWN[..1])
        + "  -h, --help                display this help message\n  -V, --version             display version information\n"
}
