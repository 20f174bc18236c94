//! A replica of an OVSDB database, its changes and transactions, and the typed Open_vSwitch view.
