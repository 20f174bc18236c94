//! Groups: their table, the commands that change it, and what controllers ask of it.
//!
//! As Open vSwitch does, chains of groups are not checked: a bucket may name a group that does not exist yet, or its own.
//! Source: OpenFlow 1.5.1 sections 5.10, 7.3.4.3; observed answers of Open vSwitch 3.1.

use std::collections::BTreeMap;
use std::sync::Arc;

use openflow::action::Action;
use openflow::message::async_config::AsyncKind;
use openflow::message::group::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, BucketStats, GROUP_ALL, GROUP_MAX, GroupCommand, GroupType,
};
use openflow::message::{ActionKinds, Bucket, GroupDesc, GroupFeatures, GroupMod, GroupStats, Message, Msg};
use openflow::{ErrorCode, Version};

use super::change::Changes;
use super::{Bridge, ConnId, Incoming, Output};
use crate::note::{Level, Note};
use crate::table::Change;
use crate::view::GroupView;

/// Capabilities: select weight, select liveness, chaining.
const CAPABILITIES: u32 = 0b111;

/// A group, and when it was made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    pub(super) desc: GroupDesc,
    pub(super) created_ms: i64,
    /// Changes with every modification: counters begin anew.
    pub(super) incarnation: u64,
}

/// A group-mod as others are told of it.
#[derive(Debug)]
pub(crate) struct ToldGroupMod {
    request: GroupMod,
    /// The group as it has become, for versions that have no word for what was done to its buckets.
    whole: Option<GroupMod>,
}

impl From<GroupMod> for ToldGroupMod {
    fn from(request: GroupMod) -> ToldGroupMod {
        ToldGroupMod { request, whole: None }
    }
}

/// All groups of a bridge, by number.
pub(crate) type Groups = BTreeMap<u32, Arc<Group>>;

impl Bridge {
    /// A group-mod by itself.
    pub(super) fn group_mod(&mut self, conn: ConnId, request: &Incoming, wanted: &GroupMod) -> Result<(), ErrorCode> {
        let gone = self.apply_group_mod(wanted)?;
        let told = self.told_of(wanted);
        let mut changes = Changes::new(conn);
        changes.request(request.into());
        self.groups_gone(&mut changes, &gone);
        self.forward_group_mod(conn, request.xid, told);
        self.run_changes(changes);
        Ok(())
    }

    /// What others are told of a group-mod that was carried out.
    pub(super) fn told_of(&self, wanted: &GroupMod) -> ToldGroupMod {
        let mut request = wanted.clone();
        match request.command {
            // Open vSwitch says nothing else of it, whether the group was there or not.
            GroupCommand::AddOrMod => request.command = GroupCommand::Add,
            GroupCommand::InsertBucket | GroupCommand::RemoveBucket => {
                let Some(group) = self.groups.get(&wanted.group_id) else { return request.into() };
                request.kind = group.desc.kind;
                let whole = GroupMod {
                    command: GroupCommand::Modify,
                    command_bucket_id: BUCKET_ALL,
                    buckets: group.desc.buckets.clone(),
                    props: group.desc.props.clone(),
                    ..request.clone()
                };
                return ToldGroupMod { request, whole: Some(whole) };
            }
            _ => {}
        }
        request.into()
    }

    /// Tells other controllers of a group-mod, each in words of its version.
    pub(super) fn forward_group_mod(&mut self, source: ConnId, xid: u32, told: ToldGroupMod) {
        let request = Message::GroupMod(told.request);
        match told.whole.map(Message::GroupMod) {
            None => self.forward_request(source, xid, 0, |_| Some(&request)),
            Some(whole) => self.forward_request(source, xid, 0, |version| {
                Some(if (Version::V11..=Version::V14).contains(&version) { &whole } else { &request })
            }),
        }
    }

    /// Rules that use groups that are gone go as well.
    pub(super) fn groups_gone(&self, changes: &mut Changes, gone: &[u32]) {
        for table in self.table_ids() {
            for id in gone {
                changes.push(table, Change::GroupGone(*id));
            }
        }
    }

    /// Changes the groups. Gives those that are gone.
    pub(super) fn apply_group_mod(&mut self, wanted: &GroupMod) -> Result<Vec<u32>, ErrorCode> {
        match wanted.command {
            GroupCommand::Add => self.add_group(wanted)?,
            GroupCommand::Modify => self.modify_group(wanted)?,
            GroupCommand::AddOrMod if self.groups.contains_key(&wanted.group_id) => self.modify_group(wanted)?,
            GroupCommand::AddOrMod => self.add_group(wanted)?,
            GroupCommand::Delete => return Ok(self.delete_groups(wanted.group_id)),
            GroupCommand::InsertBucket => self.edit_buckets(wanted, insert_buckets)?,
            GroupCommand::RemoveBucket => self.edit_buckets(wanted, remove_buckets)?,
        }
        Ok(Vec::new())
    }

    fn add_group(&mut self, wanted: &GroupMod) -> Result<(), ErrorCode> {
        if wanted.group_id > GROUP_MAX {
            return Err(ErrorCode::OFPGMFC_INVALID_GROUP);
        }
        if self.groups.contains_key(&wanted.group_id) {
            return Err(ErrorCode::OFPGMFC_GROUP_EXISTS);
        }
        let desc = desc_of(wanted)?;
        self.put_group(desc, self.now_ms);
        Ok(())
    }

    fn modify_group(&mut self, wanted: &GroupMod) -> Result<(), ErrorCode> {
        let old = self.groups.get(&wanted.group_id).ok_or(ErrorCode::OFPGMFC_UNKNOWN_GROUP)?;
        let created_ms = old.created_ms;
        let desc = desc_of(wanted)?;
        self.put_group(desc, created_ms);
        Ok(())
    }

    fn put_group(&mut self, desc: GroupDesc, created_ms: i64) {
        self.group_incarnations += 1;
        let group = Group { created_ms, incarnation: self.group_incarnations, desc };
        self.changed_groups.insert(group.desc.group_id);
        self.groups.insert(group.desc.group_id, Arc::new(group));
    }

    pub(super) fn delete_groups(&mut self, id: u32) -> Vec<u32> {
        let gone: Vec<u32> = match id {
            GROUP_ALL => std::mem::take(&mut self.groups).into_keys().collect(),
            id => self.groups.remove(&id).map(|_| id).into_iter().collect(),
        };
        self.changed_groups.extend(&gone);
        gone
    }

    fn edit_buckets(
        &mut self,
        wanted: &GroupMod,
        edit: impl FnOnce(&mut Vec<Bucket>, &GroupMod) -> Result<(), ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let old = self.groups.get(&wanted.group_id).ok_or(ErrorCode::OFPGMFC_UNKNOWN_GROUP)?;
        let (mut desc, created_ms) = (old.desc.clone(), old.created_ms);
        edit(&mut desc.buckets, wanted)?;
        if desc.kind == GroupType::Indirect && desc.buckets.len() != 1 {
            return Err(ErrorCode::OFPGMFC_INVALID_GROUP);
        }
        self.put_group(desc, created_ms);
        Ok(())
    }

    /// Translation sees the groups as they are now.
    pub(super) fn publish_groups(&mut self) {
        let asked = std::mem::take(&mut self.changed_groups).into_iter();
        let changed: Vec<(u32, Option<Arc<Group>>)> = asked
            .map(|id| (id, self.groups.get(&id).cloned()))
            .filter(|(id, group)| group.as_ref().map(Arc::as_ptr) != self.published_groups.get(id).map(Arc::as_ptr))
            .collect();
        for (id, group) in changed {
            self.group_stats.remove(&id);
            self.dirty = true;
            match group {
                Some(group) => {
                    let view = GroupView::new(&group.desc);
                    for line in view.construction() {
                        self.put(Output::Log(Note::new("ofproto_dpif", Level::Dbg, line)));
                    }
                    Arc::make_mut(&mut self.view.groups).insert(id, Arc::new(view));
                    self.published_groups.insert(id, group);
                }
                None => {
                    Arc::make_mut(&mut self.view.groups).remove(&id);
                    self.published_groups.remove(&id);
                }
            }
        }
    }

    /// Tells other controllers what one of them asked for (OpenFlow 1.4 section 7.4.6).
    pub(super) fn forward_request<'a>(
        &mut self,
        source: ConnId,
        xid: u32,
        reason: u8,
        words: impl Fn(Version) -> Option<&'a Message>,
    ) {
        let bit = 1u32 << reason;
        let wants = |c: &&super::Conn| c.id != source && c.wants(AsyncKind::RequestForward, bit);
        let conns: Vec<_> = self.conns.values().filter(wants).map(|c| (c.id, c.version)).collect();
        for (conn, version) in conns {
            let Some(body) = words(version).cloned() else { continue };
            let inner = Msg { version, xid, body };
            self.send_async(conn, Message::RequestForward(Box::new(inner)));
        }
    }

    pub(super) fn group_descs(&self, id: u32) -> Vec<GroupDesc> {
        self.groups.values().filter(|g| is_asked(id, g.desc.group_id)).map(|g| g.desc.clone()).collect()
    }

    pub(super) fn group_stats(&self, id: u32) -> Vec<GroupStats> {
        let mut refs: BTreeMap<u32, u32> = BTreeMap::new();
        for rule in self.view.tables.iter().flatten().flat_map(|t| t.rules.iter()) {
            count_groups(&rule.actions, &mut refs);
        }
        let asked = self.groups.values().filter(|g| is_asked(id, g.desc.group_id));
        asked
            .map(|group| {
                let id = group.desc.group_id;
                let counters = self.group_stats.get(&id).cloned().unwrap_or_default();
                let age_ms = u64::try_from(self.now_ms - group.created_ms).unwrap_or(0);
                let bucket = |i: usize| counters.buckets.get(i).copied().unwrap_or((0, 0));
                let buckets = (0..group.desc.buckets.len())
                    .map(|i| BucketStats { packet_count: bucket(i).0, byte_count: bucket(i).1 })
                    .collect();
                GroupStats {
                    group_id: id,
                    ref_count: refs.get(&id).copied().unwrap_or(0),
                    packet_count: counters.packets,
                    byte_count: counters.bytes,
                    duration_sec: u32::try_from(age_ms / 1000).unwrap_or(u32::MAX),
                    duration_nsec: (age_ms % 1000) as u32 * 1_000_000,
                    buckets,
                }
            })
            .collect()
    }

    pub(super) fn group_features() -> GroupFeatures {
        GroupFeatures {
            types: 0xf,
            capabilities: CAPABILITIES,
            max_groups: [GROUP_MAX; 4],
            actions: [supported_actions(); 4],
        }
    }
}

/// Every kind of action but `enqueue` is supported in groups and tables.
pub(super) fn supported_actions() -> ActionKinds {
    ActionKinds::ALL
}

fn is_asked(asked: u32, id: u32) -> bool {
    asked == GROUP_ALL || asked == id
}

fn desc_of(wanted: &GroupMod) -> Result<GroupDesc, ErrorCode> {
    let buckets = wanted.buckets.clone();
    if wanted.kind == GroupType::Indirect && buckets.len() != 1 {
        return Err(ErrorCode::OFPGMFC_INVALID_GROUP);
    }
    Ok(GroupDesc { group_id: wanted.group_id, kind: wanted.kind, buckets, props: wanted.props.clone() })
}

fn insert_buckets(buckets: &mut Vec<Bucket>, wanted: &GroupMod) -> Result<(), ErrorCode> {
    let at = match wanted.command_bucket_id {
        BUCKET_FIRST => 0,
        BUCKET_LAST => buckets.len(),
        id if id <= BUCKET_MAX => {
            1 + buckets.iter().position(|b| b.bucket_id == id).ok_or(ErrorCode::OFPGMFC_UNKNOWN_BUCKET)?
        }
        _ => return Err(ErrorCode::OFPGMFC_UNKNOWN_BUCKET),
    };
    if wanted.buckets.iter().any(|new| buckets.iter().any(|old| old.bucket_id == new.bucket_id)) {
        return Err(ErrorCode::OFPGMFC_BUCKET_EXISTS);
    }
    buckets.splice(at..at, wanted.buckets.iter().cloned());
    Ok(())
}

fn remove_buckets(buckets: &mut Vec<Bucket>, wanted: &GroupMod) -> Result<(), ErrorCode> {
    match wanted.command_bucket_id {
        BUCKET_ALL => buckets.clear(),
        BUCKET_FIRST => drop(buckets.drain(..buckets.len().min(1))),
        BUCKET_LAST => drop(buckets.pop()),
        id => {
            let at = buckets.iter().position(|b| b.bucket_id == id).ok_or(ErrorCode::OFPGMFC_UNKNOWN_BUCKET)?;
            buckets.remove(at);
        }
    }
    Ok(())
}

/// Counts each use of a group by a rule, those within `write_actions` and `clone` as well.
fn count_groups(actions: &[Action], refs: &mut BTreeMap<u32, u32>) {
    for action in actions {
        match action {
            Action::Group(id) => *refs.entry(*id).or_default() += 1,
            Action::WriteActions(nested) => count_groups(nested, refs),
            Action::Clone(nested) => count_groups(nested, refs),
            _ => {}
        }
    }
}
