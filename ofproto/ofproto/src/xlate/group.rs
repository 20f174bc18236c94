//! Groups: which buckets, and what becomes of the packet in each.

use std::sync::Arc;

use flow::hash;
use flow::odp::{DropReason, HashAlg};
use openflow::OfPort;
use openflow::message::group::{GROUP_ANY, GroupType};

use super::Effect;
use super::context::{Context, DpHash};
use super::record::NodeKind;
use crate::view::{BucketView, GroupView, Selection};

/// Deepest chain of groups that watch groups.
const MAX_LIVENESS_DEPTH: u32 = 128;
/// Buckets that are looked at for one that lives. Groups that watch each other have more paths than can be walked.
const LIVENESS_STEPS: u32 = 4096;

impl Context<'_> {
    /// `group:id`. Gives whether the list ends here, because the group does not exist.
    pub(super) fn group(&mut self, id: u32, is_last: bool) -> bool {
        if !self.may_go_on() {
            return false;
        }
        let Some(group) = self.bridge.groups.get(&id).cloned() else {
            self.report(NodeKind::Warn, || format!("output to nonexistent group {id}"));
            return true;
        };
        match group.kind {
            GroupType::All | GroupType::Indirect => {
                self.credit_group(&group, None);
                for (i, bucket) in group.buckets.iter().enumerate() {
                    self.bucket(bucket, is_last && i + 1 == group.buckets.len());
                }
            }
            GroupType::Select | GroupType::FastFailover | GroupType::Other(_) => {
                let chosen =
                    if group.kind == GroupType::Select { self.select(&group) } else { self.first_live(&group) };
                match chosen {
                    Some(i) => {
                        self.credit_group(&group, Some(i));
                        self.bucket(&group.buckets[i], is_last);
                    }
                    None => self.detail("no live bucket"),
                }
            }
        }
        false
    }

    fn credit_group(&mut self, group: &GroupView, bucket: Option<usize>) {
        let bridge = self.bridge.id;
        self.effect(Effect::Group { bridge, group: group.id, bucket });
    }

    fn bucket(&mut self, bucket: &BucketView, is_last: bool) {
        let list = openflow::action::execute_action_set(&bucket.actions);
        let old_flow = self.flow.clone();
        let (old_was_mpls, old_was_tagged) = (self.was_mpls, self.was_tagged);
        let id = bucket.id;
        let outer = self.enter(NodeKind::Bucket, |_| format!("bucket {id}"));
        self.depth += 1;
        self.run_actions(&list, is_last, true);
        self.depth -= 1;
        self.leave_to(outer);
        if self.freezing {
            self.finish_freezing();
        }
        self.flow = old_flow;
        self.was_mpls = old_was_mpls;
        self.was_tagged = old_was_tagged;
        self.exit = false;
        if matches!(self.error, Some(DropReason::TooManyMplsLabels | DropReason::UnsupportedPacketType)) {
            self.error = None;
        }
    }

    fn is_live(&mut self, bucket: &BucketView) -> bool {
        self.lives(bucket, 0, &mut { LIVENESS_STEPS })
    }

    /// Whether a bucket lives, `depth` groups away from the one that is asked for; `steps` may still be made.
    fn lives(&mut self, bucket: &BucketView, depth: u32, steps: &mut u32) -> bool {
        if depth >= MAX_LIVENESS_DEPTH || *steps == 0 {
            self.report_error(|| format!("bucket chaining exceeded {MAX_LIVENESS_DEPTH} links"));
            return false;
        }
        *steps -= 1;
        if !bucket.watches() {
            return true;
        }
        let port_lives = |port: OfPort| self.port(port).is_some_and(|p| p.may_enable && p.link_up);
        if bucket.watch_port != OfPort::ANY && port_lives(bucket.watch_port) {
            return true;
        }
        let watched = (bucket.watch_group != GROUP_ANY).then(|| self.bridge.groups.get(&bucket.watch_group).cloned());
        watched.flatten().is_some_and(|group| self.first_living(&group, depth + 1, steps).is_some())
    }

    fn first_living(&mut self, group: &GroupView, depth: u32, steps: &mut u32) -> Option<usize> {
        for (i, bucket) in group.buckets.iter().enumerate() {
            if self.lives(bucket, depth, steps) {
                return Some(i);
            }
            self.report_not_live(bucket);
        }
        None
    }

    fn report_not_live(&mut self, bucket: &BucketView) {
        if !self.tracing() {
            return;
        }
        let mut why = String::new();
        if bucket.watch_port != OfPort::ANY {
            why.push_str(&format!("port {}", bucket.watch_port));
        }
        if bucket.watch_group != GROUP_ANY {
            if !why.is_empty() {
                why.push_str(" and ");
            }
            why.push_str(&format!("port {}", bucket.watch_group));
        }
        let id = bucket.id;
        self.report(NodeKind::Detail, || format!("bucket {id}: not live due to {why}"));
    }

    fn first_live(&mut self, group: &GroupView) -> Option<usize> {
        let first = self.first_living(group, 0, &mut { LIVENESS_STEPS })?;
        let id = group.buckets[first].id;
        self.report(NodeKind::Detail, || format!("using bucket {id}"));
        Some(first)
    }

    fn select(&mut self, group: &Arc<GroupView>) -> Option<usize> {
        if self.was_mpls {
            // What the choice goes by lies behind the label: the datapath has to bring the packet again.
            self.trigger_freeze();
            return None;
        }
        match &group.selection {
            Selection::Default => {
                self.mask_hash_fields(openflow::action::HashFields::SymmetricL4);
                let basis = hash::symmetric_l4(&self.flow, 0, false);
                self.best_live(group, basis)
            }
            Selection::Hash { basis, fields } => {
                let mut sum = hash::finish(hash::add64(0, *basis), 8);
                for (field, bits) in fields {
                    if !self.meets(*field) {
                        continue;
                    }
                    let value = field.get_in(&self.flow, &self.bridge.tun_table).and(bits);
                    let mut mask = flow::Mask::EMPTY;
                    field.set_mask(&mut mask, bits);
                    self.wc.join(&mask);
                    sum = hash::bytes(value.octets(), sum);
                }
                self.best_live(group, sum)
            }
            Selection::DpHash { alg, basis, map } => {
                let dp_hash = self.flow.dp_hash();
                if dp_hash == 0 {
                    let alg = if *alg == 1 { HashAlg::SymL4 } else { HashAlg::L4 };
                    self.trigger_hash(DpHash { alg, basis: *basis });
                    return None;
                }
                let bits = (map.len() as u32).checked_sub(1)?;
                self.wc.set_dp_hash(self.wc.dp_hash() | bits);
                let chosen = (0..=bits)
                    .map(|i| usize::from(map[(dp_hash.wrapping_add(i) & bits) as usize]))
                    .find(|i| group.buckets.get(*i).is_some_and(|b| self.is_live(b)))?;
                let id = group.buckets[chosen].id;
                self.report(NodeKind::Detail, || format!("using bucket {id}"));
                Some(chosen)
            }
        }
    }

    fn best_live(&mut self, group: &Arc<GroupView>, basis: u32) -> Option<usize> {
        let mut best: Option<(u64, usize)> = None;
        for (i, bucket) in group.buckets.iter().enumerate() {
            if bucket.weight == 0 || !self.is_live(bucket) {
                self.report_not_live(bucket);
                continue;
            }
            let mixed = hash::two_words(bucket.id, basis);
            let score = u64::from(mixed & 0xffff) * u64::from(bucket.weight);
            let id = bucket.id;
            self.report(NodeKind::Detail, || format!("bucket {id}: score {score}"));
            if best.is_none_or(|(s, _)| score >= s) {
                best = Some((score, i));
            }
        }
        if let Some((_, i)) = best {
            let id = group.buckets[i].id;
            self.report(NodeKind::Detail, || format!("using bucket {id}"));
        }
        best.map(|(_, i)| i)
    }
}
