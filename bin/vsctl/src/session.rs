//! From the commands to the database and back: connect, build the transaction, commit, wait, print.

use crate::context::Context;
use crate::line::Line;
use crate::need::Need;
use crate::{Failure, Outcome, fail};
use cli::groups::{TableStyle, TlsSettings};
use cli::program::{Program, flush_stdout, print, strerror};
use cli::rpc::Rpc;
use cli::stream::{self, Settings};
use idl::vswitch::{Interface, OpenvSwitch};
use idl::{Client, Interests, Replica, Status, Transaction};
use ovsdb::symbols::SymbolTable;
use ovsdb::{DatabaseSchema, Uuid, UuidSource};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::time::Duration;

/// What the options ask for.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The remotes to try, parted by commas.
    pub db: String,
    /// Whether to wait for ovs-vswitchd.
    pub wait: bool,
    /// Whether to try until the server can be reached.
    pub retry: bool,
    pub dry_run: bool,
    pub oneline: bool,
    pub style: TableStyle,
    pub tls: TlsSettings,
}

/// The command line with each word quoted that needs it.
pub(crate) fn quoted(program: &Program) -> String {
    let words = std::iter::once(&program.argv0).chain(&program.args);
    let quoted = words.map(|word| {
        let plain = !word.is_empty() && !word.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '"', '\\']);
        if plain { word.clone() } else { format!("{word:?}") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The name of the program that called this one.
fn caller() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The parent's number is the second word after the name, which is in parentheses.
    let parent = status.rsplit(')').next()?.split_whitespace().nth(1)?.to_string();
    let command = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
    let first = command.split(|byte| *byte == 0).next()?;
    let name = String::from_utf8_lossy(first).rsplit('/').next()?.to_string();
    (!name.is_empty()).then_some(name)
}

/// Random bits for the names of rows to be.
fn uuid_source() -> UuidSource {
    let mut seed = [0; 16];
    if std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed)).is_err() {
        seed = cli::clock::wall().as_nanos().to_be_bytes();
    }
    UuidSource::new(u128::from_be_bytes(seed))
}

/// Runs the commands and gives the exit code.
pub(crate) fn run(program: &Program, session: &Session, lines: &mut [Line], called_as: &str) -> i32 {
    match try_run(program, session, lines, called_as) {
        Ok(()) => 0,
        Err(Failure::Exit(code)) => code,
        Err(Failure::Text(text)) => program.fatal(&text),
        Err(Failure::NotYet) => program.fatal("gave up waiting"),
    }
}

fn try_run(program: &Program, session: &Session, lines: &mut [Line], called_as: &str) -> Outcome<()> {
    // The schema that this program was made with tells what the commands mean, so that the server
    // need not be asked for its own.
    let schema = ovsdb::vswitch::vswitch_schema();
    let mut interests = interests_of(&schema, session, lines)?;
    let mut link = Link::open(session)?;
    if !link.watch(schema.clone(), interests.clone())? {
        // The server's is another one. What it lacks has its default in every row, and cannot be written.
        for line in interests.restrict(&link.fetch_schema()?) {
            vlog::warn!("ovsdb_idl", "{line}");
        }
        if !link.watch(schema, interests)? {
            // A server that knows no way to monitor is as good as none.
            return fail(format!("{}: database connection failed ()", session.db));
        }
    }
    let comment = match caller() {
        Some(caller) => format!("{} (invoked by {caller}): {called_as}", program.name),
        None => format!("{}: {called_as}", program.name),
    };
    let done = loop {
        match attempt(&mut link, session, lines, &comment) {
            Ok(Some(done)) => break done,
            Ok(None) => {}
            Err(Failure::NotYet) => link.wait()?,
            Err(failure) => return Err(failure),
        }
    };
    for line in lines.iter_mut() {
        if let Some(row) = line.created {
            let real = done.inserted.iter().find(|(old, _)| *old == row).map_or(row, |(_, new)| *new);
            line.say(&real.to_string());
        }
    }
    output(session, lines);
    if let Some(target) = done.next_cfg.filter(|_| session.wait && !session.dry_run) {
        wait_for_switch(program, &mut link, target, &done.expected)?;
    }
    link.close();
    Ok(())
}

/// The tables and columns that the commands need.
fn interests_of(schema: &DatabaseSchema, session: &Session, lines: &[Line]) -> Outcome<Interests> {
    let mut need = Need { schema, interests: Interests::new() };
    need.table("Open_vSwitch");
    if session.wait {
        need.column("Open_vSwitch", "cur_cfg");
    }
    for line in lines {
        (line.command.need)(&mut need, line)?;
    }
    Ok(need.interests)
}

/// What remains to be done after a commit.
struct Done {
    inserted: Vec<(Uuid, Uuid)>,
    /// The configuration number that ovs-vswitchd has to reach.
    next_cfg: Option<i64>,
    /// Interfaces that it is expected to bring up.
    expected: Vec<Uuid>,
}

/// One attempt; `None` if it has to be made again at once.
fn attempt(link: &mut Link, session: &Session, lines: &mut [Line], comment: &str) -> Outcome<Option<Done>> {
    let replica: Replica = link.client()?.replica().clone();
    let mut txn = Transaction::new(&replica, uuid_source());
    if session.dry_run {
        txn.set_dry_run();
    }
    txn.add_comment(comment);
    let mut symbols = uuid_source();
    let mut ctx = Context::new(txn, SymbolTable::new(&mut symbols))?;
    if session.wait {
        ctx.txn.increment("Open_vSwitch", ctx.ovs, "next_cfg", false);
    }
    for line in lines.iter_mut() {
        line.reset();
        (line.command.run)(&mut ctx, line)?;
    }
    ctx.check_symbols()?;
    let prepared = ctx.txn.prepare(None);
    let expected = std::mem::take(&mut ctx.expected);
    let outcome = link.commit(prepared)?;
    match outcome.status {
        Status::Unchanged => Ok(Some(Done { inserted: Vec::new(), next_cfg: None, expected: Vec::new() })),
        Status::Success => {
            let expected = expected.iter().filter_map(|row| outcome.inserted.get(row)).copied().collect();
            Ok(Some(Done { inserted: outcome.inserted.into_iter().collect(), next_cfg: outcome.incremented, expected }))
        }
        Status::Aborted if session.dry_run => {
            Ok(Some(Done { inserted: Vec::new(), next_cfg: None, expected: Vec::new() }))
        }
        Status::Aborted => fail("transaction aborted"),
        Status::TryAgain => {
            link.settle()?;
            Ok(None)
        }
        Status::NotLocked => fail("database not locked"),
        Status::Error(text) => {
            vlog::warn!("ovsdb_idl", "transaction error: {text}");
            fail(format!("transaction error: {text}"))
        }
    }
}

fn output(session: &Session, lines: &[Line]) {
    let mut out = String::new();
    let mut first = true;
    for line in lines {
        if let Some(table) = &line.table {
            table.write(&session.style, first, &mut out);
            first = false;
        } else if session.oneline {
            let text = line.output.strip_suffix('\n').unwrap_or(&line.output);
            out.push_str(&text.replace('\\', "\\\\").replace('\n', "\\n"));
            out.push('\n');
        } else {
            out.push_str(&line.output);
        }
    }
    print(&out);
    flush_stdout();
}

/// Waits until ovs-vswitchd has taken up configuration `target`, then tells of interfaces that did
/// not come up.
fn wait_for_switch(program: &Program, link: &mut Link, target: i64, expected: &[Uuid]) -> Outcome<()> {
    loop {
        let row = link.client()?.replica().first("Open_vSwitch").cloned();
        if row.is_some_and(|row| OpenvSwitch(&row).cur_cfg() >= target) {
            break;
        }
        link.wait()?;
    }
    let mut failed = false;
    for uuid in expected {
        let Some(row) = link.client()?.replica().row("Interface", *uuid).cloned() else { continue };
        let iface = Interface(&row);
        if iface.ofport().is_some_and(|port| port != -1) {
            continue;
        }
        let reason = iface.error().filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default();
        program.complain(&format!(
            "Error detected while setting up '{}'{reason}.  See ovs-vswitchd log for details.",
            iface.name()
        ));
        failed = true;
    }
    if failed {
        program.complain(&format!("The default log directory is \"{}\".", cli::dirs::logdir()));
    }
    Ok(())
}

/// The connection, and the replica behind it.
struct Link {
    rpc: Rpc,
    /// Its rows go with the process: to let go of them one by one takes longer.
    client: ManuallyDrop<Option<Client>>,
}

impl Link {
    /// Connects to one of the remotes.
    fn open(session: &Session) -> Outcome<Link> {
        let settings = Settings { tls: session.tls.clone(), default_port: stream::OVSDB_PORT };
        let mut pause = Duration::from_secs(1);
        loop {
            let mut last = None;
            for remote in session.db.split(',').filter(|remote| !remote.is_empty()) {
                match Link::open_one(remote, &settings) {
                    Ok(link) => return Ok(link),
                    Err(error) => last = Some(error),
                }
            }
            let text = strerror(&last.unwrap_or_else(stream::errno::address_family_not_supported));
            if !session.retry && !stream::is_passive(&session.db) {
                return fail(format!("{}: database connection failed ({text})", session.db));
            }
            cli::signals::end_in_order();
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(8));
        }
    }

    fn open_one(remote: &str, settings: &Settings) -> io::Result<Link> {
        Ok(Link { rpc: Rpc::open(remote, settings)?, client: ManuallyDrop::new(None) })
    }

    /// The server's own schema.
    fn fetch_schema(&mut self) -> Outcome<DatabaseSchema> {
        let reply = self.rpc.transact("get_schema", vec![json!(idl::vswitch::DATABASE)]);
        let reply = reply.map_err(|error| self.broken(&error))?;
        let schema = reply.ok().and_then(|json: Value| DatabaseSchema::from_json(&json).ok());
        schema.ok_or_else(|| self.broken(&stream::errno::protocol_error()))
    }

    /// Starts the replica of what the commands need; false if the server refuses.
    fn watch(&mut self, schema: DatabaseSchema, interests: Interests) -> Outcome<bool> {
        let mut client = Client::with_schema(schema, interests);
        let mut out = client.connected();
        while !client.has_contents() {
            for message in out {
                self.rpc.send(&message).map_err(|error| self.broken(&error))?;
            }
            let received = self.rpc.receive_unless(|pull| client.take_contents(pull));
            out = match received.map_err(|error| self.broken(&error))?.map(|message| client.receive(message)) {
                None => Vec::new(),
                Some(Ok(answers)) => answers,
                Some(Err(_)) => return Ok(false),
            };
        }
        *self.client = Some(client);
        Ok(true)
    }

    fn client(&mut self) -> Outcome<&mut Client> {
        match &mut *self.client {
            Some(client) => Ok(client),
            None => fail("database connection is not set up"),
        }
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let (name, text) = (self.rpc.name(), strerror(error));
        if error.kind() != io::ErrorKind::UnexpectedEof {
            vlog::warn!("reconnect", "{name}: connection dropped ({text})");
        }
        Failure::Text(format!("{name}: database connection failed ({text})"))
    }

    /// Waits for one message and takes it in.
    fn wait(&mut self) -> Outcome<()> {
        let message = self.rpc.receive().map_err(|error| self.broken(&error))?;
        self.take(message)
    }

    fn take(&mut self, message: jsonrpc::Message) -> Outcome<()> {
        let answers = match self.client()?.receive(message) {
            Ok(answers) => answers,
            Err(error) => return fail(error.to_string()),
        };
        for answer in answers {
            self.rpc.send(&answer).map_err(|error| self.broken(&error))?;
        }
        Ok(())
    }

    /// Takes in what has come already, so that another attempt sees it. The update that made the
    /// last attempt fail comes before the reply that said so.
    fn settle(&mut self) -> Outcome<()> {
        let before = self.client()?.seqno();
        while let Some(message) = self.rpc.take_buffered().map_err(|error| self.broken(&error))? {
            self.take(message)?;
        }
        if self.client()?.seqno() == before {
            // Nothing new: the server was busy with something else. It need not be asked at once.
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Commits and waits for the verdict.
    fn commit(&mut self, prepared: idl::Prepared) -> Outcome<idl::Outcome> {
        let (id, message) = match self.client()?.commit(prepared) {
            Ok(sent) => sent,
            Err(outcome) => return Ok(outcome),
        };
        let sent = self.rpc.send(&message);
        // Its values go with the process, as the replica's rows.
        std::mem::forget(message);
        sent.map_err(|error| self.broken(&error))?;
        loop {
            for (done, outcome) in self.client()?.take_outcomes() {
                if done == id {
                    return Ok(outcome);
                }
            }
            self.wait()?;
        }
    }

    fn close(self) {
        self.rpc.close();
    }
}
