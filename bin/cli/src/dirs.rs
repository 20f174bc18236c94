//! The directories of an Open vSwitch installation: Debian's, unless the environment says otherwise.

use std::path::Path;

fn from_env(variable: &str, default: &str) -> String {
    match std::env::var(variable) {
        Ok(dir) if !dir.is_empty() => dir,
        _ => default.to_string(),
    }
}

/// Sockets and pidfiles: `OVS_RUNDIR`.
#[must_use]
pub fn rundir() -> String {
    from_env("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Log files: `OVS_LOGDIR`.
#[must_use]
pub fn logdir() -> String {
    from_env("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Schemas and other files that never change: `OVS_PKGDATADIR`.
#[must_use]
pub fn pkgdatadir() -> String {
    from_env("OVS_PKGDATADIR", "/usr/share/openvswitch")
}

/// Configuration: `OVS_SYSCONFDIR`, to which `/openvswitch` is added for the database.
#[must_use]
pub fn sysconfdir() -> String {
    from_env("OVS_SYSCONFDIR", "/etc")
}

/// Database files: `OVS_DBDIR`, else `openvswitch` under `OVS_SYSCONFDIR`.
#[must_use]
pub fn dbdir() -> String {
    match std::env::var("OVS_DBDIR") {
        Ok(dir) if !dir.is_empty() => dir,
        _ => format!("{}/openvswitch", sysconfdir()),
    }
}

/// The database server that tools contact by default: `unix:RUNDIR/db.sock`.
#[must_use]
pub fn default_db() -> String {
    format!("unix:{}/db.sock", rundir())
}

/// The database file that tools open by default: `DBDIR/conf.db`.
#[must_use]
pub fn default_db_file() -> String {
    format!("{}/conf.db", dbdir())
}

/// The schema that tools take by default: `PKGDATADIR/vswitch.ovsschema`.
#[must_use]
pub fn default_schema_file() -> String {
    format!("{}/vswitch.ovsschema", pkgdatadir())
}

/// `name` as it is if it names a file by an absolute path, else below `dir`.
#[must_use]
pub fn below(dir: &str, name: &str) -> String {
    if Path::new(name).is_absolute() { name.to_string() } else { format!("{dir}/{name}") }
}

/// Fills in `{program}`, `{rundir}`, `{logdir}`, `{sysconfdir}` and `{dbdir}` in a help text.
#[must_use]
pub fn fill(text: &str, program: &str) -> String {
    text.replace("{program}", program)
        .replace("{rundir}", &rundir())
        .replace("{logdir}", &logdir())
        .replace("{sysconfdir}", &sysconfdir())
        .replace("{dbdir}", &dbdir())
}
