//! Private keys: RSA, DSA with shared parameters, and EC on the curve P-256.

use crate::{Outcome, Settings, fail, files};
use openssl::base64;
use openssl::bn::BigNum;
use openssl::dsa::Dsa;
use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    Dsa,
    Ec,
}

impl KeyKind {
    /// Reads the argument of `--key`.
    pub fn parse(text: &str) -> Outcome<KeyKind> {
        match text {
            "rsa" => Ok(KeyKind::Rsa),
            "dsa" => Ok(KeyKind::Dsa),
            "ec" => Ok(KeyKind::Ec),
            _ => fail("argument to -k or --key must be rsa or dsa"),
        }
    }
}

/// A new key of the kind that the settings ask for.
pub(crate) fn generate(settings: &Settings) -> Outcome<PKey<Private>> {
    Ok(match settings.key {
        KeyKind::Rsa => PKey::from_rsa(Rsa::generate(settings.bits)?)?,
        KeyKind::Ec => PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?)?,
        KeyKind::Dsa => {
            let [p, q, g] = read_parameters(&settings.dsaparam())?;
            PKey::from_dsa(dsa_key(&p, &q, &g)?)?
        }
    })
}

/// A DSA key from its parameters: a random secret below q, and g to its power.
fn dsa_key(p: &BigNum, q: &BigNum, g: &BigNum) -> Outcome<Dsa<Private>> {
    let copy = |number: &BigNum| BigNum::from_slice(&number.to_vec());
    let mut secret = BigNum::new()?;
    loop {
        q.rand_range(&mut secret)?;
        if secret.num_bits() > 0 {
            break;
        }
    }
    let mut public = BigNum::new()?;
    let mut context = openssl::bn::BigNumContext::new_secure()?;
    public.mod_exp(g, &secret, p, &mut context)?;
    Ok(Dsa::from_private_components(copy(p)?, copy(q)?, copy(g)?, secret, public)?)
}

/// Makes DSA parameters and writes them to a file.
pub(crate) fn write_parameters(bits: u32, path: &str) -> Outcome<()> {
    let dsa = Dsa::generate(bits)?;
    let body: Vec<u8> = [dsa.p(), dsa.q(), dsa.g()].iter().flat_map(|number| der_integer(&number.to_vec())).collect();
    let text = base64::encode_block(&der(0x30, &body));
    let mut pem = String::from("-----BEGIN DSA PARAMETERS-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END DSA PARAMETERS-----\n");
    files::write(path, pem.as_bytes(), 0o666)
}

/// A DER element: tag, length, contents.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = contents.len();
    if length < 128 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend(contents);
    out
}

fn der_integer(magnitude: &[u8]) -> Vec<u8> {
    let mut contents = magnitude.to_vec();
    // A leading bit of one would make the number negative.
    if contents.first().is_none_or(|byte| byte & 0x80 != 0) {
        contents.insert(0, 0);
    }
    der(2, &contents)
}

/// Takes one DER element with the given tag off the front.
fn take_der<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&found, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        length = rest[..count].iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        rest = &rest[count..];
    }
    let contents = rest.get(..length)?;
    *input = &rest[length..];
    (found == tag).then_some(contents)
}

fn parse_parameters(pem: &str) -> Option<[BigNum; 3]> {
    let body = pem.split("-----BEGIN DSA PARAMETERS-----").nth(1)?.split("-----END").next()?;
    let text: String = body.split_whitespace().collect();
    let bytes = base64::decode_block(&text).ok()?;
    let mut whole = bytes.as_slice();
    let mut inner = take_der(&mut whole, 0x30)?;
    let mut number = || BigNum::from_slice(take_der(&mut inner, 2)?).ok();
    Some([number()?, number()?, number()?])
}

fn read_parameters(path: &str) -> Outcome<[BigNum; 3]> {
    let pem = files::read(path)?;
    match parse_parameters(&String::from_utf8_lossy(&pem)) {
        Some(parameters) => Ok(parameters),
        None => fail(format!("{path}: not a file of DSA parameters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements() {
        assert_eq!(der_integer(&[0x80]), [2, 2, 0, 0x80]);
        let long = der(0x30, &[7; 300]);
        assert_eq!(long[..4], [0x30, 0x82, 1, 44]);
        let mut input = long.as_slice();
        assert_eq!(take_der(&mut input, 0x30).unwrap().len(), 300);
        assert!(input.is_empty());
        for bad in [&[][..], &[0x30], &[0x30, 5, 1], &[0x30, 0x80], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x31, 0]] {
            let mut input = bad;
            assert_eq!(take_der(&mut input, 0x30), None, "{bad:?}");
        }
    }

    #[test]
    fn parameters_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p").to_string_lossy().into_owned();
        write_parameters(1024, &path).unwrap();
        let [p, q, g] = read_parameters(&path).unwrap();
        let key = dsa_key(&p, &q, &g).unwrap();
        assert_eq!((key.p(), key.q(), key.g()), (&*p, &*q, &*g));
        std::fs::write(&path, "junk").unwrap();
        assert!(read_parameters(&path).is_err());
    }
}
