//! Files of flows: one a line, `#` begins a comment, `-` is standard input.

use std::io::{BufRead, BufReader, Read};

use cli::program::strerror;
use openflow::Protocols;
use openflow::flow_mod::{Command, FlowMod, ParsedFlowMod, parse_flow_mod};
use openflow::names::Names;

use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// Opens a file, or standard input for `-`.
pub(super) fn open(file: &str, what: &str) -> Result<Box<dyn BufRead>, Failure> {
    let source: Box<dyn Read> = if file == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|e| Failure::Text(format!("{file}: {what} ({})", strerror(&e))))?)
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, source)))
}

/// Calls `f` with every line that says something, comments and blanks around it taken off, and its number.
pub(super) fn lines(file: &str, mut f: impl FnMut(&str, usize) -> Done) -> Done {
    let mut source = open(file, "open failed")?;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let n = source.read_until(b'\n', &mut line).map_err(|e| Failure::Text(strerror(&e)))?;
        if n == 0 {
            return Ok(());
        }
        number += 1;
        let text = String::from_utf8_lossy(&line);
        let text = text.split('#').next().unwrap_or("").trim();
        if !text.is_empty() {
            f(text, number)?;
        }
    }
}

/// What a file of flows comes to: flow-mods, the protocols that can say all of them, and the connection made for names.
pub(super) type Flows = (Vec<FlowMod>, Protocols, Option<Session>);

/// Reads a file of flows. With `switch`, names of that switch's ports and tables may be used.
pub(super) fn read(settings: &Settings, switch: Option<&str>, file: &str, command: Command) -> Result<Flows, Failure> {
    let mut flow_mods = Vec::new();
    let mut usable = Protocols::ANY;
    let session = match switch {
        Some(switch) if settings.accepts_names() => Some(super::flows::open_named(switch, settings)?),
        _ => None,
    };
    let mut texts = Vec::new();
    lines(file, |text, number| {
        texts.push((number, text.to_owned()));
        Ok(())
    })?;
    // The switch is asked for names when the first line cannot do without; from there on they count.
    let mut names = Names::NONE;
    for ((number, text), first) in texts.iter().zip(parse_all(&texts, command)) {
        let mut parsed = if names.ports.is_some() { parse_flow_mod(text, command, names) } else { first };
        if parsed.is_err()
            && let Some(session) = &session
            && names.ports.is_none()
        {
            names = session.names();
            parsed = parse_flow_mod(text, command, names);
        }
        let parsed = parsed.map_err(|error| Failure::Text(format!("{file}:{number}: {error}")))?;
        super::flows::note(&parsed);
        usable &= parsed.usable;
        flow_mods.push(parsed.flow_mod);
    }
    Ok((flow_mods, usable, session))
}

/// Lines that are worth a thread.
const LINES_A_THREAD: usize = 4096;
/// Most threads.
const THREADS: usize = 8;

/// Reads lines that use no names, those of long files on all processors.
fn parse_all(texts: &[(usize, String)], command: Command) -> Vec<Result<ParsedFlowMod, String>> {
    let parse = |texts: &[(usize, String)]| -> Vec<Result<ParsedFlowMod, String>> {
        texts.iter().map(|(_, text)| parse_flow_mod(text, command, Names::NONE)).collect()
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (texts.len() / LINES_A_THREAD).min(processors).min(THREADS);
    if threads < 2 {
        return parse(texts);
    }
    std::thread::scope(|scope| {
        let pieces: Vec<_> =
            texts.chunks(texts.len().div_ceil(threads)).map(|piece| scope.spawn(move || parse(piece))).collect();
        pieces
            .into_iter()
            .flat_map(|piece| piece.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
