//! Printing of datapath actions.

use super::key_format::{self, Fields, label};
use super::{tnl_push, tunnel};
use crate::odp::{Action, Cookie, Ct, CtNat, HashAlg, PushNsh, Set, SetGroup, Userspace, slow};
use crate::text::{self, PortNames, put};
use crate::{Key, Mask};
use std::fmt::Write;
use std::net::IpAddr;

/// Actions as text; none is `drop`.
pub fn format_actions(actions: &[Action], ports: Option<&dyn PortNames>) -> String {
    if actions.is_empty() {
        return "drop".into();
    }
    let mut out = String::new();
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        one(&mut out, action, ports);
    }
    out
}

fn one(out: &mut String, action: &Action, ports: Option<&dyn PortNames>) {
    match action {
        Action::Output(port) => out.push_str(&super::port(*port, ports)),
        Action::LbOutput(bond) => put!(out, "lb_output({bond})"),
        Action::Trunc(len) => put!(out, "trunc({len})"),
        Action::Userspace(userspace) => self::userspace(out, userspace, ports),
        Action::Set(set) => {
            out.push_str("set(");
            self::set(out, set);
            out.push(')');
        }
        Action::PushVlan { tpid, tci } => {
            out.push_str("push_vlan(");
            if *tpid != 0x8100 {
                put!(out, "tpid=0x{tpid:04x},");
            }
            key_format::vlan(out, *tci, u16::MAX, false);
            close(out);
        }
        Action::PopVlan => out.push_str("pop_vlan"),
        Action::PushMpls { lse, ethertype } => {
            put!(out, "push_mpls({},eth_type=0x{ethertype:x})", label(*lse, None));
        }
        Action::AddMpls { lse, ethertype } => {
            put!(out, "add_mpls({},eth_type=0x{ethertype:x})", label(*lse, None));
        }
        Action::PopMpls { ethertype } => put!(out, "pop_mpls(eth_type=0x{ethertype:x})"),
        Action::PushEth { src, dst } => put!(out, "push_eth(src={},dst={})", text::mac(*src), text::mac(*dst)),
        Action::PopEth => out.push_str("pop_eth"),
        Action::PushNsh(nsh) => push_nsh(out, nsh),
        Action::PopNsh => out.push_str("pop_nsh()"),
        Action::Recirc(id) => put!(out, "recirc({})", text::hex((*id).into())),
        Action::Hash { alg: HashAlg::L4, basis } => put!(out, "hash(l4({basis}))"),
        Action::Hash { alg: HashAlg::SymL4, basis } => put!(out, "hash(sym_l4({basis}))"),
        Action::Sample { probability, actions } => {
            let percent = f64::from(*probability) * 100.0 / f64::from(u32::MAX);
            put!(out, "sample(sample={percent:.1}%,actions({}))", format_actions(actions, ports));
        }
        Action::Clone(actions) => put!(out, "clone({})", format_actions(actions, ports)),
        Action::CheckPktLen { len, greater, less_equal } => {
            let (gt, le) = (format_actions(greater, ports), format_actions(less_equal, ports));
            put!(out, "check_pkt_len(size={len},gt({gt}),le({le}))");
        }
        Action::Ct(ct) => self::ct(out, ct),
        Action::CtClear => out.push_str("ct_clear"),
        Action::Meter(id) => put!(out, "meter({id})"),
        Action::TnlPush(push) => tnl_push::format(out, push, ports),
        Action::TnlPop(port) => put!(out, "tnl_pop({})", super::port(*port, ports)),
        Action::Drop(_) => out.push_str("drop"),
    }
}

/// Ends a list, without its last comma.
fn close(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(')');
}

/// Names of slow path reasons, in the order of their bits.
const SLOW: [(u32, &str); 8] = [
    (slow::CFM, "cfm"),
    (slow::BFD, "bfd"),
    (slow::LACP, "lacp"),
    (slow::STP, "stp"),
    (slow::LLDP, "lldp"),
    (slow::CONTROLLER, "controller"),
    (slow::ACTION, "action"),
    (slow::MATCH, "match"),
];

/// Slow path reasons with commas; `0` for none.
pub fn slow_path_reasons(bits: u32) -> String {
    let names: Vec<&str> = SLOW.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { "0".into() } else { names.join(",") }
}

/// The reason of this name.
pub(super) fn slow_path_reason(name: &str) -> Option<u32> {
    SLOW.iter().find(|(_, n)| *n == name).map(|(bit, _)| *bit)
}

fn userspace(out: &mut String, userspace: &Userspace, ports: Option<&dyn PortNames>) {
    put!(out, "userspace(pid={},", userspace.pid);
    match &userspace.cookie {
        Cookie::SlowPath { reason } => put!(out, "slow_path({})", slow_path_reasons(*reason)),
        Cookie::Controller(c) => put!(
            out,
            "controller(reason={},dont_send={},continuation={},recirc_id={},rule_cookie={},controller_id={},max_len={})",
            c.reason,
            u8::from(c.dont_send),
            u8::from(c.continuation),
            c.recirc_id,
            text::hex(c.rule_cookie.into()),
            c.controller_id,
            c.max_len
        ),
        Cookie::Sflow { vlan_tci, output } => {
            put!(out, "sFlow(vid={},pcp={},output={output})", vlan_tci & 0xfff, vlan_tci >> 13);
        }
        Cookie::FlowSample(s) => {
            put!(
                out,
                "flow_sample(probability={},collector_set_id={},obs_domain_id={},obs_point_id={},output_port={}",
                s.probability,
                s.collector_set_id,
                s.obs_domain_id,
                s.obs_point_id,
                super::port(s.output_odp_port, ports)
            );
            out.push_str(match s.direction {
                1 => ",ingress)",
                2 => ",egress)",
                _ => ")",
            });
        }
        Cookie::Ipfix { output_odp_port, .. } => {
            put!(out, "ipfix(output_port={})", super::port(*output_odp_port, ports));
        }
        Cookie::Raw(octets) => {
            out.push_str("userdata(");
            for octet in octets {
                put!(out, "{octet:02x}");
            }
            out.push(')');
        }
    }
    if userspace.actions {
        out.push_str(",actions");
    }
    if let Some(port) = userspace.tunnel_out_port {
        put!(out, ",tunnel_out_port={}", super::port(port, ports));
    }
    out.push(')');
}

/// The group's name in text.
pub(super) fn group_name(group: SetGroup) -> &'static str {
    match group {
        SetGroup::SkbPriority => "skb_priority",
        SetGroup::SkbMark => "skb_mark",
        SetGroup::Tunnel => "tunnel",
        SetGroup::Eth => "eth",
        SetGroup::Mpls => "mpls",
        SetGroup::Ipv4 => "ipv4",
        SetGroup::Ipv6 => "ipv6",
        SetGroup::Arp => "arp",
        SetGroup::Tcp => "tcp",
        SetGroup::Udp => "udp",
        SetGroup::Sctp => "sctp",
        SetGroup::Icmp => "icmp",
        SetGroup::Icmpv6 => "icmpv6",
        SetGroup::Nd => "nd",
        SetGroup::NdExtensions => "nd_ext",
        SetGroup::Nsh => "nsh",
        SetGroup::Inert(group) => group.name(),
    }
}

fn set(out: &mut String, set: &Set) {
    let (mut key, mut mask) = (Key::EMPTY, Mask::EMPTY);
    for word in set.words.iter().filter(|w| usize::from(w.word) < crate::WORDS) {
        key.0[usize::from(word.word)] |= word.value;
        mask.0[usize::from(word.word)] |= word.mask;
    }
    put!(out, "{}(", group_name(set.group));
    match set.group {
        SetGroup::SkbPriority => out.push_str(&number(key.skb_priority(), mask.skb_priority())),
        SetGroup::SkbMark => out.push_str(&number(key.pkt_mark(), mask.pkt_mark())),
        SetGroup::Tunnel => {
            if let Some(tunnel) = &set.tunnel {
                tunnel::format(out, tunnel, None, false);
            }
        }
        SetGroup::Mpls => {
            let exact = mask.mpls_lse0() == u32::MAX;
            out.push_str(&label(key.mpls_lse0(), (!exact).then_some(mask.mpls_lse0())));
        }
        SetGroup::Nsh => key_format::nsh(out, &key, &mask, true, true),
        SetGroup::Inert(group) => key_format::inert(out, group, &key, &mask),
        group => fields(&mut Fields::new(out, false), group, &key, &mask),
    }
    close(out);
}

fn number(value: u32, mask: u32) -> String {
    text::hex_masked(value.into(), mask.into(), u32::MAX.into())
}

fn fields(f: &mut Fields<'_>, group: SetGroup, key: &Key, mask: &Mask) {
    match group {
        SetGroup::Eth => key_format::eth(f, key, mask),
        SetGroup::Ipv4 => key_format::ipv4(f, key, mask),
        SetGroup::Ipv6 => key_format::ipv6(f, key, mask),
        SetGroup::Arp => key_format::arp(f, key, mask),
        SetGroup::Tcp | SetGroup::Udp | SetGroup::Sctp => key_format::ports(f, key, mask),
        SetGroup::Icmp | SetGroup::Icmpv6 => key_format::icmp(f, key, mask),
        SetGroup::Nd => key_format::nd(f, key, mask),
        SetGroup::NdExtensions => key_format::nd_extensions(f, key, mask),
        SetGroup::SkbPriority
        | SetGroup::SkbMark
        | SetGroup::Tunnel
        | SetGroup::Mpls
        | SetGroup::Nsh
        | SetGroup::Inert(_) => {}
    }
}

fn push_nsh(out: &mut String, nsh: &PushNsh) {
    put!(
        out,
        "push_nsh(flags={},ttl={},mdtype={},np={},spi=0x{:x},si={}",
        nsh.flags,
        nsh.ttl,
        nsh.mdtype,
        nsh.np,
        nsh.path_hdr >> 8,
        nsh.path_hdr & 0xff
    );
    if nsh.mdtype == 1 {
        for (i, context) in nsh.context.iter().enumerate() {
            put!(out, ",c{}=0x{context:x}", i + 1);
        }
    } else if nsh.mdtype == 2 {
        // As a number: without zeros in front.
        let mut octets = nsh.md2.iter().skip_while(|octet| **octet == 0);
        match octets.next() {
            Some(first) => put!(out, ",md2=0x{first:x}"),
            None => out.push_str(",md2=0"),
        }
        octets.for_each(|octet| put!(out, "{octet:02x}"));
    }
    out.push(')');
}

fn ct(out: &mut String, ct: &Ct) {
    out.push_str("ct");
    let mut list = String::new();
    if ct.commit {
        list.push_str(if ct.force { "force_commit," } else { "commit," });
    }
    if ct.zone != 0 {
        put!(list, "zone={},", ct.zone);
    }
    if let Some((value, mask)) = ct.mark {
        put!(list, "mark={}/{},", text::hex(value.into()), text::hex(mask.into()));
    }
    if let Some((value, mask)) = ct.label {
        put!(list, "label={}", text::hex(value));
        if mask != u128::MAX {
            put!(list, "/{}", text::hex(mask));
        }
        list.push(',');
    }
    if let Some(helper) = ct.helper {
        put!(list, "helper={helper},");
    }
    if let Some(timeout) = &ct.timeout {
        put!(list, "timeout={timeout},");
    }
    if let Some(nat) = &ct.nat {
        list.push_str("nat");
        self::nat(&mut list, nat);
        list.push(',');
    }
    if !list.is_empty() {
        list.pop();
        put!(out, "({list})");
    }
}

fn nat(out: &mut String, nat: &CtNat) {
    let Some(src) = nat.src else { return };
    out.push_str(if src { "(src" } else { "(dst" });
    // Brackets around IPv6 addresses where a port follows.
    let plain = nat.port_min == 0;
    let show = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) if plain => text::ipv6(v6.into()),
        IpAddr::V6(v6) => format!("[{}]", text::ipv6(v6.into())),
    };
    if let Some(min) = nat.ip_min {
        put!(out, "={}", show(min));
        if let Some(max) = nat.ip_max.filter(|max| *max != min) {
            put!(out, "-{}", show(max));
        }
    } else if nat.port_min != 0 {
        out.push('=');
    }
    if nat.port_min != 0 {
        put!(out, ":{}", nat.port_min);
        if nat.port_max != 0 && nat.port_max != nat.port_min {
            put!(out, "-{}", nat.port_max);
        }
    }
    for (set, name) in [(nat.persistent, ",persistent"), (nat.hash, ",hash"), (nat.random, ",random")] {
        if set {
            out.push_str(name);
        }
    }
    out.push(')');
}
