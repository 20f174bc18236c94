//! Dialogues: the same JSON-RPC messages to Debian's ovsdb-server and to ours, and every reply and
//! notification compared. Each file of `tests/dialogues` is one test.
//!
//! ```text
//! # schema: FILE.ovsschema        a database made from it; the first is the one of `[OPERATION,...]`
//! @ NAME = one | other            a later line with {NAME} is repeated for each
//! CLIENT [OPERATION,...]          `transact` of the first database; clients connect when first named
//! CLIENT METHOD PARAMS            a request
//! CLIENT {...}                    a message as it is
//! CLIENT raw BYTES                bytes with escapes (\n, \xNN, \\)
//! CLIENT part BYTES               the same, and nothing else is said before the next step
//! CLIENT awaited [OPERATION,...] a `transact` whose answer is waited for
//! CLIENT close
//! ! COMMAND ARGS                  a control command, DIR being the side's own directory
//! ```
//!
//! Compared is what all clients hear until each has had its answer to an echo. UUIDs that a server made
//! are numbered in the order of their appearance; the order of rows and of a table's updates is nobody's
//! promise and sorted away.

use harness::place::Place;
use harness::side::{self, Side};
use jsonrpc::text::{to_sorted_text, to_text};
use jsonrpc::{Limits, Scanner};
use libtest_mimic::{Arguments, Failed, Trial};
use regex::{Captures, Regex};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn main() {
    let arguments = Arguments::from_args();
    let folder = side::root().join("tests/dialogues");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    files.sort();
    let mut trials: Vec<Trial> = files.into_iter().map(trial).collect();
    trials.push(Trial::test("runner::there_are_dialogues", move || {
        let count = fs::read_dir(&folder)?.count();
        if count > 8 { Ok(()) } else { Err(format!("only {count} files").into()) }
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(file: PathBuf) -> Trial {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Trial::test(name.clone(), move || {
        let text = fs::read_to_string(&file)?;
        let differences = compare(&name, &text, &[Side::debian(), Side::troupe()])?;
        if differences.is_empty() { Ok(()) } else { Err(Failed::from(differences.join("\n"))) }
    })
}

/// Lines with their numbers, each `{NAME}` replaced by each of its alternatives.
fn expanded(text: &str) -> Vec<(usize, String)> {
    let mut alternatives: HashMap<String, Vec<String>> = HashMap::new();
    let mut all = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some((name, words)) = line.strip_prefix("@ ").and_then(|rest| rest.split_once(" = ")) {
            alternatives.insert(format!("{{{name}}}"), words.split(" | ").map(str::to_owned).collect());
            continue;
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut lines = vec![line.to_owned()];
        for (name, words) in alternatives.iter().filter(|(name, _)| line.contains(name.as_str())) {
            lines = lines.iter().flat_map(|line| words.iter().map(|word| line.replace(name, word))).collect();
        }
        lines.sort();
        all.extend(lines.into_iter().map(|line| (at + 1, line)));
    }
    all
}

/// A client of one server, by hand.
struct Client {
    stream: UnixStream,
    scanner: Scanner,
    fences: usize,
    closed: bool,
}

impl Client {
    fn connect(path: &Path) -> std::io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client { stream, scanner: Scanner::new(Limits::default()), fences: 0, closed: false })
    }

    fn send(&mut self, bytes: &[u8]) {
        self.closed |= self.stream.write_all(bytes).is_err();
    }

    /// What comes before the answer to an echo, and to the request `awaited`.
    fn hear(&mut self, awaited: Option<usize>) -> Vec<Value> {
        self.fences += 1;
        let id = json!(format!("fence {}", self.fences));
        self.send(json!({"method": "echo", "params": [], "id": id}).to_string().as_bytes());
        let mut heard = Vec::new();
        let mut piece = vec![0; 1 << 16];
        let mut fenced = false;
        loop {
            if fenced && awaited.is_none_or(|number| heard.iter().any(|value: &Value| value["id"] == number)) {
                return heard;
            }
            match self.scanner.next_value() {
                Ok(Some(value)) if value["id"] == id => fenced = true,
                Ok(Some(value)) => heard.push(value),
                Ok(None) => match self.stream.read(&mut piece) {
                    Ok(0) => break,
                    Ok(count) => self.scanner.feed(&piece[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        heard.push(json!("silence"));
                        break;
                    }
                    Err(_) => break,
                },
                Err(error) => {
                    heard.push(json!(error.to_string()));
                    break;
                }
            }
        }
        self.closed = true;
        heard.push(json!("closed"));
        heard
    }
}

/// One server with its clients.
struct Server {
    place: Place,
    clients: BTreeMap<String, Client>,
    database: String,
    names: HashMap<String, String>,
}

type Heard = BTreeMap<String, Vec<String>>;

impl Server {
    fn start(side: &Side, dir: &Path, schemas: &[PathBuf]) -> Result<Server, Failed> {
        let mut place = Place::new(side.clone(), dir)?;
        let mut files = Vec::new();
        for schema in schemas {
            let stem = schema.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let file = dir.join(format!("db/{stem}.db")).display().to_string();
            place.tool("ovsdb-tool", &["create", &file, &schema.display().to_string()])?;
            files.push(file);
        }
        let first: Value = serde_json::from_str(&fs::read_to_string(&schemas[0])?)?;
        place.start_server(&files.iter().map(String::as_str).collect::<Vec<_>>())?;
        let database = first["name"].as_str().unwrap_or_default().to_owned();
        Ok(Server { place, clients: BTreeMap::new(), database, names: HashMap::new() })
    }

    fn dir(&self) -> String {
        self.place.dir().display().to_string()
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, Failed> {
        if !self.clients.contains_key(name) {
            let path = self.place.run_dir().join("db.sock");
            let client = Client::connect(&path).map_err(|e| format!("{}: {name}: {e}", self.place.side.name))?;
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).ok_or_else(|| "no client".into())
    }

    /// Waits until the server has no other sessions than clients.
    fn await_sessions(&self) -> Result<(), Failed> {
        let wanted = self.clients.len();
        Ok(harness::process::until(&format!("{wanted} sessions"), LIMIT, || {
            let told = self.place.tool("ovs-appctl", &["-t", "ovsdb-server", "memory/show"]).unwrap_or_default();
            // None are not told of.
            let sessions = told.split_whitespace().find_map(|word| word.strip_prefix("sessions:"));
            told.contains("cells:") && sessions.unwrap_or("0") == wanted.to_string()
        })?)
    }

    /// Does one step and gives what everybody hears, made comparable.
    fn step(&mut self, line: &str, number: usize) -> Result<Heard, Failed> {
        let (who, what) = line.split_once(' ').unwrap_or((line, ""));
        let what = what.replace("DIR", &self.dir());
        let mut heard = BTreeMap::new();
        let mut fence = true;
        let mut awaited = None;
        let (word, rest) = what.split_once(' ').unwrap_or((&what, ""));
        match (who, word) {
            ("!", _) => {
                let outcome = self.place.shell(&format!("ovs-appctl -t ovsdb-server {what}"), LIMIT)?;
                let said = format!("{}{}{}", outcome.stdout, outcome.stderr, outcome.end).replace(&self.dir(), "DIR");
                let said = CONTROL.with(|control| control.replace_all(&said, "ovsdb-server").into_owned());
                heard.insert("!".to_owned(), vec![json!(said)]);
            }
            (_, "close") => {
                self.client(who)?;
                self.clients.remove(who);
                self.await_sessions()?;
            }
            (_, "raw" | "part") => {
                fence = word == "raw";
                self.client(who)?.send(&unescaped(rest));
            }
            _ if what.starts_with('{') => self.client(who)?.send(what.as_bytes()),
            _ => {
                let (what, waits) = what.strip_prefix("awaited ").map_or((what.as_str(), false), |rest| (rest, true));
                let (method, params) = if what.starts_with('[') {
                    ("transact", what.replacen('[', &format!("[{:?},", self.database), 1).replace(",]", "]"))
                } else {
                    (word, rest.to_owned())
                };
                let request = format!("{{\"method\":\"{method}\",\"id\":{number},\"params\":{params}}}");
                self.client(who)?.send(request.as_bytes());
                awaited = waits.then_some(number);
            }
        }
        // What one client did may reach another after that one's first answer.
        for _ in 0..if fence { 2 } else { 0 } {
            for (name, client) in &mut self.clients {
                let awaited = if name == who { awaited.take() } else { None };
                heard.entry(name.clone()).or_default().extend(client.hear(awaited));
            }
            self.clients.retain(|_, client| !client.closed);
        }
        let mut told = 0;
        let mut canonical = |values: &Vec<Value>| -> Vec<String> {
            values.iter().map(|value| comparable(value, &mut self.names, number, &mut told)).collect()
        };
        Ok(heard.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.clone(), canonical(v))).collect())
    }
}

const LIMIT: Duration = Duration::from_secs(60);

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, (byte == b'\\').then(|| bytes.next()).flatten()) {
            (b'\\', Some(b'n')) => out.push(b'\n'),
            (b'\\', Some(b't')) => out.push(b'\t'),
            (b'\\', Some(b'x')) => {
                let digits: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            (b'\\', Some(other)) => out.push(other),
            (other, _) => out.push(other),
        }
    }
    out
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}

thread_local! {
    static UUID: Regex = pattern(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}");
    /// Which of two rows an error names first hangs on hashes.
    static ROWS: Regex = pattern(r#"First (row[^"]*?)\.  Second (row[^"]*)\."#);
    static CONTROL: Regex = pattern(r"DIR/run/ovsdb-server\.\d+\.ctl");
    static MS: Regex = pattern(r"after \d+ ms");
}

fn hidden(text: &str) -> String {
    UUID.with(|uuid| uuid.replace_all(text, "U").into_owned())
}

/// Puts in order what has none. Rows, and the rows of a table's update, go by all but their UUIDs.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            members.sort_by_cached_key(|(k, v)| (hidden(k), hidden(&to_sorted_text(v))));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            let results = ["error", "uuid", "count", "rows", "op"];
            let rows = |item: &Value| item.as_object().is_some_and(|o| !results.iter().any(|r| o.contains_key(*r)));
            if items.iter().all(rows) {
                items.sort_by_cached_key(|item| hidden(&to_sorted_text(item)));
            }
            if let [Value::String(kind), Value::Array(elements)] = items.as_mut_slice()
                && matches!(kind.as_str(), "set" | "map")
                && elements.iter().any(|e| to_text(e).contains("\"uuid\""))
            {
                elements.sort_by_cached_key(to_text);
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// The text of a message with UUIDs numbered, `number.1` being the first that this step brought.
fn comparable(value: &Value, names: &mut HashMap<String, String>, number: usize, told: &mut usize) -> String {
    let mut name = |found: &Captures<'_>| {
        let known = names.entry(found[0].to_owned()).or_insert_with(|| {
            *told += 1;
            format!("<{number}.{told}>")
        });
        known.clone()
    };
    let text = to_text(&sorted(value));
    let text = ROWS.with(|rows| {
        let both = |found: &Captures<'_>| {
            let mut both = [hidden(&found[1]), hidden(&found[2])];
            both.sort();
            both.join("; ")
        };
        rows.replace_all(&text, both).into_owned()
    });
    let text = MS.with(|ms| ms.replace_all(&text, "after <t> ms").into_owned());
    let text = UUID.with(|uuid| uuid.replace_all(&text, &mut name).into_owned());
    serde_json::from_str(&text).map_or(text, |value: Value| to_sorted_text(&sorted(&value)))
}

/// Runs a dialogue on both sides; the steps that differ, each with what differs.
fn compare(name: &str, text: &str, sides: &[Side; 2]) -> Result<Vec<String>, Failed> {
    let folder = side::root().join("tests/dialogues");
    let schemas: Vec<PathBuf> =
        text.lines().filter_map(|l| l.strip_prefix("# schema: ")).map(|file| folder.join(file)).collect();
    let top = PathBuf::from(format!("/tmp/dialogues.{}", std::process::id()));
    let mut servers = Vec::new();
    for side in sides {
        servers.push(Server::start(side, &top.join(format!("{name}.{}", side.name)), &schemas)?);
    }
    let mut differences = Vec::new();
    for (number, (at, line)) in expanded(text).into_iter().enumerate() {
        let mut heard = Vec::new();
        for server in &mut servers {
            let step = server.step(&line, number + 1);
            heard.push(step.map_err(|why| format!("line {at}: {line}: {}", why.message().unwrap_or_default()))?);
        }
        if heard[0] != heard[1] {
            let told = similar::TextDiff::from_lines(&shown(&heard[0]), &shown(&heard[1])).unified_diff().to_string();
            differences.push(format!("line {at}: {line}\n{told}"));
        }
    }
    Ok(differences)
}

fn shown(heard: &Heard) -> String {
    heard.iter().flat_map(|(who, texts)| texts.iter().map(move |text| format!("{who} hears {text}\n"))).collect()
}
