//! Actions and instructions in one internal form for every OpenFlow version.
//!
//! A list of actions is an `Arc` slice, so that rules, buckets and views share it. Instructions are actions too
//! ([`Action::Meter`], [`Action::ClearActions`], [`Action::WriteActions`], [`Action::WriteMetadata`],
//! [`Action::GotoTable`]), in the order in which they execute; `apply_actions` is the plain sequence in front of them.
//!
//! Absent here: what the actions do (the translation's matter). Source: ovs-actions(7), OpenFlow 1.0-1.5.

use std::net::IpAddr;
use std::sync::Arc;

use flow::field::{Field, Value};

use crate::OfPort;

mod check;
mod decode;
mod encode;
mod learn_wire;
mod parse;
mod parse_learn;
mod parse_nat;
mod print;
mod set;
mod subfield;
mod wire_table;

pub use check::{Check, Checked, check, check_consistency, verify};
pub use decode::{Decoding, pull_actions, pull_instructions};
pub(crate) use decode::{pull_unbound, take_actions, take_instructions};
pub use encode::{put_actions, put_instructions};
pub use parse::{parse_actions, parse_instructions};
pub use print::{format, reason_name, reason_named, write};
pub use set::{execute_action_set, is_allowed_in_set, meter, names_field, outputs_to_group, outputs_to_port};
pub(crate) use subfield::parse_int;

/// A shared list of actions; empty means drop.
pub type Actions = Arc<[Action]>;

/// Deepest nesting of action lists inside actions (`clone`, `ct`, `write_actions`).
pub const MAX_DEPTH: usize = 100;

/// A range of bits of a field, `reg0[4..7]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subfield {
    /// Which field.
    pub field: Field,
    /// First bit, counted from the least significant.
    pub ofs: u16,
    /// Number of bits, at least 1.
    pub n_bits: u16,
    /// Octets of the field's value: of a tunnel option, as many as it is mapped to where that is known.
    pub width: u16,
}

/// One action or instruction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `output:port`; `max_len` octets when to the controller.
    Output {
        /// Where.
        port: OfPort,
        /// Octets for a controller, 0xffff for no limit.
        max_len: u16,
    },
    /// `output:src[]`: to the port whose number is in a field.
    OutputReg {
        /// Where the port number is.
        src: Subfield,
        /// Octets for a controller, 0xffff for no limit.
        max_len: u16,
        /// Use NXAST_OUTPUT_REG2 even where the older form would do.
        long_form: bool,
    },
    /// `output(port=p,max_len=n)`: cut to `max_len` octets.
    OutputTrunc {
        /// Where.
        port: OfPort,
        /// Octets kept.
        max_len: u32,
    },
    /// `group:id`.
    Group(u32),
    /// `controller(...)` with anything beyond a length.
    Controller(Box<Controller>),
    /// `enqueue:port:queue`.
    Enqueue {
        /// Where.
        port: OfPort,
        /// Queue of that port.
        queue: u32,
    },
    /// `bundle(...)` and `bundle_load(...)`.
    Bundle(Box<Bundle>),
    /// `set_field:` and `load:`.
    SetField(Box<SetField>),
    /// `mod_vlan_vid:` (`push_if_needed`) and `set_vlan_vid:`.
    SetVlanVid {
        /// 12 bits.
        vid: u16,
        /// Add a tag when there is none (OpenFlow 1.0's meaning).
        push_if_needed: bool,
        /// The flow is known to match packets with a tag.
        flow_has_vlan: bool,
    },
    /// `mod_vlan_pcp:` (`push_if_needed`) and `set_vlan_pcp:`.
    SetVlanPcp {
        /// 3 bits.
        pcp: u8,
        /// Add a tag when there is none (OpenFlow 1.0's meaning).
        push_if_needed: bool,
        /// The flow is known to match packets with a tag.
        flow_has_vlan: bool,
    },
    /// `strip_vlan`, or `pop_vlan` (`pop`), which differ in text only.
    StripVlan {
        /// Written as `pop_vlan`.
        pop: bool,
    },
    /// `push_vlan:tpid`.
    PushVlan {
        /// Tag protocol identifier.
        ethertype: u16,
    },
    /// `mod_dl_src:`, 48 bits.
    SetEthSrc(u64),
    /// `mod_dl_dst:`, 48 bits.
    SetEthDst(u64),
    /// `mod_nw_src:`.
    SetIpv4Src(u32),
    /// `mod_nw_dst:`.
    SetIpv4Dst(u32),
    /// `mod_nw_tos:`: the whole octet with its two low bits zero.
    SetIpDscp(u8),
    /// `mod_nw_ecn:`, 2 bits.
    SetIpEcn(u8),
    /// `mod_nw_ttl:`.
    SetIpTtl(u8),
    /// `mod_tp_src:`.
    SetL4SrcPort {
        /// Port.
        port: u16,
        /// IP protocol that the flow is known to match, or 0.
        proto: u8,
    },
    /// `mod_tp_dst:`.
    SetL4DstPort {
        /// Port.
        port: u16,
        /// IP protocol that the flow is known to match, or 0.
        proto: u8,
    },
    /// `move:src->dst`; both have the same width.
    RegMove {
        /// From.
        src: Subfield,
        /// To.
        dst: Subfield,
        /// Use the ONF extension's form in OpenFlow 1.3.
        onf: bool,
    },
    /// `push:src`.
    StackPush(Subfield),
    /// `pop:dst`.
    StackPop(Subfield),
    /// `dec_ttl` (`None`) or `dec_ttl(ids)`: controllers to tell of an expired packet.
    DecTtl(Option<Arc<[u16]>>),
    /// `set_mpls_label:`, 20 bits.
    SetMplsLabel(u32),
    /// `set_mpls_tc:`, 3 bits.
    SetMplsTc(u8),
    /// `set_mpls_ttl:`.
    SetMplsTtl(u8),
    /// `dec_mpls_ttl`.
    DecMplsTtl,
    /// `push_mpls:ethertype`.
    PushMpls {
        /// New EtherType.
        ethertype: u16,
    },
    /// `pop_mpls:ethertype`.
    PopMpls {
        /// New EtherType.
        ethertype: u16,
    },
    /// `dec_nsh_ttl`.
    DecNshTtl,
    /// `delete_field:`.
    DeleteField(Field),
    /// `set_tunnel:` and `set_tunnel64:`.
    SetTunnel {
        /// Identifier.
        id: u64,
        /// Written as `set_tunnel64` even if `id` has 32 bits.
        wide: bool,
    },
    /// `set_queue:`.
    SetQueue(u32),
    /// `pop_queue`.
    PopQueue,
    /// `fin_timeout(...)`, seconds.
    FinTimeout {
        /// Idle timeout, 0 to leave alone.
        idle: u16,
        /// Hard timeout, 0 to leave alone.
        hard: u16,
    },
    /// `resubmit(...)`.
    Resubmit(Resubmit),
    /// `learn(...)`.
    Learn(Box<Learn>),
    /// `conjunction(id,clause/n_clauses)`; `clause` counts from 0.
    Conjunction {
        /// Identifier.
        id: u32,
        /// Dimension, from 0.
        clause: u8,
        /// Number of dimensions, 2 to 64.
        n_clauses: u8,
    },
    /// `multipath(...)`.
    Multipath(Box<Multipath>),
    /// `note:`.
    Note(Arc<[u8]>),
    /// `exit`.
    Exit,
    /// `sample(...)`.
    Sample(Box<Sample>),
    /// Internal to the translation's frozen states: which rule the following actions belong to.
    UnrollXlate {
        /// Table, or 0xff when unchanged.
        table: u8,
        /// Cookie of the rule.
        cookie: u64,
    },
    /// `ct(...)`.
    Ct(Box<Ct>),
    /// `ct_clear`.
    CtClear,
    /// `nat(...)`, within `ct` only.
    Nat(Box<Nat>),
    /// `clone(...)`.
    Clone(Actions),
    /// `check_pkt_larger(len)->dst`.
    CheckPktLarger {
        /// Octets.
        len: u16,
        /// One bit.
        dst: Subfield,
    },
    /// `encap(...)`.
    Encap(Box<Encap>),
    /// `decap()` and `decap(packet_type(...))`.
    Decap {
        /// Packet type wanted behind the header.
        new_packet_type: Option<u32>,
    },
    /// `debug_recirc`.
    DebugRecirc,
    /// `debug_slow`.
    DebugSlow,
    /// `meter:`.
    Meter(u32),
    /// `clear_actions`.
    ClearActions,
    /// `write_actions(...)`.
    WriteActions(Actions),
    /// `write_metadata:value/mask`.
    WriteMetadata {
        /// Value.
        metadata: u64,
        /// Bits to write.
        mask: u64,
    },
    /// `goto_table:`.
    GotoTable(u8),
}

/// Parameters of [`Action::Controller`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Controller {
    /// Octets of the packet.
    pub max_len: u16,
    /// Which controllers.
    pub controller_id: u16,
    /// Packet-in reason number (OpenFlow 1.4's set).
    pub reason: u8,
    /// Opaque octets for the packet-in.
    pub userdata: Vec<u8>,
    /// Stop here until the controller resumes.
    pub pause: bool,
    /// Meter that limits the packet-ins.
    pub meter_id: Option<u32>,
    /// Use the property form (NXAST_CONTROLLER2) even where the short one would do.
    pub property_form: bool,
}

/// How a `set_field` was written, which decides its text and its wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetFieldForm {
    /// `set_field:value->field`.
    SetField,
    /// `load:value->field[bits]`.
    Load,
    /// NXAST_REG_LOAD2; written as `set_field`.
    LongLoad,
}

/// Parameters of [`Action::SetField`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetField {
    /// Which field.
    pub field: Field,
    /// New value; bits outside `mask` are zero.
    pub value: Value,
    /// Bits to write.
    pub mask: Value,
    /// For VLAN fields: the flow is known to match packets with a tag.
    pub flow_has_vlan: bool,
    /// Text and wire form.
    pub form: SetFieldForm,
}

/// Parameters of [`Action::Resubmit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resubmit {
    /// Input port to look up with; [`OfPort::IN_PORT`] keeps the present one.
    pub in_port: OfPort,
    /// Table; 0xff is the present one.
    pub table: u8,
    /// Look up the connection's original tuple instead of the packet's.
    pub with_ct_orig: bool,
    /// Which of the wire forms (`resubmit:port` or `resubmit(port,table)`).
    pub form: ResubmitForm,
}

/// Wire form of a `resubmit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResubmitForm {
    /// NXAST_RESUBMIT: port only.
    Port,
    /// NXAST_RESUBMIT_TABLE.
    Table,
    /// NXAST_RESUBMIT_TABLE_CT.
    TableCt,
}

/// Hash fields of `multipath` and `bundle`, in the order of their numbers on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashFields {
    /// `eth_src`.
    EthSrc,
    /// `symmetric_l4`.
    SymmetricL4,
    /// `symmetric_l3l4`.
    SymmetricL3L4,
    /// `symmetric_l3l4+udp`.
    SymmetricL3L4Udp,
    /// `nw_src`.
    NwSrc,
    /// `nw_dst`.
    NwDst,
    /// `symmetric_l3`.
    SymmetricL3,
    /// Another number, which `bundle_load` takes; nothing is hashed.
    Unknown(u16),
}

impl HashFields {
    const KNOWN: [HashFields; 7] = [
        HashFields::EthSrc,
        HashFields::SymmetricL4,
        HashFields::SymmetricL3L4,
        HashFields::SymmetricL3L4Udp,
        HashFields::NwSrc,
        HashFields::NwDst,
        HashFields::SymmetricL3,
    ];

    /// Those of a number on the wire.
    pub fn from_wire(number: u16) -> HashFields {
        HashFields::KNOWN.get(usize::from(number)).copied().unwrap_or(HashFields::Unknown(number))
    }

    /// The number on the wire.
    pub fn wire(self) -> u16 {
        match self {
            HashFields::Unknown(number) => number,
            known => HashFields::KNOWN.iter().position(|f| *f == known).unwrap_or_default() as u16,
        }
    }

    /// Whether there is something to hash.
    pub fn is_known(self) -> bool {
        !matches!(self, HashFields::Unknown(_))
    }
}

/// Algorithm of [`Bundle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BundleAlgorithm {
    /// `active_backup`: number 0.
    ActiveBackup,
    /// `hrw`, highest random weight: number 1.
    Hrw,
    /// Another number, which `bundle_load` takes; chooses as `active_backup` does.
    Unknown(u16),
}

impl BundleAlgorithm {
    /// That of a number on the wire.
    pub fn from_wire(number: u16) -> BundleAlgorithm {
        match number {
            0 => BundleAlgorithm::ActiveBackup,
            1 => BundleAlgorithm::Hrw,
            other => BundleAlgorithm::Unknown(other),
        }
    }

    /// The number on the wire.
    pub fn wire(self) -> u16 {
        match self {
            BundleAlgorithm::ActiveBackup => 0,
            BundleAlgorithm::Hrw => 1,
            BundleAlgorithm::Unknown(number) => number,
        }
    }
}

/// Algorithm of [`Multipath`]; the number is the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum MultipathAlgorithm {
    /// `modulo_n`.
    ModuloN = 0,
    /// `hash_threshold`.
    HashThreshold = 1,
    /// `hrw`, highest random weight.
    Hrw = 2,
    /// `iter_hash`.
    IterHash = 3,
}

/// Parameters of [`Action::Multipath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Multipath {
    /// What to hash.
    pub fields: HashFields,
    /// Basis of the hash.
    pub basis: u16,
    /// How to choose a link.
    pub algorithm: MultipathAlgorithm,
    /// Number of links minus one.
    pub max_link: u16,
    /// Argument of the algorithm.
    pub arg: u32,
    /// Where the link goes.
    pub dst: Subfield,
}

/// Parameters of [`Action::Bundle`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bundle {
    /// What to hash.
    pub fields: HashFields,
    /// Basis of the hash.
    pub basis: u16,
    /// How to choose a member.
    pub algorithm: BundleAlgorithm,
    /// `bundle_load`: write the port number here instead of sending.
    pub dst: Option<Subfield>,
    /// Candidates in order of preference.
    pub members: Vec<OfPort>,
}

/// Parameters of [`Action::Learn`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Learn {
    /// Seconds.
    pub idle_timeout: u16,
    /// Seconds.
    pub hard_timeout: u16,
    /// Seconds.
    pub fin_idle_timeout: u16,
    /// Seconds.
    pub fin_hard_timeout: u16,
    /// Priority of the new rule.
    pub priority: u16,
    /// Table of the new rule.
    pub table: u8,
    /// Cookie of the new rule.
    pub cookie: u64,
    /// `send_flow_rem`.
    pub send_flow_rem: bool,
    /// `delete_learned`.
    pub delete_learned: bool,
    /// Most rules with this cookie in the table, 0 for no limit.
    pub limit: u32,
    /// Where to write whether the rule was added (1) or the limit forbade it (0).
    pub result_dst: Option<Subfield>,
    /// What the new rule matches and does.
    pub specs: Vec<LearnSpec>,
    /// Use the NXAST_LEARN2 form even where the short one would do.
    pub long_form: bool,
}

/// One `learn` specification.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LearnSpec {
    /// Where the bits come from.
    pub src: LearnSrc,
    /// Where they go.
    pub dst: LearnDst,
    /// How many bits.
    pub n_bits: u16,
}

/// Source of a [`LearnSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LearnSrc {
    /// Bits of a field of the packet.
    Field(Subfield),
    /// A constant, right-justified, big-endian, `ceil(n_bits / 8)` octets.
    Immediate(Vec<u8>),
}

/// Destination of a [`LearnSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LearnDst {
    /// The new rule matches these bits.
    Match(Subfield),
    /// The new rule has an action that loads these bits.
    Load(Subfield),
    /// The new rule outputs to the port with this number.
    Output,
}

/// Packets that a `sample` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleDirection {
    /// As the exporter decides.
    Default,
    /// As they came in.
    Ingress,
    /// As they go out.
    Egress,
}

/// Parameters of [`Action::Sample`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Of 65536, at least 1.
    pub probability: u16,
    /// Flow_Sample_Collector_Set id.
    pub collector_set_id: u32,
    /// Observation domain.
    pub obs_domain_id: u32,
    /// Observation point.
    pub obs_point_id: u32,
    /// Port whose packets are sampled, [`OfPort::NONE`] for none.
    pub sampling_port: OfPort,
    /// Which way.
    pub direction: SampleDirection,
    /// Wire form: 1, 2 or 3 (NXAST_SAMPLE, SAMPLE2, SAMPLE3).
    pub form: u8,
}

/// Zone of a [`Ct`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtZone {
    /// A number.
    Imm(u16),
    /// From a field of at most 16 bits.
    Field(Subfield),
}

/// Parameters of [`Action::Ct`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ct {
    /// `commit`.
    pub commit: bool,
    /// `force`.
    pub force: bool,
    /// Table to go on in, `None` to go on with the next action untracked.
    pub table: Option<u8>,
    /// Zone.
    pub zone: CtZone,
    /// Helper: port number of the protocol (21 ftp, 69 tftp), 0 for none.
    pub alg: u16,
    /// Unknown flag bits, kept for the wire.
    pub flags: u16,
    /// `nat(...)` first, then what `exec(...)` holds: `set_field`, `load`, `move` on ct_mark and ct_label.
    pub actions: Actions,
}

/// Parameters of [`Action::Nat`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Nat {
    /// `src`, `dst`, or neither.
    pub direction: Option<NatDirection>,
    /// `persistent`.
    pub persistent: bool,
    /// `hash`.
    pub hash: bool,
    /// `random`.
    pub random: bool,
    /// First address, and the last where it differs.
    pub addresses: Option<(IpAddr, Option<IpAddr>)>,
    /// First port, and the last where it differs.
    pub ports: Option<(u16, Option<u16>)>,
}

/// Which address a [`Nat`] rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatDirection {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// Parameters of [`Action::Encap`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Encap {
    /// Packet type of the new header: name space in the upper half, type in the lower.
    pub new_packet_type: u32,
    /// Octets of header, 0 for the default.
    pub hdr_size: u16,
    /// Properties in order.
    pub props: Vec<EncapProp>,
}

/// A property of [`Encap`], of class NSH.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EncapProp {
    /// `md_type=`.
    NshMdType(u8),
    /// `tlv(class,type,value)`.
    NshTlv {
        /// Class.
        class: u16,
        /// Type.
        kind: u8,
        /// Octets of the value.
        len: u8,
        /// Value, and what fills it up to a multiple of 8 octets, which is kept as it came.
        data: Vec<u8>,
    },
}
