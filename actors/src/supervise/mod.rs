//! Supervision: a parent hires actors into a [`Family`]; the family starts them anew when they panic.
//!
//! actix lets a panicked actor's address go dead and tells nobody. So each actor carries a [`Desk`]; a desk
//! dropped by a panic sends an obituary to the family, which acts by the child's [`Strategy`]. More than
//! three restarts in ten seconds escalate: the family's owner panics in turn, and at the top the process
//! aborts, for `--monitor` to start it again.
//!
//! The desk is also the actor's one timer: [`Desk::arm`] says when and why, [`Player::wake`] is called then.
//!
//! ```
//! # use actix::prelude::*;
//! # use ::actors::mailbox::Address;
//! # use ::actors::supervise::{Desk, Family, Player, Role, Strategy};
//! struct Echo { desk: Desk }
//! impl Actor for Echo { type Context = Context<Self>; }
//! impl Player for Echo {
//!     fn desk(&mut self) -> &mut Desk { &mut self.desk }
//!     fn wake(&mut self, now_ms: i64, _: &mut Context<Self>) { self.desk.arm(Some((now_ms + 1000, "tick"))); }
//! }
//! # System::new().block_on(async {
//! let family = Family::top("switch");
//! let role = Role::new("echo 1", "echo", 64, Strategy::OneForOne);
//! let echo: Address<Echo> = family.hire(role, |desk, _| Echo { desk });
//! assert!(echo.is_connected());
//! # });
//! ```

mod desk;
mod family;

pub use desk::{Desk, Player};
pub use family::{Family, Role, Strategy, WeakFamily};

use crate::mailbox;

/// Sends panics to the log instead of standard error alone: `supervise|EMER|…`. Called once at start.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info
            .payload()
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| info.payload().downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        vlog::emer!("supervise", "panic: {text}{place}");
    }));
}

/// `actor/panic NAME`: makes the named actor panic at once.
///
/// # Errors
/// The text to show if there is no such actor.
pub fn panic_actor(name: &str) -> Result<(), String> {
    let found = mailbox::cards().into_iter().find(|c| c.name() == name);
    match found {
        Some(card) => {
            card.ask_panic();
            Ok(())
        }
        None => Err(format!("no actor named \"{name}\"")),
    }
}

/// The table of `actor/show`.
pub fn show(now_ms: i64) -> String {
    let cards = mailbox::cards();
    let width = cards.iter().map(|card| card.name().len()).max().unwrap_or(0).max(32);
    let mut out = format!("{:<width$} kind         mailbox    handled  lost  restarts  next timer\n", "actor");
    for card in cards {
        let c = card.counts();
        let timer = match c.timer {
            Some((at, why)) => format!("{} ms ({why})", at.saturating_sub(now_ms).max(0)),
            None => "-".to_owned(),
        };
        let mailbox = format!("{}/{}", c.depth, c.capacity);
        let line = format!(
            "{:<width$} {:<12} {mailbox:<10} {:>7}  {:>4}  {:>8}  {timer}\n",
            card.name(),
            card.kind(),
            c.handled,
            c.lost,
            c.restarts
        );
        out.push_str(&line);
    }
    out
}
