//! Logging as every Open vSwitch program does it: named modules, one level for each module and destination
//! (console, syslog, file), output patterns, and a rate limit at each call site.
//!
//! Source: the manual pages ovs-appctl(8), "Logging Commands", and ovs-vswitchd(8), "Logging Options".
//! Deliberately absent: asynchronous writing (a log line is one `write`), and log replay.
//!
//! ```
//! vlog::info!("bridge", "bridge {}: added interface {} on port {}", "br0", "p1", 1);
//! // At most 5 a minute once the first 20 are gone:
//! vlog::warn_rl!("stream", 5, 20, "{}: {}", "tcp:1.2.3.4", "connection refused");
//! ```

mod control;
mod limiter;
mod modules;
mod output;
mod pattern;
mod programs;
mod settings;

pub use control::{COMMANDS, Command, command, set as set_levels};
pub use limiter::Site;
pub use modules::{Destination, Level, Module, module};
pub use output::{
    SyslogMethod, close_file, go_on_with_file, leave_file, log_file_path, open_file, reopen_file, set_console,
    set_program_name, set_subprogram, set_syslog_method, set_syslog_target,
};
pub use programs::register;
pub use settings::{set_default, set_level, set_pattern};

use std::fmt;
use std::sync::OnceLock;

/// Where the log takes its time from: wall clock microseconds since 1970, and monotonic milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Wall clock time in microseconds since the Unix epoch.
    pub wall_us: fn() -> i64,
    /// Monotonic time in milliseconds; rate limits run on it.
    pub mono_ms: fn() -> i64,
}

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// Lets the log run on the program's clock from now on. The first call wins; until then the system's clocks are read.
pub fn set_clock(clock: Clock) {
    let _ = CLOCK.set(clock);
}

// The log is the one room beside `actors::clock` that reads a clock by itself: tools have no actors.
#[allow(clippy::disallowed_methods)]
fn system_wall_us() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

#[allow(clippy::disallowed_methods)]
fn system_mono_ms() -> i64 {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn clock() -> Clock {
    CLOCK.get().copied().unwrap_or(Clock { wall_us: system_wall_us, mono_ms: system_mono_ms })
}

/// Marks the start of the program, from which `%r` counts. Called once, early.
pub fn start() {
    output::mark_start();
}

/// Writes one message of `module` at `level` to each destination that wants it. Errno-neutral, never fails.
pub fn write(module: &'static Module, level: Level, text: fmt::Arguments<'_>) {
    if module.enabled(level) {
        output::emit(module, level, text);
    }
}

/// Writes a message for a module known only at run time (a level computed from data, say).
pub fn write_to(name: &str, level: Level, text: fmt::Arguments<'_>) {
    write(module(name), level, text);
}

/// Writes a message for a module known only at run time, limited to `rate` a minute after a burst. All such messages of
/// a module share its limit, which the first of them sets.
pub fn write_limited(name: &'static str, level: Level, rate: u32, burst: u32, text: fmt::Arguments<'_>) {
    limiter::shared(name, "", rate, burst).write(level, text);
}

/// Writes a message like [`write_limited`], but of a kind that is limited apart from the module's others: the first of
/// each minute.
pub fn write_first(name: &'static str, kind: &'static str, level: Level, text: fmt::Arguments<'_>) {
    limiter::shared(name, kind, 1, 1).write(level, text);
}

/// Logs at a given [`Level`] without a rate limit: `log!(level, "module", "format", args…)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $module:expr, $($arg:tt)+) => {{
        static SITE: $crate::Site = $crate::Site::new($module);
        SITE.write($level, ::core::format_args!($($arg)+));
    }};
}

/// Logs at a given [`Level`], limited to `$rate` a minute after a burst: `log_rl!(level, "module", 5, 20, "…")`.
#[macro_export]
macro_rules! log_rl {
    ($level:expr, $module:expr, $rate:expr, $burst:expr, $($arg:tt)+) => {{
        static SITE: $crate::Site = $crate::Site::limited($module, $rate, $burst);
        SITE.write($level, ::core::format_args!($($arg)+));
    }};
}

/// Logs at `emer` without a rate limit: `emer!("module", "format", args…)`.
#[macro_export]
macro_rules! emer { ($module:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Emer, $module, $($arg)+) }; }
/// Logs at `err` without a rate limit: `err!("module", "format", args…)`.
#[macro_export]
macro_rules! err { ($module:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Err, $module, $($arg)+) }; }
/// Logs at `warn` without a rate limit: `warn!("module", "format", args…)`.
#[macro_export]
macro_rules! warn { ($module:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Warn, $module, $($arg)+) }; }
/// Logs at `info` without a rate limit: `info!("module", "format", args…)`.
#[macro_export]
macro_rules! info { ($module:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Info, $module, $($arg)+) }; }
/// Logs at `dbg` without a rate limit: `dbg!("module", "format", args…)`.
#[macro_export]
macro_rules! dbg { ($module:expr, $($arg:tt)+) => { $crate::log!($crate::Level::Dbg, $module, $($arg)+) }; }

/// Logs at `err`, rate limited: `err_rl!("module", per_minute, burst, "format", args…)`.
#[macro_export]
macro_rules! err_rl {
    ($module:expr, $rate:expr, $burst:expr, $($arg:tt)+) => {
        $crate::log_rl!($crate::Level::Err, $module, $rate, $burst, $($arg)+)
    };
}
/// Logs at `warn`, rate limited: `warn_rl!("module", per_minute, burst, "format", args…)`.
#[macro_export]
macro_rules! warn_rl {
    ($module:expr, $rate:expr, $burst:expr, $($arg:tt)+) => {
        $crate::log_rl!($crate::Level::Warn, $module, $rate, $burst, $($arg)+)
    };
}
/// Logs at `info`, rate limited: `info_rl!("module", per_minute, burst, "format", args…)`.
#[macro_export]
macro_rules! info_rl {
    ($module:expr, $rate:expr, $burst:expr, $($arg:tt)+) => {
        $crate::log_rl!($crate::Level::Info, $module, $rate, $burst, $($arg)+)
    };
}
/// Logs at `dbg`, rate limited: `dbg_rl!("module", per_minute, burst, "format", args…)`.
#[macro_export]
macro_rules! dbg_rl {
    ($module:expr, $rate:expr, $burst:expr, $($arg:tt)+) => {
        $crate::log_rl!($crate::Level::Dbg, $module, $rate, $burst, $($arg)+)
    };
}
