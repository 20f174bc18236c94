//! OpenFlow connections: who listens, who connects out, and one actor a connection.
//!
//! A session cuts its stream into messages, settles the version, decodes, and hands whole batches to its bridge. When the
//! bridge's mailbox is full, or the peer does not read what it asked for, it stops reading until there is room; what
//! waits for a peer that does not read is bounded, and the connection is closed beyond that.

mod link;
mod listen;
mod session;

pub use listen::{Admit, Listener, Renew};
pub use session::{ReadStatus, Reconfigure, Reconnect, Session, SessionSetup, Transmit, Way};

/// Writes a pure part's line into the log.
pub(crate) fn write_note(note: &ofproto::note::Note) {
    use ofproto::note::Level;
    let level = match note.level {
        Level::Err => vlog::Level::Err,
        Level::Warn => vlog::Level::Warn,
        Level::Info => vlog::Level::Info,
        Level::Dbg => vlog::Level::Dbg,
    };
    if let Some((rate, burst)) = note.limit {
        return vlog::write_limited(note.module, level, rate, burst, format_args!("{}", note.text));
    }
    vlog::write_to(note.module, level, format_args!("{}", note.text));
}
