//! Datapaths and ports that a person makes with `dpctl/add-dp` and `dpctl/add-if`: no bridge uses them, and what no flow
//! of theirs matches is lost. Source: ovs-dpctl(8).

use actix::prelude::*;
use dp::rxq::{self, Core, PolledPort, Settings};
use flow::OdpPort;
use openflow::OfPort;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::desired::{DesiredInterface, Pairs};
use super::directory::{DatapathEntry, PortEntry};
use super::{DATAPATH_MAILBOX, PORT_MAILBOX, Switch, plan, polling};
use crate::datapath::{Datapath, Owner};
use crate::mailbox::Address;
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::Tune;
use crate::msg::port::{Discard, Reattach, Reconfigure, Renumber};
use crate::msg::switch::{DatapathEdit, DatapathReturned, EditRefused, PortChanged};
use crate::port::device::{DeviceKind, dummy_queues};
use crate::port::{Port, PortSetup};
use crate::supervise::{Player, Role, Strategy};

/// Datapaths that people may make, and ports of each.
const DATAPATHS: usize = 64;
const PORTS: usize = 1024;

impl Switch {
    fn make_datapath(&mut self, kind: &str, name: &str) -> Result<(), EditRefused> {
        let full = format!("{kind}@{name}");
        if name.strip_prefix("ovs-") == Some(kind) {
            // The one its bridges will use.
            self.datapath(kind);
            return Ok(());
        }
        if self.made.contains_key(&full) {
            return Err(EditRefused::Exists);
        }
        if self.made.len() >= DATAPATHS {
            return Err(EditRefused::NoRoom);
        }
        super::commands::log_implementations();
        let config = self.datapath_config();
        let role = Role::new(format!("datapath {full}"), "datapath", DATAPATH_MAILBOX, Strategy::OneForOne);
        let (news, own) = (self.own.as_ref().map(Address::outlet::<DatapathReturned>), full.clone());
        let owner = Owner::default();
        let address = self.family.hire_on(self.ofproto.clone(), role, move |desk, ctx| {
            let lives = desk.card().counts().restarts;
            if let Some(news) = news.clone().filter(|_| lives > 0) {
                news.deliver(DatapathReturned { datapath: own.clone(), lives, fallen: Vec::new() });
            }
            Datapath::new(desk, config, owner.clone(), owner.place.take(), ctx)
        });
        let entry = DatapathEntry {
            address,
            revalidator: None,
            ports: BTreeMap::new(),
            assignment: Arc::default(),
            own: BTreeMap::new(),
        };
        self.made.insert(full, entry);
        Ok(())
    }

    /// Those of a type go once its bridges have theirs.
    pub(super) fn unmake_datapaths(&mut self, kind: &str) {
        let of_kind = |full: &&String| full.split_once('@').is_some_and(|(other, _)| other == kind);
        let gone: Vec<String> = self.made.keys().filter(of_kind).cloned().collect();
        for full in gone {
            let _ = self.unmake_datapath(&full);
        }
    }

    fn unmake_datapath(&mut self, full: &str) -> Result<(), EditRefused> {
        let entry = self.made.remove(full).ok_or(EditRefused::Missing)?;
        for port in entry.own.values() {
            port.address.offer(Discard::new().0);
            self.family.dismiss(port.address.card());
        }
        super::reconfigure::DATAPATH_ENDED.add();
        self.family.dismiss(entry.address.card());
        Ok(())
    }

    fn make_own_port(
        &mut self,
        full: &str,
        interface: DesiredInterface,
        number: Option<u32>,
    ) -> Result<Address<Port>, EditRefused> {
        let own = self.own.as_ref().ok_or(EditRefused::Missing)?;
        let datapath = full.split_once('@').map_or("system", |(kind, _)| kind);
        let name = interface.name.clone();
        let (device, kind) = plan::device_kind(&interface.kind, datapath, self.settings.dummy, &name)
            .map_err(|_| EditRefused::UnknownType)?;
        let of_bridges = self.bridges.values().filter_map(|bridge| Some(&bridge.ports.get(&name)?.kind));
        let by_hand = self.made.values().filter_map(|other| Some(&other.own.get(&name)?.kind));
        if of_bridges.chain(by_hand).any(|other| *other != kind) {
            return Err(EditRefused::OtherType);
        }
        let entry = self.made.get_mut(full).ok_or(EditRefused::Missing)?;
        if entry.own.contains_key(&name) {
            return Err(EditRefused::Exists);
        }
        if entry.own.len() >= PORTS {
            return Err(EditRefused::NoRoom);
        }
        let odp = match number {
            Some(number) if number == 0 || entry.ports.contains_key(&number) => return Err(EditRefused::Busy),
            Some(number) => number,
            None => plan::odp_number(&entry.ports, &name, self.settings.dummy.numbers(datapath)),
        };
        let options = interface.options.clone();
        let setup = PortSetup {
            bridge_name: full.to_owned(),
            news: own.outlet::<PortChanged>(),
            config: interface,
            kind: device,
            odp,
            datapath: Some(entry.address.clone()),
            bridge: own.outlet::<Upcalls>(),
            rings: self.settings.rings.clone(),
            seed: self.settings.seed,
        };
        let role = Role::new(format!("port {full} {name}"), "port", PORT_MAILBOX, Strategy::OneForOne);
        let address = self.family.hire(role, move |desk, _| Port::new(desk, setup.clone()));
        entry.ports.insert(odp, name.clone());
        let port = PortEntry {
            address: address.clone(),
            bridge: String::new(),
            port: OfPort::NONE,
            odp: Some(odp),
            kind,
            device,
            tunnel: None,
            options,
        };
        entry.own.insert(name, port);
        poll(entry, &self.settings.cores);
        Ok(address)
    }

    fn set_own_port(&mut self, full: &str, name: &str, options: Pairs) -> Result<(), EditRefused> {
        let entry = self.made.get_mut(full).ok_or(EditRefused::Missing)?;
        let port = entry.own.get_mut(name).ok_or(EditRefused::Missing)?;
        port.options.extend(options);
        let config = DesiredInterface {
            name: name.to_owned(),
            kind: port.kind.clone(),
            options: port.options.clone(),
            ..DesiredInterface::default()
        };
        port.address.offer(Reconfigure(config));
        poll(entry, &self.settings.cores);
        Ok(())
    }

    fn remove_own_port(&mut self, full: &str, name: &str) -> Result<(), EditRefused> {
        let entry = self.made.get_mut(full).ok_or(EditRefused::Missing)?;
        let port = entry.own.remove(name).ok_or(EditRefused::Missing)?;
        port.address.offer(Discard::new().0);
        self.family.dismiss(port.address.card());
        entry.ports.retain(|_, n| n != name);
        poll(entry, &self.settings.cores);
        Ok(())
    }

    /// Gives a dummy of a bridge another number in its datapath.
    fn renumber(
        &mut self,
        kind: &str,
        name: &str,
        number: OdpPort,
        ctx: &mut Context<Self>,
    ) -> Result<(), EditRefused> {
        let backer = self.datapaths.get_mut(kind).ok_or(EditRefused::Missing)?;
        if backer.ports.contains_key(&number) {
            return Err(EditRefused::Busy);
        }
        let mut bridges = self.bridges.iter_mut().filter(|(_, bridge)| bridge.datapath == kind);
        let found = bridges.find_map(|(bridge, state)| Some((bridge, state.ports.get_mut(name)?)));
        let (bridge, port) = found.ok_or(EditRefused::Missing)?;
        if port.device != DeviceKind::Dummy {
            return Err(EditRefused::OtherType);
        }
        backer.ports.retain(|_, known| known != name);
        backer.ports.insert(number, name.to_owned());
        port.odp = Some(number);
        port.address.offer(Renumber(number));
        self.changed.insert(bridge.clone());
        self.publish(true);
        self.apply_port_changes(ctx);
        Ok(())
    }

    /// A datapath that a person made was started anew: its ports come back to it. `false` if it is none of those.
    pub(super) fn made_returned(&self, full: &str) -> bool {
        let Some(entry) = self.made.get(full) else { return false };
        poll(&mut entry.clone(), &self.settings.cores);
        for port in entry.own.values() {
            port.address.outlet().deliver(Reattach);
        }
        true
    }
}

/// Gives the ports of a datapath that a person made the threads that poll them: one for each node where any is asked for.
fn poll(entry: &mut DatapathEntry, cores: &[Core]) {
    let polled = entry.own.iter().filter(|(_, port)| port.kind == "dummy-pmd");
    let mut ports: Vec<PolledPort> = polled
        .filter_map(|(name, port)| {
            let number = |key: &str| port.options.get(key).and_then(|n| n.parse().ok());
            Some(PolledPort {
                number: port.odp?,
                name: name.clone(),
                queues: dummy_queues(&port.options),
                numa: number("numa_id").unwrap_or(0),
                affinity: BTreeMap::new(),
                costs: BTreeMap::new(),
            })
        })
        .collect();
    ports.sort_by_key(|port| port.number);
    let settings = Settings { isolate: true, ..Settings::default() };
    let (assignment, _) = rxq::assign(cores, &settings, &ports);
    if *entry.assignment == assignment {
        return;
    }
    entry.address.offer(Tune {
        pollers: polling::pollers(&ports, &assignment),
        cores: assignment.threads.iter().map(|t| t.core.core).collect(),
        emc_insert_inv_prob: polling::EMC_INSERT_INV_PROB,
        ..Tune::default()
    });
    entry.assignment = Arc::new(assignment);
}

impl Handler<DatapathEdit> for Switch {
    type Result = Result<Option<Address<Port>>, EditRefused>;

    fn handle(&mut self, m: DatapathEdit, ctx: &mut Context<Self>) -> Self::Result {
        self.desk().received();
        let opened = match m {
            DatapathEdit::Make { kind, name } => self.make_datapath(&kind, &name).map(|()| None),
            DatapathEdit::Unmake(full) => self.unmake_datapath(&full).map(|()| None),
            DatapathEdit::AddPort { datapath, interface, number } => {
                self.make_own_port(&datapath, *interface, number).map(Some)
            }
            DatapathEdit::SetPort { datapath, name, options } => {
                self.set_own_port(&datapath, &name, options).map(|()| None)
            }
            DatapathEdit::Features(support) => {
                Arc::make_mut(&mut self.view).support = *support;
                self.publish(false);
                Ok(None)
            }
            DatapathEdit::Rebalance { kind, costs } => {
                self.rebalance(&kind, &costs);
                Ok(None)
            }
            DatapathEdit::Renumber { kind, name, number } => self.renumber(&kind, &name, number, ctx).map(|()| None),
            DatapathEdit::RemovePort { datapath, name } if self.made.contains_key(&datapath) => {
                self.remove_own_port(&datapath, &name).map(|()| None)
            }
            DatapathEdit::RemovePort { datapath, name } => self.take_from_bridge(&datapath, &name, ctx).map(|()| None),
        };
        self.publish_directory();
        opened
    }
}

impl Handler<Upcalls> for Switch {
    type Result = ();

    /// Of a datapath that no bridge uses: there is nobody who would know what to do.
    fn handle(&mut self, _: Upcalls, _: &mut Context<Self>) {
        self.desk().received();
    }
}
