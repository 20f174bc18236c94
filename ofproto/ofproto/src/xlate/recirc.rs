//! Recirculation: what the pipeline remembers of a packet that the datapath will bring again.
//!
//! A [`FrozenState`] holds everything that the key cannot carry. Its number, the recirculation identifier, is part of the
//! key. Equal states share one number while somebody uses it. A state lives as long as a cached flow (or packet-in to
//! come) names it, and a little longer, for packets on their way; who needs an equal one meanwhile gets another number.
//!
//! One allocator serves one bridge. Bridges meet in a datapath, where their numbers must differ: all of a switch take
//! them from the same [`Numbers`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flow::{Key, Mask};
use openflow::action::Actions;

use crate::view::BridgeId;

/// How long a state outlives its last user, milliseconds.
const LINGER_MS: i64 = 500;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrozenState {
    /// Bridge to go on in.
    pub bridge: BridgeId,
    /// Table to go on in when there are no actions.
    pub table: u8,
    /// Tunnel, metadata, registers and input port; nothing else.
    pub metadata: Box<Key>,
    /// Stack, bottom first.
    pub stack: Vec<flow::field::Value>,
    /// Mirrors that have the packet.
    pub mirrors: u32,
    /// The connection state is valid.
    pub conntracked: bool,
    /// Actions to go on with.
    pub actions: Actions,
    /// Action set.
    pub action_set: Actions,
    /// Of a `controller` action.
    pub userdata: Vec<u8>,
    /// It goes with a packet-in, and no packet comes back with it.
    pub is_told: bool,
    /// A controller sent the packet as if from a port that is not there: nobody knows where it goes on.
    pub from_nowhere: bool,
}

/// The mask of what [`FrozenState::metadata`] keeps.
pub fn frozen_mask() -> Mask {
    let mut mask = Mask::EMPTY;
    mask.0[..flow::key::REG_WORD + 8].fill(u64::MAX);
    mask.set_in_port(u32::MAX);
    mask
}

#[derive(Clone, Debug)]
struct Entry {
    state: Arc<FrozenState>,
    uses: usize,
    unused_since_ms: i64,
}

/// Where the bridges of a switch take numbers from, from 1 on, each to be had once.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<AtomicU32>);

impl Numbers {
    pub(crate) fn take(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }
}

/// The allocator and the states.
#[derive(Clone, Debug, Default)]
pub struct Recirc {
    numbers: Numbers,
    by_id: HashMap<u32, Entry>,
    by_state: HashMap<Arc<FrozenState>, u32>,
    /// States that came to be without a user, and when.
    unused: VecDeque<(i64, u32)>,
}

impl Recirc {
    /// Gives out numbers of `numbers`.
    pub fn new(numbers: Numbers) -> Recirc {
        Recirc { numbers, ..Recirc::default() }
    }

    /// The number of a state, new or that of an equal one; it has one user more.
    pub fn alloc(&mut self, state: FrozenState) -> u32 {
        let state = Arc::new(state);
        if let Some(id) = self.by_state.get(&state) {
            if let Some(entry) = self.by_id.get_mut(id) {
                entry.uses += 1;
            }
            return *id;
        }
        let id = self.reserve();
        self.by_state.insert(Arc::clone(&state), id);
        self.by_id.insert(id, Entry { state, uses: 1, unused_since_ms: 0 });
        id
    }

    /// A number that stands for no state, for as long as the bridge lives.
    pub fn reserve(&mut self) -> u32 {
        loop {
            let id = self.numbers.take();
            if id != 0 && !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    /// The state of a number.
    pub fn get(&self, id: u32) -> Option<&Arc<FrozenState>> {
        self.by_id.get(&id).map(|e| &e.state)
    }

    /// Whether the state of a number has come to its end, and stays for packets on their way alone.
    pub fn is_unused(&self, id: u32) -> bool {
        self.by_id.get(&id).is_some_and(|entry| entry.uses == 0)
    }

    /// One user more, of each.
    pub fn acquire(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(entry) = self.by_id.get_mut(id) {
                if entry.uses == 0 {
                    self.by_state.entry(Arc::clone(&entry.state)).or_insert(*id);
                }
                entry.uses += 1;
            }
        }
    }

    /// One user less, of each.
    pub fn release(&mut self, ids: &[u32], now_ms: i64) {
        for id in ids {
            if let Some(entry) = self.by_id.get_mut(id) {
                entry.uses = entry.uses.saturating_sub(1);
                entry.unused_since_ms = now_ms;
                if entry.uses == 0 {
                    self.unused.push_back((now_ms, *id));
                    forget_state(&mut self.by_state, &entry.state, *id);
                }
            }
        }
    }

    /// When [`Recirc::run`] has something to forget, milliseconds.
    pub fn poll_timeout(&self) -> Option<i64> {
        self.unused.front().map(|(since_ms, _)| since_ms + LINGER_MS)
    }

    /// Forgets states that nobody has used for a while.
    pub fn run(&mut self, now_ms: i64) {
        while let Some((since_ms, id)) = self.unused.front().copied()
            && since_ms + LINGER_MS <= now_ms
        {
            self.unused.pop_front();
            let is_over = |e: &Entry| e.uses == 0 && e.unused_since_ms <= since_ms;
            if self.by_id.get(&id).is_some_and(is_over)
                && let Some(entry) = self.by_id.remove(&id)
            {
                forget_state(&mut self.by_state, &entry.state, id);
            }
        }
    }

    /// Number of states.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// No longer gives out `id` for `state`.
fn forget_state(by_state: &mut HashMap<Arc<FrozenState>, u32>, state: &Arc<FrozenState>, id: u32) {
    if by_state.get(state) == Some(&id) {
        by_state.remove(state);
    }
}
