//! The command line, read as the shell script reads it that ovs-pki is elsewhere: short options are not run
//! together, a long option's value is behind `=` or the next word, and some beginnings of names will do.

use crate::keys::KeyKind;
use crate::{Failure, Outcome, Settings, default_dir, fail};
use cli::program::eprintln_quiet;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// A command with its arguments.
    Command(Box<Settings>, String, Vec<String>),
}

/// An option with a value: its letter, its names (a `*` at the end stands for anything), and its name in
/// complaints.
const VALUED: [(char, &str, &str); 5] = [
    ('k', "--k*", "keytype"),
    ('B', "--bi*", "bits"),
    ('D', "--ds*", "dsaparam"),
    ('d', "--di*", "pkidir"),
    ('l', "--l*", "log"),
];

fn answers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// The option with a value that `word` is, with the value if `word` holds it.
fn valued(word: &str) -> Option<(char, Option<&str>)> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let found = VALUED.iter().find(|(letter, pattern, _)| {
        answers(pattern, name) || (value.is_none() && name.strip_prefix('-') == Some(letter.to_string().as_str()))
    })?;
    Some((found.0, value))
}

/// Whether an option's word ends in a value that is nothing, or but zeros: expr(1), by which ovs-pki takes values out of
/// such words elsewhere, calls them false, and that ends the script.
fn lacks_its_value(word: &str) -> bool {
    let value = word.split_once('=').filter(|_| word.starts_with('-')).map(|(_, value)| value);
    value.is_some_and(|value| {
        let digits = value.strip_prefix('-').unwrap_or(value);
        value.is_empty() || (!digits.is_empty() && digits.bytes().all(|digit| digit == b'0'))
    })
}

/// Takes a word as the command, or as one of its two arguments.
fn name(named: &mut Vec<String>, word: &str) -> Outcome<()> {
    if named.len() == 3 {
        eprintln_quiet(&format!("{word}: only two arguments may be specified"));
        return Err(Failure::Exit(1));
    }
    named.push(word.to_owned());
    Ok(())
}

/// Reads a command line.
///
/// # Errors
/// What does not belong there: the text, or the exit code of a complaint that is printed already.
pub(crate) fn parse(words: &[String]) -> Outcome<Wish> {
    let mut settings = Settings::new(default_dir());
    let (mut key, mut bits) = ("rsa".to_owned(), "2048".to_owned());
    let mut named: Vec<String> = Vec::new();
    let mut words = words.iter().map(String::as_str);
    let mut options_ended = false;
    while let Some(word) = words.next() {
        if !options_ended && lacks_its_value(word) {
            return fail(format!("{word}: this is no value"));
        }
        if let Some((letter, value)) = valued(word).filter(|_| !options_ended) {
            let Some(value) = value.or_else(|| words.next()) else {
                let name = VALUED.iter().find(|option| option.0 == letter).map_or("", |option| option.2);
                eprintln_quiet(&format!(": error: missing argument to --{name}"));
                return Err(Failure::Exit(1));
            };
            match letter {
                'k' => key = value.to_owned(),
                'B' => bits = value.to_owned(),
                'D' => settings.dsaparam = Some(value.to_owned()),
                'd' => settings.dir = value.to_owned(),
                _ => settings.log = value.to_owned(),
            }
            continue;
        }
        match word {
            _ if options_ended => name(&mut named, word)?,
            "-h" | "--help" => return Ok(Wish::Help),
            "-V" | "--version" => return Ok(Wish::Version),
            "-b" => settings.batch = true,
            "-u" => settings.unique = true,
            "-f" | "--force" => settings.force = true,
            _ if answers("--ba*", word) => settings.batch = true,
            _ if answers("--un*", word) => settings.unique = true,
            "--" => options_ended = true,
            "" if named.is_empty() => {}
            _ if word.starts_with('-') => {
                eprintln_quiet(&format!("unrecognized option {word}"));
                return Err(Failure::Exit(1));
            }
            _ => name(&mut named, word)?,
        }
    }
    if named.is_empty() {
        return fail("missing command name; use --help for help");
    }
    settings.key = KeyKind::parse(&key)?;
    settings.bits = match bits.parse() {
        Ok(bits) if bits >= 1024 => bits,
        _ => return fail("argument to -B or --bits must be at least 1024"),
    };
    let command = named.remove(0);
    Ok(Wish::Command(Box::new(settings), command, named))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Outcome<Wish> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn beginnings_of_names() {
        for line in ["--kind=dsa req a", "-k dsa req a", "--ke dsa req a", "req --k=dsa a"] {
            let Ok(Wish::Command(settings, command, args)) = read(line) else { panic!("{line}") };
            assert_eq!((settings.key, command.as_str(), args.as_slice()), (KeyKind::Dsa, "req", &["a".to_owned()][..]));
        }
        let Ok(Wish::Command(settings, ..)) = read("--ba --unix --bit=4096 --di x req a") else { panic!() };
        assert!(settings.batch && settings.unique && !settings.force);
        assert_eq!((settings.bits, settings.dir.as_str()), (4096, "x"));
    }

    #[test]
    fn what_does_not_belong_there() {
        for line in ["--b x", "-kdsa req a", "-bf req a", "--versions", "req a b c", "-d"] {
            assert_eq!(read(line), Err(Failure::Exit(1)), "{line}");
        }
        for word in ["--dir=", "--log=0", "--bits=-00", "--batch=", "--none="] {
            assert_eq!(read(&format!("{word} req a")), fail(format!("{word}: this is no value")));
            assert!(!matches!(read(&format!("-- {word}")), Err(Failure::Text(_))), "{word}");
        }
        assert_eq!(read("--dir=- --log=01 --dsaparam=-x req a").map(|_| ()), Ok(()));
        assert_eq!(read("--"), fail("missing command name; use --help for help"));
        assert!(matches!(read("-- -b"), Ok(Wish::Command(_, command, _)) if command == "-b"));
        assert_eq!(read("-k none req"), fail("argument to -k or --key must be rsa or dsa"));
        assert_eq!(read("-B 512 req"), fail("argument to -B or --bits must be at least 1024"));
    }
}
