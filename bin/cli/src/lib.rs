//! What the command-line programs share: options, blocking streams, tables.
