//! Texts of flows, groups, meters and packet-outs: every field and every action, nested three deep.
//!
//! A form is a text with places to fill in. What comes out is mostly valid; whether it is, the parsers say.
//!
//! ```text
//! %p port   %t table   %r register   %m, %4, %6 addresses   %o octets as in a note   %<N> a number of N bits
//! %{A} actions   %{S} actions of an action set   %{C} actions of a connection   %{B} what a bucket does
//! %{V} value->field   %{L} load's value->subfield   %{M} move's subfield->subfield   %{R}, %{W} a subfield to read, to write
//! %{W1} a bit to write   %{W16} 16 bits or more to write   %{K} what ct is told   %{N} what nat is   %{P} what learn matches and does
//! %{F} members of a bundle   %{H} fields that are hashed
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use flow::field::{ALL, Field, Meta, Prereq, Value, text as field_text};
use harness::random::Random;
use openflow::flow_mod::{Command as Kind, FlowModCommand, format_match, parse_flow_mod};
use openflow::matching::Match;
use openflow::{Names, Style};

/// How deep actions nest.
const DEPTH: usize = 3;

/// What a match may start from, so that all fields get their turn.
const GROUNDS: [&str; 22] = [
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
    "packet_type=(1,0x800)",
    "packet_type=(1,0x894f)",
];

/// Every action of ovs-actions(7).
pub const ACTIONS: &[&str] = &[
    "%p",
    "output:%p",
    "output(port=%p,max_len=%<16>)",
    "output:%{R}",
    "in_port",
    "IN_PORT",
    "normal",
    "flood",
    "all",
    "local",
    "table",
    "controller",
    "controller:%<12>",
    "controller(max_len=%<16>,id=%<16>)",
    "controller(reason=invalid_ttl)",
    "controller(reason=no_match,userdata=%o)",
    "controller(reason=action,pause,id=%<8>)",
    "controller(meter_id=%<10>)",
    "controller(max_len=%<16>,reason=invalid_ttl,id=%<16>,userdata=%o,pause,meter_id=%<32>)",
    "enqueue(%p,%<32>)",
    "enqueue:%p:%<16>",
    "group:%<32>",
    "set_queue:%<32>",
    "pop_queue",
    "strip_vlan",
    "pop_vlan",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "mod_vlan_vid:%<12>",
    "mod_vlan_pcp:%<3>",
    "set_vlan_vid:%<12>",
    "set_vlan_pcp:%<3>",
    "push_mpls:0x8847",
    "push_mpls:0x8848",
    "pop_mpls:0x%<16>",
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
    "dec_ttl(%<16>)",
    "dec_ttl(%<16>,%<16>,%<16>)",
    "set_tunnel:%<32>",
    "set_tunnel:%<64>",
    "set_tunnel64:%<64>",
    "set_field:%{V}",
    "set_field:%{V}",
    "set_field:%{V}",
    "set_field:%{V}",
    "load:%{L}",
    "load:%{L}",
    "load:%{L}",
    "move:%{M}",
    "move:%{M}",
    "push:%{R}",
    "pop:%{W}",
    "resubmit:%p",
    "resubmit(%p,%t)",
    "resubmit(,%t)",
    "resubmit(%p,)",
    "resubmit(in_port,%t)",
    "resubmit(,%t,ct)",
    "resubmit(%p,%t,ct)",
    "exit",
    "note:%o",
    "conjunction(%<32>,1/2)",
    "conjunction(%<16>,3/64)",
    "ct",
    "ct(%{K})",
    "ct(%{K},%{K})",
    "ct(commit,%{K},%{K},%{K})",
    "ct(commit,nat(%{N}))",
    "ct(nat(%{N}),table=%t)",
    "ct(commit,exec(%{C}),%{K})",
    "ct(exec(%{C}))",
    "ct_clear",
    "clone(%{A})",
    "clone()",
    "multipath(%{H},%<16>,modulo_n,%<10>,%<32>,%{W16})",
    "multipath(%{H},%<16>,hash_threshold,%<4>,0,%{W16})",
    "multipath(%{H},50,hrw,12,%<16>,%{W16})",
    "multipath(%{H},1,iter_hash,4,2,%{W16})",
    "bundle(%{H},%<16>,hrw,ofport,members:%{F})",
    "bundle(%{H},60,active_backup,ofport,members:%{F})",
    "bundle_load(%{H},%<16>,hrw,ofport,%{W16},members:%{F})",
    "bundle_load(%{H},0,active_backup,ofport,%{W16},members:%{F})",
    "fin_timeout(idle_timeout=%<16>,hard_timeout=%<16>)",
    "fin_timeout(hard_timeout=%<16>)",
    "fin_timeout(idle_timeout=%<16>)",
    "sample(probability=%<16>,collector_set_id=%<32>,obs_domain_id=%<32>,obs_point_id=%<32>)",
    "sample(probability=%<16>)",
    "sample(probability=7,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=%p,egress)",
    "sample(probability=7,obs_point_id=3,sampling_port=%p,ingress)",
    "learn(%{P})",
    "learn(table=%t,%{P},%{P})",
    "learn(table=%t,idle_timeout=%<16>,hard_timeout=%<16>,priority=%<16>,cookie=%<64>,%{P},%{P},%{P})",
    "learn(send_flow_rem,delete_learned,fin_idle_timeout=%<16>,fin_hard_timeout=%<16>,%{P})",
    "learn(limit=%<32>,result_dst=%{W1},%{P})",
    "check_pkt_larger(%<16>)->%{W1}",
    "delete_field:tun_metadata%<6>",
    "encap(nsh)",
    "encap(nsh(md_type=1))",
    "encap(nsh(md_type=2))",
    "encap(nsh(md_type=2,tlv(%<16>,%<8>,0x12345678)))",
    "encap(nsh(md_type=2,tlv(0x1000,10,0x12),tlv(%<16>,%<8>,0xfedcba9876543210)))",
    "encap(ethernet)",
    "encap(mpls)",
    "encap(mpls_mc)",
    "decap()",
    "decap",
    "decap(packet_type(ns=0,type=0))",
    "decap(packet_type(ns=1,type=%<16>))",
    "dec_nsh_ttl",
    "meter:%<32>",
    "clear_actions",
    "write_actions(%{S})",
    "write_actions(drop)",
    "write_metadata:%<64>",
    "write_metadata:%<64>/%<64>",
    "goto_table:%t",
    "drop",
];

/// What an action set takes.
const SET_ACTIONS: &[&str] = &[
    "%p",
    "output:%p",
    "group:%<31>",
    "set_field:%{V}",
    "set_field:%{V}",
    "load:%{L}",
    "move:%{M}",
    "dec_ttl",
    "dec_mpls_ttl",
    "pop_vlan",
    "push_vlan:0x8100",
    "push_mpls:0x8847",
    "pop_mpls:0x0800",
    "set_queue:%<32>",
    "mod_vlan_vid:%<12>",
    "mod_nw_ttl:%<8>",
    "set_tunnel:%<32>",
    "ct(%{K})",
    "resubmit(,%t)",
    "encap(ethernet)",
    "meter:%<16>",
];

/// What a bucket does.
const BUCKET_ACTIONS: &[&str] = &["%p", "output:%p", "set_field:%{V}", "resubmit(,%t)", "%{A}", "group:%<31>", "drop"];

/// What may be done to a connection, and a little else.
const CONNECTION: &[&str] = &[
    "set_field:%<32>->ct_mark",
    "set_field:%<32>/%<32>->ct_mark",
    "set_field:0x%<128>->ct_label",
    "set_field:0x%<128>/0x%<128>->ct_label",
    "load:%<32>->NXM_NX_CT_MARK[]",
    "load:%<8>->NXM_NX_CT_LABEL[8..15]",
    "load:%<64>->NXM_NX_CT_LABEL[64..127]",
    "move:NXM_NX_REG%<4>[]->NXM_NX_CT_MARK[]",
    "move:NXM_NX_XXREG1[]->NXM_NX_CT_LABEL[]",
    "set_field:%<32>->reg3",
];

/// What ct is told.
const CT: &[&str] = &[
    "commit",
    "force",
    "zone=%<16>",
    "zone=%{R16}",
    "table=%t",
    "alg=ftp",
    "alg=tftp",
    "nat",
    "nat(%{N})",
    "exec(%{C})",
];

/// What nat is.
const NAT: &[&str] = &[
    "src",
    "dst",
    "src=%4",
    "dst=%4",
    "src=%4:%<16>",
    "dst=10.0.0.1-10.0.0.9:100-200,random",
    "src=10.0.0.1-10.0.0.1,persistent,hash",
    "src=10.0.0.1-10.0.%<8>.9,hash",
    "dst=[%6]:80",
    "dst=%6",
    "src=%6-%6",
    "src=[fe80::20c:29ff:fe88:a18b]-[fe80::20c:29ff:fe88:ffff]:%<16>-%<16>,random,persistent",
    "src,random",
    "random",
];

/// What learn matches and does.
const LEARN: &[&str] = &[
    "NXM_OF_VLAN_TCI[0..11]",
    "output:NXM_OF_IN_PORT[]",
    "output:%{R16}",
    "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]",
    "NXM_OF_ETH_DST[%<5>..40]=NXM_OF_ETH_SRC[]",
    "eth_dst=eth_src",
    "eth_type=0x800",
    "eth_type=0x86dd,nw_proto=6",
    "dl_vlan=%<12>",
    "tcp,tcp_dst=%<16>",
    "in_port=%p",
    "reg%<4>=%<32>",
    "reg1[%<4>..20]=%<8>",
    "xxreg1=0x%<128>",
    "ct_label=0x%<128>",
    "ip_dst=%4",
    "eth_type=0x800,ip_dst=%4",
    "eth_type=0x86dd,ipv6_src=%6",
    "ipv6_src[]=ipv6_dst[]",
    "NXM_NX_TUN_ID[]",
    "NXM_OF_IP_DST[]=NXM_OF_IP_SRC[]",
    "eth_type=0x800,NXM_OF_IP_DST[]=NXM_OF_IP_SRC[]",
    "eth_type=0x800,nw_proto=17,NXM_OF_UDP_DST[]=NXM_OF_UDP_SRC[]",
    "%{R}",
    "%{R}=%{R}",
    "%{R}=%<16>",
    "load:%{L}",
    "load:%{M}",
    "load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]",
];

const HASHES: [&str; 8] =
    ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3", "eth_src"];

const PORTS: [&str; 9] = ["in_port", "LOCAL", "normal", "flood", "all", "controller", "none", "65533", "0xfffffffa"];

pub fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a string takes all");
}

/// Makes texts, and keeps count of the actions that it took.
pub struct Author {
    pub random: Random,
    forms: Vec<&'static str>,
    pub used: BTreeMap<&'static str, usize>,
}

impl Author {
    pub fn new(seed: u64) -> Author {
        Author { random: Random::new(seed), forms: Vec::new(), used: BTreeMap::new() }
    }

    /// Counts the actions of the last text as used.
    pub fn count(&mut self) {
        for form in std::mem::take(&mut self.forms) {
            *self.used.entry(form).or_default() += 1;
        }
    }

    /// A flow: match, what else there is to say, actions.
    pub fn flow(&mut self) -> String {
        self.forms.clear();
        let m = self.matching();
        let priority = self.random.chance(70).then(|| self.random.bits(16) as u16);
        let mut text = format_match(&m, priority, &Style::PLAIN);
        for (percent, extra) in [
            (20, "table=%t"),
            (20, "cookie=%<64>"),
            (10, "idle_timeout=%<16>"),
            (10, "hard_timeout=%<16>"),
            (5, "importance=%<16>"),
            (5, "send_flow_rem"),
            (3, "check_overlap"),
            (3, "reset_counts"),
            (2, "no_packet_counts"),
            (2, "no_byte_counts"),
            (2, "out_port=%p"),
            (2, "tun_metadata0=%<16>"),
            (2, "tun_metadata%<6>=%<16>/%<16>"),
        ] {
            if self.random.chance(percent) {
                let extra = self.fill(extra, 0);
                put(&mut text, format_args!(",{extra}"));
            }
        }
        let actions = self.actions(ACTIONS, 0);
        put(&mut text, format_args!(",actions={actions}"));
        text.trim_start_matches(',').to_owned()
    }

    /// A group of up to four buckets.
    pub fn group(&mut self) -> String {
        self.forms.clear();
        let kind = *self.random.pick(&["all", "select", "indirect", "ff", "fast_failover"]);
        let mut text = self.fill("group_id=%<31>,type=", 0) + kind;
        if kind == "select" && self.random.chance(50) {
            let method = *self.random.pick(&[
                ",selection_method=hash",
                ",selection_method=hash,fields(ip_src,ip_dst=255.255.%<8>.0)",
                ",selection_method=hash,fields=eth_dst,selection_method_param=%<64>",
                ",selection_method=dp_hash,selection_method_param=%<64>",
            ]);
            text += &self.fill(method, 0);
        }
        let most = if kind == "indirect" { 1 } else { 4 };
        for _ in 0..1 + self.random.below(most) {
            text += ",bucket=";
            for (percent, what) in
                [(40, "bucket_id:%<16>,"), (30, "watch_port:%p,"), (20, "watch_group:%<24>,"), (20, "weight:%<16>,")]
            {
                let fits = match what.as_bytes()[2] {
                    b'i' => kind == "select",
                    _ => true,
                };
                if fits && self.random.chance(percent) {
                    text += &self.fill(what, 0);
                }
            }
            text += &self.actions(BUCKET_ACTIONS, 1);
        }
        text
    }

    /// A meter of up to three bands.
    pub fn meter(&mut self) -> String {
        let mut text = self.fill("meter=%<24>,", 0);
        text += *self.random.pick(&["kbps", "pktps", "kbps,stats", "pktps,stats"]);
        let burst = self.random.chance(50);
        text += if burst { ",burst" } else { "" };
        text += ",bands=";
        for n in 0..1 + self.random.below(3) {
            text += if n > 0 { "," } else { "" };
            let band = *self.random.pick(&["type=drop,rate=%<32>", "type=dscp_remark,rate=%<32>,prec_level=%<8>"]);
            text += &self.fill(band, 0);
            if burst {
                text += &self.fill(",burst_size=%<32>", 0);
            }
        }
        text
    }

    /// A packet-out.
    pub fn packet_out(&mut self) -> String {
        self.forms.clear();
        let mut text = self.fill("in_port=%p", 0);
        for (percent, what) in [(10, ",metadata=%<64>"), (10, ",reg%<4>=%<32>"), (10, ",tun_id=%<64>")] {
            if self.random.chance(percent) {
                text += &self.fill(what, 0);
            }
        }
        text += ",packet=";
        for _ in 0..14 + self.random.below(60) {
            put(&mut text, format_args!("{:02x}", self.random.below(256)));
        }
        text + ",actions=" + &self.actions(ACTIONS, 0)
    }

    /// A few actions, with commas between.
    fn actions(&mut self, forms: &'static [&'static str], depth: usize) -> String {
        let few: Vec<String> = (0..1 + self.random.below(3))
            .map(|_| {
                let form = *self.random.pick(forms);
                if depth == 0 {
                    self.forms.push(form);
                }
                self.fill(form, depth)
            })
            .collect();
        few.join(",")
    }

    fn matching(&mut self) -> Match {
        let random = &mut self.random;
        let ground = *random.pick(&GROUNDS);
        let parsed = parse_flow_mod(&format!("{ground},actions=drop"), Kind::Mod(FlowModCommand::Add), Names::NONE);
        let mut m = parsed.expect("a ground").flow_mod.matching;
        for _ in 0..random.below(7) {
            let meta = random.pick(&ALL).meta();
            let field = meta.field;
            // Numbered fields would drown the others, tunnel options need the switch's table, and what a field depends on
            // is what the ground is for.
            let skip = matches!(field, Field::TunMetadata(_) | Field::EthType | Field::IpProto | Field::PacketType)
                || (field.is_register() && random.chance(70));
            // Addresses of connections that are not the packet's kind are refused.
            let skip = skip
                || (matches!(field, Field::CtIpv6Src | Field::CtIpv6Dst) && m.dl_type() != 0x86dd)
                || (matches!(field, Field::CtNwSrc | Field::CtNwDst) && m.dl_type() != 0x0800);
            if skip || !m.is_wild(field) || (meta.prereq != Prereq::None && !m.meets(meta.prereq)) {
                continue;
            }
            let (value, mask) = value_and_mask(random, meta);
            if !mask.is_zero() && field.is_value_valid(&value) {
                m.constrain(field, &value, &mask, None);
            }
        }
        m
    }

    /// A form with its places filled in.
    fn fill(&mut self, form: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = form;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some((what, tail)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
                let hex_already = out.ends_with("0x");
                match what.parse() {
                    Ok(bits) if hex_already => put(&mut out, format_args!("{:x}", self.random.bits(bits))),
                    Ok(bits) if bits > 12 => put(&mut out, format_args!("{:#x}", self.random.bits(bits))),
                    Ok(bits) => put(&mut out, format_args!("{}", self.random.bits(bits))),
                    Err(_) => put(&mut out, format_args!("{}", self.random.below(64) * 4)),
                }
                rest = tail;
            } else if let Some((what, tail)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
                let filled = self.place(what, depth);
                out.push_str(&filled);
                rest = tail;
            } else {
                self.simple(&mut out, rest.as_bytes()[0]);
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        out
    }

    fn simple(&mut self, out: &mut String, what: u8) {
        let random = &mut self.random;
        match what {
            b'p' if random.chance(6) => out.push_str(random.pick::<&str>(&PORTS)),
            b'p' => put(out, format_args!("{}", 1 + random.below(0xfe00))),
            b't' => put(out, format_args!("{}", random.below(255))),
            b'r' => put(out, format_args!("reg{}", random.below(16))),
            b'm' | b'o' => {
                let (n, between) = if what == b'm' { (6, ":") } else { (1 + random.below(12), ".") };
                let o: Vec<String> = (0..n).map(|_| format!("{:02x}", random.below(256))).collect();
                out.push_str(&o.join(between));
            }
            b'4' => {
                let o: Vec<String> = (0..4).map(|_| format!("{}", 1 + random.below(250))).collect();
                out.push_str(&o.join("."));
            }
            _ => put(out, format_args!("2001:db8::{:x}", random.below(0xffff))),
        }
    }

    fn place(&mut self, what: &str, depth: usize) -> String {
        if depth >= DEPTH && matches!(what, "A" | "S" | "C" | "P" | "K") {
            return if what == "P" || what == "K" { "table=1".to_owned() } else { "drop".to_owned() };
        }
        match what {
            "A" => self.actions(ACTIONS, depth + 1),
            "S" => self.actions(SET_ACTIONS, depth + 1),
            "C" => self.actions(CONNECTION, depth + 1),
            "P" | "K" | "N" => {
                let forms = match what {
                    "P" => LEARN,
                    "K" => CT,
                    _ => NAT,
                };
                let form = *self.random.pick(forms);
                self.fill(form, depth + 1)
            }
            "H" => (*self.random.pick(&HASHES)).to_owned(),
            "F" => {
                let members: Vec<String> = (0..self.random.below(7)).map(|_| self.fill("%p", depth)).collect();
                members.join(",")
            }
            "V" => self.assignment(),
            "L" => {
                let (subfield, width) = self.subfield(true, 1, 64);
                format!("{:#x}->{subfield}", self.random.bits(width))
            }
            "M" => {
                let (to, width) = self.subfield(true, 1, 128);
                format!("{}->{to}", self.subfield(false, width, width).0)
            }
            "R" => self.subfield(false, 1, 128).0,
            "R16" => self.subfield(false, 16, 16).0,
            "W" => self.subfield(true, 1, 128).0,
            "W1" => self.subfield(true, 1, 1).0,
            "W16" => self.subfield(true, 16, 64).0,
            _ => panic!("{what}: no such place"),
        }
    }

    /// A field that is at least as wide, and what an action may write, for the most part.
    fn field(&mut self, to_write: bool, width: u32) -> &'static Meta {
        for _ in 0..200 {
            let meta = self.random.pick(&ALL).meta();
            let numbered = matches!(meta.field, Field::TunMetadata(_)) || meta.field.is_register();
            let drowned = numbered && self.random.chance(80);
            let unfit = to_write && !meta.writable && self.random.chance(97);
            if !drowned && !unfit && u32::from(meta.n_bits) >= width && !meta.headers.is_empty() {
                return meta;
            }
        }
        Field::XxReg(0).meta()
    }

    /// `field[]`, `field[bit]` or `field[first..last]` of so many bits, and of how many.
    fn subfield(&mut self, to_write: bool, least: u32, most: u32) -> (String, u32) {
        let meta = self.field(to_write, least);
        let has = u32::from(meta.n_bits);
        let name = if self.random.chance(50) { self.random.pick(meta.headers).name } else { meta.name };
        if has <= most && self.random.chance(50) {
            return (format!("{name}[]"), has);
        }
        let width = least + self.random.below((most.min(has) - least + 1) as usize) as u32;
        let first = self.random.below((has - width + 1) as usize) as u32;
        if width == 1 && self.random.chance(60) {
            return (format!("{name}[{first}]"), 1);
        }
        (format!("{name}[{first}..{}]", first + width - 1), width)
    }

    /// What set_field is told: a value, a mask perhaps, and the field.
    fn assignment(&mut self) -> String {
        let meta = self.field(true, 1);
        let (value, mask) = value_and_mask(&mut self.random, meta);
        let partial = !mask.is_zero() && self.random.chance(40);
        let name = if self.random.chance(15) { self.random.pick(meta.headers).name } else { meta.name };
        format!("{}->{name}", field_text::format(meta.field, &value, partial.then_some(&mask), None))
    }
}

/// A value of the field within its mask; the mask of all octets' bits where it is exact.
fn value_and_mask(random: &mut Random, meta: &Meta) -> (Value, Value) {
    let n = usize::from(meta.n_bytes);
    let value = Value::from_u128(random.bits(meta.n_bits.into()), n);
    let exact = Value::ones(n, meta.n_bits.into());
    let mask = if meta.maskable && random.chance(40) {
        Value::from_u128(random.bits(meta.n_bits.into()) & exact.to_u128(), n)
    } else {
        Value::ones(n, n * 8)
    };
    (value.and(&mask), mask)
}
