//! Settings and destinations as a whole; one test, for the log is one a process.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

#[test]
fn settings_tables_and_file() {
    for name in ["jsonrpc", "unixctl"] {
        vlog::module(name);
    }
    vlog::set_console(false);
    for (spec, refusal) in [
        ("foo", "no destination, level, or module \"foo\""),
        ("PATTERN:foo:bar", "unknown destination \"foo\""),
        ("PATTERN:", "missing destination"),
        ("FACILITY:foo", "invalid facility"),
        ("FACILITY", "invalid facility"),
        ("file:console:dbg", "cannot specify multiple destinations"),
        ("dbg:info", "cannot specify multiple levels"),
        ("jsonrpc unixctl:", "cannot specify multiple modules"),
    ] {
        assert_eq!(vlog::set_levels(spec), Err(refusal.to_owned()), "{spec}");
    }
    vlog::set_levels("console:off").unwrap();
    vlog::set_levels("syslog,warn").unwrap();
    vlog::set_levels("jsonrpc file dbg").unwrap();
    vlog::set_levels("facility:local3").unwrap();
    let command = |name: &str, args: &[&str]| {
        vlog::command(name, &args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>()).expect("a command of the log")
    };
    assert_eq!(command("vlog/disable-rate-limit", &["unixctl"]), Ok(String::new()));
    assert_eq!(command("vlog/enable-rate-limit", &["nosuch"]), Err("unknown module".to_owned()));
    assert_eq!(command("vlog/reopen", &[]), Err("Logging to file not configured".to_owned()));
    assert_eq!(vlog::command("exit", &[]), None);
    assert_eq!(
        command("vlog/list", &[]).unwrap(),
        "                 console    syslog    file\n                 -------    ------    ------\n\
         jsonrpc            OFF       WARN        DBG\n\
         unixctl            OFF       WARN       INFO    (rate limiting disabled)\n"
    );

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    vlog::set_levels("PATTERN:file:%05N|%c%T|%p|%m").unwrap();
    assert!(
        command("vlog/list-pattern", &[])
            .unwrap()
            .ends_with("FILE     none                              %05N|%c%T|%p|%m\n")
    );
    vlog::open_file(&path).unwrap();
    vlog::dbg!("unixctl", "unwanted");
    vlog::set_subprogram("monitor");
    vlog::dbg!("jsonrpc", "wanted {}", 1);
    for n in 0..3 {
        vlog::warn_rl!("jsonrpc", 1, 1, "limited {n}");
    }
    let rotated = dir.path().join("x.log.1");
    fs::rename(&path, &rotated).unwrap();
    vlog::reopen_file().unwrap();
    assert_eq!(
        fs::read_to_string(&rotated).unwrap(),
        format!(
            "00001|vlog|INFO|opened log file {}\n00002|jsonrpc(monitor)|DBG|wanted 1\n\
             00003|jsonrpc(monitor)|WARN|limited 0\n00004|vlog(monitor)|INFO|closing log file\n",
            path.display()
        )
    );
    vlog::reopen_file().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1, "it is the same file");
    vlog::leave_file();
    vlog::info!("vlog", "to nobody");
    vlog::leave_file();
    let left = fs::read_to_string(&path).unwrap();
    assert!(left.ends_with("00006|vlog(monitor)|INFO|closing log file\n") && left.lines().count() == 2, "{left}");

    let unix = UnixDatagram::bind(dir.path().join("log")).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let heard = |read: &dyn Fn(&mut [u8]) -> std::io::Result<usize>| {
        let mut buffer = [0; 500];
        let count = read(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    vlog::set_levels("syslog:info").unwrap();
    vlog::set_levels("PATTERN:syslog:%c|%m").unwrap();
    vlog::set_syslog_method(vlog::SyslogMethod::Unix(dir.path().join("log")));
    vlog::info!("vlog", "two\nlines");
    // local3 and notice.
    assert_eq!(heard(&|b| unix.recv(b)), "<157>vlog|two");
    assert_eq!(heard(&|b| unix.recv(b)), "<157>lines");
    vlog::set_syslog_target(&udp.local_addr().unwrap().to_string()).unwrap();
    vlog::err!("vlog", "wrong");
    let deprecated = heard(&|b| udp.recv(b));
    assert!(deprecated.ends_with(" vlog - \u{feff}--syslog-target flag is deprecated, use --syslog-method instead"));
    let wrong = heard(&|b| udp.recv(b));
    assert!(wrong.starts_with("<155>1 20") && wrong.ends_with(" vlog - \u{feff}wrong"), "{wrong}");
}
