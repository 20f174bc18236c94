//! The figures of a whole switch at one moment: what `switch/top` and the metrics show.

use flow::OdpPort;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::msg::datapath::{DatapathReport, ReadStats};
use crate::msg::port::{PortStatus, ReadStatus};
use crate::switch::directory::Directory;

/// How long a part may take to answer; one that does not is left out.
const PATIENCE: Duration = Duration::from_secs(5);

/// A port that has a place in a datapath.
#[derive(Debug, Clone, Default)]
pub struct PortFigures {
    /// Its bridge.
    pub bridge: String,
    /// Its counters at the datapath.
    pub stats: dp::PortStats,
    /// Packets that were lost before the datapath could receive them.
    pub rx_lost: u64,
    /// Its device as seen last.
    pub status: PortStatus,
}

/// The switch at one moment.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Ports by name.
    pub ports: BTreeMap<String, PortFigures>,
    /// Datapaths by type.
    pub datapaths: BTreeMap<String, DatapathReport>,
    /// Rules of each bridge, those that the switch made for itself left out.
    pub rules: BTreeMap<String, usize>,
}

impl Survey {
    /// Asks everyone.
    pub async fn take(directory: &Directory) -> Survey {
        let datapaths = directory.datapaths.iter().map(|(kind, entry)| {
            let asked = entry.address.ask(ReadStats, PATIENCE);
            async move { Some((kind.clone(), asked.await.ok()?)) }
        });
        let ports = directory.ports.iter().map(|(name, entry)| {
            let asked = entry.address.ask(ReadStatus, PATIENCE);
            async move { (name, entry, asked.await.unwrap_or_default()) }
        });
        let (datapaths, ports) = futures::future::join(join_all(datapaths), join_all(ports)).await;
        let mut survey = Survey { datapaths: datapaths.into_iter().flatten().collect(), ..Survey::default() };
        for (name, entry, status) in ports {
            let report = directory.bridges.get(&entry.bridge).and_then(|b| survey.datapaths.get(&b.datapath));
            let (stats, rx_lost) = report.zip(entry.odp).map(|(r, odp)| counted(r, odp)).unwrap_or_default();
            let figures = PortFigures { bridge: entry.bridge.clone(), stats, rx_lost, status };
            survey.ports.insert(name.clone(), figures);
        }
        for (name, entry) in directory.bridges.iter() {
            let tables = directory.view.bridges.get(&entry.id).into_iter().flat_map(|b| b.tables.iter().flatten());
            survey.rules.insert(name.clone(), tables.map(|t| t.rules.len()).sum());
        }
        survey
    }
}

fn counted(report: &DatapathReport, port: OdpPort) -> (dp::PortStats, u64) {
    report.ports.iter().find(|(number, ..)| *number == port).map(|(_, stats, lost)| (*stats, *lost)).unwrap_or_default()
}
