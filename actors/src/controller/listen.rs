//! A bridge's listeners: its management socket, and those for controllers that come by themselves.

use actix::prelude::*;
use futures::stream;
use std::io;
use std::rc::Rc;

use super::session::{Session, SessionSetup};
use crate::clock;
use crate::stream::{Accepted, Method, Stream, Tls};
use crate::supervise::{Desk, Family, Player, Role, Strategy};

/// How long a peer may take to shake hands, milliseconds.
const HANDSHAKE_MS: u64 = 5_000;
/// Before the next connection is accepted after a failure, milliseconds.
const PAUSE_MS: u64 = 100;

/// Make sessions from this, and end those that were made from something else (R).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Renew(pub SessionSetup);

/// Whether who comes is let in: nobody reads along where no controller is configured (C).
#[derive(Message)]
#[rtype(result = "()")]
pub struct Admit(pub bool);

/// The actor that listens.
pub struct Listener {
    desk: Desk,
    sessions: Family,
    /// What its sessions are made from, but for the peer's name.
    setup: SessionSetup,
    /// Who comes is let in.
    admits: bool,
}

impl Listener {
    /// Starts to listen by `method`; `setup` is what its sessions are made from.
    ///
    /// # Errors
    /// Those of binding.
    pub fn start(
        family: &Family,
        target: &str,
        method: &Method,
        tls: &Tls,
        setup: SessionSetup,
    ) -> io::Result<crate::mailbox::Address<Listener>> {
        let listener = Rc::new(crate::stream::Listener::bind(method, tls)?);
        let name = format!("openflow listener {} {target}", setup.bridge_name);
        let role = Role::new(name, "listener", 64, Strategy::OneForOne);
        Ok(family.hire(role, move |desk, ctx| {
            ctx.add_stream(connections(listener.clone()));
            Listener { sessions: Family::of(&desk), desk, setup: setup.clone(), admits: true }
        }))
    }

    /// Goes on with other versions; whoever is connected has to come again.
    fn renew(&mut self, setup: SessionSetup) {
        self.sessions = Family::of(&self.desk);
        self.setup = setup;
    }

    fn admit(&self, peer: &str, stream: Stream) {
        if !self.admits {
            return;
        }
        let setup = SessionSetup { peer: peer.to_owned(), ..self.setup.clone() };
        Session::accept(&self.sessions, setup, stream);
    }
}

fn connections(listener: Rc<crate::stream::Listener>) -> impl futures::Stream<Item = Accepted> {
    stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok(peer) => return Some((peer, listener)),
                Err(error) => {
                    vlog::warn_rl!("connmgr", 1, 5, "accept failed ({})", crate::stream::errno_text(&error));
                    clock::sleep_real(PAUSE_MS).await;
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

impl Handler<Renew> for Listener {
    type Result = ();

    fn handle(&mut self, m: Renew, _: &mut Context<Self>) {
        self.desk.received();
        self.renew(m.0);
    }
}

impl Handler<Admit> for Listener {
    type Result = ();

    fn handle(&mut self, m: Admit, _: &mut Context<Self>) {
        self.desk.received();
        self.admits = m.0;
    }
}

impl StreamHandler<Accepted> for Listener {
    fn handle(&mut self, peer: Accepted, ctx: &mut Context<Self>) {
        self.desk.served();
        let name = peer.name.clone();
        // A handshake may take its time; the next peer must not wait for it.
        let handshake = async move {
            tokio::select! {
                done = peer.finish() => done,
                () = clock::sleep_real(HANDSHAKE_MS) => Err(io::ErrorKind::TimedOut.into()),
            }
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(handshake).map(move |stream, this, _| match stream {
            Ok(stream) => this.admit(&name, stream),
            Err(error) => {
                let bridge = &this.setup.bridge_name;
                vlog::warn_rl!("rconn", 5, 5, "{bridge}<->{name}: {}", crate::stream::errno_text(&error));
            }
        }));
    }
}
