//! ovsdb-tool: works on database files.

fn main() {
    std::process::exit(ovsdbtools::tool::main())
}
