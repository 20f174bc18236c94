//! The levels and patterns in force: defaults for modules not yet known, one pattern a destination.

use crate::modules::{self, Destination, Level, Module};
use std::sync::RwLock;

const SYSLOG_PATTERN: &str = "ovs|%05N|%c%T|%p|%m";
const CONSOLE_PATTERN: &str = "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m";
const FILE_PATTERN: &str = "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m";
/// What is shown as the prefix of syslog messages.
pub(crate) const SYSLOG_PREFIX: &str = "<%B> %D{%h %e %T} %E %A: ";

pub(crate) struct Settings {
    pub patterns: [String; 3],
    /// As set; each way to the system log has a default of its own.
    pub facility: Option<u8>,
    defaults: [Level; 3],
}

impl Settings {
    fn fresh() -> Settings {
        Settings {
            patterns: [SYSLOG_PATTERN.into(), CONSOLE_PATTERN.into(), FILE_PATTERN.into()],
            facility: None,
            defaults: [Level::Info; 3],
        }
    }
}

/// The facilities by number, as RFC 5424 has them; the one of private authorization has no name.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "", "ftp", "ntp", "audit",
    "alert", "clock2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

static SETTINGS: RwLock<Option<Settings>> = RwLock::new(None);

pub(crate) fn with<R>(read: impl FnOnce(&Settings) -> R) -> R {
    {
        let guard = SETTINGS.read().unwrap_or_else(|p| p.into_inner());
        if let Some(settings) = guard.as_ref() {
            return read(settings);
        }
    }
    change(|_| ());
    let guard = SETTINGS.read().unwrap_or_else(|p| p.into_inner());
    read(guard.as_ref().unwrap_or(&Settings::fresh()))
}

fn change<R>(edit: impl FnOnce(&mut Settings) -> R) -> R {
    let mut guard = SETTINGS.write().unwrap_or_else(|p| p.into_inner());
    edit(guard.get_or_insert_with(Settings::fresh))
}

pub(crate) fn defaults() -> [Level; 3] {
    with(|s| s.defaults)
}

/// Sets the level of one module, or of all that are and will be, at one destination or at all.
pub fn set_level(module: Option<&'static Module>, destination: Option<Destination>, level: Level) {
    for at in Destination::ALL.into_iter().filter(|d| destination.is_none_or(|only| only == *d)) {
        match module {
            Some(module) => module.set_level(at, level),
            None => set_default(at, level),
        }
    }
}

/// Sets the level of every module at one destination, those that register later included.
pub fn set_default(destination: Destination, level: Level) {
    change(|s| s.defaults[destination.index()] = level);
    for module in modules::all() {
        module.set_level(destination, level);
    }
}

/// Sets the pattern of one destination.
pub fn set_pattern(destination: Destination, pattern: &str) {
    change(|s| s.patterns[destination.index()] = pattern.to_owned());
}

/// Sets the syslog facility by name; false if there is none of that name.
pub(crate) fn set_facility(name: &str) -> bool {
    let found = FACILITIES.iter().position(|f| !f.is_empty() && f.eq_ignore_ascii_case(name));
    match found.and_then(|n| u8::try_from(n).ok()) {
        Some(number) => {
            // That of the kernel, which is 0, stands for the default, as in Open vSwitch.
            change(|s| s.facility = Some(number).filter(|n| *n != 0));
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facilities_have_the_numbers_of_syslog() {
        for (name, number) in [("user", Some(1)), ("clock", Some(9)), ("FTP", Some(11)), ("clock2", Some(15))] {
            assert!(set_facility(name), "{name}");
            assert_eq!(with(|s| s.facility), number, "{name}");
        }
        assert!(!set_facility("") && !set_facility("authpriv"));
        assert!(set_facility("local7") && with(|s| s.facility) == Some(23));
        assert!(set_facility("kern") && with(|s| s.facility).is_none(), "the default");
    }
}
