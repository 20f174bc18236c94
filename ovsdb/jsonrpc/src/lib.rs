//! JSON-RPC 1.0 as OVSDB speaks it (RFC 7047 section 4): framing of a byte stream, messages and
//! their wire form, the reconnection state machine and the session that probes an idle peer.
//!
//! Everything here is pure: bytes and the time go in, values come out. Sockets belong to the
//! caller. JSON-RPC 2.0 is absent on purpose.

mod diagnosis;
pub mod error;
pub mod message;
mod number;
mod parser;
pub mod pull;
pub mod reconnect;
pub mod session;
pub mod stream;
pub mod text;

pub use error::{MessageError, StreamError};
pub use message::Message;
pub use pull::Pull;
pub use reconnect::{Reconnect, State};
pub use session::{Session, SessionAction, SessionError};
pub use stream::{Limits, Next, Scanner};
pub use text::parse_value;
