//! Octets in hexadecimal beside their characters.

use std::fmt::Write;

/// Lines of 16 octets: offset, numbers, characters.
pub fn dump(octets: &[u8]) -> String {
    dump_from(octets, 0)
}

/// As [`dump`], without the characters.
pub fn plain(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 4 + 80);
    for (n, line) in octets.chunks(16).enumerate() {
        put!(out, "{:08x}  ", n * 16);
        for (i, octet) in line.iter().enumerate() {
            put!(out, "{octet:02x}");
            if i == 7 {
                out.push('-');
            } else if i + 1 < line.len() {
                out.push(' ');
            }
        }
        out.push('\n');
    }
    out
}

/// As [`dump`], with offsets that start at `base`.
pub fn dump_from(octets: &[u8], base: usize) -> String {
    let mut out = String::with_capacity(octets.len() * 5 + 80);
    for (n, line) in octets.chunks(16).enumerate() {
        put!(out, "{:08x}  ", base + n * 16);
        for i in 0..16 {
            match line.get(i) {
                Some(octet) => put!(out, "{octet:02x}"),
                None => out.push_str("  "),
            }
            out.push(if i == 7 && line.len() >= 8 { '-' } else { ' ' });
        }
        out.push('|');
        for i in 0..16 {
            out.push(match line.get(i) {
                Some(octet @ 0x20..=0x7e) => char::from(*octet),
                Some(_) => '.',
                None => ' ',
            });
        }
        out.push_str("|\n");
    }
    out
}

/// Octets as they are where they are printable, as octal escapes elsewhere.
pub fn printable(octets: &[u8]) -> String {
    let mut out = String::new();
    for octet in octets {
        match octet {
            0x20..=0x7e if !matches!(octet, b'\\' | b'"') => out.push(char::from(*octet)),
            _ => put!(out, "\\{octet:03o}"),
        }
    }
    out
}
