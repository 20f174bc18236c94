//! Options in the manner of `getopt_long(3)`: definitions, parsing, listing.
//!
//! Long options may be abbreviated as far as they stay unambiguous; `--opt=value` and `--opt value`
//! both give a value, `-ovalue` and `-o value` too; an optional value is given only in the attached
//! form. Error texts are those of the GNU C library, because scripts and tests compare them.
//! Absent: `-W`, `POSIXLY_CORRECT`, and single-dash long options.

use std::fmt;

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// No value: `--opt`.
    Nothing,
    /// A value is required: `--opt=value` or `--opt value`.
    Value,
    /// A value may be attached: `--opt` or `--opt=value`.
    OptionalValue,
}

/// The one definition of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The long name without its dashes; empty when there is only a short one.
    pub long: &'static str,
    /// The short name.
    pub short: Option<char>,
    /// Whether it takes a value.
    pub takes: Takes,
    /// Its lines in `--help`, complete with indentation and newline; empty when it is not shown.
    /// `{program}`, `{rundir}`, `{logdir}`, `{sysconfdir}` and `{dbdir}` are filled in.
    pub help: &'static str,
    /// Whether it is given by its whole name alone: an option that Open vSwitch's program does not have takes no abbreviation
    /// from those that it has.
    pub whole: bool,
}

impl Flag {
    /// `--long` without a value.
    #[must_use]
    pub const fn switch(long: &'static str) -> Flag {
        Flag { long, short: None, takes: Takes::Nothing, help: "", whole: false }
    }

    /// `--long=VALUE`.
    #[must_use]
    pub const fn value(long: &'static str) -> Flag {
        Flag { long, short: None, takes: Takes::Value, help: "", whole: false }
    }

    /// `--long[=VALUE]`.
    #[must_use]
    pub const fn optional(long: &'static str) -> Flag {
        Flag { long, short: None, takes: Takes::OptionalValue, help: "", whole: false }
    }

    /// Gives the option a short name as well.
    #[must_use]
    pub const fn short(mut self, short: char) -> Flag {
        self.short = Some(short);
        self
    }

    /// Lets nothing but the whole name stand for the option.
    #[must_use]
    pub const fn whole(mut self) -> Flag {
        self.whole = true;
        self
    }

    /// Gives the option its lines in `--help`.
    #[must_use]
    pub const fn help(mut self, help: &'static str) -> Flag {
        self.help = help;
        self
    }
}

/// Where parsing of options ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Options and arguments may be mixed; only `--` ends the options.
    Permute,
    /// The first argument that is not an option ends them (a leading `+` in `getopt(3)`).
    StopAtFirst,
}

/// One option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The definition that it matched.
    pub flag: Flag,
    /// Its value, if it had one.
    pub value: Option<String>,
}

impl Given {
    /// The long name, or the short one as text when there is no long one.
    #[must_use]
    pub fn name(&self) -> String {
        if self.flag.long.is_empty() {
            self.flag.short.map(String::from).unwrap_or_default()
        } else {
            self.flag.long.to_string()
        }
    }

    /// The value, empty when there was none.
    #[must_use]
    pub fn text(&self) -> &str {
        self.value.as_deref().unwrap_or("")
    }
}

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The options in the order given.
    pub given: Vec<Given>,
    /// Everything else in the order given.
    pub arguments: Vec<String>,
    /// The option that is unknown, ambiguous, lacks its value or has one too many: nothing behind it was read. What
    /// stands before it counts, so that it is told of only once those are judged.
    pub fault: Option<UsageError>,
}

/// A command line that cannot be understood. Its text lacks the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Parses `args` (without the program's name) by `flags`, as far as they can be understood.
#[must_use]
pub fn parse(flags: &[Flag], order: Order, args: &[String]) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.fault = parse_into(&mut parsed, flags, order, args).err();
    parsed
}

fn parse_into(parsed: &mut Parsed, flags: &[Flag], order: Order, args: &[String]) -> Result<(), UsageError> {
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            parsed.arguments.extend(rest.cloned());
            break;
        } else if let Some(long) = arg.strip_prefix("--") {
            parsed.given.push(parse_long(flags, long, &mut rest)?);
        } else if arg.len() > 1 && arg.starts_with('-') {
            parse_short(flags, arg, &mut rest, &mut parsed.given)?;
        } else if order == Order::StopAtFirst {
            parsed.arguments.push(arg.clone());
            parsed.arguments.extend(rest.cloned());
            break;
        } else {
            parsed.arguments.push(arg.clone());
        }
    }
    Ok(())
}

fn parse_long<'a>(
    flags: &[Flag],
    text: &str,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<Given, UsageError> {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (text, None),
    };
    let flag = find_long(flags, name, text)?;
    let long = flag.long;
    let value = match (flag.takes, attached) {
        (Takes::Nothing, Some(_)) => {
            return Err(UsageError(format!("option '--{long}' doesn't allow an argument")));
        }
        (Takes::Value, None) => {
            Some(rest.next().cloned().ok_or_else(|| UsageError(format!("option '--{long}' requires an argument")))?)
        }
        (_, attached) => attached,
    };
    Ok(Given { flag, value })
}

/// Finds the option that `name` names or abbreviates; `text` is the whole word for error texts.
fn find_long(flags: &[Flag], name: &str, text: &str) -> Result<Flag, UsageError> {
    if let Some(flag) = flags.iter().find(|f| !f.long.is_empty() && f.long == name) {
        return Ok(*flag);
    }
    let mut near: Vec<&Flag> = Vec::new();
    for flag in flags.iter().filter(|f| f.long.starts_with(name) && !f.long.is_empty() && !f.whole) {
        if !near.iter().any(|f| f.long == flag.long) {
            near.push(flag);
        }
    }
    match near.as_slice() {
        [] => Err(UsageError(format!("unrecognized option '--{text}'"))),
        [flag] => Ok(**flag),
        many => {
            let list: String = many.iter().map(|f| format!(" '--{}'", f.long)).collect();
            Err(UsageError(format!("option '--{text}' is ambiguous; possibilities:{list}")))
        }
    }
}

/// Parses one word of short options, `-abVALUE`.
fn parse_short<'a>(
    flags: &[Flag],
    word: &str,
    rest: &mut impl Iterator<Item = &'a String>,
    given: &mut Vec<Given>,
) -> Result<(), UsageError> {
    for (at, letter) in word.char_indices().skip(1) {
        let flag = flags
            .iter()
            .find(|f| f.short == Some(letter))
            .copied()
            .ok_or_else(|| UsageError(format!("invalid option -- '{letter}'")))?;
        if flag.takes == Takes::Nothing {
            given.push(Given { flag, value: None });
            continue;
        }
        let attached = &word[at + letter.len_utf8()..];
        let value = if !attached.is_empty() {
            Some(attached.to_string())
        } else if flag.takes == Takes::Value {
            Some(rest.next().cloned().ok_or_else(|| UsageError(format!("option requires an argument -- '{letter}'")))?)
        } else {
            None
        };
        given.push(Given { flag, value });
        return Ok(());
    }
    Ok(())
}

/// The text that `--option` prints: every option in the order of its definition, for shells that
/// complete command lines.
#[must_use]
pub fn listing(flags: &[Flag]) -> String {
    let mut out = String::new();
    for flag in flags {
        let value = match flag.takes {
            Takes::Nothing => "",
            Takes::Value => "ARG",
            Takes::OptionalValue => "[ARG]",
        };
        if !flag.long.is_empty() {
            let equals = if value.is_empty() { "" } else { "=" };
            out.push_str(&format!("--{}{equals}{value}\n", flag.long));
        }
        if let Some(short) = flag.short {
            out.push_str(&format!("-{short} {value}\n"));
        }
    }
    out
}

/// Parses a positive number of seconds for `-t`, `-T` or `--timeout`; `letter` is the short name.
///
/// # Errors
/// The value is not a whole number or is zero.
pub fn timeout_s(letter: char, text: &str) -> Result<u32, UsageError> {
    match text.parse::<u32>() {
        Ok(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(UsageError(format!("value {text} on -{letter} or --timeout is invalid"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::value("timeout").short('t'),
        Flag::switch("no-syslog"),
        Flag::switch("no-wait"),
        Flag::optional("verbose").short('v'),
        Flag::switch("more").short('m'),
    ];

    fn run(order: Order, words: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let args: Vec<String> = words.iter().map(ToString::to_string).collect();
        let parsed = parse(FLAGS, order, &args);
        if let Some(UsageError(text)) = parsed.fault {
            return Err(text);
        }
        let given = parsed
            .given
            .iter()
            .map(|g| match &g.value {
                Some(value) => format!("{}={value}", g.name()),
                None => g.name(),
            })
            .collect();
        Ok((given, parsed.arguments))
    }

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn forms_of_values() {
        for words in [&["--timeout=3"][..], &["--timeout", "3"], &["-t3"], &["-t", "3"], &["--ti", "3"]] {
            assert_eq!(run(Order::Permute, words), Ok((strings(&["timeout=3"]), vec![])), "{words:?}");
        }
        assert_eq!(
            run(Order::Permute, &["-v", "x", "-vdbg", "-mm", "--verbose"]),
            Ok((strings(&["verbose", "verbose=dbg", "more", "more", "verbose"]), strings(&["x"])))
        );
    }

    #[test]
    fn order() {
        let words = ["-m", "cmd", "-m", "--", "-m"];
        assert_eq!(run(Order::StopAtFirst, &words), Ok((strings(&["more"]), strings(&["cmd", "-m", "--", "-m"]))));
        assert_eq!(run(Order::Permute, &words), Ok((strings(&["more", "more"]), strings(&["cmd", "-m"]))));
        assert_eq!(run(Order::StopAtFirst, &["--", "-m"]), Ok((vec![], strings(&["-m"]))));
        assert_eq!(run(Order::Permute, &["-"]), Ok((vec![], strings(&["-"]))));
    }

    #[test]
    fn errors() {
        for (words, text) in [
            (&["--x=1"][..], "unrecognized option '--x=1'"),
            (&["--no"], "option '--no' is ambiguous; possibilities: '--no-syslog' '--no-wait'"),
            (&["--timeout"], "option '--timeout' requires an argument"),
            (&["--no-wait=3"], "option '--no-wait' doesn't allow an argument"),
            (&["-x"], "invalid option -- 'x'"),
            (&["-mt"], "option requires an argument -- 't'"),
        ] {
            assert_eq!(run(Order::Permute, words), Err(text.to_string()));
        }
        let parsed = parse(FLAGS, Order::Permute, &strings(&["-m", "x", "-t3", "--foo", "-m"]));
        assert_eq!(parsed.given.iter().map(Given::name).collect::<Vec<_>>(), ["more", "timeout"], "what stands before");
        assert_eq!(timeout_s('t', "0").unwrap_err().0, "value 0 on -t or --timeout is invalid");
    }

    #[test]
    fn listing_for_completion() {
        assert_eq!(
            listing(FLAGS),
            "--timeout=ARG\n-t ARG\n--no-syslog\n--no-wait\n--verbose=[ARG]\n-v [ARG]\n--more\n-m \n"
        );
    }
}
