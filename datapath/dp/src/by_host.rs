//! Tunnels whose outer packets the host's own stack sends and receives: it knows ways, neighbours and its filter, and gives
//! and takes whole packets of IP.
//!
//! What leaves by such a port is put into its tunnel as its key's tunnel fields say; what comes by it has an outer header,
//! Ethernet's with a mark for an address first, and is opened before anything else is asked about it. [`crate::tunnel`] does both for
//! tunnels that the switch's own bridges carry, too.

use flow::outer::{self, Ends, TunnelKind};
use flow::{Key, OdpPort};
use packet::offload::GSO_OUTER;
use packet::{Offload, untold};
use smallvec::SmallVec;

use crate::burst::{Burst, Packets, Slot};
use crate::engine::{Engine, Env};
use crate::execute::{Work, cut_off, prepend};
use crate::stats::Drop;
use crate::tunnel;

/// Octets of an Ethernet header.
const ETHERNET: usize = 14;

impl Engine {
    /// What the packets of a tunnel port are made of that the host sends and receives; `None` for any other port.
    pub(crate) fn by_host(&self, port: OdpPort) -> Option<TunnelKind> {
        self.tunnels.get(&port).filter(|tunnel| tunnel.by_host).and_then(|tunnel| tunnel.kind)
    }

    /// Takes a burst of outer packets through; says how many octets it had.
    pub(crate) fn run_outer(&mut self, kind: TunnelKind, lent: &mut Burst<'_>, env: &mut Env<'_>) -> u64 {
        self.drops.begin(env.port, env.now_ms);
        let mut pool = std::mem::take(&mut self.pool);
        let mut packets = Packets { lent, pool: &mut pool };
        let (n, mut bytes) = (packets.lent.len(), 0);
        for i in 0..n {
            let slot = Slot::Lent(i as u32);
            let mut key = Key::EMPTY;
            let layers = flow::extract_into(&mut key, packets.data(slot), 0);
            key.set_pkt_mark(key.dl_dst() as u32);
            bytes += packets.meta(slot).len as u64;
            let mut work = Work::new(slot, &mut key, layers);
            let before = packets.meta(slot).len;
            let gso = packets.meta_mut(slot).offload.gso.take().filter(|gso| gso.kind == GSO_OUTER);
            if let Err(why) = self.open(env.port, kind, &mut packets, &mut work, &mut None) {
                self.drop(why);
                continue;
            }
            // The socket does not tell what the sender's kernel left undone in what it put into the tunnel.
            let outer = before - packets.meta(work.slot).len;
            let most = gso.and_then(|gso| (ETHERNET + usize::from(gso.size)).checked_sub(outer));
            let ethertype = Some(work.key.packet_type()).filter(|of| *of != 0).map(|of| of as u16);
            let owed = untold::find(packets.data(work.slot), ethertype, most);
            packets.meta_mut(work.slot).offload = owed;
            self.decide(&mut packets, &mut work, env);
            self.flush_if_much(&mut packets);
        }
        self.outputs.flush(&packets, &mut self.stats, &mut self.notices);
        self.stats.received += n as u64;
        self.stats.octets += bytes;
        self.stats.bursts += u64::from(n > 0);
        self.outputs.received(env.port, n as u64, bytes);
        pool.clear();
        self.pool = pool;
        bytes
    }

    /// Puts a packet into its tunnel, for the host to send; the packet itself stays as it is.
    pub(crate) fn output_by_host(
        &mut self,
        port: OdpPort,
        kind: TunnelKind,
        packets: &mut Packets<'_, '_>,
        work: &mut Work<'_>,
        now_ms: u64,
    ) -> Result<(), Drop> {
        work.refresh(packets, self.config.max_vlans);
        let hash = work.connection_hash(packets, self.config.max_vlans);
        let (src, dst) = outer::ends_of(work.key);
        let mark = work.key.pkt_mark();
        let src = if src != 0 || dst == 0 { src } else { self.outputs.source(port, dst, mark).unwrap_or(0) };
        if src == 0 || dst == 0 {
            return Err(Drop::TunnelPush);
        }
        let mut header = std::mem::take(&mut self.outer);
        header.clear();
        let ends = Ends { src, dst, dst_mac: mark.into(), src_mac: 0 };
        let made = outer::write(&mut header, kind, false, &ends, work.key);
        let sent = made.ok_or(Drop::TunnelPush).and_then(|()| {
            let mut pieces: SmallVec<[Slot; 1]> = SmallVec::new();
            let offload = packets.meta(work.slot).offload;
            match work.trunc.take() {
                None if offload.gso.is_none() && offload.partial_csum.is_none() => {
                    packets.meta_mut(work.slot).shared = true;
                    pieces.push(work.slot);
                }
                trunc => {
                    let whole = cut_off(trunc, packets.to_buf(work.slot));
                    let cut = packet::offload::settle(whole).map_err(|_| Drop::Segmentation)?;
                    pieces.extend(cut.iter().map(|piece| packets.pool.add(piece)));
                }
            }
            for mut slot in pieces {
                prepend(packets, &mut slot, &header);
                let (octets, meta) = packets.own(&mut slot);
                meta.offload = Offload::default();
                let is_gtpu = kind == TunnelKind::Gtpu;
                let (sources, stamp) = (self.config.tunnel_sources, self.stamp(now_ms));
                let sequence = self.tunnels.entry(port).or_default();
                tunnel::complete(octets, is_gtpu, hash, &mut sequence.next, sources, stamp).ok_or(Drop::TunnelPush)?;
                let priority = work.key.skb_priority();
                if !self.outputs.queue(port, packets, slot, None, priority, &mut self.stats) {
                    return Err(Drop::NoPort);
                }
            }
            Ok(())
        });
        self.outer = header;
        sent
    }
}
