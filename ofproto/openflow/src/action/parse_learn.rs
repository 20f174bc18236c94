//! `learn` from text.
//!
//! Source: ovs-actions(7), "The learn action".

use flow::field::Value;

use super::parse::{Parser, cannot_parse, parse_move, standard_header, subvalue};
use super::subfield::parse_int;
use super::{Action, Learn, LearnDst, LearnSpec, LearnSrc, Subfield};
use crate::words::{Words, atoi};

pub(super) fn parse_learn(parser: &mut Parser<'_>, text: &str) -> Result<Action, String> {
    let mut learn = Learn {
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        priority: crate::flow_mod::DEFAULT_PRIORITY,
        table: 1,
        cookie: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: 0,
        result_dst: None,
        specs: Vec::new(),
        long_form: false,
    };
    for (key, value) in Words(text) {
        match key {
            "table" => {
                let unknown = || format!("unknown table \"{value}\"");
                learn.table = parser.names.parse_table(value).ok_or_else(unknown)?;
                if learn.table == 255 {
                    return Err(format!("{text}: table id 255 not valid for `learn' action"));
                }
            }
            "priority" => learn.priority = atoi(value) as u16,
            "idle_timeout" => learn.idle_timeout = atoi(value) as u16,
            "hard_timeout" => learn.hard_timeout = atoi(value) as u16,
            "fin_idle_timeout" => learn.fin_idle_timeout = atoi(value) as u16,
            "fin_hard_timeout" => learn.fin_hard_timeout = atoi(value) as u16,
            "cookie" => learn.cookie = flow::text::parse_saturating(value),
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = atoi(value) as u32,
            "result_dst" => {
                let dst = Subfield::parse(value)?;
                if !dst.field.meta().writable {
                    return Err(format!("{value} is read-only"));
                }
                if dst.n_bits != 1 {
                    return Err("result_dst in 'learn' action must be a single bit".to_string());
                }
                learn.result_dst = Some(dst);
            }
            _ => learn.specs.push(spec(parser, text, key, value)?),
        }
        if learn.specs.len() > 4096 {
            return Err("input too big".to_string());
        }
    }
    Ok(Action::Learn(Box::new(learn)))
}

/// The low `n_bits` of a value as a constant.
fn immediate(value: &Value, n_bits: u16) -> LearnSrc {
    let n = usize::from(n_bits.div_ceil(8));
    let octets = value.octets();
    let mut out = vec![0; n.saturating_sub(octets.len())];
    out.extend_from_slice(&octets[octets.len().saturating_sub(n)..]);
    LearnSrc::Immediate(out)
}

fn spec(parser: &Parser<'_>, text: &str, key: &str, value: &str) -> Result<LearnSpec, String> {
    if let Ok(dst) = Subfield::parse(key) {
        return match_spec(parser, text, key, dst, value);
    }
    match key {
        "load" => load_spec(value),
        "output" => {
            let src = Subfield::parse(value)?;
            Ok(LearnSpec { src: LearnSrc::Field(src), dst: LearnDst::Output, n_bits: src.n_bits })
        }
        _ => Err(format!("{text}: unknown keyword {key}")),
    }
}

/// `field[bits]`, `field[bits]=field[bits]` or `field[bits]=constant`.
fn match_spec(parser: &Parser<'_>, text: &str, key: &str, dst: Subfield, value: &str) -> Result<LearnSpec, String> {
    let dst = standard_header(text, key, dst)?;
    let found = |src: Subfield| LearnSpec { src: LearnSrc::Field(src), dst: LearnDst::Match(dst), n_bits: dst.n_bits };
    if value.is_empty() {
        return Ok(found(dst));
    }
    let not_field = match Subfield::parse(value) {
        Ok(src) if src.n_bits == dst.n_bits => return Ok(found(src)),
        Ok(src) => {
            return Err(format!("{text}: bit widths of {key} ({}) and {value} ({}) differ", src.n_bits, dst.n_bits));
        }
        Err(e) => e,
    };
    let constant = if dst == Subfield::whole(dst.field) {
        parser.names.parse_value(dst.field, value)
    } else if parse_int(value, usize::from(dst.field.meta().n_bytes)).is_some_and(|(_, rest)| !rest.is_empty()) {
        Err(cannot_parse(text))
    } else {
        subvalue(text, value, &dst)
    };
    match constant {
        Ok(imm) => Ok(LearnSpec { src: immediate(&imm, dst.n_bits), dst: LearnDst::Match(dst), n_bits: dst.n_bits }),
        Err(not_value) => Err(format!(
            "{text}: {key} value {value} cannot be parsed as a subfield ({not_field}) or an immediate value \
             ({not_value})"
        )),
    }
}

/// `constant->field[bits]` or `field[bits]->field[bits]`.
fn load_spec(text: &str) -> Result<LearnSpec, String> {
    let Some((source, key)) = text.split_once("->") else {
        return Err(format!("load: missing `->' in `{text}'"));
    };
    if source.is_empty() {
        return Err(format!("load: missing source before `->' in `{text}'"));
    }
    let Some((value, rest)) = parse_int(text, 128) else {
        let (src, dst) = parse_move(text)?;
        return Ok(LearnSpec { src: LearnSrc::Field(src), dst: LearnDst::Load(dst), n_bits: src.n_bits });
    };
    if !rest.starts_with("->") {
        return Err(format!("load: garbage before `->' in `{text}'"));
    }
    let dst = standard_header(text, key, Subfield::parse(key)?)?;
    if (usize::from(dst.n_bits)..value.len() * 8).any(|bit| value.bit(bit)) {
        return Err(format!("{text}: value does not fit into {} bits", dst.n_bits));
    }
    Ok(LearnSpec { src: immediate(&value, dst.n_bits), dst: LearnDst::Load(dst), n_bits: dst.n_bits })
}
