//! `--user=USER[:GROUP]`: gives up root for good.

use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setuid};
use std::ffi::CString;

/// Becomes `spec`'s user and group, with the user's other groups.
pub(super) fn become_user(spec: &str) -> Result<(), String> {
    let (name, group_name) = match spec.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (spec, None),
    };
    let user = if name.is_empty() { User::from_uid(Uid::current()) } else { User::from_name(name) };
    let user = user.ok().flatten().ok_or_else(|| format!("(null): user {name} not found, aborting."))?;
    let gid = match group_name {
        None | Some("") => user.gid,
        Some(group) => Group::from_name(group)
            .ok()
            .flatten()
            .map(|g| g.gid)
            .ok_or_else(|| format!("(null): group {group} not found, aborting."))?,
    };
    switch(&user, gid)
}

fn switch(user: &User, gid: Gid) -> Result<(), String> {
    if Uid::current() == user.uid && Gid::current() == gid {
        return Ok(());
    }
    let name = CString::new(user.name.as_str()).map_err(|_| "user name contains a null byte".to_owned())?;
    let fail = |what: &str| format!("{what} fail, aborting.");
    initgroups(&name, gid).map_err(|_| fail("initgroups"))?;
    setgid(gid).map_err(|_| fail("setgid"))?;
    setuid(user.uid).map_err(|_| fail("setuid"))
}
