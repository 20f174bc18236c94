//! Strings whose octets are not UTF-8. Open vSwitch carries the octets of a JSON string, and of a program's argument,
//! as they are, and refuses them only where a value of the database is made of them. Texts here are of Rust's `str`, so
//! that such an octet travels as a character of its own: the last 128 of Unicode, which are for private use, stand for
//! the octets 0x80 to 0xff. Where a text is read from octets or becomes octets again this module is asked; in between
//! nobody needs to know. One of those characters in a text that came stands for itself, as four octets.

use std::borrow::Cow;

/// Stands for the octet 0x80.
const FIRST: u32 = 0x10_ff80;
/// What the UTF-8 of every character from [`FIRST`] begins with, and little else.
const LEAD: u8 = 0xf4;

/// The character that stands for an octet that is no ASCII.
fn stand_in(octet: u8) -> char {
    char::from_u32(FIRST + u32::from(octet & 0x7f)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The octet that a character stands for, if it does.
fn stood_for(character: char) -> Option<u8> {
    u8::try_from(u32::from(character).checked_sub(FIRST)? + 0x80).ok()
}

/// The text that carries `octets`.
#[must_use]
pub fn to_text(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) if octets.is_ascii() || !octets.contains(&LEAD) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut text = String::with_capacity(octets.len() + 16);
    for chunk in octets.utf8_chunks() {
        for character in chunk.valid().chars() {
            if stood_for(character).is_some() {
                text.extend(character.encode_utf8(&mut [0; 4]).bytes().map(stand_in));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().map(|octet| stand_in(*octet)));
    }
    Cow::Owned(text)
}

/// The octets that `text` carries.
#[must_use]
pub fn of_text(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() || !text.as_bytes().contains(&LEAD) || !text.chars().any(|c| stood_for(c).is_some()) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut octets = Vec::with_capacity(text.len());
    for character in text.chars() {
        match stood_for(character) {
            Some(octet) => octets.push(octet),
            None => octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(octets)
}

/// What is wrong with the octets that `text` carries, in Open vSwitch's words: the sequence as far as the octet that
/// made it wrong, which is the zero behind the end where the end did. `None`: they are UTF-8.
#[must_use]
pub fn fault(text: &str) -> Option<String> {
    let Cow::Owned(octets) = of_text(text) else { return None };
    let error = std::str::from_utf8(&octets).err()?;
    let rest = octets.get(error.valid_up_to()..).unwrap_or_default();
    // Whether the first octet may begin a character, so that one behind it is at fault.
    let begins = matches!(rest.first(), Some(0xc2..=0xf4));
    let length = error.error_len().unwrap_or(rest.len()) + usize::from(begins);
    let sequence = rest.iter().chain([&0]).take(length);
    let sequence: String = sequence.map(|octet| format!(" 0x{octet:02x}")).collect();
    Some(format!("not a valid UTF-8 string: invalid UTF-8 sequence{sequence}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_that_are_no_text_are_named() {
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"abc \xc3\xa9", None),
            ("\u{10ff80}\u{10ffff}".as_bytes(), None),
            (b"a\xffb", Some("0xff")),
            (b"\x80", Some("0x80")),
            (b"\xc0\x80", Some("0xc0")),
            (b"\xc3", Some("0xc3 0x00")),
            (b"\xc3(", Some("0xc3 0x28")),
            (b"a\xe2\x82", Some("0xe2 0x82 0x00")),
            (b"\xed\xb0\x80", Some("0xed 0xb0")),
            (b"\xf0\x90\x80(", Some("0xf0 0x90 0x80 0x28")),
            (b"\xf4\x90\x80\x80", Some("0xf4 0x90")),
            (b"\xf5\x80", Some("0xf5")),
        ];
        for (octets, expect) in cases {
            let expect = expect.map(|octets| format!("not a valid UTF-8 string: invalid UTF-8 sequence {octets}"));
            assert_eq!(fault(&to_text(octets)), expect, "{octets:x?}");
        }
    }

    #[test]
    fn what_is_text_is_not_copied() {
        for text in ["", "plain", "é€𝄞"] {
            assert!(matches!(to_text(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
        assert!(matches!(of_text("é€𝄞\u{100000}"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn octets_come_out_as_they_went_in(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = to_text(&octets);
            prop_assert_eq!(&*of_text(&text), &octets[..]);
            prop_assert_eq!(fault(&text).is_none(), std::str::from_utf8(&octets).is_ok());
        }

        #[test]
        fn any_characters_come_out_as_they_went_in(text in "(\\PC|[\u{10ff00}-\u{10ffff}]){0,12}") {
            let carried = to_text(text.as_bytes());
            prop_assert_eq!(&*of_text(&carried), text.as_bytes());
        }
    }
}
