//! LLDP on one port, with the elements of Auto-Attach: it tells of itself and remembers who tells of themselves there.
//!
//! A frame's payload is a row of elements: 7 bits of type, 9 bits of length, then the value. Those of Auto-Attach are
//! organizationally specific ones (type 127) of OUI 00-04-0d: subtype 11 says what the teller is, subtype 12 which VLANs it
//! wishes (sent) or grants (received) for which services. Digests are not looked at and are zero.
//!
//! Time is milliseconds of the switch's clock. Neighbours are not forgotten until others take their places: as Open
//! vSwitch 3.1. Source: IEEE 802.1AB-2016, clauses 8 and 9; ovs-vswitchd.conf.db(5), "Auto Attach Configuration";
//! draft-unbehagen-lldp-spb.

use std::collections::{BTreeMap, BTreeSet};

/// EtherType.
pub const ETHERTYPE: u16 = 0x88cc;
/// Where frames go.
pub const GROUP: u64 = 0x0180_c200_000e;

const INTERVAL_MS: i64 = 5_000;
/// Seconds that what is told holds.
const TTL_S: u16 = 120;
/// Neighbours that are remembered.
const NEIGHBOURS_AT_MOST: usize = 32;
/// Services that fit an element of 511 octets.
const MAPPINGS_AT_MOST: usize = 95;

const CHASSIS: u8 = 1;
const PORT: u8 = 2;
const TTL: u8 = 3;
const SYSTEM_NAME: u8 = 5;
const SYSTEM_DESCRIPTION: u8 = 6;
const CAPABILITIES: u8 = 7;
const SPECIFIC: u8 = 127;
/// Chassis by its Ethernet address; port by its interface's name.
const BY_MAC: u8 = 4;
const BY_NAME: u8 = 5;
const BRIDGE: u16 = 1 << 2;
const AVAYA: [u8; 3] = [0x00, 0x04, 0x0d];
const ELEMENT: u8 = 11;
const SERVICES: u8 = 12;
const DIGEST_LEN: usize = 32;
const SYSTEM_ID_LEN: usize = 10;
/// Type of element of a switch that serves hosts, above ten bits of state.
const OWN_ELEMENT: u8 = 14 << 2;

/// What a port tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The port's name.
    pub name: String,
    /// The port's Ethernet address, 48 bits, by which the switch is known as well.
    pub mac: u64,
    /// The switch's name; empty for none.
    pub system_name: String,
    /// What it is.
    pub system_description: String,
    /// Services (24 bits) and the VLAN (12 bits) that each is to have.
    pub mappings: BTreeMap<u32, u16>,
}

/// What became of the wish for a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nobody has answered.
    #[default]
    Pending,
    /// The four bits of the answer.
    Answered(u8),
}

impl Status {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Answered(2) => "Active",
            Status::Answered(3) => "Reject (Generic)",
            Status::Answered(4) => "Reject (AA resources unavailable)",
            Status::Answered(_) => "Undefined",
        }
    }
}

/// Frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames sent.
    pub sent: u64,
    /// Frames received.
    pub received: u64,
    /// Frames that were no LLDP.
    pub discarded: u64,
    /// TLVs that are not known.
    pub unrecognized: u64,
    /// Neighbours that came.
    pub inserted: u64,
    /// Neighbours that had no room.
    pub dropped: u64,
}

/// Who tells of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbour {
    /// Identifier of the chassis behind its kind.
    pub chassis: Vec<u8>,
    /// Identifier of the port behind its kind.
    pub port: Vec<u8>,
    /// What it is.
    pub description: String,
    /// System identifier of its Auto-Attach element.
    pub system_id: Option<[u8; SYSTEM_ID_LEN]>,
    /// Services: VLAN, status.
    granted: BTreeMap<u32, (u16, u8)>,
    unrecognized: u64,
}

/// The protocol on a port.
#[derive(Clone, Debug)]
pub struct Lldp {
    settings: Settings,
    next_ms: i64,
    counters: Counters,
    neighbours: BTreeMap<(Vec<u8>, Vec<u8>), Neighbour>,
    statuses: BTreeMap<u32, Status>,
}

impl Lldp {
    /// A port that tells of itself in a while.
    pub fn new(settings: Settings, now_ms: i64) -> Lldp {
        let mut lldp = Lldp {
            settings: Settings::default(),
            next_ms: now_ms + INTERVAL_MS,
            counters: Counters::default(),
            neighbours: BTreeMap::new(),
            statuses: BTreeMap::new(),
        };
        lldp.configure(settings);
        lldp
    }

    /// Takes other settings.
    pub fn configure(&mut self, settings: Settings) {
        self.statuses.retain(|service, _| settings.mappings.contains_key(service));
        self.settings = settings;
        let known: Vec<_> = self.neighbours.values().map(|n| n.granted.clone()).collect();
        known.iter().for_each(|granted| self.answer(granted));
    }

    /// Takes what a neighbour says of services.
    fn answer(&mut self, granted: &BTreeMap<u32, (u16, u8)>) {
        for (service, (vlan, status)) in granted {
            if self.settings.mappings.get(service) == Some(vlan) {
                self.statuses.insert(*service, Status::Answered(*status));
            }
        }
    }

    /// Name of the port.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Frames so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Neighbours that speak Auto-Attach.
    pub fn servers(&self) -> impl Iterator<Item = (&Neighbour, &[u8; SYSTEM_ID_LEN])> {
        self.neighbours.values().filter_map(|n| Some((n, n.system_id.as_ref()?)))
    }

    /// Services, the VLAN of each, and what became of the wish.
    pub fn services(&self) -> impl Iterator<Item = (u32, u16, Status)> {
        let status = |service| self.statuses.get(service).copied().unwrap_or_default();
        self.settings.mappings.iter().map(move |(service, vlan)| (*service, *vlan, status(service)))
    }

    /// When [`Lldp::run`] has a frame to send.
    pub fn poll_timeout(&self) -> i64 {
        self.next_ms
    }

    /// The payload of a frame to send to [`GROUP`], if it is time.
    pub fn run(&mut self, now_ms: i64) -> Option<Vec<u8>> {
        if now_ms < self.next_ms {
            return None;
        }
        self.next_ms = now_ms + INTERVAL_MS;
        self.counters.sent += 1;
        Some(emit(&self.settings))
    }

    /// Hears the payload of a frame.
    pub fn hear(&mut self, payload: &[u8]) {
        self.counters.received += 1;
        let Some(neighbour) = parse(payload) else {
            self.counters.discarded += 1;
            return;
        };
        self.counters.unrecognized += neighbour.unrecognized;
        let key = (neighbour.chassis.clone(), neighbour.port.clone());
        if !self.neighbours.contains_key(&key) {
            if self.neighbours.len() >= NEIGHBOURS_AT_MOST {
                self.counters.dropped += 1;
                return;
            }
            self.counters.inserted += 1;
        }
        self.answer(&neighbour.granted);
        self.neighbours.insert(key, neighbour);
    }
}

/// An element; values beyond 511 octets lose their end.
fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = &value[..value.len().min(511)];
    out.extend((u16::from(kind) << 9 | value.len() as u16).to_be_bytes());
    out.extend(value);
}

fn emit(settings: &Settings) -> Vec<u8> {
    let mac = &settings.mac.to_be_bytes()[2..];
    let mut out = Vec::new();
    put(&mut out, CHASSIS, &[&[BY_MAC], mac].concat());
    put(&mut out, PORT, &[&[BY_NAME], settings.name.as_bytes()].concat());
    put(&mut out, TTL, &TTL_S.to_be_bytes());
    if !settings.system_name.is_empty() {
        put(&mut out, SYSTEM_NAME, settings.system_name.as_bytes());
    }
    put(&mut out, SYSTEM_DESCRIPTION, settings.system_description.as_bytes());
    put(&mut out, CAPABILITIES, &[BRIDGE.to_be_bytes(), BRIDGE.to_be_bytes()].concat());
    let head = |subtype| [&AVAYA[..], &[subtype], &[0; DIGEST_LEN]].concat();
    let mut element = head(ELEMENT);
    element.extend([OWN_ELEMENT, 0, 0, 0]);
    element.extend(mac);
    element.extend([0; SYSTEM_ID_LEN - 6]);
    put(&mut out, SPECIFIC, &element);
    if !settings.mappings.is_empty() {
        let mut services = head(SERVICES);
        for (service, vlan) in settings.mappings.iter().take(MAPPINGS_AT_MOST) {
            services.extend((vlan & 0xfff).to_be_bytes());
            services.extend(&service.to_be_bytes()[1..]);
        }
        put(&mut out, SPECIFIC, &services);
    }
    put(&mut out, 0, &[]);
    out
}

/// Reads a payload; `None` for one that says nothing certain.
fn parse(mut rest: &[u8]) -> Option<Neighbour> {
    let mut found = Neighbour::default();
    let mut seen = BTreeSet::new();
    loop {
        let (head, behind) = rest.split_first_chunk::<2>()?;
        let word = u16::from_be_bytes(*head);
        let (kind, len) = ((word >> 9) as u8, usize::from(word & 0x1ff));
        let (value, behind) = behind.split_at_checked(len)?;
        rest = behind;
        match kind {
            0 => break,
            // The first three have their order.
            CHASSIS | PORT | TTL if seen.len() + 1 != usize::from(kind) => return None,
            CHASSIS if len >= 2 => found.chassis = value.to_vec(),
            PORT if len >= 2 => found.port = value.to_vec(),
            TTL if len >= 2 => {}
            CHASSIS | PORT | TTL => return None,
            SYSTEM_DESCRIPTION => found.description = String::from_utf8_lossy(value).into_owned(),
            SPECIFIC => specific(value, &mut found)?,
            _ => {}
        }
        if kind <= TTL {
            seen.insert(kind);
        }
    }
    (seen.len() == 3).then_some(found)
}

fn specific(value: &[u8], found: &mut Neighbour) -> Option<()> {
    let (oui, rest) = value.split_first_chunk::<3>()?;
    let (subtype, rest) = rest.split_first()?;
    if *oui != AVAYA {
        found.unrecognized += 1;
        return Some(());
    }
    match *subtype {
        ELEMENT => {
            let id = rest.get(DIGEST_LEN + 4..)?;
            found.system_id = Some(*id.first_chunk()?);
        }
        SERVICES => {
            for entry in rest.get(DIGEST_LEN..)?.chunks_exact(5) {
                let vlan = u16::from_be_bytes([entry[0], entry[1]]);
                let service = u32::from_be_bytes([0, entry[2], entry[3], entry[4]]);
                found.granted.insert(service, (vlan & 0xfff, (vlan >> 12) as u8));
            }
        }
        _ => found.unrecognized += 1,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            name: "p1".to_owned(),
            mac: 0xaa55_aa55_0006,
            system_name: "foo".to_owned(),
            system_description: "bar".to_owned(),
            mappings: [(100, 5), (200, 7)].into(),
        }
    }

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|o| format!("{o:02x}")).collect()
    }

    #[test]
    fn it_tells_of_itself() {
        let mut lldp = Lldp::new(settings(), 1000);
        assert_eq!(lldp.run(5999), None);
        let sent = lldp.run(6000).unwrap();
        let zeros = "00".repeat(32);
        assert_eq!(
            hex(&sent),
            format!(
                "020704aa55aa5500060403057031060200780a03666f6f0c036261720e0400040004\
                 fe3200040d0b{zeros}38000000aa55aa55000600000000fe2e00040d0c{zeros}000500006400070000c80000"
            )
        );
        assert_eq!((lldp.poll_timeout(), lldp.counters().sent), (11_000, 1));
    }

    #[test]
    fn a_neighbour_grants_services() {
        let mut lldp = Lldp::new(settings(), 0);
        let mut frame = emit(&Settings { mac: 0xaa55_aa55_0106, ..settings() });
        // Active for the first service, rejected for the second.
        let at = frame.len() - 2 - 10;
        frame[at] |= 0x20;
        frame[at + 5] |= 0x30;
        lldp.hear(&frame);
        lldp.hear(&frame);
        let statuses: Vec<_> = lldp.services().map(|(service, _, status)| (service, status.text())).collect();
        assert_eq!(statuses, [(100, "Active"), (200, "Reject (Generic)")]);
        let (server, id) = lldp.servers().next().unwrap();
        assert_eq!((server.description.as_str(), hex(id)), ("bar", "aa55aa55010600000000".to_owned()));
        let counters = lldp.counters();
        assert_eq!((counters.received, counters.inserted, counters.discarded), (2, 1, 0));
        lldp.configure(Settings { mappings: [(200, 7)].into(), ..settings() });
        assert_eq!(lldp.services().count(), 1);
    }

    #[test]
    fn what_is_cut_short_is_discarded() {
        let frame = emit(&settings());
        for len in 0..frame.len() {
            let mut lldp = Lldp::new(settings(), 0);
            lldp.hear(&frame[..len]);
            assert_eq!(lldp.counters().discarded, 1, "{len} octets");
        }
        let mut lldp = Lldp::new(settings(), 0);
        lldp.hear(&[0, 0]);
        assert_eq!(lldp.counters().discarded, 1, "nothing certain");
    }

    #[test]
    fn neighbours_are_bounded() {
        let mut lldp = Lldp::new(settings(), 0);
        for n in 0..100 {
            lldp.hear(&emit(&Settings { mac: n, ..settings() }));
        }
        let counters = lldp.counters();
        assert_eq!((counters.inserted, counters.dropped), (NEIGHBOURS_AT_MOST as u64, 100 - NEIGHBOURS_AT_MOST as u64));
    }
}
