//! What people, the host and packets tell of the network under tunnels, put into the view; and how long neighbours stay there.

use std::collections::BTreeMap;
use std::sync::Arc;

use ofproto::view::SwitchView;
use ofproto::view::underlay::{DEFAULT_AGING_S, is_v4, masked};

use crate::msg::switch::UnderlayEdit;

/// Most neighbours, addresses and routes of each kind that are kept.
const MOST: usize = 4096;
/// Bits of the part that tells an IPv4 address in the form of an IPv6 one.
pub(super) const MAPPED_BITS: u8 = 96;

/// When neighbours are forgotten.
#[derive(Debug, Default)]
pub(super) struct Aging {
    /// Milliseconds, by bridge and address; of every neighbour in the view.
    until: BTreeMap<(String, u128), i64>,
}

impl Aging {
    /// When the first one goes.
    pub(super) fn next_ms(&self) -> Option<i64> {
        self.until.values().copied().min()
    }

    /// Takes those out whose time is over. True: there were such.
    pub(super) fn expire(&mut self, view: &mut Arc<SwitchView>, now_ms: i64) -> bool {
        let before = self.until.len();
        self.until.retain(|_, until| *until > now_ms);
        if self.until.len() == before {
            return false;
        }
        let under = Arc::make_mut(&mut Arc::make_mut(view).underlay);
        under.neighbours.retain(|(bridge, address, _)| self.until.contains_key(&(bridge.clone(), *address)));
        true
    }

    /// Takes those out that are behind a device that goes.
    pub(super) fn forget(&mut self, view: &mut Arc<SwitchView>, device: &str) {
        if view.underlay.neighbours.iter().any(|(bridge, ..)| bridge == device) {
            Arc::make_mut(&mut Arc::make_mut(view).underlay).neighbours.retain(|(bridge, ..)| bridge != device);
            self.until.retain(|(bridge, _), _| bridge != device);
        }
    }

    /// Applies one change. True: the view is another.
    ///
    /// # Errors
    /// The text for the person.
    pub(super) fn apply(
        &mut self,
        view: &mut Arc<SwitchView>,
        edit: UnderlayEdit,
        now_ms: i64,
    ) -> Result<bool, String> {
        let aging_s = view.underlay.aging_s.unwrap_or(DEFAULT_AGING_S);
        let until_ms = now_ms.saturating_add(i64::from(aging_s) * 1000);
        match &edit {
            UnderlayEdit::NeighbourUsed { bridge, address } => {
                if let Some(until) = self.until.get_mut(&(bridge.clone(), *address)) {
                    *until = until_ms;
                }
                return Ok(false);
            }
            UnderlayEdit::Neighbour { bridge, address, .. } => {
                self.until.insert((bridge.clone(), *address), until_ms);
            }
            UnderlayEdit::Aging(aging_s) => {
                let most = now_ms.saturating_add(i64::from(*aging_s) * 1000);
                self.until.values_mut().for_each(|until| *until = most.min(*until));
            }
            UnderlayEdit::FlushNeighbours => self.until.clear(),
            _ => {}
        }
        apply(Arc::make_mut(view), edit)?;
        if self.until.len() > view.underlay.neighbours.len() {
            let known = |bridge: &str, address| view.underlay.neighbour(bridge, address).is_some();
            self.until.retain(|(bridge, address), _| known(bridge, *address));
        }
        Ok(true)
    }
}

/// Applies one change to what is known.
///
/// # Errors
/// The text for the person.
fn apply(view: &mut SwitchView, edit: UnderlayEdit) -> Result<(), String> {
    let under = Arc::make_mut(&mut view.underlay);
    match edit {
        UnderlayEdit::Host(network) => under.host = network,
        UnderlayEdit::Address { device, address } => {
            // A dummy has one address of each family.
            let own = under.addresses.entry(device).or_default();
            own.retain(|(a, _)| is_v4(*a) != is_v4(address.0));
            own.push(address);
        }
        UnderlayEdit::AddRoute { to, bridge, gateway, mark } => {
            if under.routes.len() >= MOST {
                return Err("Error while inserting route.".to_owned());
            }
            under.add_route(to, &bridge, gateway, mark)?;
        }
        UnderlayEdit::DeleteRoute { to: (to, len), mark } => {
            let before = under.routes.len();
            under.routes.retain(|r| (r.prefix, r.len, r.mark) != (masked(to, len), len, mark));
            if under.routes.len() == before {
                return Err("Not found".to_owned());
            }
        }
        UnderlayEdit::Neighbour { bridge, address, mac } => {
            under.neighbours.retain(|(b, a, _)| (b, *a) != (&bridge, address));
            if under.neighbours.len() >= MOST {
                under.neighbours.remove(0);
            }
            under.neighbours.push((bridge, address, mac));
        }
        UnderlayEdit::FlushNeighbours => under.neighbours.clear(),
        UnderlayEdit::Aging(aging_s) => under.aging_s = Some(aging_s),
        UnderlayEdit::Sources(sources) => under.sources = Some(sources),
        UnderlayEdit::NeighbourUsed { .. } => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_when_nobody_hears_of_them() {
        let (mut aging, mut view) = (Aging::default(), Arc::new(SwitchView::default()));
        let heard = |address| UnderlayEdit::Neighbour { bridge: "br0".into(), address, mac: 7 };
        let used = |address| UnderlayEdit::NeighbourUsed { bridge: "br0".into(), address };
        let known = |view: &SwitchView| view.underlay.neighbours.iter().map(|(_, a, _)| *a).collect::<Vec<_>>();
        assert_eq!(aging.apply(&mut view, UnderlayEdit::Aging(10), 0), Ok(true));
        for address in [1, 2, 3] {
            assert_eq!(aging.apply(&mut view, heard(address), 0), Ok(true));
        }
        assert_eq!(aging.apply(&mut view, used(2), 9_000), Ok(false), "not news for translation");
        assert_eq!(aging.apply(&mut view, used(9), 9_000), Ok(false), "is not known");
        assert_eq!(aging.apply(&mut view, heard(3), 9_000), Ok(true));
        assert!(!aging.expire(&mut view, 9_999));
        assert_eq!(aging.next_ms(), Some(10_000));
        assert!(aging.expire(&mut view, 10_000));
        assert_eq!(known(&view), [2, 3]);
        assert_eq!(
            aging.apply(&mut view, UnderlayEdit::Aging(3), 10_000),
            Ok(true),
            "for those that are there as well"
        );
        assert_eq!(aging.next_ms(), Some(13_000));
        assert_eq!(aging.apply(&mut view, UnderlayEdit::Aging(100), 10_000), Ok(true), "they do not live longer");
        assert!(aging.expire(&mut view, 13_000) && known(&view).is_empty() && aging.next_ms().is_none());
        assert_eq!(aging.apply(&mut view, heard(4), 13_000), Ok(true));
        aging.forget(&mut view, "br1");
        assert_eq!(known(&view), [4], "behind another device");
        aging.forget(&mut view, "br0");
        assert!(known(&view).is_empty() && aging.next_ms().is_none());
    }
}
