//! `bond/*` and `lacp/*`.

use hashing::HashOrder;

use super::context::{PATIENCE, Registry};
use crate::msg::bridge::Control;
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
        let number = |i: usize| args.get(i).map_or(Some(0), |text| scan_number(text));
        let vlan = number(1).ok_or("invalid vlan")?;
        let basis = number(2).ok_or("invalid basis")?;
        let mac = scan_mac(&args[0]).ok_or("invalid mac")?;
        Ok(format!("{}\n", flow::hash::mac_vlan(mac, vlan as u16, basis) & 0xff))
    });
    for (asked, name, usage, count) in [
        ("bond/enable-member", "bond/enable-member", "port member", 2),
        ("bond/disable-member", "bond/disable-member", "port member", 2),
        ("bond/set-active-member", "bond/set-active-member", "port member", 2),
        ("bond/migrate", "bond/migrate", "port hash member", 3),
        ("bond/enable-slave", "bond/enable-member", "port member", 2),
        ("bond/disable-slave", "bond/disable-member", "port member", 2),
        ("bond/set-active-slave", "bond/set-active-member", "port member", 2),
    ] {
        if asked != name {
            // The name of old; scripts know it still.
            registry.commands.hide(asked);
        }
        registry.ask(asked, usage, (count, count), move |directory, args| async move {
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

/// What the bridges say of their bonds, in the order in which a hash table lists the bonds' names, or of the one of
/// this name. What they say of themselves comes in the order in which they were made.
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

/// The number that a text begins with, in the manner of scanf(3): of 32 bits, a sign before it is heeded, what follows
/// does not matter.
fn scan_number(text: &str) -> Option<u32> {
    flow::text::parse_wrapping_prefix(text, 10).map(|(number, _)| number as u32)
}

/// The Ethernet address that a text begins with, in the same manner: six numbers of one or two digits.
fn scan_mac(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut mac = 0;
    for i in 0..6 {
        if i > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let digits = rest.bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        mac = mac << 8 | u64::from_str_radix(&rest[..digits], 16).ok()?;
        rest = &rest[digits..];
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_read_as_by_scanf() {
        for (text, number) in [("5", Some(5)), ("5x", Some(5)), ("0x5", Some(0)), ("-1", Some(u32::MAX)), ("z", None)] {
            assert_eq!(scan_number(text), number, "{text}");
        }
        for (text, mac) in [
            ("00:11:22:33:44:55", Some(0x0011_2233_4455)),
            ("0:0:0:0:0:1", Some(1)),
            ("00:00:00:00:00:02x", Some(2)),
            ("mac", None),
            ("00:11:22:33:44", None),
            ("0:0:0:0:0:\u{e9}", None),
        ] {
            assert_eq!(scan_mac(text), mac, "{text}");
        }
        assert_eq!(flow::hash::mac_vlan(1, 0, 0) & 0xff, 68, "as Open vSwitch has it");
    }
}
