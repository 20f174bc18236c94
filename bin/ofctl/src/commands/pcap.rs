//! Captures: libpcap's file format, of Ethernet alone, its numbers in either order of octets.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};

use cli::program::strerror;

/// `EPROTO`, which tells of what no capture looks like.
const PROTOCOL_ERROR: i32 = 71;
/// Octets of the file's header, and of a packet's.
const FILE_HEAD_LEN: usize = 24;
const PACKET_HEAD_LEN: usize = 16;
/// Type of network: Ethernet.
const ETHERNET: u32 = 1;
/// Longest packet.
const PACKET_MAX: u32 = 0xffff;

/// A capture that is being read; each packet is its octets.
pub(super) struct Pcap {
    source: BufReader<File>,
    /// Whether the file's numbers have their most significant octet first.
    big_endian: bool,
}

/// Why a capture cannot be read.
#[derive(Debug)]
pub(super) struct Failed {
    /// `open` or `read`.
    what: &'static str,
    error: io::Error,
}

impl Failed {
    /// The error's number, as Open vSwitch exits with it; -1 for a file that ends too early.
    pub fn code(&self) -> i32 {
        self.error.raw_os_error().unwrap_or(-1)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed ({})", self.what, reason(&self.error))
    }
}

fn reason(error: &io::Error) -> String {
    if error.kind() == ErrorKind::UnexpectedEof { "End of file".into() } else { strerror(error) }
}

fn protocol_error(what: &'static str) -> Failed {
    Failed { what, error: io::Error::from_raw_os_error(PROTOCOL_ERROR) }
}

impl Pcap {
    /// Opens a capture and reads its header.
    pub fn open(path: &str) -> Result<Pcap, Failed> {
        let failed = |error| Failed { what: "open", error };
        let file = File::open(path).map_err(|error| {
            vlog::warn!("pcap", "{path}: failed to open pcap file for reading ({})", strerror(&error));
            failed(error)
        })?;
        let mut source = BufReader::new(file);
        let mut head = [0; FILE_HEAD_LEN];
        source.read_exact(&mut head).map_err(|error| {
            vlog::warn!("pcap", "failed to read pcap header: {}", reason(&error));
            failed(error)
        })?;
        let magic = number(&head, 0, false);
        let big_endian = match magic {
            0xa1b2_c3d4 | 0xa1b2_3c4d => false,
            0xd4c3_b2a1 | 0x4d3c_b2a1 => true,
            _ => {
                vlog::warn!(
                    "pcap",
                    "bad magic 0x{magic:08x} reading pcap file (expected 0xa1b2c3d4, 0xa1b23c4d, 0xd4c3b2a1, or 0x4d3cb2a1)"
                );
                return Err(protocol_error("open"));
            }
        };
        let network = number(&head, 20, big_endian);
        if network != ETHERNET {
            vlog::warn!("pcap", "unknown network type {network} reading pcap file");
            return Err(protocol_error("open"));
        }
        Ok(Pcap { source, big_endian })
    }
}

impl Iterator for Pcap {
    type Item = Result<Vec<u8>, Failed>;

    fn next(&mut self) -> Option<Result<Vec<u8>, Failed>> {
        let mut head = [0; PACKET_HEAD_LEN];
        // A header that is cut off is the end as well.
        self.source.read_exact(&mut head).ok()?;
        let len = number(&head, 8, self.big_endian);
        let len = if len > PACKET_MAX { len.swap_bytes() } else { len };
        if len > PACKET_MAX {
            vlog::warn!("pcap", "bad packet length {len} or {} reading pcap file", len.swap_bytes());
            return Some(Err(protocol_error("read")));
        }
        let mut packet = vec![0; len as usize];
        match self.source.read_exact(&mut packet) {
            // One of no octets looks like the end.
            Ok(()) if len > 0 => Some(Ok(packet)),
            _ => {
                vlog::warn!("pcap", "failed to read pcap packet: End of file");
                None
            }
        }
    }
}

fn number(octets: &[u8], at: usize, big_endian: bool) -> u32 {
    let octets = [octets[at], octets[at + 1], octets[at + 2], octets[at + 3]];
    if big_endian { u32::from_be_bytes(octets) } else { u32::from_le_bytes(octets) }
}
