//! The bridge's bonds and their LACP: machines of `l2proto`, fed with links and frames, and what becomes of them in the
//! view that translation reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use l2proto::bond::{Bond, BondConfig, BondMode, LacpStatus, MemberState};
use l2proto::lacp::{Info, Lacp, LacpConfig, MemberConfig, PDU_LEN, state};
use l2proto::mac_learning::MacKey;
use openflow::OfPort;
use packet::arp;

use super::hidden::{self, BucketRules};
use super::{Bridge, Output};
use crate::export::sflow::LacpCounters;
use crate::note::{Level, Note};
use crate::rule::RuleStats;
use crate::view::{BondView, BundleId, BundleView, PortKind};

/// Where LACPDUs go, and their EtherType.
const LACP_GROUP: u64 = 0x0180_c200_0002;
const SLOW_PROTOCOLS: u16 = 0x8809;
/// EtherType and operation of reverse ARP requests.
const RARP: u16 = 0x8035;
const REVERSE_REQUEST: u16 = 3;

/// LACP of a bundle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LacpSettings {
    /// Of the bundle; a system identifier of 0 means the bridge's address.
    pub bundle: LacpConfig,
    /// Of its ports.
    pub members: BTreeMap<OfPort, MemberConfig>,
}

/// What a bundle is configured to be besides a way for packets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BundleSettings {
    /// It is a bond.
    pub bond: Option<BondConfig>,
    /// Address of the bond's member that was active when the database was last told, 48 bits.
    pub active_mac: u64,
    /// It speaks LACP.
    pub lacp: Option<LacpSettings>,
}

/// A bond, with what it is called in the datapath.
#[derive(Debug)]
struct Bonded {
    machine: Bond<OfPort>,
    /// What its packets go round with, 0 as long as they never do.
    recirc_id: u32,
    /// What the datapath knows for `lb_output`: the bond's number there, which is its recirculation identifier, and its
    /// members by bucket.
    told: Option<(u32, Vec<Option<u32>>)>,
    /// The rules that its recirculated packets follow; they stay when it does not balance any more.
    rules: BucketRules,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Bonding {
    bonds: BTreeMap<BundleId, Bonded>,
    lacps: BTreeMap<BundleId, Lacp<OfPort>>,
    /// LACPDUs came in since LACP looked at its members. What a partner says of several members at once is looked at
    /// together: after the first of them alone the others would seem to have another partner.
    heard: bool,
    /// LACPDUs of ports that the switch does not show as this bridge's yet. What the other side answers would be nobody's;
    /// and where it is a bridge of this switch, its own ports are not shown either.
    held: Vec<(OfPort, [u8; PDU_LEN])>,
}

impl Bonding {
    /// Of each bond its recirculation identifier and its buckets' rules.
    pub(super) fn bucket_rules(&self) -> impl Iterator<Item = (u32, &BucketRules)> {
        self.bonds.values().map(|bonded| (bonded.recirc_id, &bonded.rules))
    }
}

impl Bridge {
    /// Takes over what is configured of bonds and LACP; the view's ports and bundles are up to date.
    pub(super) fn configure_bonding(&mut self, settings: &BTreeMap<BundleId, BundleSettings>, now_ms: i64) {
        let gone: Vec<BundleId> = self.bonding.bonds.keys().filter(|id| !is_bond(settings, id)).copied().collect();
        for id in gone {
            let Some(mut bonded) = self.bonding.bonds.remove(&id) else { continue };
            let stay = self.view.bundles.get(&id).map(|b| b.ports.clone()).unwrap_or_default();
            self.disband(&mut bonded.machine, &stay, now_ms);
            if let Some((id, _)) = bonded.told {
                self.put(Output::SetBond { id, members: None });
            }
            self.tell_monitors(&hidden::clear(&mut bonded.rules, bonded.recirc_id));
        }
        self.bonding.lacps.retain(|id, _| settings.get(id).is_some_and(|s| s.lacp.is_some()));
        for (id, settings) in settings {
            if let Some(lacp) = &settings.lacp {
                self.configure_lacp(*id, lacp, now_ms);
            }
            if let Some(bond) = &settings.bond {
                let bonded = self.bonding.bonds.entry(*id).or_insert_with(|| Bonded {
                    machine: Bond::new(bond.clone(), settings.active_mac, now_ms),
                    recirc_id: 0,
                    told: None,
                    rules: BucketRules::new(),
                });
                bonded.machine.configure(bond.clone(), now_ms);
                if bond.mode == BondMode::ActiveBackup {
                    let recirc_id = std::mem::take(&mut bonded.recirc_id);
                    let gone = hidden::clear(&mut bonded.rules, recirc_id);
                    self.tell_monitors(&gone);
                } else if bonded.recirc_id == 0 {
                    bonded.recirc_id = self.recirc.reserve();
                }
            }
        }
        self.run_bonding(now_ms);
    }

    /// Says that a bond that ends has lost its members, but for those that its port keeps.
    fn disband(&mut self, machine: &mut Bond<OfPort>, stay: &[OfPort], now_ms: i64) {
        machine.keep_members(stay, now_ms);
        for text in machine.take_news() {
            self.put(Output::Log(Note::new("bond", Level::Info, text)));
        }
    }

    fn configure_lacp(&mut self, id: BundleId, settings: &LacpSettings, now_ms: i64) {
        let mut config = settings.bundle.clone();
        if config.system_id == 0 {
            config.system_id = self.config.hw_addr;
        }
        let ports = &self.view.ports;
        let members = settings.members.iter().filter_map(|(port, member)| {
            let up = ports.get(port)?.link_up;
            Some((*port, member.clone(), up))
        });
        let machine = self.bonding.lacps.entry(id).or_insert_with(|| Lacp::new(config.clone()));
        machine.configure(config, members, now_ms);
    }

    /// Does what is due in bonds and LACP.
    pub(super) fn run_bonding(&mut self, now_ms: i64) {
        self.report_stale = true;
        self.bonding.heard = false;
        let bundles: Vec<BundleId> = self.view.bundles.keys().copied().collect();
        for id in bundles {
            let Some(bundle) = self.view.bundles.get(&id).cloned() else { continue };
            let mut frames = Vec::new();
            let mut news = Vec::new();
            let mut status = LacpStatus::Off;
            if let Some(lacp) = self.bonding.lacps.get_mut(&id) {
                lacp.run(now_ms);
                frames = lacp.poll_output();
                news.extend(lacp.take_news().into_iter().map(|line| ("lacp", line)));
                status = lacp.status();
            }
            self.show_members_fit(&bundle);
            if let Some(bonded) = self.bonding.bonds.get_mut(&id) {
                let ports = &self.view.ports;
                let member = |port: &OfPort| {
                    let view = ports.get(port)?;
                    let state = MemberState { name: view.name.clone(), mac: view.hw_addr, may_enable: view.may_enable };
                    Some((*port, state))
                };
                bonded.machine.set_members(bundle.ports.iter().filter_map(member), now_ms);
                bonded.machine.run(status, now_ms);
                news.extend(bonded.machine.take_news().into_iter().map(|line| ("bond", line)));
            }
            self.show_bond(&bundle, status);
            if self.bonding.bonds.get_mut(&id).is_some_and(|b| b.machine.take_teaching()) {
                self.teach_neighbours(id);
            }
            for (module, text) in news {
                self.put(Output::Log(Note::new(module, Level::Info, text)));
            }
            for frame in frames {
                // What a port would have said before is old.
                self.bonding.held.retain(|(port, _)| *port != frame.member);
                self.bonding.held.push((frame.member, frame.pdu));
            }
        }
        self.send_held();
    }

    /// Sends LACPDUs that waited for the switch to show their ports; whether there were any.
    pub fn send_held(&mut self) -> bool {
        let held = std::mem::take(&mut self.bonding.held);
        let (shown, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|(port, _)| self.is_shown(*port));
        self.bonding.held = held;
        for (port, pdu) in &shown {
            self.send_frame(*port, LACP_GROUP, SLOW_PROTOCOLS, pdu);
        }
        !shown.is_empty()
    }

    /// Whether upcalls of a port would come to this bridge, as far as it knows. Ports that are gone wait for nothing.
    fn is_shown(&self, port: OfPort) -> bool {
        let Some(view) = self.view.ports.get(&port) else { return true };
        match (view.odp, &view.kind) {
            (_, PortKind::Tunnel(_)) => {
                self.live.tunnels.ports.iter().any(|(at, ..)| (at.bridge, at.port) == (self.view.id, port))
            }
            (Some(odp), _) => self.live.odp_ports.contains_key(&odp),
            (None, _) => true,
        }
    }

    /// Sends a frame from each station that is not behind the bond, so that switches there learn the new way to it.
    fn teach_neighbours(&mut self, id: BundleId) {
        let stations: Vec<MacKey> =
            self.macs.entries(self.now_ms).filter(|(_, e, _)| e.port != id.0).map(|(key, ..)| key).collect();
        for MacKey { vlan, mac } in stations {
            let Some(bonded) = self.bonding.bonds.get(&id) else { return };
            let hash = flow::hash::mac_vlan(mac, vlan, bonded.machine.config().basis) as u8;
            if let Some(port) = bonded.machine.member_for(hash) {
                self.send_whole(port, reverse_request(mac, vlan));
            }
        }
    }

    /// Puts into the view which ports of a bundle may be used.
    fn show_members_fit(&mut self, bundle: &BundleView) {
        let mut changed = Vec::new();
        let lacp = self.bonding.lacps.get(&bundle.id);
        for number in &bundle.ports {
            let Some(port) = self.view.ports.get_mut(number) else { continue };
            let fit = port.link_up && lacp.is_none_or(|l| l.may_enable(*number)) && self.liveness.allows(*number);
            if (port.may_enable, port.lacp) != (fit, lacp.is_some()) {
                let port = Arc::make_mut(port);
                if port.may_enable != fit {
                    changed.push((*number, port.may_enable));
                }
                (port.may_enable, port.lacp) = (fit, lacp.is_some());
                self.dirty = true;
            }
        }
        for (number, was) in changed {
            self.tell_port_fit(number, was);
        }
    }

    /// Ends all bonds, which the datapath balances no more.
    pub(super) fn withdraw_bonds(&mut self) {
        for mut bonded in std::mem::take(&mut self.bonding.bonds).into_values() {
            self.disband(&mut bonded.machine, &[], self.now_ms);
            if let Some((id, _)) = bonded.told {
                self.put(Output::SetBond { id, members: None });
            }
        }
    }

    /// Tells the datapath, which knows none, of the bonds that it balances.
    pub(super) fn tell_bonds(&mut self) {
        for bonded in self.bonding.bonds.values() {
            if let Some((id, members)) = &bonded.told {
                self.outputs.push(Output::SetBond { id: *id, members: Some(members.clone()) });
            }
        }
    }

    /// Puts a bond into the view and, where the datapath balances by itself, into the datapath.
    fn show_bond(&mut self, bundle: &BundleView, status: LacpStatus) {
        let view = self.bonding.bonds.get(&bundle.id).map(|bonded| {
            let (machine, config) = (&bonded.machine, bonded.machine.config());
            BondView {
                mode: config.mode,
                enabled: machine.enabled(),
                active: machine.active(),
                basis: config.basis,
                buckets: machine.buckets(),
                recirc_id: if machine.recirculates() { bonded.recirc_id } else { 0 },
                lb_output: config.lb_output,
                all_members_active: config.all_members_active,
                lacp_negotiated: status == LacpStatus::Negotiated,
                lacp: status != LacpStatus::Off,
                lacp_fallback_ab: config.lacp_fallback_ab,
            }
        });
        let mut led = Vec::new();
        if let Some(bonded) = self.bonding.bonds.get_mut(&bundle.id) {
            if bonded.machine.recirculates() {
                led = hidden::lead_to(&mut bonded.rules, bonded.recirc_id, &bonded.machine.buckets(), self.now_ms);
            }
            let ports = &self.view.ports;
            let by_datapath = bonded.machine.config().lb_output && bonded.machine.recirculates();
            let told = by_datapath.then(|| {
                let odp = |m: Option<OfPort>| m.and_then(|m| ports.get(&m)?.odp);
                (bonded.recirc_id, bonded.machine.buckets().into_iter().map(odp).collect::<Vec<_>>())
            });
            if bonded.told != told {
                let number = told.as_ref().map(|(id, _)| *id);
                // New members take the place of the old ones: packets must not find none meanwhile.
                if let Some((id, _)) = bonded.told.take().filter(|(id, _)| Some(*id) != number) {
                    self.outputs.push(Output::SetBond { id, members: None });
                }
                if let Some((id, members)) = told.clone() {
                    self.outputs.push(Output::SetBond { id, members: Some(members) });
                }
                bonded.told = told;
            }
        }
        self.tell_monitors(&led);
        if bundle.bond != view
            && let Some(bundle) = self.view.bundles.get_mut(&bundle.id)
        {
            Arc::make_mut(bundle).bond = view;
            self.events.bond_changes += 1;
            self.dirty = true;
        }
    }

    /// A LACPDU came in on a port.
    pub(super) fn hear_lacp(&mut self, port: OfPort, octets: &[u8], now_ms: i64) {
        let Some(id) = self.view.ports.get(&port).and_then(|p| p.bundle) else { return };
        if let Some(lacp) = self.bonding.lacps.get_mut(&id) {
            lacp.handle(port, octets, now_ms);
            self.bonding.heard = true;
        }
    }

    /// Where LACP stands on a port, for sFlow.
    pub(super) fn lacp_counters(&self, port: OfPort) -> Option<LacpCounters> {
        let id = self.view.ports.get(&port)?.bundle?;
        let told = self.bonding.lacps.get(&id)?.summary(port)?;
        let is_configured = |info: &Info| info.state & (state::ACTIVITY | state::TIMEOUT | state::AGGREGATION);
        Some(LacpCounters {
            system: told.actor.system_id,
            partner_system: told.partner.system_id,
            aggregator: told.actor.key.into(),
            states: [is_configured(&told.actor), told.actor.state, 0, told.partner.state],
            rx: told.rx,
            rx_bad: told.rx_bad,
            tx: told.tx,
        })
    }

    /// Packets left by a bucket of a bond.
    pub(super) fn account_bond(&mut self, bundle: BundleId, bucket: u8, stats: RuleStats, recirculated: bool) {
        if let Some(bonded) = self.bonding.bonds.get_mut(&bundle) {
            bonded.machine.account(bucket, stats.bytes);
            if recirculated {
                hidden::credit(&mut bonded.rules, bucket, stats);
            }
        }
    }

    /// When bonds or LACP have something to do, and what.
    pub(super) fn bonding_timeout(&self) -> Option<(i64, &'static str)> {
        let bonds = self.bonding.bonds.values().filter_map(|b| b.machine.poll_timeout());
        let heard = self.bonding.heard.then_some((self.now_ms, "a partner spoke LACP"));
        heard.into_iter().chain(bonds).chain(self.bonding.lacps.values().filter_map(Lacp::poll_timeout)).min()
    }

    fn name_of(&self, id: &BundleId) -> &str {
        self.view.bundles.get(id).map_or("", |b| &b.name)
    }

    /// Texts of `bond/show`, `bond/list`, `lacp/show` and `lacp/show-stats` by the names of bonds and bundles, in the
    /// order in which these were made.
    pub fn bonding_texts(&self, command: &str, now_ms: i64) -> Vec<(String, String)> {
        let bonds = self.bonding.bonds.iter().filter_map(|(id, b)| {
            let text = match command {
                "bond/show" => b.machine.show(b.recirc_id, now_ms),
                "bond/list" => b.machine.list_line(b.recirc_id),
                _ => return None,
            };
            Some((self.name_of(id).to_owned(), text))
        });
        let lacps = self.bonding.lacps.iter().filter_map(|(id, l)| {
            let text = match command {
                "lacp/show" => l.show(),
                "lacp/show-stats" => l.show_stats(),
                _ => return None,
            };
            Some((self.name_of(id).to_owned(), text))
        });
        bonds.chain(lacps).collect()
    }

    /// Carries out a `bond/…` command that names a bond; `None` if the bond is another bridge's.
    pub fn bond_command(
        &mut self,
        command: &str,
        args: &[String],
        now_ms: i64,
    ) -> Option<Result<&'static str, &'static str>> {
        let [name, args @ ..] = args else { return None };
        let id = *self.view.bundles.iter().find(|(_, b)| b.name == *name)?.0;
        let machine = &mut self.bonding.bonds.get_mut(&id)?.machine;
        let answer = match (command, args) {
            ("bond/set-active-member", [member]) => machine.set_active(member),
            ("bond/enable-member", [member]) => machine.force(member, true, now_ms),
            ("bond/disable-member", [member]) => machine.force(member, false, now_ms),
            ("bond/migrate", [hash, member]) => machine.migrate(hash, member),
            _ => Err("wrong number of arguments"),
        };
        self.run_bonding(now_ms);
        Some(answer)
    }

    /// Address of each bond's active member, 0 for none.
    pub fn active_members(&self) -> BTreeMap<BundleId, u64> {
        let mac = |b: &Bonded| if b.machine.active().is_some() { b.machine.active_mac() } else { 0 };
        self.bonding.bonds.iter().map(|(id, b)| (*id, mac(b))).collect()
    }

    /// Of ports that speak LACP: whether their partner is known.
    pub fn lacp_current(&self) -> BTreeMap<OfPort, bool> {
        let ports = self.view.bundles.iter().filter_map(|(id, b)| Some((self.bonding.lacps.get(id)?, b)));
        ports.flat_map(|(lacp, bundle)| bundle.ports.iter().map(|p| (*p, lacp.is_current(*p)))).collect()
    }
}

/// A reverse ARP request (RFC 903) from a station for its own address, tagged unless the VLAN is 0.
fn reverse_request(mac: u64, vlan: u16) -> Vec<u8> {
    let request = arp::Repr::ethernet_ipv4(REVERSE_REQUEST, mac, 0, mac, 0);
    let mut packet = vec![0xff; 6];
    packet.extend(&mac.to_be_bytes()[2..]);
    if vlan != 0 {
        packet.extend(0x8100u16.to_be_bytes());
        packet.extend(vlan.to_be_bytes());
    }
    packet.extend(RARP.to_be_bytes());
    let at = packet.len();
    packet.resize(at + arp::HEADER_LEN, 0);
    if let Ok(mut view) = arp::Packet::new(&mut packet[at..]) {
        request.emit(&mut view);
    }
    packet
}

fn is_bond(settings: &BTreeMap<BundleId, BundleSettings>, id: &BundleId) -> bool {
    settings.get(id).is_some_and(|s| s.bond.is_some())
}
