//! JSON-RPC 2.0 over HTTP and WebSocket, for clients that are not Open vSwitch's.
//!
//! The methods are those of the 1.0 sessions, from the same registries: the database's (RFC 7047, where a connection over
//! WebSocket is a session and a request over HTTP another; with `subscribe_monitor` for monitors) and the control commands, whose parameters are an array of strings.
//! Off unless asked for; on 127.0.0.1 unless told otherwise, for there is neither TLS nor a password.
//!
//! ```text
//! curl -s http://127.0.0.1:6680 -H 'Content-Type: application/json' \
//!   -d '{"jsonrpc":"2.0","id":1,"method":"list_dbs","params":[]}'
//! ```

pub(crate) mod connection;
pub(crate) mod gate;

use crate::clock;
use crate::supervise::{Desk, Family, Player, Role, Strategy};
use actix::prelude::*;
use connection::Connection;
use gate::{Gate, GatedMethods, GatedStream};
use jsonrpsee::Methods;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{Server, ServerConfig, ServerHandle, StopHandle, serve_with_graceful_shutdown, stop_channel};
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Largest request and response, in bytes.
const MESSAGE_AT_MOST: u32 = 256 << 20;
/// Connections over WebSocket, and HTTP requests under way, at most.
const CONNECTIONS_AT_MOST: u32 = 10_000;
/// Messages that jsonrpsee keeps for a connection whose peer does not read; what more there is waits elsewhere.
const MESSAGES_AT_MOST: u32 = 32;
/// Silence after which the kernel asks whether a peer is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long to wait with the next connection when there are no descriptors for one.
const PAUSE_MS: i64 = 100;

/// Reads `[IP:]PORT`.
///
/// # Errors
/// The text to show.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| format!("{text}: expected [IP:]PORT"))
}

/// The actor that keeps the server.
#[derive(Debug)]
pub struct Web {
    desk: Desk,
    handle: ServerHandle,
}

impl Web {
    /// Starts to serve the methods of `registries` at `address`; the address that was bound.
    ///
    /// # Errors
    /// The text to show.
    pub async fn start(family: &Family, address: SocketAddr, registries: Vec<Methods>) -> Result<SocketAddr, String> {
        let mut methods = Methods::new();
        for registry in registries {
            methods.merge(registry).map_err(|e| e.to_string())?;
        }
        methods.verify_and_insert(connection::ATTACH, connection::attach_method()).map_err(|e| e.to_string())?;
        let fail = |e: std::io::Error| format!("{address}: {}", crate::stream::errno_text(&e));
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let bound = listener.local_addr().map_err(fail)?;
        let (stop, handle) = stop_channel();
        tokio::spawn(serve(listener, methods, stop));
        vlog::info!("web", "{bound}: serving JSON-RPC 2.0 over HTTP and WebSocket");
        family.hire(Role::new("web", "web", 16, Strategy::OneForOne), move |desk, _| Web {
            desk,
            handle: handle.clone(),
        });
        Ok(bound)
    }
}

/// Accepts connections until it is stopped.
async fn serve(listener: TcpListener, methods: Methods, stop: StopHandle) {
    let config = ServerConfig::builder()
        .max_request_body_size(MESSAGE_AT_MOST)
        .max_response_body_size(MESSAGE_AT_MOST)
        .max_connections(CONNECTIONS_AT_MOST)
        .set_message_buffer_capacity(MESSAGES_AT_MOST)
        .build();
    let builder = Server::builder().set_config(config).to_service_builder();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.clone().shutdown() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                vlog::warn_rl!("web", 60, 5, "accept: {}", crate::stream::errno_text(&error));
                clock::sleep_until(clock::now_ms() + PAUSE_MS).await;
                continue;
            }
        };
        prepare(&stream);
        let gate = Arc::new(Gate::default());
        let counted = gate.clone();
        // Made once for a connection over WebSocket, and for each request over HTTP.
        let middleware = RpcServiceBuilder::new().layer_fn(move |methods| {
            let connection = Arc::new(Connection::new(counted.clone()));
            GatedMethods { methods, connection }
        });
        let service = builder.clone().set_rpc_middleware(middleware).build(methods.clone(), stop.clone());
        let stream = GatedStream { stream, gate };
        let served = serve_with_graceful_shutdown(stream, service, stop.clone().shutdown());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                vlog::dbg!("web", "a connection ended: {error}");
            }
        });
    }
}

/// A peer that vanished is noticed, and answers leave at once.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_keepalive(&alive);
}

impl Actor for Web {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        // After a panic the next incarnation takes the running server over.
        if !std::thread::panicking() {
            let _ = self.handle.stop();
        }
    }
}

impl Player for Web {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse_address("80").unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(parse_address("[::]:80").unwrap().to_string(), "[::]:80");
        assert!(parse_address("x").is_err());
    }
}
