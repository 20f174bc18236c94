//! Tables of commands: `PROGRAM [OPTIONS] COMMAND [ARG...]`.

use crate::near;

/// One command of a program; `F` is what carries it out.
#[derive(Clone, Copy, Debug)]
pub struct Command<F> {
    /// Its name.
    pub name: &'static str,
    /// Its arguments, for `list-commands`.
    pub usage: &'static str,
    /// The least number of arguments.
    pub min: usize,
    /// The greatest number of arguments.
    pub max: usize,
    /// Whether it changes anything, and so is refused with `--read-only`.
    pub writes: bool,
    /// What carries it out.
    pub run: F,
}

impl<F> Command<F> {
    /// A command that only reads.
    pub const fn reading(name: &'static str, usage: &'static str, min: usize, max: usize, run: F) -> Self {
        Command { name, usage, min, max, writes: false, run }
    }

    /// A command that changes something.
    pub const fn writing(name: &'static str, usage: &'static str, min: usize, max: usize, run: F) -> Self {
        Command { name, usage, min, max, writes: true, run }
    }
}

/// Finds the command that `words` begin with and checks the number of its arguments, which are
/// the rest of `words`.
///
/// # Errors
/// The text to end the program with. A second line names a near command.
pub fn find<'a, F>(commands: &'a [Command<F>], words: &[String], read_only: bool) -> Result<&'a Command<F>, String> {
    let Some((name, args)) = words.split_first() else {
        return Err("missing command name; use --help for help".to_string());
    };
    let Some(command) = commands.iter().find(|c| c.name == name) else {
        let hint = near::hint(name, commands.iter().map(|c| c.name));
        let separator = if hint.is_empty() { "" } else { "\n" };
        return Err(format!("unknown command '{name}'; use --help for help{separator}{hint}"));
    };
    if args.len() < command.min {
        return Err(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        return Err(format!("'{name}' command takes at most {} arguments", command.max));
    }
    if command.writes && read_only {
        return Err(format!("'{name}' command does not work in read only mode"));
    }
    Ok(command)
}

/// The text of `list-commands`.
pub fn listing<F>(commands: &[Command<F>]) -> String {
    let mut out = String::from("The available commands are:\n");
    for command in commands {
        out.push_str(&format!("  {:<23} {}\n", command.name, command.usage));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let commands = [Command::reading("show", "[DP]", 0, 1, ()), Command::writing("add", "DP", 1, 1, ())];
        let text = |words: &[&str], read_only| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            find(&commands, &words, read_only).map(|c| c.name).map_err(|e| e.to_string())
        };
        assert_eq!(text(&["show"], true), Ok("show"));
        for (words, error) in [
            (&[][..], "missing command name; use --help for help"),
            (&["frobnicate"], "unknown command 'frobnicate'; use --help for help"),
            (&["shwo"], "unknown command 'shwo'; use --help for help\ndid you mean 'show'?"),
            (&["add"], "'add' command requires at least 1 arguments"),
            (&["show", "a", "b"], "'show' command takes at most 1 arguments"),
            (&["add", "a"], "'add' command does not work in read only mode"),
        ] {
            assert_eq!(text(words, true), Err(error.to_string()));
        }
    }
}
