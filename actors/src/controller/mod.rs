//! OpenFlow connections: who listens, who connects out, and one actor a connection.
//!
//! A session cuts its stream into messages, settles the version, decodes, and hands whole batches to its bridge. When the
//! bridge's mailbox is full it stops reading until there is room; when the peer stops reading, what waits for it is
//! bounded and the connection is closed beyond that.

mod connect;
mod listen;
mod session;

pub use connect::{Connector, ControllerStatus};
pub use listen::Listener;
pub use session::{Session, Transmit};
