//! Files of flows: one a line, `#` begins a comment, `-` is standard input.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use cli::program::strerror;
use flow::classifier::Shapes;
use openflow::flow_mod::{Command, PackedFlowMod, ParsedFlowMod, parse_flow_mod};
use openflow::matching::Match;
use openflow::names::Names;
use openflow::{Notes, Protocols, Remark};

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
        // What cannot be read, a directory for one, ends there.
        if source.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
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
pub(super) type Flows = (Vec<PackedFlowMod>, Protocols, Option<Session>);

/// A line of a file.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

/// The lines of a file that say something.
pub(super) struct Text {
    text: String,
    /// The number of each line, and where it is.
    places: Vec<(usize, std::ops::Range<usize>)>,
}

impl Text {
    /// Reads a file, or standard input for `-`.
    pub fn read(file: &str) -> Result<Text, Failure> {
        let (mut text, mut places) = (String::new(), Vec::new());
        lines(file, |line, number| {
            places.push((number, text.len()..text.len() + line.len()));
            text.push_str(line);
            Ok(())
        })?;
        Ok(Text { text, places })
    }

    /// Whether there is enough to be worth several threads.
    pub fn is_long(&self) -> bool {
        self.places.len() >= 2 * LINES_A_THREAD
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    fn lines(&self) -> Vec<Line<'_>> {
        self.places.iter().map(|(number, place)| Line { number: *number, text: &self.text[place.clone()] }).collect()
    }
}

/// What a line says. Many are kept, so the flow-mod is packed.
struct Said {
    flow_mod: PackedFlowMod,
    usable: Protocols,
    /// Before and after, where packets of its kind do not have all that the match says.
    normalized: Option<Box<(Match, Match)>>,
    /// What the log is to say of it.
    remarks: Vec<Remark>,
}

/// The connection that names are asked for by, if they may be used.
pub(super) fn open_for_names(settings: &Settings, switch: &str) -> Result<Option<Session>, Failure> {
    settings.accepts_names().then(|| super::flows::open_named(switch, settings)).transpose()
}

/// Reads the lines of a file of flows. With a session, names of that switch's ports and tables may be used.
pub(super) fn parse_text(
    session: Option<Session>,
    file: &str,
    text: &Text,
    command: Command,
) -> Result<Flows, Failure> {
    let mut usable = Protocols::ANY;
    let lines = text.lines();
    let mut flow_mods = Vec::with_capacity(lines.len());
    // The switch is asked for names when the first line cannot do without; from there on they count.
    let mut names = Names::NONE;
    let mut shapes = Shapes::default();
    for (line, first) in lines.iter().zip(parse_all(&lines, command)) {
        let mut said = if names.ports.is_some() { parse(line, command, names, &mut shapes) } else { first };
        if said.is_err()
            && let Some(session) = &session
            && names.ports.is_none()
        {
            names = session.names();
            said = parse(line, command, names, &mut shapes);
        }
        if said.is_err() {
            // Once more, for the log.
            said = super::flows::noting(names, |names| parse(line, command, names, &mut Shapes::default()));
        }
        let said = said.map_err(|error| Failure::Text(format!("{file}:{}: {error}", line.number)))?;
        crate::text::log(&said.remarks);
        if let Some(normalized) = &said.normalized {
            super::flows::note(&normalized.0, &normalized.1);
        }
        usable &= said.usable;
        flow_mods.push(said.flow_mod);
    }
    Ok((flow_mods, usable, session))
}

/// Lines that are looked at for what the others may be like.
const SAMPLE: usize = 64;

/// The protocols that can say some lines from all over the file, if these can be read without names.
pub(super) fn sample(text: &Text, command: Command) -> Option<Protocols> {
    let mut usable = Protocols::ANY;
    for line in text.lines().iter().step_by(text.len().div_ceil(SAMPLE).max(1)) {
        usable &= parse(line, command, Names::NONE, &mut Shapes::default()).ok()?.usable;
    }
    Some(usable)
}

/// Lines that are worth a thread.
const LINES_A_THREAD: usize = 4096;
/// Most threads.
const THREADS: usize = 8;

/// As many threads as there are processors, and work for.
fn threads(lines: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (lines / LINES_A_THREAD).min(processors).min(THREADS)
}

/// Lines that a thread takes at once, where they are sent as they are read.
const BLOCK: usize = 512;

/// Some lines that follow each other, as octets, and what the log is to say of them.
pub(super) struct Block {
    pub octets: Vec<u8>,
    remarks: Vec<(Vec<Remark>, Option<Match>, Match)>,
}

impl Block {
    /// Logs what there is to say of the lines.
    pub fn log(&self) {
        for (remarks, after, before) in &self.remarks {
            crate::text::log(remarks);
            if let Some(after) = after {
                super::flows::note(before, after);
            }
        }
    }
}

/// Turns lines without names into octets on all processors and gives them to `take`, block after block. `encode` appends
/// a line's, which has this place among the lines, and says whether it can. Says whether all lines could be read.
pub(super) fn each_block(
    text: &Text,
    command: Command,
    encode: &(dyn Fn(&mut Vec<u8>, usize, &ParsedFlowMod) -> bool + Sync),
    mut take: impl FnMut(Block),
) -> bool {
    let lines = text.lines();
    let blocks: Vec<&[Line<'_>]> = lines.chunks(BLOCK).collect();
    let parse_block = |number: usize| -> Option<Block> {
        let mut block = Block { octets: Vec::with_capacity(BLOCK * 144), remarks: Vec::new() };
        for (line, place) in blocks[number].iter().zip(number * BLOCK..) {
            let notes = Notes::default();
            let parsed = parse_flow_mod(line.text, command, Names { notes: Some(&notes), ..Names::NONE }).ok()?;
            if !encode(&mut block.octets, place, &parsed) {
                return None;
            }
            let remarks = notes.take();
            if !remarks.is_empty() || parsed.normalized.is_some() {
                block.remarks.push((remarks, parsed.normalized, parsed.flow_mod.matching));
            }
        }
        Some(block)
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (done, results) = mpsc::sync_channel(2 * THREADS);
        for _ in 0..threads(lines.len()).max(1) {
            let (done, next, blocks, parse_block) = (done.clone(), &next, &blocks, &parse_block);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= blocks.len() || done.send((number, parse_block(number))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        // Those that are ready before their turn wait.
        let (mut waiting, mut turn) = (BTreeMap::new(), 0);
        for (number, block) in results {
            let Some(block) = block else { return false };
            waiting.insert(number, block);
            while let Some(block) = waiting.remove(&turn) {
                take(block);
                turn += 1;
            }
        }
        turn == blocks.len()
    })
}

fn parse(line: &Line<'_>, command: Command, names: Names<'_>, shapes: &mut Shapes) -> Result<Said, String> {
    let notes = Notes::default();
    let parsed = parse_flow_mod(line.text, command, Names { notes: names.notes.or(Some(&notes)), ..names })?;
    let flow_mod = parsed.flow_mod.pack(shapes);
    let normalized = parsed.normalized.map(|after| Box::new((parsed.flow_mod.matching, after)));
    Ok(Said { flow_mod, usable: parsed.usable, normalized, remarks: notes.take() })
}

/// Reads lines that use no names, those of long files on all processors.
fn parse_all(lines: &[Line<'_>], command: Command) -> Vec<Result<Said, String>> {
    let parse_piece = |lines: &[Line<'_>]| -> Vec<Result<Said, String>> {
        let mut shapes = Shapes::default();
        lines.iter().map(|line| parse(line, command, Names::NONE, &mut shapes)).collect()
    };
    let threads = threads(lines.len());
    if threads < 2 {
        return parse_piece(lines);
    }
    std::thread::scope(|scope| {
        let pieces: Vec<_> =
            lines.chunks(lines.len().div_ceil(threads)).map(|piece| scope.spawn(move || parse_piece(piece))).collect();
        pieces
            .into_iter()
            .flat_map(|piece| piece.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}
