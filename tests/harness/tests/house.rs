//! The house rules that a machine can keep: who may depend on whom, who may name actix, tokio, sockets, clocks
//! and `unsafe`, how long a file may be, and that each says what it is.

use harness::side;
use harness::source::{self, Crate, SourceFile};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The floors of the house, lowest first: a crate may use crates of lower floors only, and those of its own
/// folder that are named with it.
const FLOORS: [&[&str]; 7] = [
    &["hashing", "octets"],
    &["packet", "sys", "jsonrpc", "vlog"],
    &["flow", "ovsdb", "user"],
    &["openflow", "l2proto", "ebpf", "idl"],
    &["dp", "ofproto"],
    &["actors"],
    &["cli", "vsctl", "ofctl", "ovsdbtools", "appctl", "pki", "troupe", "harness", "bench"],
];

/// Rooms of the house that never import each other, in either direction. The lowest floor is everybody's.
const APART: [(&str, &str); 6] = [
    ("datapath", "ofproto"),
    ("datapath", "ovsdb"),
    ("ofproto", "ovsdb"),
    ("ofproto", "datapath/dp"),
    ("ofproto", "datapath/sys"),
    ("ovsdb", "datapath"),
];

/// Folders of pure code: no actors, no sockets, no clock.
const PURE: [&str; 3] = ["datapath/", "ofproto/", "ovsdb/"];

/// The one room with `unsafe`, and with system calls among the pure folders.
const SYS: &str = "datapath/sys/";

fn crates() -> BTreeMap<String, Crate> {
    source::crates(&side::root()).expect("the workspace's metadata")
}

/// A file with its lines of code, by number.
type Lines = (SourceFile, Vec<(usize, String)>);

/// The workspace's files, read once for all tests.
fn files() -> &'static [Lines] {
    static FILES: OnceLock<Vec<Lines>> = OnceLock::new();
    FILES.get_or_init(|| {
        let files = source::files(&side::root()).expect("the workspace's files");
        files.into_iter().map(|file| (file.code(), file)).map(|(code, file)| (file, code)).collect()
    })
}

fn paths() -> impl Iterator<Item = &'static str> {
    files().iter().map(|(file, _)| file.path.as_str())
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Lines of code in files that `wanted` picks and that match `pattern`.
fn lines(pattern: &str, wanted: impl Fn(&SourceFile) -> bool) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    let mut found = Vec::new();
    for (file, code) in files().iter().filter(|(file, _)| wanted(file)) {
        let hits = code.iter().filter(|(_, line)| pattern.is_match(line));
        found.extend(hits.map(|(at, line)| format!("{}:{at}: {}", file.path, line.trim())));
    }
    found
}

/// A build script reads and writes files: it runs when the crate is made, and is no part of it.
fn is_pure(file: &SourceFile) -> bool {
    let in_place = PURE.iter().any(|folder| file.path.starts_with(folder)) && !file.path.starts_with(SYS);
    in_place && !file.is_test() && !file.path.ends_with("/build.rs")
}

#[test]
fn dependencies_point_down_only() {
    let crates = crates();
    let floor = |name: &str| FLOORS.iter().position(|names| names.contains(&name));
    let mut wrong = Vec::new();
    for (name, it) in &crates {
        let Some(own) = floor(name) else {
            wrong.push(format!("{name}: on no floor of the house: add it to FLOORS"));
            continue;
        };
        let house = it.needs.iter().filter(|need| crates.contains_key(*need));
        for need in house {
            let same_room = own == FLOORS.len() - 1;
            if floor(need).is_none_or(|other| other > own || (other == own && !same_room)) {
                wrong.push(format!("{name} → {need}"));
            }
        }
    }
    none("dependencies that do not point down", &wrong);
}

#[test]
fn rooms_apart_stay_apart() {
    let crates = crates();
    let mut wrong = Vec::new();
    for (name, it) in &crates {
        for need in &it.needs {
            let Some(other) = crates.get(need).filter(|_| !FLOORS[0].contains(&need.as_str())) else { continue };
            let meets = |from: &str, to: &str| it.folder.starts_with(from) && other.folder.starts_with(to);
            if APART.iter().any(|(from, to)| meets(from, to)) {
                wrong.push(format!("{name} → {need}"));
            }
        }
    }
    none("crates that must not know each other", &wrong);
}

#[test]
fn only_actors_depend_on_the_runtime() {
    let runtime = [
        "actix",
        "tokio",
        "tokio-openssl",
        "futures",
        "netlink-sys",
        "rtnetlink",
        "jsonrpsee",
        "hyper",
        "hyper-util",
        "http-body-util",
        "socket2",
    ];
    let mut wrong = Vec::new();
    for (name, it) in crates().iter().filter(|(name, _)| *name != "actors") {
        wrong.extend(runtime.iter().filter(|need| it.needs.contains(**need)).map(|need| format!("{name} → {need}")));
    }
    none("crates above or below actors/ that name its runtime", &wrong);
}

#[test]
fn pure_code_names_no_socket_clock_environment_or_chance() {
    let banned = r"\b(Tcp|Udp|Unix)(Stream|Listener|Socket|Datagram)\b|\b(Instant|SystemTime)::now\b|\benv::(var|args)|\b(thread_rng|getrandom|OsRng|RandomState)\b|\bthread::(spawn|sleep)\b";
    none("sockets, clocks, environment or randomness in pure crates", &lines(banned, is_pure));
    let libraries = ["rand", "getrandom", "socket2", "mio"];
    let mut wrong = Vec::new();
    for (name, it) in crates() {
        if PURE.iter().any(|folder| it.folder.starts_with(folder)) && it.folder != "datapath/sys" {
            wrong.extend(libraries.iter().filter(|need| it.needs.contains(**need)).map(|n| format!("{name} → {n}")));
        }
    }
    none("libraries of sockets or randomness in pure crates", &wrong);
}

#[test]
fn clocks_are_read_in_few_rooms() {
    let rooms = ["actors/src/clock.rs", "actors/vlog/", "bin/cli/src/clock.rs", "bin/", "datapath/sys/", "tests/"];
    let elsewhere = |file: &SourceFile| !file.is_test() && !rooms.iter().any(|room| file.path.starts_with(room));
    none("clock reads outside actors::clock and the programs", &lines(r"\b(Instant|SystemTime)::now\b", elsewhere));
}

#[test]
fn unsafe_lives_in_one_room() {
    let outside = |file: &SourceFile| !file.path.starts_with(SYS);
    none("unsafe outside datapath/sys", &lines(r"\bunsafe\s*(\{|fn|impl|extern|trait)", outside));
    let mut unproved = Vec::new();
    let block = Regex::new(r"\bunsafe\s*(\{|impl)").expect("a pattern");
    for (file, code) in files().iter().filter(|(file, _)| file.path.starts_with(SYS) && !file.is_test()) {
        let all: Vec<&str> = file.text.lines().collect();
        for (at, _) in code.iter().filter(|(_, line)| block.is_match(line)) {
            let before = &all[at.saturating_sub(9)..*at];
            if !before.iter().any(|line| line.contains("SAFETY:")) {
                unproved.push(format!("{}:{at}", file.path));
            }
        }
    }
    none("unsafe without a SAFETY line before it", &unproved);
}

#[test]
fn every_queue_has_a_size() {
    let programs = |file: &SourceFile| !file.path.starts_with("tests/");
    let banned = r"\.do_send\(|\bunbounded_channel\b|\bmpsc::unbounded\b|\bunbounded\(\)|\bmpsc::channel\(\)";
    none("do_send or unbounded queues", &lines(banned, programs));
}

/// Files of programs that are no tests, by whatever name.
fn is_program(file: &SourceFile) -> bool {
    !file.is_test() && !file.path.ends_with("_test.rs") && !file.path.starts_with("tests/")
}

#[test]
fn nothing_panics_where_input_may_reach() {
    // A scanner's `expect`, which returns a `Result`, has another receiver.
    let banned = r"\.unwrap\(\)|\.unwrap_err\(\)|\.expect\(\)(;|\.|,|\))|\bpanic!|\bget_unchecked";
    let mut found = lines(banned, is_program);
    found.retain(|line| !line.contains("scan.expect()") && !line.contains("self.expect()"));
    // `actor/panic`, which tests the supervision, is asked to.
    found.retain(|line| !line.starts_with("actors/src/supervise/desk.rs:"));
    none("panics in programs", &found);
}

#[test]
fn nothing_is_left_undone() {
    let banned = r"\b(todo|unimplemented)!|#\[ignore";
    none("stubs and ignored tests", &lines(banned, |_| true));
    none("code that nobody uses", &lines(r"allow\((dead_code|unused)", is_program));
}

#[test]
fn names_come_from_the_dictionary() {
    let banned = r"\b(struct|enum|trait|mod|type)\s+\w*(Manager|Helper|Util|Utils|Data|utils?|misc)\b";
    none("names that say nothing", &lines(banned, is_program));
}

/// Lines of the longest function that a reader is asked to read at once.
const FUNCTION_LINES: usize = 100;

#[test]
fn functions_are_of_a_readable_length() {
    let head = Regex::new(r"^(\s*)(pub(\([^)]*\))? )?(const )?(async )?(unsafe )?fn \w+").expect("a pattern");
    let mut long = Vec::new();
    for (file, _) in files() {
        let all: Vec<&str> = file.text.lines().collect();
        for (at, line) in all.iter().enumerate() {
            let Some(found) = line.contains("fn ").then(|| head.captures(line)).flatten() else { continue };
            let end = format!("{}}}", &found[1]);
            let length = all[at..].iter().position(|line| *line == end).unwrap_or(0) + 1;
            if length > FUNCTION_LINES {
                long.push(format!("{}:{}: {length} lines", file.path, at + 1));
            }
        }
    }
    none(&format!("functions over {FUNCTION_LINES} lines"), &long);
}

#[test]
fn files_are_of_a_readable_length() {
    let long = files().iter().map(|(file, _)| (file.text.lines().count(), &file.path)).filter(|(n, _)| *n > 800);
    none("files over 800 lines", &long.map(|(n, path)| format!("{path}: {n}")).collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = files().iter().filter(|(file, _)| !file.text.trim_start().starts_with("//!"));
    none("modules without //!", &silent.map(|(file, _)| file.path.clone()).collect::<Vec<_>>());
}

#[test]
fn programs_and_commands_are_small_files() {
    let long = files().iter().filter(|(file, _)| file.path.starts_with("bin/programs/src/"));
    let long = long.map(|(file, code)| (code.len(), &file.path)).filter(|(n, _)| *n > 160);
    none("programs that grew", &long.map(|(n, path)| format!("{path}: {n}")).collect::<Vec<_>>());
}

#[test]
fn the_map_names_what_is_there() {
    let named =
        Regex::new(r"`([A-Za-z_./-]+\.(?:rs|py|toml|txt)|(?:actors|bin|datapath|ofproto|ovsdb|tests)/[a-z_/-]+)`");
    let named = named.expect("a pattern");
    let root = side::root();
    let mut wrong = Vec::new();
    for page in ["README.md", "ARCHITECTURE.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        for name in named.captures_iter(&text).map(|found| found[1].to_owned()) {
            let is_there = root.join(&name).exists() || paths().any(|path| path.ends_with(&format!("/{name}")));
            let is_module = paths().any(|path| path.contains(&format!("/{name}/")));
            if !is_there && !is_module {
                wrong.push(format!("{page}: {name}"));
            }
        }
    }
    none("places that are not there", &wrong);
}

#[test]
fn every_test_is_run() {
    let run = std::fs::read_to_string(side::root().join("tests/run")).expect("tests/run");
    let ours = paths().filter_map(|path| path.strip_prefix("tests/harness/tests/")).filter(|path| !path.contains('/'));
    let stems = ours.map(|path| path.trim_end_matches(".rs").to_owned());
    let missing: Vec<String> = stems.filter(|stem| !run.contains(&format!("--test {stem}"))).collect();
    none("tests that tests/run does not name", &missing);
}

#[test]
fn the_top_of_the_tree_needs_no_explanation() {
    let known = ["actors", "bin", "datapath", "ofproto", "ovsdb", "tests", "target"];
    let files = ["Cargo.toml", "Cargo.lock", "README.md", "ARCHITECTURE.md", "LICENSE", "clippy.toml", "rustfmt.toml"];
    let entries = std::fs::read_dir(side::root()).expect("the top of the tree");
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let odd = names
        .filter(|name| !name.starts_with('.') && !known.contains(&name.as_str()) && !files.contains(&name.as_str()));
    none("at the top of the tree", &odd.collect::<Vec<_>>());
    for file in ["README.md", "ARCHITECTURE.md", "LICENSE"] {
        assert!(side::root().join(file).is_file(), "{file} is missing");
    }
}
