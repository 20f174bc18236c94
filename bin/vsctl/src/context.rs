//! What commands work on: one transaction over the replica, the names of rows to be, and what has to
//! be looked at when all is done.

use crate::topology::Topology;
use crate::{Outcome, fail};
use idl::Transaction;
use ovsdb::symbols::SymbolTable;
use ovsdb::types::RefType;
use ovsdb::{Atom, Datum, Type, Uuid};
use std::collections::BTreeMap;

/// The state of one attempt at all commands.
pub(crate) struct Context<'a> {
    pub txn: Transaction<'a>,
    /// The row of the table Open_vSwitch.
    pub ovs: Uuid,
    pub symbols: SymbolTable<'a>,
    /// Names by which commands refer to rows to be, with how they refer to them.
    pub references: BTreeMap<Uuid, (bool, bool)>,
    /// Interfaces that ovs-vswitchd is expected to bring up.
    pub expected: Vec<Uuid>,
    topology: Option<Topology>,
}

impl<'a> Context<'a> {
    /// A context over a transaction that has no edits yet.
    pub fn new(mut txn: Transaction<'a>, symbols: SymbolTable<'a>) -> Outcome<Context<'a>> {
        let ovs = match txn.first("Open_vSwitch").map(idl::Row::uuid) {
            Some(uuid) => Some(uuid),
            // An empty database is initialized by whatever command comes first, unless somebody else was quicker.
            None => {
                txn.verify_empty("Open_vSwitch");
                txn.insert("Open_vSwitch")
            }
        };
        let Some(ovs) = ovs else {
            return fail("database has no Open_vSwitch table");
        };
        Ok(Context { txn, ovs, symbols, references: BTreeMap::new(), expected: Vec::new(), topology: None })
    }

    /// Bridges, ports and interfaces as the commands so far leave them.
    pub fn topology(&mut self) -> &Topology {
        let (txn, ovs) = (&mut self.txn, self.ovs);
        self.topology.get_or_insert_with(|| Topology::read(txn, ovs))
    }

    /// Has the topology read anew, after a change to it.
    pub fn forget_topology(&mut self) {
        self.topology = None;
    }

    /// Changes the topology as the transaction was or will be; what says that it could not has it read anew.
    pub fn amend_topology(&mut self, amend: impl FnOnce(&mut Topology, &Transaction<'_>) -> bool) {
        self.topology = self.topology.take().and_then(|mut known| amend(&mut known, &self.txn).then_some(known));
    }

    /// Reads a value as people type it and notes the rows to be that it refers to.
    pub fn parse(&mut self, text: &str, ty: &Type) -> Outcome<Datum> {
        let datum = Datum::parse_cli(text, ty, Some(&mut self.symbols))?;
        for (key, value) in datum.entries() {
            self.note_reference(key, &ty.key);
            if let (Some(value), Some(base)) = (value, &ty.value) {
                self.note_reference(value, base);
            }
        }
        Ok(datum)
    }

    fn note_reference(&mut self, atom: &Atom, base: &ovsdb::BaseType) {
        let Some(uuid) = atom.as_uuid() else { return };
        let (strong, weak) = self.references.entry(uuid).or_default();
        match base.reference().map(|reference| reference.kind) {
            Some(RefType::Strong) => *strong = true,
            Some(RefType::Weak) => *weak = true,
            None => {}
        }
    }

    /// Checks that every name referred to was created, and warns of rows that will not stay.
    pub fn check_symbols(&self) -> Outcome<()> {
        for (name, symbol) in self.symbols.iter() {
            let (strong, weak) = self.references.get(&symbol.uuid).copied().unwrap_or_default();
            if !symbol.created {
                return fail(format!(
                    "row id \"{name}\" is referenced but never created (e.g. with \"-- --id={name} create ...\")"
                ));
            }
            if strong || symbol.strong_ref {
                continue;
            }
            let what = if weak { "only a weak reference to it" } else { "no reference to it" };
            vlog::warn!(
                "vsctl",
                "row id \"{name}\" was created but {what} was inserted, so it will not actually appear in the database"
            );
        }
        Ok(())
    }
}
