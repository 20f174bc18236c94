//! Who wants processors to wake soon: the process has one request of the kernel's ([`sys::WakeLatency`]), which stands
//! while any datapath thread sees packets come often (`dp::Datapath::is_brisk`), or as `other_config:low-latency` says.
//!
//! Each thread has a vote, which goes with it. It is cast where it changes, some times a second at the most.

use std::sync::{Arc, Mutex, PoisonError};

use sys::WakeLatency;

/// When processors are to wake soon: `other_config:low-latency` of the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// While packets come often.
    #[default]
    AsNeeded,
    /// Never.
    Never,
    /// While there are bridges.
    Always,
}

impl Policy {
    /// Reads the setting. `None`: it says nothing that is known, which is as if there were none.
    pub fn read(value: Option<&str>) -> Option<Self> {
        match value {
            None => Some(Self::AsNeeded),
            Some("false") => Some(Self::Never),
            Some("true") => Some(Self::Always),
            Some(_) => None,
        }
    }
}

/// What is wanted.
#[derive(Debug, Default)]
struct Wishes {
    policy: Policy,
    has_bridges: bool,
    votes: usize,
}

impl Wishes {
    fn is_wanted(&self) -> bool {
        match self.policy {
            Policy::AsNeeded => self.votes > 0,
            Policy::Never => false,
            Policy::Always => self.has_bridges,
        }
    }
}

#[derive(Debug)]
struct State {
    wishes: Wishes,
    is_held: bool,
    /// Gone if the kernel refuses.
    request: Option<Arc<WakeLatency>>,
}

/// The process's request, for all who have a say in it.
#[derive(Clone, Debug)]
pub struct LowLatency(Arc<Mutex<State>>);

impl LowLatency {
    /// Nobody wants it yet. What a process that crashed, and whose monitor has its descriptors, had asked for is taken back.
    pub fn new(request: Arc<WakeLatency>) -> Self {
        let this =
            Self(Arc::new(Mutex::new(State { wishes: Wishes::default(), is_held: true, request: Some(request) })));
        this.change(|_| ());
        this
    }

    /// A voice for a thread.
    pub fn vote(&self) -> Vote {
        Vote { of: self.clone(), is_for: false }
    }

    /// Does as the switch is configured from now on, which has bridges or none.
    pub fn set_policy(&self, policy: Policy, has_bridges: bool) {
        self.change(|wishes| (wishes.policy, wishes.has_bridges) = (policy, has_bridges));
    }

    /// How soon processors are to be awake now, microseconds, if that is asked for.
    pub fn held_us(&self) -> Option<i32> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.request.as_ref().filter(|_| state.is_held).map(|request| request.wanted_us())
    }

    fn change(&self, change: impl FnOnce(&mut Wishes)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.wishes);
        let is_wanted = state.wishes.is_wanted();
        if std::mem::replace(&mut state.is_held, is_wanted) == is_wanted {
            return;
        }
        if let Some(request) = &state.request
            && let Err(error) = request.ask(is_wanted)
        {
            vlog::info!("dpif_netdev", "processors sleep as they like: {error}");
            state.request = None;
        }
    }
}

/// A thread's.
#[derive(Debug)]
pub struct Vote {
    of: LowLatency,
    is_for: bool,
}

impl Vote {
    /// Votes so from now on.
    #[inline]
    pub fn cast(&mut self, is_for: bool) {
        if is_for != self.is_for {
            self.is_for = is_for;
            self.of.change(|wishes| match is_for {
                true => wishes.votes += 1,
                false => wishes.votes = wishes.votes.saturating_sub(1),
            });
        }
    }
}

impl Drop for Vote {
    fn drop(&mut self) {
        self.cast(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_asked_for_and_else_as_threads_vote() {
        for (value, has_bridges, votes, is_wanted) in [
            (None, true, 0, false),
            (None, true, 2, true),
            (Some("false"), true, 2, false),
            (Some("true"), true, 0, true),
            (Some("true"), false, 2, false),
            (Some("yes"), true, 0, false),
            (Some("yes"), true, 1, true),
        ] {
            let policy = Policy::read(value).unwrap_or_default();
            let wishes = Wishes { policy, has_bridges, votes };
            assert_eq!(wishes.is_wanted(), is_wanted, "{wishes:?}");
        }
    }

    #[test]
    fn the_kernel_is_told_of_changes() {
        let device = tempfile::NamedTempFile::new().expect("a file");
        let open = || Arc::new(WakeLatency::open_at(device.path(), "haltpoll").expect("it is there"));
        let told = || {
            let octets = std::fs::read(device.path()).expect("what was written");
            octets.chunks(4).map(|us| i32::from_ne_bytes(us.try_into().expect("four"))).collect::<Vec<_>>()
        };
        let it = LowLatency::new(open());
        assert_eq!((told(), it.held_us()), (vec![-1], None), "whoever had it before");
        let (mut first, mut second) = (it.vote(), it.vote());
        for (vote, is_for) in [(&mut first, true), (&mut second, true)] {
            vote.cast(is_for);
            vote.cast(is_for);
        }
        assert_eq!((told(), it.held_us()), (vec![-1, 0], Some(0)));
        first.cast(false);
        assert_eq!(told(), [-1, 0], "one wants it still");
        drop(second);
        assert_eq!((told(), it.held_us()), (vec![-1, 0, -1], None), "a thread goes with its vote");
        first.cast(true);
        it.set_policy(Policy::Never, true);
        it.set_policy(Policy::Always, true);
        it.set_policy(Policy::AsNeeded, true);
        it.set_policy(Policy::Always, false);
        assert_eq!(told(), [-1, 0, -1, 0, -1, 0, -1]);
    }
}
