//! A switch that takes whatever it is told, and remembers the octets.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::process::{self, Outcome};

/// OpenFlow's message types that a recorder answers, and the one it leaves out of the record.
const HELLO: u8 = 0;
const ECHO: u8 = 2;
const EXPERIMENTER: u8 = 4;
const BUNDLE_CONTROL: u8 = 33;
/// The Open Networking Foundation as an experimenter, and its number for bundle control.
const ONF: [u8; 8] = [0x4f, 0x4e, 0x46, 0x00, 0, 0, 0x08, 0xfc];

/// Runs `command` with its switch at `socket`, and gives what it said and what the switch was told, message by message,
/// without transaction ids.
pub fn record(socket: &Path, version: u8, command: Command, scratch: &Path) -> (Outcome, Vec<Vec<u8>>) {
    let listener = UnixListener::bind(socket).expect("a socket");
    let outcome = std::thread::scope(|scope| {
        let switch = scope.spawn(|| {
            let (stream, _) = listener.accept().expect("a connection");
            serve(stream, version)
        });
        let outcome = process::run(command, scratch, Duration::from_secs(120)).expect("it runs");
        // A command that never called leaves the listener waiting.
        drop(UnixStream::connect(socket));
        (outcome, switch.join().expect("a switch"))
    });
    std::fs::remove_file(socket).expect("the socket");
    outcome
}

fn serve(mut stream: UnixStream, version: u8) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    let mut unread: Vec<u8> = Vec::new();
    let mut piece = vec![0; 1 << 16];
    let barrier = if version == 1 { 18 } else { 20 };
    // A client that called only to end the wait says nothing, and takes nothing.
    let _gone = stream.write_all(&[version, HELLO, 0, 8, 0, 0, 0, 1]);
    loop {
        while let Some(length) = unread.get(2..4).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]]))) {
            if length < 8 || unread.len() < length {
                break;
            }
            let rest = unread.split_off(length);
            let mut message = std::mem::replace(&mut unread, rest);
            let kind = message[1];
            let mut answer = message.clone();
            if kind == ECHO || kind == barrier {
                answer[1] += 1;
            } else if kind == BUNDLE_CONTROL || (kind == EXPERIMENTER && message.get(8..16) == Some(&ONF)) {
                // Bundle, then what to do with it; the answer is the next number.
                answer[if kind == BUNDLE_CONTROL { 13 } else { 21 }] += 1;
            } else {
                answer.clear();
            }
            let _gone = stream.write_all(&answer);
            if ![HELLO, ECHO, barrier].contains(&kind) {
                message[4..8].fill(0);
                heard.push(message);
            }
        }
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => unread.extend_from_slice(&piece[..n]),
            _ => return heard,
        }
    }
}
