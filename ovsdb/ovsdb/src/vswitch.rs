//! The Open_vSwitch schema, built in: the tables, columns and constraints of Open vSwitch 3.1
//! (ovs-vswitchd.conf.db(5)).

use crate::schema::DatabaseSchema;

/// The schema's text: what is installed as `vswitch.ovsschema`.
pub const VSWITCH_SCHEMA: &str = include_str!("../schema/vswitch.ovsschema");

/// The schema, parsed.
///
/// # Errors
/// None as the text stands; a test keeps it so.
pub fn vswitch_schema() -> crate::Result<DatabaseSchema> {
    DatabaseSchema::from_text(VSWITCH_SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_schema() {
        let schema = vswitch_schema().unwrap();
        assert_eq!(&*schema.name, "Open_vSwitch");
        assert_eq!(schema.version, "8.3.1");
        assert!(schema.table("Bridge").is_some_and(|table| table.indexes.len() == 1));
        assert!(!schema.table("Interface").unwrap().is_root);
    }
}
