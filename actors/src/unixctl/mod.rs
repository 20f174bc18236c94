//! Control commands: what `ovs-appctl` says to a daemon over its Unix socket.
//!
//! The commands live in one [`Commands`] registry, a jsonrpsee `RpcModule`: the sessions here call it for
//! JSON-RPC 1.0, `web` serves the same module to JSON-RPC 2.0 clients. Argument counts and the texts of
//! refusals are Open vSwitch's (ovs-appctl(8)).

mod commands;
mod common;
pub mod coverage;
mod number;
mod session;

pub(crate) use commands::too_few;
pub use commands::{Answer, Commands};
pub use common::{add_actor_commands, add_clock_commands, add_log_commands};
pub use number::leading_number;

use crate::stream::{Listener, Method, Tls};
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use actix::prelude::*;
use session::Session;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Where a daemon's control socket lies: `RUNDIR/PROGRAM.PID.ctl`, or as `--unixctl` says; `none` is none.
pub fn socket_path(run_dir: &Path, program: &str, option: Option<&str>) -> Option<PathBuf> {
    match option {
        Some("none") => None,
        Some(path) => Some(run_dir.join(path)),
        None => Some(run_dir.join(format!("{program}.{}.ctl", std::process::id()))),
    }
}

/// The actor that listens on the control socket and hires a session for each connection.
#[derive(Debug)]
pub struct Server {
    desk: Desk,
    commands: Arc<Commands>,
    sessions: Family,
    accepted: u64,
}

impl Server {
    /// Starts to serve `commands` on the socket at `path`.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn start(family: &Family, commands: Arc<Commands>, path: &Path) -> Result<(), String> {
        let bound = Listener::bind(&Method::PassiveUnix(path.to_owned()), &Tls::default());
        let bound = bound.map_err(|e| {
            format!("{}: could not initialize control socket ({})", path.display(), crate::stream::errno_text(&e))
        })?;
        let (listener, target) = (Rc::new(bound.for_control()), format!("punix:{}", path.display()));
        family.hire(Role::new("unixctl", "unixctl", 16, Strategy::OneForOne), move |desk, ctx| {
            ctx.add_stream(session::connections(listener.clone(), target.clone()));
            Server { sessions: Family::of(&desk), desk, commands: commands.clone(), accepted: 0 }
        });
        Ok(())
    }
}

impl Actor for Server {
    type Context = Context<Self>;
}

impl Player for Server {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl StreamHandler<crate::stream::Accepted> for Server {
    fn handle(&mut self, peer: crate::stream::Accepted, _: &mut Context<Self>) {
        self.desk.served();
        self.accepted += 1;
        let role = Role::new(format!("unixctl session {}", self.accepted), "unixctl", 4, Strategy::Temporary);
        let (family, commands) = (self.sessions.downgrade(), self.commands.clone());
        self.sessions.hire_once(role, move |desk, ctx| Session::begin(desk, family, commands, peer, ctx));
    }
}
