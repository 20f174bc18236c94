//! A received frame with its offload metadata, and the 10-byte virtio header that carries it
//! (VIRTIO 1.2, 5.1.6; `PACKET_VNET_HDR` of packet(7)). Numbers in the header are in host byte order.

/// Length of the virtio header on the wire between us and the kernel.
pub const VNET_HDR_LEN: usize = 10;

/// Values of [`VnetHdr::flags`].
pub mod vnet_flag {
    /// `csum_start` and `csum_offset` tell where the checksum is still to be completed.
    pub const NEEDS_CSUM: u8 = 1;
    /// The checksums were verified by the device.
    pub const DATA_VALID: u8 = 2;
}

/// Values of [`VnetHdr::gso_type`].
pub mod gso {
    /// Not segmented later.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// UDP fragmentation (obsolete).
    pub const UDP: u8 = 3;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 4;
    /// UDP segmentation, either IP version.
    pub const UDP_L4: u8 = 5;
    /// Not virtio's: the packet is longer than its device takes, and nobody said how it was to be cut; the size is the device's MTU.
    pub const OUTER: u8 = 0x40;
    /// Flag: the TCP segment has ECN set.
    pub const ECN: u8 = 0x80;
}

/// The virtio header: what the kernel left undone in a frame. Offsets count from the frame's first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHdr {
    /// See [`vnet_flag`].
    pub flags: u8,
    /// See [`gso`].
    pub gso_type: u8,
    /// Length of the headers of a frame to be segmented, bytes; a hint.
    pub hdr_len: u16,
    /// Payload bytes a segment.
    pub gso_size: u16,
    /// Where the sum to be completed begins.
    pub csum_start: u16,
    /// Where the result goes, counted from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// Reads the header's ten bytes.
    pub fn from_bytes(b: &[u8; VNET_HDR_LEN]) -> Self {
        let word = |i: usize| u16::from_ne_bytes([b[i], b[i + 1]]);
        Self {
            flags: b[0],
            gso_type: b[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }

    /// Writes the header's ten bytes.
    pub fn to_bytes(self) -> [u8; VNET_HDR_LEN] {
        let mut b = [0; VNET_HDR_LEN];
        b[0] = self.flags;
        b[1] = self.gso_type;
        b[2..4].copy_from_slice(&self.hdr_len.to_ne_bytes());
        b[4..6].copy_from_slice(&self.gso_size.to_ne_bytes());
        b[6..8].copy_from_slice(&self.csum_start.to_ne_bytes());
        b[8..10].copy_from_slice(&self.csum_offset.to_ne_bytes());
        b
    }

    /// Follows headers of `n` bytes pushed before the layer the offsets point into.
    pub(crate) fn shift(&mut self, n: u16) {
        if self.flags & vnet_flag::NEEDS_CSUM != 0 {
            self.csum_start = self.csum_start.saturating_add(n);
        }
        if self.hdr_len != 0 {
            self.hdr_len = self.hdr_len.saturating_add(n);
        }
    }
}

/// One received frame, in memory that belongs to its ring until the borrow ends.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Headroom, then the frame, then perhaps some tailroom.
    pub buf: &'a mut [u8],
    /// Where the frame begins in `buf`: so many bytes may be pushed before it.
    pub start: usize,
    /// Length of the frame, bytes.
    pub len: usize,
    /// Work left undone by the sender's kernel.
    pub vnet: VnetHdr,
    /// When the kernel saw it, ns since the epoch; 0 where the source gives no time.
    pub timestamp_ns: u64,
}

impl Frame<'_> {
    /// The frame's bytes.
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..self.start + self.len]
    }

    /// Puts a VLAN tag that the kernel stripped back behind the addresses.
    ///
    /// Without headroom or addresses the frame stays as it is and the answer is `false`.
    pub(crate) fn restore_vlan(&mut self, tpid: u16, tci: u16) -> bool {
        if self.start < 4 || self.len < 12 {
            return false;
        }
        let old = self.start;
        self.buf.copy_within(old..old + 12, old - 4);
        self.start -= 4;
        self.len += 4;
        let tag = self.start + 12;
        self.buf[tag..tag + 2].copy_from_slice(&tpid.to_be_bytes());
        self.buf[tag + 2..tag + 4].copy_from_slice(&tci.to_be_bytes());
        self.vnet.shift(4);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trip() {
        let bytes = [1, 4, 54, 0, 0xa8, 5, 34, 0, 16, 0];
        let hdr = VnetHdr::from_bytes(&bytes);
        assert_eq!((hdr.hdr_len, hdr.gso_size, hdr.csum_start, hdr.csum_offset), (54, 1448, 34, 16));
        assert_eq!(hdr.to_bytes(), bytes);
    }

    #[test]
    fn vlan_goes_behind_the_addresses_and_moves_the_checksum() {
        let mut buf = vec![0u8; 4];
        buf.extend(1..=20);
        let vnet = VnetHdr { flags: vnet_flag::NEEDS_CSUM, csum_start: 14, ..VnetHdr::default() };
        let mut f = Frame { buf: &mut buf, start: 4, len: 20, vnet, timestamp_ns: 0 };
        assert!(f.restore_vlan(0x8100, 0x2064));
        assert_eq!(&f.data()[..18], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81, 0, 0x20, 0x64, 13, 14]);
        assert_eq!((f.len, f.vnet.csum_start), (24, 18));
        assert!(!f.restore_vlan(0x8100, 1), "no headroom is left");
    }
}
