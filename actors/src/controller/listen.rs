//! A bridge's listeners: its management socket, and passive controllers.

use actix::prelude::*;
use futures::stream;
use ofproto::bridge::ConnKind;
use openflow::VersionSet;
use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::session::{Session, SessionSetup, next_conn};
use crate::clock;
use crate::mailbox::Address;
use crate::stream::{Accepted, Method, Stream, Tls};
use crate::supervise::{Desk, Family, Player, Role, Strategy};

/// Messages for one connection that wait.
const SESSION_MAILBOX: usize = 1024;

/// The actor that listens.
pub struct Listener {
    desk: Desk,
    sessions: Family,
    bridge: Address<crate::bridge::Bridge>,
    versions: VersionSet,
    name: String,
}

impl Listener {
    /// Starts to listen by `method`.
    ///
    /// # Errors
    /// Those of binding.
    pub fn start(
        family: &Family,
        name: &str,
        method: &Method,
        tls: &Tls,
        bridge: Address<crate::bridge::Bridge>,
        versions: VersionSet,
    ) -> io::Result<Address<Listener>> {
        let listener = Rc::new(crate::stream::Listener::bind(method, tls)?);
        let role = Role::new(format!("openflow listener {name}"), "listener", 64, Strategy::OneForOne);
        let name = name.to_owned();
        Ok(family.hire(role, move |desk, ctx| {
            ctx.add_stream(connections(listener.clone()));
            Listener { sessions: Family::of(&desk), desk, bridge: bridge.clone(), versions, name: name.clone() }
        }))
    }
}

fn connections(listener: Rc<crate::stream::Listener>) -> impl futures::Stream<Item = Accepted> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok(peer) => return Some((peer, listener)),
                Err(error) => {
                    vlog::warn_rl!("vconn", 5, 5, "accept: {}", crate::stream::errno_text(&error));
                    clock::sleep_real(100).await;
                }
            }
        }
    })
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Player for Listener {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl StreamHandler<Accepted> for Listener {
    fn handle(&mut self, peer: Accepted, ctx: &mut Context<Self>) {
        self.desk.served();
        let name = format!("{}<->{}", self.name, peer.name);
        // A handshake may take its time; the next peer must not wait for it.
        let handshake = actix::fut::wrap_future::<_, Self>(peer.finish()).map(move |stream, this, _| match stream {
            Ok(stream) => this.admit(name, stream),
            Err(error) => vlog::warn_rl!("vconn", 5, 5, "{name}: {}", crate::stream::errno_text(&error)),
        });
        ctx.spawn(handshake);
    }
}

impl Listener {
    fn admit(&mut self, name: String, stream: Stream) {
        let setup = SessionSetup {
            conn: next_conn(),
            kind: ConnKind::Service,
            name: name.clone(),
            versions: self.versions,
            bridge: self.bridge.clone(),
            probe_ms: 60_000,
            watcher: None,
        };
        let role = Role::new(format!("openflow {name}"), "openflow", SESSION_MAILBOX, Strategy::Temporary);
        let family = self.sessions.downgrade();
        let stream = Cell::new(Some(stream));
        self.sessions
            .hire(role, move |desk, ctx| Session::begin(desk, family.clone(), setup.clone(), stream.take(), ctx));
    }
}
