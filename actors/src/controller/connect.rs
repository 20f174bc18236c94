//! A controller that the bridge connects to, again and again until it answers.

use actix::prelude::*;
use ofproto::bridge::ConnKind;
use openflow::{Version, VersionSet};
use std::cell::Cell;

use super::session::{Session, SessionSetup, next_conn};
use crate::clock;
use crate::mailbox::Address;
use crate::stream::{Method, Stream, Tls, connect, errno_text};
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use crate::switch::desired::DesiredController;

/// Messages for one connection that wait.
const SESSION_MAILBOX: usize = 1024;
/// Silence after which a controller is asked whether it lives, unless configured, milliseconds.
const PROBE_MS: i64 = 5_000;
/// The first pause before another try, milliseconds; it doubles up to the configured limit.
const FIRST_BACKOFF_MS: i64 = 1_000;

/// What the Controller row shows.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct ControllerStatus {
    pub connected: bool,
    pub state: &'static str,
    pub last_error: Option<String>,
    pub since_connect_ms: Option<i64>,
    pub since_disconnect_ms: Option<i64>,
}

/// From a session to the connector that made it (B).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum SessionEvent {
    /// The version is settled.
    Agreed(Version),
    /// It is over.
    Ended,
}

/// How it goes (Q).
#[derive(Debug, Message)]
#[rtype(result = "ControllerStatus")]
pub struct ReadController;

/// The actor that keeps a connection to a controller.
pub struct Connector {
    desk: Desk,
    sessions: Family,
    row: DesiredController,
    method: Method,
    tls: Tls,
    bridge: Address<crate::bridge::Bridge>,
    versions: VersionSet,
    own: Option<Address<Connector>>,
    backoff_ms: i64,
    status: ControllerStatus,
    connected_ms: Option<i64>,
    disconnected_ms: Option<i64>,
}

impl Connector {
    /// Hires a connector.
    pub fn start(
        family: &Family,
        row: &DesiredController,
        method: Method,
        tls: Tls,
        bridge: Address<crate::bridge::Bridge>,
        versions: VersionSet,
    ) -> Address<Connector> {
        let role = Role::new(
            format!("controller {} {}", bridge.card().name(), row.target),
            "controller",
            64,
            Strategy::OneForOne,
        );
        let row = row.clone();
        let address = family.hire(role, move |desk, ctx| {
            let connector = Connector {
                sessions: Family::of(&desk),
                desk,
                row: row.clone(),
                method: method.clone(),
                tls: tls.clone(),
                bridge: bridge.clone(),
                versions,
                own: None,
                backoff_ms: FIRST_BACKOFF_MS,
                status: ControllerStatus { state: "VOID", ..ControllerStatus::default() },
                connected_ms: None,
                disconnected_ms: None,
            };
            ctx.notify(Try);
            connector
        });
        address.offer(Own(address.clone()));
        address
    }

    fn failed(&mut self, error: &str) {
        vlog::warn_rl!("rconn", 5, 5, "{}<->{}: connection failed ({error})", self.bridge_name(), self.row.target);
        self.status.last_error = Some(error.to_owned());
        self.retry_later();
    }

    fn bridge_name(&self) -> &str {
        self.bridge.card().name().trim_start_matches("bridge ")
    }

    fn retry_later(&mut self) {
        self.status.state = "BACKOFF";
        self.status.connected = false;
        self.desk.arm(Some((clock::now_ms() + self.backoff_ms, "try the controller again")));
        self.backoff_ms = (self.backoff_ms * 2).min(self.row.max_backoff_ms.max(FIRST_BACKOFF_MS));
    }

    fn admit(&mut self, stream: Stream) {
        let name = format!("{}<->{}", self.bridge_name(), self.row.target);
        vlog::info!("rconn", "{name}: connected");
        let setup = SessionSetup {
            conn: next_conn(),
            kind: ConnKind::Primary,
            name: self.row.target.clone(),
            versions: self.versions,
            bridge: self.bridge.clone(),
            probe_ms: self.row.inactivity_probe_ms.unwrap_or(PROBE_MS),
            watcher: self.own.as_ref().map(Address::outlet::<SessionEvent>),
        };
        let role = Role::new(format!("openflow {name}"), "openflow", SESSION_MAILBOX, Strategy::Temporary);
        let family = self.sessions.downgrade();
        let stream = Cell::new(Some(stream));
        self.sessions
            .hire(role, move |desk, ctx| Session::begin(desk, family.clone(), setup.clone(), stream.take(), ctx));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Own(Address<Connector>);

#[derive(Message)]
#[rtype(result = "()")]
struct Try;

impl Actor for Connector {
    type Context = Context<Self>;
}

impl Player for Connector {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }

    fn wake(&mut self, _: i64, ctx: &mut Context<Self>) {
        ctx.notify(Try);
    }
}

impl Handler<Own> for Connector {
    type Result = ();

    fn handle(&mut self, m: Own, _: &mut Context<Self>) {
        self.desk.received();
        self.own = Some(m.0);
    }
}

impl Handler<Try> for Connector {
    type Result = ();

    fn handle(&mut self, _: Try, ctx: &mut Context<Self>) {
        self.status.state = "CONNECTING";
        vlog::info_rl!("rconn", 5, 5, "{}<->{}: connecting...", self.bridge_name(), self.row.target);
        let (method, tls) = (self.method.clone(), self.tls.clone());
        let attempt = async move { connect(&method, &tls).await };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(attempt).map(|result, this, _| match result {
            Ok(stream) => this.admit(stream),
            Err(error) => this.failed(&errno_text(&error)),
        }));
    }
}

impl Handler<SessionEvent> for Connector {
    type Result = ();

    fn handle(&mut self, m: SessionEvent, _: &mut Context<Self>) {
        self.desk.received();
        match m {
            SessionEvent::Agreed(_) => {
                self.status.connected = true;
                self.status.state = "ACTIVE";
                self.backoff_ms = FIRST_BACKOFF_MS;
                self.connected_ms = Some(clock::now_ms());
            }
            SessionEvent::Ended => {
                self.disconnected_ms = Some(clock::now_ms());
                self.retry_later();
            }
        }
    }
}

impl Handler<ReadController> for Connector {
    type Result = MessageResult<ReadController>;

    fn handle(&mut self, _: ReadController, _: &mut Context<Self>) -> Self::Result {
        self.desk.received();
        let now_ms = clock::now_ms();
        let mut status = self.status.clone();
        status.since_connect_ms = self.connected_ms.map(|at| now_ms - at);
        status.since_disconnect_ms = self.disconnected_ms.map(|at| now_ms - at);
        MessageResult(status)
    }
}
