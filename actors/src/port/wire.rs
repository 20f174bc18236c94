//! The wire of a dummy: what leaves it goes to whoever is connected, what they send comes in, as options `stream` and
//! `pstream` of a dummy interface ask for.
//!
//! A frame on the stream is its length, two octets in network byte order, and its octets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use actix::Recipient;
use packet::PacketBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Receive;
use super::device::Wired;
use crate::clock;
use crate::stream::{Listener, Method, Stream, Tls, connect};
use crate::switch::desired::Pairs;

/// Frames that wait for a slow peer at the most.
const WAITING: usize = 1000;
/// Peers of a passive wire at the most.
const PEERS: usize = 64;
/// Octets of the shortest frame.
const SHORTEST: usize = 14;
const RECONNECT_MS: i64 = 1000;
/// No port is implied by an address.
const NO_PORT: u16 = 0;

/// What a wire is to be: where it leads.
#[derive(Debug)]
pub struct Lead {
    method: Method,
}

/// What the options of a dummy say of its wire.
///
/// # Errors
/// A line for the log.
pub fn lead(options: &Pairs) -> Result<Option<Lead>, String> {
    let (name, passive) = match (options.get("pstream"), options.get("stream")) {
        (Some(passive), Some(active)) => {
            return Err(format!("Open failed: both {passive} and {active} are configured"));
        }
        (Some(name), None) => (name, true),
        (None, Some(name)) => (name, false),
        (None, None) => return Ok(None),
    };
    let method = Method::parse(name, NO_PORT, Path::new("/")).map_err(|error| format!("{name}: {error:?}"))?;
    if method.is_passive() != passive || method.is_ssl() {
        return Err(format!("{name}: a dummy cannot be connected by this method"));
    }
    Ok(Some(Lead { method }))
}

/// A wire at work; it is cut when this is dropped.
#[derive(Debug)]
pub struct Wire {
    task: tokio::task::JoinHandle<()>,
    connected: Option<Arc<AtomicBool>>,
}

impl Wire {
    /// Joins a dummy's end to whoever is there; frames that arrive go to `owner`.
    pub fn plug(wired: Wired, owner: Recipient<Receive>) -> Wire {
        let Wired { lead, frames } = wired;
        if lead.method.is_passive() {
            // Bound at once, so that who calls next finds somebody there.
            let listener = Listener::bind(&lead.method, &Tls::default());
            return Wire { task: actix::spawn(listen(listener, frames, owner)), connected: None };
        }
        let connected = Arc::new(AtomicBool::new(false));
        Wire { task: actix::spawn(call(lead, frames, owner, connected.clone())), connected: Some(connected) }
    }

    /// Whether the wire is connected; passive ones do not say.
    pub fn is_connected(&self) -> Option<bool> {
        self.connected.as_ref().map(|c| c.load(Relaxed))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects, again and again.
async fn call(lead: Lead, mut frames: mpsc::Receiver<Vec<u8>>, owner: Recipient<Receive>, connected: Arc<AtomicBool>) {
    let tls = Tls::default();
    let mut is_first = true;
    loop {
        if let Ok(stream) = connect(&lead.method, &tls).await {
            // What left while nobody was there is lost, as on any wire. Where somebody was from the start, the wire has been
            // connected since it was made, and carries what left meanwhile.
            while !is_first && frames.try_recv().is_ok() {}
            connected.store(true, Relaxed);
            carry(stream, &mut frames, &owner).await;
            connected.store(false, Relaxed);
        }
        is_first = false;
        clock::sleep(RECONNECT_MS).await;
    }
}

/// Takes connections; each gets every frame.
async fn listen(listener: std::io::Result<Listener>, mut frames: mpsc::Receiver<Vec<u8>>, owner: Recipient<Receive>) {
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            vlog::warn!("netdev_dummy", "{error}");
            return;
        }
    };
    let mut tasks = JoinSet::new();
    let mut peers: Vec<mpsc::Sender<Vec<u8>>> = Vec::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok(accepted) = accepted else { continue };
                peers.retain(|p| !p.is_closed());
                if peers.len() >= PEERS {
                    continue;
                }
                let (sender, mut receiver) = mpsc::channel(WAITING);
                peers.push(sender);
                let owner = owner.clone();
                tasks.spawn_local(async move {
                    if let Ok(stream) = accepted.finish().await {
                        carry(stream, &mut receiver, &owner).await;
                    }
                });
            }
            frame = frames.recv() => {
                let Some(frame) = frame else { return };
                // A peer that does not read loses frames; one that is gone is forgotten.
                peers.retain(|p| !matches!(p.try_send(frame.clone()), Err(mpsc::error::TrySendError::Closed(_))));
            }
            _ = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

/// Carries frames both ways until the stream ends.
async fn carry(stream: Stream, frames: &mut mpsc::Receiver<Vec<u8>>, owner: &Recipient<Receive>) {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        _ = take_in(reader, owner) => {}
        _ = give_out(writer, frames) => {}
    }
}

async fn take_in(mut reader: ReadHalf<Stream>, owner: &Recipient<Receive>) -> std::io::Result<()> {
    loop {
        let mut frame = vec![0; usize::from(reader.read_u16().await?)];
        reader.read_exact(&mut frame).await?;
        if frame.len() >= SHORTEST {
            // A port that cannot keep up loses frames.
            let _ = owner.try_send(Receive(0, vec![PacketBuf::new(&frame)]));
        }
    }
}

async fn give_out(mut writer: WriteHalf<Stream>, frames: &mut mpsc::Receiver<Vec<u8>>) -> std::io::Result<()> {
    while let Some(frame) = frames.recv().await {
        let Ok(length) = u16::try_from(frame.len()) else { continue };
        writer.write_all(&[&length.to_be_bytes()[..], &frame].concat()).await?;
    }
    Ok(())
}

/// A dummy's end of a wire: where frames that leave are put, and the rest of it.
pub fn ends(lead: Lead) -> (mpsc::Sender<Vec<u8>>, Wired) {
    let (sender, frames) = mpsc::channel(WAITING);
    (sender, Wired { lead, frames })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_where_a_wire_leads() {
        let options = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(lead(&options(&[])).unwrap().is_none());
        assert!(lead(&options(&[("pstream", "punix:/a")])).unwrap().is_some());
        assert!(lead(&options(&[("stream", "unix:/a")])).unwrap().is_some());
        let both = lead(&options(&[("pstream", "punix:/a"), ("stream", "unix:/b")])).unwrap_err();
        assert_eq!(both, "Open failed: both punix:/a and unix:/b are configured");
        assert!(lead(&options(&[("stream", "punix:/a")])).is_err());
        assert!(lead(&options(&[("stream", "nonsense")])).is_err());
    }
}
