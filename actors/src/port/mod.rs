//! The port actor: one interface's device, opened, watched and described.
//!
//! It opens the device and hands its queues to the datapath; when the device goes it takes them back, and when the device
//! returns it opens it anew. After a panic it starts from its configuration.

mod capture;
pub mod device;

use actix::prelude::*;
use flow::OdpPort;
use openflow::message::port::port_feature;

use crate::datapath::{Datapath, DummyAttach};
use crate::mailbox::{Address, Outlet};
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::{Inject, PortAttach, PortDetach};
use crate::msg::port::*;
use crate::supervise::{Desk, Player};
use crate::switch::desired::DesiredInterface;
use device::{Device, DeviceKind, Parts, Rings, host_status, mac_octets, parse_mac};

/// What a port is made from.
#[derive(Clone)]
pub struct PortSetup {
    /// Configuration.
    pub config: DesiredInterface,
    /// Kind of its device.
    pub kind: DeviceKind,
    /// Number in the datapath.
    pub odp: OdpPort,
    /// Where packets go.
    pub datapath: Option<Address<Datapath>>,
    /// Who answers misses.
    pub bridge: Outlet<Upcalls>,
    /// Layout of rings.
    pub rings: Rings,
}

/// A port's actor.
pub struct Port {
    desk: Desk,
    setup: PortSetup,
    device: Option<Device>,
    link_resets: i64,
    was_up: bool,
}

impl Port {
    /// A port whose device is not open yet.
    pub fn new(desk: Desk, setup: PortSetup) -> Self {
        Self { desk, setup, device: None, link_resets: 0, was_up: false }
    }

    fn open(&mut self) -> Result<(), String> {
        if self.device.is_some() {
            return Ok(());
        }
        let (device, parts) = Device::open(&self.setup.config, self.setup.kind, self.setup.rings)?;
        if let (Some(Parts { queues, tx, inbox }), Some(datapath)) = (parts, &self.setup.datapath) {
            let attach = PortAttach {
                port: self.setup.odp,
                name: self.setup.config.name.clone(),
                queues,
                tx,
                bridge: self.setup.bridge.clone(),
            };
            if datapath.post(attach).is_err() {
                return Err(format!("could not add network device {} to the datapath", self.setup.config.name));
            }
            if let Some(inbox) = inbox {
                datapath.offer(DummyAttach { port: self.setup.odp, inbox });
            }
        }
        self.device = Some(device);
        self.apply_settings();
        self.was_up = self.status().link_up;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(device) = self.device.take() {
            device.close();
            if let Some(datapath) = &self.setup.datapath {
                datapath.offer(PortDetach { port: self.setup.odp });
            }
        }
    }

    /// Address and MTU as configured.
    fn apply_settings(&mut self) {
        let name = self.setup.config.name.clone();
        let mac = self.setup.config.mac.as_deref().and_then(parse_mac);
        let mtu = self.setup.config.mtu_request;
        match &mut self.device {
            Some(Device::Dummy(state)) => {
                state.mac = mac.unwrap_or(state.mac);
                state.mtu = mtu.unwrap_or(state.mtu);
            }
            Some(Device::Tap(_)) => {
                if let Some(mac) = mac
                    && let Err(error) = sys::device::set_address(&name, mac_octets(mac))
                {
                    vlog::warn!("bridge", "{name}: setting its Ethernet address: {error}");
                }
                set_mtu(&name, mtu);
            }
            Some(Device::System { .. }) => set_mtu(&name, mtu),
            Some(Device::Virtual) | None => {}
        }
    }

    fn status(&self) -> PortStatus {
        let mut status =
            PortStatus { open: self.device.is_some(), link_resets: self.link_resets, ..PortStatus::default() };
        match &self.device {
            Some(Device::Dummy(state)) => {
                status.admin_up = state.admin_up;
                status.link_up = state.admin_up && state.link_up;
                status.mac = state.mac;
                status.mtu = Some(state.mtu);
                status.ifindex = (state.ifindex >= 0).then_some(state.ifindex);
                if state.ifindex < 0 {
                    status.ifindex = None;
                }
            }
            Some(Device::System { .. }) => host_status(&self.setup.config.name, &mut status),
            Some(Device::Tap(_)) => {
                host_status(&self.setup.config.name, &mut status);
                status.features = port_feature::FD_10MB | port_feature::COPPER;
            }
            Some(Device::Virtual) => {
                status.admin_up = true;
                status.link_up = true;
            }
            None => {}
        }
        status
    }
}

fn set_mtu(name: &str, mtu: Option<i64>) {
    if let Some(mtu) = mtu.and_then(|m| u32::try_from(m).ok())
        && let Err(error) = sys::device::set_mtu(name, mtu)
    {
        vlog::err!("netdev", "Failed to set MTU {mtu} on network device {name}: {error}");
    }
}

impl Actor for Port {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.close();
    }
}

impl Player for Port {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Handler<Open> for Port {
    type Result = Result<PortStatus, String>;

    fn handle(&mut self, _: Open, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        self.open()?;
        Ok(self.status())
    }
}

impl Handler<Reconfigure> for Port {
    type Result = MessageResult<Reconfigure>;

    fn handle(&mut self, m: Reconfigure, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let reopen = m.0.options != self.setup.config.options && self.device.is_some();
        self.setup.config = m.0;
        if reopen {
            self.close();
            if let Err(error) = self.open() {
                vlog::warn!("bridge", "{error}");
            }
        } else {
            self.apply_settings();
        }
        MessageResult(self.status())
    }
}

impl Handler<LinkChanged> for Port {
    type Result = ();

    fn handle(&mut self, m: LinkChanged, _: &mut Context<Self>) {
        self.desk.received();
        if self.setup.kind != DeviceKind::System {
            return;
        }
        let gone = match &self.device {
            Some(Device::System { ifindex }) => sys::device::index(&self.setup.config.name).ok() != Some(*ifindex),
            _ => false,
        };
        if gone {
            self.close();
        }
        if m.present
            && let Err(error) = self.open()
        {
            vlog::dbg!("bridge", "{error}");
        }
        let up = self.status().link_up;
        if up != self.was_up {
            self.was_up = up;
            self.link_resets += 1;
        }
    }
}

impl Handler<SetAdmin> for Port {
    type Result = ();

    fn handle(&mut self, m: SetAdmin, _: &mut Context<Self>) {
        self.desk.received();
        match &mut self.device {
            Some(Device::Dummy(state)) => {
                if state.admin_up != m.0 {
                    self.link_resets += 1;
                }
                state.admin_up = m.0;
            }
            Some(Device::System { .. } | Device::Tap(_)) => {
                if let Err(error) = sys::device::set_up(&self.setup.config.name, m.0) {
                    vlog::warn!("netdev", "{}: {error}", self.setup.config.name);
                }
            }
            _ => {}
        }
    }
}

impl Handler<SetMac> for Port {
    type Result = ();

    fn handle(&mut self, m: SetMac, _: &mut Context<Self>) {
        self.desk.received();
        self.setup.config.mac = Some(device::mac_text(m.0));
        self.apply_settings();
    }
}

impl Handler<ReadStatus> for Port {
    type Result = MessageResult<ReadStatus>;

    fn handle(&mut self, _: ReadStatus, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.status())
    }
}

/// Packets a dummy receives, to be passed on (Q).
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Receive(pub Vec<packet::PacketBuf>);

impl Handler<Receive> for Port {
    type Result = bool;

    fn handle(&mut self, m: Receive, _: &mut Context<Self>) -> bool {
        self.desk.received();
        match (&self.device, &self.setup.datapath) {
            (Some(Device::Dummy(state)), Some(datapath)) if state.admin_up => {
                datapath.offer(Inject { port: self.setup.odp, packets: m.0 })
            }
            _ => false,
        }
    }
}
