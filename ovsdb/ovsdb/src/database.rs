//! One database in memory: tables of rows, reference counts, unique indexes, and the latest
//! transactions. It changes in one way only: by applying a [`Commit`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::datum::Datum;
use crate::row::Row;
use crate::schema::{DatabaseSchema, TableSchema};
use crate::txn::Commit;
use crate::types::RefType;
use crate::uuid::Uuid;

/// Index of a table in its database: tables are sorted by name.
pub type TableId = usize;

/// Most transactions that are kept for clients that come back.
pub const HISTORY_MAX: usize = 100;

/// A column that holds references.
#[derive(Debug, Clone, Copy)]
pub struct RefColumn {
    /// Index of the column.
    pub column: usize,
    /// The references are the values of its pairs, not the keys.
    pub in_value: bool,
    /// The table referred to.
    pub target: TableId,
    /// Strong or weak.
    pub kind: RefType,
}

impl RefColumn {
    /// The references of this column in `row`.
    pub fn targets<'a>(&self, row: &'a Row) -> impl Iterator<Item = Uuid> + use<'a> {
        let in_value = self.in_value;
        row.field(self.column).entries().filter_map(move |(key, value)| {
            let atom = if in_value { value? } else { key };
            atom.as_uuid()
        })
    }
}

/// A row in its table.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub row: Arc<Row>,
    /// Strong references from other rows.
    pub refs: u32,
}

/// Rows by a hash of their values in the columns of one index.
pub(crate) type IndexMap = HashMap<u64, SmallVec<[Uuid; 1]>>;

/// A table with its rows.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its schema.
    pub schema: Arc<TableSchema>,
    /// Its columns that hold references.
    pub refs: Arc<[RefColumn]>,
    pub(crate) rows: BTreeMap<Uuid, Slot>,
    pub(crate) indexes: Vec<IndexMap>,
    /// Rows with weak references to a row of this table, by the latter.
    pub(crate) weak: HashMap<Uuid, BTreeSet<(TableId, Uuid)>>,
    pub(crate) revision: u64,
}

pub(crate) fn index_hash(row: &Row, columns: &[usize]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for &column in columns {
        row.get(column).hash(&mut hasher);
    }
    hasher.finish()
}

impl Table {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A number that grows with each change of a row.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The row with this UUID.
    #[must_use]
    pub fn row(&self, uuid: &Uuid) -> Option<&Arc<Row>> {
        self.rows.get(uuid).map(|slot| &slot.row)
    }

    /// All rows, by UUID.
    pub fn rows(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.rows.values().map(|slot| &slot.row)
    }

    fn index_remove(&mut self, row: &Row) {
        for (map, columns) in self.indexes.iter_mut().zip(&self.schema.indexes) {
            let hash = index_hash(row, columns);
            if let Some(uuids) = map.get_mut(&hash) {
                uuids.retain(|uuid| *uuid != row.uuid);
                if uuids.is_empty() {
                    map.remove(&hash);
                }
            }
        }
    }

    fn index_insert(&mut self, row: &Row) {
        for (map, columns) in self.indexes.iter_mut().zip(&self.schema.indexes) {
            map.entry(index_hash(row, columns)).or_default().push(row.uuid);
        }
    }
}

/// One transaction that is kept for clients that come back.
#[derive(Debug, Clone)]
pub(crate) struct HistoryEntry {
    pub id: Uuid,
    pub commit: Arc<Commit>,
}

/// A database in memory.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its schema.
    pub schema: Arc<DatabaseSchema>,
    /// Its schema as a text, once somebody asked for it.
    schema_text: OnceLock<Arc<String>>,
    pub(crate) tables: Vec<Table>,
    pub(crate) history: VecDeque<HistoryEntry>,
    history_rows: usize,
    keep_history: bool,
    /// The latest transaction; zero when none is known.
    pub(crate) last_txn: Uuid,
}

impl Database {
    /// An empty database.
    #[must_use]
    pub fn new(schema: Arc<DatabaseSchema>) -> Self {
        let ids: BTreeMap<&str, TableId> = schema.tables.keys().enumerate().map(|(id, name)| (&**name, id)).collect();
        let tables = schema
            .tables
            .values()
            .map(|table| {
                let mut refs = Vec::new();
                for column in table.columns_in_turn() {
                    let spec = &table.columns[column];
                    let bases = [(false, Some(&spec.ty.key)), (true, spec.ty.value.as_ref())];
                    for (in_value, base) in bases {
                        let reference = base.and_then(|base| base.reference());
                        let Some(reference) = reference else { continue };
                        let Some(&target) = ids.get(&*reference.table) else { continue };
                        refs.push(RefColumn { column, in_value, target, kind: reference.kind });
                    }
                }
                Table {
                    schema: Arc::clone(table),
                    refs: refs.into(),
                    rows: BTreeMap::new(),
                    indexes: vec![IndexMap::new(); table.indexes.len()],
                    weak: HashMap::new(),
                    revision: 0,
                }
            })
            .collect();
        Database {
            schema,
            schema_text: OnceLock::new(),
            tables,
            history: VecDeque::new(),
            history_rows: 0,
            keep_history: false,
            last_txn: Uuid::ZERO,
        }
    }

    /// Its schema as JSON text, which all share who ask for it.
    pub(crate) fn schema_text(&self) -> Arc<String> {
        Arc::clone(self.schema_text.get_or_init(|| Arc::new(self.schema.to_text())))
    }

    /// Whether the latest transactions are kept, so that `monitor_cond_since` can go on where a
    /// client stood. Open vSwitch keeps none for a standalone database.
    pub fn set_keep_history(&mut self, keep: bool) {
        self.keep_history = keep;
        if !keep {
            self.history.clear();
            self.history_rows = 0;
            self.last_txn = Uuid::ZERO;
        }
    }

    /// Forgets the latest transactions: what came before is no longer a base for differences.
    pub fn clear_history(&mut self) {
        self.history.clear();
        self.history_rows = 0;
    }

    /// The id of the latest transaction, zero when none is known.
    #[must_use]
    pub fn last_txn(&self) -> Uuid {
        self.last_txn
    }

    /// Number of transactions kept.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.history.len()
    }

    /// Index of the table with this name.
    #[must_use]
    pub fn table_id(&self, name: &str) -> Option<TableId> {
        self.tables.binary_search_by(|table| (*table.schema.name).cmp(name)).ok()
    }

    /// The table with this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.table_id(name).map(|id| &self.tables[id])
    }

    /// The table with this index.
    #[must_use]
    pub fn table_at(&self, id: TableId) -> &Table {
        &self.tables[id]
    }

    /// All tables, by name.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Rows in all tables.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Number of weak references, for `memory/show`.
    #[must_use]
    pub fn weak_count(&self) -> usize {
        self.tables.iter().flat_map(|table| table.weak.values()).map(std::collections::BTreeSet::len).sum()
    }

    /// Atoms in all rows, for `memory/show`.
    #[must_use]
    pub fn atom_count(&self) -> usize {
        let of_datum = |datum: &Datum| datum.len() * if datum.pairs().is_empty() { 1 } else { 2 };
        // Beside its fields a row has its identity and its version.
        let of_row = |row: &Arc<Row>| 2 + row.fields.iter().map(of_datum).sum::<usize>();
        self.tables.iter().flat_map(Table::rows).map(of_row).sum()
    }

    /// Makes a prepared transaction part of the database. `id` names it for clients that come
    /// back.
    pub fn apply(&mut self, commit: &Arc<Commit>, id: Uuid) {
        self.apply_changes(commit);
        if !self.keep_history {
            return;
        }
        self.last_txn = id;
        self.history_rows += commit.changes.len();
        self.history.push_back(HistoryEntry { id, commit: Arc::clone(commit) });
        let bound = self.row_count().max(1000);
        while self.history.len() > HISTORY_MAX || (self.history_rows > bound && self.history.len() > 1) {
            let Some(gone) = self.history.pop_front() else { break };
            self.history_rows -= gone.commit.changes.len();
        }
    }

    /// Makes a prepared transaction part of the database without a place in its history.
    pub fn apply_changes(&mut self, commit: &Commit) {
        for change in &commit.changes {
            let table = &mut self.tables[change.table];
            table.revision += 1;
            if let Some(old) = &change.old {
                table.index_remove(old);
            }
            match &change.new {
                Some(new) => {
                    table.index_insert(new);
                    let refs = table.rows.get(&change.uuid).map_or(0, |slot| slot.refs);
                    table.rows.insert(change.uuid, Slot { row: Arc::clone(new), refs });
                }
                None => {
                    table.rows.remove(&change.uuid);
                    table.weak.remove(&change.uuid);
                }
            }
            self.note_weak(change.table, change.old.as_deref(), change.new.as_deref());
        }
        for &(table, uuid, refs) in &commit.refs {
            if let Some(slot) = self.tables[table].rows.get_mut(&uuid) {
                slot.refs = refs;
            }
        }
    }

    fn note_weak(&mut self, id: TableId, old: Option<&Row>, new: Option<&Row>) {
        let refs = Arc::clone(&self.tables[id].refs);
        for (row, add) in [(old, false), (new, true)] {
            let Some(row) = row else { continue };
            for spec in refs.iter().filter(|spec| spec.kind == RefType::Weak) {
                for target in spec.targets(row) {
                    let weak = &mut self.tables[spec.target].weak;
                    if add {
                        weak.entry(target).or_default().insert((id, row.uuid));
                    } else if let Some(sources) = weak.get_mut(&target) {
                        sources.remove(&(id, row.uuid));
                        if sources.is_empty() {
                            weak.remove(&target);
                        }
                    }
                }
            }
        }
    }
}
