//! How soon the machine's processors are to be awake: the kernel's PM QoS request of this process.
//!
//! A processor with nothing to do sleeps, and takes some to some tens of microseconds to wake; in a guest it is given back to
//! the hypervisor. While a request stands, each of the machine's processors chooses sleeps only that it wakes from in time,
//! or polls where there is none. The least of all processes' requests holds. Source: Documentation/power/pm_qos_interface of
//! the kernel's, "CPU latency QoS"; virt/guest-halt-polling for guests.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Where requests are made: a signed 32-bit number in the machine's byte order, of microseconds.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// Which driver puts processors to sleep.
const DRIVER: &str = "/sys/devices/system/cpu/cpuidle/current_driver";
/// A guest's, which knows polling and leaving for the hypervisor alone.
const GUESTS_DRIVER: &str = "haltpoll";
/// What is asked for in such a guest, and elsewhere, where the lightest sleep may stay; microseconds.
const POLL_US: i32 = 0;
const LIGHT_SLEEP_US: i32 = 2;
/// Takes a request back (`PM_QOS_DEFAULT_VALUE`).
const NONE: i32 = -1;

/// A right to make one request, which is taken back with it, however the process ends. Where it was forked, with the last
/// that has it.
#[derive(Debug)]
pub struct WakeLatency {
    file: File,
    wanted_us: i32,
}

impl WakeLatency {
    /// Nothing is asked for yet.
    ///
    /// # Errors
    /// Those of open(2): the device is root's, and not everywhere.
    pub fn open() -> io::Result<Self> {
        let driver = std::fs::read_to_string(DRIVER).unwrap_or_default();
        Self::open_at(Path::new(DEVICE), &driver)
    }

    /// The same at another device, for a machine whose processors `driver` puts to sleep.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open_at(device: &Path, driver: &str) -> io::Result<Self> {
        // The kernel asks for nothing but writing, and the library closes it where another program is begun.
        let file = File::options().write(true).open(device)?;
        let wanted_us = if driver.trim_end() == GUESTS_DRIVER { POLL_US } else { LIGHT_SLEEP_US };
        Ok(Self { file, wanted_us })
    }

    /// How soon processors are to be awake while it is asked for, microseconds.
    pub fn wanted_us(&self) -> i32 {
        self.wanted_us
    }

    /// Asks for it from now on, or takes it back.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn ask(&self, is_wanted: bool) -> io::Result<()> {
        let us = if is_wanted { self.wanted_us } else { NONE };
        (&self.file).write_all(&us.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_asked_for_depends_on_the_driver() {
        let path = std::env::temp_dir().join(format!("wake_latency.{}", std::process::id()));
        for (driver, wanted_us) in [("haltpoll\n", 0), ("intel_idle\n", 2), ("", 2)] {
            std::fs::write(&path, "").unwrap();
            let latency = WakeLatency::open_at(&path, driver).unwrap();
            assert_eq!((latency.wanted_us(), std::fs::read(&path).unwrap().len()), (wanted_us, 0), "{driver}");
            latency.ask(true).unwrap();
            latency.ask(false).unwrap();
            let expect = [wanted_us.to_ne_bytes(), (-1_i32).to_ne_bytes()].concat();
            assert_eq!(std::fs::read(&path).unwrap(), expect, "{driver}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(WakeLatency::open_at(&path, "").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Others may ask for as much, but nobody for more.
    #[test]
    fn the_kernel_does_as_it_is_asked() {
        let Ok(latency) = WakeLatency::open() else { return };
        let read = || {
            let mut us = [0; 4];
            File::open(DEVICE).unwrap().read_exact(&mut us).unwrap();
            i32::from_ne_bytes(us)
        };
        latency.ask(true).unwrap();
        assert!((0..=latency.wanted_us()).contains(&read()), "{}", read());
        latency.ask(false).unwrap();
    }
}
