//! Group commands: add, modify, delete, buckets, dumps.

use openflow::message::group::GroupCommand;
use openflow::message::{GroupMod, Message};
use openflow::names::Names;
use openflow::parse::group::{group_id, parse_group_mod};
use openflow::{Protocols, Version};

use super::flow_file;
use super::flows::{noting_line, open_for_flow_mod, open_named, with_names};
use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// What a version does not have, as the user reads it.
fn unsupported(group_mod: &GroupMod, version: Version) -> Option<String> {
    let name = match group_mod.command {
        GroupCommand::InsertBucket => "insert-bucket",
        GroupCommand::RemoveBucket => "remove-bucket",
        _ => return None,
    };
    let can = matches!(version, Version::V10 | Version::V15);
    (!can).then(|| format!("{name} needs OpenFlow 1.5 or later ('-O OpenFlow15')"))
}

fn send(
    settings: &Settings,
    found: Option<Session>,
    switch: &str,
    group_mods: Vec<GroupMod>,
    usable: Protocols,
) -> Done {
    if settings.bundle {
        let usable = usable & Protocols::OF13_UP;
        let (session, _) = open_for_flow_mod(found, switch, usable, settings)?;
        let mut bundle = super::bundle::Bundle::new(&session);
        for group_mod in group_mods {
            let message = Message::GroupMod(group_mod);
            bundle.add(|out, version, xid| openflow::message::encode_into(out, &message, version, xid))?;
        }
        return bundle.commit(settings);
    }
    let (session, _) = open_for_flow_mod(found, switch, usable, settings)?;
    let mut requests = Vec::new();
    for group_mod in group_mods {
        if let Some(text) = unsupported(&group_mod, session.version) {
            return Err(Failure::Text(text));
        }
        requests.extend(session.encode(&Message::GroupMod(group_mod))?);
    }
    if requests.is_empty() { Ok(()) } else { session.change(&requests, settings) }
}

fn from_file(settings: &Settings, switch: &str, file: &str, command: Option<GroupCommand>) -> Done {
    let session = if settings.accepts_names() { Some(open_named(switch, settings)?) } else { None };
    let mut group_mods = Vec::new();
    let mut usable = Protocols::ANY;
    let mut names = Names::NONE;
    flow_file::lines(file, |text, number| {
        let parsed = noting_line(session.as_ref(), &mut names, |names| parse_group_mod(text, command, names));
        let (group_mod, can) = parsed.map_err(|e| Failure::Text(format!("{file}:{number}: {e}")))?;
        usable &= can;
        group_mods.push(group_mod);
        Ok(())
    })?;
    send(settings, session, switch, group_mods, usable)
}

fn one(settings: &Settings, args: &[String], command: GroupCommand) -> Done {
    let text = args.get(1).map_or("", String::as_str);
    if text == "-" {
        return from_file(settings, &args[0], "-", Some(command));
    }
    let ((group_mod, usable), found) =
        with_names(&args[0], settings, |names| parse_group_mod(text, Some(command), names))?;
    send(settings, found, &args[0], vec![group_mod], usable)
}

/// `add-group SWITCH GROUP`.
pub(super) fn add_group(settings: &Settings, args: &[String]) -> Done {
    one(settings, args, GroupCommand::Add)
}

/// `add-groups SWITCH FILE`: each line may say what it does.
pub(super) fn add_groups(settings: &Settings, args: &[String]) -> Done {
    from_file(settings, &args[0], args.get(1).map_or("-", String::as_str), None)
}

/// `[--may-create] mod-group SWITCH GROUP`.
pub(super) fn mod_group(settings: &Settings, args: &[String]) -> Done {
    one(settings, args, if settings.may_create { GroupCommand::AddOrMod } else { GroupCommand::Modify })
}

/// `del-groups SWITCH [GROUP]`.
pub(super) fn del_groups(settings: &Settings, args: &[String]) -> Done {
    one(settings, args, GroupCommand::Delete)
}

/// `insert-buckets SWITCH GROUP`.
pub(super) fn insert_buckets(settings: &Settings, args: &[String]) -> Done {
    one(settings, args, GroupCommand::InsertBucket)
}

/// `remove-buckets SWITCH GROUP`.
pub(super) fn remove_buckets(settings: &Settings, args: &[String]) -> Done {
    one(settings, args, GroupCommand::RemoveBucket)
}

/// `dump-groups SWITCH [GROUP]`.
pub(super) fn dump_desc(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let id = match args.get(1) {
        None => openflow::message::group::GROUP_ALL,
        Some(text) => group_id(text).unwrap_or_else(|| {
            vlog::warn!(
                "ofp_group",
                "{text} is not a valid group ID.  (Valid group IDs are 32-bit nonnegative integers or the keywords ANY or ALL.)"
            );
            openflow::message::group::GROUP_ALL
        }),
    };
    session.dump(&Message::GroupDescRequest(id), settings)
}

/// `dump-group-stats SWITCH [GROUP]`.
pub(super) fn dump_stats(settings: &Settings, args: &[String]) -> Done {
    let text = args.get(1).map_or("", String::as_str);
    let ((group_mod, usable), found) =
        with_names(&args[0], settings, |names| parse_group_mod(text, Some(GroupCommand::Delete), names))?;
    let (session, _) = open_for_flow_mod(found, &args[0], usable, settings)?;
    session.dump(&Message::GroupStatsRequest(group_mod.group_id), settings)
}

/// `dump-group-features SWITCH`.
pub(super) fn dump_features(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::GroupFeaturesRequest, settings)
}
