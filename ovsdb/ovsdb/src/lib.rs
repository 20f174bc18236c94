//! The OVSDB engine: types, transactions, monitors, log.
