//! Questions of ethtool(8) to a device: its driver, its link's speed, its offloads' state
//! (`include/uapi/linux/ethtool.h`).

use crate::device::{ioctl, request};
use crate::error::Result;

const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GLINK: u32 = 0x0a;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;
const STRING: usize = 32;
/// Words a link mode mask may have; today's kernels use 4.
const MASK_WORDS: usize = 16;

/// Who drives a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverInfo {
    /// Such as `veth`.
    pub driver: String,
    /// The driver's version.
    pub version: String,
    /// The firmware's version.
    pub firmware: String,
    /// Where it sits, such as a PCI address.
    pub bus: String,
}

/// How a link runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Mbit/s; `None` if unknown.
    pub speed_mbps: Option<u32>,
    /// Full duplex; `None` if unknown.
    pub full_duplex: Option<bool>,
    /// Whether the ends agree on speed and duplex by themselves.
    pub autoneg: bool,
    /// `PORT_*`: the connector in use.
    pub port: u8,
    /// Link modes it can, as bits `ETHTOOL_LINK_MODE_*`, 32 a word.
    pub supported: Vec<u32>,
    /// Link modes it offers.
    pub advertised: Vec<u32>,
    /// Link modes its peer offers.
    pub peer: Vec<u32>,
}

#[repr(C)]
struct RawDriverInfo {
    cmd: u32,
    driver: [u8; STRING],
    version: [u8; STRING],
    firmware: [u8; STRING],
    bus: [u8; STRING],
    erom_version: [u8; STRING],
    reserved: [u8; 12],
    counts: [u32; 5],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawLinkSettings {
    cmd: u32,
    speed: u32,
    duplex: u8,
    port: u8,
    phy_address: u8,
    autoneg: u8,
    mdio_support: u8,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    mask_words: i8,
    transceiver: u8,
    master_slave: [u8; 3],
    rate_matching: u32,
    reserved: [u32; 6],
    masks: [u32; 3 * MASK_WORDS],
}

#[repr(C)]
struct RawValue {
    cmd: u32,
    data: u32,
}

/// Runs one ethtool command; `T` is the command's whole structure.
fn command<T>(what: &'static str, name: &str, raw: &mut T) -> Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = (raw as *mut T).cast();
    ioctl(what, libc::SIOCETHTOOL as libc::Ioctl, &mut request)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Asks who drives the device called `name`.
pub fn driver_info(name: &str) -> Result<DriverInfo> {
    let mut raw = RawDriverInfo {
        cmd: ETHTOOL_GDRVINFO,
        driver: [0; STRING],
        version: [0; STRING],
        firmware: [0; STRING],
        bus: [0; STRING],
        erom_version: [0; STRING],
        reserved: [0; 12],
        counts: [0; 5],
    };
    command("read driver information", name, &mut raw)?;
    Ok(DriverInfo {
        driver: text(&raw.driver),
        version: text(&raw.version),
        firmware: text(&raw.firmware),
        bus: text(&raw.bus),
    })
}

/// Asks whether the device called `name` has a link.
pub fn has_link(name: &str) -> Result<bool> {
    let mut raw = RawValue { cmd: ETHTOOL_GLINK, data: 0 };
    command("read the link's state", name, &mut raw)?;
    Ok(raw.data != 0)
}

/// Asks how the link of the device called `name` runs.
pub fn link_settings(name: &str) -> Result<LinkSettings> {
    const WHAT: &str = "read link settings";
    let empty = RawLinkSettings {
        cmd: ETHTOOL_GLINKSETTINGS,
        speed: 0,
        duplex: 0,
        port: 0,
        phy_address: 0,
        autoneg: 0,
        mdio_support: 0,
        eth_tp_mdix: 0,
        eth_tp_mdix_ctrl: 0,
        mask_words: 0,
        transceiver: 0,
        master_slave: [0; 3],
        rate_matching: 0,
        reserved: [0; 6],
        masks: [0; 3 * MASK_WORDS],
    };
    // The first call is answered with the negated number of words a mask has; the second must name it.
    let mut raw = empty;
    command(WHAT, name, &mut raw)?;
    let words = raw.mask_words.unsigned_abs();
    if usize::from(words) > MASK_WORDS {
        return Err(crate::error::Error::os(WHAT, libc::EOVERFLOW));
    }
    raw = empty;
    raw.mask_words = words as i8;
    command(WHAT, name, &mut raw)?;
    let n = usize::from(words);
    let mask = |i: usize| raw.masks[i * n..(i + 1) * n].to_vec();
    Ok(LinkSettings {
        speed_mbps: Some(raw.speed).filter(|s| *s != 0 && *s != u32::MAX),
        full_duplex: match raw.duplex {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        autoneg: raw.autoneg != 0,
        port: raw.port,
        supported: mask(0),
        advertised: mask(1),
        peer: mask(2),
    })
}

/// One of a device's features, by the name that `ethtool -k` has for it (`netdev_features_strings` of the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature(&'static str);

impl Feature {
    /// Generic receive offload: packets alike are merged before anybody sees them.
    pub const GRO: Self = Self("rx-gro");
    /// That of datagrams which no socket of the host asked for.
    pub const UDP_GRO_FORWARDING: Self = Self("rx-udp-gro-forwarding");
}

/// `ETH_SS_FEATURES`: the set of the features' names.
const FEATURE_NAMES: u32 = 4;
/// Features there may be, of 32 a word; today's kernels have 65.
const FEATURE_WORDS: usize = 8;

#[repr(C)]
struct RawSetInfo {
    cmd: u32,
    reserved: u32,
    mask: u64,
    len: u32,
}

#[repr(C)]
struct RawStrings {
    cmd: u32,
    set: u32,
    len: u32,
    strings: [[u8; STRING]; 32 * FEATURE_WORDS],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawFeatures {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

#[repr(C)]
struct RawFeatureBlocks<T> {
    cmd: u32,
    words: u32,
    blocks: [T; FEATURE_WORDS],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawChange {
    valid: u32,
    requested: u32,
}

/// The bits of features, and how many there are in all; `EOPNOTSUPP` if the kernel does not know one.
fn feature_bits(name: &str, features: &[Feature]) -> Result<(Vec<usize>, usize)> {
    const WHAT: &str = "read the names of features";
    let unsupported = || crate::error::Error::os(WHAT, libc::EOPNOTSUPP);
    let mut info = RawSetInfo { cmd: ETHTOOL_GSSET_INFO, reserved: 0, mask: 1 << FEATURE_NAMES, len: 0 };
    command(WHAT, name, &mut info)?;
    let len = info.len as usize;
    if info.mask == 0 || len > 32 * FEATURE_WORDS {
        return Err(unsupported());
    }
    let strings = [[0; STRING]; 32 * FEATURE_WORDS];
    let mut raw = Box::new(RawStrings { cmd: ETHTOOL_GSTRINGS, set: FEATURE_NAMES, len: info.len, strings });
    command(WHAT, name, raw.as_mut())?;
    let bit = |feature: &Feature| raw.strings[..len].iter().position(|string| text(string) == feature.0);
    let bits: Option<Vec<usize>> = features.iter().map(bit).collect();
    Ok((bits.ok_or_else(unsupported)?, len))
}

/// Which features of a device are wished for.
///
/// # Errors
/// `EOPNOTSUPP` if the kernel does not know one.
pub fn features(name: &str, which: &[Feature]) -> Result<Vec<(Feature, bool)>> {
    let (bits, len) = feature_bits(name, which)?;
    let words = len.div_ceil(32);
    let blocks = [RawFeatures::default(); FEATURE_WORDS];
    let mut raw = RawFeatureBlocks { cmd: ETHTOOL_GFEATURES, words: words as u32, blocks };
    command("read features", name, &mut raw)?;
    let is_on = |bit: usize| raw.blocks[bit / 32].requested >> (bit % 32) & 1 != 0;
    Ok(which.iter().zip(bits).map(|(feature, bit)| (*feature, is_on(bit))).collect())
}

/// Switches features of a device on or off.
///
/// # Errors
/// `EPERM` without CAP_NET_ADMIN; `EOPNOTSUPP` if the kernel does not know one, or the device cannot do it.
pub fn set_features(name: &str, which: &[Feature], is_on: bool) -> Result<()> {
    const WHAT: &str = "switch features";
    if which.is_empty() {
        return Ok(());
    }
    let (bits, len) = feature_bits(name, which)?;
    let mut blocks = [RawChange::default(); FEATURE_WORDS];
    for bit in bits {
        let block = &mut blocks[bit / 32];
        block.valid |= 1 << (bit % 32);
        block.requested |= u32::from(is_on) << (bit % 32);
    }
    let mut raw = RawFeatureBlocks { cmd: ETHTOOL_SFEATURES, words: len.div_ceil(32) as u32, blocks };
    command(WHAT, name, &mut raw)?;
    // What a device cannot do is ignored, and told only by the call's value.
    if features(name, which)?.iter().any(|(_, is)| *is != is_on) {
        return Err(crate::error::Error::os(WHAT, libc::EOPNOTSUPP));
    }
    Ok(())
}
