//! A device's IPv4 address and the host's way out (netdevice(7), rtnetlink(7)), in the caller's network namespace.

use std::net::Ipv4Addr;

use crate::device::{ioctl, request};
use crate::error::Result;
use crate::netlink::Message;

fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: all-zero is a valid sockaddr.
    let mut addr: libc::sockaddr = unsafe { std::mem::zeroed() };
    addr.sa_family = libc::AF_INET as libc::sa_family_t;
    // Behind two octets of port, as in a sockaddr_in.
    for (to, from) in addr.sa_data[2..].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    addr
}

fn read(name: &str, code: libc::c_ulong) -> Result<Ipv4Addr> {
    let mut request = request(name)?;
    ioctl("read a device's IPv4 address", code as libc::Ioctl, &mut request)?;
    // SAFETY: the call filled this member of the union.
    let data = unsafe { request.ifr_ifru.ifru_addr.sa_data };
    Ok(Ipv4Addr::new(data[2] as u8, data[3] as u8, data[4] as u8, data[5] as u8))
}

/// The device's first IPv4 address and its netmask; `EADDRNOTAVAIL` if it has none.
pub fn ipv4(name: &str) -> Result<(Ipv4Addr, Ipv4Addr)> {
    Ok((read(name, libc::SIOCGIFADDR)?, read(name, libc::SIOCGIFNETMASK)?))
}

/// Gives the device an IPv4 address with a netmask, instead of its first. `EINVAL` if the kernel takes either for none.
pub fn set_ipv4(name: &str, address: Ipv4Addr, netmask: Ipv4Addr) -> Result<()> {
    for (code, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, netmask)] {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_addr = sockaddr(value);
        ioctl("set a device's IPv4 address", code as libc::Ioctl, &mut request)?;
    }
    Ok(())
}

/// Adds a default route by a gateway that is on the network of one of the host's devices. `EEXIST` if it is there,
/// `ENETUNREACH` if the gateway is elsewhere.
pub fn add_default_route(gateway: Ipv4Addr) -> Result<()> {
    /// Length of a `struct rtmsg`, octets.
    const RTMSG: usize = 12;
    let mut rtmsg = [0; RTMSG];
    rtmsg[0] = libc::AF_INET as u8;
    rtmsg[4] = libc::RT_TABLE_MAIN;
    rtmsg[5] = libc::RTPROT_BOOT;
    rtmsg[6] = libc::RT_SCOPE_UNIVERSE;
    rtmsg[7] = libc::RTN_UNICAST;
    Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE)
        .put(&rtmsg)
        .attr(libc::RTA_GATEWAY, &gateway.octets())
        .send("add a default route")
}
