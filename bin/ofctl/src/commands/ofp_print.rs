//! `ofp-print`, `ofp-parse`, `ofp-parse-pcap`: messages from the command line and from files.

use std::io::Read;

use cli::program;
use openflow::hex_octets;
use openflow::names::{Names, Style};

use crate::settings::Settings;
use crate::{Done, Failure, text};

fn text_of(settings: &Settings, octets: &[u8], verbosity: u8) -> String {
    text::message(octets, verbosity, Style { names: Names::NONE, colors: settings.colors })
}

fn first_line() -> Result<String, Failure> {
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(n) if n > 0 => Ok(line),
        _ => Err("Failed to read stdin".into()),
    }
}

/// `ofp-print HEX [VERBOSITY]`; `-` stands for the first line of standard input.
pub(super) fn ofp_print(settings: &Settings, args: &[String]) -> Done {
    let line = if args[0] == "-" { first_line()? } else { args[0].clone() };
    let (octets, rest) = hex_octets(&line);
    if !rest.is_empty() {
        return Err("trailing garbage following hex bytes".into());
    }
    let number = |text: &String| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    };
    let verbosity = args.get(1).map_or(2, number);
    program::print(&text_of(settings, &octets, verbosity));
    Ok(())
}

/// `ofp-parse FILE`: messages one behind the other.
pub(super) fn ofp_parse(settings: &Settings, args: &[String]) -> Done {
    let name = &args[0];
    let mut octets = Vec::new();
    // What cannot be read, a directory for one, ends there.
    let _ = super::flow_file::open(name, "open")?.read_to_end(&mut octets);
    let mut rest = &octets[..];
    while !rest.is_empty() {
        if rest.len() < 8 {
            return Err(Failure::Text(format!("{name}: unexpected end of file mid-message")));
        }
        let len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if len < 8 {
            return Err(Failure::Text(format!("{name}: {len}-byte message is too short for OpenFlow")));
        }
        if rest.len() < len {
            return Err(Failure::Text(format!("{name}: unexpected end of file mid-message")));
        }
        program::print(&text_of(settings, &rest[..len], settings.verbosity.saturating_add(2)));
        rest = &rest[len..];
    }
    Ok(())
}

/// `ofp-parse-pcap PCAP [PORT...]`: OpenFlow in a capture's TCP streams.
pub(super) fn ofp_parse_pcap(settings: &Settings, args: &[String]) -> Done {
    super::parse::ofp_pcap(settings, args)
}

/// Prints a message with the verbosity asked for and `more`.
pub(super) fn show(settings: &Settings, octets: &[u8], more: u8) {
    program::print(&text_of(settings, octets, settings.verbosity.saturating_add(more)));
}
