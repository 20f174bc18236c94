//! Rows as `select` returns them, for `dump` and `backup`.

use super::{Context, Outcome};
use ovsdb::{ColumnSchema, Datum, TableSchema};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::sync::Arc;

/// Some columns of a table, all rows of which are wanted.
pub(super) struct Selection {
    pub table: Arc<TableSchema>,
    pub columns: Vec<Arc<ColumnSchema>>,
    /// Filled in by [`fetch`].
    pub rows: Vec<Vec<Datum>>,
}

impl Selection {
    pub fn new(table: &Arc<TableSchema>, columns: Vec<Arc<ColumnSchema>>) -> Selection {
        Selection { table: table.clone(), columns, rows: Vec::new() }
    }

    fn operation(&self) -> Value {
        let columns: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        json!({"op": "select", "table": &*self.table.name, "where": [], "columns": columns})
    }

    fn take(&mut self, result: &Value) -> Outcome<()> {
        let name = &self.table.name;
        let bad = || {
            format!(
                "{name} table reply is not an object with a \"rows\" member array: {}",
                cli::json::text(result, false)
            )
        };
        for (y, row) in result.get("rows").and_then(Value::as_array).ok_or_else(bad)?.iter().enumerate() {
            let row = row.as_object().ok_or_else(|| {
                format!("row {y} in table {name} response is not a JSON object: {}", cli::json::text(row, false))
            })?;
            let mut cells = Vec::with_capacity(self.columns.len());
            for column in &self.columns {
                let value = row
                    .get(&*column.name)
                    .ok_or_else(|| format!("row {y} in table {name} response lacks {} column", column.name))?;
                cells.push(Datum::from_trusted_json(value, &column.ty).map_err(|error| error.to_string())?);
            }
            self.rows.push(cells);
        }
        Ok(())
    }

    /// Sorts the rows by what they say. References count for nothing, since they are random.
    pub fn sort(&mut self) {
        let telling: Vec<usize> =
            (0..self.columns.len()).filter(|i| self.columns[*i].ty.key.kind != ovsdb::AtomicType::Uuid).collect();
        self.rows.sort_by(|a, b| {
            telling.iter().map(|i| compare(&a[*i], &b[*i])).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
}

/// Fewer elements come first, then smaller keys, then smaller values.
fn compare(a: &Datum, b: &Datum) -> Ordering {
    a.len()
        .cmp(&b.len())
        .then_with(|| a.keys().cmp(b.keys()))
        .then_with(|| a.entries().map(|(_, v)| v).cmp(b.entries().map(|(_, v)| v)))
}

/// Fetches all selections in one transaction.
pub(super) fn fetch(ctx: &mut Context<'_>, selections: &mut [Selection]) -> Outcome<()> {
    let mut params = vec![json!(ctx.database)];
    params.extend(selections.iter().map(Selection::operation));
    let reply = ctx.call("transact", params)?;
    let results = reply.as_array().filter(|results| results.len() >= selections.len()).ok_or_else(|| {
        format!("reply is not array of {} elements: {}", selections.len(), cli::json::text(&reply, false))
    })?;
    for (selection, result) in selections.iter_mut().zip(results) {
        selection.take(result)?;
    }
    Ok(())
}
