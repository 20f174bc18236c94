//! Role-based access control (ovsdb-server(7) section 3.2): the table `RBAC_Role` of a database
//! says what a client with a role may write.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::atom::Atom;
use crate::database::{Database, Table};
use crate::datum::Datum;
use crate::mutation::Mutation;
use crate::row::Row;
use crate::schema::TableSchema;
use crate::types::{AtomicType, Type, UNLIMITED};
use crate::uuid::Uuid;

/// The name of the table of roles.
pub const ROLE_TABLE: &str = "RBAC_Role";

/// Who asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity<'a> {
    /// The role that the connection's configuration names; none: everything is allowed.
    pub role: Option<&'a str>,
    /// The client's name, from its certificate.
    pub id: Option<&'a str>,
    /// Takes what is wrong with the tables of roles, for the log of module `ovsdb_rbac`.
    pub notes: Option<&'a RefCell<Vec<Note>>>,
}

impl Identity<'_> {
    fn is_restricted(&self) -> bool {
        self.role.is_some_and(|role| !role.is_empty())
    }

    fn note(&self, note: Note) {
        if let Some(notes) = self.notes {
            notes.borrow_mut().push(note);
        }
    }
}

/// What is wrong with the tables of roles, as their rules are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// No role has this name.
    NoRole(String),
    /// Roles have no column of permissions.
    NoPermissions,
    /// Permissions have no column, of any number of strings, of whom they are for.
    NoAuthorization,
    /// Nor one of what may be updated; an update asked for it.
    NoUpdate,
    /// The same, and a mutation asked for it.
    NoMutate,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoRole(name) => write!(f, "rbac: role \"{name}\" not found in rbac roles table"),
            Note::NoPermissions => f.write_str("rbac: \"permissions\" column not present in rbac roles table"),
            Note::NoAuthorization => f.write_str("rbac: error reading authorization column"),
            Note::NoUpdate => f.write_str("ovsdb_rbac_update: could not read \"update\" column"),
            Note::NoMutate => f.write_str("ovsdb_rbac_mutate: could not read \"update\" column"),
        }
    }
}

/// What is to be done with rows.
#[derive(Debug, Clone, Copy)]
pub enum Deed<'a> {
    /// A row comes or goes.
    InsertDelete,
    /// These columns are set.
    Update(&'a [usize]),
    /// The row is mutated so.
    Mutate(&'a [Mutation]),
}

/// Whether the client may do this with every one of the rows of a table. A role that knows nothing of the table
/// may not even where there are no rows.
pub fn may<'r>(
    db: &Database,
    schema: &TableSchema,
    rows: impl IntoIterator<Item = &'r Row>,
    deed: Deed<'_>,
    identity: &Identity<'_>,
) -> bool {
    if !identity.is_restricted() || db.table(ROLE_TABLE).is_none() {
        return true;
    }
    let Some(id) = identity.id else { return false };
    let Some(rights) = rights(db, &schema.name, identity) else { return false };
    let unreadable = match deed {
        Deed::InsertDelete => None,
        Deed::Update(_) => Some(Note::NoUpdate),
        Deed::Mutate(_) => Some(Note::NoMutate),
    };
    if let Some(note) = unreadable
        && rights.strings("update").is_none()
    {
        identity.note(note);
        return false;
    }
    rows.into_iter().all(|row| rights.concern(schema, row, id, identity) && rights.allow(schema, deed))
}

/// What a role may do with a table: a row of the table of permissions.
struct Rights<'d> {
    table: &'d Table,
    row: &'d Arc<Row>,
}

fn rights<'d>(db: &'d Database, table: &str, identity: &Identity<'_>) -> Option<Rights<'d>> {
    let roles = db.table(ROLE_TABLE)?;
    let wanted = identity.role?;
    let name = roles.schema.column_index("name");
    let Some(role) = name.and_then(|name| roles.rows().find(|row| row.get(name).contains_key(&Atom::string(wanted))))
    else {
        identity.note(Note::NoRole(wanted.to_owned()));
        return None;
    };
    let Some(permissions) = roles.schema.column_index("permissions") else {
        identity.note(Note::NoPermissions);
        return None;
    };
    let uuid: Uuid = role.get(permissions).get(&Atom::string(table))?.as_uuid()?;
    let target = roles.refs.iter().find(|spec| spec.column == permissions)?.target;
    let table = db.table_at(target);
    Some(Rights { table, row: table.row(&uuid)? })
}

/// Whether a column holds any number of strings, or of pairs of them.
fn any_number(ty: &Type, map: bool) -> bool {
    let value = ty.value.as_ref().map(|value| value.kind);
    ty.key.kind == AtomicType::String && value == map.then_some(AtomicType::String) && ty.n_max == UNLIMITED
}

impl Rights<'_> {
    /// The strings of a column that holds any number of them.
    fn strings(&self, column: &str) -> Option<Cow<'_, Datum>> {
        let at = self.table.schema.column_index(column)?;
        any_number(&self.table.schema.columns[at].ty, false).then(|| self.row.get(at))
    }

    /// Whether the client is one that the permission is for, judged by `row`.
    fn concern(&self, schema: &TableSchema, row: &Row, id: &str, identity: &Identity<'_>) -> bool {
        let Some(rules) = self.strings("authorization") else {
            identity.note(Note::NoAuthorization);
            return false;
        };
        rules.keys().filter_map(Atom::as_str).any(|rule| {
            if rule.is_empty() {
                return true;
            }
            // Colons beyond those that end a name mean nothing.
            let mut parts = rule.split(':').filter(|part| !part.is_empty());
            let Some(at) = parts.next().and_then(|name| schema.column_index(name)) else { return false };
            let (ty, value) = (&schema.columns[at].ty, row.get(at));
            if rule.contains(':') {
                any_number(ty, true) && parts.next().is_some_and(|key| value.get_str(key) == Some(id))
            } else {
                ty.value.is_none() && value.as_str() == Some(id)
            }
        })
    }

    fn allow(&self, schema: &TableSchema, deed: Deed<'_>) -> bool {
        match deed {
            Deed::InsertDelete => {
                let at = self.table.schema.column_index("insert_delete");
                at.is_some_and(|at| self.row.get(at).as_bool() == Some(true))
            }
            Deed::Update(columns) => columns.iter().all(|&column| self.may_write(&schema.columns[column].name, None)),
            Deed::Mutate(mutations) => mutations.iter().all(|mutation| {
                let spec = &schema.columns[mutation.column];
                let keys: Vec<&str> = mutation.argument.keys().filter_map(Atom::as_str).collect();
                self.may_write(&spec.name, spec.is_map().then_some(keys.as_slice()))
            }),
        }
    }

    fn may_write(&self, column: &str, keys: Option<&[&str]>) -> bool {
        let Some(update) = self.strings("update") else { return false };
        if update.contains_key(&Atom::string(column)) {
            return true;
        }
        keys.is_some_and(|keys| {
            !keys.is_empty() && keys.iter().all(|key| update.contains_key(&Atom::string(&format!("{column}:{key}"))))
        })
    }
}
