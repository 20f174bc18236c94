//! Certificate requests, and certificates that sign themselves.

use crate::{Outcome, Settings, authority, files, keys};
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::stack::Stack;
use openssl::x509::extension::{SubjectAlternativeName, SubjectKeyIdentifier};
use openssl::x509::{X509, X509Name, X509Req};

/// The name of a certificate's owner: the unit and common name under Open vSwitch's organization.
pub(crate) fn subject(unit: &str, common: &str) -> Outcome<X509Name> {
    let mut name = X509Name::builder()?;
    for (entry, text) in
        [("C", "US"), ("ST", "CA"), ("L", "Palo Alto"), ("O", "Open vSwitch"), ("OU", unit), ("CN", common)]
    {
        name.append_entry_by_text(entry, text)?;
    }
    Ok(name.build())
}

/// A request for a certificate of `key`; with `alternative`, for that DNS name too.
pub(crate) fn build(name: &X509Name, key: &PKeyRef<Private>, alternative: Option<&str>) -> Outcome<X509Req> {
    let mut builder = X509Req::builder()?;
    builder.set_version(0)?;
    builder.set_subject_name(name)?;
    builder.set_pubkey(key)?;
    if let Some(alternative) = alternative {
        let mut extensions = Stack::new()?;
        extensions.push(SubjectAlternativeName::new().dns(alternative).build(&builder.x509v3_context(None))?)?;
        builder.add_extensions(&extensions)?;
    }
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// A random UUID (RFC 4122, version 4), which keeps names apart.
fn uuid() -> Outcome<String> {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Makes `NAME-privkey.pem` and `NAME-req.pem`.
pub(crate) fn make(settings: &Settings, name: &str) -> Outcome<()> {
    let (key_file, request_file) = (format!("{name}-privkey.pem"), format!("{name}-req.pem"));
    settings.must_not_exist(&key_file)?;
    settings.must_not_exist(&request_file)?;
    let common = if settings.unique { name.to_string() } else { format!("{name} id:{}", uuid()?) };
    let key = keys::generate(settings)?;
    let request = build(&subject("Open vSwitch certifier", &common)?, &key, Some(&common))?;
    files::write(&key_file, &key.private_key_to_pem_pkcs8()?, 0o600)?;
    files::write(&request_file, &with_text(request.to_text()?, request.to_pem()?), 0o666)?;
    settings.note(&format!("made {key_file} and {request_file} for {common}"));
    Ok(())
}

/// What people read before what programs read.
pub(crate) fn with_text(mut text: Vec<u8>, pem: Vec<u8>) -> Vec<u8> {
    text.extend(pem);
    text
}

/// Makes `NAME-cert.pem` from `NAME-req.pem`, signed by `NAME-privkey.pem`.
pub(crate) fn self_sign(settings: &Settings, name: &str) -> Outcome<()> {
    let (request_file, key_file) = (format!("{name}-req.pem"), format!("{name}-privkey.pem"));
    files::must_exist(&request_file)?;
    let key = PKey::private_key_from_pem(&files::read(&key_file)?)?;
    let request = X509Req::from_pem(&files::read(&request_file)?)?;
    let certificate_file = format!("{name}-cert.pem");
    settings.must_not_exist(&certificate_file)?;
    let mut serial = BigNum::new()?;
    serial.rand(159, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = authority::begin(&request, request.subject_name(), request.subject_name(), &serial)?;
    // The request asks for its common name; what vouches for itself is of the name that people call it.
    let context = builder.x509v3_context(None, None);
    let alternative = SubjectAlternativeName::new().dns(name).build(&context)?;
    builder.append_extension(alternative)?;
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    builder.sign(&key, MessageDigest::sha256())?;
    let certificate: X509 = builder.build();
    files::write(&certificate_file, &with_text(certificate.to_text()?, certificate.to_pem()?), 0o666)?;
    settings.note(&format!("made self-signed {certificate_file}"));
    Ok(())
}
