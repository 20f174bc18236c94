//! `transact` and `query`.

use super::{Context, Outcome, connect};
use crate::files::parse_json;
use serde_json::{Value, json};

fn parse(text: &str) -> Outcome<Vec<Value>> {
    let json = parse_json(text)?;
    match json {
        Value::Array(params) if params.first().is_some_and(Value::is_string) => Ok(params),
        _ => Err("not a valid OVSDB query".into()),
    }
}

/// Connects, sends a transaction and gives the results of its operations.
fn send(ctx: &mut Context<'_>, params: Vec<Value>) -> Outcome<Value> {
    ctx.rpc = Some(connect::open(&ctx.server, ctx)?);
    ctx.call("transact", params)
}

pub(super) fn transact(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let params = parse(&args[0])?;
    let reply = send(ctx, params)?;
    ctx.print_json(&reply);
    Ok(())
}

pub(super) fn query(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let mut params = parse(&args[0])?;
    params.push(json!({"op": "abort"}));
    let mut reply = send(ctx, params)?;
    // The result of the operation that was added is nobody's business.
    if let Value::Array(results) = &mut reply
        && results.last().and_then(|last| last.get("error")).is_some_and(|error| error == "aborted")
    {
        results.pop();
    }
    ctx.print_json(&reply);
    Ok(())
}
