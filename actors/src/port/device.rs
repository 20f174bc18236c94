//! Devices by kind: what it takes to open one, and what it says of itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use dp::TxPort;
use flow::extract::ethertype;
use openflow::message::port::port_feature;
use sys::{
    DeviceWatch, EarlySocket, RingConfig, RingKind, RingStock, RxRing, Tap, TapKind, TxConfig, TxMtu, TxSocket, device,
    ethtool, host_stack,
};

use super::capture::Capture;
use super::shortcut::Shortcut;
use super::wire::{self, Lead};
use crate::datapath::adapt::*;
use crate::datapath::early::EarlyQueue;
use crate::datapath::kernel::KernelFlows;
use crate::msg::datapath::QueueParts;
use crate::msg::port::PortStatus;
use crate::switch::desired::DesiredInterface;

/// Kinds of device behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// One of the host's.
    System,
    /// A tap of our own.
    Internal,
    /// None at all, for tests.
    Dummy,
    /// The port exists in OpenFlow only: patches, tunnels.
    Virtual,
}

/// An opened device.
#[derive(Debug)]
pub enum Device {
    /// One of the host's.
    System(Held),
    /// A tap; open as long as this is.
    Tap(OwnTap),
    /// A dummy.
    Dummy(DummyState),
    /// Nothing.
    Virtual,
}

/// A device of the host's whose frames are the switch's; the host's again when this is dropped.
#[derive(Debug)]
pub struct Held {
    ifindex: u32,
    discipline: host_stack::Discipline,
    watch: DeviceWatch,
    /// Of a device by whose ring frames are sent.
    ring_mtu: Option<TxMtu>,
}

impl Held {
    /// The device's number.
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Whether it is still there, and under this name.
    pub fn is_there(&self, name: &str) -> bool {
        self.watch.is_there() && device::index(name).ok() == Some(self.ifindex)
    }

    /// Takes note of the device's MTU.
    pub fn tell_mtu(&self, mtu: Option<i64>) {
        if let (Some(told), Some(mtu)) = (&self.ring_mtu, mtu.and_then(|mtu| u32::try_from(mtu).ok())) {
            told.set(mtu);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Err(error) = host_stack::resume(self.ifindex, self.discipline) {
            vlog::dbg!("netdev", "device {}: {error}", self.ifindex);
        }
    }
}

/// A tap of our own, and what the kernel does at it by itself.
#[derive(Debug)]
pub struct OwnTap {
    /// The tap.
    pub tap: Tap,
    /// By which some of what the host sends goes another way.
    pub shortcut: Shortcut,
    ifindex: u32,
}

impl OwnTap {
    /// What goes to the datapath; any number of times, as long as it has let go of what it had before.
    pub fn parts(&self) -> Parts {
        let device = self.shortcut.is_possible().then_some(self.ifindex);
        let (queue, roused) = TapQueue::new(self.tap.share_with_memory(), device);
        Parts {
            queues: vec![QueueParts { rx: Box::new(queue), wake: Some(self.tap.wake_fd()) }],
            tx: Box::new(TapSender { tap: self.tap.share(), ifindex: self.ifindex }),
            inboxes: Vec::new(),
            wired: None,
            arp: None,
            roused: device.is_some().then_some(roused),
        }
    }
}

/// Frames of ARP that wait to be answered by a dummy at the most.
const ARP_WAITING: usize = 100;

/// A dummy's settings.
#[derive(Debug, Clone)]
pub struct DummyState {
    /// Address, 48 bits.
    pub mac: u64,
    /// Largest payload of a frame.
    pub mtu: DummyMtu,
    /// Set up.
    pub admin_up: bool,
    /// There is a carrier.
    pub link_up: bool,
    /// A number that no other dummy has.
    pub ifindex: i64,
    /// IPv4 and IPv6 addresses.
    pub addresses: Vec<std::net::IpAddr>,
    /// The queues by which it sends.
    pub sending: DummyQueues,
}

impl DummyState {
    /// The dummy of a number, set up and without addresses of IP.
    fn new(number: u32) -> Self {
        Self {
            mac: dummy_mac(number),
            mtu: DummyMtu::default(),
            admin_up: true,
            link_up: true,
            ifindex: -95,
            addresses: Vec::new(),
            sending: DummyQueues::default(),
        }
    }

    /// Takes an address, in place of the one of its family.
    pub fn add_address(&mut self, address: std::net::IpAddr) {
        self.addresses.retain(|known| known.is_ipv4() != address.is_ipv4());
        self.addresses.push(address);
    }

    /// The answer to a frame that asks who has an IPv4 address of the dummy's (RFC 826).
    pub fn answer(&self, frame: &[u8]) -> Option<packet::PacketBuf> {
        let (asked, _) = flow::extract(frame, 1);
        let own = std::net::IpAddr::V4(asked.nw_dst().into());
        let is_request = asked.dl_type() == ethertype::ARP && asked.nw_proto() == packet::arp::REQUEST as u8;
        if !is_request || !self.addresses.contains(&own) {
            return None;
        }
        let mut reply = flow::Key::EMPTY;
        reply.set_dl_dst(asked.arp_sha());
        reply.set_dl_src(self.mac);
        reply.set_dl_type(ethertype::ARP);
        reply.set_nw_proto(packet::arp::REPLY as u8);
        reply.set_nw_src(asked.nw_dst());
        reply.set_nw_dst(asked.nw_src());
        reply.set_arp_sha(self.mac);
        reply.set_arp_tha(asked.arp_sha());
        Some(flow::compose(&reply, flow::Payload::Octets(&[])))
    }
}

/// What goes to the datapath.
pub struct Parts {
    /// Receive queues.
    pub queues: Vec<QueueParts>,
    /// Sending half.
    pub tx: Box<dyn TxPort>,
    /// Of a dummy, one a queue.
    pub inboxes: Vec<DummyInbox>,
    /// Of a dummy that is connected to others.
    pub wired: Option<Wired>,
    /// Of a dummy, frames of ARP that leave it.
    pub arp: Option<tokio::sync::mpsc::Receiver<Vec<u8>>>,
    /// Of a device that has no ring yet, or a tap: hears when it has had packets enough for one, or for a shortcut.
    pub roused: Option<tokio::sync::mpsc::Receiver<()>>,
}

/// A dummy's end of a wire: where it leads, and the frames that leave.
#[derive(Debug)]
pub struct Wired {
    /// Where the wire leads.
    pub lead: Lead,
    /// Frames that leave the dummy, without frame check sequence.
    pub frames: tokio::sync::mpsc::Receiver<Vec<u8>>,
}

/// Rings for all ports.
#[derive(Debug, Clone)]
pub struct Rings {
    /// Layout, decided once at start.
    pub kind: RingKind,
    /// The device has queues of the kernel's, which tell frames apart by their priority.
    pub queued: bool,
    /// Some that are ready.
    pub stock: RingStock,
    /// The kernel's fast path, if there is one.
    pub kernel: Option<KernelFlows>,
}

impl Rings {
    /// Rings of this layout, unless a port asks for another.
    pub fn new(kind: RingKind, kernel: Option<KernelFlows>) -> Self {
        Self { kind, queued: false, stock: RingStock::new(&Self::config(kind)), kernel }
    }

    fn config(kind: RingKind) -> RingConfig {
        RingConfig { kind, headroom: 104, ..RingConfig::default() }
    }
}

static DUMMIES: AtomicU32 = AtomicU32::new(0);

/// Takes the number of a dummy that is no device here: a dummy datapath's own port in Open vSwitch.
pub fn skip_dummy() {
    DUMMIES.fetch_add(1, Relaxed);
}

/// Ethernet address of the next dummy: aa:55:aa:55 and a number.
fn dummy_mac(number: u32) -> u64 {
    0xaa55_aa55_0000 | u64::from(number & 0xffff)
}

/// Octets of an Ethernet address as a number.
pub fn mac_number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |n, b| (n << 8) | u64::from(*b))
}

/// The reverse.
pub fn mac_octets(mac: u64) -> [u8; 6] {
    std::array::from_fn(|i| (mac >> (40 - 8 * i)) as u8)
}

/// An Ethernet address as text.
pub fn mac_text(mac: u64) -> String {
    mac_octets(mac).map(|b| format!("{b:02x}")).join(":")
}

/// Reads `aa:bb:cc:dd:ee:ff`.
pub fn parse_mac(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let mut mac = 0u64;
    for _ in 0..6 {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        mac = (mac << 8) | u64::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

impl Device {
    /// Opens the device of an interface; a dummy is as it was `earlier`, if it was there.
    ///
    /// # Errors
    /// The text for the interface's `error` column.
    pub fn open(
        config: &DesiredInterface,
        kind: DeviceKind,
        rings: &Rings,
        earlier: Option<&DummyState>,
    ) -> Result<(Self, Option<Parts>), String> {
        match kind {
            DeviceKind::System => open_system(config, rings),
            DeviceKind::Internal => open_tap(config, rings),
            DeviceKind::Dummy => open_dummy(config, earlier),
            DeviceKind::Virtual => Ok((Device::Virtual, None)),
        }
    }
}

/// MTUs that a dummy may have, octets.
pub const DUMMY_MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

/// An address for a port without a device: locally administered, and the same as long as the switch runs.
pub fn virtual_mac(seed: u64, bridge: &str, name: &str) -> u64 {
    let octets = bridge.bytes().chain([0]).chain(name.bytes());
    let mixed = octets.fold(seed ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (mixed >> 16 & 0xfcff_ffff_ffff) | 0x0200_0000_0000
}

/// The text of an error's number.
pub fn reason(error: &sys::Error) -> String {
    let text = std::io::Error::from_raw_os_error(error.errno()).to_string();
    text.split(" (os error").next().unwrap_or("").to_owned()
}

fn no_device(name: &str, error: &sys::Error) -> String {
    format!("could not open network device {name} ({})", reason(error))
}

/// The number of one of the host's devices.
///
/// # Errors
/// There is none of this name, in the words that the port's row says it in.
pub fn index(name: &str) -> Result<u32, String> {
    if name.len() >= libc::IFNAMSIZ {
        // No device can have such a name.
        return Err(format!("could not open network device {name} (No such device)"));
    }
    device::index(name).map_err(|error| no_device(name, &error))
}

fn open_system(config: &DesiredInterface, rings: &Rings) -> Result<(Device, Option<Parts>), String> {
    let name = &config.name;
    let fail = |error: sys::Error| no_device(name, &error);
    let ifindex = index(name)?;
    if device::is_loopback(name).unwrap_or(false) {
        return Err(format!("could not add network device {name} to ofproto (Invalid argument)"));
    }
    let kind = match config.ring.as_deref() {
        Some("v2" | "tpacket_v2") => RingKind::V2,
        Some("v3" | "tpacket_v3") => RingKind::V3,
        _ => rings.kind,
    };
    let n_rxq = ring_queues(&config.options) as usize;
    let tx = open_sender(config, ifindex).map_err(fail)?;
    let kernel = rings.kernel.as_ref().filter(|_| config.kernel_path);
    let early = kernel.filter(|_| kind == RingKind::V3 && n_rxq == 1).and_then(|kernel| open_early(ifindex, kernel));
    let (queues, roused, discipline) = match early {
        Some((queue, roused, discipline)) => (vec![queue], Some(roused), discipline),
        None => {
            let mut opened = rings.stock.open(ifindex, n_rxq, &Rings::config(kind)).map_err(fail)?;
            let discipline = keep_from_host(name, ifindex, &mut opened, kernel);
            (opened.into_iter().map(ring_parts).collect(), None, discipline)
        }
    };
    let held = Held { ifindex, discipline, watch: tx.watch().map_err(fail)?, ring_mtu: tx.ring_mtu() };
    Ok((
        Device::System(held),
        Some(Parts {
            queues,
            tx: Box::new(RingSender { socket: tx, queued: rings.queued }),
            inboxes: Vec::new(),
            wired: None,
            arp: None,
            roused,
        }),
    ))
}

/// Opens what sends by a device: by a ring, if that is wanted and can be had.
fn open_sender(config: &DesiredInterface, ifindex: u32) -> Result<TxSocket, sys::Error> {
    // Past the queueing discipline frames would also pass whoever watches the device.
    let plain = TxConfig { qdisc_bypass: false, ..TxConfig::default() };
    if config.tx_ring {
        match device::mtu(&config.name)
            .and_then(|mtu| TxSocket::open(ifindex, &TxConfig { ring_mtu: Some(mtu), ..plain }))
        {
            Ok(sender) => return Ok(sender),
            Err(error) => vlog::warn!("netdev_linux", "{}: sends without a ring: {error}", config.name),
        }
    }
    TxSocket::open(ifindex, &plain)
}

fn ring_parts(rx: RxRing) -> QueueParts {
    QueueParts { wake: rx.poll_fd().try_clone_to_owned().ok().map(Into::into), rx: Box::new(RingQueue(rx)) }
}

/// A queue, who tells that its first packets have come, and whose the queueing discipline is.
type Early = (QueueParts, tokio::sync::mpsc::Receiver<()>, host_stack::Discipline);

/// The queue of a device that is to have its ring when its first packets have come; none where the kernel takes no
/// programs, by which the one succeeds the other.
fn open_early(ifindex: u32, kernel: &KernelFlows) -> Option<Early> {
    let discipline = host_stack::stop_with(ifindex, &kernel.programs().ingress).ok()?;
    let socket = EarlySocket::open(ifindex, &Rings::config(RingKind::V3), kernel.programs()).ok()?;
    let wake = socket.poll_fd().try_clone_to_owned().ok().map(Into::into);
    let (queue, roused) = EarlyQueue::new(socket);
    Some((QueueParts { wake, rx: Box::new(queue) }, roused, discipline))
}

/// The ring that succeeds it.
///
/// # Errors
/// Why there is none.
pub fn open_late(ifindex: u32, rings: &Rings) -> Result<QueueParts, String> {
    let kernel = rings.kernel.as_ref().ok_or("no programs")?;
    let opened = rings.stock.succeed(ifindex, &Rings::config(RingKind::V3), kernel.programs());
    opened.map(ring_parts).map_err(|error| error.to_string())
}

/// Keeps a device's frames from the host's own stack, but for those that the kernel forwards by itself, if it can. Gives
/// whose the queueing discipline is that this needs.
fn keep_from_host(
    name: &str,
    ifindex: u32,
    opened: &mut [RxRing],
    kernel: Option<&KernelFlows>,
) -> host_stack::Discipline {
    if let Some(kernel) = kernel {
        let mut with_programs = || {
            let discipline = host_stack::stop_with(ifindex, &kernel.programs().ingress)?;
            opened.iter_mut().try_for_each(|rx| rx.set_programs(kernel.programs()))?;
            Ok::<_, sys::Error>(discipline)
        };
        match with_programs() {
            Ok(discipline) => return discipline,
            Err(error) => vlog::info!("netdev_linux", "{name}: not forwarded by the kernel itself: {error}"),
        }
    }
    host_stack::stop(ifindex).unwrap_or_else(|error| {
        vlog::warn!("netdev_linux", "{name}: the host's own stack goes on seeing its packets: {error}");
        host_stack::Discipline::Foreign
    })
}

fn open_tap(config: &DesiredInterface, rings: &Rings) -> Result<(Device, Option<Parts>), String> {
    let name = &config.name;
    let fail = |error: sys::Error| no_device(name, &error);
    let tap = Tap::open(name, TapKind::Tap).map_err(fail)?;
    // The host's addresses on it outlive a restart of the switch.
    tap.set_persistent(true).map_err(fail)?;
    if let Some(mac) = config.mac.as_deref().and_then(parse_mac)
        && let Err(error) = device::set_address(name, mac_octets(mac))
    {
        vlog::warn!("netdev_linux", "{name}: setting its Ethernet address: {error}");
    }
    let ifindex = device::index(tap.name()).map_err(fail)?;
    let own = OwnTap { shortcut: Shortcut::new(ifindex, rings.kernel.clone()), tap, ifindex };
    let parts = own.parts();
    Ok((Device::Tap(own), Some(parts)))
}

/// Receive queues of one of the host's devices at most.
const RING_QUEUES: u32 = 64;

/// Receive queues that one of the host's devices is to have: rings among which the kernel shares its flows out.
pub fn ring_queues(options: &crate::switch::desired::Pairs) -> u32 {
    options.get("n_rxq").and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, RING_QUEUES)
}

/// Receive queues of a dummy at most.
const DUMMY_QUEUES: u32 = 1024;

/// The interface index that a dummy is given; what is no number of 31 bits is none.
pub fn dummy_index(options: &crate::switch::desired::Pairs) -> Option<u32> {
    options.get("ifindex")?.trim_start().parse::<i32>().ok()?.try_into().ok()
}

/// Receive queues that a dummy polled by threads of their own is to have.
pub fn dummy_queues(options: &crate::switch::desired::Pairs) -> u32 {
    options.get("n_rxq").and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, DUMMY_QUEUES)
}

/// Sending queues that such a dummy is to have.
pub fn dummy_sending_queues(options: &crate::switch::desired::Pairs) -> u32 {
    options.get("n_txq").and_then(|n| n.parse().ok()).unwrap_or(1).clamp(1, DUMMY_QUEUES)
}

/// Tells the log of a dummy that is to have more queues than it can.
fn complain_of_queues(config: &DesiredInterface) {
    let asked = |name: &str| config.options.get(name).and_then(|n| n.parse::<u32>().ok()).unwrap_or(1).max(1);
    let (name, rxq, txq) = (&config.name, asked("n_rxq"), asked("n_txq"));
    if rxq.max(txq) > DUMMY_QUEUES {
        let which = format_args!("interface {name} queues(rxq: {rxq}, txq: {txq}) exceed {DUMMY_QUEUES}");
        vlog::warn!("netdev_dummy", "The one or both of {which}. Sets it {DUMMY_QUEUES}.");
    }
}

fn open_dummy(config: &DesiredInterface, earlier: Option<&DummyState>) -> Result<(Device, Option<Parts>), String> {
    let (mut n_rxq, mut n_txq) = (1, 1);
    if config.kind == "dummy-pmd" {
        complain_of_queues(config);
        (n_rxq, n_txq) = (dummy_queues(&config.options), dummy_sending_queues(&config.options));
    }
    let option = |name: &str| config.options.get(name);
    let capture = |path: Option<&String>| -> Option<Arc<Mutex<Capture>>> {
        let path = path?;
        match Capture::create(Path::new(path)) {
            Ok(capture) => Some(Arc::new(Mutex::new(capture))),
            Err(error) => {
                vlog::warn!("netdev_dummy", "{path}: {error}");
                None
            }
        }
    };
    let both = capture(option("pcap"));
    let (rx, tx) = match both {
        Some(both) => (Some(both.clone()), Some(both)),
        None => (capture(option("rxq_pcap")), capture(option("tx_pcap"))),
    };
    let sink_of = |capture: Arc<Mutex<Capture>>| -> Sink {
        Box::new(move |packet: &[u8]| {
            let mut capture = capture.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Err(error) = capture.write(packet) {
                vlog::warn_rl!("netdev_dummy", 5, 5, "capture: {error}");
            }
        })
    };
    let mut queues = Vec::new();
    let mut inboxes = Vec::new();
    for _ in 0..n_rxq {
        let (queue, inbox) = DummyQueue::new();
        queues.push(QueueParts { rx: Box::new(queue), wake: None });
        inboxes.push(inbox.recorded(rx.clone().map(sink_of)));
    }
    let mac = config.mac.as_deref().or(option("mac").map(String::as_str)).and_then(parse_mac);
    let before = earlier.cloned().unwrap_or_else(|| DummyState::new(DUMMIES.fetch_add(1, Relaxed)));
    let state = DummyState {
        mac: mac.unwrap_or(before.mac),
        ifindex: dummy_index(&config.options).map_or(-95, i64::from),
        sending: DummyQueues::new(n_txq),
        ..before
    };
    let (mtu, sending) = (state.mtu.clone(), state.sending.clone());
    let (sender, wired) = match wire::lead(&config.options) {
        Ok(lead) => lead.map(wire::ends).unzip(),
        Err(line) => {
            vlog::warn!("netdev_dummy", "{line}");
            (None, None)
        }
    };
    let mut record = tx.map(sink_of);
    let sink = (record.is_some() || sender.is_some()).then(|| -> Arc<Mutex<Sink>> {
        Arc::new(Mutex::new(Box::new(move |octets: &[u8]| {
            if let Some(record) = &mut record {
                record(octets);
            }
            if let Some(sender) = &sender {
                // A wire that is full, or cut, loses the frame.
                let _ = sender.try_send(octets.to_vec());
            }
        })))
    });
    let (asking, asked) = tokio::sync::mpsc::channel(ARP_WAITING);
    let tx = Box::new(DummySender { sink, mtu, arp: Some(asking), seat: sending.seat() });
    Ok((Device::Dummy(state), Some(Parts { queues, tx, inboxes, wired, arp: Some(asked), roused: None })))
}

/// What the kernel says of a device.
pub fn host_status(name: &str, status: &mut PortStatus) {
    status.admin_up = device::is_up(name).unwrap_or(false);
    status.link_up = ethtool::has_link(name).unwrap_or(false);
    status.mac = device::address(name).map(mac_number).unwrap_or(0);
    status.mtu = device::mtu(name).ok().map(i64::from);
    status.ifindex = device::index(name).ok().map(i64::from);
    let mut pairs = BTreeMap::new();
    if let Ok(info) = ethtool::driver_info(name) {
        pairs.insert("driver_name".to_owned(), info.driver);
        pairs.insert("driver_version".to_owned(), info.version);
        pairs.insert("firmware_version".to_owned(), info.firmware);
    }
    status.status = pairs;
    if let Ok(link) = ethtool::link_settings(name) {
        if let Some(mbps) = link.speed_mbps {
            status.link_speed_bps = Some(i64::from(mbps) * 1_000_000);
            status.features = features_of(mbps);
        }
        status.duplex_full = link.full_duplex;
    }
}

fn features_of(mbps: u32) -> u32 {
    let speed = match mbps {
        10 => port_feature::FD_10MB,
        100 => port_feature::FD_100MB,
        1_000 => port_feature::FD_1GB,
        10_000 => port_feature::FD_10GB,
        40_000 => port_feature::FD_40GB,
        100_000 => port_feature::FD_100GB,
        1_000_000 => port_feature::FD_1TB,
        _ => port_feature::OTHER,
    };
    speed | port_feature::COPPER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dummy_answers_for_its_address() {
        let mut dummy = DummyState::new(0);
        dummy.add_address("1.1.2.87".parse().expect("an address"));
        dummy.add_address("2001:cafe::88".parse().expect("an address"));
        dummy.add_address("1.1.2.88".parse().expect("an address"));
        assert_eq!(dummy.addresses.len(), 2);
        let ask = |op, to| {
            let head = packet::ethernet::Repr { dst: 0xffff_ffff_ffff, src: 7, ethertype: ethertype::ARP };
            let mut frame = head.octets().to_vec();
            frame.extend(packet::arp::Repr::ethernet_ipv4(op, 7, 0x0101_025c, 0, to).octets());
            frame
        };
        let answer = dummy.answer(&ask(packet::arp::REQUEST, 0x0101_0258)).expect("an answer");
        let (key, _) = flow::extract(answer.data(), 1);
        assert_eq!((key.dl_src(), key.dl_dst(), key.nw_proto()), (dummy.mac, 7, 2));
        assert_eq!(
            (key.nw_src(), key.nw_dst(), key.arp_sha(), key.arp_tha()),
            (0x0101_0258, 0x0101_025c, dummy.mac, 7)
        );
        for (op, to) in [(packet::arp::REQUEST, 0x0101_0257), (packet::arp::REPLY, 0x0101_0258)] {
            assert!(dummy.answer(&ask(op, to)).is_none());
        }
        assert!(dummy.answer(&[0; 20]).is_none());
    }
}
