//! Why a message cannot be read: the error to answer with, and what the reader's log has to say of it.
//!
//! The codec writes no log. What Open vSwitch would log while it reads a bad message rides on the error as [`Remark`]s,
//! which the program that reads logs; what it would log of a good one goes to [`Notes`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ErrorCode;

/// Level of a line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Err,
    /// Something is wrong.
    Warn,
    /// Worth knowing.
    Info,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its level.
    pub level: Level,
    /// Name of the log's module.
    pub module: &'static str,
    /// What to say; several lines if it shows octets.
    pub text: String,
    /// The first such line in a process is enough.
    pub once: bool,
    /// Lines of such a kind are limited apart from the module's others: one a minute.
    pub kind: Option<&'static str>,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}")]
pub struct OfError {
    /// The error to answer with.
    pub code: ErrorCode,
    /// Lines for the log, in the order in which they are to be written.
    pub remarks: Vec<Remark>,
    /// Text shows it as `<invalid>`: what Open vSwitch returns here is no OpenFlow error.
    pub(crate) nameless: bool,
}

impl From<ErrorCode> for OfError {
    fn from(code: ErrorCode) -> OfError {
        OfError { code, remarks: Vec::new(), nameless: false }
    }
}

impl OfError {
    /// Adds a line for the log.
    #[must_use]
    pub fn remark(mut self, module: &'static str, text: String) -> OfError {
        self.remarks.push(Remark { level: Level::Warn, module, text, once: false, kind: None });
        self
    }

    /// The same reasons under another code.
    #[must_use]
    pub fn under(self, code: ErrorCode) -> OfError {
        OfError { code, ..self }
    }
}

impl ErrorCode {
    /// The error with a line for the log.
    pub(crate) fn because(self, module: &'static str, text: String) -> OfError {
        OfError::from(self).remark(module, text)
    }

    /// The error with a line for the log of a [`Remark::kind`].
    pub(crate) fn because_of(self, module: &'static str, kind: &'static str, text: String) -> OfError {
        let remark = Remark { level: Level::Warn, module, text, once: false, kind: Some(kind) };
        OfError { remarks: vec![remark], ..OfError::from(self) }
    }
}

/// Lines for the log about a message that may well be good, gathered while it is read.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<Remark>>);

impl Notes {
    fn lines(&self) -> MutexGuard<'_, Vec<Remark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line at level INFO.
    pub(crate) fn info(&self, module: &'static str, text: String) {
        self.lines().push(Remark { level: Level::Info, module, text, once: false, kind: None });
    }

    /// Adds a line at level ERR.
    pub(crate) fn err(&self, module: &'static str, text: String) {
        self.lines().push(Remark { level: Level::Err, module, text, once: false, kind: None });
    }

    /// Adds a line at level WARN.
    pub(crate) fn warn(&self, module: &'static str, text: String) {
        self.lines().push(Remark { level: Level::Warn, module, text, once: false, kind: None });
    }

    /// Adds a line at level WARN that a process writes only once, whatever it names.
    pub(crate) fn warn_once(&self, module: &'static str, text: String) {
        self.lines().push(Remark { level: Level::Warn, module, text, once: true, kind: None });
    }

    /// Adds the lines of an error.
    pub(crate) fn error(&self, error: &OfError) {
        self.lines().extend_from_slice(&error.remarks);
    }

    /// The lines so far, in the order in which they are to be written.
    pub fn take(&self) -> Vec<Remark> {
        std::mem::take(&mut *self.lines())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_keep_their_order_under_another_code() {
        let error = ErrorCode::OFPBRC_BAD_LEN.because("ofp_msgs", "one".into()).remark("ofp_flow", "two".into());
        let error = error.under(ErrorCode::OFPBAC_BAD_LEN);
        assert_eq!(error.to_string(), "OFPBAC_BAD_LEN");
        let texts: Vec<&str> = error.remarks.iter().map(|r| r.text.as_str()).collect();
        assert_eq!(texts, ["one", "two"]);
    }
}
