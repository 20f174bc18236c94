//! `tunnel(…)`: printing and parsing of a tunnel's metadata.
//!
//! Options of UDP-based tunnels are shown as they came when the key has them in datapath form
//! ([`crate::tun_flag::UDPIF`]): `tun_metadata_present` is then their length in octets, the option space their octets.

use super::key_format::Fields;
use super::scan::{Pair, Scan};
use crate::field::TunTable;
use crate::key::TUN_METADATA_WORD;
use crate::text::{self, put};
use crate::{Key, Mask, WORDS, tun_flag};
use packet::geneve;
use std::fmt::Write;

/// What is told of ERSPAN's hardware identifier.
const HWID: u8 = 0xf;
const FLAGS: u16 = 0xf;
/// Octets of options that a key can hold in datapath form.
const MAX_OPTIONS: usize = 252;

/// Whether a key has a tunnel at all.
pub(super) fn is_set(key: &Key) -> bool {
    key.tun_dst() != 0 || key.tun_ipv6_dst() != 0 || key.tun_src() != 0 || key.tun_ipv6_src() != 0
}

fn octets(words: &[u64; WORDS], len: usize) -> Vec<u8> {
    let all = words[TUN_METADATA_WORD..TUN_METADATA_WORD + 32].iter().flat_map(|w| w.to_be_bytes());
    all.take(len).collect()
}

fn set_octets(words: &mut [u64; WORDS], octets: &[u8]) {
    for (i, octet) in octets.iter().enumerate().take(MAX_OPTIONS) {
        let shift = 56 - 8 * (i % 8);
        let word = &mut words[TUN_METADATA_WORD + i / 8];
        *word = (*word & !(0xff << shift)) | (u64::from(*octet) << shift);
    }
}

pub(super) fn format(out: &mut String, key: &Key, mask: Option<&Mask>, verbose: bool) {
    let exact = Mask([u64::MAX; WORDS]);
    let m = mask.unwrap_or(&exact);
    let mut f = Fields::new(out, verbose);
    if key.tun_id() != 0 || key.tun_flags() & tun_flag::KEY != 0 {
        f.put("tun_id", m.tun_id().into(), u64::MAX.into(), |n| format!("{n:#x}"), key.tun_id().into());
    }
    if key.tun_src() != 0 {
        f.ipv4("src", key.tun_src(), m.tun_src());
    }
    if key.tun_dst() != 0 {
        f.ipv4("dst", key.tun_dst(), m.tun_dst());
    }
    if key.tun_ipv6_src() != 0 {
        f.ipv6("ipv6_src", key.tun_ipv6_src(), m.tun_ipv6_src());
    }
    if key.tun_ipv6_dst() != 0 {
        f.ipv6("ipv6_dst", key.tun_ipv6_dst(), m.tun_ipv6_dst());
    }
    if key.tun_tos() != 0 {
        f.hex("tos", key.tun_tos().into(), m.tun_tos().into(), 0xff);
    }
    f.decimal("ttl", key.tun_ttl().into(), m.tun_ttl().into(), 0xff);
    if key.tun_tp_src() != 0 {
        f.decimal("tp_src", key.tun_tp_src().into(), m.tun_tp_src().into(), 0xffff);
    }
    if key.tun_tp_dst() != 0 {
        f.decimal("tp_dst", key.tun_tp_dst().into(), m.tun_tp_dst().into(), 0xffff);
    }
    format_extensions(out, key, m, verbose);
    // That there is no key is never told: a flow without one has no attribute of which to tell it.
    let told = if key.tun_id() != 0 { u16::MAX } else { !tun_flag::KEY | key.tun_flags() };
    let (flags, flags_mask) = (text::tun_flags_to_text(key.tun_flags()), text::tun_flags_to_text(m.tun_flags() & told));
    if mask.is_none() {
        if flags != 0 {
            put!(out, "flags({})", text::flags(flags, text::TUN_FLAGS, '|'));
        }
    } else if flags_mask != 0 || verbose {
        put!(out, "flags({})", text::flags_masked(flags, flags_mask, 0xf, text::TUN_FLAGS));
    }
}

fn format_extensions(out: &mut String, key: &Key, m: &Mask, verbose: bool) {
    // Shown even where nothing in them matters.
    let mut nested = |name: &str, fill: &dyn Fn(&mut Fields<'_>)| {
        put!(out, "{name}(");
        fill(&mut Fields::new(out, verbose));
        if out.ends_with(',') {
            out.pop();
        }
        out.push_str(if name.starts_with("vxlan") { "))," } else { ")," });
    };
    if key.tun_gbp_id() != 0 || key.tun_gbp_flags() != 0 {
        nested("vxlan(gbp", &|f| {
            f.decimal("id", key.tun_gbp_id().into(), m.tun_gbp_id().into(), 0xffff);
            f.hex("flags", key.tun_gbp_flags().into(), m.tun_gbp_flags().into(), 0xff);
        });
    }
    if key.tun_erspan_ver() != 0 {
        let version = key.tun_erspan_ver();
        nested("erspan", &|f| {
            f.decimal("ver", version.into(), m.tun_erspan_ver().into(), 0xff);
            if version == 1 && m.tun_erspan_idx() == 0 && !verbose {
                // The index alone is told where it does not matter.
                put!(f.out, "idx={:#x}/0,", key.tun_erspan_idx());
            } else if version == 1 {
                f.hex("idx", key.tun_erspan_idx().into(), m.tun_erspan_idx().into(), 0xffff_ffff);
            } else {
                f.decimal("dir", key.tun_erspan_dir().into(), m.tun_erspan_dir().into(), 0xff);
                let mask = m.tun_erspan_hwid();
                let mask = if mask == u8::MAX { mask } else { mask & HWID };
                f.hex("hwid", (key.tun_erspan_hwid() & HWID).into(), mask.into(), 0xff);
            }
        });
    }
    if key.tun_gtpu_flags() != 0 || key.tun_gtpu_msgtype() != 0 {
        nested("gtpu", &|f| {
            f.hex("flags", key.tun_gtpu_flags().into(), m.tun_gtpu_flags().into(), 0xff);
            f.decimal("msgtype", key.tun_gtpu_msgtype().into(), m.tun_gtpu_msgtype().into(), 0xff);
        });
    }
    if key.tun_flags() & tun_flag::UDPIF != 0 {
        let options = TunTable::wire_options(key);
        out.push_str("geneve(");
        format_options(out, &options, Some(&octets(&m.0, options.len())), verbose);
        out.push_str("),");
    }
}

/// `{class=…,type=…,len=…,0x…}` of each option.
pub(super) fn format_options(out: &mut String, octets: &[u8], masks: Option<&[u8]>, verbose: bool) {
    let mut at = 0;
    for option in geneve::options(octets).map_while(Result::ok) {
        let end = at + 4 + option.data.len();
        let head = masks.and_then(|m| m.get(at..)?.first_chunk().copied()).unwrap_or([u8::MAX; 4]);
        out.push('{');
        let mut f = Fields::new(out, verbose);
        f.hex("class", option.class.into(), u16::from_be_bytes([head[0], head[1]]).into(), 0xffff);
        f.hex("type", option.kind.into(), head[2].into(), 0xff);
        f.decimal("len", option.data.len() as u64, u64::from(head[3] & 0x1f) * 4, 0x7c);
        if out.ends_with(',') {
            out.pop();
        }
        let mask = masks.and_then(|m| m.get(at + 4..end));
        if !option.data.is_empty() && (verbose || mask.is_none_or(|m| m.iter().any(|o| *o != 0))) {
            put!(out, ",{}", text::hex_octets(option.data));
            if let Some(mask) = mask.filter(|m| m.iter().any(|o| *o != 0xff)) {
                put!(out, "/{}", text::hex_octets(mask));
            }
        }
        out.push('}');
        at = end;
    }
}

/// Reads what [`format_options`] prints.
pub(super) fn parse_options(scan: &mut Scan<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut octets, mut masks) = (Vec::new(), Vec::new());
    while scan.eat("{") {
        // Each part may be left out, and is zero then.
        let (class, class_mask) = if scan.eat("class=") { scan.masked16()? } else { (0, u16::MAX) };
        scan.eat(",");
        let (kind, kind_mask) = if scan.eat("type=") { scan.masked8()? } else { (0, u8::MAX) };
        scan.eat(",");
        let len = if scan.eat("len=") { usize::try_from(scan.number()?).ok()? } else { 0 };
        if len % 4 != 0 || len > 124 {
            return None;
        }
        let mut data = vec![0; len];
        let mut mask = vec![0xff; len];
        if scan.eat(",") && len > 0 {
            data = scan.hex_octets(len)?;
            if scan.eat("/") {
                mask = scan.hex_octets(len)?;
            }
        }
        scan.expect("}")?;
        octets.extend(class.to_be_bytes());
        octets.extend([kind, (len / 4) as u8]);
        octets.extend(data);
        masks.extend(class_mask.to_be_bytes());
        masks.extend([kind_mask, 0xff]);
        masks.extend(mask);
        if octets.len() > MAX_OPTIONS {
            return None;
        }
    }
    Some((octets, masks))
}

/// Reads the contents of `tunnel(…)`, the closing parenthesis excluded.
pub(super) fn parse(scan: &mut Scan<'_>, key: &mut Key, mask: &mut Mask) -> Option<()> {
    loop {
        scan.skip(", ");
        if scan.peek(")") {
            return Some(());
        }
        let at = scan.word()?;
        match at {
            "flags" => parse_flags(scan, key, mask)?,
            "vxlan" => {
                scan.expect("(gbp(")?;
                parse_extension(scan, key, mask, "gbp")?;
                scan.expect("))")?;
            }
            "erspan" | "gtpu" => {
                scan.expect("(")?;
                parse_extension(scan, key, mask, at)?;
                scan.expect(")")?;
            }
            "geneve" => {
                scan.expect("(")?;
                let (octets, masks) = parse_options(scan)?;
                scan.expect(")")?;
                set_octets(&mut key.0, &octets);
                set_octets(&mut mask.0, &masks);
                key.set_tun_metadata_present(octets.len() as u64);
                mask.set_tun_metadata_present(u64::MAX);
                key.set_tun_flags(key.tun_flags() | tun_flag::UDPIF);
                mask.set_tun_flags(mask.tun_flags() | tun_flag::UDPIF);
            }
            _ => parse_field(scan, at, key, mask)?,
        }
    }
}

fn parse_field(scan: &mut Scan<'_>, name: &str, key: &mut Key, mask: &mut Mask) -> Option<()> {
    scan.expect("=")?;
    let mut pair = Pair { key, mask };
    match name {
        "tun_id" => {
            pair.set(scan.masked64()?, Key::set_tun_id, Mask::set_tun_id);
            key.set_tun_flags(key.tun_flags() | tun_flag::KEY);
            mask.set_tun_flags(mask.tun_flags() | tun_flag::KEY);
        }
        "src" => pair.set(scan.ipv4()?, Key::set_tun_src, Mask::set_tun_src),
        "dst" => pair.set(scan.ipv4()?, Key::set_tun_dst, Mask::set_tun_dst),
        "ipv6_src" => pair.set(scan.ipv6()?, Key::set_tun_ipv6_src, Mask::set_tun_ipv6_src),
        "ipv6_dst" => pair.set(scan.ipv6()?, Key::set_tun_ipv6_dst, Mask::set_tun_ipv6_dst),
        "tos" => pair.set(scan.masked8()?, Key::set_tun_tos, Mask::set_tun_tos),
        "ttl" => pair.set(scan.masked8()?, Key::set_tun_ttl, Mask::set_tun_ttl),
        "tp_src" => pair.set(scan.masked16()?, Key::set_tun_tp_src, Mask::set_tun_tp_src),
        "tp_dst" => pair.set(scan.masked16()?, Key::set_tun_tp_dst, Mask::set_tun_tp_dst),
        _ => return None,
    }
    Some(())
}

fn parse_extension(scan: &mut Scan<'_>, key: &mut Key, mask: &mut Mask, kind: &str) -> Option<()> {
    while !scan.peek(")") {
        scan.skip(",");
        let name = scan.word()?;
        scan.expect("=")?;
        let mut pair = Pair { key, mask };
        match (kind, name) {
            ("gbp", "id") => pair.set(scan.masked16()?, Key::set_tun_gbp_id, Mask::set_tun_gbp_id),
            ("gbp", "flags") => pair.set(scan.masked8()?, Key::set_tun_gbp_flags, Mask::set_tun_gbp_flags),
            ("erspan", "ver") => pair.set(scan.masked8()?, Key::set_tun_erspan_ver, Mask::set_tun_erspan_ver),
            ("erspan", "idx") => pair.set(scan.masked32()?, Key::set_tun_erspan_idx, Mask::set_tun_erspan_idx),
            ("erspan", "dir") => pair.set(scan.masked8()?, Key::set_tun_erspan_dir, Mask::set_tun_erspan_dir),
            ("erspan", "hwid") => {
                let (value, mask) = scan.masked8()?;
                pair.set((value & HWID, mask & HWID), Key::set_tun_erspan_hwid, Mask::set_tun_erspan_hwid);
            }
            ("gtpu", "flags") => pair.set(scan.masked8()?, Key::set_tun_gtpu_flags, Mask::set_tun_gtpu_flags),
            ("gtpu", "msgtype") => pair.set(scan.masked8()?, Key::set_tun_gtpu_msgtype, Mask::set_tun_gtpu_msgtype),
            _ => return None,
        }
    }
    Some(())
}

fn parse_flags(scan: &mut Scan<'_>, key: &mut Key, mask: &mut Mask) -> Option<()> {
    scan.expect("(")?;
    let (value, m) = scan.flags(text::TUN_FLAGS, FLAGS.into())?;
    scan.expect(")")?;
    key.set_tun_flags(key.tun_flags() | text::tun_flags_from_text(value));
    mask.set_tun_flags((mask.tun_flags() & !FLAGS) | text::tun_flags_from_text(m));
    Some(())
}
