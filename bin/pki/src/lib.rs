//! ovs-pki: a small certificate authority.
//!
//! Two authorities, one that certifies switches and one that certifies controllers, each a directory of
//! the layout that `openssl ca` works with, so that either program can go on where the other ended.
//! Source: ovs-pki(8). EC keys (`--key=ec`, curve P-256) are an addition.

mod authority;
mod files;
mod fingerprint;
mod keys;
mod line;
mod request;

use cli::program::{Program, eprintln_quiet, flush_stdout, print};
use keys::KeyKind;
use line::Wish;
use std::io::BufRead;

/// Why a command fails.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// With this text, which the program's name precedes.
    Text(String),
    /// With this exit code; what there was to say is said.
    Exit(i32),
}

pub(crate) type Outcome<T> = Result<T, Failure>;

pub(crate) fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure::Text(text.into()))
}

impl From<openssl::error::ErrorStack> for Failure {
    fn from(error: openssl::error::ErrorStack) -> Failure {
        Failure::Text(format!("OpenSSL failed ({error})"))
    }
}

/// What the options ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub key: KeyKind,
    pub bits: u32,
    dsaparam: Option<String>,
    /// The directory of the infrastructure.
    pub dir: String,
    pub force: bool,
    pub batch: bool,
    pub unique: bool,
    log: String,
}

impl Settings {
    /// What holds where nothing is said, with the infrastructure in `dir`.
    fn new(dir: String) -> Settings {
        Settings {
            key: KeyKind::Rsa,
            bits: 2048,
            dsaparam: None,
            dir,
            force: false,
            batch: false,
            unique: false,
            log: format!("{}/ovs-pki.log", cli::dirs::logdir()),
        }
    }

    /// The file of DSA parameters.
    pub fn dsaparam(&self) -> String {
        self.dsaparam.clone().unwrap_or_else(|| format!("{}/dsaparam.pem", self.dir))
    }

    /// Makes the log's directory.
    fn make_room_for_log(&self) -> Outcome<()> {
        let dir = std::path::absolute(&self.log).ok().and_then(|log| Some(log.parent()?.to_owned()));
        let Some(dir) = dir.filter(|dir| !dir.is_dir()) else { return Ok(()) };
        let above = dir.parent().unwrap_or(&dir).to_string_lossy().into_owned();
        let dir = dir.to_string_lossy();
        if files::make_dir(&above, 0o777).and_then(|()| files::make_dir(&dir, 0o750)).is_err() {
            return fail(format!("log directory {dir} does not exist and cannot be created"));
        }
        Ok(())
    }

    /// Finds out whether there can be a log: Open vSwitch's ovs-pki does nothing without one.
    pub fn open_log(&self) -> Outcome<()> {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(&self.log);
        opened.map(|_| ()).map_err(|error| {
            let log = std::path::absolute(&self.log).unwrap_or_else(|_| (&self.log).into());
            eprintln_quiet(&format!("cannot create {}: {}", log.display(), cli::program::strerror(&error)));
            Failure::Exit(2)
        })
    }

    /// Tells the log what was done.
    pub fn note(&self, text: &str) {
        files::append(&self.log, &format!("{text}\n"));
    }

    /// Refuses to write over a file that is there.
    pub fn must_not_exist(&self, path: &str) -> Outcome<()> {
        if !self.force && std::path::Path::new(path).exists() {
            return fail(format!("{path} already exists and --force not supplied"));
        }
        Ok(())
    }
}

fn usage(argv0: &str) -> String {
    let dir = default_dir();
    format!(
        "ovs-pki, for managing a simple OpenFlow public key infrastructure 
usage: {argv0} [OPTION...] COMMAND [ARG...]

The valid stand-alone commands and their arguments are:
  init                 Initialize the PKI
  req NAME             Create new private key and certificate request
                       named NAME-privkey.pem and NAME-req.pem, resp.
  sign NAME [TYPE]     Sign switch certificate request NAME-req.pem,
                       producing certificate NAME-cert.pem
  req+sign NAME [TYPE] Combine the above two steps, producing all three files.
  verify NAME [TYPE]   Checks that NAME-cert.pem is a valid TYPE certificate
  fingerprint FILE     Prints the fingerprint for FILE
  self-sign NAME       Sign NAME-req.pem with NAME-privkey.pem,
                       producing self-signed certificate NAME-cert.pem
Each TYPE above is a certificate type: 'switch' (default) or 'controller'.

Options for 'init', 'req', and 'req+sign' only:
  -k, --key=rsa|dsa    Type of keys to use (default: rsa)
  -B, --bits=NBITS     Number of bits in keys (default: 2048).  For DSA keys,
                         this has an effect only on 'init'.
  -D, --dsaparam=FILE  File with DSA parameters (DSA only)
                         (default: dsaparam.pem within PKI directory)
Options for use with the 'sign' command:
  -b, --batch          Skip fingerprint verification
Options that apply to any command:
  -d, --dir=DIR        Directory where the PKI is located
                         (default: {dir})
  -f, --force          Continue even if file or directory already exists
  -l, --log=FILE       Log openssl output to FILE (default: ovs-log.log)
  -u, --unique         NAME is unique (don't append UUID/date)
  -h, --help           Print this usage message.
  -V, --version        Display version information.
"
    )
}

fn default_dir() -> String {
    match std::env::var("OVS_PKIDIR") {
        Ok(dir) if !dir.is_empty() => dir,
        _ => "/var/lib/openvswitch/pki".to_string(),
    }
}

/// Runs ovs-pki and gives its exit code.
#[must_use]
pub fn main() -> i32 {
    let program = Program::from_env("ovs-pki");
    let argv0 = own_path(&program.argv0);
    match run(&program, &argv0) {
        Ok(()) => {
            flush_stdout();
            0
        }
        Err(Failure::Exit(code)) => code,
        Err(Failure::Text(text)) => {
            flush_stdout();
            eprintln_quiet(&format!("{argv0}: {text}"));
            1
        }
    }
}

fn run(program: &Program, argv0: &str) -> Outcome<()> {
    match line::parse(&program.args)? {
        Wish::Help => print(&usage(argv0)),
        Wish::Version => print(&program.version_text("")),
        Wish::Command(settings, command, args) => return obey(&settings, &command, &args),
    }
    Ok(())
}

/// The path by which the program was found, which a script would call itself.
fn own_path(argv0: &str) -> String {
    if argv0.contains('/') {
        return argv0.to_owned();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let mut found = path.split(':').map(|dir| format!("{dir}/{argv0}"));
    found.find(|path| std::path::Path::new(path).is_file()).unwrap_or_else(|| argv0.to_owned())
}

fn one_argument<'a>(command: &str, args: &'a [String]) -> Outcome<&'a str> {
    match args {
        [only] | [only, _] if !only.is_empty() && args[1..].iter().all(String::is_empty) => Ok(only),
        _ => fail(format!("{command} must have exactly one argument; use --help for help")),
    }
}

/// The authority that certifies a type.
fn authority_for(kind: &str) -> Outcome<&'static str> {
    match kind {
        "switch" => Ok("switchca"),
        "controller" => Ok("controllerca"),
        _ => fail("type argument must be 'switch' or 'controller'"),
    }
}

/// A name and which authority it is about: `switchca` unless told otherwise.
fn name_and_type<'a>(command: &str, args: &'a [String]) -> Outcome<(&'a str, &'static str)> {
    match args {
        [name] if !name.is_empty() => Ok((name, "switchca")),
        [name, kind] if !name.is_empty() && kind.is_empty() => Ok((name, "switchca")),
        [name, kind] if !name.is_empty() => Ok((name, authority_for(kind)?)),
        _ => fail(format!("{command} must have one or two arguments; use --help for help")),
    }
}

fn obey(settings: &Settings, command: &str, args: &[String]) -> Outcome<()> {
    settings.make_room_for_log()?;
    if command != "init" {
        settings.open_log()?;
    }
    match command {
        "init" => authority::init(settings),
        "req" => {
            let name = one_argument(command, args)?;
            request::make(settings, name)?;
            fingerprint::show(&format!("{name}-req.pem"))
        }
        "sign" => {
            let (name, ca) = name_and_type(command, args)?;
            let request = format!("{name}-req.pem");
            fingerprint::show(&request)?;
            if !settings.batch {
                ask()?;
            }
            settings.must_not_exist(&format!("{name}-cert.pem"))?;
            authority::sign(settings, ca, name)
        }
        "req+sign" => {
            let (name, ca) = name_and_type(command, args)?;
            authority::must_be_there(settings)?;
            for file in ["privkey", "req", "cert"] {
                settings.must_not_exist(&format!("{name}-{file}.pem"))?;
            }
            request::make(settings, name)?;
            authority::sign(settings, ca, name)?;
            fingerprint::show(&format!("{name}-req.pem"))
        }
        "verify" => {
            if let Some(name) = args.first().filter(|name| !name.is_empty()) {
                files::must_exist(&format!("{name}-cert.pem"))?;
            }
            let (name, ca) = name_and_type(command, args)?;
            authority::verify(settings, ca, name)
        }
        "fingerprint" => fingerprint::show(one_argument(command, args)?),
        "self-sign" => request::self_sign(settings, one_argument(command, args)?),
        _ => {
            const KNOWN: [&str; 7] = ["init", "req", "sign", "req+sign", "verify", "fingerprint", "self-sign"];
            let hint = cli::near::hint(command, KNOWN);
            let separator = if hint.is_empty() { "" } else { "\n" };
            fail(format!("{command} command unknown; use --help for help{separator}{hint}"))
        }
    }
}

/// Has the user compare the fingerprint with the one that `req` printed.
fn ask() -> Outcome<()> {
    print("Does fingerprint match? (yes/no)\n");
    flush_stdout();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    // A line that does not end is no answer.
    let answer = answer.strip_suffix('\n').filter(|_| read.is_ok());
    match answer.map(|line| line.trim_matches([' ', '\t'])) {
        Some("yes") => Ok(()),
        Some(_) => {
            eprintln_quiet("Match failure, aborting");
            Err(Failure::Exit(1))
        }
        None => Err(Failure::Exit(1)),
    }
}
