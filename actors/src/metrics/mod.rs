//! Metrics for Prometheus over HTTP, off unless asked for by `--metrics=[IP:]PORT` or, at a switch, by
//! `other_config:metrics` of its database's root row. On 127.0.0.1 unless told otherwise, for there is no password.
//!
//! ```text
//! curl http://127.0.0.1:9475/metrics
//! ```

pub mod exposition;
mod families;
pub mod survey;

use crate::db::DbSystem;
use crate::mailbox::Address;
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use crate::switch::directory::Shared;
use crate::web::parse_address;
use actix::prelude::*;
use exposition::{CONTENT_TYPE, Exposition};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use survey::Survey;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Clients at once.
const CLIENTS_AT_MOST: usize = 16;
/// How long a connection may last.
const CONNECTION: Duration = Duration::from_secs(60);
/// How long a client may take to ask.
const HEADERS: Duration = Duration::from_secs(10);

/// Whose figures are served.
#[derive(Clone, Default)]
pub struct Sources {
    /// A switch.
    pub switch: Option<Shared>,
    /// A database server.
    pub database: Option<DbSystem>,
}

impl Sources {
    async fn read(&self) -> String {
        let mut out = Exposition::default();
        families::of_process(&mut out);
        if let Some(switch) = &self.switch {
            families::of_switch(&Survey::take(&switch.load_full()).await, &mut out);
        }
        if let Some(database) = &self.database
            && let Some(figures) = database.figures().await
        {
            families::of_database(&figures, &mut out);
        }
        out.finish()
    }
}

/// Listens at `[IP:]PORT`.
///
/// # Errors
/// The text to show.
pub async fn bind(text: &str) -> Result<TcpListener, String> {
    let address = parse_address(text)?;
    TcpListener::bind(address).await.map_err(|e| format!("{address}: {}", crate::stream::errno_text(&e)))
}

/// Serve at this address instead of the one that the same asker named before; `None`: nowhere (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Listen(pub Option<String>);

/// Serve a socket that listens already (R).
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Serve(pub TcpListener);

/// A listener's task; it ends with this.
#[derive(Debug)]
struct Listening(tokio::task::AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The actor that serves metrics.
pub struct Metrics {
    desk: Desk,
    sources: Sources,
    /// By who asked: the command line, the database.
    listening: BTreeMap<&'static str, Listening>,
    configured: Option<String>,
}

impl Metrics {
    /// Hires the actor; it listens nowhere yet.
    pub fn start(family: &Family, sources: Sources) -> Address<Metrics> {
        family.hire(Role::new("metrics", "metrics", 16, Strategy::OneForOne), move |desk, _| Metrics {
            desk,
            sources: sources.clone(),
            listening: BTreeMap::new(),
            configured: None,
        })
    }

    fn serve(&mut self, asker: &'static str, listener: TcpListener) {
        if let Ok(address) = listener.local_addr() {
            vlog::info!("metrics", "{address}: serving metrics at http://{address}/metrics");
        }
        let task = actix::spawn(accept(listener, self.sources.clone()));
        self.listening.insert(asker, Listening(task.abort_handle()));
    }
}

impl Actor for Metrics {
    type Context = Context<Self>;
}

impl Player for Metrics {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Handler<Serve> for Metrics {
    type Result = ();

    fn handle(&mut self, m: Serve, _: &mut Context<Self>) {
        self.desk.received();
        self.serve("command line", m.0);
    }
}

impl Handler<Listen> for Metrics {
    type Result = ();

    fn handle(&mut self, m: Listen, ctx: &mut Context<Self>) {
        self.desk.received();
        if m.0 == self.configured {
            return;
        }
        self.configured.clone_from(&m.0);
        self.listening.remove("database");
        let Some(text) = m.0 else { return };
        let bound = async move { bind(&text).await };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(bound).map(|bound, this, _| match bound {
            Ok(listener) => this.serve("database", listener),
            Err(error) => vlog::err!("metrics", "other_config:metrics: {error}"),
        }));
    }
}

async fn accept(listener: TcpListener, sources: Sources) {
    let seats = Arc::new(Semaphore::new(CLIENTS_AT_MOST));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                vlog::warn_rl!("metrics", 5, 5, "accept failed: {}", crate::stream::errno_text(&error));
                crate::clock::sleep_real(100).await;
                continue;
            }
        };
        let sources = sources.clone();
        actix::spawn(async move {
            let service = service_fn(move |request| {
                let sources = sources.clone();
                async move { Ok::<_, Infallible>(respond(&request, &sources).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
            // A client that breaks off is no news.
            let _ = tokio::time::timeout(CONNECTION, http.serve_connection(TokioIo::new(stream), service)).await;
            drop(seat);
        });
    }
}

async fn respond(request: &Request<Incoming>, sources: &Sources) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => (StatusCode::OK, sources.read().await),
        (&Method::GET | &Method::HEAD, "/") => (StatusCode::OK, "Metrics are at /metrics.\n".to_owned()),
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "Metrics are at /metrics.\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET it.\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(CONTENT_TYPE));
    response
}
