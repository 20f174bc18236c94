//! Capture files in the pcapng format (draft-ietf-opsawg-pcapng): a section, its interfaces by name, packets with the
//! way they went, and at the end what each interface lost. Octet order is little-endian throughout.

use flow::capture_filter::Direction;
use std::io::{self, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Of link types: Ethernet.
const ETHERNET: u16 = 1;

/// Numbers of options, by block.
mod option {
    pub const END: u16 = 0;
    pub const SECTION_PROGRAM: u16 = 4;
    pub const INTERFACE_NAME: u16 = 2;
    pub const INTERFACE_DESCRIPTION: u16 = 3;
    pub const INTERFACE_RESOLUTION: u16 = 9;
    pub const INTERFACE_FILTER: u16 = 11;
    pub const PACKET_FLAGS: u16 = 2;
    pub const RECEIVED: u16 = 4;
    pub const DROPPED: u16 = 5;
}

/// A block being put together.
struct Block(Vec<u8>);

impl Block {
    fn new(kind: u32) -> Block {
        let mut block = Block(Vec::with_capacity(128));
        // The length comes last, and is put here as well.
        block.u32(kind).u32(0);
        block
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A time of microseconds since 1970: upper half first.
    fn time(&mut self, wall_us: u64) -> &mut Self {
        self.u32((wall_us >> 32) as u32).u32(wall_us as u32)
    }

    fn octets(&mut self, octets: &[u8]) -> &mut Self {
        self.0.extend_from_slice(octets);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn option(&mut self, number: u16, value: &[u8]) -> &mut Self {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(number).u16(value.len() as u16).octets(value)
    }

    /// Ends options and block.
    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.u16(option::END).u16(0);
        let len = u32::try_from(self.0.len() + 4).unwrap_or(u32::MAX);
        self.0[4..8].copy_from_slice(&len.to_le_bytes());
        self.u32(len);
        out.write_all(&self.0)
    }
}

/// A packet to be written.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its interface, by order of [`Writer::interface`].
    pub interface: u32,
    /// Wall clock time, microseconds since 1970.
    pub wall_us: u64,
    /// Which way it went.
    pub direction: Direction,
    /// Its first octets.
    pub octets: Vec<u8>,
    /// How many octets it had.
    pub len: usize,
}

/// A capture file being written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    snaplen: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a file; packets are cut to `snaplen` octets by who makes them.
    ///
    /// # Errors
    /// Those of the file.
    pub fn begin(mut out: W, snaplen: u32, program: &str) -> io::Result<Self> {
        let mut block = Block::new(SECTION);
        // Version 1.0, of a length not known yet.
        block.u32(BYTE_ORDER).u16(1).u16(0).u64(u64::MAX);
        block.option(option::SECTION_PROGRAM, program.as_bytes()).write(&mut out)?;
        Ok(Self { out, snaplen })
    }

    /// Adds an interface; the first is number 0.
    ///
    /// # Errors
    /// Those of the file.
    pub fn interface(&mut self, name: &str, description: &str, filter: &str) -> io::Result<()> {
        let mut block = Block::new(INTERFACE);
        block.u16(ETHERNET).u16(0).u32(self.snaplen);
        block.option(option::INTERFACE_NAME, name.as_bytes());
        block.option(option::INTERFACE_DESCRIPTION, description.as_bytes());
        // Times count 10^-6 s.
        block.option(option::INTERFACE_RESOLUTION, &[6]);
        if !filter.is_empty() {
            // 0: the filter is text.
            block.option(option::INTERFACE_FILTER, &[&[0], filter.as_bytes()].concat());
        }
        block.write(&mut self.out)
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// Those of the file.
    pub fn packet(&mut self, record: &Record) -> io::Result<()> {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut block = Block::new(PACKET);
        block.u32(record.interface).time(record.wall_us);
        block.u32(number(record.octets.len())).u32(number(record.len)).octets(&record.octets);
        let way: u32 = match record.direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        block.option(option::PACKET_FLAGS, &way.to_le_bytes()).write(&mut self.out)
    }

    /// Tells at the end what became of an interface's packets.
    ///
    /// # Errors
    /// Those of the file.
    pub fn statistics(&mut self, interface: u32, wall_us: u64, received: u64, dropped: u64) -> io::Result<()> {
        let mut block = Block::new(STATISTICS);
        block.u32(interface).time(wall_us);
        block.option(option::RECEIVED, &received.to_le_bytes());
        block.option(option::DROPPED, &dropped.to_le_bytes()).write(&mut self.out)
    }

    /// Hands over what is buffered.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_ends_as_it_begins() {
        let mut file = Vec::new();
        let mut writer = Writer::begin(&mut file, 65_535, "x").unwrap();
        writer.interface("veth0", "br0", "tcp port 80").unwrap();
        let record =
            Record { interface: 0, wall_us: 0x1_0000_0002, direction: Direction::Out, octets: vec![7; 61], len: 100 };
        writer.packet(&record).unwrap();
        writer.statistics(0, 5, 1, 2).unwrap();
        writer.finish().unwrap();
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let len = word(at + 4) as usize;
            assert_eq!((len % 4, word(at + len - 4) as usize), (0, len));
            kinds.push(word(at));
            if word(at) == PACKET {
                assert_eq!(
                    [word(at + 8), word(at + 12), word(at + 16), word(at + 20), word(at + 24)],
                    [0, 1, 2, 61, 100]
                );
                // After 61 octets and three of padding: flags, 4 octets, outbound.
                assert_eq!([word(at + 28 + 64), word(at + 28 + 68)], [4 << 16 | 2, 2]);
            }
            at += len;
        }
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, STATISTICS]);
    }
}
