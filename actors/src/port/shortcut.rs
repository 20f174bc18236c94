//! What the kernel forwards by itself of what the host sends by a tap: by a program at the tap's egress, put there once the
//! host has sent some packets, and taken away while somebody is to see all of them.
//!
//! To put it there and to take it away takes the kernel a grace period each, so others do both.

use actix::prelude::*;
use sys::Tap;
use sys::bpf::EgressLink;

use super::Port;
use super::device::Device;
use crate::datapath::kernel::KernelFlows;

/// Where a tap's program is.
#[derive(Debug)]
enum Place {
    Nowhere,
    /// On its way there, or away.
    OnItsWay,
    /// At the tap, as long as this.
    There(EgressLink),
}

/// The program of a tap.
#[derive(Debug)]
pub struct Shortcut {
    ifindex: u32,
    kernel: Option<KernelFlows>,
    /// The host has sent some packets.
    is_worthwhile: bool,
    place: Place,
}

/// What becomes of it: where it is then.
type Changed = Result<Option<EgressLink>, sys::Error>;

impl Shortcut {
    /// None as yet.
    pub fn new(ifindex: u32, kernel: Option<KernelFlows>) -> Self {
        Self { ifindex, kernel, is_worthwhile: false, place: Place::Nowhere }
    }

    /// Whether there may be one.
    pub fn is_possible(&self) -> bool {
        self.kernel.is_some()
    }

    /// The host has sent some packets.
    pub(super) fn become_worthwhile(&mut self) {
        self.is_worthwhile = true;
    }

    /// What is to be done next, by somebody who may wait. Elsewhere than here the tap's index says nothing.
    fn step(&mut self, tap: &Tap, is_allowed: bool) -> Option<Box<dyn FnOnce() -> Changed + Send>> {
        let kernel = self.kernel.as_ref().filter(|_| is_allowed && self.is_worthwhile && tap.is_here());
        match (std::mem::replace(&mut self.place, Place::OnItsWay), kernel.map(KernelFlows::programs)) {
            (Place::Nowhere, Some(programs)) => {
                let (ifindex, programs) = (self.ifindex, programs.clone());
                Some(Box::new(move || EgressLink::attach(ifindex, &programs.tap).map(Some)))
            }
            (Place::There(link), None) => Some(Box::new(move || {
                link.detach();
                Ok(None)
            })),
            (as_it_is, _) => {
                self.place = as_it_is;
                None
            }
        }
    }
}

impl Port {
    /// Lets the kernel forward what the host sends by a tap, or has all of that come to the tap: who watches the device, or
    /// shapes what the host sends by it, would not see what the kernel takes before.
    pub(super) fn set_shortcut(&mut self, ctx: &mut Context<Self>) {
        let is_allowed = !self.watched && !crate::qos::is_wanted(self.qos.as_ref());
        let Some(Device::Tap(own)) = &mut self.device else { return };
        let Some(step) = own.shortcut.step(&own.tap, is_allowed) else { return };
        let opening = self.openings;
        let done = actix::fut::wrap_future::<_, Self>(tokio::task::spawn_blocking(step));
        ctx.spawn(done.map(move |changed, this, ctx| {
            // If the tap went meanwhile, so does the program.
            let Some(Device::Tap(own)) = this.device.as_mut().filter(|_| opening == this.openings) else { return };
            own.shortcut.place = match changed {
                Ok(Ok(Some(link))) => Place::There(link),
                Ok(Ok(None)) => Place::Nowhere,
                Ok(Err(error)) => {
                    vlog::info!("netdev_linux", "{}: not forwarded by the kernel itself: {error}", own.tap.name());
                    own.shortcut.kernel = None;
                    Place::Nowhere
                }
                Err(_) => Place::Nowhere,
            };
            // What is wanted may have changed.
            this.set_shortcut(ctx);
        }));
    }
}
