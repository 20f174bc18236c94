//! The two authorities: making them, signing, verifying.

use crate::request::{build, subject, with_text};
use crate::{Failure, Outcome, Settings, fail, files, keys};
use cli::program::{eprintln_quiet, print};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, BigNumRef};
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, PKeyRef, Private};
use openssl::stack::Stack;
use openssl::x509::extension::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef, X509Req, X509ReqRef, X509StoreContext};

/// How long certificates are good for, in days.
const DAYS: u32 = 3650;

/// Refuses to work without the infrastructure's directory.
pub(crate) fn must_be_there(settings: &Settings) -> Outcome<()> {
    let dir = &settings.dir;
    let path = std::path::Path::new(dir);
    if path.is_dir() {
        return Ok(());
    }
    if path.exists() {
        return fail(format!("{dir} is not a directory"));
    }
    fail(format!("{dir} does not exist (need to run 'init' or use '--dir'?)"))
}

/// The configuration that `openssl ca` would work with in the authority's directory.
fn configuration(ca: &str, common: &str) -> String {
    let mut out = String::from("[ req ]\nprompt = no\ndistinguished_name = req_distinguished_name\n\n");
    out.push_str("[ req_distinguished_name ]\nC = US\nST = CA\nL = Palo Alto\nO = Open vSwitch\n");
    out.push_str(&format!("OU = {ca}\nCN = {common}\n\n[ ca ]\ndefault_ca = the_ca\n\n[ the_ca ]\n"));
    for (key, value) in [
        ("dir", "."),
        ("database", "$dir/index.txt"),
        ("new_certs_dir", "$dir/newcerts"),
        ("certificate", "$dir/cacert.pem"),
        ("serial", "$dir/serial"),
        ("private_key", "$dir/private/cakey.pem"),
        ("default_days", "3650"),
        ("default_crl_days", "30"),
        ("default_md", "sha512"),
        ("policy", "policy"),
        ("email_in_dn", "no"),
        ("name_opt", "ca_default"),
        ("cert_opt", "ca_default"),
        ("copy_extensions", "copy"),
        ("unique_subject", "no"),
    ] {
        out.push_str(&format!("{key} = {value}\n"));
    }
    out.push_str("\n[ policy ]\n");
    for (key, value) in [
        ("countryName", "optional"),
        ("stateOrProvinceName", "optional"),
        ("organizationName", "match"),
        ("organizationalUnitName", "optional"),
        ("commonName", "supplied"),
        ("emailAddress", "optional"),
    ] {
        out.push_str(&format!("{key} = {value}\n"));
    }
    out.push_str("\n[ ca_cert ]\nbasicConstraints=CA:true\n\n[ usr_cert ]\nbasicConstraints=CA:false\n");
    out
}

/// Makes the infrastructure with its two authorities.
pub(crate) fn init(settings: &Settings) -> Outcome<()> {
    let dir = &settings.dir;
    if std::path::Path::new(dir).exists() && !settings.force {
        return fail(format!("{dir} already exists and --force not specified"));
    }
    files::make_dir(dir, 0o777)?;
    settings.open_log()?;
    if settings.key == keys::KeyKind::Dsa && !std::path::Path::new(&settings.dsaparam()).exists() {
        eprintln_quiet("Generating DSA parameters, please wait...");
        keys::write_parameters(settings.bits, &settings.dsaparam())?;
    }
    for ca in ["controllerca", "switchca"] {
        eprintln_quiet(&format!("Creating {ca}..."));
        init_one(settings, ca)?;
    }
    Ok(())
}

fn init_one(settings: &Settings, ca: &str) -> Outcome<()> {
    let dir = format!("{}/{ca}", settings.dir);
    for (name, mode) in [("certs", 0o777), ("crl", 0o777), ("newcerts", 0o777), ("private", 0o700)] {
        files::make_dir(&format!("{dir}/{name}"), mode)?;
    }
    for (name, text) in [("index.txt", ""), ("serial", "01\n"), ("crlnumber", "01\n")] {
        let path = format!("{dir}/{name}");
        if !std::path::Path::new(&path).exists() {
            files::write(&path, text.as_bytes(), 0o666)?;
        }
    }
    let now = chrono::DateTime::<chrono::Local>::from(std::time::UNIX_EPOCH + cli::clock::wall());
    let common = format!("OVS {ca} CA Certificate ({})", now.format("%Y %b %d %H:%M:%S"));
    files::write(&format!("{dir}/ca.cnf"), configuration(ca, &common).as_bytes(), 0o666)?;
    if settings.key == keys::KeyKind::Dsa {
        files::write(&format!("{dir}/dsaparam.pem"), &files::read(&settings.dsaparam())?, 0o666)?;
    }
    let key = keys::generate(settings)?;
    files::write(&format!("{dir}/private/cakey.pem"), &key.private_key_to_pem_pkcs8()?, 0o700)?;
    let request = build(&subject(ca, &common)?, &key, None)?;
    files::write(&format!("{dir}/careq.pem"), &request.to_pem()?, 0o666)?;
    let own = certified_name(request.subject_name())?;
    let serial = read_serial(&dir)?;
    let mut builder = begin(&request, &own, &own, &serial)?;
    builder.append_extension(BasicConstraints::new().ca().build()?)?;
    let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(identifier)?;
    builder.sign(&key, digest_for(&key))?;
    let certificate = builder.build();
    record(&dir, &serial, &certificate)?;
    files::write(&format!("{dir}/cacert.pem"), &with_text(certificate.to_text()?, certificate.to_pem()?), 0o666)?;
    settings.note(&format!("made the authority {dir}"));
    Ok(())
}

/// The digest that an authority signs with: SHA-512, but DSA knows none longer than SHA-256.
fn digest_for(key: &PKeyRef<Private>) -> MessageDigest {
    if key.id() == Id::DSA { MessageDigest::sha256() } else { MessageDigest::sha512() }
}

/// What of a name the policy keeps: the locality goes.
fn certified_name(name: &X509NameRef) -> Outcome<X509Name> {
    let mut out = X509Name::builder()?;
    for entry in name.entries() {
        let nid = entry.object().nid();
        if nid != openssl::nid::Nid::LOCALITYNAME {
            out.append_entry_by_nid(nid, &entry.data().to_string()?)?;
        }
    }
    Ok(out.build())
}

/// Begins a certificate for the key of a request, good from now on.
pub(crate) fn begin(
    request: &X509ReqRef,
    name: &X509NameRef,
    issuer: &X509NameRef,
    serial: &BigNumRef,
) -> Outcome<X509Builder> {
    let key = request.public_key()?;
    if !request.verify(&key)? {
        return fail("the request is not signed by the key that it is for");
    }
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(name)?;
    builder.set_issuer_name(issuer)?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(DAYS)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    builder.set_pubkey(&key)?;
    Ok(builder)
}

/// The number of the authority's next certificate.
fn read_serial(dir: &str) -> Outcome<BigNum> {
    let path = format!("{dir}/serial");
    let text = String::from_utf8_lossy(&files::read(&path)?).trim().to_string();
    match BigNum::from_hex_str(&text) {
        Ok(serial) if !text.is_empty() => Ok(serial),
        _ => fail(format!("{path}: not a serial number")),
    }
}

fn hex(serial: &BigNumRef) -> Outcome<String> {
    let text = serial.to_hex_str()?.to_string();
    Ok(if text.len() % 2 == 0 { text } else { format!("0{text}") })
}

/// Notes a certificate in the authority's books, and the next number.
fn record(dir: &str, serial: &BigNumRef, certificate: &X509) -> Outcome<()> {
    let number = hex(serial)?;
    let text = with_text(certificate.to_text()?, certificate.to_pem()?);
    files::write(&format!("{dir}/newcerts/{number}.pem"), &text, 0o666)?;
    for name in ["index.txt", "index.txt.attr", "serial"] {
        let path = format!("{dir}/{name}");
        if let Ok(old) = std::fs::read(&path) {
            files::write(&format!("{path}.old"), &old, 0o666)?;
        }
    }
    let mut subject = String::new();
    for entry in certificate.subject_name().entries() {
        let kind = entry.object().nid().short_name()?;
        subject.push_str(&format!("/{kind}={}", entry.data().to_string()?));
    }
    let until = chrono::DateTime::<chrono::Utc>::from(std::time::UNIX_EPOCH + cli::clock::wall())
        + chrono::Duration::days(i64::from(DAYS));
    let until = until.format("%y%m%d%H%M%SZ");
    files::append(&format!("{dir}/index.txt"), &format!("V\t{until}\t\t{number}\tunknown\t{subject}\n"));
    let attributes = format!("{dir}/index.txt.attr");
    if !std::path::Path::new(&attributes).exists() {
        files::write(&attributes, b"unique_subject = no\n", 0o666)?;
    }
    let mut next = BigNum::from_slice(&serial.to_vec())?;
    next.add_word(1)?;
    files::write(&format!("{dir}/serial"), format!("{}\n", hex(&next)?).as_bytes(), 0o666)
}

/// Signs `NAME-req.pem` by the authority `ca`, which makes `NAME-cert.pem`.
pub(crate) fn sign(settings: &Settings, ca: &str, name: &str) -> Outcome<()> {
    must_be_there(settings)?;
    let dir = format!("{}/{ca}", settings.dir);
    if !std::path::Path::new(&dir).is_dir() {
        eprintln_quiet(&format!("cannot enter {dir}: it is no directory"));
        return Err(Failure::Exit(2));
    }
    let request = X509Req::from_pem(&files::read(&format!("{name}-req.pem"))?)?;
    let authority = X509::from_pem(&files::read(&format!("{dir}/cacert.pem"))?)?;
    let key = PKey::private_key_from_pem(&files::read(&format!("{dir}/private/cakey.pem"))?)?;
    let serial = read_serial(&dir)?;
    let subject = certified_name(request.subject_name())?;
    let mut builder = begin(&request, &subject, authority.subject_name(), &serial)?;
    builder.append_extension(BasicConstraints::new().build()?)?;
    for extension in request.extensions().into_iter().flatten() {
        builder.append_extension2(&extension)?;
    }
    let subject_id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(Some(&authority), None))?;
    builder.append_extension(subject_id)?;
    let authority_id =
        AuthorityKeyIdentifier::new().keyid(true).build(&builder.x509v3_context(Some(&authority), None))?;
    builder.append_extension(authority_id)?;
    builder.sign(&key, digest_for(&key))?;
    let certificate = builder.build();
    record(&dir, &serial, &certificate)?;
    let file = format!("{name}-cert.pem");
    files::write(&file, &with_text(certificate.to_text()?, certificate.to_pem()?), 0o666)?;
    settings.note(&format!("signed {file} by {dir}"));
    Ok(())
}

/// Says whether the authority `ca` stands behind `NAME-cert.pem`.
pub(crate) fn verify(settings: &Settings, ca: &str, name: &str) -> Outcome<()> {
    let file = format!("{name}-cert.pem");
    must_be_there(settings)?;
    let Ok(certificate) = X509::from_pem(&files::read(&file)?) else {
        eprintln_quiet(&format!("Could not read certificate file from {file}\nUnable to load certificate file"));
        return Err(Failure::Exit(2));
    };
    let authority = X509::from_pem(&files::read(&format!("{}/{ca}/cacert.pem", settings.dir))?)?;
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(authority)?;
    let store = store.build();
    let chain = Stack::new()?;
    let mut context = X509StoreContext::new()?;
    let (good, error, depth) = context.init(&store, &certificate, &chain, |context| {
        let good = context.verify_cert()?;
        Ok((good, context.error(), context.error_depth()))
    })?;
    if good {
        print(&format!("{file}: OK\n"));
        return Ok(());
    }
    let mut parts = Vec::new();
    for entry in certificate.subject_name().entries() {
        parts.push(format!("{} = {}", entry.object().nid().short_name()?, entry.data().to_string()?));
    }
    eprintln_quiet(&parts.join(", "));
    eprintln_quiet(&format!("error {} at {depth} depth lookup: {error}", error.as_raw()));
    eprintln_quiet(&format!("error {file}: verification failed"));
    Err(Failure::Exit(2))
}
