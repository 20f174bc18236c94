//! Ports to send through, and the packets queued for them until the burst's end.

use arrayvec::ArrayVec;
use ebpf::Exit;
use flow::OdpPort;
use flow::capture_filter::Direction;
use packet::{Offload, offload};

use crate::burst::{Burst, Packets, Slot};
use crate::execute::Cut;
use crate::notice::{Notice, Notices};
use crate::port::{PortShare, TxPacket, TxPort, Watcher};
use crate::stats::{Drop, PortStats, Stats};

/// Packets handed to a port at once.
const BATCH: usize = 64;
/// Port numbers a table has places for.
pub(crate) const PORTS: usize = 65_536;

/// A packet as it was when queued.
#[derive(Clone, Copy, Debug)]
struct Queued {
    slot: Slot,
    start: usize,
    len: usize,
    offload: Offload,
    priority: u32,
}

struct OutPort {
    tx: Box<dyn TxPort>,
    queue: Vec<Queued>,
    stats: PortStats,
    watcher: Option<Box<dyn Watcher>>,
}

#[derive(Default)]
pub(crate) struct Outputs {
    ports: Vec<Option<Box<OutPort>>>,
    /// Ports with something queued, in the order of its coming.
    waiting: Vec<OdpPort>,
    queued: usize,
}

impl Outputs {
    /// Adds a port; the one of this number goes. `false`: there is no place for the number.
    pub(crate) fn add(&mut self, port: OdpPort, tx: Box<dyn TxPort>) -> bool {
        let i = port as usize;
        if i >= PORTS {
            return false;
        }
        if self.ports.len() <= i {
            self.ports.resize_with(i + 1, || None);
        }
        let (stats, watcher) = self.ports[i].take().map(|old| (old.stats, old.watcher)).unwrap_or_default();
        self.ports[i] = Some(Box::new(OutPort { tx, queue: Vec::new(), stats, watcher }));
        true
    }

    /// Sets or removes who sees the port's packets. `false`: there is no such port.
    pub(crate) fn watch(&mut self, port: OdpPort, watcher: Option<Box<dyn Watcher>>) -> bool {
        let Some(Some(port)) = self.ports.get_mut(port as usize) else { return false };
        port.watcher = watcher;
        true
    }

    /// Whether somebody sees the port's packets.
    pub(crate) fn is_watched(&self, port: OdpPort) -> bool {
        matches!(self.ports.get(port as usize), Some(Some(port)) if port.watcher.is_some())
    }

    /// The address that the host sends packets of a mark from to another by a port.
    pub(crate) fn source(&mut self, port: OdpPort, to: u128, mark: u32) -> Option<u128> {
        self.ports.get_mut(port as usize)?.as_mut()?.tx.source(to, mark)
    }

    /// Where the kernel may hand over a port's packets itself.
    pub(crate) fn exit(&self, port: OdpPort) -> Option<Exit> {
        let port = self.ports.get(port as usize)?.as_ref()?;
        if port.watcher.is_none() { port.tx.exit() } else { None }
    }

    /// The same port for another thread.
    pub(crate) fn share(&self, port: OdpPort) -> Option<PortShare> {
        let port = self.ports.get(port as usize)?.as_ref()?;
        Some((port.tx.share()?, port.watcher.as_ref().and_then(|watcher| watcher.share())))
    }

    /// Shows what a port received to its watcher, if it has one.
    #[inline]
    pub(crate) fn show_received(&mut self, port: OdpPort, burst: &Burst<'_>) {
        if let Some(Some(port)) = self.ports.get_mut(port as usize)
            && let Some(watcher) = &mut port.watcher
        {
            burst.iter().for_each(|lent| watcher.see(lent.octets(), Direction::In));
        }
    }

    pub(crate) fn remove(&mut self, port: OdpPort) -> Option<Box<dyn TxPort>> {
        Some(self.ports.get_mut(port as usize)?.take()?.tx)
    }

    pub(crate) fn stats(&self, port: OdpPort) -> Option<PortStats> {
        Some(self.ports.get(port as usize)?.as_ref()?.stats)
    }

    /// Adds what another thread counted.
    pub(crate) fn credit(&mut self, port: OdpPort, stats: PortStats) {
        if let Some(Some(port)) = self.ports.get_mut(port as usize) {
            port.stats += stats;
        }
    }

    #[inline]
    pub(crate) fn received(&mut self, port: OdpPort, packets: u64, bytes: u64) {
        if let Some(Some(port)) = self.ports.get_mut(port as usize) {
            port.stats.rx_packets += packets;
            port.stats.rx_bytes += bytes;
        }
    }

    /// Queues a packet as it is now, cut as `trunc` says. `false`: there is no such port.
    #[inline]
    pub(crate) fn queue(
        &mut self,
        port: OdpPort,
        packets: &mut Packets<'_, '_>,
        slot: Slot,
        trunc: Option<Cut>,
        priority: u32,
        stats: &mut Stats,
    ) -> bool {
        let Some(Some(out)) = self.ports.get_mut(port as usize) else { return false };
        let meta = packets.meta(slot);
        let cut = trunc.map(|cut| cut.left_of(meta.len)).filter(|octets| *octets < meta.len);
        let owes = meta.offload.partial_csum.is_some() || meta.offload.gso.is_some();
        let before = out.queue.len();
        let can = |offload| out.tx.offloads().take(offload) && offload::can_be_told(packets.data(slot), offload);
        if owes && (cut.is_some() || !can(&meta.offload)) {
            Self::queue_settled(out, packets, slot, cut, priority, stats);
        } else {
            let (start, len, offload) = (meta.start, cut.unwrap_or(meta.len), Offload { hash: None, ..meta.offload });
            packets.meta_mut(slot).shared = true;
            out.queue.push(Queued { slot, start, len, offload, priority });
        }
        self.queued += out.queue.len() - before;
        if before == 0 && !out.queue.is_empty() {
            self.waiting.push(port);
        }
        true
    }

    /// Does in software what the port cannot, or what could not be done to a part.
    #[cold]
    fn queue_settled(
        out: &mut OutPort,
        packets: &mut Packets<'_, '_>,
        slot: Slot,
        cut: Option<usize>,
        priority: u32,
        stats: &mut Stats,
    ) {
        let Ok(pieces) = offload::settle(packets.to_buf(slot)) else {
            return stats.drop(Drop::Segmentation);
        };
        for piece in pieces {
            let slot = packets.pool.add(&piece);
            let meta = packets.meta_mut(slot);
            meta.shared = true;
            let len = cut.unwrap_or(meta.len).min(meta.len);
            let offload = Offload { hash: None, ..meta.offload };
            out.queue.push(Queued { slot, start: meta.start, len, offload, priority });
        }
    }

    /// Packets queued.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Sends everything queued.
    pub(crate) fn flush(&mut self, packets: &Packets<'_, '_>, stats: &mut Stats, notices: &mut Notices) {
        for port in self.waiting.drain(..) {
            let Some(Some(out)) = self.ports.get_mut(port as usize) else { continue };
            for chunk in out.queue.chunks(BATCH) {
                let batch: ArrayVec<TxPacket<'_>, BATCH> = chunk
                    .iter()
                    .map(|q| TxPacket {
                        octets: packets.octets(q.slot, q.start, q.len),
                        offload: q.offload,
                        priority: q.priority,
                    })
                    .collect();
                if let Some(watcher) = &mut out.watcher {
                    batch.iter().for_each(|packet| watcher.see(packet.octets, Direction::Out));
                }
                let report = out.tx.send(&batch);
                out.stats.tx_packets += report.packets;
                out.stats.tx_bytes += report.bytes;
                out.stats.tx_dropped += report.dropped;
                out.stats.tx_errors += report.errors;
                for _ in 0..report.too_long {
                    notices.add(Notice::TooLong(port));
                }
                stats.output_batches += 1;
                stats.output_packets += chunk.len() as u64;
            }
            out.queue.clear();
        }
        self.queued = 0;
    }
}
