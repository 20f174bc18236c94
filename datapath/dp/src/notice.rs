//! What the log is to say of packets, in Open vSwitch's words: people look for them.
//!
//! A thread keeps a few between two looks at them ([`Notices`]); how often any of them is written is the log's to say.

use std::fmt;

use flow::OdpPort;

/// Most notices that are kept: beyond it a log that is limited would leave them out as well.
const MAX_NOTICES: usize = 64;

/// Something about a packet that people should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Of an outer header: IPv4's checksum is wrong.
    IpChecksum,
    /// Of an outer header: IPv4 with options, so many octets in all.
    IpOptions(usize),
    /// Flags that no packet of VXLAN has, and the word that the network identifier is in.
    VxlanFlags(u32, u32),
    /// Geneve's header should have so many octets, and has so many.
    GeneveHeader(usize, usize),
    /// The packet is shorter than the octets of its headers, Geneve's options among them.
    GeneveOptions {
        /// Octets of all headers.
        headers: usize,
        /// Octets of the packet.
        packet: usize,
    },
    /// A version of Geneve that there is not.
    GeneveVersion(u8),
    /// Geneve with something other than Ethernet frames within.
    GeneveProtocol(u16),
    /// A version of ERSPAN that there is not.
    ErspanVersion(u8),
    /// GTP-U's signalling.
    GtpuMessage(u8),
    /// GTP-U with something other than IP within.
    GtpuNotIp,
    /// No address and port are free to translate a new connection to.
    NatExhausted,
    /// A frame that is longer than its port sends.
    TooLong(OdpPort),
}

/// A part of Open vSwitch that writes notices, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// `native_tnl`.
    Tunnels,
    /// `conntrack`.
    Tracking,
    /// `netdev_linux`.
    Devices,
}

impl Notice {
    /// Who says so.
    pub fn speaker(&self) -> Speaker {
        match self {
            Notice::NatExhausted => Speaker::Tracking,
            Notice::TooLong(_) => Speaker::Devices,
            _ => Speaker::Tunnels,
        }
    }

    /// The port it is of, if it is of one.
    pub fn port(&self) -> Option<OdpPort> {
        match *self {
            Notice::TooLong(port) => Some(port),
            _ => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Notice::IpChecksum => f.write_str("ip packet has invalid checksum"),
            Notice::IpOptions(octets) => write!(f, "ip options not supported on tunnel packets ({octets} bytes)"),
            Notice::VxlanFlags(0, vni) => write!(f, "invalid vxlan flags=0 vni={vni:#x}"),
            Notice::VxlanFlags(flags, vni) => write!(f, "invalid vxlan flags={flags:#x} vni={vni:#x}"),
            Notice::GeneveHeader(least, octets) => {
                write!(f, "geneve packet too small: min header={least} packet size={octets}")
            }
            Notice::GeneveOptions { headers, packet } => {
                write!(f, "geneve packet too small: header len={headers} packet size={packet}")
            }
            Notice::GeneveVersion(version) => write!(f, "unknown geneve version: {version}"),
            Notice::GeneveProtocol(0) => f.write_str("unknown geneve encapsulated protocol: 0"),
            Notice::GeneveProtocol(protocol) => write!(f, "unknown geneve encapsulated protocol: {protocol:#x}"),
            Notice::ErspanVersion(version) => write!(f, "ERSPAN version error {version}"),
            Notice::GtpuMessage(kind) => write!(f, "Receive non-GPDU msgtype: {kind}"),
            Notice::GtpuNotIp => f.write_str("GTP-U: Receive non-IP packet."),
            Notice::NatExhausted => f.write_str(
                "Unable to NAT due to tuple space exhaustion - if DoS attack, use firewalling and/or zone partitioning.",
            ),
            Notice::TooLong(_) => f.write_str("Message too long"),
        }
    }
}

/// The notices of one thread since they were last looked at.
#[derive(Default)]
pub(crate) struct Notices(Vec<Notice>);

impl Notices {
    /// Keeps one, if there is room.
    #[cold]
    pub(crate) fn add(&mut self, notice: Notice) {
        if self.0.len() < MAX_NOTICES {
            self.0.push(notice);
        }
    }

    /// Those there are, in order; none are left.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, Notice> {
        self.0.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_few_in_order() {
        let mut notices = Notices::default();
        for n in 0..2 * MAX_NOTICES {
            notices.add(Notice::IpOptions(n));
        }
        let kept: Vec<_> = notices.drain().collect();
        assert_eq!(kept, (0..MAX_NOTICES).map(Notice::IpOptions).collect::<Vec<_>>());
        assert_eq!(notices.drain().next(), None);
    }

    #[test]
    fn says_what_people_look_for() {
        let said = |notice: Notice| (notice.speaker(), notice.to_string());
        let tunnels = |text: &str| (Speaker::Tunnels, text.to_owned());
        assert_eq!(said(Notice::VxlanFlags(0, 0x7b00)), tunnels("invalid vxlan flags=0 vni=0x7b00"));
        assert_eq!(said(Notice::VxlanFlags(0x88, 1)), tunnels("invalid vxlan flags=0x88 vni=0x1"));
        assert_eq!(said(Notice::GeneveProtocol(0x800)), tunnels("unknown geneve encapsulated protocol: 0x800"));
        let short = "geneve packet too small: header len=302 packet size=106";
        assert_eq!(said(Notice::GeneveOptions { headers: 302, packet: 106 }), tunnels(short));
        assert_eq!(said(Notice::NatExhausted).0, Speaker::Tracking);
        assert_eq!(said(Notice::TooLong(3)).0, Speaker::Devices);
    }
}
