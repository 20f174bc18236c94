//! Small questions to and settings of a network device (netdevice(7)), in the caller's network namespace.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::error::{Error, Result, check};

/// A datagram socket for device ioctls.
pub(crate) fn control_socket() -> Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    let fd = check("open a control socket", fd)?;
    // SAFETY: the descriptor is fresh and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A request that names a device; `EINVAL` if the name is empty or too long.
pub(crate) fn request(name: &str) -> Result<libc::ifreq> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ || bytes.contains(&0) {
        return Err(Error::os("name a device", libc::EINVAL));
    }
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    Ok(request)
}

/// Runs a device ioctl whose argument is an `ifreq`.
pub(crate) fn ioctl(what: &'static str, code: libc::Ioctl, request: &mut libc::ifreq) -> Result<()> {
    let socket = control_socket()?;
    // SAFETY: `request` is live and exclusively ours; the codes used here read and write an ifreq, and any
    // pointer in it was put there by a caller that keeps its target alive.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), code, request as *mut libc::ifreq) };
    check(what, rc).map(drop)
}

/// The index of the device called `name`.
pub fn index(name: &str) -> Result<u32> {
    let mut request = request(name)?;
    ioctl("look up a device", libc::SIOCGIFINDEX as libc::Ioctl, &mut request)?;
    // SAFETY: the call filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex } as u32)
}

/// The name of the device with an index.
pub fn name(index: u32) -> Result<String> {
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index as i32;
    ioctl("name a device", libc::SIOCGIFNAME as libc::Ioctl, &mut request)?;
    let octets = request.ifr_name.iter().map(|c| *c as u8).take_while(|b| *b != 0).collect();
    String::from_utf8(octets).map_err(|_| Error::os("name a device", libc::EILSEQ))
}

/// The device's Ethernet address.
pub fn address(name: &str) -> Result<[u8; 6]> {
    let mut request = request(name)?;
    ioctl("read a device's address", libc::SIOCGIFHWADDR as libc::Ioctl, &mut request)?;
    // SAFETY: the call filled this member of the union.
    let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(data) {
        *to = from as u8;
    }
    Ok(mac)
}

/// Sets the device's Ethernet address.
pub fn set_address(name: &str, mac: [u8; 6]) -> Result<()> {
    let mut request = request(name)?;
    // SAFETY: all-zero is a valid sockaddr.
    let mut addr: libc::sockaddr = unsafe { std::mem::zeroed() };
    addr.sa_family = libc::ARPHRD_ETHER;
    for (to, from) in addr.sa_data.iter_mut().zip(mac) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_hwaddr = addr;
    ioctl("set a device's address", libc::SIOCSIFHWADDR as libc::Ioctl, &mut request)
}

/// The device's MTU, bytes.
pub fn mtu(name: &str) -> Result<u32> {
    let mut request = request(name)?;
    ioctl("read a device's MTU", libc::SIOCGIFMTU as libc::Ioctl, &mut request)?;
    // SAFETY: the call filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

/// Sets the device's MTU, bytes.
pub fn set_mtu(name: &str, mtu: u32) -> Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
    ioctl("set a device's MTU", libc::SIOCSIFMTU as libc::Ioctl, &mut request)
}

/// The device's flags (`IFF_UP`, `IFF_RUNNING` and so on).
pub fn flags(name: &str) -> Result<u16> {
    let mut request = request(name)?;
    ioctl("read a device's flags", libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)?;
    // SAFETY: the call filled this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_flags } as u16)
}

/// Whether the device is set up.
pub fn is_up(name: &str) -> Result<bool> {
    Ok(i32::from(flags(name)?) & libc::IFF_UP != 0)
}

/// Whether the device is the loopback, or one like it.
pub fn is_loopback(name: &str) -> Result<bool> {
    Ok(i32::from(flags(name)?) & libc::IFF_LOOPBACK != 0)
}

/// Sets the device up or down.
pub fn set_up(name: &str, up: bool) -> Result<()> {
    let bit = libc::IFF_UP as u16;
    let old = flags(name)?;
    let new = if up { old | bit } else { old & !bit };
    if new == old {
        return Ok(());
    }
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = new as i16;
    ioctl("set a device up or down", libc::SIOCSIFFLAGS as libc::Ioctl, &mut request)
}
