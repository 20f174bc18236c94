//! Properties of actions, matches and flows: what goes out comes back, and nothing from outside panics.

use std::net::IpAddr;

use flow::field::{ALL, Field, Value};
use openflow::action::*;
use openflow::flow_mod::{Command, format_match, parse_flow_mod};
use openflow::matching::{Match, Reading, pull_match, pull_nxm, pull_of10, put_match, put_nxm};
use openflow::{Names, OfPort, Style, Version};
use proptest::collection::vec;
use proptest::prelude::*;

fn port() -> impl Strategy<Value = OfPort> {
    prop_oneof![(1u16..0xff00).prop_map(OfPort), Just(OfPort::LOCAL), Just(OfPort::IN_PORT)]
}

/// Fields that any packet has and actions may write.
fn register() -> impl Strategy<Value = Field> {
    prop_oneof![
        (0u8..16).prop_map(Field::Reg),
        (0u8..8).prop_map(Field::XReg),
        (0u8..4).prop_map(Field::XxReg),
        Just(Field::Metadata),
        Just(Field::PktMark),
        Just(Field::TunId),
    ]
}

fn subfield() -> impl Strategy<Value = Subfield> {
    (register(), any::<u16>(), any::<u16>()).prop_map(|(field, ofs, n)| {
        let width = Subfield::whole(field).n_bits;
        let ofs = ofs % width;
        Subfield { ofs, n_bits: 1 + n % (width - ofs).min(64), ..Subfield::whole(field) }
    })
}

fn subfield_pair() -> impl Strategy<Value = (Subfield, Subfield)> {
    (subfield(), subfield()).prop_map(|(mut a, mut b)| {
        let n = a.n_bits.min(b.n_bits);
        (a.n_bits, b.n_bits) = (n, n);
        (a, b)
    })
}

fn load() -> impl Strategy<Value = Action> {
    (subfield(), any::<u64>()).prop_map(|(dst, number)| {
        let n = usize::from(dst.field.meta().n_bytes);
        let (mut value, mut mask) = (Value::zeros(n), Value::zeros(n));
        value.set_subfield(dst.ofs.into(), dst.n_bits.into(), number.into());
        mask.set_subfield(dst.ofs.into(), dst.n_bits.into(), u128::MAX);
        Action::SetField(Box::new(SetField {
            field: dst.field,
            value,
            mask,
            flow_has_vlan: false,
            form: SetFieldForm::Load,
        }))
    })
}

fn nat() -> impl Strategy<Value = Action> {
    let ports = proptest::option::of((1u16..1000, proptest::option::of(1000u16..)));
    let range = (any::<u32>(), proptest::option::of(any::<u32>()), ports);
    (any::<bool>(), range, any::<bool>(), 0u8..3).prop_map(|(src, (a, b, ports), persistent, how)| {
        let low = a.min(b.unwrap_or(a)).max(1);
        let high = b.map(|b| IpAddr::V4(a.max(b).max(low).into()));
        Action::Nat(Box::new(Nat {
            direction: Some(if src { NatDirection::Src } else { NatDirection::Dst }),
            persistent,
            hash: how == 1,
            random: how == 2,
            addresses: Some((IpAddr::V4(low.into()), high)),
            ports,
        }))
    })
}

fn ct() -> impl Strategy<Value = Action> {
    (any::<u16>(), proptest::option::of(0u8..255), proptest::option::of(nat()), any::<u32>(), any::<bool>()).prop_map(
        |(zone, table, nat, mark, force)| {
            let value = Value::from_u128(mark.into(), 4);
            let set = SetField {
                field: Field::CtMark,
                value,
                mask: Value::ones(4, 32),
                flow_has_vlan: false,
                form: SetFieldForm::Load,
            };
            let actions: Vec<Action> = nat.into_iter().chain([Action::SetField(Box::new(set))]).collect();
            let zone = CtZone::Imm(zone);
            Action::Ct(Box::new(Ct { commit: true, force, table, zone, alg: 0, flags: 0, actions: actions.into() }))
        },
    )
}

fn learn() -> impl Strategy<Value = Action> {
    let spec = (subfield_pair(), 0u8..3, vec(any::<u8>(), 16)).prop_map(|((a, b), kind, octets)| {
        let n = usize::from(b.n_bits.div_ceil(8));
        let mut value = Value::from_slice(&octets[..n]);
        value.set_subfield(b.n_bits.into(), 8, 0);
        let src = if kind == 0 { LearnSrc::Immediate(value.0.to_vec()) } else { LearnSrc::Field(a) };
        let dst = if kind == 2 { LearnDst::Match(b) } else { LearnDst::Load(b) };
        LearnSpec { src, dst, n_bits: b.n_bits }
    });
    let times = (any::<u16>(), any::<u16>(), any::<u16>(), any::<u16>());
    let result =
        proptest::option::of(register().prop_map(|field| Subfield { ofs: 3, n_bits: 1, ..Subfield::whole(field) }));
    (times, any::<u16>(), 0u8..255, any::<u64>(), any::<u32>(), result, vec(spec, 0..4)).prop_map(
        |((idle, hard, fin_idle, fin_hard), priority, table, cookie, limit, result_dst, specs)| {
            Action::Learn(Box::new(Learn {
                idle_timeout: idle,
                hard_timeout: hard,
                fin_idle_timeout: fin_idle,
                fin_hard_timeout: fin_hard,
                priority,
                table,
                cookie,
                send_flow_rem: cookie & 1 != 0,
                delete_learned: cookie & 2 != 0,
                limit,
                result_dst,
                specs,
                long_form: limit != 0 || result_dst.is_some(),
            }))
        },
    )
}

/// Actions whose wire form is the same in every version up to 1.4.
fn leaf() -> impl Strategy<Value = Action> {
    prop_oneof![
        port().prop_map(|port| Action::Output { port, max_len: 0 }),
        any::<u16>().prop_map(|max_len| Action::Output { port: OfPort::CONTROLLER, max_len }),
        (subfield(), any::<bool>()).prop_map(|(src, _)| Action::OutputReg { src, max_len: 0xffff, long_form: false }),
        (port(), 14u32..).prop_map(|(port, max_len)| Action::OutputTrunc { port, max_len }),
        any::<u32>().prop_map(Action::Group),
        any::<u32>().prop_map(Action::SetQueue),
        Just(Action::PopQueue),
        Just(Action::Exit),
        Just(Action::CtClear),
        Just(Action::DecTtl(None)),
        vec(any::<u16>(), 1..4).prop_map(|ids| Action::DecTtl(Some(ids.into()))),
        vec(any::<u8>(), 6).prop_map(|octets| Action::Note(octets.into())),
        (any::<u16>(), any::<u16>()).prop_map(|(idle, hard)| Action::FinTimeout { idle, hard }),
        (port(), 0u8..255, any::<bool>()).prop_map(|(in_port, table, with_ct_orig)| {
            let form = if with_ct_orig { ResubmitForm::TableCt } else { ResubmitForm::Table };
            Action::Resubmit(Resubmit { in_port, table, with_ct_orig, form })
        }),
        subfield().prop_map(Action::StackPush),
        subfield().prop_map(Action::StackPop),
        subfield_pair().prop_map(|(src, dst)| Action::RegMove { src, dst, onf: false }),
        (any::<u16>(), register()).prop_map(|(len, field)| Action::CheckPktLarger {
            len,
            dst: Subfield { ofs: 1, n_bits: 1, ..Subfield::whole(field) }
        }),
        (1u16.., any::<u32>(), any::<u32>(), port()).prop_map(|(probability, a, b, sampling_port)| {
            Action::Sample(Box::new(Sample {
                probability,
                collector_set_id: a,
                obs_domain_id: b,
                obs_point_id: a ^ b,
                sampling_port,
                direction: SampleDirection::Egress,
                form: 3,
            }))
        }),
        load(),
        ct(),
        learn(),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let nested = leaf().prop_recursive(3, 12, 4, |inner| vec(inner, 0..4).prop_map(|list| Action::Clone(list.into())));
    vec(nested, 1..6)
}

/// A match on some fields, with what they presuppose.
fn matching() -> impl Strategy<Value = Match> {
    let base = prop_oneof![
        Just(vec![]),
        Just(vec![(Field::EthType, 0x0800), (Field::IpProto, 6)]),
        Just(vec![(Field::EthType, 0x86dd), (Field::IpProto, 17)]),
        Just(vec![(Field::EthType, 0x0806)]),
        Just(vec![(Field::EthType, 0x8847)]),
    ];
    let more = vec((0..ALL.len(), vec(any::<u8>(), 16), vec(any::<u8>(), 16), any::<bool>()), 0..6);
    (base, more).prop_map(|(base, more)| {
        let mut m = Match::any();
        for (field, number) in base {
            m.set_exact(field, number);
            m.add_ethernet_prereq(field);
        }
        for (i, value, mask, exact) in more {
            let field = ALL[i];
            let meta = field.meta();
            let n = usize::from(meta.n_bytes).min(16);
            let value = Value::from_u128(Value::from_slice(&value).to_u128() & ((1u128 << 8) - 1), n);
            let mut bits = Value::from_slice(&mask[..n]);
            if exact || !meta.maskable {
                bits = Value::ones(n, n * 8);
            }
            let value = value.and(&bits);
            // A tag without the bit that says so makes no sense as OXM.
            let skip = matches!(
                field,
                Field::TunMetadata(_) | Field::VlanTci | Field::CtState | Field::TunFlags | Field::PacketType
            );
            let numbered = openflow::nxm::header_for(field, None).is_some();
            if skip || bits.is_zero() || !numbered || !m.meets(meta.prereq) || !m.is_wild(field) {
                continue;
            }
            if field.is_value_valid(&value) {
                m.constrain(field, &value, &bits, None);
                m.add_ethernet_prereq(field);
            }
        }
        m
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn actions_survive_text(list in actions()) {
        let text = format(&list, &Style::PLAIN);
        let (again, _) = parse_actions(&text, Names::NONE).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        prop_assert_eq!(format(&again, &Style::PLAIN), text);
    }

    #[test]
    fn actions_survive_the_wire(list in actions()) {
        for version in [Version::V10, Version::V12, Version::V13, Version::V14] {
            let mut octets = Vec::new();
            put_actions(&mut octets, &list, version);
            let again = pull_actions(&octets, &Decoding::new(version));
            prop_assert_eq!(again.map(|a| a.to_vec()), Ok(list.clone()), "{}", version);
        }
    }

    #[test]
    fn actions_settle_in_every_version(list in actions()) {
        for version in Version::ALL {
            let mut once = Vec::new();
            put_instructions(&mut once, &list, version);
            let Ok(first) = pull_instructions(&once, &Decoding::new(version)) else {
                return Err(TestCaseError::fail(format!("{version} {list:?}")));
            };
            let mut twice = Vec::new();
            put_instructions(&mut twice, &first, version);
            prop_assert_eq!(&once, &twice, "{}", version);
        }
    }

    #[test]
    fn matches_survive_the_wire(m in matching()) {
        let mut octets = Vec::new();
        let len = put_nxm(&mut octets, &m, 0, 0);
        let again = pull_nxm(&octets[..len], Reading::default());
        prop_assert_eq!(again.map(|(m, _)| format_match(&m, None, &Style::PLAIN)), Ok(format_match(&m, None, &Style::PLAIN)));
        for version in [Version::V12, Version::V13, Version::V15] {
            let mut octets = Vec::new();
            put_match(&mut octets, &m, version);
            let again = pull_match(&mut &octets[..], Reading::default());
            let mut twice = Vec::new();
            put_match(&mut twice, &again.map_err(|e| TestCaseError::fail(e.code.name()))?, version);
            prop_assert_eq!(octets, twice);
        }
    }

    #[test]
    fn octets_never_panic(octets in vec(any::<u8>(), 0..200), version in 1u8..7) {
        let version = Version::from_wire(version).expect("a version");
        let _ = pull_actions(&octets, &Decoding::new(version));
        let _ = pull_instructions(&octets, &Decoding::new(version));
        let _ = pull_nxm(&octets, Reading::default());
        let _ = pull_nxm(&octets, Reading { loose: true, cookie: true, ..Reading::default() });
        let _ = pull_match(&mut &octets[..], Reading::default());
        let _ = pull_of10(&octets);
    }

    #[test]
    fn damaged_octets_never_panic(list in actions(), at in any::<usize>(), with in any::<u8>(), cut in any::<usize>()) {
        for version in Version::ALL {
            let mut octets = Vec::new();
            put_actions(&mut octets, &list, version);
            let n = octets.len();
            octets[at % n] = with;
            let _ = pull_actions(&octets, &Decoding::new(version)).map(|a| format(&a, &Style::PLAIN));
            let _ = pull_actions(&octets[..cut % n], &Decoding::new(version));
        }
    }

    #[test]
    fn text_never_panics(text in "[a-z0-9_=:,/()\\[\\]. >-]{0,60}") {
        let _ = parse_flow_mod(&text, Command::Named, Names::NONE);
        let _ = parse_actions(&text, Names::NONE);
        for key in ["learn", "ct", "bundle", "multipath", "encap", "decap", "load", "set_field", "resubmit", "nat"] {
            let _ = parse_actions(&format!("{key}({text})"), Names::NONE);
            let _ = parse_actions(&format!("{key}:{text}"), Names::NONE);
        }
    }
}

#[test]
fn nesting_has_a_limit() {
    let text = "clone(".repeat(200) + &")".repeat(200);
    assert_eq!(parse_actions(&text, Names::NONE).map(|_| ()), Err("Action nested too deeply".to_string()));
    let mut octets: Vec<u8> = Vec::new();
    for i in (1..=300u16).rev() {
        let len = i * 16;
        octets.extend([0xff, 0xff, (len >> 8) as u8, len as u8, 0, 0, 0x23, 0x20, 0, 42, 0, 0, 0, 0, 0, 0]);
    }
    assert!(pull_actions(&octets, &Decoding::new(Version::V13)).is_err());
}
