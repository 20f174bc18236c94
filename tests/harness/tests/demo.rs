//! The program `troupe` as a newcomer meets it: its demo, whole and cut short; its start and its end; and what it says to
//! who may not run it.

use harness::lab::{Namespace, need_root, plain};
use harness::process::{self, Daemon, End};
use harness::side::Side;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

fn troupe() -> PathBuf {
    need_root().unwrap_or_else(|why| panic!("{why}"));
    Side::troupe().need("troupe").unwrap_or_else(|why| panic!("{why}"))
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// Starts the demo; what it says goes to `log`.
fn demo(log: &Path) -> Daemon {
    let mut command = process::tied(&troupe().display().to_string());
    command.arg("demo");
    Daemon::start("demo", command, log).expect("the demo starts")
}

/// What a demo of this process id has left behind.
fn left_behind(pid: u32) -> Vec<String> {
    let mark = format!("troupe-{pid}-");
    let spaces = plain(&["ip", "netns", "list"]).expect("namespaces are listed");
    let mut left: Vec<String> = spaces.lines().filter(|l| l.starts_with(&mark)).map(str::to_owned).collect();
    let dir = std::env::temp_dir().join(format!("troupe-demo-{pid}"));
    if dir.exists() {
        left.push(dir.display().to_string());
    }
    left
}

#[test]
fn the_demo_shows_the_switch_at_work_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let mut demo = demo(&log);
    let end = demo.wait(LIMIT);
    let said = said(&log);
    assert_eq!(end, End::Code(0), "{said}");
    for part in [
        "10 packets transmitted, 10 received",
        "eth_type(0x0800),ipv4(frag=no), packets:",
        "priority=0,actions=NORMAL",
        "Datapath actions: ",
        "datapath system ",
        "Done. Everything the demo made is being removed.",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert_eq!(left_behind(demo.pid()), Vec::<String>::new());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    for (at, signal) in [
        ("== Two hosts", Signal::SIGINT),
        ("== A bridge that joins the two cables", Signal::SIGINT),
        ("== The next ones hit", Signal::SIGTERM),
    ] {
        let log = dir.path().join("log");
        std::fs::write(&log, "").expect("a log");
        let mut demo = demo(&log);
        process::until(at, LIMIT, || said(&log).contains(at)).unwrap_or_else(|why| panic!("{why}:\n{}", said(&log)));
        demo.signal(signal);
        let end = demo.wait(LIMIT);
        let said = said(&log);
        assert_eq!(end, End::Code(130), "at {at}: {said}");
        assert!(said.ends_with("\nInterrupted. Everything the demo made has been removed.\n"), "at {at}: {said}");
        assert_eq!(left_behind(demo.pid()), Vec::<String>::new(), "at {at}");
    }
}

#[test]
fn the_switch_says_where_it_listens_and_ends_cleanly() {
    let space = Namespace::new("run").unwrap_or_else(|why| panic!("{why}"));
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().join("run");
        let log = dir.path().join("log");
        let program = troupe().display().to_string();
        let place = format!("--dir={}", run.display());
        let mut switch = space.start(&[&program, &place], &log).expect("it starts");
        process::until("what to type next", LIMIT, || said(&log).contains("ovs-vsctl add-br br0"))
            .unwrap_or_else(|why| panic!("{why}:\n{}", said(&log)));
        let socket = run.join("db.sock");
        assert!(said(&log).contains(&format!("listening  {}", socket.display())), "{}", said(&log));
        let vsctl = Side::debian().need("ovs-vsctl").unwrap_or_else(|why| panic!("{why}"));
        let (vsctl, database) = (vsctl.display().to_string(), format!("--db=unix:{}", socket.display()));
        space.run(&[&vsctl, &database, "--timeout=30", "add-br", "br0"]).expect("a bridge");
        assert_eq!(space.run(&[&vsctl, &database, "list-br"]).expect("bridges"), "br0\n");
        switch.signal(signal);
        assert_eq!(switch.wait(LIMIT), End::Code(0), "by {signal}: {}", said(&log));
        let left: Vec<_> = std::fs::read_dir(&run).expect("its place").flatten().map(|e| e.file_name()).collect();
        let is_kept = |name: &std::ffi::OsString| name == "conf.db" || name.to_string_lossy().starts_with('.');
        assert!(left.iter().all(is_kept), "by {signal}, only the database stays: {left:?}");
    }
}

#[test]
fn without_privilege_it_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("troupe");
    std::fs::copy(troupe(), &program).expect("a copy that everybody may run");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).expect("its place is open");
    for arg in ["run", "demo"] {
        let mut command = process::tied("setpriv");
        command.args(["--reuid=65534", "--clear-groups", &program.display().to_string(), arg]);
        let outcome = process::run(command, &std::env::temp_dir(), LIMIT).expect("it runs");
        assert_eq!(outcome.end, End::Code(1));
        assert_eq!(outcome.stdout, "");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("needs root"), "{}", outcome.stderr);
    }
}
