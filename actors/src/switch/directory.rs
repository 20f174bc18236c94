//! Who is where, for control commands: published by the switch, read by anyone.

use arc_swap::ArcSwap;
use flow::OdpPort;
use ofproto::view::{BridgeId, SwitchView, TunnelConfig};
use openflow::OfPort;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bridge::Bridge;
use crate::datapath::Datapath;
use crate::mailbox::{Address, Outlet};
use crate::msg::switch::{DatapathEdit, Share, UnderlayEdit};
use crate::port::Port;
use crate::revalidator::Revalidator;
use crate::switch::notes::Threads;

/// A bridge.
#[derive(Debug, Clone)]
pub struct BridgeEntry {
    /// Its actor.
    pub address: Address<Bridge>,
    /// Number in the view.
    pub id: BridgeId,
    /// Datapath it uses.
    pub datapath: String,
}

/// A port.
#[derive(Debug, Clone)]
pub struct PortEntry {
    /// Its actor.
    pub address: Address<Port>,
    /// Its bridge.
    pub bridge: String,
    /// OpenFlow number.
    pub port: OfPort,
    /// Datapath number, for those that have one.
    pub odp: Option<OdpPort>,
    /// What `dpif/show` calls its kind.
    pub kind: String,
    /// Its kind of device.
    pub device: crate::port::device::DeviceKind,
    /// What it is configured to be, of a tunnel.
    pub tunnel: Option<Arc<TunnelConfig>>,
    /// Its device's options.
    pub options: super::desired::Pairs,
}

/// A datapath.
#[derive(Debug, Clone)]
pub struct DatapathEntry {
    /// Its actor.
    pub address: Address<Datapath>,
    /// Its revalidator's; those that no bridge uses have none.
    pub revalidator: Option<Address<Revalidator>>,
    /// Names by number.
    pub ports: BTreeMap<OdpPort, String>,
    /// Which threads poll which of its ports, of those the main thread does not.
    pub assignment: Arc<dp::rxq::Assignment>,
    /// Ports that are no bridge's, by name.
    pub own: BTreeMap<String, PortEntry>,
}

impl DatapathEntry {
    /// Its revalidator.
    ///
    /// # Errors
    /// No bridge uses the datapath.
    pub fn revalidator(&self) -> Result<&Address<Revalidator>, String> {
        self.revalidator.as_ref().ok_or_else(|| "no bridge uses the datapath".to_owned())
    }
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// By name.
    pub bridges: Arc<BTreeMap<String, BridgeEntry>>,
    /// By name.
    pub ports: Arc<BTreeMap<String, PortEntry>>,
    /// By type: `system`, `netdev`, `dummy`.
    pub datapaths: Arc<BTreeMap<String, DatapathEntry>>,
    /// Those that people made, by `TYPE@NAME`.
    pub made: Arc<BTreeMap<String, DatapathEntry>>,
    /// The host's devices; `None` where there are dummies alone.
    pub host: Option<crate::host::Known>,
    /// The client of the database.
    pub idl: Option<Address<crate::idl::Idl>>,
    /// Who keeps the network under tunnels.
    pub underlay: Option<Outlet<UnderlayEdit>>,
    /// Who tells when bridges have heard of changes of their ports.
    pub shares: Option<Outlet<Share>>,
    /// Who makes datapaths for people.
    pub hand: Option<Outlet<DatapathEdit>>,
    /// What translation reads.
    pub view: Arc<SwitchView>,
    /// The same by type of datapath, where there are several.
    pub views: Arc<BTreeMap<String, Arc<SwitchView>>>,
    /// How many threads are asked for.
    pub threads: Threads,
    /// How many threads hand flows to devices; 0: nobody asked for that.
    pub offload_threads: u32,
    /// The switch has had a configuration.
    pub is_configured: bool,
}

/// The directory, shared.
pub type Shared = Arc<ArcSwap<Directory>>;
