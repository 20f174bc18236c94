//! `port/capture`: packets of a bridge's ports into a pcapng file, or as lines of text; no mirror to set up.
//!
//! ```text
//! port/capture BRIDGE [PORT...] [-c|--count N] [--duration SECONDS] [-f|--filter EXPRESSION] [-s|--snaplen OCTETS] [-w FILE]
//! ```
//!
//! It ends after so many packets, after so long (10 s unless a count or a time is given), or when whoever asked goes
//! away. There is no such command in Open vSwitch; `ovs-tcpdump` makes a mirror for the purpose.
//!
//! ```text
//! datapath ── Watch (a port's, on its thread) ── bounded channel, full: lost and counted ──> writer, a thread that may wait
//! ```

mod pcapng;
mod request;
mod watch;

use flow::odp_text;
use std::fmt::Write;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

use crate::clock;
use crate::datapath::Datapath;
use crate::mailbox::Address;
use crate::msg::datapath::PortWatch;
use crate::stream::errno_text;
use crate::switch::directory::{Directory, Shared};
use crate::unixctl::{Answer, Commands};
use flow::OdpPort;
use flow::capture_filter::Direction;
use pcapng::{Record, Writer};
use request::Request;
use watch::{Counts, Watch};

/// Packets on their way to the writer.
const PACKETS_WAITING: usize = 1024;
/// How long a datapath may take to take a watcher.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registers the command.
pub fn add(commands: &mut Commands, directory: &Shared) {
    let shared = directory.clone();
    let usage = "bridge [port...] [--count N] [--duration S] [--filter EXPR] [--snaplen N] [-w FILE]";
    commands.add_later("port/capture", usage, 1, usize::MAX, move |args| {
        let directory = shared.load_full();
        async move { capture(&directory, Request::parse(&args)?).await }
    });
}

/// A port that is watched.
struct Watched {
    name: String,
    port: OdpPort,
    datapath: Address<Datapath>,
    counts: Arc<Counts>,
}

impl Drop for Watched {
    /// However the capture ends, nobody stays at the port.
    fn drop(&mut self) {
        self.datapath.offer(PortWatch { port: self.port, watcher: None });
    }
}

async fn capture(directory: &Directory, request: Request) -> Answer {
    let names = ports_of(directory, &request)?;
    let (out, packets) = mpsc::channel(PACKETS_WAITING);
    let filter = Arc::new(request.filter.clone());
    let sink = Sink::open(&request, &names)?;
    let mut watched = Vec::new();
    for (interface, name) in (0u32..).zip(&names) {
        let entry = directory.ports.get(name).ok_or_else(|| format!("no port {name}"))?;
        let port = entry.odp.ok_or_else(|| format!("{name}: packets pass a {} port without a frame", entry.kind))?;
        let bridge = directory.bridges.get(&entry.bridge).ok_or("no such bridge")?;
        let datapath = directory.datapaths.get(&bridge.datapath).ok_or("no such datapath")?;
        let counts = Arc::new(Counts::default());
        let (filter, snaplen, out) = (filter.clone(), request.snaplen, out.clone());
        let watch = Watch { interface, filter, snaplen, out, counts: counts.clone() };
        let seat = PortWatch { port, watcher: Some(Box::new(watch)) };
        watched.push(Watched { name: name.clone(), port, datapath: datapath.address.clone(), counts });
        datapath.address.ask(seat, PATIENCE).await.map_err(|e| e.to_string())?;
    }
    // Only watchers hold the channel: without them the writer comes to its end.
    drop(out);
    let count = request.count;
    let mut writer = tokio::task::spawn_blocking(move || sink.write(packets, count));
    let sink = match request.duration_ms {
        None => (&mut writer).await,
        Some(ms) => tokio::select! {
            done = &mut writer => done,
            () = clock::sleep_real(ms) => {
                for w in &watched {
                    w.datapath.offer(PortWatch { port: w.port, watcher: None });
                }
                (&mut writer).await
            }
        },
    };
    sink.map_err(|e| e.to_string())??.end(&watched, &request)
}

/// The ports a request means: those named, or all that have a device.
fn ports_of(directory: &Directory, request: &Request) -> Result<Vec<String>, String> {
    if !directory.bridges.contains_key(&request.bridge) {
        return Err(format!("{}: no such bridge", request.bridge));
    }
    let of_bridge = |name: &String| directory.ports.get(name).is_some_and(|p| p.bridge == request.bridge);
    if let Some(unknown) = request.ports.iter().find(|name| !of_bridge(name)) {
        return Err(format!("{unknown}: no such port of bridge {}", request.bridge));
    }
    if !request.ports.is_empty() {
        return Ok(request.ports.clone());
    }
    let all = directory.ports.iter().filter(|(_, p)| p.bridge == request.bridge && p.odp.is_some());
    Ok(all.map(|(name, _)| name.clone()).collect())
}

/// Where packets go.
enum Output {
    File(Writer<BufWriter<File>>),
    Lines(String),
}

struct Sink {
    output: Output,
    names: Vec<String>,
    /// Packets written: received, sent.
    written: (u64, u64),
}

impl Sink {
    fn open(request: &Request, names: &[String]) -> Result<Sink, String> {
        let output = match &request.file {
            None => Output::Lines(String::new()),
            Some(path) => {
                let fail = |error: std::io::Error| format!("{path}: {}", errno_text(&error));
                let file = BufWriter::new(File::create(path).map_err(fail)?);
                let snaplen = u32::try_from(request.snaplen).unwrap_or(u32::MAX);
                let mut writer = Writer::begin(file, snaplen, "Troupe port/capture").map_err(fail)?;
                for name in names {
                    let description = format!("port {name} of bridge {}", request.bridge);
                    writer.interface(name, &description, &request.filter_text).map_err(fail)?;
                }
                Output::File(writer)
            }
        };
        Ok(Sink { output, names: names.to_vec(), written: (0, 0) })
    }

    /// Writes what comes until nothing more does, or `count` packets are written. On a thread that may wait.
    fn write(mut self, mut packets: mpsc::Receiver<Record>, count: Option<u64>) -> Result<Sink, String> {
        while count.is_none_or(|n| self.written.0 + self.written.1 < n) {
            let Some(record) = packets.blocking_recv() else { break };
            match &mut self.output {
                Output::File(writer) => writer.packet(&record).map_err(|e| errno_text(&e))?,
                Output::Lines(lines) => line(lines, &record, &self.names),
            }
            match record.direction {
                Direction::In => self.written.0 += 1,
                Direction::Out => self.written.1 += 1,
            }
        }
        Ok(self)
    }

    fn end(self, watched: &[Watched], request: &Request) -> Answer {
        let (received, sent) = self.written;
        let lost: u64 = watched.iter().map(|w| w.counts.lost.load(Relaxed)).sum();
        let names: Vec<&str> = watched.iter().map(|w| w.name.as_str()).collect();
        let mut out = match self.output {
            Output::Lines(lines) => lines,
            Output::File(mut writer) => {
                let now = u64::try_from(clock::wall_us()).unwrap_or(0);
                let mut ended = Ok(());
                for (interface, w) in (0u32..).zip(watched) {
                    let (matched, lost) = (w.counts.matched.load(Relaxed), w.counts.lost.load(Relaxed));
                    ended = ended.and_then(|()| writer.statistics(interface, now, matched, lost));
                }
                ended.and_then(|()| writer.finish()).map_err(|e| errno_text(&e))?;
                String::new()
            }
        };
        let _ = write!(
            out,
            "{} packets captured on {}: {received} received, {sent} sent; {lost} lost",
            received + sent,
            names.join(", ")
        );
        let _ = match &request.file {
            Some(path) => writeln!(out, "; {path}"),
            None => writeln!(out),
        };
        Ok(out)
    }
}

/// A packet as a line of text: time of day (UTC), port, way, octets, key.
fn line(out: &mut String, record: &Record, names: &[String]) {
    let (key, _) = flow::extract(&record.octets, 0);
    let seconds = record.wall_us / 1_000_000 % 86_400;
    let options = odp_text::KeyOptions::default();
    let key = odp_text::format_key(&key, None, &options);
    // What is the same for every packet says nothing.
    let key = key.split_once("eth(").map_or(key.clone(), |(_, rest)| format!("eth({rest}"));
    let name = names.get(record.interface as usize).map_or("?", String::as_str);
    let way = match record.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let _ = writeln!(
        out,
        "{:02}:{:02}:{:02}.{:06} {name:<15} {way:<3} {:>5} {key}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        record.wall_us % 1_000_000,
        record.len
    );
}
