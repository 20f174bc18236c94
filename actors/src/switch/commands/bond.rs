//! `bond/*` and `lacp/*`.

use flow::hash_order::HashOrder;

use super::context::{PATIENCE, Registry};
use crate::msg::bridge::Control;
use crate::port::device::parse_mac;
use crate::switch::directory::Directory;
use crate::unixctl::Answer;

const NO_BOND: &str = "no such bond";
const NO_LACP: &str = "no such lacp object";

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    registry.ask("bond/list", "", (0, 0), |directory, _| async move {
        let lines = texts(&directory, "bond/list", None).await?;
        Ok(format!("bond\ttype\trecircID\tmembers\n{}", lines.unwrap_or_default()))
    });
    for (name, refusal) in [("bond/show", NO_BOND), ("lacp/show", NO_LACP), ("lacp/show-stats", NO_LACP)] {
        registry.ask(name, "[port]", (0, 1), move |directory, args| async move {
            let found = texts(&directory, name, args.first().map(String::as_str)).await?;
            found.ok_or_else(|| refusal.to_owned())
        });
    }
    registry.say("bond/hash", "mac [vlan] [basis]", (1, 3), |args| {
        let mac = parse_mac(&args[0]).filter(|_| args[0].len() == 17).ok_or("invalid mac")?;
        let vlan = args.get(1).map_or(Some(0), |v| v.parse::<u16>().ok()).ok_or("invalid vlan")?;
        let basis = args.get(2).map_or(Some(0), |b| b.parse::<u32>().ok()).ok_or("invalid basis")?;
        Ok(format!("{}\n", flow::hash::mac_vlan(mac, vlan, basis) & 0xff))
    });
    for (name, usage, count) in [
        ("bond/enable-member", "port member", 2),
        ("bond/disable-member", "port member", 2),
        ("bond/set-active-member", "port member", 2),
        ("bond/migrate", "port hash member", 3),
    ] {
        registry.ask(name, usage, (count, count), move |directory, args| async move {
            for bridge in directory.bridges.values() {
                let control = Control { name, args: args.clone() };
                match bridge.address.ask(control, PATIENCE).await.map_err(|e| e.to_string())? {
                    // The bond is another bridge's.
                    Ok(text) if text.is_empty() => {}
                    answer => return answer,
                }
            }
            Err(NO_BOND.to_owned())
        });
    }
}

/// What the bridges say of their bonds, in the order in which a hash table lists the bonds' names, or of the one of this name. What they say of
/// themselves comes in the order in which they were made.
pub(super) async fn texts(
    directory: &Directory,
    name: &'static str,
    wanted: Option<&str>,
) -> Result<Option<String>, String> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut bridges: Vec<_> = directory.bridges.values().collect();
    bridges.sort_by_key(|bridge| bridge.id);
    for bridge in bridges {
        let control = Control { name, args: Vec::new() };
        let answer: Answer = bridge.address.ask(control, PATIENCE).await.map_err(|e| e.to_string())?;
        found.extend(answer?.split_terminator('\0').filter_map(|record| {
            let (name, text) = record.split_once('\n')?;
            Some((name.to_owned(), text.to_owned()))
        }));
    }
    if name.starts_with("bond/") {
        let order = HashOrder::by_name(found.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)));
        found = order.iter().map(|i| std::mem::take(&mut found[i])).collect();
    } else if !matches!(name, "stp/show" | "rstp/show") {
        found.sort();
    }
    found.retain(|(name, _)| wanted.is_none_or(|w| w == name));
    let missing = wanted.is_some() && found.is_empty();
    Ok((!missing).then(|| found.into_iter().map(|(_, text)| text).collect()))
}
