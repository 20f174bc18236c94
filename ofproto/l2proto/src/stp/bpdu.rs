//! Bridge protocol data units of the spanning tree protocol. Source: IEEE 802.1D-1998, clause 9.
//!
//! A unit here starts at its protocol identifier; the Ethernet and LLC headers around it (DSAP and SSAP 0x42, control
//! 0x03) are the caller's. All numbers are big-endian on the wire; times are 1/256 second there and milliseconds here.

/// Octets of a configuration unit.
const CONFIG_LEN: usize = 35;
/// Octets of a topology change notification.
const TCN_LEN: usize = 4;

const TYPE_CONFIG: u8 = 0x00;
const TYPE_TCN: u8 = 0x80;
const TYPE_RST: u8 = 0x02;

const FLAG_CHANGE: u8 = 0x01;
const FLAG_ACK: u8 = 0x80;

/// A configuration message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// A topology change is in force.
    pub change: bool,
    /// A topology change notification is acknowledged.
    pub ack: bool,
    /// The root: priority in the upper 16 bits, address in the lower 48.
    pub root: u64,
    /// Cost of the path to it.
    pub cost: u32,
    /// The bridge that sends.
    pub bridge: u64,
    /// The port it sends from: priority and number, 8 bits each.
    pub port: u16,
    /// Age of the information, milliseconds.
    pub age_ms: i64,
    /// Age at which it is dropped, milliseconds.
    pub max_age_ms: i64,
    /// Interval of the root's messages, milliseconds.
    pub hello_ms: i64,
    /// Time in each of the states before forwarding, milliseconds.
    pub forward_ms: i64,
}

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bpdu {
    /// Configuration.
    Config(Config),
    /// Topology change notification.
    ChangeNotification,
}

fn ms(ticks: u16) -> i64 {
    i64::from(ticks) * 1000 / 256
}

fn ticks(ms: i64) -> u16 {
    u16::try_from((ms.max(0) * 256 + 999) / 1000).unwrap_or(u16::MAX)
}

impl Bpdu {
    /// Reads a unit; padding after it is allowed. `None` for what is too short, of another protocol or of no known type.
    /// A rapid spanning tree unit is read as the configuration message that it extends.
    pub fn parse(bytes: &[u8]) -> Option<Bpdu> {
        let head: &[u8; 4] = bytes.first_chunk()?;
        if head[..2] != [0, 0] {
            return None;
        }
        match head[3] {
            TYPE_TCN => Some(Bpdu::ChangeNotification),
            TYPE_CONFIG | TYPE_RST => {
                let b: &[u8; CONFIG_LEN] = bytes.first_chunk()?;
                let u16_at = |at: usize| u16::from_be_bytes([b[at], b[at + 1]]);
                let u64_at = |at: usize| b[at..at + 8].iter().fold(0u64, |sum, octet| sum << 8 | u64::from(*octet));
                Some(Bpdu::Config(Config {
                    change: b[4] & FLAG_CHANGE != 0,
                    ack: b[4] & FLAG_ACK != 0,
                    root: u64_at(5),
                    cost: u32::from(u16_at(13)) << 16 | u32::from(u16_at(15)),
                    bridge: u64_at(17),
                    port: u16_at(25),
                    age_ms: ms(u16_at(27)),
                    max_age_ms: ms(u16_at(29)),
                    hello_ms: ms(u16_at(31)),
                    forward_ms: ms(u16_at(33)),
                }))
            }
            _ => None,
        }
    }

    /// The octets.
    pub fn emit(&self) -> Vec<u8> {
        match self {
            Bpdu::ChangeNotification => {
                let mut out = vec![0; TCN_LEN];
                out[3] = TYPE_TCN;
                out
            }
            Bpdu::Config(c) => {
                let mut out = Vec::with_capacity(CONFIG_LEN);
                out.extend([0, 0, 0, TYPE_CONFIG]);
                out.push(if c.change { FLAG_CHANGE } else { 0 } | if c.ack { FLAG_ACK } else { 0 });
                out.extend(c.root.to_be_bytes());
                out.extend(c.cost.to_be_bytes());
                out.extend(c.bridge.to_be_bytes());
                out.extend(c.port.to_be_bytes());
                for time in [c.age_ms, c.max_age_ms, c.hello_ms, c.forward_ms] {
                    out.extend(ticks(time).to_be_bytes());
                }
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_emitted_is_parsed() {
        let config = Config {
            change: true,
            ack: false,
            root: 0x8000_aa55_aa55_0000,
            cost: 19,
            bridge: 0x8000_aa55_aa55_0001,
            port: 0x8002,
            age_ms: 1000,
            max_age_ms: 20_000,
            hello_ms: 2000,
            forward_ms: 15_000,
        };
        for bpdu in [Bpdu::Config(config), Bpdu::ChangeNotification] {
            let mut bytes = bpdu.emit();
            assert_eq!(Bpdu::parse(&bytes), Some(bpdu));
            let whole = bytes.len();
            bytes.resize(60, 0);
            assert_eq!(Bpdu::parse(&bytes), Some(bpdu), "padding");
            assert_eq!(Bpdu::parse(&bytes[..whole - 1]), None, "cut short");
        }
        let hex: String = Bpdu::Config(config).emit().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "00000000018000aa55aa550000000000138000aa55aa550001800201001400".to_owned() + "02000f00");
    }
}
