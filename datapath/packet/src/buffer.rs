//! The owned packet: octets with headroom, and what is still owed to them by the hardware that will send them.

/// Octets kept free in front of a packet for headers to be pushed.
pub const HEADROOM: usize = 128;

/// Work on a packet that was put off until it leaves (virtio's `virtio_net_hdr` in neutral terms).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// A checksum is to be completed: over the octets from `csum_start` to the end, stored at
    /// `csum_start + csum_offset`, where the pseudo header's sum already stands. Offsets from the packet's first octet.
    pub partial_csum: Option<PartialCsum>,
    /// The checksums were verified by who delivered the packet.
    pub csum_valid: bool,
    /// The packet is to be cut into segments.
    pub gso: Option<Gso>,
    /// The hash of its connection as it came, once its headers have changed since.
    pub hash: Option<u32>,
}

/// Where a checksum is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialCsum {
    /// First octet summed.
    pub start: u16,
    /// From `start` to the checksum field.
    pub offset: u16,
}

/// How to segment a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// Kind: virtio's `VIRTIO_NET_HDR_GSO_*` number (1 TCPv4, 3 UDP fragmentation, 4 TCPv6, 5 UDP L4), the ECN bit (0x80) included.
    pub kind: u8,
    /// Payload octets a segment.
    pub size: u16,
    /// Octets of headers, to the end of layer 4.
    pub hdr_len: u16,
}

/// An owned packet.
#[derive(Clone, Debug, Default)]
pub struct PacketBuf {
    octets: Vec<u8>,
    start: usize,
    /// What is still owed.
    pub offload: Offload,
}

impl PacketBuf {
    /// A copy of `octets` with the usual headroom.
    pub fn new(octets: &[u8]) -> Self {
        let mut buf = Vec::with_capacity(HEADROOM + octets.len());
        buf.resize(HEADROOM, 0);
        buf.extend_from_slice(octets);
        Self { octets: buf, start: HEADROOM, offload: Offload::default() }
    }

    /// The packet's octets.
    pub fn data(&self) -> &[u8] {
        &self.octets[self.start..]
    }

    /// The packet's octets, to be written.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.octets[self.start..]
    }

    /// Its length in octets.
    pub fn len(&self) -> usize {
        self.octets.len() - self.start
    }

    /// Whether it has no octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `n` zero octets in front and returns them; offload offsets move along.
    pub fn push_front(&mut self, n: usize) -> &mut [u8] {
        if self.start < n {
            let grow = n - self.start + HEADROOM;
            self.octets.splice(0..0, std::iter::repeat_n(0, grow));
            self.start += grow;
        }
        self.start -= n;
        if let Some(csum) = &mut self.offload.partial_csum {
            csum.start = csum.start.saturating_add(n as u16);
        }
        if let Some(gso) = &mut self.offload.gso {
            gso.hdr_len = gso.hdr_len.saturating_add(n as u16);
        }
        let start = self.start;
        self.octets[start..start + n].fill(0);
        &mut self.octets[start..start + n]
    }

    /// Removes up to `n` octets in front.
    pub fn pull_front(&mut self, n: usize) {
        let n = n.min(self.len());
        self.start += n;
        if let Some(csum) = &mut self.offload.partial_csum {
            csum.start = csum.start.saturating_sub(n as u16);
        }
        if let Some(gso) = &mut self.offload.gso {
            gso.hdr_len = gso.hdr_len.saturating_sub(n as u16);
        }
    }

    /// Cuts the packet to at most `len` octets.
    pub fn truncate(&mut self, len: usize) {
        self.octets.truncate(self.start + len);
    }

    /// Appends octets.
    pub fn extend(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }
}

impl PartialEq for PacketBuf {
    fn eq(&self, other: &Self) -> bool {
        self.data() == other.data() && self.offload == other.offload
    }
}

impl Eq for PacketBuf {}
