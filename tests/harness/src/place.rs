//! A private place for one set of daemons: run, log, database and configuration directories, the programs of
//! one side first on the path, and the daemons themselves. Dropped, it ends all that runs in it.

use crate::process::{self, Daemon, Outcome};
use crate::side::{PROGRAMS, Side};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The schema both sides make their databases from: the one Debian's package installs.
pub const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The longest a daemon may take to serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A script on the path of every scenario: repeats a command until it succeeds, two thousand times at most, about a
/// minute: a relay waits half of one before it tells that its source is gone.
const AWAIT: &str = "#!/bin/sh\ni=0\nwhile [ $i -lt 2000 ]; do\n  sh -c \"$*\" >/dev/null 2>&1 && exit 0\n  \
                     sleep 0.02; i=$((i + 1))\ndone\necho \"await: in vain: $*\"; exit 1\n";

/// Another: repeats a command until it has said the same nine times running. For effects that nothing announces; on a busy
/// machine the command itself takes longer, and so does the wait. Each time every program that serves a control socket here
/// is asked first, so that none that is kept from running passes for calm.
const CALM: &str = "#!/bin/sh\ni=0 same=0 last=\nwhile [ $same -lt 8 ] && [ $i -lt 500 ]; do\n  \
                    for ctl in $OVS_RUNDIR/*.ctl $PWD/*.ctl; do [ -S $ctl ] && ovs-appctl -t $ctl version; done >/dev/null 2>&1\n  \
                    now=$(sh -c \"$*\" 2>&1)\n  \
                    if [ \"$now\" = \"$last\" ]; then same=$((same + 1)); else same=0 last=$now; fi\n  \
                    sleep 0.05; i=$((i + 1))\ndone\n[ $same -ge 8 ] || { echo \"calm: in vain: $*\"; exit 1; }\n";

/// One private place.
#[derive(Debug)]
pub struct Place {
    /// The side whose programs are used.
    pub side: Side,
    dir: PathBuf,
    within: Vec<String>,
    database: Option<Daemon>,
    switch: Option<Daemon>,
    kept: bool,
}

impl Place {
    /// Makes the directories and the path of programs below `dir`, which is this place's alone: whatever is there was left by a
    /// process of the same number that was killed.
    pub fn new(side: Side, dir: &Path) -> io::Result<Place> {
        if dir.exists() {
            process::end_all_below(dir);
            fs::remove_dir_all(dir)?;
        }
        for sub in ["run", "log", "db", "etc/openvswitch", "work", "bin", "tmp"] {
            made(&dir.join(sub))?;
        }
        for program in PROGRAMS {
            let link = dir.join("bin").join(program);
            match side.find(program) {
                Some(path) => std::os::unix::fs::symlink(path, link)?,
                // Without this the other side's program would be found further down the path, and equal itself.
                None => script(&link, &format!("#!/bin/sh\necho >&2 {program}: not built; exit 127\n"))?,
            }
        }
        script(&dir.join("bin/await"), AWAIT)?;
        script(&dir.join("bin/calm"), CALM)?;
        Ok(Place { side, dir: dir.to_owned(), within: Vec::new(), database: None, switch: None, kept: false })
    }

    /// Runs everything from now on inside the network namespace `name`.
    pub fn enter_namespace(&mut self, name: &str) {
        self.within = ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
    }

    /// Has all that is run from now on, in a namespace entered before, see `file` where `over` is.
    pub fn put_over(&mut self, file: &Path, over: &str) {
        let bind = format!("mount --bind {} {over} && exec \"$@\"", file.display());
        self.within.extend(["sh", "-c", &bind, "sh"].map(str::to_owned));
    }

    /// The top of the place.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of sockets and pidfiles.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The database's socket, as a tool names it.
    pub fn db(&self) -> String {
        format!("unix:{}", self.run_dir().join("db.sock").display())
    }

    /// Keeps the directory when the place is dropped, for a reader.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// A command of this place: `program` is looked for among the side's programs first.
    pub fn command(&self, program: &str) -> Command {
        let own = self.dir.join("bin").join(program);
        let program = if own.exists() { own.display().to_string() } else { program.to_owned() };
        let outer: Vec<&str> = self.within.iter().map(String::as_str).collect();
        let mut command = process::tied_within(&outer, &program);
        self.dress(&mut command);
        command
    }

    /// Gives `command` the environment of this place and nothing else.
    pub fn dress(&self, command: &mut Command) {
        let dir = |sub: &str| self.dir.join(sub);
        let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", dir("bin").display());
        command.env_clear().current_dir(dir("work"));
        command.envs([("PATH", path.as_str()), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("HOME", "/root")]);
        command.envs([
            ("OVS_RUNDIR", dir("run")),
            ("OVS_LOGDIR", dir("log")),
            ("OVS_DBDIR", dir("db")),
            ("OVS_SYSCONFDIR", dir("etc")),
            ("TMPDIR", dir("tmp")),
        ]);
    }

    /// Runs one line by `sh -c`.
    pub fn shell(&self, line: &str, limit: Duration) -> io::Result<Outcome> {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        process::run(command, &self.dir.join("tmp"), limit)
    }

    /// Runs a program of this place; its output, or an error that shows all it said.
    pub fn tool(&self, program: &str, args: &[&str]) -> Result<String, String> {
        let mut command = self.command(program);
        command.args(args);
        let outcome = process::run(command, &self.dir.join("tmp"), Duration::from_secs(120))
            .map_err(|error| format!("{program}: {error}"))?;
        if outcome.ok() {
            return Ok(outcome.stdout);
        }
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        Err(format!("{program} {}: {}\n{said}", args.join(" "), outcome.end))
    }

    /// Makes an empty configuration database with the side's own tool, if there is none.
    pub fn create_database(&self) -> Result<(), String> {
        let path = self.dir.join("db/conf.db").display().to_string();
        if Path::new(&path).exists() {
            return Ok(());
        }
        self.tool("ovsdb-tool", &["create", &path, SCHEMA]).map(drop)
    }

    /// Starts the database server on `conf.db`, made if missing, with `more` options.
    pub fn start_database(&mut self, more: &[&str]) -> Result<(), String> {
        self.create_database()?;
        let path = self.dir.join("db/conf.db").display().to_string();
        let args: Vec<&str> = more.iter().copied().chain([path.as_str()]).collect();
        self.start_server(&args)
    }

    /// Starts a database server on the databases, and with the options, that `more` names.
    pub fn start_server(&mut self, more: &[&str]) -> Result<(), String> {
        let remote = format!("--remote=p{}", self.db());
        let mut args = vec![remote.as_str(), "--no-chdir", "--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off"];
        args.extend_from_slice(more);
        self.database = Some(self.start("ovsdb-server", &args, "db.sock")?);
        Ok(())
    }

    /// Starts the switch on the database, with `more` options.
    pub fn start_switch(&mut self, more: &[&str]) -> Result<(), String> {
        let db = self.db();
        let mut args = vec!["--no-chdir", "--pidfile", "--log-file", "-vconsole:off", "-vsyslog:off"];
        args.extend_from_slice(more);
        args.push(&db);
        self.switch = Some(self.start("ovs-vswitchd", &args, "")?);
        Ok(())
    }

    /// Starts a daemon in the foreground; returns when its control socket, and `socket` if named, is there.
    fn start(&self, name: &str, args: &[&str], socket: &str) -> Result<Daemon, String> {
        self.side.need(name)?;
        let mut command = self.command(name);
        command.args(args);
        let log = self.dir.join("log").join(format!("{name}.err"));
        let _ = fs::remove_file(self.run_dir().join(format!("{name}.pid")));
        let mut daemon = Daemon::start(name, command, &log).map_err(|error| format!("{name}: {error}"))?;
        let control = self.run_dir().join(format!("{name}.{}.ctl", daemon.pid()));
        let socket = self.run_dir().join(socket);
        let served = process::until(&format!("{name} to serve"), START_LIMIT, || {
            (answers(&control) && socket.exists()) || daemon.ended().is_some()
        });
        match (served, daemon.ended()) {
            (Ok(()), None) => Ok(daemon),
            (why, end) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let why = end.map_or_else(|| why.err().unwrap_or_default(), |end| end.to_string());
                Err(format!("{name} did not start: {why}\n{said}"))
            }
        }
    }

    /// The database server, if started.
    pub fn database(&mut self) -> Option<&mut Daemon> {
        self.database.as_mut()
    }

    /// The switch, if started.
    pub fn switch(&mut self) -> Option<&mut Daemon> {
        self.switch.as_mut()
    }

    /// Process ids of the daemons of this place, for masking.
    pub fn pids(&self) -> Vec<u32> {
        self.database.iter().chain(&self.switch).map(Daemon::pid).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.switch = None;
        self.database = None;
        process::end_all_below(&self.dir);
        if !self.kept {
            let _ = fs::remove_dir_all(&self.dir);
            // The folder of all places of this process goes with the last of them.
            let _ = self.dir.parent().map(fs::remove_dir);
        }
    }
}

/// Makes a directory and those above it, of which the last place to go may just have removed one.
fn made(dir: &Path) -> io::Result<()> {
    for _ in 0..100 {
        match fs::create_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => return outcome,
        }
    }
    fs::create_dir_all(dir)
}

fn script(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// What a script of `tests/clients` says on one side: in new namespaces as unshare(1) takes them, in a directory of its own,
/// with `args` behind its name.
///
/// # Errors
/// Those of making the directory and of starting a shell.
pub fn script_said(side: Side, name: &str, namespaces: &str, args: &str) -> io::Result<String> {
    let dir = PathBuf::from(format!("/tmp/{name}.{}/{}", std::process::id(), side.name));
    let place = Place::new(side, &dir)?;
    let script = crate::side::root().join(format!("tests/clients/{name}.sh"));
    let line = format!("exec unshare {namespaces} bash {} {args}", script.display());
    let outcome = place.shell(&line, Duration::from_secs(600))?;
    Ok(format!("{}{}", outcome.stdout, outcome.stderr))
}

/// Whether somebody listens at a socket, and not only binds it. Of one whose path is too long for an address, whether it is
/// there.
fn answers(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::InvalidInput && socket.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_of_this_number_left_is_no_hindrance() {
        let top = PathBuf::from(format!("/tmp/place.{}", std::process::id()));
        let mut first = Place::new(Side::debian(), &top.join("0")).unwrap();
        first.keep();
        let mut left = first.command("sleep").arg("1000").spawn().unwrap();
        drop(first.create_database());
        // As if it had never been dropped.
        std::mem::forget(first);
        let second = Place::new(Side::debian(), &top.join("0")).unwrap();
        assert!(!second.dir().join("db/conf.db").exists());
        assert!(left.wait().is_ok_and(|status| !status.success()), "what ran there has ended");
        drop(second);
        assert!(!top.exists());
    }

    #[test]
    fn places_come_while_others_go() {
        let top = PathBuf::from(format!("/tmp/places.{}", std::process::id()));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let dir = top.join(number.to_string());
                scope.spawn(move || (0..200).for_each(|_| drop(Place::new(Side::debian(), &dir).unwrap())));
            }
        });
        assert!(!top.exists());
    }
}
