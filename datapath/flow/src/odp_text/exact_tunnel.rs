//! `tunnel(…)` of a packet described in full: its parts in the order of the text, flags last.

use super::exact::each_field;
use super::scan::Scan;
use super::tunnel::{format_options, parse_options};
use crate::text::{self, put};
use std::fmt::Write;

/// Flags that may be written; that there is a key goes with the key.
const WRITABLE: u32 = 0xf;
/// The bit of the flag that there is a key.
const KEY: u32 = 1 << 3;

/// A tunnel's parts as text.
pub(super) struct ExactTunnel {
    /// Without the key, which is shown by its flag alone.
    pub(super) short: String,
    /// With it.
    pub(super) long: String,
    /// No part is the time to live, without which there is no tunnel.
    pub(super) lacks_ttl: bool,
}

/// Reads the contents of `tunnel(…)`. Masks are read and forgotten.
pub(super) fn describe(scan: &mut Scan<'_>) -> Option<ExactTunnel> {
    let mut tunnel = ExactTunnel { short: String::new(), long: String::new(), lacks_ttl: true };
    let mut flags = 0;
    while !scan.peek(")") {
        let name = scan.word()?;
        if name == "flags" {
            scan.expect("(")?;
            if !scan.peek(")") {
                flags |= scan.flags_some(text::TUN_FLAGS, WRITABLE)?.0 & !KEY;
            }
            scan.expect(")")?;
        } else if name == "tun_id" {
            scan.expect("=")?;
            flags |= KEY;
            put!(tunnel.long, "tun_id={:#x},", scan.masked64()?.0);
        } else {
            tunnel.lacks_ttl &= name != "ttl";
            let part = part(name, scan)?;
            put!(tunnel.short, "{part},");
            put!(tunnel.long, "{part},");
        }
        if !scan.eat(",") {
            break;
        }
    }
    let flags = text::flags(flags, text::TUN_FLAGS, '|');
    put!(tunnel.short, "flags({flags})");
    put!(tunnel.long, "flags({flags})");
    Some(tunnel)
}

fn part(name: &str, scan: &mut Scan<'_>) -> Option<String> {
    let hex = |n: u32| text::hex(n.into());
    match name {
        "vxlan" => {
            scan.expect("(gbp(")?;
            let numbers = in_order(scan, ["id", "flags"])?;
            scan.expect("))")?;
            return Some(format!("vxlan(gbp(id={},flags={}))", numbers[0] as u16, hex(numbers[1] & 0xff)));
        }
        "gtpu" => {
            scan.expect("(")?;
            let numbers = in_order(scan, ["flags", "msgtype"])?;
            scan.expect(")")?;
            return Some(format!("gtpu(flags={},msgtype={})", hex(numbers[0] & 0xff), numbers[1] as u8));
        }
        "erspan" => return erspan(scan),
        "geneve" => {
            scan.expect("(")?;
            let (octets, _) = parse_options(scan)?;
            scan.expect(")")?;
            let mut out = String::from("geneve(");
            format_options(&mut out, &octets, None, false);
            out.push(')');
            return Some(out);
        }
        _ => scan.expect("=")?,
    }
    Some(match name {
        "src" | "dst" => format!("{name}={}", text::ipv4(scan.ipv4()?.0)),
        "ipv6_src" | "ipv6_dst" => format!("{name}={}", text::ipv6(scan.ipv6()?.0)),
        "tos" => format!("tos={}", hex(scan.masked8()?.0.into())),
        "ttl" => format!("ttl={}", scan.masked8()?.0),
        "tp_src" | "tp_dst" => format!("{name}={}", scan.masked16()?.0),
        _ => return None,
    })
}

fn erspan(scan: &mut Scan<'_>) -> Option<String> {
    scan.expect("(ver=")?;
    let version = scan.low_bits()?;
    if scan.eat("/") {
        scan.low_bits()?;
    }
    scan.eat(",");
    let out = match version {
        1 => format!("erspan(ver=1,idx={})", text::hex(in_order(scan, ["idx", "-"])?[0].into())),
        2 => {
            let numbers = in_order(scan, ["dir", "hwid"])?;
            format!("erspan(ver=2,dir={},hwid={})", numbers[0] & 1, text::hex((numbers[1] & 0xf).into()))
        }
        _ => return None,
    };
    scan.expect(")")?;
    Some(out)
}

/// Up to two numbers by their names, each in its turn; those that are left out are zero.
fn in_order(scan: &mut Scan<'_>, names: [&str; 2]) -> Option<[u32; 2]> {
    let mut numbers = [0; 2];
    let mut next = 0;
    each_field(scan, |name, scan| {
        let i = names.iter().position(|n| *n == name).filter(|i| *i >= next)?;
        next = i + 1;
        *numbers.get_mut(i)? = scan.masked32()?.0;
        Some(())
    })?;
    Some(numbers)
}
