//! `troupe demo`: two hosts, a bridge, a ping, before one's eyes; and nothing left behind.
//!
//! The switch and each host have a network namespace named after this process; all go at the end, after ctrl-C too.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Set by ctrl-C: the demo ends at its next step.
static STOP: AtomicBool = AtomicBool::new(false);

/// Why the demo ended early.
pub enum End {
    /// By ctrl-C, or SIGTERM.
    Interrupted,
    /// A step failed.
    Failed(String),
}

impl From<String> for End {
    fn from(text: String) -> End {
        End::Failed(text)
    }
}

/// Runs one step's command. A terminal's ctrl-C reaches it too: what fails then has been interrupted.
fn output(command: &mut Command, hint: &str) -> Result<Output, End> {
    let output = command.output();
    if STOP.load(SeqCst) {
        return Err(End::Interrupted);
    }
    output.map_err(|e| End::Failed(format!("{}: {e}{hint}", command.get_program().to_string_lossy())))
}

struct Stage {
    tag: String,
    dir: PathBuf,
    switch: Option<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut switch) = self.switch.take() {
            let _ = actors::daemon::terminate(switch.id());
            let _ = switch.wait();
        }
        for end in ["s", "a", "b"] {
            let _ = Command::new("ip").args(["netns", "del", &self.ns(end)]).stderr(Stdio::null()).status();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Stage {
    fn ns(&self, end: &str) -> String {
        format!("troupe-{}-{end}", self.tag)
    }

    /// Runs a command of the host's; its output when it succeeds.
    fn run(&self, program: &str, args: &[&str]) -> Result<String, End> {
        let hint = "; the demo needs it: apt-get install iproute2 iputils-ping";
        let output = output(Command::new(program).args(args), hint)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(End::Failed(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&text).trim())))
    }

    fn ip(&self, args: &str) -> Result<String, End> {
        self.run("ip", &args.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs one of the switch's tools, which this program is under another name.
    fn tool(&self, name: &str, args: &[&str]) -> Result<String, End> {
        println!("$ {name} {}", args.join(" "));
        let own = std::env::current_exe().map_err(|e| e.to_string())?;
        let output = output(Command::new(own).arg0(name).args(args).env("OVS_RUNDIR", &self.dir), "")?;
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        print!("{text}");
        if output.status.success() { Ok(text) } else { Err(End::Failed(format!("{name} failed"))) }
    }

    fn ping(&self, count: &str) -> Result<(), End> {
        println!("$ ping -c {count} 10.0.0.2        (from host a to host b)");
        print!("{}", self.ip(&format!("netns exec {} ping -c {count} -i 0.2 -W 2 10.0.0.2", self.ns("a")))?);
        Ok(())
    }
}

/// Shows the switch at work.
pub fn demo() -> Result<(), End> {
    actors::daemon::on_interrupt(|| STOP.store(true, SeqCst));
    let tag = std::process::id().to_string();
    let dir = std::env::temp_dir().join(format!("troupe-demo-{tag}"));
    let mut stage = Stage { tag, dir, switch: None };
    std::fs::create_dir_all(&stage.dir).map_err(|e| format!("{}: {e}", stage.dir.display()))?;

    println!("== Two hosts, a and b, each with a cable to the switch\n");
    for end in ["s", "a", "b"] {
        stage.ip(&format!("netns add {}", stage.ns(end)))?;
    }
    for (end, port, address) in [("a", "port1", "10.0.0.1"), ("b", "port2", "10.0.0.2")] {
        let (host, switch) = (stage.ns(end), stage.ns("s"));
        stage.ip(&format!("link add eth0 netns {host} type veth peer name {port} netns {switch}"))?;
        stage.ip(&format!("-n {host} addr add {address}/24 dev eth0"))?;
        stage.ip(&format!("-n {host} link set eth0 up"))?;
        stage.ip(&format!("-n {switch} link set {port} up"))?;
    }

    println!("== The switch, database and all, in one process\n");
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new("ip")
        .args(["netns", "exec", &stage.ns("s")])
        .arg(own)
        .arg(format!("--dir={}", stage.dir.display()))
        .stdout(Stdio::piped())
        // It lives until the end, whatever a terminal sends.
        .process_group(0)
        .spawn()
        .map_err(|e| e.to_string())?;
    let greeting = child.stdout.take().ok_or_else(|| "no output of the switch".to_owned())?;
    stage.switch = Some(child);
    let mut lines = BufReader::new(greeting).lines();
    let first = lines.next().ok_or_else(|| "the switch did not start".to_owned())?.map_err(|e| e.to_string())?;
    println!("{first}\n");

    println!("== A bridge that joins the two cables\n");
    stage.tool("ovs-vsctl", &["add-br", "br0", "--", "add-port", "br0", "port1", "--", "add-port", "br0", "port2"])?;
    stage.tool("ovs-vsctl", &["show"])?;
    stage.tool("ovs-appctl", &["dpif/show"])?;

    println!("\n== The first packets miss the caches: each miss is translated through the flow tables,");
    println!("== answered with actions, and leaves a cached flow behind\n");
    stage.ping("1")?;
    stage.tool("ovs-appctl", &["dpif/show"])?;
    stage.tool("ovs-appctl", &["dpctl/dump-flows"])?;

    println!("\n== The next ones hit: packets and counters go up, misses do not\n");
    stage.ping("10")?;
    stage.tool("ovs-appctl", &["dpif/show"])?;
    stage.tool("ovs-appctl", &["dpctl/dump-flows"])?;
    stage.tool("ovs-appctl", &["fdb/show", "br0"])?;
    std::thread::sleep(Duration::from_millis(600));
    stage.tool("ovs-appctl", &["bridge/dump-flows", "br0"])?;

    println!("\n== Why a packet goes where it goes\n");
    let flow = "in_port=port1,icmp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2";
    stage.tool("ovs-appctl", &["ofproto/trace", "br0", flow])?;

    println!("\n== Who did it: every part is an actor with a mailbox\n");
    stage.tool("ovs-appctl", &["actor/show"])?;
    println!("\nDone. Everything the demo made is being removed.");
    Ok(())
}
