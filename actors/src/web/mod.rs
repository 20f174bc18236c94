//! JSON-RPC 2.0 over HTTP and WebSocket, for clients that are not Open vSwitch's.
//!
//! The methods are those of the 1.0 sessions, from the same registries: the database's (RFC 7047, with
//! `subscribe_monitor` for monitors) and the control commands, whose parameters are an array of strings.
//! Off unless asked for; on 127.0.0.1 unless told otherwise, for there is neither TLS nor a password.
//!
//! ```text
//! curl -s http://127.0.0.1:6680 -H 'Content-Type: application/json' \
//!   -d '{"jsonrpc":"2.0","id":1,"method":"list_dbs","params":[]}'
//! ```

use crate::supervise::{Desk, Family, Player, Role, Strategy};
use actix::prelude::*;
use jsonrpsee::Methods;
use jsonrpsee::server::{Server, ServerConfig, ServerHandle};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Largest request and response, in bytes.
const MESSAGE_AT_MOST: u32 = 256 << 20;

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
        let fail = |e: std::io::Error| format!("{address}: {}", crate::stream::errno_text(&e));
        let config = ServerConfig::builder()
            .max_request_body_size(MESSAGE_AT_MOST)
            .max_response_body_size(MESSAGE_AT_MOST)
            .build();
        let server = Server::builder().set_config(config).build(address).await.map_err(fail)?;
        let bound = server.local_addr().map_err(fail)?;
        let handle = server.start(methods);
        vlog::info!("web", "{bound}: serving JSON-RPC 2.0 over HTTP and WebSocket");
        family.hire(Role::new("web", "web", 16, Strategy::OneForOne), move |desk, _| Web {
            desk,
            handle: handle.clone(),
        });
        Ok(bound)
    }
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
