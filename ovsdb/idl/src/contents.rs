//! The reply to a monitor's request read from its text, row by row: the first contents of a replica are most of what it
//! is ever told.

use crate::row::Row;
use jsonrpc::Pull;
use ovsdb::{DatabaseSchema, Datum, TableSchema, Uuid};
use std::sync::Arc;

/// The contents of a database.
pub(crate) struct Contents {
    /// The identity of the last transaction in them.
    pub last_id: String,
    /// Each table with its rows.
    pub tables: Vec<(Arc<str>, Vec<Row>)>,
}

/// Reads the reply to request `id`, which was `monitor_cond_since` (ovsdb-server(7) section 4.1.15). `None`: it is not
/// this reply, not all there, does not tell everything anew, or has in it what nobody expects there.
pub(crate) fn read(pull: &mut Pull<'_>, id: u64, schema: &DatabaseSchema) -> Option<Contents> {
    let mut contents = None;
    let mut is_ours = false;
    pull.members(|name, pull| match name {
        "id" => {
            is_ours = pull.number()?.as_u64()? == id;
            Some(())
        }
        "error" => pull.null(),
        "result" if contents.is_none() => {
            contents = Some(result(pull, schema)?);
            Some(())
        }
        _ => None,
    })?;
    contents.filter(|_| is_ours)
}

fn result(pull: &mut Pull<'_>, schema: &DatabaseSchema) -> Option<Contents> {
    let mut contents = Contents { last_id: String::new(), tables: Vec::new() };
    (pull.take(b'[') && !pull.truth()? && pull.take(b',')).then_some(())?;
    contents.last_id = pull.string()?.into_owned();
    pull.take(b',').then_some(())?;
    pull.members(|name, pull| {
        let table = schema.table(name).filter(|table| contents.tables.iter().all(|(told, _)| *told != table.name))?;
        let mut rows = Vec::new();
        let mut seen = Vec::new();
        pull.members(|uuid, pull| {
            rows.push(row(pull, table, Uuid::parse(uuid)?, &mut seen)?);
            Some(())
        })?;
        contents.tables.push((table.name.clone(), rows));
        Some(())
    })?;
    pull.take(b']').then_some(contents)
}

/// `seen`: the columns that the rows before had, in their order, which are likely to be this one's.
fn row(pull: &mut Pull<'_>, table: &Arc<TableSchema>, uuid: Uuid, seen: &mut Vec<usize>) -> Option<Row> {
    let mut row = Row::new(table.clone(), uuid);
    let mut kinds = 0;
    pull.members(|kind, pull| {
        kinds += 1;
        (kind == "initial").then_some(())?;
        let mut at = 0;
        pull.members(|name, pull| {
            let likely = seen.get(at).filter(|column| *table.columns[**column].name == *name);
            let column = match likely {
                Some(column) => *column,
                None => {
                    let column = table.column_index(name)?;
                    seen.truncate(at);
                    seen.push(column);
                    column
                }
            };
            at += 1;
            row.set(column, Datum::pull(pull, &table.columns[column].ty)?);
            Some(())
        })
    })?;
    (kinds == 1).then_some(row)
}
