//! Where a thread runs, and memory that stays resident (sched_setaffinity(2), mlock(2)).

use std::mem::size_of;

use crate::error::{Result, check};

/// Binds the calling thread to the processors; those the mask cannot hold are left out.
pub fn set_affinity(cpus: &[usize]) -> Result<()> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
        // SAFETY: the index was checked against the set's size.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` is live and its size is passed; the kernel only reads it.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    check("bind a thread to processors", rc).map(drop)
}

/// The processors the calling thread may run on, ascending.
pub fn affinity() -> Result<Vec<usize>> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size passed into the live set.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
    check("read a thread's processors", rc)?;
    // SAFETY: the indexes stay below the set's size.
    let has = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &set) };
    Ok((0..libc::CPU_SETSIZE as usize).filter(has).collect())
}

/// The processor the calling thread runs on at this moment.
pub fn current_cpu() -> Option<usize> {
    // SAFETY: no memory is passed.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Keeps all memory of the process resident, present and future.
pub fn lock_memory() -> Result<()> {
    // SAFETY: changes no memory's content.
    let rc = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) };
    check("lock memory", rc).map(drop)
}

/// Moves the calling thread into a new, empty network namespace, which ends with its last user.
pub fn enter_new_network_namespace() -> Result<()> {
    // SAFETY: changes the calling thread's namespace and no memory.
    check("make a network namespace", unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affinity_round_trip() {
        let all = affinity().unwrap();
        set_affinity(&all[..1]).unwrap();
        assert_eq!(affinity().unwrap(), all[..1]);
        assert_eq!(current_cpu(), Some(all[0]));
        assert!(set_affinity(&[]).is_err());
    }
}
