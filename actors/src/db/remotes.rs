//! The remotes: listeners and active connections as configured now, and the sessions they made.

use super::database::Database;
use super::letters::{
    ReconnectAll, RemoteOptions, RemoteStatus, RemoteStatuses, ReportStatus, SessionFigures, SessionStatus, SetRemotes,
    Steer,
};
use super::session::{Origin, Session, Setup};
use crate::clock;
use crate::mailbox::Address;
use crate::stream::{Accepted, Listener, Method, OVSDB_PORT, Tls, errno_text, note_attempt};
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use actix::prelude::*;
use futures::stream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// Pause before a listener that could not be bound is tried again, in milliseconds.
const REBIND_MS: i64 = 1000;
/// Messages a session's mailbox holds: batches, not answers.
const SESSION_MAILBOX: usize = 256;

struct Remote {
    options: RemoteOptions,
    port: Option<u16>,
    /// The accept loop, if this listens and could.
    accepting: Option<SpawnHandle>,
    passive: Option<Method>,
    sessions: BTreeMap<u64, (Address<Session>, Option<SessionStatus>)>,
}

/// The actor that keeps listeners and sessions as the configuration wants them.
pub struct Remotes {
    desk: Desk,
    database: Address<Database>,
    tls: Tls,
    run_dir: PathBuf,
    sessions: Family,
    remotes: BTreeMap<Arc<str>, Remote>,
    next_session: u64,
}

struct Incoming {
    remote: Arc<str>,
    peer: Accepted,
}

impl Remotes {
    pub(super) fn new(desk: Desk, database: Address<Database>, tls: Tls, run_dir: PathBuf) -> Remotes {
        let sessions = Family::of(&desk);
        // After a panic: the database tells the configuration again.
        let _ = database.post(super::letters::Reannounce);
        Remotes { desk, database, tls, run_dir, sessions, remotes: BTreeMap::new(), next_session: 0 }
    }

    fn add(&mut self, name: Arc<str>, options: RemoteOptions, ctx: &mut Context<Self>) {
        let method = Method::parse(&name, OVSDB_PORT, &self.run_dir);
        let mut remote = Remote { options, port: None, accepting: None, passive: None, sessions: BTreeMap::new() };
        match method {
            Ok(method) if method.is_passive() => {
                remote.passive = Some(method);
                self.remotes.insert(name.clone(), remote);
                self.listen(&name, ctx);
            }
            method => {
                self.remotes.insert(name.clone(), remote);
                // What is to listen is tried once before it is taken for a connection to be made.
                if let Err(error) = &method
                    && name.starts_with('p')
                {
                    note_attempt(&name, OVSDB_PORT, Some(error));
                }
                self.hire(&name, Origin::Active(method), ctx);
            }
        }
    }

    fn listen(&mut self, name: &Arc<str>, ctx: &mut Context<Self>) {
        let Some(remote) = self.remotes.get_mut(name) else {
            return;
        };
        let Some(method) = &remote.passive else {
            return;
        };
        match Listener::bind(method, &self.tls) {
            Ok(listener) => {
                remote.port = listener.port();
                let key = name.clone();
                let peers = stream::unfold(Rc::new(listener), move |listener| {
                    let remote = key.clone();
                    async move {
                        loop {
                            match listener.accept().await {
                                Ok(peer) => return Some((Incoming { remote, peer }, listener)),
                                Err(error) => {
                                    let text = errno_text(&error);
                                    vlog::warn_rl!("ovsdb_jsonrpc_server", 5, 5, "{remote}: accept failed: {text}");
                                    clock::sleep_real(100).await;
                                }
                            }
                        }
                    }
                });
                remote.accepting = Some(ctx.add_stream(peers));
            }
            Err(error) => {
                let text = errno_text(&error);
                vlog::err_rl!("ovsdb_jsonrpc_server", 60, 5, "{name}: listen failed: {text}");
                self.desk.arm_by(clock::now_ms() + REBIND_MS, "listen again");
            }
        }
    }

    fn hire(&mut self, name: &Arc<str>, origin: Origin, ctx: &mut Context<Self>) {
        let Some(remote) = self.remotes.get_mut(name) else {
            return;
        };
        self.next_session += 1;
        let number = self.next_session;
        let title = match &origin {
            Origin::Accepted(peer) => format!("ovsdb {}", peer.name),
            Origin::Active(_) => format!("ovsdb {name}"),
        };
        let setup = Setup {
            number,
            origin,
            remote: name.clone(),
            options: remote.options.clone(),
            tls: self.tls.clone(),
            database: self.database.clone(),
            remotes: Address::of_running(ctx.address(), self.desk.card().clone()),
            family: self.sessions.downgrade(),
        };
        let role = Role::new(title, "ovsdb", SESSION_MAILBOX, Strategy::Temporary);
        let address = self.sessions.hire_once(role, move |desk, ctx| Session::begin(desk, setup, ctx));
        remote.sessions.insert(number, (address, None));
    }

    fn remove(&mut self, name: &Arc<str>, ctx: &mut Context<Self>) {
        let Some(remote) = self.remotes.remove(name) else {
            return;
        };
        if remote.passive.is_none() || remote.accepting.is_some() {
            vlog::info!("ovsdb_jsonrpc_server", "{name}: remote deconfigured");
        }
        if let Some(accepting) = remote.accepting {
            ctx.cancel_future(accepting);
        }
        for (session, _) in remote.sessions.into_values() {
            if session.post(Steer::Retire).is_err() {
                session.card().ask_stop();
            }
        }
    }

    fn statuses(&self) -> BTreeMap<String, RemoteStatus> {
        let now = clock::now_ms();
        let since = |at: Option<i64>| at.map(|at| (now - at).max(0) / 1000);
        let status = |remote: &Remote| RemoteStatus {
            connections: remote.sessions.len(),
            bound_port: remote.port,
            first: remote.sessions.values().find_map(|(_, status)| status.as_ref()).map(|s| SessionFigures {
                id: s.id,
                connected: s.connected,
                state: s.state,
                sec_since_connect: since(s.connected_at_ms),
                sec_since_disconnect: since(s.disconnected_at_ms),
            }),
        };
        self.remotes.iter().map(|(name, remote)| (name.to_string(), status(remote))).collect()
    }
}

impl Actor for Remotes {
    type Context = Context<Self>;
}

impl Player for Remotes {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        let unbound: Vec<Arc<str>> = self
            .remotes
            .iter()
            .filter(|(_, remote)| remote.passive.is_some() && remote.accepting.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for name in unbound {
            self.listen(&name, ctx);
        }
    }
}

impl StreamHandler<Incoming> for Remotes {
    fn handle(&mut self, incoming: Incoming, ctx: &mut Context<Self>) {
        self.desk.served();
        self.hire(&incoming.remote, Origin::Accepted(incoming.peer), ctx);
    }

    // An accept loop that is cancelled or ends must not take the others with it.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<SetRemotes> for Remotes {
    type Result = ();

    fn handle(&mut self, set: SetRemotes, ctx: &mut Context<Self>) {
        self.desk.received();
        let gone: Vec<Arc<str>> =
            self.remotes.keys().filter(|name| !set.remotes.contains_key(&***name)).cloned().collect();
        for name in gone {
            self.remove(&name, ctx);
        }
        for (name, options) in set.remotes {
            match self.remotes.get_mut(name.as_str()) {
                None => self.add(Arc::from(name), options, ctx),
                Some(remote) if remote.options != options => {
                    let rights = (remote.options.read_only, &remote.options.role) != (options.read_only, &options.role);
                    remote.options = options.clone();
                    for (session, _) in remote.sessions.values() {
                        let _ = session.post(Steer::Options(options.clone()));
                        if rights {
                            let _ = session.post(Steer::Reconnect(None));
                        }
                    }
                }
                Some(_) => {}
            }
        }
    }
}

impl Handler<ReconnectAll> for Remotes {
    type Result = ();

    fn handle(&mut self, all: ReconnectAll, _: &mut Context<Self>) {
        self.desk.received();
        for (session, _) in self.remotes.values().flat_map(|r| r.sessions.values()) {
            let _ = session.post(Steer::Reconnect(Some(all.0)));
        }
    }
}

impl Handler<ReportStatus> for Remotes {
    type Result = ();

    fn handle(&mut self, _: ReportStatus, _: &mut Context<Self>) {
        self.desk.received();
        let _ = self.database.post(RemoteStatuses { statuses: self.statuses() });
    }
}

impl Handler<SessionStatus> for Remotes {
    type Result = ();

    fn handle(&mut self, status: SessionStatus, _: &mut Context<Self>) {
        self.desk.received();
        for remote in self.remotes.values_mut() {
            if status.ended {
                remote.sessions.remove(&status.number);
            } else if let Some((_, known)) = remote.sessions.get_mut(&status.number) {
                *known = Some(status);
                return;
            }
        }
    }
}
