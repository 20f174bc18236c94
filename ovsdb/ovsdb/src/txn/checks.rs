//! `maxRows` and unique indexes at the end of a transaction.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{Txn, TxnRow, TxnTable};
use crate::condition::Condition;
use crate::database::{Table, TableId, index_hash};
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::schema::TableSchema;
use crate::uuid::Uuid;

/// Rows that an index offers for the `==` clauses of a condition; `None` when no index fits.
pub(super) fn index_candidates<'t>(table: &'t Table, condition: &Condition) -> Option<&'t [Uuid]> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    if table.indexes.is_empty() || condition.clauses.is_empty() {
        return None;
    }
    'indexes: for (map, columns) in table.indexes.iter().zip(&table.schema.indexes) {
        let mut hasher = DefaultHasher::new();
        for &column in columns {
            let Some((_, value)) = condition.equalities().find(|(c, _)| *c == column) else {
                continue 'indexes;
            };
            value.hash(&mut hasher);
        }
        return Some(map.get(&hasher.finish()).map_or(&[], |uuids| uuids));
    }
    None
}

impl Txn<'_> {
    pub(super) fn check_max_rows(&self) -> Result<()> {
        for (table, rows) in self.tables_in_turn() {
            let base = &self.db.tables[table];
            let max = base.schema.max_rows;
            if max == u32::MAX {
                continue;
            }
            let entries = rows.rows.values();
            let (mut come, mut gone) = (0, 0);
            for entry in entries {
                match (&entry.old, &entry.new) {
                    (None, Some(_)) => come += 1,
                    (Some(_), None) => gone += 1,
                    _ => {}
                }
            }
            let n = base.len() + come - gone;
            if come > gone && n > max as usize {
                return Err(OvsdbError::constraint(format!(
                    "transaction causes \"{}\" table to contain {n} rows, greater than the \
                     schema-defined limit of {max} row(s)",
                    base.schema.name
                )));
            }
        }
        Ok(())
    }

    pub(super) fn check_indexes(&self) -> Result<()> {
        for (table, rows) in self.tables_in_turn() {
            let has_indexes = !self.db.tables[table].indexes.is_empty();
            if has_indexes && self.check_indexes_of(table, rows, &rows.order).is_err() {
                self.check_indexes_of(table, rows, &rows.turn())?;
            }
        }
        Ok(())
    }

    /// `order`: in which the rows are compared with those before them.
    fn check_indexes_of(&self, table: TableId, rows: &TxnTable, order: &[Uuid]) -> Result<()> {
        let base = &self.db.tables[table];
        let mut seen = vec![HashMap::<u64, SmallVec<[Arc<Row>; 1]>>::new(); base.schema.indexes.len()];
        for uuid in order {
            let Some(new) = rows.rows.get(uuid).and_then(|entry| entry.new.as_ref()) else {
                continue;
            };
            for ((map, columns), seen) in base.indexes.iter().zip(&base.schema.indexes).zip(&mut seen) {
                let hash = index_hash(new, columns);
                let same = |other: &Row| other.uuid != new.uuid && columns.iter().all(|&c| other.get(c) == new.get(c));
                let mine = seen.entry(hash).or_default();
                let mut rival = mine.iter().find(|row| same(row)).cloned();
                let stored = map.get(&hash);
                for uuid in stored.iter().flat_map(|uuids| uuids.iter()) {
                    // A row that the transaction touched is in `seen` with its new values.
                    if rival.is_none() && !rows.rows.contains_key(uuid) {
                        rival = base.row(uuid).filter(|row| same(row)).cloned();
                    }
                }
                if let Some(rival) = rival {
                    let known = |row: &Row| (row.uuid, rows.rows.get(&row.uuid));
                    // The greater is named first.
                    let (first, second) = match compare(&base.schema, &rival, new) {
                        Ordering::Less => (known(new), known(&rival)),
                        _ => (known(&rival), known(new)),
                    };
                    return Err(duplicate(&base.schema, columns, new, first, second));
                }
                mine.push(Arc::clone(new));
            }
        }
        Ok(())
    }
}

/// Compares rows column by column: fewer elements are less, then keys in order, then values.
fn compare(schema: &TableSchema, a: &Row, b: &Row) -> Ordering {
    let columns = schema.columns_in_turn().map(|column| (a.get(column), b.get(column)));
    columns
        .map(|(a, b)| {
            a.len().cmp(&b.len()).then_with(|| a.keys().cmp(b.keys())).then_with(|| a.entries().cmp(b.entries()))
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// An enumeration: commas, and `and` before the last.
fn in_english(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [all @ .., last] => format!("{}, and {last}", all.join(", ")),
    }
}

fn duplicate(
    schema: &TableSchema,
    columns: &[usize],
    row: &Row,
    first: (Uuid, Option<&TxnRow>),
    second: (Uuid, Option<&TxnRow>),
) -> OvsdbError {
    let values = |row: &Row| -> String {
        let texts = columns.iter().map(|&c| row.get(c).to_cli_string(&schema.columns[c].ty));
        in_english(&texts.collect::<Vec<_>>())
    };
    let names: Vec<String> = columns.iter().map(|&c| format!("\"{}\"", schema.columns[c].name)).collect();
    let names = in_english(&names);
    let plural = if columns.len() == 1 { "" } else { "s" };
    let tell = |(uuid, entry): (Uuid, Option<&TxnRow>)| -> String {
        let fate = match entry.map(|entry| (&entry.old, entry.written)) {
            None | Some((_, false)) => "existed in the database before this transaction and was \
                                        not modified by the transaction."
                .to_owned(),
            Some((None, _)) => "was inserted by this transaction.".to_owned(),
            Some((Some(old), _)) => {
                if columns.iter().all(|&c| old.get(c) == row.get(c)) {
                    "existed in the database before this transaction, which modified some of the \
                     row's columns but not any columns in this index."
                        .to_owned()
                } else {
                    format!("had the following index values before the transaction: {}.", values(old))
                }
            }
        };
        format!("row, with UUID {uuid}, {fate}")
    };
    OvsdbError::constraint(format!(
        "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for \
         index on column{plural} {names}.  First {}  Second {}",
        schema.name,
        values(row),
        tell(first),
        tell(second)
    ))
}
