//! The commands every daemon has: logging, coverage, the clock of tests, the actors themselves.

use super::Commands;
use super::coverage;
use crate::{clock, supervise};

/// `vlog/…`, `coverage/…`.
pub fn add_log_commands(commands: &mut Commands) {
    for (name, usage, min, max) in vlog::COMMANDS {
        commands.add(name, usage, min, max, move |args| vlog::command(name, args).unwrap_or(Ok(String::new())));
    }
    coverage::expect(&coverage::names::DAEMON);
    commands.add("coverage/show", "", 0, 0, |_| Ok(coverage::show(clock::now_ms())));
    commands.add("coverage/read-counter", "COUNTER", 1, 1, |args| {
        coverage::read(&args[0]).map(|total| format!("{total}\n")).ok_or_else(|| "No such counter".to_owned())
    });
}

/// `time/stop` and `time/warp`: only where tests asked for dummies.
pub fn add_clock_commands(commands: &mut Commands) {
    commands.add("time/stop", "", 0, 0, |_| {
        clock::stop();
        Ok(String::new())
    });
    commands.add_later("time/warp", "[large_msecs] msecs", 1, 2, |args| async move {
        let number = |text: &String| super::leading_number(text);
        let total = number(&args[0]);
        let step = args.get(1).map_or(total, number);
        clock::warp(total, step).await?;
        Ok("warped".to_owned())
    });
}

/// `actor/show`, and `actor/panic` where tests asked for it.
pub fn add_actor_commands(commands: &mut Commands, may_panic: bool) {
    commands.add("actor/show", "", 0, 0, |_| Ok(supervise::show(clock::now_ms())));
    if may_panic {
        commands.add("actor/panic", "NAME", 1, 1, |args| {
            supervise::panic_actor(&args[0])?;
            Ok(String::new())
        });
    }
}
