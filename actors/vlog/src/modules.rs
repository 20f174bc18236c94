//! Modules, levels and destinations: the three words a log setting is made of.
//!
//! A module is registered by name and lives as long as the program; its levels are atomics, so that the test
//! whether a message is wanted costs one load. Source: ovs-appctl(8).

use crate::settings;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{OnceLock, RwLock};

/// How grave a message is; `Off` as a setting lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Nothing is logged.
    Off,
    /// The process is about to abort.
    Emer,
    /// A high-level operation or subsystem failed.
    Err,
    /// A low-level operation failed; higher ones may recover.
    Warn,
    /// Worth having when a problem is looked into later.
    Info,
    /// For those who know the system intimately.
    Dbg,
}

impl Level {
    /// All levels, gravest first.
    pub const ALL: [Level; 6] = [Level::Off, Level::Emer, Level::Err, Level::Warn, Level::Info, Level::Dbg];

    /// The name as log lines print it.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Off => "OFF",
            Level::Emer => "EMER",
            Level::Err => "ERR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Dbg => "DBG",
        }
    }

    /// Finds a level by its name, in either case.
    pub fn parse(text: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|l| l.name().eq_ignore_ascii_case(text))
    }

    /// The severity of RFC 5424 that syslog gets.
    pub const fn syslog_severity(self) -> u8 {
        match self {
            Level::Off => 7,
            Level::Emer => 1,
            Level::Err => 3,
            Level::Warn => 4,
            Level::Info => 5,
            Level::Dbg => 7,
        }
    }

    const fn from_u8(value: u8) -> Level {
        match value {
            0 => Level::Off,
            1 => Level::Emer,
            2 => Level::Err,
            3 => Level::Warn,
            4 => Level::Info,
            _ => Level::Dbg,
        }
    }
}

/// Where a message can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The system log.
    Syslog,
    /// Standard error.
    Console,
    /// The log file.
    File,
}

impl Destination {
    /// All destinations, in the order `vlog/list-pattern` prints them.
    pub const ALL: [Destination; 3] = [Destination::Syslog, Destination::Console, Destination::File];

    /// The name as `vlog/list-pattern` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Destination::Syslog => "SYSLOG",
            Destination::Console => "CONSOLE",
            Destination::File => "FILE",
        }
    }

    /// Finds a destination by its name, in either case.
    pub fn parse(text: &str) -> Option<Destination> {
        Destination::ALL.into_iter().find(|d| d.name().eq_ignore_ascii_case(text))
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// A named part of the program whose messages can be turned up and down by themselves.
#[derive(Debug)]
pub struct Module {
    name: &'static str,
    levels: [AtomicU8; 3],
    /// The most verbose of `levels`.
    most: AtomicU8,
    honor_rate_limits: AtomicBool,
}

impl Module {
    /// The name, as in log lines.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The level down to which `destination` takes this module's messages.
    pub fn level(&self, destination: Destination) -> Level {
        Level::from_u8(self.levels[destination.index()].load(Relaxed))
    }

    /// Whether any destination wants messages of `level`.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 <= self.most.load(Relaxed)
    }

    /// Whether call sites of this module keep to their rate limits.
    pub fn honors_rate_limits(&self) -> bool {
        self.honor_rate_limits.load(Relaxed)
    }

    pub(crate) fn set_honor_rate_limits(&self, honor: bool) {
        self.honor_rate_limits.store(honor, Relaxed);
    }

    pub(crate) fn set_level(&self, destination: Destination, level: Level) {
        self.levels[destination.index()].store(level as u8, Relaxed);
        let most = self.levels.iter().map(|l| l.load(Relaxed)).max().unwrap_or(0);
        self.most.store(most, Relaxed);
    }
}

static REGISTRY: OnceLock<RwLock<Vec<&'static Module>>> = OnceLock::new();

fn registry() -> &'static RwLock<Vec<&'static Module>> {
    REGISTRY.get_or_init(RwLock::default)
}

/// All registered modules, sorted by name.
pub(crate) fn all() -> Vec<&'static Module> {
    registry().read().map(|r| r.clone()).unwrap_or_default()
}

/// Finds a registered module, in either case.
pub(crate) fn find(name: &str) -> Option<&'static Module> {
    all().into_iter().find(|m| m.name.eq_ignore_ascii_case(name))
}

/// The module called `name`; registers it at the default levels if it is new.
pub fn module(name: &str) -> &'static Module {
    let mut modules = match registry().write() {
        Ok(modules) => modules,
        Err(poisoned) => poisoned.into_inner(),
    };
    match modules.binary_search_by(|m| m.name.cmp(name)) {
        Ok(at) => modules[at],
        Err(at) => {
            let levels = settings::defaults();
            let module: &'static Module = Box::leak(Box::new(Module {
                name: Box::leak(name.to_owned().into_boxed_str()),
                levels: levels.map(|l| AtomicU8::new(l as u8)),
                most: AtomicU8::new(levels.iter().map(|l| *l as u8).max().unwrap_or(0)),
                honor_rate_limits: AtomicBool::new(true),
            }));
            modules.insert(at, module);
            module
        }
    }
}
