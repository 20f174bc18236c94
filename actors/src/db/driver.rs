//! The actor of one connection to a source: makes it again and again, and carries messages both ways. What
//! they mean is the affair of the machine that the database holds.

use super::database::Database;
use super::letters::FromSource;
use super::source::Progress;
use crate::clock;
use crate::mailbox::Address;
use crate::reconnect_log;
use crate::stream::{Method, NameError, OVSDB_PORT, Stream, Tls, connect, errno_text, note_attempt, prepare};
use crate::supervise::{Desk, Player};
use actix::prelude::*;
use jsonrpc::reconnect::Action;
use jsonrpc::{Limits, Message, Reconnect, Scanner};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// Longest time an attempt to connect may take.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long news may wait for room in the database's mailbox.
const PATIENCE: Duration = Duration::from_secs(600);

/// What surrounds a driver.
pub(super) struct Surroundings {
    pub number: u64,
    pub database: Address<Database>,
    pub tls: Tls,
    pub run_dir: PathBuf,
    pub probe_ms: Option<u64>,
}

/// The driver of one source.
pub(super) struct Driver {
    desk: Desk,
}

impl Driver {
    pub(super) fn begin(
        desk: Desk,
        targets: &str,
        outbox: mpsc::Receiver<Message>,
        around: Surroundings,
        ctx: &mut Context<Self>,
    ) -> Driver {
        let targets = targets.split(',').map(|t| t.trim().to_owned()).collect();
        ctx.spawn(actix::fut::wrap_future(drive(targets, outbox, around)));
        Driver { desk }
    }
}

impl Actor for Driver {
    type Context = Context<Self>;
}

impl Player for Driver {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Surroundings {
    /// Tells the database. Waiting here holds the source back, which is what should give way. False: close
    /// the connection.
    async fn tell(&self, progress: Progress) -> bool {
        let letter = FromSource { driver: self.number, progress };
        self.database.ask(letter, PATIENCE).await.unwrap_or(false)
    }
}

fn now_ms() -> u64 {
    u64::try_from(clock::now_ms()).unwrap_or(0)
}

fn as_deadline(at: Option<(u64, &'static str)>) -> i64 {
    at.map_or(i64::MAX, |(at, _)| i64::try_from(at).unwrap_or(i64::MAX))
}

/// Connects, talks, and connects again to the next target, for ever.
async fn drive(mut targets: VecDeque<String>, mut outbox: mpsc::Receiver<Message>, around: Surroundings) {
    crate::daemon::served().await;
    let first = targets.front().cloned().unwrap_or_default();
    let mut machine = Reconnect::new(&first, now_ms());
    if let Some(ms) = around.probe_ms {
        machine.set_probe_interval(ms);
    }
    machine.enable(now_ms());
    loop {
        match machine.run(now_ms()) {
            Some(Action::Connect) => {}
            Some(Action::Disconnect | Action::Probe) => {
                machine.disconnected(now_ms(), None);
                continue;
            }
            None => {
                clock::sleep_until(as_deadline(machine.poll_timeout(now_ms()))).await;
                continue;
            }
        }
        let target = targets.front().cloned().unwrap_or_default();
        machine.set_name(&target);
        let method = Method::parse(&target, OVSDB_PORT, &around.run_dir);
        note_attempt(&target, OVSDB_PORT, method.as_ref().err());
        let ready = method.as_ref().map_or(Ok(()), |method| prepare(method, &around.tls));
        machine.connecting(now_ms());
        reconnect_log::tell(&mut machine, vlog::Level::Info);
        let opened = match ready {
            Ok(()) => open(method, &around).await,
            Err(error) => Err(errno_text(&error)),
        };
        match opened {
            Ok(stream) => {
                machine.connected(now_ms());
                reconnect_log::tell(&mut machine, vlog::Level::Info);
                // What was meant for the last connection is of no use to this one.
                while outbox.try_recv().is_ok() {}
                around.tell(Progress::Connected).await;
                let end = talk(stream, &mut outbox, &around, &mut machine).await;
                machine.disconnected(now_ms(), end.as_deref());
                around.tell(Progress::Disconnected).await;
            }
            Err(reason) => machine.connect_failed(now_ms(), Some(&reason)),
        }
        reconnect_log::tell(&mut machine, vlog::Level::Info);
        targets.rotate_left(1);
    }
}

async fn open(method: Result<Method, NameError>, around: &Surroundings) -> Result<Stream, String> {
    let method = method.map_err(|_| errno_text(&std::io::Error::from_raw_os_error(libc::EAFNOSUPPORT)))?;
    match tokio::time::timeout(HANDSHAKE, connect(&method, &around.tls)).await {
        Ok(result) => result.map_err(|e| errno_text(&e)),
        Err(_) => Err("Connection timed out".to_owned()),
    }
}

/// Tells the log why a connection ends, and gives it back.
fn failed(machine: &Reconnect, what: &str, text: String) -> String {
    vlog::warn_rl!("jsonrpc", 5, 5, "{}: {what}: {text}", machine.name());
    text
}

/// Carries messages until the connection ends; an error's text, or nothing for a plain close.
async fn talk(
    mut stream: Stream,
    outbox: &mut mpsc::Receiver<Message>,
    around: &Surroundings,
    machine: &mut Reconnect,
) -> Option<String> {
    let mut scanner = Scanner::new(Limits::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let probe = as_deadline(machine.poll_timeout(now_ms()));
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let count = match read {
                    Ok(0) => return None,
                    Ok(count) => count,
                    Err(error) => return Some(failed(machine, "receive error", errno_text(&error))),
                };
                machine.activity(now_ms());
                scanner.feed(&buffer[..count]);
                let (messages, echoes) = match messages(&mut scanner) {
                    Ok(read) => read,
                    Err((what, text)) => {
                        failed(machine, what, text);
                        return Some("Protocol error".to_owned());
                    }
                };
                if let Err(error) = stream.write_all(&octets::of_text(&echoes)).await {
                    return Some(failed(machine, "send error", errno_text(&error)));
                }
                if !messages.is_empty() && !around.tell(Progress::Messages(messages)).await {
                    return Some("Protocol error".to_owned());
                }
            }
            message = outbox.recv() => {
                // The database let go of this driver.
                let message = message?;
                if let Err(error) = stream.write_all(&octets::of_text(&message.to_text())).await {
                    return Some(failed(machine, "send error", errno_text(&error)));
                }
            }
            () = clock::sleep_until(probe) => match machine.run(now_ms()) {
                Some(Action::Probe) => {
                    let text = Message::echo_request().to_text();
                    if let Err(error) = stream.write_all(text.as_bytes()).await {
                        return Some(failed(machine, "send error", errno_text(&error)));
                    }
                }
                Some(Action::Disconnect) => return None,
                Some(Action::Connect) | None => {}
            },
        }
    }
}

/// The messages for the database, and the answers to echoes.
fn messages(scanner: &mut Scanner) -> Result<(Vec<Message>, String), (&'static str, String)> {
    let (mut messages, mut echoes) = (Vec::new(), String::new());
    while let Some(value) = scanner.next_value().map_err(|e| ("error parsing stream", e.to_string()))? {
        match Message::from_json(value).map_err(|e| ("received bad JSON-RPC message", e.to_string()))? {
            Message::Request { id, method, params } if method == "echo" => {
                Message::echo_reply(id, params).write(&mut echoes);
            }
            Message::Response { id, .. } | Message::Error { id, .. } if id.as_str() == Some("echo") => {}
            message => messages.push(message),
        }
    }
    Ok((messages, echoes))
}
