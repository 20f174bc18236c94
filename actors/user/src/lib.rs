//! `--user=USER[:GROUP]`: gives up root for good, but for the few capabilities a daemon needs.
//!
//! Daemons and tools alike. What stays is locking memory and binding ports below 1024; for a daemon that works on network devices also
//! what that takes. Source: ovs-vswitchd(8), "Daemon Options"; capabilities(7).

use nix::unistd::{Gid, Group, Uid, User, chown, setgid, setgroups, setuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities};

/// More capabilities than any kernel knows.
const CAPABILITIES_AT_MOST: u32 = 64;

/// What a switch needs to load the programs of its fast path into the kernel, beside the right to work on devices. They
/// read packets alone: nothing of theirs takes `CAP_PERFMON`, and they pass the verifier without it. A kernel before 5.8,
/// which does not know it, loads none for this user.
const FOR_PROGRAMS: CapabilitySet = CapabilitySet::BPF;

/// Somebody that a program may go on as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    group: Gid,
}

impl Identity {
    /// Who `USER[:GROUP]` is.
    ///
    /// # Errors
    /// The text to end the program with: nobody of that name, not a member of that group, or this process is not
    /// root's.
    pub fn find(spec: &str) -> Result<Identity, String> {
        if !Uid::effective().is_root() {
            return Err("(null): only root can use --user option".to_owned());
        }
        let (name, group_name) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (spec, None),
        };
        let user = if name.is_empty() { User::from_uid(Uid::current()) } else { User::from_name(name) };
        let user = user.ok().flatten().ok_or_else(|| format!("(null): user {name} not found, aborting."))?;
        let group = match group_name {
            None | Some("") => user.gid,
            Some(group_name) => {
                let group = Group::from_name(group_name).ok().flatten();
                let group = group.ok_or_else(|| format!("(null): group {group_name} not found, aborting."))?;
                if group.gid != user.gid && !group.mem.contains(&user.name) {
                    return Err(format!(
                        "(null): Invalid --user option {spec} (user {} is not in group {group_name}), aborting.",
                        user.name
                    ));
                }
                group.gid
            }
        };
        Ok(Identity { user: user.uid, group })
    }

    /// Becomes this user and group, without any other group. The log file becomes the user's.
    ///
    /// # Errors
    /// The text to end the program with.
    pub fn assume(&self, works_on_devices: bool) -> Result<(), String> {
        if let Some(log) = vlog::log_file_path()
            && let Err(error) = chown(&log, Some(self.user), Some(self.group))
        {
            vlog::warn!("daemon_unix", "{}: change of owner failed ({})", log.display(), error.desc());
        }
        switch(self.user, self.group, works_on_devices)
    }
}

fn switch(user: Uid, group: Gid, works_on_devices: bool) -> Result<(), String> {
    let mut kept = CapabilitySet::IPC_LOCK | CapabilitySet::NET_BIND_SERVICE;
    if works_on_devices {
        kept |= CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW | CapabilitySet::NET_BROADCAST;
        // Open vSwitch, which loads no programs, keeps neither.
        let permitted = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
        kept |= FOR_PROGRAMS & permitted;
    }
    let fail = |what: &str| format!("{what} fail, aborting.");
    for number in 0..CAPABILITIES_AT_MOST {
        // Refused for numbers this kernel does not know.
        let one = CapabilitySet::from_bits_retain(1 << number);
        let _ = rustix::thread::remove_capability_from_bounding_set(one);
    }
    set_keep_capabilities(true).map_err(|_| fail("keeping capabilities"))?;
    setgroups(&[]).map_err(|_| fail("setgroups"))?;
    setgid(group).map_err(|_| fail("setgid"))?;
    setuid(user).map_err(|_| fail("setuid"))?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(|_| fail("setting capabilities"))?;
    set_keep_capabilities(false).map_err(|_| fail("keeping capabilities"))
}
