//! The two sides of a comparison: where each finds its programs.

use crate::process;
use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// The programs of Open vSwitch that a side may bring.
pub const PROGRAMS: [&str; 11] = [
    "ovs-vswitchd",
    "ovsdb-server",
    "ovs-vsctl",
    "ovs-ofctl",
    "ovs-appctl",
    "ovs-dpctl",
    "ovsdb-client",
    "ovsdb-tool",
    "ovs-pki",
    "vtep-ctl",
    "ovs-testcontroller",
];

/// The longest that packages may take to come.
const PIP_LIMIT: Duration = Duration::from_secs(600);

/// A named set of programs.
#[derive(Clone, Debug)]
pub struct Side {
    /// Six letters for either side, so that paths and the tables they stand in are equally wide.
    pub name: &'static str,
    dirs: Vec<PathBuf>,
}

impl Side {
    /// Debian's Open vSwitch: the ruler.
    pub fn debian() -> Side {
        Side::of("debian", vec!["/usr/bin".into(), "/usr/sbin".into()])
    }

    /// The programs built from this workspace: `TROUPE_BIN`, else `target/release`, else `target/debug`.
    pub fn troupe() -> Side {
        Side::of("troupe", vec![built()])
    }

    /// Programs of `dirs`, under a name.
    pub fn of(name: &'static str, dirs: Vec<PathBuf>) -> Side {
        Side { name, dirs }
    }

    /// The file of `program`, if this side has it.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file())
    }

    /// The file of `program`, or a sentence that says what is missing.
    pub fn need(&self, program: &str) -> Result<PathBuf, String> {
        self.find(program).ok_or_else(|| {
            let dirs: Vec<String> = self.dirs.iter().map(|d| d.display().to_string()).collect();
            format!("{} is missing: there is no such program in {}", program, dirs.join(", "))
        })
    }
}

/// The directory of this workspace's programs.
pub fn built() -> PathBuf {
    if let Some(dir) = env::var_os("TROUPE_BIN") {
        return dir.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let release = target.join("release");
    if release.join("ovs-vswitchd").is_file() { release } else { target.join("debug") }
}

/// The top of the workspace.
pub fn root() -> PathBuf {
    // cargo tells a test where its package is now; a program run by itself knows where it was built.
    let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// A directory with the given Python packages, installed by `pip` once a build directory.
///
/// Debian's own Python runs them, so that its `python3-openvswitch` is there as well.
pub fn python_packages(packages: &[&str]) -> Result<PathBuf, String> {
    use std::sync::Mutex;
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    let target = env::current_exe().ok().and_then(|path| Some(path.ancestors().nth(3)?.to_owned()));
    let dir = target.unwrap_or_else(env::temp_dir).join(format!("python-{}", packages.join("-")));
    if dir.join("complete").exists() {
        return Ok(dir);
    }
    // Another run may be at it as well: each installs into a directory of its own, and the first to be done gives its to all.
    let own = PathBuf::from(format!("{}.{}", dir.display(), std::process::id()));
    let _left_by_a_killed_one = std::fs::remove_dir_all(&own);
    let mut pip = process::tied("/usr/bin/python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(&own).args(packages);
    let outcome =
        process::run(pip, &env::temp_dir(), PIP_LIMIT).map_err(|error| format!("/usr/bin/python3: {error}"))?;
    if !outcome.ok() {
        return Err(format!("pip could not install {packages:?}: {}: {}", outcome.end, outcome.stderr));
    }
    std::fs::write(own.join("complete"), "").map_err(|error| error.to_string())?;
    if !dir.join("complete").exists() {
        let _left_half_done = std::fs::remove_dir_all(&dir);
        if std::fs::rename(&own, &dir).is_ok() {
            return Ok(dir);
        }
    }
    std::fs::remove_dir_all(&own).map_err(|error| error.to_string())?;
    if dir.join("complete").exists() { Ok(dir) } else { Err(format!("{}: not to be made", dir.display())) }
}
