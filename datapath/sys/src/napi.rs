//! Threaded NAPI of a veth: what its peer sends is received by a thread of the kernel's, on whichever processor is free,
//! instead of by the sender itself (kernel documentation, `networking/napi.rst`, "Threaded NAPI").
//!
//! A veth has NAPI where generic receive offload is on, and takes by it what may be merged: all of a sender that leaves no TCP
//! segmentation undone, and, with `rx-udp-gro-forwarding`, what sockets send that are not TCP's. The rest goes as before.
//! Nothing is merged: whoever counts packets, or looks at them, is to find those that were sent; so what merged packets
//! may measure at most (`gro_max_size`) is less than any has.
//!
//! To start and to stop takes the kernel's lock of network configuration, and to stop a grace period as well: some
//! milliseconds. The kernel keeps nothing of who asked: what was started and never stopped stays on.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null;

use crate::device;
use crate::error::{Error, Result, check};
use crate::ethtool::{self, Feature};
use crate::netlink::{self, Answer, Message};

/// Whose receive side this is about.
const DRIVER: &str = "veth";
/// Attributes of a link (`include/uapi/linux/if_link.h`).
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_GRO_IPV4_MAX_SIZE: u16 = 64;
/// Octets that are too few for two packets, or one.
const NO_MERGING: u32 = 1;
/// As devices are made (`GRO_LEGACY_MAX_SIZE`).
const USUAL: u32 = 65_536;

const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
/// `MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC`.
const INERT: libc::c_uint = 0x02 | 0x04 | 0x08;

/// A device whose receive side runs on threads of the kernel's.
#[derive(Debug)]
pub struct Threaded {
    ifindex: u32,
    /// Those that were off before.
    switched_on: Vec<Feature>,
    /// Before.
    limits: MergeLimits,
    was_threaded: bool,
}

impl Threaded {
    /// Whether a device can be told to, as far as its driver goes.
    pub fn is_for(ifindex: u32) -> bool {
        let driver = device::name(ifindex).and_then(|name| ethtool::driver_info(&name));
        driver.is_ok_and(|info| info.driver == DRIVER)
    }

    /// Has a device's receive side run on threads, one a queue.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_ADMIN and CAP_SYS_ADMIN (settings of a device in sysfs, of which one is mounted that
    /// nobody else sees); `EOPNOTSUPP` where the device or the kernel (before 5.19) does not know of it, or the device is
    /// down. Nothing is changed then.
    pub fn start(ifindex: u32) -> Result<Self> {
        let name = device::name(ifindex)?;
        let wanted = [Feature::GRO, Feature::UDP_GRO_FORWARDING];
        let before = ethtool::features(&name, &wanted)?;
        let switched_on = before.into_iter().filter(|(_, is_on)| !is_on).map(|(feature, _)| feature).collect();
        let this = Self { ifindex, switched_on, limits: MergeLimits::read(ifindex)?, was_threaded: false };
        match this.begin(&name) {
            Ok(was_threaded) => Ok(Self { was_threaded, ..this }),
            Err(error) => {
                this.put_back(&name)?;
                Err(error)
            }
        }
    }

    /// Whether datagrams are merged that were not before.
    fn merges(&self) -> bool {
        self.switched_on.contains(&Feature::UDP_GRO_FORWARDING)
    }

    fn begin(&self, name: &str) -> Result<bool> {
        if self.merges() {
            MergeLimits { any: NO_MERGING, ipv4: None }.write(self.ifindex)?;
        }
        ethtool::set_features(name, &self.switched_on, true)?;
        set_threaded(name, true)
    }

    fn put_back(&self, name: &str) -> Result<()> {
        ethtool::set_features(name, &self.switched_on, false)?;
        if self.merges() { self.limits.write(self.ifindex) } else { Ok(()) }
    }

    /// Puts back what was changed.
    ///
    /// # Errors
    /// `ENODEV` where the device is gone, or in another network namespace.
    pub fn stop(self) -> Result<()> {
        let name = device::name(self.ifindex)?;
        if !self.was_threaded {
            // Before the features: so what is on its way is received. One that is down has none.
            let _ = set_threaded(&name, false);
        }
        self.put_back(&name)
    }
}

/// Puts back what a process that was killed has left of this: devices that merge nothing, as nobody else has them. Says how
/// many there were.
///
/// # Errors
/// Those of a list of devices.
pub fn recover() -> Result<usize> {
    let mut list = Message::new(libc::RTM_GETLINK, libc::NLM_F_DUMP);
    let links = list.put(&netlink::ifinfo(0, 0, 0)).answers("list devices", LINK_LEN)?;
    let mut recovered = 0;
    for link in links {
        let ifindex = link.fixed[4..].first_chunk().map_or(0, |four| u32::from_ne_bytes(*four));
        let Some(limits) = MergeLimits::of(&link).filter(|limits| limits.any == NO_MERGING) else { continue };
        if Threaded::is_for(ifindex) {
            let limits = MergeLimits { any: USUAL, ipv4: limits.ipv4.map(|_| USUAL) };
            let switched_on = vec![Feature::GRO, Feature::UDP_GRO_FORWARDING];
            Threaded { ifindex, switched_on, limits, was_threaded: false }.stop()?;
            recovered += 1;
        }
    }
    Ok(recovered)
}

/// Octets of the largest packet that others are merged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MergeLimits {
    any: u32,
    /// Of IPv4, where the kernel has one for that. Whoever sets the other sets it too.
    ipv4: Option<u32>,
}

impl MergeLimits {
    fn read(ifindex: u32) -> Result<Self> {
        const WHAT: &str = "read what may be merged";
        let answers = device_message(libc::RTM_GETLINK, ifindex).answers(WHAT, LINK_LEN)?;
        answers.iter().find_map(Self::of).ok_or_else(|| Error::os(WHAT, libc::EOPNOTSUPP))
    }

    fn of(link: &Answer) -> Option<Self> {
        Some(Self { any: link.number(IFLA_GRO_MAX_SIZE)?, ipv4: link.number(IFLA_GRO_IPV4_MAX_SIZE) })
    }

    fn write(self, ifindex: u32) -> Result<()> {
        const WHAT: &str = "limit what is merged";
        let set = |kind: u16, limit: u32| {
            device_message(libc::RTM_SETLINK, ifindex).attr(kind, &limit.to_ne_bytes()).send(WHAT)
        };
        set(IFLA_GRO_MAX_SIZE, self.any)?;
        self.ipv4.map_or(Ok(()), |limit| set(IFLA_GRO_IPV4_MAX_SIZE, limit))
    }
}

/// Octets of a link message's fixed part.
const LINK_LEN: usize = 16;

fn device_message(kind: u16, ifindex: u32) -> Message {
    let mut message = Message::new(kind, 0);
    message.put(&netlink::ifinfo(ifindex, 0, 0));
    message
}

/// Writes a device's `threaded` of sysfs, and says what it was.
fn set_threaded(name: &str, is_threaded: bool) -> Result<bool> {
    const WHAT: &str = "receive by a thread";
    let said = |source| Error { what: WHAT, source };
    let path = CString::new(format!("class/net/{name}/threaded")).map_err(|_| Error::os(WHAT, libc::EINVAL))?;
    let sysfs = own_sysfs()?;
    // SAFETY: `path` ends in a zero and lives through the call.
    let fd = unsafe { libc::openat(sysfs.as_raw_fd(), path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let fd = check(WHAT, fd)?;
    // SAFETY: the descriptor is fresh and owned by nobody else.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let mut before = String::new();
    file.read_to_string(&mut before).map_err(said)?;
    file.write_all(if is_threaded { b"1" } else { b"0" }).map_err(said)?;
    Ok(before.trim() != "0")
}

/// The root of a sysfs that shows this thread's network namespace, wherever that is mounted, and is mounted nowhere.
fn own_sysfs() -> Result<OwnedFd> {
    const WHAT: &str = "open a sysfs of the network namespace";
    let own = |fd: libc::c_long| {
        let fd = check(WHAT, fd as libc::c_int)?;
        // SAFETY: the descriptor is fresh and owned by nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: the name ends in a zero; fsopen(2) reads nothing else.
    let context = own(unsafe { libc::syscall(libc::SYS_fsopen, c"sysfs".as_ptr(), FSOPEN_CLOEXEC) })?;
    let (no_key, no_value) = (null::<libc::c_char>(), null::<libc::c_void>());
    // SAFETY: this command of fsconfig(2) takes neither key nor value.
    let made = unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, no_key, no_value, 0 as libc::c_int)
    };
    check(WHAT, made as libc::c_int)?;
    // SAFETY: fsmount(2) is passed no memory.
    own(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, INERT) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RingConfig, RxRing, TxConfig, TxFrame, TxSocket};

    /// Whose frames are received by a thread comes by the ring as ever, and what was there before comes back.
    #[test]
    fn a_veth_is_received_by_a_thread_for_a_while() {
        let room = std::thread::spawn(|| {
            crate::thread::enter_new_network_namespace().expect("this test needs root, to make a network namespace");
            crate::add_veth("va", "vb").expect("a pair of devices");
            for name in ["va", "vb"] {
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
                device::set_up(name, true).expect("set it up");
            }
            let [a, b] = ["va", "vb"].map(|name| device::index(name).expect("a device"));
            assert!(Threaded::is_for(b) && !Threaded::is_for(1) && !Threaded::is_for(9_999), "veths alone");
            let mut ring = RxRing::open(b, &RingConfig::default()).expect("a ring");
            let mut tx = TxSocket::open(a, &TxConfig::default()).expect("a sender");
            let state = || ethtool::features("vb", &[Feature::GRO, Feature::UDP_GRO_FORWARDING]).expect("features");
            let limits = || MergeLimits::read(b).expect("limits");
            assert!(state().iter().all(|(_, is_on)| !is_on));
            // The second of them alone where they are not the same.
            MergeLimits { any: 50_000, ipv4: limits().ipv4.map(|_| 40_000) }.write(b).expect("an administrator's");
            let before = limits();
            let threaded = Threaded::start(b).expect("this kernel knows of it");
            assert!(state().iter().all(|(_, is_on)| *is_on));
            assert_eq!((threaded.was_threaded, threaded.switched_on.len()), (false, 2));
            assert_eq!((before.any, limits().any), (50_000, 1));
            pass(&mut tx, &mut ring);
            // What an administrator has set stays.
            let second = Threaded::start(b).expect("again");
            assert_eq!((second.was_threaded, second.switched_on.len()), (true, 0));
            second.stop().expect("stop it");
            assert!(state().iter().all(|(_, is_on)| *is_on));
            assert!(set_threaded("vb", true).expect("it is there"), "it was threaded before");
            threaded.stop().expect("stop it");
            assert!(state().iter().all(|(_, is_on)| !is_on));
            assert_eq!(limits(), before);
            pass(&mut tx, &mut ring);
            // Who is killed puts nothing back; the next one does.
            let usual = MergeLimits { any: USUAL, ipv4: before.ipv4.map(|_| USUAL) };
            usual.write(b).expect("as it is made");
            std::mem::forget(Threaded::start(b).expect("once more"));
            assert_eq!((recover().expect("a list"), recover().expect("a list")), (1, 0));
            assert!(state().iter().all(|(_, is_on)| !is_on));
            assert_eq!(limits(), usual);
            pass(&mut tx, &mut ring);
            let gone = Threaded::start(b).expect("once more");
            crate::delete_link(b).expect("delete the pair");
            assert_eq!(gone.stop().expect_err("it is gone").errno(), libc::ENODEV);
            assert_eq!(Threaded::start(b).expect_err("it is gone").errno(), libc::ENODEV);
        });
        room.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }

    /// Sends datagrams that might be merged, and expects each once.
    fn pass(tx: &mut TxSocket, ring: &mut RxRing) {
        let frames: Vec<Vec<u8>> = (0..32).map(datagram).collect();
        let batch: Vec<TxFrame<'_>> = frames.iter().map(|body| TxFrame { body, ..TxFrame::default() }).collect();
        assert_eq!(tx.send(&batch).sent, 32);
        let (mut got, mut looks) = (Vec::new(), 0);
        while got.len() < 32 && looks < 45_000 {
            looks += 1;
            if ring.receive(32, |frame| got.push(frame.data().to_vec())) == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        assert!(got.iter().map(Vec::as_slice).eq(frames.iter().map(Vec::as_slice)), "{} came", got.len());
    }

    /// One of ten octets, alike but for the last of them, with right checksums.
    fn datagram(i: u8) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([0x45, 0, 0, 38, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 7, 0, 9, 0, 18, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, i]);
        let sum = |octets: &[u8], more: u32| {
            let words = octets.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
            let sum = words.sum::<u32>() + more;
            !((sum & 0xffff) + (sum >> 16)) as u16
        };
        let header = sum(&frame[14..34], 0).to_be_bytes();
        frame[24..26].copy_from_slice(&header);
        // The pseudo header: addresses are in what is summed, protocol and length beside it.
        let body = sum(&frame[26..], 17 + 18).to_be_bytes();
        frame[40..42].copy_from_slice(&body);
        frame
    }
}
