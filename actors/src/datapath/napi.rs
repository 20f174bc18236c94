//! Threads of the kernel's that receive what floods bring by a port ([`sys::napi`]). Who decides that is a datapath's thread,
//! and must not wait: it says what it wants, and a thread of ours, which begins with the first flood, sees to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use sys::napi::Threaded;

#[derive(Debug, Default)]
struct Wishes {
    /// How many want a device's threads; nobody, if it is not here.
    wanted: BTreeMap<u32, usize>,
    /// Devices that refused.
    refused: BTreeSet<u32>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Board {
    wishes: Mutex<Wishes>,
    changed: Condvar,
}

impl Board {
    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which devices are received from by threads of the kernel's. What was changed at them is put back at its end.
#[derive(Debug, Default)]
pub(super) struct NapiThreads {
    board: Arc<Board>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl NapiThreads {
    /// None so far; what one that was killed has left behind is put back.
    pub(super) fn new() -> Self {
        match sys::napi::recover() {
            Ok(0) => (),
            Ok(n) => vlog::info!("dpif_netdev", "{n} devices were left with receiving by threads of the kernel's"),
            Err(error) => vlog::dbg!("dpif_netdev", "devices left with receiving by threads of the kernel's: {error}"),
        }
        Self::default()
    }

    /// Whether a device may have some.
    pub(super) fn are_for(&self, device: u32) -> bool {
        !self.board.wishes().refused.contains(&device) && Threaded::is_for(device)
    }

    /// One more wants them for a device, or one less.
    pub(super) fn want(&self, device: u32, is_wanted: bool) {
        let mut wishes = self.board.wishes();
        let count = wishes.wanted.entry(device).or_default();
        *count = if is_wanted { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            wishes.wanted.remove(&device);
        }
        drop(wishes);
        self.board.changed.notify_one();
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            let board = Arc::clone(&self.board);
            // Without one all stays as it is, and the flood is found to be no faster.
            *worker = std::thread::Builder::new().name("napi".into()).spawn(move || work(&board)).ok();
        }
    }
}

impl Drop for NapiThreads {
    fn drop(&mut self) {
        self.board.wishes().is_over = true;
        self.board.changed.notify_one();
        if let Some(worker) = self.worker.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = worker.join();
        }
    }
}

/// What is to be done next.
fn next(wishes: &Wishes, have: &BTreeMap<u32, Option<Threaded>>) -> Option<(u32, bool)> {
    let is_wanted = |device: &u32| !wishes.is_over && wishes.wanted.contains_key(device);
    let stop = have.keys().find(|device| !is_wanted(device)).map(|device| (*device, false));
    stop.or_else(|| Some((*wishes.wanted.keys().find(|device| is_wanted(device) && !have.contains_key(device))?, true)))
}

fn work(board: &Board) {
    let mut have = BTreeMap::new();
    let mut wishes = board.wishes();
    loop {
        let Some((device, starts)) = next(&wishes, &have) else {
            if wishes.is_over {
                return;
            }
            wishes = board.changed.wait(wishes).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(wishes);
        let name = || sys::device::name(device).unwrap_or_else(|_| format!("device {device}"));
        let mut is_refused = false;
        if starts {
            let threaded = Threaded::start(device);
            match &threaded {
                Ok(_) => vlog::dbg!("dpif_netdev", "{}: receiving by threads of the kernel's", name()),
                Err(error) => {
                    vlog::info!("dpif_netdev", "{}: the kernel has no threads to receive by: {error}", name())
                }
            }
            is_refused = threaded.is_err();
            have.insert(device, threaded.ok());
        } else if let Some(Some(threaded)) = have.remove(&device) {
            match threaded.stop() {
                Ok(()) => vlog::dbg!("dpif_netdev", "{}: receiving as before", name()),
                Err(error) => vlog::dbg!("dpif_netdev", "{}: receiving as before: {error}", name()),
            }
        }
        wishes = board.wishes();
        if is_refused {
            wishes.refused.insert(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_had_and_no_more() {
        let wishes = |wanted: &[u32], is_over| {
            let wanted = wanted.iter().map(|device| (*device, 1)).collect();
            Wishes { wanted, is_over, ..Wishes::default() }
        };
        for (wanted, have, is_over, expect) in [
            (&[][..], &[][..], false, None),
            (&[3, 4], &[], false, Some((3, true))),
            (&[3, 4], &[3], false, Some((4, true))),
            (&[3, 4], &[3, 4], false, None),
            (&[4], &[3, 4], false, Some((3, false))),
            (&[4], &[3], false, Some((3, false))),
            (&[3, 4], &[3], true, Some((3, false))),
            (&[3, 4], &[], true, None),
        ] {
            let have = have.iter().map(|device| (*device, None)).collect();
            assert_eq!(next(&wishes(wanted, is_over), &have), expect, "{wanted:?} {have:?}");
        }
    }

    /// Two that want one have it until neither does, and at the end all is as it was.
    #[test]
    fn devices_are_as_they_were_at_the_end() {
        use sys::ethtool::{Feature, features};
        let room = std::thread::spawn(|| {
            sys::thread::enter_new_network_namespace().expect("this test needs root, to make a network namespace");
            sys::add_veth("va", "vb").expect("a pair of devices");
            let [a, b] = ["va", "vb"].map(|name| sys::device::index(name).expect("a device"));
            // A veth that is down has no NAPI.
            ["va", "vb"].iter().for_each(|name| sys::device::set_up(name, true).expect("set it up"));
            let is_on = |name| features(name, &[Feature::UDP_GRO_FORWARDING]).expect("features")[0].1;
            let until = |name, expect| {
                let mut looks = 0;
                while is_on(name) != expect {
                    looks += 1;
                    assert!(looks < 45_000, "{name} is not {expect}");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            };
            let threads = NapiThreads::default();
            assert!(threads.are_for(a) && !threads.are_for(1));
            threads.want(a, true);
            threads.want(a, true);
            threads.want(1, true);
            until("va", true);
            threads.want(a, false);
            threads.want(b, true);
            until("vb", true);
            assert!(is_on("va"), "another wants it still");
            threads.want(a, false);
            until("va", false);
            drop(threads);
            assert!(!is_on("vb"));
        });
        room.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
