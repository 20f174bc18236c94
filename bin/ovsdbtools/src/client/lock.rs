//! `lock`, `steal` and `unlock`: locks, watched until the program is told to end.

use super::{Context, Outcome};
use cli::control::Control;
use cli::daemon::Reports;
use cli::program::{flush_stdout, print, strerror};
use jsonrpc::Message;
use serde_json::{Value, json};

const CONTROL: &[vlog::Command] =
    &[("exit", "", 0, 0), ("lock", "LOCK", 1, 1), ("steal", "LOCK", 1, 1), ("unlock", "LOCK", 1, 1)];

pub(super) fn lock(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    watch(ctx, "lock", &args[0])
}

pub(super) fn steal(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    watch(ctx, "steal", &args[0])
}

pub(super) fn unlock(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    watch(ctx, "unlock", &args[0])
}

fn line(value: &Value) {
    print(&format!("{}\n", cli::json::text(value, false)));
    flush_stdout();
}

/// Prints what the server has to say about locks; true for the reply to a request.
fn report(message: Message) -> bool {
    match message {
        Message::Response { result, .. } => {
            line(&result);
            true
        }
        Message::Notification { method, params } => {
            print(&format!("{method}\n"));
            line(&Value::Array(params));
            false
        }
        Message::Error { .. } => true,
        Message::Request { .. } => false,
    }
}

fn watch(ctx: &mut Context<'_>, method: &str, name: &str) -> Outcome<()> {
    let mut daemon = ctx.daemon()?;
    cli::signals::end_in_order();
    let version = ctx.program.version_text("");
    let mut control = Control::listen(&ctx.program.name, CONTROL, version)
        .map_err(|_| "failed to create unixctl server".to_string())?;
    let failed = |error: std::io::Error| format!("receive failed ({})", strerror(&error));
    let server = ctx.server.clone();
    let rpc = ctx.rpc()?;
    rpc.request(method, vec![json!(name)]).map_err(failed)?;
    loop {
        while let Some(message) = rpc.take_buffered().map_err(|error| format!("{server}: {}", failed(error)))? {
            if report(message) {
                daemon.ready(Reports::Stdout);
            }
        }
        if rpc.has_buffered_input() || control.wait(std::os::fd::AsFd::as_fd(&*rpc)).map_err(failed)? {
            rpc.fill().map_err(|error| format!("{server}: {}", failed(error)))?;
        }
        for request in control.take_requests() {
            control.reply(&request, Ok(""));
            if request.name == "exit" {
                cli::alarm::remove_files();
                return Ok(());
            }
            rpc.request(&request.name, vec![json!(request.args[0])]).map_err(failed)?;
        }
    }
}
