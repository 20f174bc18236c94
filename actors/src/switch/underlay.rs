//! What a person tells of the network under tunnels, put into the view.

use std::sync::Arc;

use ofproto::view::SwitchView;
use ofproto::view::underlay::{is_v4, masked};

use crate::msg::switch::UnderlayEdit;

/// Most neighbours, addresses and routes of each kind that are kept.
const MOST: usize = 4096;
/// Bits of the part that tells an IPv4 address in the form of an IPv6 one.
pub(super) const MAPPED_BITS: u8 = 96;

/// Applies one change.
///
/// # Errors
/// The text for the person.
pub(super) fn apply(view: &mut SwitchView, edit: UnderlayEdit) -> Result<(), String> {
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
    }
    Ok(())
}
