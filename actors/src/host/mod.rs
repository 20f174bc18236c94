//! The host: what its kernel tells of links, addresses, routes and neighbours by route netlink (rtnetlink(7)).
//!
//! Events come over a multicast socket of our own, so that the kernel's buffer is the only queue; when it overflows, or
//! at the start, everything is asked for anew by `rtnetlink` requests. Each change makes a new [`HostView`], published
//! for anybody to read; ports hear of their devices ([`LinkChanged`]), the switch of all devices that changed.

mod underlay;
pub mod view;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures::TryStreamExt;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use ofproto::view::underlay::HostNetwork;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage, TcStats2};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

use crate::clock;
use crate::mailbox::{Address, Outlet};
use crate::msg::port::LinkChanged;
use crate::msg::switch::{DevicesChanged, UnderlayEdit as Edit};
use crate::supervise::{Desk, Player};
use crate::switch::directory::Shared as SharedDirectory;
pub use view::{HostView, Link, LinkCounters};

/// The picture as of now, for anybody to read.
pub type Shared = Arc<ArcSwap<HostView>>;

/// Before trying again when the kernel's answers fail.
const PAUSE: Duration = Duration::from_secs(1);
/// The network under tunnels is told of anew after so many times what that took.
const REST: u32 = 50;
/// Octets of events the kernel keeps for us.
const EVENT_BUFFER: usize = 4 << 20;

const GROUPS: [MulticastGroup; 6] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Neigh,
];

/// What the kernel told (Q; the watcher waits until it is noted).
#[derive(Debug, Message)]
#[rtype(result = "()")]
enum News {
    /// Everything there is.
    All(Vec<RouteNetlinkMessage>),
    /// What changed.
    Some(Vec<RouteNetlinkMessage>),
}

/// All devices' counters, by name (Q).
#[derive(Debug, Message)]
#[rtype(result = "Arc<BTreeMap<String, LinkCounters>>")]
pub struct ReadCounters;

/// Counters of the queues of a device that has classes (Q).
#[derive(Debug, Message)]
#[rtype(result = "BTreeMap<u32, crate::qos::QueueCounters>")]
pub struct ReadClasses {
    /// The device's number.
    pub ifindex: u32,
}

/// The host's actor.
pub struct Host {
    desk: Desk,
    view: Shared,
    directory: SharedDirectory,
    switch: Outlet<DevicesChanged>,
    kernel: Option<Rc<Kernel>>,
    /// What the switch was told of the network under tunnels.
    network: Option<HostNetwork>,
    /// Of which version of it ([`HostView::network_version`]); none at first, and where it did not listen.
    told: Option<u64>,
    /// Whether it is going to be told later.
    is_due: bool,
    /// Whether tunnels go by the host's routes.
    tells_routes: bool,
}

impl Host {
    /// One that begins to watch as soon as it is told its own address.
    pub fn new(
        desk: Desk,
        view: Shared,
        directory: SharedDirectory,
        switch: Outlet<DevicesChanged>,
        tells_routes: bool,
    ) -> Self {
        Self { desk, view, directory, switch, tells_routes, kernel: None, network: None, told: None, is_due: false }
    }

    /// Tells the switch where the host's routes lead, if that changed; later, if it does not listen yet, or was told only
    /// just: with many routes that takes long, and they come by the hundreds.
    fn tell_network(&mut self, ctx: &mut Context<Self>) {
        let view = self.view.load_full();
        if self.is_due || self.told == Some(view.network_version) {
            return;
        }
        let begin_us = clock::now_us();
        let mut network = underlay::network(&view);
        if !self.tells_routes {
            network.routes.clear();
        }
        let is_told = self.network.as_ref() == Some(&network)
            || self.directory.load().underlay.as_ref().is_some_and(|to| to.offer(Edit::Host(network.clone())));
        let mut pause = PAUSE;
        if is_told {
            self.network = Some(network);
            self.told = Some(view.network_version);
            let took = Duration::from_micros(u64::try_from(clock::now_us() - begin_us).unwrap_or(0));
            pause = took.saturating_mul(REST).min(PAUSE);
        }
        self.is_due = true;
        ctx.run_later(pause, |host, ctx| {
            host.is_due = false;
            host.tell_network(ctx);
        });
    }

    fn tell(&self, names: BTreeSet<String>, view: &HostView) {
        if names.is_empty() {
            return;
        }
        let directory = self.directory.load();
        for name in &names {
            if let Some(port) = directory.ports.get(name) {
                let link = view.link(name);
                port.address.offer(LinkChanged {
                    carrier_changes: link.map(|l| l.carrier_changes),
                    watched: link.is_some_and(|l| l.promiscuous),
                });
            }
        }
        let present = names.into_iter().filter(|name| view.link(name).is_some()).collect();
        self.switch.offer(DevicesChanged { present });
    }
}

impl Actor for Host {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match rtnetlink::new_connection() {
            Ok((connection, handle, _)) => {
                actix::spawn(connection);
                let kernel = Rc::new(Kernel(Mutex::new(handle)));
                self.kernel = Some(kernel.clone());
                // The watcher ends with the actor, since nobody notes its news any more.
                actix::spawn(watch(kernel, ctx.address()));
            }
            Err(error) => vlog::err!("rtnetlink", "cannot follow the host's devices: {error}"),
        }
    }
}

impl Player for Host {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Handler<News> for Host {
    type Result = ();

    fn handle(&mut self, m: News, ctx: &mut Context<Self>) {
        self.desk.received();
        let before = self.view.load_full();
        let mut names = BTreeSet::new();
        let view = match m {
            News::All(messages) => {
                let (version, network_version) = (before.version + 1, before.network_version + 1);
                let mut view = HostView { version, network_version, ..HostView::default() };
                for message in &messages {
                    view.apply(message, &mut names);
                }
                names = before.differences(&view);
                view
            }
            News::Some(messages) => {
                let mut view = HostView::clone(&before);
                for message in &messages {
                    view.apply(message, &mut names);
                }
                view
            }
        };
        if view.version != before.version {
            let view = Arc::new(view);
            self.view.store(view.clone());
            self.tell(names, &view);
            self.tell_network(ctx);
        }
    }
}

impl Handler<ReadCounters> for Host {
    type Result = ResponseFuture<Arc<BTreeMap<String, LinkCounters>>>;

    fn handle(&mut self, _: ReadCounters, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let kernel = self.kernel.clone();
        Box::pin(async move {
            let Some(kernel) = kernel else { return Arc::default() };
            match kernel.counters().await {
                Ok(counters) => Arc::new(counters),
                Err(error) => {
                    vlog::warn_rl!("rtnetlink", 5, 5, "reading devices' counters: {error}");
                    Arc::default()
                }
            }
        })
    }
}

/// The queue a class message is of, and what it counted: class `1:N+1` is queue N.
fn queue_of(message: &TcMessage) -> Option<(u32, crate::qos::QueueCounters)> {
    let handle = message.header.handle;
    let queue =
        (handle.major == 1 && handle.minor != 0 && handle.minor < 0xfffe).then(|| u32::from(handle.minor) - 1)?;
    let mut counters = crate::qos::QueueCounters::default();
    for attribute in &message.attributes {
        let TcAttribute::Stats2(parts) = attribute else { continue };
        for part in parts {
            match part {
                TcStats2::Basic(basic) => {
                    counters.bytes = basic.bytes;
                    counters.packets = basic.packets.into();
                }
                TcStats2::Queue(queue) => counters.errors = queue.drops.into(),
                _ => {}
            }
        }
    }
    Some((queue, counters))
}

impl Handler<ReadClasses> for Host {
    type Result = ResponseFuture<BTreeMap<u32, crate::qos::QueueCounters>>;

    fn handle(&mut self, m: ReadClasses, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let kernel = self.kernel.clone();
        Box::pin(async move {
            let Some(kernel) = kernel else { return BTreeMap::new() };
            let index = i32::try_from(m.ifindex).unwrap_or(0);
            let handle = kernel.0.lock().await;
            let classes = handle.traffic_class(index).get().execute().try_collect::<Vec<_>>().await;
            classes.unwrap_or_default().iter().filter_map(queue_of).collect()
        })
    }
}

fn subscribe() -> std::io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(netlink_sys::protocols::NETLINK_ROUTE)?;
    let groups = GROUPS.iter().fold(0, |bits, group| bits | (1 << (*group as u32 - 1)));
    let inner = socket.socket_mut();
    inner.bind(&SocketAddr::new(0, groups))?;
    // More than the administrator's limit needs privilege; without it the limit stands.
    let _ = inner.set_rx_buf_sz(EVENT_BUFFER);
    Ok(socket)
}

/// Who is asked. Of one socket the kernel refuses a list while it is still giving another (`EBUSY`): each asker waits for
/// its turn.
struct Kernel(Mutex<Handle>);

impl Kernel {
    async fn counters(&self) -> Result<BTreeMap<String, LinkCounters>, rtnetlink::Error> {
        let handle = self.0.lock().await;
        let links = handle.link().get().execute().try_collect::<Vec<_>>().await?;
        Ok(links.iter().filter_map(view::counters_of).collect())
    }
}

async fn everything(kernel: &Kernel) -> Result<Vec<RouteNetlinkMessage>, rtnetlink::Error> {
    use RouteNetlinkMessage as M;
    let handle = kernel.0.lock().await;
    let mut all = Vec::new();
    all.extend(handle.link().get().execute().map_ok(M::NewLink).try_collect::<Vec<_>>().await?);
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    // The youngest IPv6 address is listed first, but would be heard of last.
    let is_v6 = |a: &AddressMessage| a.header.family == AddressFamily::Inet6;
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_v6);
    all.extend(four.into_iter().chain(six.into_iter().rev()).map(M::NewAddress));
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        all.extend(handle.route().get(route).execute().map_ok(M::NewRoute).try_collect::<Vec<_>>().await?);
    }
    all.extend(handle.neighbours().get().execute().map_ok(M::NewNeighbour).try_collect::<Vec<_>>().await?);
    Ok(all)
}

fn events_of(mut octets: &[u8]) -> Vec<RouteNetlinkMessage> {
    let mut events = Vec::new();
    while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets) {
        let len = (message.header.length as usize).next_multiple_of(4);
        if let NetlinkPayload::InnerMessage(inner) = message.payload {
            events.push(inner);
        }
        if len < 16 || len >= octets.len() {
            break;
        }
        octets = &octets[len..];
    }
    events
}

/// Follows the kernel until the actor is gone.
async fn watch(kernel: Rc<Kernel>, host: actix::Addr<Host>) {
    loop {
        // First subscribed, then asked: nothing falls between.
        let socket = match subscribe() {
            Ok(socket) => socket,
            Err(error) => {
                vlog::warn_rl!("rtnetlink", 5, 5, "cannot follow the host's devices: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match everything(&kernel).await {
            Ok(all) => {
                if host.send(News::All(all)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                vlog::warn_rl!("rtnetlink", 5, 5, "cannot read the host's devices: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        }
        loop {
            match socket.recv_from_full().await {
                Ok((octets, _)) => {
                    let events = events_of(&octets);
                    if !events.is_empty() && host.send(News::Some(events)).await.is_err() {
                        return;
                    }
                }
                // Too many at once for the buffer: some are lost.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => break,
                Err(error) => {
                    vlog::warn_rl!("rtnetlink", 5, 5, "following the host's devices: {error}");
                    tokio::time::sleep(PAUSE).await;
                    break;
                }
            }
        }
    }
}

/// The host's view and its actor, for those who need either.
#[derive(Debug, Clone)]
pub struct Known {
    /// The view.
    pub view: Shared,
    /// The actor.
    pub address: Address<Host>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn who_asks_while_another_is_answered_is_answered_too() {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        actix::spawn(connection);
        let kernel = Kernel(Mutex::new(handle));
        let asked = futures::future::join_all((0..32).map(|_| kernel.counters())).await;
        for counters in asked {
            assert!(counters.unwrap().contains_key("lo"));
        }
    }
}
