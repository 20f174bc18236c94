//! The port actor: one interface's device, opened, watched and described.
//!
//! It opens the device, on a thread that may wait, and hands its queues to the datapath; when the device goes it takes
//! them back, and when the device returns it opens it anew. What changes it tells the switch. After a panic it starts
//! from its configuration.

mod capture;
pub mod device;
mod own_address;
mod resets;
mod shortcut;
mod wire;

use crate::datapath::Datapath;
use crate::datapath::adapt::DummyQueues;
use crate::datapath::dummy::DummyAttach;
use crate::mailbox::{Address, Latest, Outlet};
use crate::msg::bridge::Upcalls;
use crate::msg::datapath::{Inject, PortAttach, PortDetach, PortPolicer, QueueFollows, QueueParts, next_attachment};
use crate::msg::port::*;
use crate::msg::switch::PortChanged;
use crate::qos::Shaping;
use crate::supervise::{Desk, Player};
use crate::switch::desired::{DesiredInterface, DesiredQos};
use actix::prelude::*;
use device::{Device, DeviceKind, Parts, Rings, host_status, mac_octets, parse_mac};
use flow::OdpPort;
use resets::LinkResets;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Release};
use std::time::Duration;

/// Devices of the host's whose policing was set.
static POLICED: crate::unixctl::coverage::Counter = crate::unixctl::coverage::Counter::new("netdev_set_policing");

/// What a port is made from.
#[derive(Clone)]
pub struct PortSetup {
    /// Name of its bridge.
    pub bridge_name: String,
    /// Who is told of changes.
    pub news: Outlet<PortChanged>,
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
    /// Seed of the addresses of ports without a device.
    pub seed: u64,
}

/// A port's actor.
pub struct Port {
    desk: Desk,
    setup: PortSetup,
    news: Latest<PortChanged>,
    device: Option<Device>,
    /// A device is being opened.
    opening: bool,
    /// The device changed while it was being opened: what came of that may be of before.
    changed_meanwhile: bool,
    /// The switch knows that the device was opened once.
    known: bool,
    resets: LinkResets,
    /// Somebody watches the device.
    watched: bool,
    qos: Option<DesiredQos>,
    /// The discipline that stands for it.
    shaping: Option<Shaping>,
    /// As the device was when looked at last.
    seen: PortStatus,
    /// A dummy's, if it is connected to others.
    wire: Option<wire::Wire>,
    /// As the dummy was that is to be opened again.
    earlier: Option<device::DummyState>,
    /// How often a device was opened.
    openings: u64,
    /// Which attachment to the datapath is the last.
    attachment: u64,
    /// Tells the datapath how much may come in.
    policing: Option<Latest<PortPolicer>>,
    own: Option<Recipient<Receive>>,
    asked: Option<Recipient<ArpSeen>>,
    roused: Option<Recipient<Roused>>,
}

/// A device, what goes to the datapath, and what the kernel says of it if it has been asked.
type Opening = Result<(Device, Option<Parts>, Option<PortStatus>), String>;

/// Opens a device of the kernel's, where waiting is allowed: rings take milliseconds, and the kernel's lock for
/// questions to devices is held long by others.
fn open_slowly(config: &DesiredInterface, kind: DeviceKind, rings: &Rings) -> Opening {
    let (device, parts) = Device::open(config, kind, rings, None)?;
    set_mtu(&config.name, config.mtu_request);
    let mut status = PortStatus { open: true, ..PortStatus::default() };
    host_status(&config.name, &mut status);
    Ok((device, parts, Some(status)))
}

impl Port {
    /// A port whose device is not open yet.
    pub fn new(desk: Desk, setup: PortSetup) -> Self {
        let news = setup.news.clone().latest();
        let policing = setup.datapath.as_ref().map(|datapath| datapath.outlet().latest());
        Self {
            desk,
            resets: LinkResets::new(setup.kind),
            setup,
            news,
            device: None,
            opening: false,
            changed_meanwhile: false,
            known: false,
            watched: false,
            qos: None,
            shaping: None,
            seen: PortStatus::default(),
            wire: None,
            earlier: None,
            openings: 0,
            attachment: 0,
            policing,
            own: None,
            asked: None,
            roused: None,
        }
    }

    /// Whether opening the device may take a while.
    fn is_slow(&self) -> bool {
        matches!(self.setup.kind, DeviceKind::System | DeviceKind::Internal)
    }

    /// Opens the device on a thread that may wait: a packet ring takes milliseconds.
    fn open_apart(&mut self) -> impl ActorFuture<Self, Output = Result<(), String>> + use<> {
        (self.opening, self.changed_meanwhile) = (true, false);
        let (config, kind) = (self.setup.config.clone(), self.setup.kind);
        let rings = Rings { queued: crate::qos::is_wanted(self.qos.as_ref()), ..self.setup.rings.clone() };
        let datapath = self.setup.datapath.as_ref().map(Address::ready);
        let opening = async move {
            if let Some(datapath) = datapath {
                datapath.await;
            }
            tokio::task::spawn_blocking(move || open_slowly(&config, kind, &rings)).await
        };
        actix::fut::wrap_future::<_, Self>(opening).map(|opened, this, _| {
            this.opening = false;
            this.opened(opened.unwrap_or_else(|error| Err(error.to_string())))
        })
    }

    fn opened(&mut self, opened: Opening) -> Result<(), String> {
        let (device, parts, status) = opened?;
        if self.device.is_some() {
            return Ok(());
        }
        self.openings += 1;
        if let Some(parts) = parts {
            let sending = match &device {
                Device::Dummy(state) => state.sending.clone(),
                _ => DummyQueues::default(),
            };
            self.attach(parts, sending)?;
        }
        self.device = Some(device);
        let again = std::mem::replace(&mut self.known, true);
        self.police();
        match status {
            Some(status) => {
                if again && status.link_up != self.seen.link_up {
                    self.resets.saw_change();
                }
                self.seen = PortStatus { link_resets: self.resets.count(), ..status };
            }
            None => {
                self.apply_settings();
                self.look();
            }
        }
        if self.qos.is_some() {
            self.shape();
        }
        Ok(())
    }

    /// Hands a device's queues to the datapath, and listens to what else there is of it; a dummy has its own queues to send
    /// by.
    fn attach(&mut self, parts: Parts, sending: DummyQueues) -> Result<(), String> {
        let Parts { queues, tx, inboxes, wired, arp, roused } = parts;
        let Some(datapath) = &self.setup.datapath else { return Ok(()) };
        let attach = PortAttach {
            port: self.setup.odp,
            attachment: next_attachment(),
            name: self.setup.config.name.clone(),
            queues,
            tx,
            bridge: self.setup.bridge.clone(),
        };
        let attachment = attach.attachment;
        if datapath.post(attach).is_err() {
            return Err(format!("could not add network device {} to the datapath", self.setup.config.name));
        }
        self.attachment = attachment;
        if let (Some(wired), Some(own)) = (wired, &self.own) {
            self.wire = Some(wire::Wire::plug(wired, own.clone()));
        }
        if let (Some(mut roused), Some(own)) = (roused, &self.roused) {
            let (own, opening) = (own.clone(), self.openings);
            // Ends with the queue.
            actix::spawn(async move {
                if roused.recv().await.is_some() {
                    let _ = own.send(Roused(opening)).await;
                }
            });
        }
        if let (Some(mut frames), Some(own)) = (arp, &self.asked) {
            let own = own.clone();
            // Ends with the device: nobody is left who could send by it.
            actix::spawn(async move {
                while let Some(frame) = frames.recv().await {
                    if own.send(ArpSeen(frame)).await.is_err() {
                        break;
                    }
                }
            });
        }
        if !inboxes.is_empty() {
            datapath.offer(DummyAttach { port: self.setup.odp, inboxes, sending });
        }
        Ok(())
    }

    /// Has the datapath go over to the device's ring, which all frames come by already.
    fn go_over(&mut self, queue: QueueParts, ctx: &mut Context<Self>) {
        let Some(datapath) = &self.setup.datapath else { return };
        let is_settled = Arc::new(AtomicBool::new(false));
        let settled = is_settled.clone();
        if datapath.post(QueueFollows { port: self.setup.odp, queue, is_settled }).is_err() {
            // It has no room for a message: the ring is gone with that, and the bell has rung.
            self.close();
            self.reopen(ctx);
            return;
        }
        tokio::task::spawn_blocking(move || {
            if let Err(error) = sys::await_frames_under_way() {
                vlog::dbg!("netdev_linux", "{error}");
            }
            settled.store(true, Release);
        });
    }

    fn close(&mut self) {
        self.wire = None;
        self.resets.forget_device();
        if let Some(device) = self.device.take() {
            if let Some(datapath) = &self.setup.datapath {
                let detach = PortDetach { port: self.setup.odp, attachment: self.attachment };
                if let Err(detach) = datapath.post(detach) {
                    let (datapath, deadline) = (datapath.clone(), Duration::from_secs(60));
                    actix::spawn(async move { datapath.ask(detach, deadline).await.ok() });
                }
            }
            drop(device);
        }
    }

    /// Tells the datapath how much may come in.
    fn police(&self) {
        if matches!(self.device, Some(Device::System(_))) {
            POLICED.add();
        }
        if let Some(policing) = &self.policing {
            policing.send(PortPolicer { port: self.setup.odp, config: policer_of(&self.setup.config) });
        }
    }

    /// Puts the queueing discipline that is wanted into force.
    fn shape(&mut self) {
        let name = &self.setup.config.name;
        let ifindex = match &self.device {
            Some(Device::System(held)) => held.ifindex(),
            Some(Device::Tap(_)) => sys::device::index(name).unwrap_or(0),
            _ => return,
        };
        let mtu = self.seen.mtu.and_then(|m| u32::try_from(m).ok()).unwrap_or(1500);
        let link = crate::qos::Link { name, ifindex, mtu, speed_bps: self.seen.link_speed_bps };
        self.shaping = crate::qos::apply(link, self.qos.as_ref(), self.shaping.as_ref());
    }

    /// Looks at the device, counts what became of its link, and tells the switch if something is new.
    fn look(&mut self) {
        // One that is opened anew is as it was until then: nobody's link has gone down.
        if self.opening && self.known {
            return;
        }
        let mut now = self.status();
        if now.link_up != self.seen.link_up && self.seen != PortStatus::default() {
            self.resets.saw_change();
        }
        now.link_resets = self.resets.count();
        if now != self.seen {
            self.seen = now;
            self.tell();
        }
    }

    fn tell(&self) {
        let (bridge, port) = (self.setup.bridge_name.clone(), self.setup.config.name.clone());
        self.news.send(PortChanged { bridge, port, status: self.seen.clone() });
    }

    /// Opens the device again, in the background.
    fn reopen(&mut self, ctx: &mut Context<Self>) {
        self.changed_meanwhile |= self.opening;
        if self.device.is_some() || self.opening {
            return;
        }
        if !self.is_slow() {
            let earlier = self.earlier.take();
            let opened = Device::open(&self.setup.config, self.setup.kind, &self.setup.rings, earlier.as_ref());
            let opened = opened.map(|(device, parts)| (device, parts, None));
            if let Err(error) = self.opened(opened) {
                vlog::warn!("bridge", "{error}");
            }
            return;
        }
        let step = self.open_apart().map(|opened, this, ctx| this.reopened(opened, ctx));
        ctx.spawn(step);
    }

    fn reopened(&mut self, opened: Result<(), String>, ctx: &mut Context<Self>) {
        match opened {
            // What it is now was found out apart, and is news to the switch.
            Ok(()) => self.tell(),
            Err(error) => vlog::dbg!("bridge", "{error}"),
        }
        // It may have gone, or come again, while it was being opened.
        if let Some(Device::System(held)) = &self.device
            && !held.is_there(&self.setup.config.name)
        {
            self.close();
            self.changed_meanwhile |= sys::device::index(&self.setup.config.name).is_ok();
        }
        if self.device.is_none() && self.known && self.changed_meanwhile {
            self.reopen(ctx);
        }
        self.look();
    }

    /// Address and MTU as configured.
    fn apply_settings(&mut self) {
        let name = self.setup.config.name.clone();
        let mac = self.setup.config.mac.as_deref().and_then(parse_mac);
        let mtu = self.setup.config.mtu_request;
        match &mut self.device {
            Some(Device::Dummy(state)) => {
                let mode = self.setup.config.other_config.get("tx-steering").map_or("thread", String::as_str);
                if state.sending.set_by_hash(mode == "hash") {
                    let mode = if mode == "hash" { mode } else { "thread" };
                    vlog::info!("dpif_netdev", "{name}: Tx packet steering mode has been set to '{mode}'.");
                }
                state.mac = mac.unwrap_or(state.mac);
                if let Some(mtu) = mtu {
                    match u32::try_from(mtu).ok().filter(|mtu| device::DUMMY_MTU.contains(mtu)) {
                        Some(mtu) => state.mtu.set(mtu),
                        None => vlog::warn!("netdev", "failed to set MTU for network device {name}: Invalid argument"),
                    }
                }
            }
            Some(Device::Tap(_)) => {
                if let Some(mac) = mac
                    && let Err(error) = sys::device::set_address(&name, mac_octets(mac))
                {
                    vlog::warn!("bridge", "{name}: setting its Ethernet address: {error}");
                }
                set_mtu(&name, mtu);
            }
            Some(Device::System(_)) => set_mtu(&name, mtu),
            Some(Device::Virtual) | None => {}
        }
    }

    fn status(&self) -> PortStatus {
        let mut status =
            PortStatus { open: self.device.is_some(), link_resets: self.resets.count(), ..PortStatus::default() };
        match &self.device {
            Some(Device::Dummy(state)) => {
                status.admin_up = state.admin_up;
                status.link_up = state.admin_up && state.link_up;
                status.mac = state.mac;
                status.mtu = Some(i64::from(state.mtu.get()));
                status.addresses.clone_from(&state.addresses);
                status.ifindex = (state.ifindex >= 0).then_some(state.ifindex);
                if state.ifindex < 0 {
                    status.ifindex = None;
                }
            }
            Some(Device::System(held)) => {
                host_status(&self.setup.config.name, &mut status);
                held.tell_mtu(status.mtu);
            }
            Some(Device::Tap(_)) => host_status(&self.setup.config.name, &mut status),
            Some(Device::Virtual) => {
                status.admin_up = true;
                status.link_up = true;
                status.mac = device::virtual_mac(self.setup.seed, &self.setup.bridge_name, &self.setup.config.name);
            }
            None => status.ifindex = Some(0),
        }
        status
    }
}

/// What an interface's policing columns ask for; `None` for nothing.
fn policer_of(config: &DesiredInterface) -> Option<dp::PolicerConfig> {
    let number = |n: i64| u32::try_from(n).unwrap_or(0);
    let config = dp::PolicerConfig {
        rate_kbps: number(config.policing_rate_kbps),
        burst_kb: number(config.policing_burst_kb),
        rate_kpps: number(config.policing_kpkts_rate),
        burst_kpkts: number(config.policing_kpkts_burst),
    };
    (config.rate_kbps != 0 || config.rate_kpps != 0).then_some(config)
}

fn set_mtu(name: &str, mtu: Option<i64>) {
    if let Some(mtu) = mtu.and_then(|m| u32::try_from(m).ok())
        && sys::device::mtu(name).ok() != Some(mtu)
        && let Err(error) = sys::device::set_mtu(name, mtu)
    {
        vlog::warn!("netdev", "failed to set MTU for network device {name}: {}", device::reason(&error));
    }
}

impl Actor for Port {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.own = Some(ctx.address().recipient());
        self.asked = Some(ctx.address().recipient());
        self.roused = Some(ctx.address().recipient());
        if self.desk.card().counts().restarts > 0 {
            self.reopen(ctx);
        }
    }

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
    type Result = ResponseActFuture<Self, Result<PortStatus, String>>;

    fn handle(&mut self, _: Open, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        if self.device.is_some() {
            return Box::pin(actix::fut::ready(Ok(self.seen.clone())));
        }
        if self.is_slow() {
            return Box::pin(self.open_apart().map(|opened, this, _| opened.map(|()| this.seen.clone())));
        }
        let datapath = self.setup.datapath.as_ref().map(Address::ready);
        let begun = actix::fut::wrap_future::<_, Self>(async move {
            if let Some(datapath) = datapath {
                datapath.await;
            }
        });
        Box::pin(begun.map(|(), this, _| {
            let opened = Device::open(&this.setup.config, this.setup.kind, &this.setup.rings, None);
            let opened = opened.map(|(device, parts)| (device, parts, None));
            this.opened(opened).map(|()| this.seen.clone())
        }))
    }
}

impl Handler<Reconfigure> for Port {
    type Result = ResponseActFuture<Self, PortStatus>;

    fn handle(&mut self, m: Reconfigure, ctx: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let known = &self.setup.config;
        // Of the host's devices other options are nobody's.
        let has_other_options = |a: &DesiredInterface, b: &DesiredInterface| match self.is_slow() {
            true => device::ring_queues(&a.options) != device::ring_queues(&b.options),
            false => a.options != b.options,
        };
        let is_other = |a: &DesiredInterface, b: &DesiredInterface| {
            has_other_options(a, b) || a.ring != b.ring || a.tx_ring != b.tx_ring || a.kernel_path != b.kernel_path
        };
        let reopen = is_other(&m.0, known) && self.device.is_some();
        self.setup.config = m.0;
        if reopen {
            match self.device.take_if(|device| matches!(device, Device::Dummy(_))) {
                // Its port stays, and counts on.
                Some(Device::Dummy(state)) => (self.wire, self.earlier) = (None, Some(state)),
                _ => self.close(),
            }
            if self.is_slow() {
                let opened = self.open_apart();
                return Box::pin(opened.map(|opened, this, ctx| {
                    this.reopened(opened, ctx);
                    this.seen.clone()
                }));
            }
            self.reopen(ctx);
        } else {
            self.apply_settings();
        }
        self.police();
        self.look();
        Box::pin(actix::fut::ready(self.seen.clone()))
    }
}

impl Handler<Renumber> for Port {
    type Result = ();

    fn handle(&mut self, m: Renumber, ctx: &mut Context<Self>) {
        self.desk.received();
        self.close();
        self.setup.odp = m.0;
        self.reopen(ctx);
    }
}

impl Handler<Discard> for Port {
    type Result = ();

    fn handle(&mut self, m: Discard, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(Device::Tap(own)) = &self.device {
            own.tap.keep_until_closed(m.told);
            if let Err(error) = own.tap.set_persistent(false) {
                vlog::warn!("netdev_linux", "{}: {error}", self.setup.config.name);
            }
        }
        self.close();
    }
}

impl Handler<Leave> for Port {
    type Result = ();

    fn handle(&mut self, _: Leave, _: &mut Context<Self>) {
        self.desk.received();
        // Not to be opened again.
        self.known = false;
        self.close();
    }
}

impl Handler<LinkChanged> for Port {
    type Result = ();

    fn handle(&mut self, m: LinkChanged, ctx: &mut Context<Self>) {
        self.desk.received();
        if !self.is_slow() {
            return;
        }
        let gone = match &self.device {
            Some(Device::System(held)) => !held.is_there(&self.setup.config.name),
            // One that was moved to a guest's namespace, or renamed there, carries on.
            Some(Device::Tap(own)) => m.carrier_changes.is_none() && !own.tap.is_attached(),
            _ => false,
        };
        if gone {
            self.close();
        }
        self.watched = m.watched;
        self.set_shortcut(ctx);
        if self.known {
            if let Some(total) = m.carrier_changes {
                self.reopen(ctx);
                self.resets.told(total);
                if self.device.is_some() {
                    // The MTU that was asked for stands against the host's changes.
                    set_mtu(&self.setup.config.name, self.setup.config.mtu_request);
                }
            }
            self.look();
            self.resets.looked();
        }
    }
}

impl Handler<SetQos> for Port {
    type Result = ();

    fn handle(&mut self, m: SetQos, ctx: &mut Context<Self>) {
        self.desk.received();
        let queued = crate::qos::is_wanted(self.qos.as_ref());
        self.qos = m.0;
        if matches!(self.device, Some(Device::System(_))) && crate::qos::is_wanted(self.qos.as_ref()) != queued {
            // Frames go by the queueing discipline from now on, or past it. What is wanted is put into force when the
            // device is open again.
            if self.qos.is_none() {
                self.shape();
            }
            self.close();
            self.reopen(ctx);
        } else {
            self.shape();
            self.set_shortcut(ctx);
        }
    }
}

impl Handler<ReadShaping> for Port {
    type Result = MessageResult<ReadShaping>;

    fn handle(&mut self, _: ReadShaping, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.shaping.clone())
    }
}

impl Handler<Reattach> for Port {
    type Result = ();

    fn handle(&mut self, _: Reattach, ctx: &mut Context<Self>) {
        self.desk.received();
        if !self.known {
            return;
        }
        if let Some(Device::Tap(own)) = &self.device {
            // It need not be opened again, and could not be while the rest of the datapath has it.
            let parts = own.parts();
            if let Err(error) = self.attach(parts, DummyQueues::default()) {
                vlog::warn!("bridge", "{error}");
            }
            return self.police();
        }
        self.device = None;
        self.reopen(ctx);
    }
}

impl Handler<SetMtu> for Port {
    type Result = ();

    fn handle(&mut self, m: SetMtu, _: &mut Context<Self>) {
        self.desk.received();
        match &mut self.device {
            Some(Device::Dummy(state)) => state.mtu.set(m.0),
            Some(Device::Tap(_)) => set_mtu(&self.setup.config.name, Some(i64::from(m.0))),
            _ => {}
        }
        self.look();
    }
}

impl Handler<AddAddress> for Port {
    type Result = ();

    fn handle(&mut self, m: AddAddress, _: &mut Context<Self>) {
        self.desk.received();
        if let Some(Device::Dummy(state)) = &mut self.device {
            state.add_address(m.0);
        }
        self.look();
    }
}

impl Handler<SetAdmin> for Port {
    type Result = ();

    fn handle(&mut self, m: SetAdmin, _: &mut Context<Self>) {
        self.desk.received();
        match &mut self.device {
            Some(Device::Dummy(state)) => state.admin_up = m.0,
            Some(Device::System(_) | Device::Tap(_)) => {
                if let Err(error) = sys::device::set_up(&self.setup.config.name, m.0) {
                    vlog::warn!("netdev", "{}: {error}", self.setup.config.name);
                }
            }
            _ => {}
        }
        self.look();
    }
}

impl Handler<SetMac> for Port {
    type Result = ();

    fn handle(&mut self, m: SetMac, _: &mut Context<Self>) {
        self.desk.received();
        self.setup.config.mac = Some(device::mac_text(m.0));
        self.apply_settings();
        self.look();
    }
}

impl Handler<ReadStatus> for Port {
    type Result = MessageResult<ReadStatus>;

    fn handle(&mut self, _: ReadStatus, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.seen.clone())
    }
}

/// Packets a dummy receives in a queue, to be passed on (Q).
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Receive(pub u32, pub Vec<packet::PacketBuf>);

impl Handler<Receive> for Port {
    type Result = bool;

    fn handle(&mut self, m: Receive, _: &mut Context<Self>) -> bool {
        self.desk.received();
        // As in 3.1, one that is down receives all the same.
        match (&self.device, &self.setup.datapath) {
            (Some(Device::Dummy(_)), Some(datapath)) => {
                datapath.offer(Inject { port: self.setup.odp, queue: m.0, packets: m.1 })
            }
            _ => false,
        }
    }
}

/// The first packets came by a device that has no ring yet, or by a tap; of which opening of it (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Roused(u64);

impl Handler<Roused> for Port {
    type Result = ();

    /// Gives it a ring; a tap, a shortcut.
    fn handle(&mut self, m: Roused, ctx: &mut Context<Self>) {
        self.desk.received();
        let ifindex = match self.device.as_mut().filter(|_| m.0 == self.openings) {
            Some(Device::System(held)) => held.ifindex(),
            Some(Device::Tap(own)) => {
                own.shortcut.become_worthwhile();
                return self.set_shortcut(ctx);
            }
            _ => return,
        };
        let rings = self.setup.rings.clone();
        let opening = tokio::task::spawn_blocking(move || device::open_late(ifindex, &rings));
        let step = actix::fut::wrap_future::<_, Self>(opening).map(move |opened, this, ctx| {
            // The device that it is of may have gone meanwhile.
            if m.0 == this.openings && this.device.is_some() {
                match opened.unwrap_or_else(|error| Err(error.to_string())) {
                    Ok(queue) => this.go_over(queue, ctx),
                    Err(error) => {
                        let name = &this.setup.config.name;
                        vlog::info!("netdev_linux", "{name}: goes on without a ring: {error}");
                    }
                }
            }
        });
        ctx.spawn(step);
    }
}

/// A frame of ARP that left by a dummy (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct ArpSeen(pub Vec<u8>);

impl Handler<ArpSeen> for Port {
    type Result = ();

    fn handle(&mut self, m: ArpSeen, _: &mut Context<Self>) {
        self.desk.received();
        if let (Some(Device::Dummy(state)), Some(datapath)) = (&self.device, &self.setup.datapath)
            && let Some(answer) = state.answer(&m.0)
        {
            datapath.offer(Inject { port: self.setup.odp, queue: 0, packets: vec![answer] });
        }
    }
}

impl Handler<ReadWire> for Port {
    type Result = MessageResult<ReadWire>;

    fn handle(&mut self, _: ReadWire, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        MessageResult(self.wire.as_ref().and_then(wire::Wire::is_connected))
    }
}
