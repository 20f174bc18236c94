//! Lines for the log, as values: the pure parts say what happened, their actors write it.

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something failed that a user wanted.
    Err,
    /// Something failed that may mend itself.
    Warn,
    /// Worth knowing afterwards.
    Info,
    /// Worth knowing for who looks for a fault.
    Dbg,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The log's module.
    pub module: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The text, without an end of line.
    pub text: String,
}

impl Note {
    /// A line.
    pub fn new(module: &'static str, level: Level, text: impl Into<String>) -> Note {
        Note { module, level, text: text.into() }
    }
}
