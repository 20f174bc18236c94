//! A program that waits long for an answer ends in order at a signal; one whose answer is here needs no thread for that.

use cli::stream::Stream;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Whether a thread of this process waits for signals.
fn listens() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("own threads");
    tasks.flatten().any(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "signals\n"))
}

#[test]
fn who_waits_listens_for_signals() {
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let mut stream = Stream::Unix(near);
    let mut octet = [0];
    far.write_all(b"a").expect("room");
    stream.read_exact(&mut octet).expect("an answer that is here");
    assert!(!listens(), "it did not wait");
    let answerer = std::thread::spawn(move || {
        let listened = (0..30_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            listens()
        });
        far.write_all(b"b").expect("room");
        listened
    });
    stream.read_exact(&mut octet).expect("an answer in the end");
    assert!(answerer.join().expect("it ends"), "nobody listened while it waited");
    assert_eq!(octet, *b"b");
}
