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
    /// So many lines of this module a minute, after so many at once: whoever causes them may not fill the log.
    pub limit: Option<(u32, u32)>,
}

impl Note {
    /// A line.
    pub fn new(module: &'static str, level: Level, text: impl Into<String>) -> Note {
        Note { module, level, text: text.into(), limit: None }
    }

    /// One of many: `rate` a minute, after `burst` at once.
    pub fn limited(self, rate: u32, burst: u32) -> Note {
        Note { limit: Some((rate, burst)), ..self }
    }
}
