//! `probe`, `ping`, `benchmark`: echoes.

use cli::{clock, program};
use openflow::message::kind;
use openflow::message::{self, Message};

use super::ofp_print::show;
use crate::session::{Session, because};
use crate::settings::Settings;
use crate::{Done, Failure};

fn echo(session: &Session, payload: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let request = session.encode(&Message::EchoRequest(payload))?;
    let reply = session.transact(&request)?;
    Ok((request, reply))
}

/// `probe TARGET`.
pub(super) fn probe(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let (_, reply) = echo(&session, Vec::new())?;
    if reply.len() != kind::HEADER_LEN {
        return Err("reply does not match request".into());
    }
    Ok(())
}

/// Octets that nobody can guess.
fn random(n: usize) -> Vec<u8> {
    let mut octets = vec![0; n];
    let mut done = 0;
    while done < n {
        match rustix::rand::getrandom(&mut octets[done..], rustix::rand::GetRandomFlags::empty()) {
            Ok(got) if got > 0 => done += got,
            _ => break,
        }
    }
    octets
}

/// `ping TARGET [N]`: ten echoes of N octets.
pub(super) fn ping(settings: &Settings, args: &[String]) -> Done {
    const LARGEST: usize = 65535 - kind::HEADER_LEN;
    let n = args.get(1).map_or(64, |t| t.parse::<usize>().unwrap_or(0));
    if n > LARGEST {
        return Err(Failure::Text(format!("payload must be between 0 and {LARGEST} bytes")));
    }
    let session = Session::open(&args[0], settings)?;
    for _ in 0..10 {
        let payload = random(n);
        let start = clock::monotonic();
        let (request, reply) = echo(&session, payload.clone())?;
        let took = start.elapsed();
        let same = matches!(&message::decode(&reply), Ok(m) if m.body == Message::EchoReply(payload));
        if !same {
            program::print("Reply does not match request.  Request:\n");
            show(settings, &request, 2);
            program::print("Reply:\n");
            show(settings, &reply, 2);
        }
        let xid = crate::session::xid_of(&reply);
        let octets = reply.len() - kind::HEADER_LEN;
        program::print(&format!(
            "{octets} bytes from {}: xid={xid:08x} time={:.1} ms\n",
            args[0],
            took.as_secs_f64() * 1000.0
        ));
    }
    Ok(())
}

fn number(text: &str) -> usize {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// `benchmark TARGET N COUNT`: COUNT echoes of N octets.
pub(super) fn benchmark(settings: &Settings, args: &[String]) -> Done {
    let (payload, count) = (number(&args[1]), number(&args[2]));
    let size = payload + kind::HEADER_LEN;
    if size > 65535 {
        return Err(Failure::Text(format!("payload must be between 0 and {} bytes", 65535 - kind::HEADER_LEN)));
    }
    program::print(&format!("Sending {count} packets * {size} bytes (with header) = {} bytes total\n", count * size));
    program::flush_stdout();
    let session = Session::open(&args[0], settings)?;
    let start = clock::monotonic();
    for _ in 0..count {
        let request = session.encode(&Message::EchoRequest(vec![0; payload]))?;
        session.transact(&request).map_err(|e| match e {
            Failure::Text(text) => Failure::Text(text),
            Failure::Said => because("transact", &std::io::Error::from_raw_os_error(71)),
        })?;
    }
    let seconds = start.elapsed().as_secs_f64();
    program::print(&format!(
        "Finished in {:.1} ms ({:.0} packets/s) ({:.0} bytes/s)\n",
        seconds * 1000.0,
        count as f64 / seconds,
        (count * size) as f64 / seconds
    ));
    Ok(())
}
