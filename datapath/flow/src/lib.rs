//! Flow keys, masks, fields, extraction, classifier, datapath actions and upcalls.
//!
//! The one vocabulary that the datapath (`dp`) and the OpenFlow layer (`ofproto`) share; neither knows the other.

pub mod capture_filter;
pub mod classifier;
pub mod compose;
pub mod extract;
pub mod field;
pub mod hash;
pub mod key;
pub mod match_text;
pub mod mini;
pub mod numbers;
pub mod odp;
pub mod odp_text;
pub mod outer;
pub mod text;
pub mod upcall;

pub use compose::{Payload, compose, compose_len};
pub use extract::{Layers, extract, extract_into, extract_with};
pub use field::Field;
pub use key::{Key, Mask, STAGE_END, WORDS};
pub use mini::MiniKey;
pub use odp::{Action, Actions, OdpPort};
pub use upcall::{Execute, FlowChange, FlowEntry, FlowReported, FlowStats, Ticket, Ufid, Upcall, UpcallKind};

/// Bits of [`Key::nw_frag`].
pub mod nw_frag {
    /// The packet is a fragment.
    pub const ANY: u8 = 1;
    /// The packet is a fragment other than the first.
    pub const LATER: u8 = 2;
}

/// Bits of [`Key::ct_state`].
pub mod ct_state {
    /// Begins a connection.
    pub const NEW: u8 = 0x01;
    /// Belongs to an established connection.
    pub const EST: u8 = 0x02;
    /// Is related to a connection.
    pub const REL: u8 = 0x04;
    /// Goes the way of replies.
    pub const RPL: u8 = 0x08;
    /// Could not be tracked.
    pub const INV: u8 = 0x10;
    /// Was tracked.
    pub const TRK: u8 = 0x20;
    /// The source was translated.
    pub const SNAT: u8 = 0x40;
    /// The destination was translated.
    pub const DNAT: u8 = 0x80;
}

/// Bits of [`Key::tun_flags`].
pub mod tun_flag {
    /// The outer packet must not be cut up.
    pub const DONT_FRAGMENT: u16 = 1 << 0;
    /// The outer UDP or GRE header has a checksum.
    pub const CSUM: u16 = 1 << 1;
    /// The tunnel has a key.
    pub const KEY: u16 = 1 << 2;
    /// For operation and maintenance of the tunnel.
    pub const OAM: u16 = 1 << 3;
    /// The packet came with a UDP-based tunnel's option data in datapath form.
    pub const UDPIF: u16 = 1 << 4;
}
