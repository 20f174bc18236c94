//! The three destinations: standard error, the system log, and the log file.
//!
//! Syslog is spoken over its socket: to `/dev/log` (`libc`) as the C library does, to another Unix socket or over UDP
//! with the priority alone before the message, and to a `--syslog-target` as RFC 5424 has it. A line is one write; a
//! destination that cannot take it loses it, for a log must never stop the program.

use crate::modules::{Destination, Level, Module};
use crate::pattern::{LOG_DAEMON, Message, expand};
use crate::settings;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// How messages reach the system log (`--syslog-method`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogMethod {
    /// `libc`: the local daemon behind `/dev/log`.
    Libc,
    /// `null`: nowhere.
    Null,
    /// `unix:FILE`: a Unix datagram socket.
    Unix(PathBuf),
    /// `udp:IP:PORT`.
    Udp(String),
}

impl SyslogMethod {
    /// Reads `libc`, `null`, `unix:FILE` or `udp:IP:PORT`.
    pub fn parse(text: &str) -> Option<SyslogMethod> {
        match text {
            "libc" => Some(SyslogMethod::Libc),
            "null" => Some(SyslogMethod::Null),
            _ => match text.split_once(':') {
                Some(("unix", path)) => Some(SyslogMethod::Unix(path.into())),
                Some(("udp", address)) => Some(SyslogMethod::Udp(address.to_owned())),
                _ => None,
            },
        }
    }
}

#[derive(Debug)]
enum Syslog {
    Unopened,
    Nowhere,
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

#[derive(Debug)]
struct Sinks {
    path: Option<PathBuf>,
    file: Option<File>,
    method: SyslogMethod,
    syslog: Syslog,
    target: Option<UdpSocket>,
}

static SINKS: Mutex<Sinks> =
    Mutex::new(Sinks { path: None, file: None, method: SyslogMethod::Libc, syslog: Syslog::Unopened, target: None });
static CONSOLE: AtomicBool = AtomicBool::new(true);
static NUMBER: AtomicU32 = AtomicU32::new(0);
static PROGRAM: OnceLock<String> = OnceLock::new();
static START_US: OnceLock<i64> = OnceLock::new();

thread_local! {
    static SUBPROGRAM: RefCell<String> = const { RefCell::new(String::new()) };
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

fn sinks() -> std::sync::MutexGuard<'static, Sinks> {
    SINKS.lock().unwrap_or_else(|p| p.into_inner())
}

pub(crate) fn mark_start() {
    START_US.get_or_init(|| (crate::clock().wall_us)());
}

/// The program's name, for `%A` and the default log file's name. The first call wins.
pub fn set_program_name(name: &str) {
    let _ = PROGRAM.set(name.to_owned());
    mark_start();
}

fn program() -> &'static str {
    PROGRAM.get().map_or("", String::as_str)
}

/// Names this thread or process for `%t` and `%T` (`monitor`, `handler1`); empty for the main one.
pub fn set_subprogram(name: &str) {
    SUBPROGRAM.with_borrow_mut(|s| name.clone_into(s));
}

/// Lets messages reach standard error, or keeps them from it.
pub fn set_console(on: bool) {
    CONSOLE.store(on, Relaxed);
}

/// Chooses the way to the system log.
pub fn set_syslog_method(method: SyslogMethod) {
    let mut sinks = sinks();
    sinks.method = method;
    sinks.syslog = Syslog::Unopened;
}

/// Sends messages over UDP to `host:port` beside the local log (`--syslog-target`).
pub fn set_syslog_target(target: &str) -> io::Result<()> {
    let socket = connect_udp(target).inspect_err(|_| {
        if let Some(fault) = fault_of_target(target) {
            crate::err!("socket_util", "{target}: {fault}");
        }
    })?;
    sinks().target = Some(socket);
    crate::warn!("vlog", "--syslog-target flag is deprecated, use --syslog-method instead");
    Ok(())
}

/// Opens the log file at `path` and logs that it did; a log file open before is closed.
pub fn open_file(path: &Path) -> io::Result<()> {
    go_on_with_file(path)?;
    crate::info!("vlog", "opened log file {}", path.display());
    Ok(())
}

/// Opens the log file at `path`, as a process does that takes the place of one that said so.
pub fn go_on_with_file(path: &Path) -> io::Result<()> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o660).open(path);
    {
        let mut sinks = sinks();
        sinks.path = Some(path.to_owned());
        sinks.file = None;
    }
    match opened {
        Ok(file) => {
            sinks().file = Some(file);
            Ok(())
        }
        Err(error) => {
            crate::warn!("vlog", "failed to open {} for logging: {}", path.display(), errno_text(&error));
            Err(error)
        }
    }
}

/// The operating system's words for an error, without Rust's "(os error N)".
fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The log file's path, if one was ever given.
pub fn log_file_path() -> Option<PathBuf> {
    sinks().path.clone()
}

/// Closes the log file and opens it anew, as after a rotation. Nothing to do without a path, or while the open file is
/// still the one at its path.
pub fn reopen_file() -> io::Result<()> {
    let Some(path) = log_file_path() else { return Ok(()) };
    let open = sinks().file.as_ref().map(File::metadata);
    if let Some(open) = open {
        if let (Ok(open), Ok(there)) = (open, std::fs::metadata(&path))
            && (open.dev(), open.ino()) == (there.dev(), there.ino())
        {
            return Ok(());
        }
        crate::info!("vlog", "closing log file");
    }
    open_file(&path)
}

/// Closes the log file and says so in it.
pub fn leave_file() {
    if sinks().file.is_some() {
        crate::info!("vlog", "closing log file");
        close_file();
    }
}

/// Closes the log file; `reopen_file` brings it back.
pub fn close_file() {
    sinks().file = None;
}

fn host() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname").map_or("-".into(), |h| h.trim().to_owned())
    })
}

pub(crate) fn emit(module: &'static Module, level: Level, text: fmt::Arguments<'_>) {
    let wall_us = (crate::clock().wall_us)();
    let wants = |d: Destination| level <= module.level(d);
    SUBPROGRAM.with_borrow(|subprogram| {
        settings::with(|s| {
            let message = Message {
                module,
                level,
                text,
                number: NUMBER.fetch_add(1, Relaxed).wrapping_add(1),
                wall_us,
                elapsed_ms: wall_us.saturating_sub(*START_US.get_or_init(|| wall_us)) / 1000,
                facility: s.facility,
                program: program(),
                host: host(),
                subprogram,
                pid: std::process::id(),
            };
            // A message whose own formatting logs finds the buffer taken, and brings its own.
            LINE.with(|line| match line.try_borrow_mut() {
                Ok(mut line) => deliver(&message, s, wants, &mut line),
                Err(_) => deliver(&message, s, wants, &mut String::new()),
            });
        });
    });
}

fn deliver(m: &Message<'_>, s: &settings::Settings, wants: impl Fn(Destination) -> bool, line: &mut String) {
    if wants(Destination::Console) && CONSOLE.load(Relaxed) {
        line.clear();
        expand(&s.patterns[Destination::Console.index()], m, line);
        line.push('\n');
        let _ = io::stderr().lock().write_all(&octets::of_text(line));
    }
    if wants(Destination::File) {
        let mut sinks = sinks();
        if let Some(file) = sinks.file.as_mut() {
            line.clear();
            expand(&s.patterns[Destination::File.index()], m, line);
            line.push('\n');
            let _ = file.write_all(&octets::of_text(line));
        }
    }
    if wants(Destination::Syslog) {
        syslog(m, &s.patterns[Destination::Syslog.index()], line);
    }
}

/// What the C library puts between priority and message.
const LIBC_PREFIX: &str = "%D{%h %e %T} %A: ";
/// A message as RFC 5424 has it: UTF-8, as the byte order mark says.
const TARGET_PATTERN: &str = "<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - \u{feff}%m";

fn syslog(m: &Message<'_>, pattern: &str, line: &mut String) {
    let mut sinks = sinks();
    if matches!(sinks.syslog, Syslog::Unopened) {
        sinks.syslog = open_syslog(&sinks.method);
    }
    if matches!(sinks.syslog, Syslog::Nowhere) && sinks.target.is_none() {
        return;
    }
    line.clear();
    let _ = write!(line, "<{}>", m.priority(LOG_DAEMON));
    if sinks.method == SyslogMethod::Libc {
        expand(LIBC_PREFIX, m, line);
    }
    let body = line.len();
    expand(pattern, m, line);
    // syslog has no multi-line messages: each line travels by itself.
    let (prefix, body) = line.split_at(body);
    for text in body.lines() {
        let datagram = format!("{prefix}{text}");
        let datagram = octets::of_text(&datagram);
        let _ = match &sinks.syslog {
            Syslog::Unix(socket) => socket.send(&datagram),
            Syslog::Udp(socket) => socket.send(&datagram),
            Syslog::Unopened | Syslog::Nowhere => Ok(0),
        };
    }
    if let Some(target) = &sinks.target {
        line.clear();
        expand(TARGET_PATTERN, m, line);
        let _ = target.send(&octets::of_text(line));
    }
}

fn open_syslog(method: &SyslogMethod) -> Syslog {
    let unix = |path: &Path| {
        UnixDatagram::unbound().and_then(|s| s.set_nonblocking(true).and_then(|()| s.connect(path)).map(|()| s))
    };
    match method {
        SyslogMethod::Null => Syslog::Nowhere,
        SyslogMethod::Libc => unix(Path::new("/dev/log")).map_or(Syslog::Nowhere, Syslog::Unix),
        SyslogMethod::Unix(path) => unix(path).map_or(Syslog::Nowhere, Syslog::Unix),
        SyslogMethod::Udp(address) => connect_udp(address).map_or(Syslog::Nowhere, Syslog::Udp),
    }
}

/// What is wrong with `host:port`, if anybody is to be told.
fn fault_of_target(target: &str) -> Option<String> {
    match target.rsplit_once(':') {
        None => Some("port must be specified".to_owned()),
        Some((_, "")) => None,
        Some((_, port)) => port.parse::<u16>().is_err().then(|| format!("bad port number \"{port}\"")),
    }
}

fn connect_udp(target: &str) -> io::Result<UdpSocket> {
    let address = target
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no such address"))?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
