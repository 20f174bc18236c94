//! Random valid flows, every field and every action in every version: what one side prints, both read alike.
//!
//! Matches are made field by field, actions from forms with random arguments; flows that our parser refuses are left out.
//! A few thousand a version go through each side's `parse-flows` as one file, then what came out goes in once more.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flow::field::{ALL, Field, Prereq, Value};
use harness::process;
use harness::side::Side;
use openflow::flow_mod::{Command as Kind, FlowModCommand, format_match, parse_flow_mod};
use openflow::matching::Match;
use openflow::{Names, Protocols, Style, Version};

/// Flows a version and run.
const FLOWS: usize = 2000;

/// A generator of numbers that are random enough, the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A value of `n_bits`, small ones and ones at the edges more often than chance has it.
    fn bits(&mut self, n_bits: u32) -> u128 {
        let all = if n_bits >= 128 { u128::MAX } else { (1 << n_bits) - 1 };
        let any = (u128::from(self.next()) << 64 | u128::from(self.next())) & all;
        match self.below(8) {
            0 => 0,
            1 => all,
            2 => any & 0xff,
            3 => any >> self.below(n_bits as usize),
            _ => any,
        }
    }
}

/// What a match may start from, so that all fields get their turn.
const GROUNDS: [&str; 20] = [
    "",
    "ip",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "ipv6",
    "tcp6",
    "udp6",
    "sctp6",
    "icmp6",
    "icmp6,icmp_type=135,icmp_code=0",
    "icmp6,icmp_type=136,icmp_code=0",
    "arp",
    "rarp",
    "mpls",
    "mplsm",
    "dl_vlan=5",
    "dl_type=0x894f",
    "ct_state=+trk+est,tcp",
];

fn random_match(random: &mut Random) -> Match {
    let ground = *random.pick(&GROUNDS);
    let parsed = parse_flow_mod(&format!("{ground},actions=drop"), Kind::Mod(FlowModCommand::Add), Names::NONE);
    let mut m = parsed.expect("a ground").flow_mod.matching;
    for _ in 0..random.below(6) {
        let meta = random.pick(&ALL).meta();
        let field = meta.field;
        // Numbered fields would drown the others, tunnel options need the switch's table, and what a field depends on is
        // what the ground is for.
        let skip = matches!(field, Field::TunMetadata(_) | Field::EthType | Field::IpProto | Field::PacketType)
            || (matches!(field, Field::Reg(_) | Field::XReg(_) | Field::XxReg(_)) && random.chance(70));
        // Addresses of connections that are not the packet's kind are refused.
        let skip = skip
            || (matches!(field, Field::CtIpv6Src | Field::CtIpv6Dst) && m.dl_type() != 0x86dd)
            || (matches!(field, Field::CtNwSrc | Field::CtNwDst) && m.dl_type() != 0x0800);
        if skip || !m.is_wild(field) || (meta.prereq != Prereq::None && !m.meets(meta.prereq)) {
            continue;
        }
        let n = usize::from(meta.n_bytes);
        let value = Value::from_u128(random.bits(meta.n_bits.into()), n);
        let exact = Value::ones(n, meta.n_bits.into());
        let mask = if meta.maskable && random.chance(40) {
            Value::from_u128(random.bits(meta.n_bits.into()) & exact.to_u128(), n)
        } else {
            Value::ones(n, n * 8)
        };
        if !mask.is_zero() && field.is_value_valid(&value.and(&mask)) {
            m.constrain(field, &value.and(&mask), &mask, None);
        }
    }
    m
}

/// Every action of ovs-actions(7). `%p` port, `%t` table, `%m` and `%4` and `%6` addresses, `%r` register, `%1` … a
/// number of so many bits.
const ACTIONS: &[&str] = &[
    "%p",
    "output:%p",
    "output(port=%p,max_len=%{14}100)",
    "output:%r[0..15]",
    "output:NXM_NX_REG3[16..31]",
    "in_port",
    "normal",
    "flood",
    "all",
    "local",
    "controller",
    "controller:%p",
    "controller(max_len=%<15>,id=%<16>)",
    "controller(reason=invalid_ttl)",
    "controller(reason=no_match,userdata=01.02.ff)",
    "controller(pause,id=%<8>)",
    "controller(meter_id=%<10>)",
    "enqueue(%p,%<16>)",
    "group:%<24>",
    "set_queue:%<32>",
    "pop_queue",
    "strip_vlan",
    "pop_vlan",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "mod_vlan_vid:%<12>",
    "mod_vlan_pcp:%<3>",
    "push_mpls:0x8847",
    "push_mpls:0x8848",
    "pop_mpls:0x0800",
    "set_mpls_label(%<20>)",
    "set_mpls_tc(%<3>)",
    "set_mpls_ttl(%<8>)",
    "dec_mpls_ttl",
    "mod_dl_src:%m",
    "mod_dl_dst:%m",
    "mod_nw_src:%4",
    "mod_nw_dst:%4",
    "mod_nw_tos:%<tos>",
    "mod_nw_ecn:%<2>",
    "mod_nw_ttl:%<8>",
    "mod_tp_src:%<16>",
    "mod_tp_dst:%<16>",
    "dec_ttl",
    "dec_ttl(%<16>,%<16>)",
    "set_tunnel:%<32>",
    "set_tunnel64:%<64>",
    "set_field:%<32>->%r",
    "set_field:%<12>/0xfff->%r",
    "set_field:%m->eth_src",
    "set_field:%m->dl_dst",
    "set_field:%4->ip_src",
    "set_field:%6->ipv6_dst",
    "set_field:%<16>->tcp_dst",
    "set_field:%<16>->udp_src",
    "set_field:%<64>->metadata",
    "set_field:%<64>->xreg1",
    "set_field:%<32>->pkt_mark",
    "set_field:%<32>->tun_id",
    "set_field:%4->tun_dst",
    "set_field:%4->arp_spa",
    "set_field:%<6>->ip_dscp",
    "set_field:%<20>->mpls_label",
    "set_field:%<20>->ipv6_label",
    "set_field:%<8>->nw_ttl",
    "load:%<8>->%r[0..7]",
    "load:%<4>->NXM_OF_VLAN_TCI[12..15]",
    "load:%<32>->%r[]",
    "load:%<48>->NXM_OF_ETH_DST[]",
    "load:%<16>->NXM_OF_TCP_SRC[]",
    "load:%<1>->reg0[31]",
    "move:%r[]->%r[]",
    "move:NXM_OF_IN_PORT[]->%r[0..15]",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "move:xreg0[0..47]->eth_dst",
    "move:NXM_OF_IP_SRC[]->NXM_NX_REG2[]",
    "push:%r[]",
    "pop:%r[]",
    "push:NXM_OF_ETH_SRC[0..15]",
    "pop:NXM_NX_TUN_ID[]",
    "resubmit:%p",
    "resubmit(%p,%t)",
    "resubmit(,%t)",
    "resubmit(%p,)",
    "resubmit(,%t,ct)",
    "exit",
    "note:01.02.03.04.05.06.07",
    "note:aa",
    "conjunction(%<32>,1/2)",
    "conjunction(%<16>,3/64)",
    "ct",
    "ct(commit)",
    "ct(commit,force,zone=%<16>)",
    "ct(table=%t)",
    "ct(commit,zone=%r[0..15],exec(set_field:%<32>->ct_mark))",
    "ct(commit,exec(load:%<32>->NXM_NX_CT_MARK[]))",
    "ct(commit,exec(set_field:%<48>/0xffffffffffff->ct_label))",
    "ct(commit,alg=ftp)",
    "ct(nat)",
    "ct(commit,nat(src=%4))",
    "ct(commit,nat(dst=10.0.0.1-10.0.0.9:100-200,random))",
    "ct(commit,nat(src=10.0.0.1,persistent,hash),table=%t)",
    "ct(commit,nat(dst=[fe80::1]:80))",
    "ct_clear",
    "clone(%p,dec_ttl,output:%p)",
    "clone(clone(drop))",
    "clone(set_field:%<32>->reg1,ct(commit))",
    "multipath(eth_src,%<16>,modulo_n,16,0,%r[0..15])",
    "multipath(symmetric_l4,50,hrw,12,0,%r[0..31])",
    "multipath(symmetric_l3l4+udp,1,iter_hash,4,2,%r[0..7])",
    "multipath(nw_src,0,hash_threshold,1,0,xreg0[0..63])",
    "bundle(eth_src,%<16>,hrw,ofport,members:%p,%p,%p)",
    "bundle(symmetric_l4,60,active_backup,ofport,members:)",
    "bundle_load(eth_src,0,hrw,ofport,%r[0..15],members:%p,%p)",
    "fin_timeout(idle_timeout=%<16>,hard_timeout=%<16>)",
    "fin_timeout(hard_timeout=3)",
    "sample(probability=%<15>,collector_set_id=%<32>,obs_domain_id=%<32>,obs_point_id=%<32>)",
    "sample(probability=7,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=%p)",
    "sample(probability=7,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=%p,egress)",
    "learn(table=%t)",
    "learn(table=1,idle_timeout=%<16>,NXM_OF_VLAN_TCI[0..11],output:NXM_OF_IN_PORT[])",
    "learn(table=2,priority=%<15>,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15])",
    "learn(send_flow_rem,delete_learned,cookie=%<64>,eth_type=0x800,load:5->NXM_NX_REG1[])",
    "learn(limit=%<20>,result_dst=reg0[0],in_port=5,fin_idle_timeout=1,fin_hard_timeout=2)",
    "check_pkt_larger(%<16>)->reg0[1]",
    "delete_field:tun_metadata3",
    "encap(nsh)",
    "encap(nsh(md_type=1))",
    "encap(nsh(md_type=2,tlv(0x1000,10,0x12345678)))",
    "encap(ethernet)",
    "decap()",
    "decap(packet_type(ns=0,type=0))",
    "encap(mpls)",
    "dec_nsh_ttl",
    "meter:%<16>",
    "clear_actions",
    "write_actions(%p,dec_ttl)",
    "write_actions(set_field:%<32>->reg0,group:3)",
    "write_metadata:%<64>",
    "write_metadata:%<32>/0xffffffff",
    "goto_table:%t",
    "drop",
];

/// A form with its places filled in.
fn fill(form: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = form;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((what, tail)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            match what.parse() {
                Ok(bits) => put(&mut out, format_args!("{:#x}", random.bits(bits))),
                Err(_) => put(&mut out, format_args!("{}", random.below(64) * 4)),
            }
            rest = tail;
            continue;
        }
        if let Some((_, tail)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            rest = tail;
            continue;
        }
        let octet = |random: &mut Random| random.below(256);
        match rest.as_bytes()[0] {
            b'p' => put(&mut out, format_args!("{}", 1 + random.below(0xfe00))),
            b't' => put(&mut out, format_args!("{}", 1 + random.below(254))),
            b'r' => put(&mut out, format_args!("{}[]", format_args!("reg{}", random.below(16)))),
            b'm' => {
                let o: Vec<String> = (0..6).map(|_| format!("{:02x}", octet(random))).collect();
                out.push_str(&o.join(":"));
            }
            b'4' => {
                let o: Vec<String> = (0..4).map(|_| format!("{}", 1 + random.below(250))).collect();
                out.push_str(&o.join("."));
            }
            _ => put(&mut out, format_args!("2001:db8::{:x}", random.below(0xffff))),
        }
        rest = &rest[1..];
        // A register stands with its brackets unless a part of it is named, or where a field is.
        if out.ends_with("[]") && (rest.starts_with('[') || form.starts_with("set_field")) {
            out.truncate(out.len() - 2);
        }
    }
    out.push_str(rest);
    out
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes all");
}

/// What tells a version's flows: OpenFlow 1.0 with Nicira's matches, later versions in their own form.
fn protocol(version: Version) -> Protocols {
    if version == Version::V10 { Protocols::OF10_NXM } else { Protocols::of_version(version) }
}

fn random_flow(random: &mut Random, version: Version, forms: &mut BTreeMap<&'static str, usize>) -> Option<String> {
    let m = random_match(random);
    let mut text = format_match(&m, Some(random.bits(16) as u16), &Style::PLAIN);
    for (percent, extra) in [
        (20, "table=%t"),
        (20, "cookie=%<64>"),
        (10, "idle_timeout=%<16>"),
        (10, "hard_timeout=%<16>"),
        (5, "importance=%<16>"),
    ] {
        if random.chance(percent) {
            put(&mut text, format_args!(",{}", fill(extra, random)));
        }
    }
    let mut used = Vec::new();
    let mut actions = Vec::new();
    for _ in 0..1 + random.below(3) {
        let form = *random.pick(ACTIONS);
        used.push(form);
        actions.push(fill(form, random));
    }
    put(&mut text, format_args!(",actions={}", actions.join(",")));
    let text = text.trim_start_matches(',').to_owned();
    let parsed = parse_flow_mod(&text, Kind::Mod(FlowModCommand::Add), Names::NONE).ok()?;
    if !parsed.usable.contains(protocol(version)) {
        return None;
    }
    for form in used {
        *forms.entry(form).or_default() += 1;
    }
    Some(text)
}

/// What `parse-flows` of a side says of a file, both outputs.
fn parse_flows(side: &Side, dir: &Path, version: Version, file: &Path) -> String {
    let program = side.need("ovs-ofctl").expect("ovs-ofctl");
    let mut command = Command::new(program);
    command.current_dir(dir).args(["-vconsole:off", "-O", version.name(), "parse-flows"]).arg(file);
    let outcome = process::run(command, dir, Duration::from_secs(60)).expect("it runs");
    format!("{}{}", outcome.stdout, outcome.stderr)
}

/// Flows as they were printed, fit to be read again.
fn printed(output: &str) -> String {
    let flows = output.lines().filter_map(|line| line.split_once(": ADD ")).map(|(_, flow)| flow);
    flows.fold(String::new(), |text, flow| text + flow + "\n")
}

fn assert_same(what: &str, flows: &str, debian: &str, ours: &str) {
    if debian == ours {
        return;
    }
    let differ = debian.lines().zip(ours.lines()).filter(|(d, o)| d != o).take(10);
    let shown: Vec<String> = differ.map(|(d, o)| format!("  debian: {d}\n  troupe: {o}")).collect();
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    panic!(
        "{what}: {} flows, {} and {} lines\n{}\n  ends: {}\n  ends: {}",
        flows.lines().count(),
        debian.lines().count(),
        ours.lines().count(),
        shown.join("\n"),
        last(debian),
        last(ours)
    );
}

#[test]
fn random_flows_are_read_alike() {
    let seed = std::env::var("TROUPE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed);
    let dir = tempfile::tempdir().expect("a directory");
    let file: PathBuf = dir.path().join("flows.txt");
    let mut forms = BTreeMap::new();
    for version in Version::ALL {
        let mut random = Random(seed ^ (u64::from(version.wire()) << 56));
        let mut flows = String::new();
        for _ in 0..FLOWS {
            if let Some(flow) = random_flow(&mut random, version, &mut forms) {
                flows.push_str(&flow);
                flows.push('\n');
            }
        }
        assert!(flows.lines().count() > FLOWS / 10, "{version}: hardly a flow was valid");
        for round in ["as made", "as printed"] {
            std::fs::write(&file, &flows).expect("written");
            let debian = parse_flows(&Side::debian(), dir.path(), version, &file);
            let ours = parse_flows(&Side::troupe(), dir.path(), version, &file);
            assert_same(&format!("{version}, seed {seed}, {round}"), &flows, &debian, &ours);
            flows = printed(&debian);
        }
    }
    let missing: Vec<&&str> = ACTIONS.iter().filter(|form| !forms.contains_key(**form)).collect();
    assert!(missing.is_empty(), "in no valid flow: {missing:?}");
}
