//! Figures of the host for the column `statistics` of Open_vSwitch: processors, load, memory, file systems, and the
//! daemons that have a pidfile beside this one's.
//!
//! What cannot be found out is left out. Reading may wait for a disk: callers do it where waiting is allowed. Source:
//! ovs-vswitchd.conf.db(5), table Open_vSwitch "Statistics"; proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Ticks a second in /proc, as the kernel tells user space.
const TICKS_PER_S: u64 = 100;
/// Kinds of file system that have no disk space worth telling.
const NO_DISK: [&str; 3] = ["rootfs", "iso9660", "autofs"];

/// All figures by their keys; `run_dir` is where the daemons' pidfiles lie.
pub fn read(run_dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        value.into_iter().for_each(|value| drop(found.insert(key.to_owned(), value)));
    };
    put("cpu", std::thread::available_parallelism().ok().map(|n| n.to_string()));
    put("load_average", fs::read_to_string("/proc/loadavg").ok().and_then(|text| load_average(&text)));
    put("memory", fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory(&text)));
    put(
        "file_systems",
        fs::read_to_string("/proc/mounts").ok().map(|text| file_systems(&text)).filter(|t| !t.is_empty()),
    );
    found.extend(processes(run_dir));
    found
}

fn load_average(text: &str) -> Option<String> {
    let loads: Vec<&str> = text.split_whitespace().take(3).collect();
    (loads.len() == 3).then(|| loads.join(","))
}

/// Total, used, discardable, swap, used swap: all in kB.
fn memory(text: &str) -> Option<String> {
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, free) = (field("MemTotal")?, field("MemFree")?);
    let cached = field("Buffers")? + field("Cached")?;
    let (swap, swap_free) = (field("SwapTotal")?, field("SwapFree")?);
    Some(format!("{total},{},{cached},{swap},{}", total.saturating_sub(free), swap.saturating_sub(swap_free)))
}

/// `mount point,total kB,used kB` of each file system on a device that may be written to, wherever it is mounted.
fn file_systems(mounts: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split_whitespace();
        let (Some(device), Some(place), Some(kind)) = (words.next(), words.next(), words.next()) else { continue };
        if words.next().is_some_and(|options| options.split(',').any(|option| option == "ro")) {
            continue;
        }
        if !device.starts_with('/') && !place.starts_with("/ ") && place != "/" || NO_DISK.contains(&kind) {
            continue;
        }
        let Ok(space) = nix::sys::statvfs::statvfs(place) else { continue };
        if space.blocks() == 0 {
            continue;
        }
        let unit = space.fragment_size() / 1024;
        let total = space.blocks() * unit;
        let used = total.saturating_sub(space.blocks_free() * unit);
        out.push(format!("{},{total},{used}", place.replace(',', "_")));
    }
    out.join(" ")
}

/// The files that this process has open: device and inode.
fn open_files() -> BTreeSet<(u64, u64)> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let files = entries.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
    files.map(|file| (file.dev(), file.ino())).collect()
}

/// `process_NAME` of every pidfile whose process lives.
fn processes(run_dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(run_dir) else { return Vec::new() };
    let uptime_ms = fs::read_to_string("/proc/uptime").ok().and_then(|text| {
        let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        Some((seconds * 1000.0) as u64)
    });
    let held = open_files();
    let described = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".pid")?.to_owned();
        // Opening and closing this process's own pidfile would give up the lock on it (fcntl(2)).
        let pid = match fs::metadata(&path).ok()? {
            file if held.contains(&(file.dev(), file.ino())) => std::process::id(),
            _ => fs::read_to_string(&path).ok()?.trim().parse().ok()?,
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((format!("process_{name}"), process(&stat, uptime_ms?)?))
    });
    described.collect()
}

/// Sizes in kB, processor time, restarts, time since the start (twice: the monitor's restarts are not told here), threads.
fn process(stat: &str, uptime_ms: u64) -> Option<String> {
    // The command's name stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(1).map(|word| word.parse().unwrap_or(0)).collect();
    // Numbers of proc(5), from which the pid, the name and the state have been taken.
    let field = |number: usize| fields.get(number - 4).copied();
    let cpu_ms = (field(14)? + field(15)?) * 1000 / TICKS_PER_S;
    let age_ms = uptime_ms.saturating_sub(field(22)? * 1000 / TICKS_PER_S);
    Some(format!("{},{},{cpu_ms},0,{age_ms},{age_ms},{}", field(23)? / 1024, field(24)? * 4, field(20)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_their_places() {
        assert_eq!(load_average("0.10 0.20 0.30 1/2 3\n").as_deref(), Some("0.10,0.20,0.30"));
        assert_eq!(load_average("0.10"), None);
        let text = "MemTotal: 100 kB\nMemFree: 40 kB\nBuffers: 5 kB\nCached: 6 kB\nSwapTotal: 9 kB\nSwapFree: 8 kB\n";
        assert_eq!(memory(text).as_deref(), Some("100,60,11,9,1"));
        let mut fields = vec!["0"; 49];
        (fields[10], fields[11], fields[16], fields[18], fields[19], fields[20]) = ("3", "4", "2", "500", "20480", "7");
        let stat = format!("12 (a) b) S {}", fields.join(" "));
        assert_eq!(process(&stat, 9_000).as_deref(), Some("20,28,70,0,4000,4000,2"));
    }

    #[test]
    fn file_systems_that_may_be_written_to_are_told_of_wherever_they_are() {
        let told = file_systems(
            "/dev/x / ext4 rw,a 0 0\n/dev/x /tmp ext4 a,rw 0 0\n/dev/x /etc ext4 ro 0 0\nproc /proc proc rw\n",
        );
        let places: Vec<&str> = told.split(' ').filter_map(|of| of.split(',').next()).collect();
        assert_eq!(places, ["/", "/tmp"]);
    }

    #[test]
    fn files_that_are_open_are_known() {
        let file = fs::File::open("/proc/self/exe").unwrap();
        let meta = file.metadata().unwrap();
        assert!(open_files().contains(&(meta.dev(), meta.ino())));
    }

    #[test]
    fn this_host_has_figures() {
        let found = read(Path::new("/nonexistent"));
        assert!(found.contains_key("cpu") && found.contains_key("memory"));
    }
}
