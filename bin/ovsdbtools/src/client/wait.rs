//! `wait`: until a database is on the server, works, or is gone.

use super::{Context, Outcome};
use cli::rpc::Rpc;
use cli::stream::{OVSDB_PORT, Settings};
use idl::{Client, Interests};
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
    let wanted = match args[1].as_str() {
        "added" => Wanted::Added,
        "connected" => Wanted::Connected,
        "removed" => Wanted::Removed,
        other => return Err(format!("{other}: unknown state")),
    };
    let mut pause = Duration::from_secs(1);
    loop {
        let server = &ctx.server;
        vlog::info!("reconnect", "{server}: connecting...");
        let settings = Settings { tls: ctx.tls.clone(), default_port: OVSDB_PORT };
        match Rpc::open(server, &settings) {
            Ok(rpc) => {
                vlog::info!("reconnect", "{server}: connected");
                pause = Duration::from_secs(1);
                if watch(rpc, &args[0], wanted) {
                    return Ok(());
                }
                vlog::info!("reconnect", "{server}: connection closed by peer");
            }
            Err(error) => {
                let text = cli::program::strerror(&error);
                vlog::info!("reconnect", "{server}: connection attempt failed ({text})");
            }
        }
        vlog::info!("reconnect", "{server}: waiting {} seconds before reconnect", pause.as_secs());
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(8));
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
