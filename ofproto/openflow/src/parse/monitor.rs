//! Flow monitor requests from text: `!initial,table=1,out_port=2,ip`.

use crate::flow_mod::{GROUP_ANY, parse_stats_request};
use crate::message::FlowMonitorRequest;
use crate::message::monitor::{MonitorCommand, monitor_flag};
use crate::names::Names;
use crate::words::{Words, u32_of};
use crate::{OfPort, Protocols};

const NEGATED: [(&str, u16); 7] = [
    ("!initial", monitor_flag::INITIAL),
    ("!add", monitor_flag::ADD),
    ("!delete", monitor_flag::REMOVED),
    ("!modify", monitor_flag::MODIFY),
    ("!actions", monitor_flag::INSTRUCTIONS),
    ("!abbrev", monitor_flag::NO_ABBREV),
    ("!own", monitor_flag::ONLY_OWN),
];

/// Reads a request with the number `id`. Returns the protocols that can say it beside it.
///
/// # Errors
/// A text for a user.
pub fn parse_flow_monitor(text: &str, id: u32, names: Names<'_>) -> Result<(FlowMonitorRequest, Protocols), String> {
    let mut flags = monitor_flag::INITIAL
        | monitor_flag::ADD
        | monitor_flag::REMOVED
        | monitor_flag::MODIFY
        | monitor_flag::INSTRUCTIONS
        | monitor_flag::ONLY_OWN;
    let (mut out_port, mut out_group, mut table_id) = (OfPort::ANY, GROUP_ANY, 0xff);
    let mut rest = String::new();
    for (name, value) in Words(text) {
        if let Some((_, bit)) = NEGATED.iter().find(|(n, _)| *n == name) {
            flags &= !bit;
            continue;
        }
        match name {
            "out_port" | "out_group" if value.is_empty() => {
                return Err(format!("{text}: field {name} missing value"));
            }
            "table" => {
                table_id = names.parse_table(value).ok_or_else(|| format!("unknown table \"{value}\""))?;
            }
            "out_port" => {
                // Open vSwitch 3.1 does not mind what is no port or group: it is number 0.
                out_port = names.parse_port(value).unwrap_or(OfPort(0));
            }
            "out_group" => out_group = u32_of(value).unwrap_or(0),
            _ => {
                if !rest.is_empty() {
                    rest.push(',');
                }
                rest.push_str(name);
                if !value.is_empty() {
                    rest.push('=');
                    rest.push_str(value);
                }
            }
        }
    }
    let parsed = parse_stats_request(&rest, false, names).map_err(|e| format!("{text}: {e}"))?;
    let request = FlowMonitorRequest {
        id,
        command: MonitorCommand::Add,
        flags,
        out_port,
        out_group,
        table_id,
        matching: parsed.request.matching,
    };
    Ok((request, parsed.usable))
}
