//! ovsdb-tool and ovsdb-client, one file a command.
