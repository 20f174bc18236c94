//! `qos/show` and `qos/show-types` (ovs-vswitchd(8)), and the counters of queues for OpenFlow.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{QueueCounters, Shaping, TYPES, show};
use crate::host::ReadClasses;
use crate::msg::port::ReadShaping;
use crate::port::device::DeviceKind;
use crate::switch::directory::{Directory, PortEntry, Shared};
use crate::unixctl::Commands;

const PATIENCE: Duration = Duration::from_secs(10);

/// A port's discipline, and its queues' counters.
pub async fn read(directory: &Directory, port: &PortEntry) -> (Option<Shaping>, BTreeMap<u32, QueueCounters>) {
    let shaping = port.address.ask(ReadShaping, PATIENCE).await.ok().flatten();
    let counters = match (&shaping, &directory.host) {
        (Some(shaping), Some(host)) => {
            host.address.ask(ReadClasses { ifindex: shaping.ifindex }, PATIENCE).await.unwrap_or_default()
        }
        _ => BTreeMap::new(),
    };
    (shaping, counters)
}

/// Registers them.
pub fn add(commands: &mut Commands, directory: &Shared) {
    let shared = directory.clone();
    commands.add_later("qos/show", "interface", 1, 1, move |args| {
        let directory = shared.load_full();
        async move {
            let port = directory.ports.get(&args[0]).ok_or_else(|| "no such interface".to_owned())?;
            let (shaping, counters) = read(&directory, port).await;
            Ok(show(&args[0], shaping.as_ref(), &counters))
        }
    });
    let shared = directory.clone();
    commands.add_later("qos/show-types", "interface", 1, 1, move |args| {
        let directory = shared.load_full();
        async move {
            let port = directory.ports.get(&args[0]).ok_or_else(|| "no such interface".to_owned())?;
            if !matches!(port.device, DeviceKind::System | DeviceKind::Internal) {
                return Ok(format!("No QoS types supported for interface: {}\n", args[0]));
            }
            Ok(TYPES.iter().map(|t| format!("QoS type: {t}\n")).collect())
        }
    });
}
