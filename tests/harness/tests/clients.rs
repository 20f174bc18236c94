//! Clients of the database by other makers, many at once, and what a killed server must not lose.

use harness::lab::Namespace;
use harness::place::{Place, SCHEMA};
use harness::process::{self, Daemon, End};
use harness::side::{self, Side};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

fn place() -> Place {
    place_with(&[], None)
}

/// A place whose server has further options, in a namespace.
fn place_with(options: &[&str], space: Option<&Namespace>) -> Place {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let dir = PathBuf::from(format!("/tmp/clients.{}/{number}", std::process::id()));
    let mut place = Place::new(Side::troupe(), &dir).expect("a private place");
    if let Some(space) = space {
        place.enter_namespace(space.name());
    }
    place.start_database(options).expect("a server");
    place.tool("ovs-vsctl", &["--no-wait", "init"]).expect("a root row");
    place
}

fn python(place: &Place, script: &str, args: &[&str]) -> Command {
    let mut command = place.command("/usr/bin/python3");
    command.arg(side::root().join("tests/clients").join(script)).args(args);
    command
}

#[test]
fn the_python_idl_keeps_its_rows_across_a_restart() {
    let mut place = place();
    let go_on = place.dir().join("work/go-on");
    let command = python(&place, "idl_reconnect.py", &[&place.db(), SCHEMA, &go_on.display().to_string()]);
    let said = place.dir().join("log/idl");
    let mut client = Daemon::start("idl_reconnect.py", command, &said).expect("python3-openvswitch's python3");
    let said = || std::fs::read_to_string(&said).unwrap_or_default();
    let mut heard = |words: &str| {
        let is_there = || said().ends_with(words) || client.ended().is_some();
        process::until(words, LIMIT, is_there).unwrap_or_else(|why| panic!("{why}: {}", said()));
        assert_eq!(said(), words);
    };
    heard("contents\nwritten\nlocked\n");
    place.database().expect("the server").kill();
    place.start_database(&[]).expect("the server again");
    std::fs::write(go_on, "").expect("it looks");
    place.tool("ovs-vsctl", &["--no-wait", "set", "bridge", "idl0", "external_ids:more=1"]).expect("a write");
    heard("contents\nwritten\nlocked\nreconnected\nconditions\ndone\n");
    assert_eq!(client.wait(LIMIT), End::Code(0), "{}", said());
}

/// What a monitor over WebSocket says that does `what`.
fn over_websocket(what: &str) -> String {
    // Where nobody else has ports.
    let space = Namespace::new("web").unwrap_or_else(|why| panic!("{why}"));
    let place = place_with(&["--web=8080"], Some(&space));
    let command = python(&place, "websocket.py", &["8080", what]);
    let outcome = process::run(command, &place.dir().join("tmp"), Duration::from_secs(300)).expect("python3");
    assert_eq!((outcome.stderr.as_str(), outcome.end), ("", End::Code(0)));
    outcome.stdout
}

#[test]
fn a_monitor_over_websocket() {
    assert_eq!(over_websocket("monitor"), "initial {}\nupdate3 [{'insert': {'name': 'b'}}]\n");
}

#[test]
fn a_connection_over_websocket_is_a_session() {
    let told = over_websocket("session");
    let expect = "\
lock ({'locked': True}, []) ({'locked': False}, [])
assert ([{}], [])
monitor ({}, [])
update m [{'name': 'b'}]
echo (['waits'], [])
canceled {'jsonrpc': '2.0', 'id': 'w', 'error': {'code': -32000, 'message': 'canceled', 'data': 'canceled'}}
monitor_cancel ({}, [])
web_attach ({'code': -32601, 'message': 'Method not found'}, [])
locked
unlock ({}, [])
";
    assert_eq!(told, expect);
}

#[test]
fn who_stops_reading_over_websocket_is_told_of_many_commits_at_once() {
    assert_eq!(over_websocket("stop-reading"), "many at once\n");
}

#[test]
fn a_thousand_clients_at_once() {
    let place = place();
    let socket = place.run_dir().join("db.sock").display().to_string();
    // Each side of a thousand connections needs its descriptors.
    let line = format!(
        "ulimit -n 4096; exec /usr/bin/python3 {} {socket} 1000",
        side::root().join("tests/clients/idl_many.py").display()
    );
    let outcome = place.shell(&line, LIMIT).expect("a shell");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("all saw it\n", ""));
    let shown = place.tool("ovs-vsctl", &["--no-wait", "get", "Open_vSwitch", ".", "external_ids:seen"]);
    assert_eq!(shown.expect("the server still serves"), "\"by all\"\n");
}

/// A client that speaks JSON-RPC by hand.
struct Client(UnixStream);

impl Client {
    fn connect(place: &Place) -> Option<Client> {
        let stream = UnixStream::connect(place.run_dir().join("db.sock")).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
        Some(Client(stream))
    }

    /// The reply to a transaction, or nothing if the server died.
    fn transact(&mut self, operations: Value, id: u64) -> Option<Value> {
        let request = json!({"method": "transact", "params": operations, "id": id});
        self.0.write_all(request.to_string().as_bytes()).ok()?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let got = self.0.read(&mut piece).ok().filter(|got| *got > 0)?;
            bytes.extend_from_slice(&piece[..got]);
            if let Ok(value) = serde_json::from_slice::<Value>(&bytes) {
                return Some(value);
            }
        }
    }
}

#[test]
fn no_acknowledged_durable_commit_is_lost_to_kill_9() {
    let mut place = place();
    let mut acknowledged = 0;
    let mut sent = 0;
    for round in 0..8_u64 {
        let pid = place.database().expect("the server").pid();
        let mut client = Client::connect(&place).expect("the server serves");
        // The killer strikes while commits are under way, each time at another moment.
        let (begin, begun) = std::sync::mpsc::sync_channel(1);
        let killer = std::thread::spawn(move || {
            begun.recv().expect("a first commit");
            std::thread::sleep(Duration::from_millis(37 * round));
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        });
        loop {
            sent += 1;
            let row = json!({"external_ids": ["map", [["n", sent.to_string()]]]});
            let operations = json!(["Open_vSwitch",
                {"op": "update", "table": "Open_vSwitch", "where": [], "row": row},
                {"op": "commit", "durable": true}]);
            let Some(reply) = client.transact(operations, sent) else { break };
            assert_eq!(reply["error"], Value::Null, "{reply}");
            acknowledged = sent;
            let _ = begin.try_send(());
        }
        drop(begin);
        killer.join().expect("the killer");
        place.database().expect("the server").kill();
        place.start_database(&[]).expect("the server again");
        let shown = place.tool("ovs-vsctl", &["--no-wait", "get", "Open_vSwitch", ".", "external_ids:n"]);
        let kept: u64 = shown.expect("it serves").trim().trim_matches('"').parse().expect("a number");
        assert!((acknowledged..=sent).contains(&kept), "acknowledged {acknowledged}, sent {sent}, kept {kept}");
    }
    assert!(acknowledged >= 8, "only {acknowledged} commits were made at all");
    let log = place.dir().join("db/conf.db").display().to_string();
    place.tool("ovsdb-tool", &["show-log", &log]).expect("the log is whole");
}

#[test]
fn debians_tools_read_the_file_that_ours_wrote_and_the_other_way() {
    let mut place = place();
    place.tool("ovs-vsctl", &["--no-wait", "add-br", "br0", "--", "add-port", "br0", "p1", "tag=5"]).expect("a write");
    place.database().expect("the server").kill();
    let file = place.dir().join("db/conf.db").display().to_string();
    let query = r#"["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","p1"]],"columns":["tag"]}]"#;
    let ours = place.tool("ovsdb-tool", &["query", &file, query]).expect("our ovsdb-tool");
    let theirs = place.tool("/usr/bin/ovsdb-tool", &["query", &file, query]).expect("Debian's ovsdb-tool");
    assert_eq!(ours, theirs);
    assert!(ours.contains("\"tag\":5"), "{ours}");
    let update = r#"["Open_vSwitch",{"op":"update","table":"Port","where":[["name","==","p1"]],"row":{"tag":6}}]"#;
    place.tool("/usr/bin/ovsdb-tool", &["transact", &file, update]).expect("Debian's ovsdb-tool writes");
    place.tool("/usr/bin/ovsdb-tool", &["compact", &file]).expect("Debian's ovsdb-tool compacts");
    place.start_database(&[]).expect("our server on that file");
    assert_eq!(place.tool("ovs-vsctl", &["--no-wait", "get", "port", "p1", "tag"]).expect("it serves"), "6\n");
    let served = process::until("Debian's client", Duration::from_secs(60), || {
        place
            .tool("/usr/bin/ovs-vsctl", &["--no-wait", &format!("--db={}", place.db()), "list-br"])
            .is_ok_and(|s| s == "br0\n")
    });
    served.expect("Debian's ovs-vsctl reads from our server");
}

/// A place with a switch whose bridge `br0` is a dummy.
fn switch() -> Place {
    let mut place = place();
    place.start_switch(&["--enable-dummy"]).expect("a switch");
    let bridge = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail_mode=secure"];
    place.tool("ovs-vsctl", &bridge).expect("a bridge");
    place
}

#[test]
fn hostile_openflow_peers_harm_nobody() {
    let place = switch();
    let socket = place.run_dir().join("br0.mgmt").display().to_string();
    let script = side::root().join("tests/clients/openflow_hostile.py");
    let line = format!("ulimit -n 4096; exec /usr/bin/python3 {} {socket}", script.display());
    let outcome = place.shell(&line, LIMIT).expect("a shell");
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout.ends_with("many that ask for much and do not read\nserved\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("a reader that stops was stopped\n"), "{}", outcome.stdout);
}

#[test]
fn who_sends_a_request_without_end_goes_alone() {
    let place = place();
    let (script, schema) = ("endless.py", Path::new(SCHEMA).display().to_string());
    let dir = place.dir().join("endless").display().to_string();
    let line =
        format!("exec /usr/bin/python3 {} {dir} {schema}", side::root().join("tests/clients").join(script).display());
    let outcome = place.shell(&line, LIMIT).expect("a shell");
    let lines = [
        "heaps of the C library: 0",
        "one is let go near 50 MiB: True",
        "of six there is room for: 4",
        "little has room: True",
        "another has room: None",
        "served",
    ];
    assert_eq!((outcome.stdout.lines().collect::<Vec<_>>(), outcome.stderr.as_str()), (lines.to_vec(), ""));
}
