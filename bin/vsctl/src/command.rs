//! What a command is.

use crate::Outcome;
use crate::context::Context;
use crate::line::Line;
use crate::need::Need;

/// One command of ovs-vsctl.
pub(crate) struct Command {
    /// Its name.
    pub name: &'static str,
    /// The least number of arguments.
    pub min: usize,
    /// The greatest number of arguments.
    pub max: usize,
    /// Its arguments, for shells that complete them.
    pub arguments: &'static str,
    /// Its options, each with `=` at its end if it takes a value.
    pub options: &'static [&'static str],
    /// It never writes to the database.
    pub reads: bool,
    /// Says which tables and columns it needs.
    pub need: fn(&mut Need<'_>, &Line) -> Outcome<()>,
    /// Carries it out.
    pub run: fn(&mut Context<'_>, &mut Line) -> Outcome<()>,
}

/// Any number of arguments.
pub(crate) const MANY: usize = usize::MAX;

impl Command {
    /// A command without options.
    pub const fn new(
        name: &'static str,
        (min, max): (usize, usize),
        arguments: &'static str,
        need: fn(&mut Need<'_>, &Line) -> Outcome<()>,
        run: fn(&mut Context<'_>, &mut Line) -> Outcome<()>,
    ) -> Command {
        Command { name, min, max, arguments, options: &[], reads: false, need, run }
    }

    /// Marks a command that never writes to the database.
    pub const fn reads(mut self) -> Command {
        self.reads = true;
        self
    }

    /// Gives the command options.
    pub const fn options(mut self, options: &'static [&'static str]) -> Command {
        self.options = options;
        self
    }
}
