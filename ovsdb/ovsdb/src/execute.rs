//! The operations of `transact` (RFC 7047 section 5.2): run over a [`Txn`], their results written as
//! JSON text. A transaction that has to wait says so and leaves nothing behind.

mod operations;

use serde_json::Value;

use crate::database::{Database, TableId};
use crate::error::{OvsdbError, Result};
use crate::parse::{Kinds, Members};
use crate::rbac::Identity;
use crate::symbols::SymbolTable;
use crate::txn::{Commit, Txn};
use crate::uuid::UuidSource;

/// What a transaction's operations may ask about their surroundings.
pub struct Context<'a> {
    /// No operation may write.
    pub read_only: bool,
    /// The database is one of the server's own, which nobody but the server writes.
    pub reserved: bool,
    /// Who asks, for role-based access control.
    pub identity: Identity<'a>,
    /// Whether the client owns a lock.
    pub owns_lock: &'a dyn Fn(&str) -> bool,
    /// How long the transaction has been waiting, in ms.
    pub elapsed_ms: u64,
    /// Nothing will come to pass that a `wait` could wait for: it is refused.
    pub never_block: bool,
}

impl Default for Context<'_> {
    fn default() -> Self {
        Context {
            read_only: false,
            reserved: false,
            identity: Identity::default(),
            owns_lock: &|_| false,
            elapsed_ms: 0,
            never_block: false,
        }
    }
}

/// How a transaction ended.
#[derive(Debug)]
pub enum Execution {
    /// A `wait` is not satisfied: try again after a commit, or when so many ms have passed since
    /// the first try (`None`: only a commit can help).
    Blocked {
        /// The least timeout of the `wait`s, in ms.
        timeout_ms: Option<u64>,
    },
    /// The end.
    Done {
        /// The array of results as JSON.
        results: String,
        /// What has to be logged and applied; `None` when nothing changed or an operation failed.
        commit: Option<Commit>,
        /// A `commit` operation asked for durability.
        durable: bool,
        /// An operation or the commit failed.
        failed: bool,
    },
}

/// Runs the operations `ops` over `db`, without changing it.
pub fn execute(db: &Database, ops: &[Value], context: &Context<'_>, source: &mut UuidSource) -> Execution {
    let mut versions = UuidSource::new(u128::from(source.next_u64()) << 64 | u128::from(source.next_u64()));
    let mut run =
        Run { txn: Txn::new(db), symbols: SymbolTable::new(source), context, timeout_ms: None, blocked: false };
    let mut results = String::from("[");
    let mut failed = false;
    let mut done = 0;
    for (i, op) in ops.iter().enumerate() {
        if i > 0 {
            results.push(',');
        }
        let start = results.len();
        done = i + 1;
        match run.operation(op, i + 1, ops.len(), &mut results) {
            Ok(()) => {}
            Err(_) if run.blocked => return Execution::Blocked { timeout_ms: run.timeout_ms },
            Err(error) => {
                results.truncate(start);
                error.write_json(&mut results);
                failed = true;
                break;
            }
        }
    }
    for _ in done..ops.len() {
        results.push_str(",null");
    }
    let durable = run.txn.durable;
    let mut commit = None;
    if !failed {
        match run.txn.prepare(&mut versions) {
            Ok(prepared) => commit = prepared,
            Err(error) => {
                if !ops.is_empty() {
                    results.push(',');
                }
                error.write_json(&mut results);
                failed = true;
            }
        }
    }
    results.push(']');
    Execution::Done { results, commit, durable, failed }
}

/// A transaction's operations at work.
struct Run<'a, 'c, 's> {
    txn: Txn<'a>,
    symbols: SymbolTable<'s>,
    context: &'c Context<'c>,
    timeout_ms: Option<u64>,
    blocked: bool,
}

impl Run<'_, '_, '_> {
    fn operation(&mut self, op: &Value, i: usize, n: usize, out: &mut String) -> Result<()> {
        let mut members = Members::of_operation(op, i, n);
        let Some(name) = members.required("op", Kinds::ID).and_then(Value::as_str) else {
            return members.finish();
        };
        let writes = match name {
            "insert" | "update" | "mutate" | "delete" | "commit" => true,
            "select" | "wait" | "abort" | "comment" | "assert" => false,
            _ => {
                members.fault(&format!("No operation \"{name}\""));
                return members.finish();
            }
        };
        let before = out.len();
        let result = match name {
            "insert" => self.insert(&mut members, out),
            "select" => self.select(&mut members, out),
            "update" => self.update(op, &mut members, out),
            "mutate" => self.mutate(&mut members, out),
            "delete" => self.delete(&mut members, out),
            "wait" => self.wait(&mut members, out),
            "commit" => self.commit(&mut members, out),
            "abort" => self.abort(&mut members),
            "comment" => self.comment(&mut members, out),
            _ => self.assert(&mut members, out),
        };
        // What is wrong with the form of the operation outweighs what went wrong in it.
        if let Err(error) = members.finish() {
            self.blocked = false;
            return Err(error);
        }
        // Who gets an operation wrong is told so even where none is allowed; nothing it did will be committed.
        if writes && (self.context.reserved || self.context.read_only) && result.is_ok() {
            out.truncate(before);
            let whereof = if self.context.read_only {
                "when database server is in read only mode".to_owned()
            } else {
                format!("on table in reserved database {}", self.txn.database().schema.name)
            };
            return Err(OvsdbError::new("not allowed", format!("{name} operation not allowed {whereof}")));
        }
        result
    }

    fn table(&self, members: &mut Members<'_>) -> Result<TableId> {
        let Some(name) = members.required("table", Kinds::ID).and_then(Value::as_str) else {
            members.so_far()?;
            return Err(OvsdbError::internal("no table"));
        };
        if let Some(id) = self.txn.database().table_id(name) {
            return Ok(id);
        }
        members.fault(&format!("No table named {name}."));
        members.so_far()?;
        Err(OvsdbError::internal("no table"))
    }
}

/// Commits and answers in one step, for programs that work on a database file of their own.
pub fn transact(db: &mut Database, ops: &[Value], source: &mut UuidSource) -> (String, Option<std::sync::Arc<Commit>>) {
    let context = Context { never_block: true, ..Context::default() };
    match execute(db, ops, &context, source) {
        Execution::Blocked { .. } => (String::from("[]"), None),
        Execution::Done { results, commit, .. } => {
            let commit = commit.map(std::sync::Arc::new);
            if let Some(commit) = &commit {
                db.apply(commit, source.next_uuid());
            }
            (results, commit)
        }
    }
}
