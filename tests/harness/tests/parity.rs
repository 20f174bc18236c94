//! Every scenario of `tests/parity/scenarios` as one test, against Debian's Open vSwitch and the programs
//! built here; and the proof that the runner sees what it should: nothing between Debian and itself, and
//! every kind of difference in a side that was broken on purpose.

use harness::parity;
use harness::scenario::Scenario;
use harness::side::Side;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let files = match parity::files() {
        Ok(files) => files,
        Err(why) => {
            eprintln!("{why}");
            std::process::exit(101);
        }
    };
    let mut trials: Vec<Trial> = files.into_iter().map(trial).collect();
    trials.push(Trial::test("runner::debian_equals_itself", debian_equals_itself));
    trials.push(Trial::test("runner::a_broken_side_is_seen", a_broken_side_is_seen));
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(file: PathBuf) -> Trial {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Trial::test(name, move || {
        let report = parity::run(&file, &[Side::debian(), Side::troupe()]);
        if report.good() { Ok(()) } else { Err(Failed::from(report.text(false))) }
    })
}

const SAMPLE: &str = "\
ovs-vsctl add-br br0 -- set bridge br0 datapath_type=dummy -- add-port br0 p1 -- set interface p1 type=dummy
ovs-vsctl list bridge br0 | wc -l
ovs-vsctl get bridge br0 _uuid
ovs-appctl dpif/show
ovs-ofctl dump-flows br0
ovs-vsctl nosuch
";

fn debian_equals_itself() -> Result<(), Failed> {
    let scenario = Scenario::parse("sample", SAMPLE)?;
    let again = Side::of("troupe", vec!["/usr/bin".into(), "/usr/sbin".into()]);
    let pairs = parity::run_parsed(&scenario, &[Side::debian(), again])?;
    match pairs.iter().find_map(|pair| pair.difference.clone()) {
        Some(difference) => Err(difference.into()),
        None => Ok(()),
    }
}

/// Debian's programs, but for an `ovs-vsctl` that says more, forgets its errors and its exit code.
fn a_broken_side_is_seen() -> Result<(), Failed> {
    let scenario = Scenario::parse("sample", SAMPLE)?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("ovs-vsctl");
    fs::write(&path, "#!/bin/sh\n/usr/bin/ovs-vsctl \"$@\" 2>/dev/null\necho more\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    let dirs = [dir.path(), Path::new("/usr/bin"), Path::new("/usr/sbin")].map(Path::to_owned);
    let pairs = parity::run_parsed(&scenario, &[Side::debian(), Side::of("troupe", dirs.to_vec())])?;
    let differs: Vec<bool> = pairs.iter().map(|pair| pair.difference.is_some()).collect();
    if differs != [true, true, true, false, false, true] {
        return Err(format!("seen: {differs:?}").into());
    }
    let last = pairs.last().and_then(|pair| pair.difference.clone()).unwrap_or_default();
    for part in ["+ more", "- ovs-vsctl: unknown command 'nosuch'", "- exit 1", "+ exit 0"] {
        if !last.contains(part) {
            return Err(format!("{part:?} is not in {last}").into());
        }
    }
    Ok(())
}
