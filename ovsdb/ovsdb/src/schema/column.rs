//! `<column-schema>`.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::datum::Datum;
use crate::error::Result;
use crate::parse::{Kinds, Members};
use crate::types::Type;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnSchema {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Whether an update may change it.
    pub mutable: bool,
    /// Whether the log holds it.
    pub persistent: bool,
    /// The value that it has unless told otherwise.
    pub default: Datum,
}

impl ColumnSchema {
    /// A column. One that holds weak references is mutable whatever `mutable` says, because the
    /// references go away with their rows.
    #[must_use]
    pub fn new(name: &str, ty: Type, mutable: bool, persistent: bool) -> Self {
        let mutable = mutable || ty.has_weak();
        let default = Datum::default_of(&ty);
        ColumnSchema { name: Arc::from(name), ty, mutable, persistent, default }
    }

    /// Reads `<column-schema>`.
    pub fn from_json(json: &Value, name: &str) -> Result<Self> {
        let mut members = Members::new(json, format!("schema for column {name}"));
        let mutable = members.optional("mutable", Kinds::BOOLEAN);
        let ephemeral = members.optional("ephemeral", Kinds::BOOLEAN);
        let ty = members.required("type", Kinds::STRING.or(Kinds::OBJECT));
        members.finish()?;
        let ty = Type::from_json(ty.unwrap_or(&Value::Null))?;
        let mutable = mutable.and_then(Value::as_bool).unwrap_or(true);
        let ephemeral = ephemeral.and_then(Value::as_bool).unwrap_or(false);
        Ok(ColumnSchema::new(name, ty, mutable, !ephemeral))
    }

    /// `<column-schema>` in its shortest form.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if !self.mutable {
            map.insert("mutable".into(), Value::from(false));
        }
        if !self.persistent {
            map.insert("ephemeral".into(), Value::from(true));
        }
        map.insert("type".into(), self.ty.to_json());
        crate::turn::object_in_turn(map)
    }

    /// Whether the column holds pairs.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.ty.is_map()
    }
}
