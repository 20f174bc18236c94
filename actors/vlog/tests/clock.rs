//! The log's limits run on the program's clock, also where the log was there before the program had one.

use std::sync::atomic::{AtomicI64, Ordering};

static NOW_MS: AtomicI64 = AtomicI64::new(0);

fn now_ms() -> i64 {
    NOW_MS.load(Ordering::Relaxed)
}

#[test]
fn limits_run_on_the_programs_clock() -> std::io::Result<()> {
    let path = std::env::temp_dir().join(format!("vlog-clock-{}", std::process::id()));
    vlog::start();
    vlog::set_console(false);
    vlog::open_file(&path)?;
    vlog::set_clock(vlog::Clock { wall_us: || 0, mono_ms: now_ms });
    for minute in 0..3 {
        NOW_MS.store(minute * 60_000, Ordering::Relaxed);
        for _ in 0..2 {
            vlog::write_limited("clock", vlog::Level::Warn, 1, 1, format_args!("minute {minute}"));
        }
    }
    let written = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    let said: Vec<&str> = written.lines().filter_map(|line| line.split("|clock|WARN|").nth(1)).collect();
    let lost = "Dropped 1 log messages in last 60 seconds (most recently, 60 seconds ago) due to excessive rate";
    assert_eq!(said, ["minute 0", lost, "minute 1", lost, "minute 2"]);
    Ok(())
}
