//! Every actor, and the only crate that names actix, tokio and sockets.
