//! Commands of features that no port or bridge has configured yet: they answer as Open vSwitch 3.1 does then.

use super::context::Registry;

/// Registers them.
pub(super) fn add(registry: &mut Registry<'_>) {
    for name in ["autoattach/status", "autoattach/show-isid", "autoattach/statistics"] {
        registry.say(name, "[bridge]", (0, 1), |_| Ok(String::new()));
    }
}
