//! Messages as text and as values, with what the log has to say of them.

use std::sync::atomic::{AtomicBool, Ordering};

use openflow::names::Style;
use openflow::of_error::Level;
use openflow::{Msg, Notes, Remark, message, print};

/// A message as text.
pub(crate) fn message(octets: &[u8], verbosity: u8, style: Style<'_>) -> String {
    let notes = Notes::default();
    let text = print::message(octets, &print::Options { verbosity, style, notes: Some(&notes) });
    log(&notes.take());
    text
}

/// A message as the log shows it.
pub(crate) struct Shown<'a>(pub &'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options = print::Options { verbosity: 1, ..Default::default() };
        f.write_str(print::message(self.0, &options).trim_end_matches('\n'))
    }
}

/// A message as a value, nothing if it is bad.
pub(crate) fn decoded(octets: &[u8]) -> Option<Msg> {
    let notes = Notes::default();
    let read = message::decode_with(octets, &message::Context { notes: Some(&notes), ..message::Context::UNKNOWN });
    log(&notes.take());
    read.inspect_err(|error| log(&error.remarks)).ok()
}

/// Writes lines to the log. Messages that come by the thousand would fill it: a burst, then one a minute.
pub(crate) fn log(remarks: &[Remark]) {
    static SAID: AtomicBool = AtomicBool::new(false);
    for Remark { level, module, text, once, kind } in remarks {
        if *once && SAID.swap(true, Ordering::Relaxed) {
            continue;
        }
        let level = match level {
            Level::Err => vlog::Level::Err,
            Level::Warn => vlog::Level::Warn,
            Level::Info => vlog::Level::Info,
        };
        match kind {
            Some(kind) => vlog::write_first(module, kind, level, format_args!("{text}")),
            None => vlog::write_limited(module, level, 1, 5, format_args!("{text}")),
        }
    }
}
