//! TCP. Source: RFC 9293.

use crate::{Malformed, view::view};

view! { 20;
    /// Source port.
    src, set_src: u16 = 0..16;
    /// Destination port.
    dst, set_dst: u16 = 16..32;
    /// Sequence number.
    seq, set_seq: u32 = 32..64;
    /// Acknowledgement number.
    ack, set_ack: u32 = 64..96;
    /// Header length in 32-bit words.
    data_offset, set_data_offset: u8 = 96..100;
    /// Flags: [`flag`], with the four reserved bits above.
    flags, set_flags: u16 = 100..112;
    /// Receive window.
    window, set_window: u16 = 112..128;
    /// Checksum of pseudo header and segment.
    csum, set_csum: u16 = 128..144;
    /// Urgent pointer.
    urgent, set_urgent: u16 = 144..160;
}

/// Bits of `flags`.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u16 = 0x001;
    /// Synchronizes sequence numbers.
    pub const SYN: u16 = 0x002;
    /// Resets the connection.
    pub const RST: u16 = 0x004;
    /// Data to be handed on at once.
    pub const PSH: u16 = 0x008;
    /// The acknowledgement number counts.
    pub const ACK: u16 = 0x010;
    /// The urgent pointer counts.
    pub const URG: u16 = 0x020;
    /// Congestion was met (RFC 3168).
    pub const ECE: u16 = 0x040;
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: u16 = 0x080;
    /// Nonce sum (RFC 3540, historic).
    pub const NS: u16 = 0x100;
}

/// From the header's first octet to its checksum.
pub const CSUM_OFFSET: usize = 16;

impl<T: AsRef<[u8]>> Packet<T> {
    /// Octets of the header with options.
    pub fn header_len(&self) -> usize {
        usize::from(self.data_offset()) * 4
    }

    /// Whether the header with options fits the octets.
    pub fn check_len(&self) -> Result<(), Malformed> {
        let fits = (HEADER_LEN..=self.0.as_ref().len()).contains(&self.header_len());
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// Octets of the options; empty if lengths contradict.
    pub fn options(&self) -> &[u8] {
        self.0.as_ref().get(HEADER_LEN..self.header_len()).unwrap_or(&[])
    }

    /// What follows; empty if lengths contradict.
    pub fn payload(&self) -> &[u8] {
        self.0.as_ref().get(self.header_len()..).unwrap_or(&[])
    }
}
