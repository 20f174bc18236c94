//! ovsdb-tool: works on database files.
