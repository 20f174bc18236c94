//! Reading and writing small files with the permissions they need.

use crate::{Outcome, fail};
use cli::program::strerror;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Refuses to go on without a file.
pub(crate) fn must_exist(path: &str) -> Outcome<()> {
    if std::path::Path::new(path).exists() { Ok(()) } else { fail(format!("{path} does not exist")) }
}

/// Reads a whole file.
pub(crate) fn read(path: &str) -> Outcome<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => fail(format!("{path} does not exist")),
        Err(error) => fail(format!("{path}: {}", strerror(&error))),
    }
}

/// Writes a whole file, in one step, with permissions `mode`.
pub(crate) fn write(path: &str, contents: &[u8], mode: u32) -> Outcome<()> {
    let temporary = format!("{path}.tmp");
    let _ = std::fs::remove_file(&temporary);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(contents))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.or_else(|error| fail(format!("{path}: {}", strerror(&error))))
}

/// Adds to the end of a file, if that can be done.
pub(crate) fn append(path: &str, text: &str) {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
}

/// Makes a directory, which may be there already, with permissions `mode`.
pub(crate) fn make_dir(path: &str, mode: u32) -> Outcome<()> {
    let made =
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), mode).recursive(true).create(path);
    made.or_else(|error| fail(format!("{path}: {}", strerror(&error))))
}
