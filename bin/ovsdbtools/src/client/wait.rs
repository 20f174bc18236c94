//! `wait`: until a database is on the server, works, or is gone.

use super::{Context, Outcome};
use cli::rpc::Rpc;
use cli::stream::{OVSDB_PORT, Settings};
use idl::{Client, Interests};
use jsonrpc::Reconnect;
use jsonrpc::reconnect::{Action, Severity};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Added,
    Connected,
    Removed,
}

/// Whether the server's list of databases is as wanted.
fn satisfied(client: &Client, database: &str, wanted: Wanted) -> bool {
    let row = client.replica().rows("Database").find(|row| row.datum("name").as_str() == Some(database));
    match wanted {
        Wanted::Added => row.is_some(),
        Wanted::Connected => row.is_some_and(|row| row.datum("connected").as_bool() == Some(true)),
        Wanted::Removed => row.is_none(),
    }
}

pub(super) fn wait(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    // It may wait for long without a connection to read from.
    cli::signals::end_in_order();
    let wanted = match args[1].as_str() {
        "added" => Wanted::Added,
        "connected" => Wanted::Connected,
        "removed" => Wanted::Removed,
        other => return Err(format!("{other}: unknown state")),
    };
    let begun = cli::clock::monotonic();
    let now_ms = || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let settings = Settings { tls: ctx.tls.clone(), default_port: OVSDB_PORT };
    let mut machine = Reconnect::new(&ctx.server, now_ms());
    machine.enable(now_ms());
    loop {
        let action = machine.run(now_ms());
        tell(&mut machine);
        if action != Some(Action::Connect) {
            let until_ms = machine.poll_timeout(now_ms()).map_or(0, |(until_ms, _)| until_ms);
            std::thread::sleep(Duration::from_millis(until_ms.saturating_sub(now_ms()).max(1)));
            continue;
        }
        machine.connecting(now_ms());
        tell(&mut machine);
        match Rpc::open(&ctx.server, &settings) {
            Ok(mut rpc) => {
                machine.connected(now_ms());
                tell(&mut machine);
                // Who is not told of databases that come and go would wait in vain.
                if let Ok(Err(error)) = rpc.transact("set_db_change_aware", vec![true.into()]) {
                    let text = cli::json::text(&error, false);
                    return Err(format!("{}: set_db_change_aware failed ({text})", ctx.server));
                }
                if watch(rpc, &args[0], wanted) {
                    return Ok(());
                }
                machine.disconnected(now_ms(), None);
            }
            Err(error) => machine.connect_failed(now_ms(), Some(&cli::program::strerror(&error))),
        }
        tell(&mut machine);
    }
}

/// Logs what became of the connection.
fn tell(machine: &mut Reconnect) {
    for line in machine.take_log() {
        match line.severity {
            Severity::Err => vlog::err!("reconnect", "{}", line.text),
            Severity::Warn => vlog::warn!("reconnect", "{}", line.text),
            Severity::Info => vlog::info!("reconnect", "{}", line.text),
            Severity::Debug => vlog::dbg!("reconnect", "{}", line.text),
        }
    }
}

/// Watches one connection; false when it is lost first.
fn watch(mut rpc: Rpc, database: &str, wanted: Wanted) -> bool {
    let mut interests = Interests::new();
    interests.add_column("Database", "name");
    interests.add_column("Database", "connected");
    let mut client = Client::new("_Server", interests);
    let mut out = client.connected();
    loop {
        for message in out {
            if rpc.send(&message).is_err() {
                return false;
            }
        }
        if client.is_watching() && satisfied(&client, database, wanted) {
            return true;
        }
        let Ok(message) = rpc.receive() else { return false };
        match client.receive(message) {
            Ok(answers) => out = answers,
            Err(_) => return false,
        }
    }
}
