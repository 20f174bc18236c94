//! One connection to the control socket: requests in, answers out, one after the other. A command whose asker goes
//! away is given up.

use super::Commands;
use super::coverage::Counter;
use crate::clock;
use crate::stream::{Accepted, Listener, Stream};
use crate::supervise::{Desk, Player, WeakFamily};
use crate::transcript;
use actix::prelude::*;
use futures::stream;
use jsonrpc::{Limits, Message, Scanner, SessionError};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a client of the control socket may make us keep.
const LIMITS: Limits = Limits { depth: 100, size: 64 << 20 };

/// Octets of further requests that are read while one is worked upon.
const AHEAD_AT_MOST: usize = 64 << 10;
/// How long a command goes on once its asker has closed its end, milliseconds.
const GRACE_MS: u64 = 1_000;

/// The connections a listener accepts, for ever; `target` is its name.
pub(super) fn connections(listener: Rc<Listener>, target: String) -> impl futures::Stream<Item = Accepted> {
    stream::unfold((listener, target), |(listener, target)| async move {
        loop {
            match listener.accept().await {
                Ok(peer) => return Some((peer, (listener, target))),
                Err(error) => {
                    vlog::warn_rl!("unixctl", 5, 5, "{target}: accept failed: {}", crate::stream::errno_text(&error));
                    // Out of descriptors, most likely: do not spin until there are some.
                    clock::sleep_real(100).await;
                }
            }
        }
    })
}

/// The actor of one connection.
#[derive(Debug)]
pub(super) struct Session {
    desk: Desk,
    family: WeakFamily,
}

impl Session {
    pub(super) fn begin(
        desk: Desk,
        family: WeakFamily,
        commands: Arc<Commands>,
        peer: Accepted,
        ctx: &mut Context<Self>,
    ) -> Session {
        let talk = async move {
            let name = peer.name.clone();
            if let Err(error) = converse(peer, &commands).await {
                vlog::dbg!("unixctl", "{name}: {}", crate::stream::errno_text(&error));
            }
        };
        ctx.spawn(actix::fut::wrap_future::<_, Session>(talk).map(|(), session, ctx| {
            session.desk.served();
            ctx.stop();
        }));
        Session { desk, family }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        if let Some(family) = self.family.upgrade() {
            family.forget(self.desk.card());
        }
    }
}

impl Player for Session {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

async fn converse(peer: Accepted, commands: &Commands) -> io::Result<()> {
    let name = peer.name.clone();
    let mut stream = peer.finish().await?;
    let mut scanner = Scanner::new(LIMITS);
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        scanner.feed(&buffer[..count]);
        loop {
            let message = match scanner.next_value() {
                Ok(None) => break,
                Ok(Some(value)) => Message::from_json(value).map_err(SessionError::from),
                Err(error) => Err(error.into()),
            };
            if let Ok(message) = &message {
                transcript::said(&name, message, false);
            }
            match message {
                Ok(Message::Request { id, method, params }) => {
                    let work = answer(commands, id, &method, params);
                    let Some(reply) = while_asked(work, &mut stream, &mut scanner, &mut buffer).await else {
                        return Ok(());
                    };
                    transcript::said(&name, &reply, true);
                    send(&mut stream, &reply).await?;
                }
                Ok(other) => {
                    let kind = match other {
                        Message::Notification { .. } => "notification",
                        Message::Error { .. } => "error",
                        Message::Request { .. } | Message::Response { .. } => "reply",
                    };
                    vlog::warn_rl!("unixctl", 5, 5, "{name}: received unexpected {kind} message");
                    return Ok(());
                }
                Err(error) => {
                    vlog::warn_rl!("jsonrpc", 5, 5, "{name}: {error}");
                    return Ok(());
                }
            }
        }
    }
}

/// Does `work` for as long as the peer is there; further requests wait in `scanner`. A peer that has closed its end may
/// still read for a moment.
async fn while_asked<T>(
    work: impl Future<Output = T>,
    stream: &mut Stream,
    scanner: &mut Scanner,
    buffer: &mut [u8],
) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut room = AHEAD_AT_MOST;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            read = stream.read(buffer), if room > 0 => match read {
                Ok(0) | Err(_) => {
                    let grace = Duration::from_millis(GRACE_MS);
                    return tokio::time::timeout(grace, work).await.ok();
                }
                Ok(count) => {
                    scanner.feed(&buffer[..count]);
                    room = room.saturating_sub(count);
                }
            },
        }
    }
}

static RECEIVED: Counter = Counter::new("unixctl_received");
static REPLIED: Counter = Counter::new("unixctl_replied");

async fn answer(commands: &Commands, id: serde_json::Value, method: &str, params: Vec<serde_json::Value>) -> Message {
    RECEIVED.add();
    vlog::dbg!("unixctl", "received request {method}{}, id={id}", serde_json::Value::Array(params.clone()));
    let answer = commands.call(method, &params).await;
    REPLIED.add();
    match answer {
        Ok(text) => {
            vlog::dbg!("unixctl", "replying with success, id={id}: \"{text}\"");
            Message::Response { id, result: end_line(text).into() }
        }
        Err(text) => {
            vlog::dbg!("unixctl", "replying with error, id={id}: \"{text}\"");
            Message::Error { id, error: end_line(text).into() }
        }
    }
}

/// An answer that says anything ends its line.
fn end_line(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

async fn send(stream: &mut Stream, message: &Message) -> io::Result<()> {
    stream.write_all(&octets::of_text(&message.to_text())).await
}
