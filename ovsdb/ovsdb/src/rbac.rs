//! Role-based access control (ovsdb-server(7) section 3.2): the table `RBAC_Role` of a database
//! says what a client with a role may write.

use std::sync::Arc;

use crate::atom::Atom;
use crate::database::{Database, Table};
use crate::mutation::Mutation;
use crate::row::Row;
use crate::schema::TableSchema;
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
}

impl Identity<'_> {
    fn is_restricted(&self) -> bool {
        self.role.is_some_and(|role| !role.is_empty())
    }
}

/// The row that says what a role may do with a table, with the table that it is in.
fn permission<'d>(db: &'d Database, table: &str, identity: &Identity<'_>) -> Option<(&'d Table, &'d Arc<Row>)> {
    let roles = db.table(ROLE_TABLE)?;
    let name = roles.schema.column_index("name")?;
    let permissions = roles.schema.column_index("permissions")?;
    let wanted = identity.role?;
    let role = roles.rows().find(|row| row.get(name).as_str() == Some(wanted))?;
    let uuid: Uuid = role.get(permissions).get(&Atom::string(table))?.as_uuid()?;
    let target = roles.refs.iter().find(|spec| spec.column == permissions)?.target;
    let target = db.table_at(target);
    Some((target, target.row(&uuid)?))
}

/// Whether the client is one that the permission is for, judged by `row`.
fn authorized((table, permission): (&Table, &Row), schema: &TableSchema, row: &Row, id: &str) -> bool {
    let Some(column) = table.schema.column_index("authorization") else { return false };
    permission.get(column).keys().filter_map(Atom::as_str).any(|rule| {
        if rule.is_empty() {
            return true;
        }
        let (name, key) = match rule.split_once(':') {
            Some((name, key)) => (name, Some(key)),
            None => (rule, None),
        };
        let Some(at) = schema.column_index(name) else { return false };
        let value = row.get(at);
        match key {
            Some(key) => value.get_str(key) == Some(id),
            None => value.as_str() == Some(id),
        }
    })
}

fn applies(db: &Database, identity: &Identity<'_>) -> bool {
    identity.is_restricted() && db.table(ROLE_TABLE).is_some()
}

fn allowed(
    db: &Database,
    schema: &TableSchema,
    row: &Row,
    identity: &Identity<'_>,
    judge: impl Fn(&Table, &Row) -> bool,
) -> bool {
    if !applies(db, identity) {
        return true;
    }
    let Some(id) = identity.id else { return false };
    let Some((table, permission)) = permission(db, &schema.name, identity) else { return false };
    judge(table, permission) && authorized((table, permission), schema, row, id)
}

fn may_write(table: &Table, permission: &Row, column: &str, keys: Option<&[&str]>) -> bool {
    let Some(at) = table.schema.column_index("update") else { return false };
    let update = permission.get(at);
    if update.contains_key(&Atom::string(column)) {
        return true;
    }
    keys.is_some_and(|keys| {
        !keys.is_empty() && keys.iter().all(|key| update.contains_key(&Atom::string(&format!("{column}:{key}"))))
    })
}

/// Whether the client may insert or delete this row.
#[must_use]
pub fn may_insert_or_delete(db: &Database, table: &str, row: &Row, identity: &Identity<'_>) -> bool {
    let Some(target) = db.table(table) else { return true };
    allowed(db, &target.schema, row, identity, |table, permission| {
        table.schema.column_index("insert_delete").is_some_and(|at| permission.get(at).as_bool() == Some(true))
    })
}

/// Whether the client may change any row of a table at all. This is asked even where no row is to be changed.
#[must_use]
pub fn may_change_table(db: &Database, schema: &TableSchema, identity: &Identity<'_>) -> bool {
    !applies(db, identity) || identity.id.is_some() && permission(db, &schema.name, identity).is_some()
}

/// Whether the client may set these columns of this row.
#[must_use]
pub fn may_update(db: &Database, schema: &TableSchema, row: &Row, columns: &[usize], identity: &Identity<'_>) -> bool {
    allowed(db, schema, row, identity, |table, permission| {
        columns.iter().all(|&column| may_write(table, permission, &schema.columns[column].name, None))
    })
}

/// Whether the client may mutate this row so.
#[must_use]
pub fn may_mutate(
    db: &Database,
    schema: &TableSchema,
    row: &Row,
    mutations: &[Mutation],
    identity: &Identity<'_>,
) -> bool {
    allowed(db, schema, row, identity, |table, permission| {
        mutations.iter().all(|mutation| {
            let spec = &schema.columns[mutation.column];
            let keys: Vec<&str> = mutation.argument.keys().filter_map(Atom::as_str).collect();
            let keys = spec.is_map().then_some(keys.as_slice());
            may_write(table, permission, &spec.name, keys)
        })
    })
}
