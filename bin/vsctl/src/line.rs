//! The command line cut into commands: `[OPTION...] COMMAND [ARG...] [-- ...]`.

use crate::command::Command;
use crate::commands::ALL;
use cli::options::UsageError;
use cli::table::Table;
use ovsdb::Uuid;
use std::collections::BTreeMap;

/// One command with its arguments, and what it has to say.
pub(crate) struct Line {
    pub command: &'static Command,
    /// Options given, with their values.
    pub options: BTreeMap<String, Option<String>>,
    /// The order in which options were given.
    words: Vec<String>,
    pub args: Vec<String>,
    pub output: String,
    pub table: Option<Table>,
    /// A row whose UUID, once known, is the output.
    pub created: Option<Uuid>,
}

impl Line {
    /// Whether the option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// The value of an option.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option)?.as_deref()
    }

    /// An argument, empty if there are not so many.
    pub fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Adds a line of output.
    pub fn say(&mut self, text: &str) {
        self.output.push_str(text);
        self.output.push('\n');
    }

    /// The command with its options and arguments, for messages.
    pub fn words(&self) -> String {
        let mut words = self.words.clone();
        words.push(self.command.name.to_string());
        words.extend(self.args.iter().cloned());
        words.join(" ")
    }

    /// Forgets what an earlier attempt had to say.
    pub fn reset(&mut self) {
        self.output.clear();
        self.table = None;
        self.created = None;
    }
}

fn error<T>(text: String) -> Result<T, UsageError> {
    Err(UsageError(text))
}

/// Cuts `words` at `--`; `first` are options for the first command that came before the words.
pub(crate) fn parse(words: &[String], first: Vec<String>) -> Result<Vec<Line>, UsageError> {
    let mut lines = Vec::new();
    let mut pending = Some(first);
    for group in words.split(|word| word == "--") {
        if group.is_empty() {
            continue;
        }
        let mut all = pending.take().unwrap_or_default();
        all.extend(group.iter().cloned());
        lines.push(parse_one(&all)?);
    }
    if lines.is_empty() {
        return error("missing command name (use --help for help)".into());
    }
    Ok(lines)
}

fn parse_one(words: &[String]) -> Result<Line, UsageError> {
    let n_options = words.iter().take_while(|word| word.starts_with('-')).count();
    let (given, rest) = words.split_at(n_options);
    let mut options = BTreeMap::new();
    for word in given {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_string(), Some(value.to_string())),
            None => (word.clone(), None),
        };
        if options.insert(name, value).is_some() {
            return error(format!("'{word}' option specified multiple times"));
        }
    }
    let Some((name, args)) = rest.split_first() else {
        return error("missing command name (use --help for help)".into());
    };
    let Some(command) = ALL.iter().flat_map(|group| group.iter()).find(|c| c.name == name) else {
        let hint = cli::near::hint(name, ALL.iter().flat_map(|group| group.iter()).map(|c| c.name));
        let separator = if hint.is_empty() { "" } else { "\n" };
        return error(format!("unknown command '{name}'; use --help for help{separator}{hint}"));
    };
    check_options(command, &options)?;
    if args.len() < command.min {
        return error(format!("'{name}' command requires at least {} arguments", command.min));
    }
    if args.len() > command.max {
        let max = command.max;
        let note = if args.iter().any(|arg| arg.starts_with('-')) {
            " (note that options must precede command names and follow a \"--\" argument)"
        } else {
            ""
        };
        return error(format!("'{name}' command takes at most {max} arguments{note}"));
    }
    let words = given.to_vec();
    Ok(Line { command, options, words, args: args.to_vec(), output: String::new(), table: None, created: None })
}

fn check_options(command: &Command, options: &BTreeMap<String, Option<String>>) -> Result<(), UsageError> {
    for (option, value) in options {
        let known = command.options.iter().find(|known| known.trim_end_matches('=') == option);
        match (known, value) {
            (None, _) => return error(format!("'{}' command has no '{option}' option", command.name)),
            (Some(known), None) if known.ends_with('=') => {
                return error(format!("missing argument to '{option}' option on '{}' command", command.name));
            }
            (Some(known), Some(_)) if !known.ends_with('=') => {
                return error(format!("'{option}' option on '{}' does not accept an argument", command.name));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &str) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.split_whitespace().map(String::from).collect();
        parse(&words, Vec::new()).map(|lines| lines.iter().map(Line::words).collect()).map_err(|e| e.0)
    }

    #[test]
    fn groups() {
        assert_eq!(
            run("list-br -- -- --may-exist add-br br0 --"),
            Ok(vec!["list-br".to_string(), "--may-exist add-br br0".to_string()])
        );
        for (words, text) in [
            ("", "missing command name (use --help for help)"),
            ("--real", "missing command name (use --help for help)"),
            ("frobnicate", "unknown command 'frobnicate'; use --help for help"),
            ("list-prots br0", "unknown command 'list-prots'; use --help for help\ndid you mean 'list-ports'?"),
            ("--real --real list-br", "'--real' option specified multiple times"),
            ("--foo list-br", "'list-br' command has no '--foo' option"),
            ("--real=3 list-br", "'--real' option on 'list-br' does not accept an argument"),
            ("--columns list br", "missing argument to '--columns' option on 'list' command"),
            ("add-br", "'add-br' command requires at least 1 arguments"),
            ("show x", "'show' command takes at most 0 arguments"),
        ] {
            assert_eq!(run(words), Err(text.to_string()));
        }
    }
}
