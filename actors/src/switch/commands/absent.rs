//! Commands of features that no port or bridge has configured yet: they answer as Open vSwitch 3.1 does then.

use super::context::Registry;

/// `(name, usage, arguments at most, answer without argument, refusal with one)`.
const NONE_CONFIGURED: &[(&str, &str, usize, &str, &str)] = &[
    ("bfd/show", "[interface]", 1, "", "no such bfd object"),
    ("cfm/show", "[interface]", 1, "", "no such CFM object"),
    ("rstp/show", "[bridge]", 1, "", "No such RSTP object"),
    ("rstp/tcn", "[bridge]", 1, "OK", "No such RSTP object"),
    ("stp/show", "[bridge]", 1, "", "no such stp object"),
    ("stp/tcn", "[bridge]", 1, "OK", "no such stp object"),
];

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    for (name, usage, most, without, with) in NONE_CONFIGURED {
        registry.say(name, usage, (0, *most), move |args| match args {
            [] => Ok((*without).to_owned()),
            _ => Err((*with).to_owned()),
        });
    }
    for name in ["autoattach/status", "autoattach/show-isid", "autoattach/statistics"] {
        registry.say(name, "[bridge]", (0, 1), |_| Ok(String::new()));
    }
    for (name, refusal) in [("bfd/set-forwarding", "no such BFD object"), ("cfm/set-fault", "no such CFM object")] {
        registry.say(name, "[interface] normal|false|true", (1, 2), move |args| {
            match args.last().map(String::as_str) {
                Some("normal" | "false" | "true") if args.len() == 1 => Ok("OK".to_owned()),
                Some("normal" | "false" | "true") => Err(refusal.to_owned()),
                _ => Err("unknown fault string".to_owned()),
            }
        });
    }
}
