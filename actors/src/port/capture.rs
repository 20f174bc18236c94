//! Capture files of dummy ports: classic pcap, microseconds, Ethernet.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::clock;

const MAGIC: u32 = 0xa1b2_c3d4;
const SNAPLEN: u32 = 0xffff;
const ETHERNET: u32 = 1;

/// A capture file being written.
#[derive(Debug)]
pub struct Capture {
    file: File,
}

impl Capture {
    /// Starts a file, or goes on with one that is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut header = Vec::with_capacity(24);
        header.extend(MAGIC.to_le_bytes());
        header.extend(2u16.to_le_bytes());
        header.extend(4u16.to_le_bytes());
        header.extend([0; 8]);
        header.extend(SNAPLEN.to_le_bytes());
        header.extend(ETHERNET.to_le_bytes());
        let mut file = File::options().append(true).create(true).open(path)?;
        if file.metadata()?.len() == 0 {
            file.write_all(&header)?;
        }
        Ok(Self { file })
    }

    /// Appends a packet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&mut self, packet: &[u8]) -> io::Result<()> {
        let now_us = clock::wall_us();
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let mut record = Vec::with_capacity(16 + packet.len());
        record.extend(((now_us / 1_000_000) as u32).to_le_bytes());
        record.extend(((now_us % 1_000_000) as u32).to_le_bytes());
        record.extend(len.to_le_bytes());
        record.extend(len.to_le_bytes());
        record.extend_from_slice(packet);
        self.file.write_all(&record)
    }
}
