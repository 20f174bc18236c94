//! Keeping a port's frames from the host's own stack.
//!
//! The kernel hands a received frame first to packet sockets, then to the device's ingress filters, then to
//! the host. A filter that drops everything therefore leaves the rings what they had, saves the host's work,
//! and keeps it from answering for the switch: a port's frames belong to the switch. The filter is a
//! BPF program behind a `clsact` queueing discipline (tc-bpf(8)): the fast path's, or
//! one of a single instruction; where the kernel lacks that classifier, `matchall` with a drop action (tc-matchall(8)).

use std::os::fd::{AsFd, AsRawFd};

use crate::bpf::Program;
use crate::error::{Error, Result};
use crate::netlink::Message;

const TC_H_CLSACT: u32 = 0xffff_fff1;
const TC_H_MAJ_CLSACT: u32 = 0xffff_0000;
const TC_H_MIN_INGRESS: u32 = 0xfff2;
const TC_H_MIN_EGRESS: u32 = 0xfff3;
const ETH_P_ALL: u16 = 3;
/// Our filter's place and name among filters; high, so that the administrator's come first.
const PRIORITY: u32 = 0xc0fe;
const HANDLE: u32 = 1;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TC_ACT_SHOT: u32 = 2;

/// The fixed part of a traffic control message.
fn tcmsg(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut b = [0; 20];
    b[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    b[8..12].copy_from_slice(&handle.to_ne_bytes());
    b[12..16].copy_from_slice(&parent.to_ne_bytes());
    b[16..20].copy_from_slice(&info.to_ne_bytes());
    b
}

fn filter_place(ifindex: u32) -> [u8; 20] {
    let info = (PRIORITY << 16) | u32::from(ETH_P_ALL.to_be());
    tcmsg(ifindex, HANDLE, TC_H_MAJ_CLSACT | TC_H_MIN_INGRESS, info)
}

/// Whose the queueing discipline is that the filter hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// Made for the filter, now or by a switch before this one: it goes with the filter, unless others use it.
    Own,
    /// It was there.
    Foreign,
}

/// Stops the host's stack from receiving what the device receives.
///
/// Done twice, it stays as it is. `ENOENT`: the kernel has no suitable classifier.
pub fn stop(ifindex: u32) -> Result<Discipline> {
    let discipline = attach_clsact(ifindex)?;
    match drop_by_bpf(ifindex) {
        Err(e) if e.errno() != libc::EEXIST => unless(drop_by_matchall(ifindex), libc::EEXIST),
        other => unless(other, libc::EEXIST),
    }?;
    Ok(discipline)
}

/// The same by a program, which may pass some frames on elsewhere; it takes the place of whatever an earlier switch left.
pub fn stop_with(ifindex: u32, program: &Program) -> Result<Discipline> {
    let discipline = attach_clsact(ifindex)?;
    let replace = || {
        classify_by(ifindex, libc::NLM_F_REPLACE, |m| {
            m.attr(TCA_BPF_FD, &program.as_fd().as_raw_fd().to_ne_bytes()).attr(TCA_BPF_NAME, b"troupe\0");
        })
    };
    replace().or_else(|_| {
        // One of another kind is not replaced.
        resume(ifindex, Discipline::Foreign)?;
        replace()
    })?;
    Ok(discipline)
}

fn attach_clsact(ifindex: u32) -> Result<Discipline> {
    // Where there is a filter of ours already, a switch that did not come to its end left both.
    let is_left =
        Message::new(libc::RTM_GETTFILTER, 0).put(&filter_place(ifindex)).send("read an ingress filter").is_ok();
    let create = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let qdisc = Message::new(libc::RTM_NEWQDISC, create)
        .put(&tcmsg(ifindex, TC_H_MAJ_CLSACT, TC_H_CLSACT, 0))
        .attr(TCA_KIND, b"clsact\0")
        .send("attach a clsact queueing discipline");
    let is_new = qdisc.is_ok();
    unless(qdisc, libc::EEXIST)?;
    Ok(if is_new || is_left { Discipline::Own } else { Discipline::Foreign })
}

/// Lets the host's stack receive again; no error if it does, or if the device is gone. A queueing discipline of the
/// switch's own goes as well, if nobody has put other filters there.
pub fn resume(ifindex: u32, discipline: Discipline) -> Result<()> {
    let is_away = |e: &Error| matches!(e.errno(), libc::ENOENT | libc::EINVAL | libc::ENODEV);
    match Message::new(libc::RTM_DELTFILTER, 0).put(&filter_place(ifindex)).send("remove an ingress filter") {
        Err(e) if is_away(&e) => return Ok(()),
        other => other?,
    }
    if discipline == Discipline::Foreign || is_in_use(ifindex)? {
        return Ok(());
    }
    let gone = Message::new(libc::RTM_DELQDISC, 0)
        .put(&tcmsg(ifindex, TC_H_MAJ_CLSACT, TC_H_CLSACT, 0))
        .attr(TCA_KIND, b"clsact\0")
        .send("remove a clsact queueing discipline");
    match gone {
        Err(e) if is_away(&e) => Ok(()),
        other => other,
    }
}

/// Whether the device has a filter at its ingress or egress.
fn is_in_use(ifindex: u32) -> Result<bool> {
    for hook in [TC_H_MIN_INGRESS, TC_H_MIN_EGRESS] {
        let place = tcmsg(ifindex, 0, TC_H_MAJ_CLSACT | hook, 0);
        if Message::new(libc::RTM_GETTFILTER, libc::NLM_F_DUMP).put(&place).is_answered("list filters")? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn unless(result: Result<()>, errno: i32) -> Result<()> {
    match result {
        Err(Error { source, .. }) if source.raw_os_error() == Some(errno) => Ok(()),
        other => other,
    }
}

fn drop_by_bpf(ifindex: u32) -> Result<()> {
    // return TC_ACT_SHOT: { code u16, jt u8, jf u8, k u32 }
    let mut program = [0u8; 8];
    program[..2].copy_from_slice(&((libc::BPF_RET | libc::BPF_K) as u16).to_ne_bytes());
    program[4..].copy_from_slice(&TC_ACT_SHOT.to_ne_bytes());
    classify_by(ifindex, libc::NLM_F_EXCL, |m| {
        m.attr(TCA_BPF_OPS_LEN, &1u16.to_ne_bytes()).attr(TCA_BPF_OPS, &program);
    })
}

/// Attaches an ingress filter whose program `fill` names, and whose answer is obeyed.
fn classify_by(ifindex: u32, flags: i32, fill: impl FnOnce(&mut Message)) -> Result<()> {
    const DIRECT_ACTION: u32 = 1;
    Message::new(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE | flags)
        .put(&filter_place(ifindex))
        .attr(TCA_KIND, b"bpf\0")
        .nest(TCA_OPTIONS, |m| {
            fill(m);
            m.attr(TCA_BPF_FLAGS, &DIRECT_ACTION.to_ne_bytes());
        })
        .send("attach an ingress filter")
}

fn drop_by_matchall(ifindex: u32) -> Result<()> {
    const TCA_MATCHALL_ACT: u16 = 2;
    const TCA_ACT_KIND: u16 = 1;
    const TCA_ACT_OPTIONS: u16 = 2;
    const TCA_GACT_PARMS: u16 = 2;
    // index, capab, action, refcnt, bindcnt
    let mut parms = [0u8; 20];
    parms[8..12].copy_from_slice(&TC_ACT_SHOT.to_ne_bytes());
    Message::new(libc::RTM_NEWTFILTER, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
        .put(&filter_place(ifindex))
        .attr(TCA_KIND, b"matchall\0")
        .nest(TCA_OPTIONS, |m| {
            m.nest(TCA_MATCHALL_ACT, |m| {
                m.nest(1, |m| {
                    m.attr(TCA_ACT_KIND, b"gact\0").nest(TCA_ACT_OPTIONS, |m| {
                        m.attr(TCA_GACT_PARMS, &parms);
                    });
                });
            });
        })
        .send("attach an ingress filter")
}
