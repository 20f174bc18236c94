//! The typed view of the Open_vSwitch database: one type a table, one getter and one setter a column.
//!
//! A view borrows a row, be it the replica's or a transaction's; the setters are functions of a
//! transaction and a row's identity. Source: the schema as RFC 7047 gives it, ovs-vswitchd.conf.db(5).

pub mod column;
mod tables;

pub use tables::*;

/// The name of the database.
pub const DATABASE: &str = "Open_vSwitch";

macro_rules! table {
    ($view:ident, $table:literal, { $($get:ident, $set:ident: $column:literal => $kind:ident,)* }) => {
        #[doc = concat!("A row of `", $table, "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'a>(pub &'a crate::Row);

        impl<'a> $view<'a> {
            /// The table's name.
            pub const TABLE: &'static str = $table;

            /// The rows of the replica, in order of their UUIDs.
            pub fn all(replica: &'a crate::Replica) -> impl Iterator<Item = $view<'a>> {
                replica.rows($table).map(|row| $view(row))
            }

            /// One row of the replica.
            #[must_use]
            pub fn find(replica: &'a crate::Replica, uuid: ovsdb::Uuid) -> Option<$view<'a>> {
                replica.row($table, uuid).map(|row| $view(row))
            }

            /// The row's identity.
            #[must_use]
            pub fn uuid(&self) -> ovsdb::Uuid {
                self.0.uuid()
            }

            $(
                #[doc = concat!("Column `", $column, "`.")]
                #[must_use]
                pub fn $get(&self) -> <$kind as Kind>::Get<'a> {
                    static SEEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
                    <$kind as Kind>::get(self.0.datum_seen($column, &SEEN))
                }

                #[doc = concat!("Writes column `", $column, "`.")]
                pub fn $set(txn: &mut crate::Transaction<'_>, row: ovsdb::Uuid, value: <$kind as Kind>::Set<'_>) {
                    txn.set($table, row, $column, <$kind as Kind>::set(value));
                }
            )*
        }
    };
}
pub(crate) use table;
