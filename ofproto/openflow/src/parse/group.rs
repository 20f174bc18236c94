//! Groups from text: `group_id=1,type=select,bucket=weight:5,output:1`.

use flow::field::{Field, Value, text as field_text};

use crate::action;
use crate::flow_mod::usable_for;
use crate::message::group::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, Bucket, GROUP_ALL, GROUP_ANY, GROUP_MAX, GroupCommand, GroupMod,
    GroupProps, GroupType,
};
use crate::names::Names;
use crate::words::{Words, u16_of, u32_of, u64_of};
use crate::{OfPort, Protocols};

/// Longest name of a selection method.
const METHOD_MAX: usize = 15;

/// A group's number, `any` or `all`.
pub fn group_id(text: &str) -> Option<u32> {
    match text {
        t if t.eq_ignore_ascii_case("any") => Some(GROUP_ANY),
        t if t.eq_ignore_ascii_case("all") => Some(GROUP_ALL),
        t => t.parse::<u32>().ok().or_else(|| {
            let hex = t.strip_prefix("0x").or_else(|| t.strip_prefix("0X"))?;
            u32::from_str_radix(hex, 16).ok()
        }),
    }
}

/// What words a command takes.
struct Takes {
    kind: bool,
    bucket: bool,
    bucket_required: bool,
    command_bucket: bool,
    command_bucket_required: bool,
}

fn takes(command: Option<GroupCommand>) -> Takes {
    match command {
        Some(GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrMod) => Takes {
            kind: true,
            bucket: true,
            bucket_required: true,
            command_bucket: false,
            command_bucket_required: false,
        },
        Some(GroupCommand::InsertBucket) => Takes {
            kind: false,
            bucket: true,
            bucket_required: true,
            command_bucket: true,
            command_bucket_required: true,
        },
        Some(GroupCommand::RemoveBucket) => Takes {
            kind: false,
            bucket: false,
            bucket_required: false,
            command_bucket: true,
            command_bucket_required: false,
        },
        Some(GroupCommand::Delete) | None => Takes {
            kind: false,
            bucket: false,
            bucket_required: false,
            command_bucket: false,
            command_bucket_required: false,
        },
    }
}

/// Reads a group-mod. Without a command the text may name one first (`add`, `modify`, `add_or_mod`, `delete`,
/// `insert_bucket`, `remove_bucket`); `add` if it does not. Returns the protocols that can say it beside it.
///
/// # Errors
/// A text for a user.
pub fn parse_group_mod(
    text: &str,
    command: Option<GroupCommand>,
    names: Names<'_>,
) -> Result<(GroupMod, Protocols), String> {
    let (command, text) = match command {
        Some(command) => (command, text),
        None => named_command(text),
    };
    let mut usable = match command {
        GroupCommand::RemoveBucket => Protocols::OF10_ANY | Protocols::OF15_UP,
        _ => Protocols::ANY,
    };
    let takes = takes(Some(command));
    let mut group = GroupMod {
        command,
        kind: GroupType::All,
        group_id: GROUP_ANY,
        command_bucket_id: BUCKET_ALL,
        buckets: Vec::new(),
        props: GroupProps::default(),
    };
    if command == GroupCommand::Delete && text.is_empty() {
        return Ok((GroupMod { group_id: GROUP_ALL, ..group }, usable));
    }
    let (head, buckets) = split_buckets(text);
    if buckets.is_some() && !takes.bucket {
        return Err("bucket is not needed".to_string());
    }
    let mut have_kind = false;
    let mut have_command_bucket = false;
    for (name, value) in Words(head) {
        match name {
            "command_bucket_id" => {
                if !takes.command_bucket {
                    return Err("command bucket id is not needed".to_string());
                }
                group.command_bucket_id = command_bucket(value, command)?;
                have_command_bucket = true;
            }
            "group_id" => group.group_id = own_id(value)?,
            "type" => {
                if !takes.kind {
                    return Err("type is not needed".to_string());
                }
                group.kind = kind(value)?;
                have_kind = true;
            }
            "selection_method" | "selection_method_param" | "fields" => {
                if !takes.kind {
                    return Err(match name {
                        "selection_method" => "selection method is not needed",
                        "selection_method_param" => "selection method param is not needed",
                        _ => "fields are not needed",
                    }
                    .to_string());
                }
                property(&mut group.props, name, value, &mut usable)?;
            }
            _ => return Err(format!("unknown keyword {name}")),
        }
    }
    check_head(&group, &takes, have_kind, have_command_bucket)?;
    for text in buckets.unwrap_or_default() {
        let bucket = parse_bucket(text, group.kind, names, &mut usable)?;
        if takes.kind && group.kind != GroupType::Select && bucket.weight != 0 {
            return Err("Only select groups can have bucket weights.".to_string());
        }
        group.buckets.push(bucket);
    }
    if takes.bucket_required && command == GroupCommand::InsertBucket && group.buckets.is_empty() {
        return Err("must specify bucket content".to_string());
    }
    if group.kind == GroupType::Indirect && group.buckets.len() > 1 {
        return Err("Indirect groups can have at most one bucket.".to_string());
    }
    number_buckets(&mut group.buckets);
    Ok((group, usable))
}

/// What a group must have said before its buckets are read.
fn check_head(group: &GroupMod, takes: &Takes, have_kind: bool, have_command_bucket: bool) -> Result<(), String> {
    let wrong = if group.group_id == GROUP_ANY {
        "must specify a group_id"
    } else if takes.kind && !have_kind {
        "must specify a type"
    } else if takes.command_bucket_required && !have_command_bucket {
        "must specify a command bucket id"
    } else if !group.props.fields.is_empty() && group.props.selection_method != "hash" {
        "fields may only be specified with \"selection_method=hash\""
    } else if group.props.selection_method.is_empty() && group.props.selection_method_param != 0 {
        "selection_method_param is only allowed with \"selection_method\""
    } else {
        return Ok(());
    };
    Err(wrong.to_string())
}

/// What begins a line that says what to do.
const COMMANDS: [(&str, GroupCommand); 6] = [
    ("add", GroupCommand::Add),
    ("modify", GroupCommand::Modify),
    ("add_or_mod", GroupCommand::AddOrMod),
    ("delete", GroupCommand::Delete),
    ("insert_bucket", GroupCommand::InsertBucket),
    ("remove_bucket", GroupCommand::RemoveBucket),
];

/// Takes the command that begins a text; the beginning of its name will do.
fn named_command(text: &str) -> (GroupCommand, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
    match COMMANDS.iter().find(|(name, _)| !word.is_empty() && name.starts_with(word)) {
        Some((_, command)) => (*command, rest),
        None => (GroupCommand::Add, text),
    }
}

/// What begins a bucket, wherever it stands.
const BUCKET: &str = "bucket=";

/// The words before the first bucket, and the buckets.
fn split_buckets(text: &str) -> (&str, Option<Vec<&str>>) {
    let mut parts = text.split(BUCKET);
    let head = parts.next().unwrap_or_default();
    let buckets: Vec<&str> = parts.map(|part| part.trim_end_matches([' ', '\t', ',', '\n', '\r'])).collect();
    (head, (!buckets.is_empty()).then_some(buckets))
}

fn own_id(value: &str) -> Result<u32, String> {
    if value.eq_ignore_ascii_case("all") {
        return Ok(GROUP_ALL);
    }
    let id = u32_of(value)?;
    if id != GROUP_ALL && id > GROUP_MAX {
        return Err(format!("invalid group id {id}"));
    }
    Ok(id)
}

fn command_bucket(value: &str, command: GroupCommand) -> Result<u32, String> {
    match value {
        "all" if command == GroupCommand::InsertBucket => Err("command_bucket_id=all is not permitted".to_string()),
        "all" => Ok(BUCKET_ALL),
        "first" => Ok(BUCKET_FIRST),
        "last" => Ok(BUCKET_LAST),
        _ => {
            let id = u32_of(value)?;
            let named = matches!(id, BUCKET_FIRST | BUCKET_LAST | BUCKET_ALL);
            if id > BUCKET_MAX && !named { Err(format!("invalid command bucket id {id}")) } else { Ok(id) }
        }
    }
}

fn kind(value: &str) -> Result<GroupType, String> {
    Ok(match value {
        "all" => GroupType::All,
        "select" => GroupType::Select,
        "indirect" => GroupType::Indirect,
        "ff" | "fast_failover" => GroupType::FastFailover,
        other => return Err(format!("invalid group type {other}")),
    })
}

fn property(props: &mut GroupProps, name: &str, value: &str, usable: &mut Protocols) -> Result<(), String> {
    match name {
        "selection_method" => {
            if value.len() > METHOD_MAX {
                return Err(format!("selection method is longer than {METHOD_MAX} bytes long"));
            }
            props.selection_method = value.to_string();
        }
        "selection_method_param" => props.selection_method_param = u64_of(value)?,
        _ => fields(props, value, usable)?,
    }
    Ok(())
}

fn fields(props: &mut GroupProps, text: &str, usable: &mut Protocols) -> Result<(), String> {
    props.fields.clear();
    for (name, value) in Words(text) {
        let field = Field::by_name(name).ok_or_else(|| format!("{name}: unknown field `{name}'"))?;
        if props.fields.iter().any(|(f, _)| *f == field) {
            return Err(format!("{name}: duplicate field"));
        }
        let n = usize::from(field.meta().n_bytes);
        let mask = if value.is_empty() {
            Value::ones(n, usize::from(field.meta().n_bits))
        } else {
            let mask = field_text::parse_value(field, value, None)?;
            if mask.is_zero() {
                return Err(format!("{value}: values are wildcards here and must not be all-zeros"));
            }
            mask
        };
        *usable &= usable_for(field, &mask);
        props.fields.push((field, mask));
    }
    props.fields.sort_by_key(|(field, _)| field.index());
    Ok(())
}

fn parse_bucket(text: &str, kind: GroupType, names: Names<'_>, usable: &mut Protocols) -> Result<Bucket, String> {
    let mut bucket = Bucket {
        bucket_id: BUCKET_ALL,
        weight: u16::from(kind == GroupType::Select),
        watch_port: OfPort::ANY,
        watch_group: GROUP_ANY,
        actions: [].into(),
    };
    let mut actions = String::new();
    for (name, value) in Words(text) {
        match name.to_ascii_lowercase().as_str() {
            "weight" => bucket.weight = u16_of(value, "weight")?,
            "watch_port" => {
                let port = names
                    .parse_port(value)
                    .filter(|p| p.is_physical() || matches!(*p, OfPort::ANY | OfPort::CONTROLLER));
                bucket.watch_port = port.ok_or_else(|| format!("{value}: invalid watch_port"))?;
            }
            "watch_group" => {
                bucket.watch_group = u32_of(value)?;
                if bucket.watch_group > GROUP_MAX && bucket.watch_group != GROUP_ANY {
                    return Err(format!("invalid watch_group id {}", bucket.watch_group));
                }
            }
            "bucket_id" => {
                bucket.bucket_id = u32_of(value)?;
                if bucket.bucket_id > BUCKET_MAX {
                    return Err(format!("invalid bucket_id id {}", bucket.bucket_id));
                }
            }
            "action" | "actions" => {
                actions.push_str(value);
                actions.push(',');
            }
            _ => {
                actions.push_str(&format!("{name}({value}),"));
            }
        }
    }
    if actions.is_empty() {
        return Err("bucket must specify actions".to_string());
    }
    if kind == GroupType::FastFailover && !bucket.has_liveness() {
        return Err("fast failover bucket requires watch_port or watch_group".to_string());
    }
    actions.pop();
    let (list, can) = action::parse_actions(&actions, names)?;
    bucket.actions = list;
    *usable &= can;
    Ok(bucket)
}

/// Gives every bucket without a number the least one that is free. As in Open vSwitch, numbers of buckets before the
/// first without one count as free.
fn number_buckets(buckets: &mut [Bucket]) {
    let first = buckets.iter().position(|bucket| bucket.bucket_id == BUCKET_ALL).unwrap_or(buckets.len());
    let buckets = &mut buckets[first..];
    let mut next = 0;
    for i in 0..buckets.len() {
        if buckets[i].bucket_id != BUCKET_ALL {
            continue;
        }
        while buckets.iter().any(|b| b.bucket_id == next) {
            next += 1;
        }
        buckets[i].bucket_id = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<GroupMod, String> {
        parse_group_mod(text, Some(GroupCommand::Add), Names::NONE).map(|(group, _)| group)
    }

    #[test]
    fn buckets_begin_wherever_the_word_stands() {
        let group = read("group_id=5,type=allbucket=1,weightbucket=2").map_err(|error| error.contains("weight"));
        assert_eq!(group, Err(true));
        let group = read("group_id=5,type=allbucket=output:3bucket=output:4").expect("valid");
        assert_eq!(group.buckets.len(), 2);
        assert_eq!(read("group_id=5,type=all,bucket =3"), Err("unknown keyword bucket".to_string()));
    }

    #[test]
    fn numbers_before_the_first_without_one_count_as_free() {
        let numbers = |text: &str| -> Vec<u32> {
            read(text).expect("valid").buckets.iter().map(|bucket| bucket.bucket_id).collect()
        };
        let head = "group_id=5,type=all,bucket=bucket_id:0,1,bucket=2";
        assert_eq!(numbers(&format!("{head},bucket=3")), [0, 0, 1]);
        assert_eq!(numbers(&format!("{head},bucket=bucket_id:1,3,bucket=4")), [0, 0, 1, 2]);
    }

    #[test]
    fn liveness_is_asked_for_before_actions_are_read() {
        let wrong = "fast failover bucket requires watch_port or watch_group";
        assert_eq!(read("group_id=5,type=ff,bucket=nonsense"), Err(wrong.to_string()));
    }
}
