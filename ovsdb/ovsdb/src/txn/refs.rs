//! References at the end of a transaction: strong ones counted, rows without any collected, weak
//! ones pruned.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::Txn;
use crate::atom::Atom;
use crate::database::{RefColumn, TableId};
use crate::datum::Datum;
use crate::error::{OvsdbError, Result};
use crate::row::Row;
use crate::types::RefType;
use crate::uuid::Uuid;

impl Txn<'_> {
    /// The touched rows, in the order of the first touch, as they are now.
    fn touched_rows(&self) -> SmallVec<[(TableId, Uuid); 4]> {
        self.tables_in_turn().flat_map(|(table, t)| t.order.iter().map(move |&uuid| (table, uuid))).collect()
    }

    pub(super) fn count_references(&mut self) -> Result<()> {
        for (table, uuid) in self.touched_rows() {
            if let Err(error) = self.count_row(table, uuid, true) {
                // Others may be at fault as well. What was counted is of no account any more.
                let mut rows = self.rows_in_turn().into_iter();
                return Err(rows.find_map(|(table, uuid)| self.count_row(table, uuid, true).err()).unwrap_or(error));
            }
        }
        if self.touched_rows().into_iter().all(|(table, uuid)| self.check_count(table, uuid).is_ok()) {
            return Ok(());
        }
        self.rows_in_turn().into_iter().try_for_each(|(table, uuid)| self.check_count(table, uuid))
    }

    /// A row that goes must not be referred to.
    fn check_count(&self, table: TableId, uuid: Uuid) -> Result<()> {
        let entry = self.tables.get(&table).and_then(|t| t.rows.get(&uuid));
        match entry.filter(|entry| entry.new.is_none() && entry.refs > 0) {
            None => Ok(()),
            Some(entry) => Err(OvsdbError::referential(format!(
                "cannot delete {} row {uuid} because of {} remaining reference(s)",
                self.db.tables[table].schema.name, entry.refs
            ))),
        }
    }

    pub(super) fn count_known_references(&mut self) {
        for (table, uuid) in self.touched_rows() {
            // Only dangling references fail, and they are let be here.
            let _ = self.count_row(table, uuid, false);
        }
    }

    /// Counts what a touched row refers to no more, and what it refers to now. References that it
    /// had and has cost nothing: sets of references are long, and their changes short.
    fn count_row(&mut self, table: TableId, uuid: Uuid, strict: bool) -> Result<()> {
        let Some(entry) = self.tables[&table].rows.get(&uuid) else { return Ok(()) };
        let (old, new) = (entry.old.clone(), entry.new.clone());
        let refs = self.db.tables[table].refs.clone();
        for spec in refs.iter().filter(|spec| spec.kind == RefType::Strong) {
            let before = old.as_ref().map(|row| row.field(spec.column));
            let after = new.as_ref().map(|row| row.field(spec.column));
            if before == after {
                continue;
            }
            if let Some(old) = &old {
                let kept = after.filter(|_| !spec.in_value);
                self.adjust_column(table, old, spec, kept, -1, strict)?;
            }
            if let Some(new) = &new {
                let kept = before.filter(|_| !spec.in_value);
                self.adjust_column(table, new, spec, kept, 1, strict)?;
            }
        }
        Ok(())
    }

    /// Adds `delta` to the count of each row that `row` refers to strongly.
    fn adjust_references(&mut self, table: TableId, row: &Row, delta: i64) -> Result<()> {
        let refs = self.db.tables[table].refs.clone();
        for spec in refs.iter().filter(|spec| spec.kind == RefType::Strong) {
            self.adjust_column(table, row, spec, None, delta, false)?;
        }
        Ok(())
    }

    /// Adds `delta` to the count of each row that a column refers to, those in `except` left out. A row's reference to
    /// itself does not count; nor, as in Open vSwitch, does one to its own UUID in another table.
    fn adjust_column(
        &mut self,
        table: TableId,
        row: &Row,
        spec: &RefColumn,
        except: Option<&Datum>,
        delta: i64,
        strict: bool,
    ) -> Result<()> {
        for target in spec.targets(row) {
            if target == row.uuid || except.is_some_and(|datum| datum.contains_key(&Atom::Uuid(target))) {
                continue;
            }
            match self.touch(spec.target, target) {
                Some(entry) => entry.refs += delta,
                None if strict && delta > 0 => {
                    let schema = &self.db.tables[table].schema;
                    return Err(OvsdbError::referential(format!(
                        "Table {} column {} row {} references nonexistent row {target} in table \
                         {}.",
                        schema.name,
                        schema.columns[spec.column].name,
                        row.uuid,
                        self.db.tables[spec.target].schema.name
                    )));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Deletes rows of tables that are not roots and to which no strong reference leads, and what
    /// only they kept alive.
    pub(super) fn collect_garbage(&mut self) -> Result<()> {
        let mut queue = self.touched_rows();
        while let Some((table, uuid)) = queue.pop() {
            if self.db.tables[table].schema.is_root {
                continue;
            }
            let Some(entry) = self.tables.get_mut(&table).and_then(|t| t.rows.get_mut(&uuid)) else {
                continue;
            };
            if entry.refs > 0 {
                continue;
            }
            let Some(row) = entry.new.take() else { continue };
            entry.written = true;
            self.adjust_references(table, &row, -1)?;
            let refs = self.db.tables[table].refs.clone();
            for spec in refs.iter().filter(|spec| spec.kind == RefType::Strong) {
                queue.extend(spec.targets(&row).map(|target| (spec.target, target)));
            }
        }
        Ok(())
    }

    /// Removes weak references to rows that are not there.
    pub(super) fn prune_weak_references(&mut self) -> Result<()> {
        let touched = self.touched_rows();
        // Rows that nobody touched but that refer weakly to a row that goes.
        let mut affected = Vec::new();
        for &(table, uuid) in &touched {
            let gone = self.tables[&table].rows.get(&uuid).is_some_and(|e| e.new.is_none());
            if gone && let Some(sources) = self.db.tables[table].weak.get(&uuid) {
                affected.extend(sources.iter().copied());
            }
        }
        let affected: BTreeSet<(TableId, Uuid)> = affected.into_iter().collect();
        for &(table, uuid) in &affected {
            self.touch(table, uuid);
        }
        for (table, uuid) in self.touched_rows() {
            if let Err(error) = self.prune_row(table, uuid, affected.contains(&(table, uuid))) {
                // Who passes is pruned, now or before; who comes first of those who do not is told of.
                let mut rows = self.rows_in_turn().into_iter();
                let mut fault = |row: (TableId, Uuid)| self.prune_row(row.0, row.1, affected.contains(&row)).err();
                return Err(rows.find_map(&mut fault).unwrap_or(error));
            }
        }
        Ok(())
    }

    /// `affected`: a row that it refers to goes. Else only new references can dangle.
    fn prune_row(&mut self, table: TableId, uuid: Uuid, affected: bool) -> Result<()> {
        let refs = self.db.tables[table].refs.clone();
        let weak: Vec<_> = refs.iter().filter(|spec| spec.kind == RefType::Weak).collect();
        if weak.is_empty() {
            return Ok(());
        }
        let Some(row) = self.row(table, &uuid).cloned() else { return Ok(()) };
        let old = self.tables[&table].rows.get(&uuid).and_then(|entry| entry.old.clone());
        for spec in weak {
            let unchanged = old.as_ref().is_some_and(|old| old.field(spec.column) == row.field(spec.column));
            if unchanged && !affected {
                continue;
            }
            let dangling: Vec<Uuid> =
                spec.targets(&row).filter(|target| self.row(spec.target, target).is_none()).collect();
            if dangling.is_empty() {
                continue;
            }
            let inserted = self.tables[&table].rows.get(&uuid).is_some_and(|e| e.old.is_none());
            let schema = &self.db.tables[table].schema;
            let column = schema.columns[spec.column].clone();
            let name = schema.name.clone();
            let Some(new) = self.modify(table, uuid) else { continue };
            let pruned = new.field(spec.column).retain(|key, value| {
                let atom = if spec.in_value { value } else { Some(key) };
                atom.and_then(|atom| atom.as_uuid()).is_none_or(|u| !dangling.contains(&u))
            });
            if pruned.len() < column.ty.n_min as usize {
                let within = if inserted { "(inserted within this transaction) " } else { "" };
                let column = &column.name;
                return Err(OvsdbError::constraint(if dangling.contains(&Uuid::ZERO) {
                    format!(
                        "Weak reference column \"{column}\" in \"{name}\" row {uuid} {within}\
                         contained all-zeros UUID (probably as the default value for this \
                         column) but deleting this value caused a constraint volation because \
                         this column is not allowed to be empty."
                    )
                } else {
                    format!(
                        "Deletion of {} weak reference(s) to deleted (or never-existing) rows \
                         from column \"{column}\" in \"{name}\" row {uuid} {within}caused this \
                         column to become empty, but constraints on this column disallow an \
                         empty column.",
                        dangling.len()
                    )
                }));
            }
            new.set(spec.column, pruned);
            if let Some(entry) = self.tables.get_mut(&table).and_then(|t| t.rows.get_mut(&uuid)) {
                entry.pruned.push(u16::try_from(spec.column).unwrap_or(u16::MAX));
            }
        }
        Ok(())
    }
}
