//! Fingerprints of files: of a certificate that of its DER form, of anything else that of the file.

use crate::{Failure, Outcome, files};
use chrono::{DateTime, Local};
use cli::program::{eprintln_quiet, print};
use openssl::hash::{MessageDigest, hash};
use openssl::x509::X509;

/// When the file was last changed, as `date -r` prints it.
fn changed(path: &str) -> Option<String> {
    let time: DateTime<Local> = std::fs::metadata(path).ok()?.modified().ok()?.into();
    let zone = match time.offset().local_minus_utc() {
        0 => "UTC".to_string(),
        _ => time.format("%z").to_string(),
    };
    Some(format!("{} {zone} {}", time.format("%a %b %e %H:%M:%S"), time.format("%Y")))
}

/// The fingerprint in hexadecimal.
fn of(contents: &[u8]) -> Outcome<String> {
    let is_certificate = contents.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----");
    if is_certificate && let Ok(certificate) = X509::from_pem(contents) {
        let digest = certificate.digest(MessageDigest::sha1())?;
        return Ok(digest.iter().map(|byte| format!("{byte:02X}")).collect());
    }
    Ok(hash(MessageDigest::sha1(), contents)?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Prints the file's name, when it was changed, and its fingerprint.
pub(crate) fn show(path: &str) -> Outcome<()> {
    let Some(changed) = changed(path) else {
        // The complaint is date(1)'s.
        eprintln_quiet(&format!("date: {path}: No such file or directory"));
        return Err(Failure::Exit(1));
    };
    let fingerprint = of(&files::read(path)?)?;
    print(&format!("{path}\t{changed}\n\tfingerprint {fingerprint}\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_no_certificate() {
        assert_eq!(of(b"abc").unwrap(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
