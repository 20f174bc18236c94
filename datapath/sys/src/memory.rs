//! How much memory there is for the process: of the host, by its limits (getrlimit(2)), and by its control groups
//! (cgroup-v2.rst, cgroup-v1/memory.rst of the kernel's documentation). All in bytes, read once.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// What the host has and the process may map: for what the kernel does not count as a control group's, like rings.
pub fn of_host() -> u64 {
    static HOST: OnceLock<u64> = OnceLock::new();
    *HOST.get_or_init(|| {
        let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
        total.unwrap_or(u64::MAX).min(address_space())
    })
}

/// What the process may use before it is ended for it, or refused more.
pub fn of_process() -> u64 {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    *PROCESS.get_or_init(|| {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        of_groups(&groups, Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX).min(of_host())
    })
}

/// Whether the process may map only so much (`ulimit -v`).
pub fn is_address_space_limited() -> bool {
    address_space() != u64::MAX
}

/// The limit of mapped memory, `u64::MAX` if there is none.
fn address_space() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel writes into the live structure, which is of its size.
    match unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } {
        0 if limit.rlim_cur != libc::RLIM_INFINITY => limit.rlim_cur,
        _ => u64::MAX,
    }
}

/// The host's memory, of the text of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least that a group of those in `groups` (the text of `/proc/self/cgroup`), or one around it, is allowed. A path
/// that is not below `root`, as of containers that see their own groups alone, counts by those of its parents that are.
fn of_groups(groups: &str, root: &Path) -> Option<u64> {
    let group = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (place, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let allowed = |at: &Path| fs::read_to_string(place.join(at).join(file)).ok()?.trim().parse::<u64>().ok();
        Path::new(path.trim_start_matches('/')).ancestors().filter_map(allowed).min()
    };
    groups.lines().filter_map(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_memory_is_read() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
        assert_eq!(total("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_narrowest_group_counts() {
        let root = std::env::temp_dir().join(format!("memory-of-groups-{}", std::process::id()));
        let write = |file: &str, text: &str| {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "3000\n");
        write("memory/memory.limit_in_bytes", "5000\n");
        write("memory/c/memory.limit_in_bytes", "4000\n");
        for (groups, allowed) in [
            ("0::/a/b\n", Some(3000)),
            ("0::/\n", None),
            ("0::/elsewhere/a\n", None),
            ("1:cpu:/\n4:memory:/c\n0::/\n", Some(4000)),
            ("4:hugetlb,memory:/of/the/host\n", Some(5000)),
            ("4:memory:/c\n0::/a\n", Some(3000)),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(of_groups(groups, &root), allowed, "{groups}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_process_has_no_more_than_its_host() {
        assert!(of_process() > 0 && of_process() <= of_host());
    }
}
