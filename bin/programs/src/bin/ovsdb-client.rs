//! ovsdb-client: talks to a database server.

fn main() {
    std::process::exit(ovsdbtools::client::main())
}
