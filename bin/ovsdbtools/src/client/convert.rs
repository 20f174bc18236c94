//! `convert` and `needs-conversion`.

use super::{Context, Outcome, connect, schema};
use crate::files::read_schema;
use cli::program::print;
use serde_json::json;

fn read(path: &str) -> Outcome<ovsdb::DatabaseSchema> {
    read_schema(path).map_err(|error| error.to_string())
}

pub(super) fn convert(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let schema = read(&args[0])?;
    ctx.rpc = Some(connect::open(&ctx.server, ctx)?);
    // Who is aware of changes is not disconnected by one before the reply.
    ctx.become_aware()?;
    ctx.call("convert", vec![json!(&*schema.name), schema.to_json()])?;
    Ok(())
}

pub(super) fn needs_conversion(ctx: &mut Context<'_>, args: &[String]) -> Outcome<()> {
    let wanted = read(&args[0])?;
    ctx.rpc = Some(connect::open(&ctx.server, ctx)?);
    let now = schema::fetch(ctx, &wanted.name.clone())?;
    print(if now.needs_conversion(&wanted) { "yes\n" } else { "no\n" });
    Ok(())
}
