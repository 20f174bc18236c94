//! The packets at hand: those lent by a receive queue, and the copies made of them.

use arrayvec::ArrayVec;
use flow::Key;
use packet::{Offload, PacketBuf};

/// Packets taken from a queue at once.
pub const BURST: usize = 32;
/// Room before a copy, octets.
const HEADROOM: usize = packet::buffer::HEADROOM;

/// A packet in memory lent by its receive queue.
#[derive(Debug)]
pub struct Lent<'a> {
    buf: &'a mut [u8],
    meta: Meta,
}

impl<'a> Lent<'a> {
    /// The `len` octets at `start` of `buf`; what lies before is headroom. A range outside `buf` is cut to it.
    pub fn new(buf: &'a mut [u8], start: usize, len: usize, offload: Offload) -> Self {
        let start = start.min(buf.len());
        let len = len.min(buf.len() - start);
        Self { buf, meta: Meta { start, len, offload, shared: false } }
    }
}

impl Lent<'_> {
    pub(crate) fn octets(&self) -> &[u8] {
        self.buf.get(self.meta.start..self.meta.start + self.meta.len).unwrap_or_default()
    }
}

/// What a queue hands over at once.
pub type Burst<'a> = ArrayVec<Lent<'a>, BURST>;

/// Where a packet lies in its memory, and what it owes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) offload: Offload,
    /// Somebody counts on its octets: it is queued for output, or a clone of it is being worked upon.
    pub(crate) shared: bool,
}

impl Meta {
    /// Moves the front by `n` octets: pushed (positive) or pulled.
    fn shift(&mut self, n: isize) {
        self.start = self.start.wrapping_add_signed(-n);
        self.len = self.len.wrapping_add_signed(n);
        let moved = |at: u16| u16::try_from((at as isize + n).max(0)).unwrap_or(u16::MAX);
        if let Some(csum) = &mut self.offload.partial_csum {
            csum.start = moved(csum.start);
        }
        if let Some(gso) = &mut self.offload.gso {
            gso.hdr_len = moved(gso.hdr_len);
        }
    }
}

#[derive(Debug)]
struct Copied {
    buf: Vec<u8>,
    meta: Meta,
}

/// Names a packet at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Lent(u32),
    Copied(u32),
}

/// Copies whose memory is kept for others: more are made of segments by the thousand.
const KEPT: usize = 512;

/// The copies' memory, kept from burst to burst.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    copies: Vec<Copied>,
    used: usize,
}

impl Pool {
    /// Forgets the copies, keeps the memory of as many as there are of usually.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.copies.truncate(KEPT);
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Copies that there is memory for.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.copies.len()
    }

    fn take(&mut self) -> (u32, &mut Copied) {
        if self.used == self.copies.len() {
            let meta = Meta { start: 0, len: 0, offload: Offload::default(), shared: false };
            self.copies.push(Copied { buf: Vec::new(), meta });
        }
        self.used += 1;
        (self.used as u32 - 1, &mut self.copies[self.used - 1])
    }

    /// Adds a packet that came from elsewhere.
    pub(crate) fn add(&mut self, packet: &PacketBuf) -> Slot {
        let (i, copy) = self.take();
        copy.fill(packet.data(), packet.offload);
        Slot::Copied(i)
    }
}

impl Copied {
    fn fill(&mut self, octets: &[u8], offload: Offload) {
        self.buf.clear();
        self.buf.resize(HEADROOM, 0);
        self.buf.extend_from_slice(octets);
        self.meta = Meta { start: HEADROOM, len: octets.len(), offload, shared: false };
    }
}

/// The packets of a burst, by slot.
pub(crate) struct Packets<'b, 'a> {
    pub(crate) lent: &'b mut Burst<'a>,
    pub(crate) pool: &'b mut Pool,
}

impl Packets<'_, '_> {
    pub(crate) fn meta(&self, slot: Slot) -> &Meta {
        match slot {
            Slot::Lent(i) => &self.lent[i as usize].meta,
            Slot::Copied(i) => &self.pool.copies[i as usize].meta,
        }
    }

    pub(crate) fn meta_mut(&mut self, slot: Slot) -> &mut Meta {
        match slot {
            Slot::Lent(i) => &mut self.lent[i as usize].meta,
            Slot::Copied(i) => &mut self.pool.copies[i as usize].meta,
        }
    }

    /// `len` octets at `start` of a packet's memory.
    pub(crate) fn octets(&self, slot: Slot, start: usize, len: usize) -> &[u8] {
        let buf: &[u8] = match slot {
            Slot::Lent(i) => self.lent[i as usize].buf,
            Slot::Copied(i) => &self.pool.copies[i as usize].buf,
        };
        buf.get(start..start + len).unwrap_or_default()
    }

    pub(crate) fn data(&self, slot: Slot) -> &[u8] {
        let meta = self.meta(slot);
        self.octets(slot, meta.start, meta.len)
    }

    /// A packet to be handed up, or cut: a copy of its own.
    pub(crate) fn to_buf(&self, slot: Slot) -> PacketBuf {
        let mut buf = PacketBuf::new(self.data(slot));
        buf.offload = self.meta(slot).offload;
        buf
    }

    /// Makes a copy, and says where.
    fn copy(&mut self, slot: Slot) -> Slot {
        let meta = *self.meta(slot);
        if let Slot::Lent(i) = slot {
            let (at, copy) = self.pool.take();
            let source = &self.lent[i as usize];
            copy.fill(source.buf.get(meta.start..meta.start + meta.len).unwrap_or_default(), meta.offload);
            return Slot::Copied(at);
        }
        let buf = self.to_buf(slot);
        self.pool.add(&buf)
    }

    /// The octets and metadata of a packet that only `slot`, moved if need be, knows: to be changed.
    pub(crate) fn own(&mut self, slot: &mut Slot) -> (&mut [u8], &mut Meta) {
        if self.meta(*slot).shared {
            *slot = self.copy(*slot);
        }
        let (buf, meta): (&mut [u8], &mut Meta) = match *slot {
            Slot::Lent(i) => {
                let lent = &mut self.lent[i as usize];
                (lent.buf, &mut lent.meta)
            }
            Slot::Copied(i) => {
                let copied = &mut self.pool.copies[i as usize];
                (&mut copied.buf, &mut copied.meta)
            }
        };
        let (start, len) = (meta.start, meta.len);
        (buf.get_mut(start..start + len).unwrap_or_default(), meta)
    }

    /// Makes room for `n` octets behind the first `at`, which move to the front. The room's content is old.
    ///
    /// `false`: the packet is shorter than `at`, or would grow beyond all measure.
    pub(crate) fn insert(&mut self, slot: &mut Slot, at: usize, n: usize) -> bool {
        let meta = *self.meta(*slot);
        if at > meta.len || n > HEADROOM || meta.len + n > u16::MAX as usize + HEADROOM {
            return false;
        }
        if meta.shared || meta.start < n {
            *slot = self.copy(*slot);
        }
        self.meta_mut(*slot).shift(n as isize);
        let (octets, _) = self.own(slot);
        octets.copy_within(n..n + at, 0);
        true
    }

    /// Takes the `n` octets behind the first `at` out; those move to the back. `false`: it has not so many.
    pub(crate) fn remove(&mut self, slot: &mut Slot, at: usize, n: usize) -> bool {
        if at + n > self.meta(*slot).len {
            return false;
        }
        let (octets, meta) = self.own(slot);
        octets.copy_within(0..at, n);
        meta.shift(-(n as isize));
        true
    }
}

/// A key for each packet of a burst, kept from burst to burst.
pub(crate) fn keys() -> Box<[Key]> {
    vec![Key::EMPTY; BURST].into_boxed_slice()
}
