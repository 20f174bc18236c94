//! The stream of one connection while it lasts: a reader that waits to be let on, a writer that is given one piece at a
//! time, and what has come and what has to go in between.

use actix::prelude::*;
use ofproto::bridge::{ConnId, Incoming};
use openflow::message::frame::Framer;
use openflow::{ErrorCode, Version};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::session::Session;
use crate::clock;
use crate::stream::{Stream, errno_text};

/// Octets read at once.
const READ: usize = 256 << 10;
/// How long a peer has to take what was said last, milliseconds.
const FAREWELL_MS: u64 = 2_000;

/// The reader read something, or the stream ended: `Ok` of no octets.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Read {
    pub(super) conn: ConnId,
    pub(super) result: Result<Vec<u8>, String>,
}

/// The writer is done with what it had.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Written {
    pub(super) conn: ConnId,
    pub(super) result: Result<usize, String>,
}

/// Octets that tell of monitored flows, among those that a peer has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Updates {
    /// Octets that were ever queued, of whatever kind.
    queued: u64,
    /// Octets that were ever written.
    written: u64,
    /// How many of them are in what ends where, oldest first.
    pieces: VecDeque<(u64, usize)>,
    unread: usize,
}

impl Updates {
    /// Of what was queued last so many octets are updates.
    pub(super) fn queued(&mut self, octets: usize) {
        if octets > 0 {
            self.pieces.push_back((self.queued, octets));
            self.unread += octets;
        }
    }

    fn written(&mut self, octets: usize) {
        self.written += octets as u64;
        while let Some(&(end, octets)) = self.pieces.front()
            && end <= self.written
        {
            self.unread -= octets;
            self.pieces.pop_front();
        }
    }

    /// Octets of updates that wait.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }
}

/// A stream in use.
pub(super) struct Link {
    pub(super) conn: ConnId,
    /// Settled by hellos.
    pub(super) version: Option<Version>,
    pub(super) framer: Framer,
    /// The peer names tables in OpenFlow 1.0 flow-mods.
    pub(super) table_id: bool,
    /// What was sent since the bridge was told that the peer reads ([`ofproto::bridge::weight`]).
    pub(super) untold: i64,
    /// Packets that were.
    pub(super) untold_packets: u32,
    /// The bridge has been told of a backlog.
    pub(super) slow: bool,
    /// What of that which is not read tells of flows that are monitored.
    pub(super) updates: Updates,
    pending: Vec<u8>,
    writing: usize,
    out: mpsc::Sender<Vec<u8>>,
    /// The reader waits for this before it goes on.
    go_on: mpsc::Sender<()>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Link {
    /// Starts to read and to write.
    pub(super) fn begin(conn: ConnId, stream: Stream, session: Addr<Session>) -> Link {
        let (reader, writer) = tokio::io::split(stream);
        // One piece on its way, and one that is said in leaving.
        let (out, writes) = mpsc::channel(2);
        let (go_on, may_read) = mpsc::channel(1);
        Link {
            conn,
            version: None,
            framer: Framer::default(),
            table_id: false,
            untold: 0,
            untold_packets: 0,
            slow: false,
            updates: Updates::default(),
            pending: Vec::new(),
            writing: 0,
            out,
            go_on,
            reader: actix::spawn(read_all(conn, reader, session.clone(), may_read)),
            writer: actix::spawn(write_all(conn, writer, session, writes)),
        }
    }

    /// Octets that the peer has not taken yet.
    pub(super) fn unsent(&self) -> usize {
        self.pending.len() + self.writing
    }

    /// Sends octets when those before them are gone.
    pub(super) fn send(&mut self, octets: &[u8]) {
        self.updates.queued += octets.len() as u64;
        self.pending.extend_from_slice(octets);
        self.flush();
    }

    /// The writer has written so much.
    pub(super) fn written(&mut self, octets: usize) {
        self.writing -= octets.min(self.writing);
        self.updates.written(octets);
        self.flush();
    }

    fn flush(&mut self) {
        if self.writing == 0 && !self.pending.is_empty() {
            let octets = std::mem::take(&mut self.pending);
            self.writing = octets.len();
            // There is room: the writer has nothing.
            let _ = self.out.try_send(octets);
        }
    }

    /// Lets the reader go on.
    pub(super) fn let_read(&self) {
        // The channel holds one permission; a second one changes nothing.
        let _ = self.go_on.try_send(());
    }

    /// The next whole message.
    pub(super) fn next_message(&mut self) -> Result<Option<Arc<[u8]>>, u16> {
        self.framer.next_message().map(|m| m.map(Arc::from)).map_err(|bad| bad.0)
    }

    /// Deals with a message of a version that was not agreed upon: echoes are answered in their own, whatever it is;
    /// greetings and errors, which nobody asked for, are refused in theirs if it is one. `false`: it is to be refused.
    pub(super) fn answer_other_version(&mut self, octets: &[u8], peer: &str, name: &str, agreed: Version) -> bool {
        use openflow::message::{ErrorMessage, Message, Msg, decode_with, encode_into};
        let (version, agreed) = (octets.first().copied().unwrap_or(0), agreed.wire());
        let answer = match decode_with(octets, &openflow::message::Context::UNKNOWN) {
            Ok(Msg { body: Message::EchoRequest(data), version, xid }) => {
                Some((Message::EchoReply(data), version, xid))
            }
            Ok(Msg { body: Message::Hello(_) | Message::Error(_), xid, .. }) => {
                let error = ErrorMessage::reply(ErrorCode::OFPBRC_BAD_TYPE, octets);
                super::session::log_refusal(name, &error);
                Some((Message::Error(error), Version::from_wire(version).unwrap_or(Version::V10), xid))
            }
            Ok(Msg { body: Message::EchoReply(_), .. }) => None,
            _ => {
                vlog::err_rl!(
                    "vconn",
                    10,
                    10,
                    "{peer}: received OpenFlow version 0x{version:02x} != expected {agreed:02x}"
                );
                return false;
            }
        };
        if let Some((answer, answer_version, xid)) = answer {
            let mut reply = Vec::new();
            if encode_into(&mut reply, &answer, answer_version, xid).is_ok() {
                if matches!(answer, Message::EchoReply(_)) {
                    reply[0] = version;
                }
                self.send(&reply);
            }
        }
        true
    }

    /// A message as the bridge takes it; `debug` allows the debugging actions.
    pub(super) fn decode(&mut self, raw: Arc<[u8]>, version: Version, debug: bool) -> Incoming {
        use openflow::OfError;
        use openflow::message::Message;
        let xid = raw.get(4..8).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        if raw.first() != Some(&version.wire()) {
            return Incoming { body: Err(OfError::from(ErrorCode::OFPBRC_BAD_VERSION)), xid, raw };
        }
        let body = ofproto::bridge::decode_message(&raw, self.table_id, debug);
        if let Ok(Message::FlowModTableId(on)) = body {
            // What follows is to be read differently at once; the bridge is told as well.
            self.table_id = on;
        }
        Incoming { body, xid, raw }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
        // What was said last should still arrive, but a peer that does not read must not keep it for ever.
        if !self.pending.is_empty() {
            let _ = self.out.try_send(std::mem::take(&mut self.pending));
        }
        let writer = self.writer.abort_handle();
        if !self.writer.is_finished() {
            actix::spawn(async move {
                clock::sleep_real(FAREWELL_MS).await;
                writer.abort();
            });
        }
    }
}

async fn read_all(
    conn: ConnId,
    mut reader: ReadHalf<Stream>,
    session: Addr<Session>,
    mut may_read: mpsc::Receiver<()>,
) {
    let mut buffer = vec![0; READ];
    loop {
        let result = match reader.read(&mut buffer).await {
            Ok(n) => Ok(buffer[..n].to_vec()),
            Err(error) => Err(errno_text(&error)),
        };
        let last = result.as_ref().map_or(true, Vec::is_empty);
        if session.send(Read { conn, result }).await.is_err() || last || may_read.recv().await.is_none() {
            return;
        }
    }
}

async fn write_all(
    conn: ConnId,
    mut writer: WriteHalf<Stream>,
    session: Addr<Session>,
    mut writes: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(octets) = writes.recv().await {
        let done = writer.write_all(&octets).await;
        let last = done.is_err();
        let result = done.map(|()| octets.len()).map_err(|error| errno_text(&error));
        if last {
            let _ = session.send(Written { conn, result }).await;
            break;
        }
        // A session that is gone may have left something to say.
        let _ = session.send(Written { conn, result }).await;
    }
    let _ = writer.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::Updates;

    #[test]
    fn what_waits_of_updates_is_told_apart_from_all_else() {
        let mut updates = Updates::default();
        let send = |updates: &mut Updates, octets, of_updates| {
            updates.queued += octets;
            updates.queued(of_updates);
            updates.unread()
        };
        assert_eq!(send(&mut updates, 1_000_000, 0), 0);
        assert_eq!(send(&mut updates, 300, 200), 200);
        assert_eq!(send(&mut updates, 50, 50), 250);
        updates.written(1_000_299);
        assert_eq!(updates.unread(), 250);
        updates.written(1);
        assert_eq!(updates.unread(), 50);
        updates.written(50);
        assert_eq!(updates.unread(), 0);
    }
}
