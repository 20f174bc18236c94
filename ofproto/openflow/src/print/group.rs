//! Groups as text.

use std::fmt::Write;

use flow::field::{Value, text as field_text};

use super::duration;
use crate::action;
use crate::message::group::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, Bucket, GROUP_ALL, GROUP_ANY, GroupCommand, GroupProps,
    GroupType,
};
use crate::message::{GroupDesc, GroupFeatures, GroupMod, GroupStats};
use crate::names::Style;
use crate::{OfPort, Version};

/// A group's number or name, `ALL` or `ANY`.
pub fn group_text(id: u32) -> String {
    match id {
        GROUP_ALL => "ALL".to_string(),
        GROUP_ANY => "ANY".to_string(),
        id => id.to_string(),
    }
}

pub(super) fn request(out: &mut String, id: u32) {
    put!(out, " group_id={}", group_text(id));
}

/// A bucket's number or name: `first`, `last`, `all`.
pub fn bucket_text(id: u32) -> String {
    match id {
        BUCKET_FIRST => "first".to_string(),
        BUCKET_LAST => "last".to_string(),
        BUCKET_ALL => "all".to_string(),
        id => id.to_string(),
    }
}

fn fields(out: &mut String, props: &GroupProps) {
    if props.fields.is_empty() {
        return;
    }
    match props.fields.len() {
        1 => put!(out, ",fields={}", fields_text(props)),
        _ => put!(out, ",fields({})", fields_text(props)),
    }
}

/// The fields that a select group hashes, each with its mask unless that is full.
pub fn fields_text(props: &GroupProps) -> String {
    let one = |(field, mask): &(flow::field::Field, Value)| match is_exact(mask, field) {
        true => field.name().to_owned(),
        false => format!("{}={}", field.name(), field_text::format(*field, mask, None, None)),
    };
    props.fields.iter().map(one).collect::<Vec<_>>().join(",")
}

fn is_exact(mask: &Value, field: &flow::field::Field) -> bool {
    let bits = usize::from(field.meta().n_bits);
    *mask == Value::ones(mask.len(), mask.len() * 8) || *mask == Value::ones(mask.len(), bits)
}

/// What a group is made of, as far as text says it.
struct Parts<'a> {
    group_id: u32,
    kind: GroupType,
    buckets: &'a [Bucket],
    props: &'a GroupProps,
    /// Bucket commands have neither type nor, when removing, buckets.
    command: Option<(GroupCommand, u32)>,
}

fn parts(out: &mut String, group: &Parts<'_>, version: Version, style: &Style<'_>) {
    let bucket_command =
        group.command.filter(|(c, _)| matches!(c, GroupCommand::InsertBucket | GroupCommand::RemoveBucket));
    if let Some((_, bucket)) = bucket_command.filter(|_| matches!(version, Version::V10 | Version::V15)) {
        put!(out, "command_bucket_id:{},", bucket_text(bucket));
    }
    put!(out, "group_id={}", group.group_id);
    if group.command.is_none_or(|(c, _)| c != GroupCommand::InsertBucket && c != GroupCommand::RemoveBucket) {
        put!(out, ",type={}", group.kind.name());
    }
    if !group.props.selection_method.is_empty() {
        put!(out, ",selection_method={}", group.props.selection_method);
        if group.props.selection_method_param != 0 {
            put!(out, ",selection_method_param={}", group.props.selection_method_param);
        }
        fields(out, group.props);
    }
    for bucket in group.buckets {
        out.push_str(",bucket=");
        if bucket.bucket_id <= BUCKET_MAX && matches!(version, Version::V10 | Version::V15) {
            put!(out, "bucket_id:{},", bucket.bucket_id);
        }
        // A weight of 1 is the default of select groups in 1.5.
        let usual = u16::from(group.kind == GroupType::Select);
        if bucket.weight != usual {
            put!(out, "weight:{},", bucket.weight);
        }
        if bucket.watch_port != OfPort::NONE {
            put!(out, "watch_port:{},", style.names.port(bucket.watch_port));
        }
        if bucket.watch_group != GROUP_ANY {
            put!(out, "watch_group:{},", bucket.watch_group);
        }
        put!(out, "actions=");
        action::write(out, &bucket.actions, style);
    }
}

/// Appends the line of a group, without an end.
pub fn group_desc(out: &mut String, desc: &GroupDesc, version: Version, style: &Style<'_>) {
    let group =
        Parts { group_id: desc.group_id, kind: desc.kind, buckets: &desc.buckets, props: &desc.props, command: None };
    parts(out, &group, version, style);
}

pub(super) fn group_mod(out: &mut String, group_mod: &GroupMod, version: Version, style: &Style<'_>) {
    out.push('\n');
    out.push(' ');
    out.push_str(match group_mod.command {
        GroupCommand::Add => "ADD",
        GroupCommand::Modify => "MOD",
        GroupCommand::AddOrMod => "ADD_OR_MOD",
        GroupCommand::Delete => "DEL",
        GroupCommand::InsertBucket => "INSERT_BUCKET",
        GroupCommand::RemoveBucket => "REMOVE_BUCKET",
    });
    out.push(' ');
    let group = Parts {
        group_id: group_mod.group_id,
        kind: group_mod.kind,
        buckets: &group_mod.buckets,
        props: &group_mod.props,
        command: Some((group_mod.command, group_mod.command_bucket_id)),
    };
    parts(out, &group, version, style);
}

pub(super) fn stats(out: &mut String, groups: &[GroupStats]) {
    for group in groups {
        out.push_str("\n group_id=");
        put!(out, "{},", group.group_id);
        if group.duration_sec != u32::MAX {
            out.push_str("duration=");
            duration(out, group.duration_sec, group.duration_nsec);
            out.push(',');
        }
        put!(out, "ref_count={},", group.ref_count);
        put!(out, "packet_count={},byte_count={}", group.packet_count, group.byte_count);
        for (i, bucket) in group.buckets.iter().enumerate() {
            if bucket.packet_count != u64::MAX {
                put!(out, ",bucket{i}:packet_count={},byte_count={}", bucket.packet_count, bucket.byte_count);
            }
        }
    }
}

pub(super) fn features(out: &mut String, features: &GroupFeatures) {
    put!(out, "\n Group table:\n    Types:  {:#x}\n", features.types);
    put!(out, "    Capabilities:  {:#x}\n", features.capabilities);
    for (i, title) in ["all", "select", "indirect", "fast failover"].iter().enumerate() {
        if features.types & (1 << i) == 0 {
            continue;
        }
        put!(out, "    {title} group:\n");
        let max = features.max_groups[i];
        put!(out, "       max_groups={}\n", if max == 0 { "0".to_string() } else { format!("{max:#x}") });
        out.push_str("       actions: ");
        let names = features.actions[i].names();
        out.push_str(&if names.is_empty() { "<none>".to_string() } else { names.join(" ") });
        out.push('\n');
    }
}
