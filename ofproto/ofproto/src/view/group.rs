//! Groups as translation sees them. Source: OpenFlow 1.5.1 section 5.10; ovs-ofctl(8), "Group Syntax".

use std::sync::Arc;

use openflow::OfPort;
use openflow::action::Actions;
use openflow::message::group::{GROUP_ANY, GroupDesc, GroupType};

/// Largest table from `dp_hash` to bucket.
const MAX_HASHES: usize = 256;

/// How a select group chooses.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// `dp_hash`, also the default when no method is given; with the table from hash to bucket (index into the buckets).
    DpHash {
        /// 0 for `hash_l4`, 1 for `sym_l4`.
        alg: u32,
        /// Basis.
        basis: u32,
        /// A power of two of bucket indexes; empty when the weights cannot be laid out.
        map: Arc<[u16]>,
    },
    /// `hash` of the listed fields.
    Hash {
        /// Basis.
        basis: u64,
        /// Field and mask.
        fields: Vec<(flow::Field, flow::field::Value)>,
    },
    /// The old default: a symmetric layer 2 to 4 hash; when the weights are too uneven for `dp_hash`.
    Default,
}

/// A bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketView {
    /// Identifier.
    pub id: u32,
    /// Share in a select group.
    pub weight: u16,
    /// Port watched, [`OfPort::ANY`] for none.
    pub watch_port: OfPort,
    /// Group watched, [`GROUP_ANY`] for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Actions,
}

impl BucketView {
    /// Whether it watches anything.
    pub fn watches(&self) -> bool {
        self.watch_port != OfPort::ANY || self.watch_group != GROUP_ANY
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// Which.
    pub id: u32,
    /// Type.
    pub kind: GroupType,
    /// Buckets, in order.
    pub buckets: Vec<BucketView>,
    /// For select groups.
    pub selection: Selection,
    /// What it was asked to be.
    pub desc: GroupDesc,
}

impl GroupView {
    /// The view of a group.
    pub fn new(desc: &GroupDesc) -> GroupView {
        let buckets: Vec<BucketView> = desc
            .buckets
            .iter()
            .map(|b| BucketView {
                id: b.bucket_id,
                weight: b.weight,
                watch_port: b.watch_port,
                watch_group: b.watch_group,
                actions: Arc::clone(&b.actions),
            })
            .collect();
        let selection = if desc.kind == GroupType::Select { select(desc, &buckets) } else { Selection::Default };
        GroupView { id: desc.group_id, kind: desc.kind, buckets, selection, desc: desc.clone() }
    }
}

fn select(desc: &GroupDesc, buckets: &[BucketView]) -> Selection {
    let param = desc.props.selection_method_param;
    match desc.props.selection_method.as_str() {
        "" => match dp_hash_map(buckets) {
            Some(map) => Selection::DpHash { alg: 1, basis: 0, map },
            None => Selection::Default,
        },
        "dp_hash" => match dp_hash_map(buckets) {
            Some(map) => {
                let alg = (param >> 32) as u32;
                Selection::DpHash { alg: if alg > 1 { 0 } else { alg }, basis: param as u32, map }
            }
            None => Selection::Default,
        },
        _ if desc.props.fields.is_empty() => Selection::Default,
        _ => Selection::Hash { basis: param, fields: desc.props.fields.clone() },
    }
}

/// How many hash values weights need, if they can be laid out at all.
pub(super) enum Layout {
    /// There is no bucket.
    NoBuckets,
    /// Every weight is zero.
    NoWeight,
    /// More than [`MAX_HASHES`] were needed.
    TooMany(u64),
    /// So many, a power of two.
    Hashes(usize),
}

/// The layout of buckets by their weights: enough that the lightest with a weight has one value, and not below 16.
pub(super) fn layout(buckets: &[BucketView]) -> Layout {
    let total = total_weight(buckets);
    let Some(least) = least_weight(buckets) else {
        return if buckets.is_empty() { Layout::NoBuckets } else { Layout::NoWeight };
    };
    let wanted = total.div_ceil(u64::from(least)).next_power_of_two();
    if wanted > MAX_HASHES as u64 { Layout::TooMany(wanted) } else { Layout::Hashes((wanted as usize).max(16)) }
}

pub(super) fn total_weight(buckets: &[BucketView]) -> u64 {
    buckets.iter().map(|b| u64::from(b.weight)).sum()
}

/// The least weight that is not zero.
pub(super) fn least_weight(buckets: &[BucketView]) -> Option<u16> {
    buckets.iter().map(|b| b.weight).filter(|w| *w > 0).min()
}

/// Spreads hash values over buckets by weight with Webster's method, which serves every bucket at least as often as its
/// share allows. `None` when they cannot be laid out.
fn dp_hash_map(buckets: &[BucketView]) -> Option<Arc<[u16]>> {
    let Layout::Hashes(wanted) = layout(buckets) else { return None };
    let mut quotient: Vec<(f64, u32)> = buckets.iter().map(|b| (f64::from(b.weight), 1)).collect();
    let mut map = Vec::with_capacity(wanted);
    for _ in 0..wanted {
        let mut winner = 0;
        for (i, (value, _)) in quotient.iter().enumerate() {
            if *value > quotient[winner].0 {
                winner = i;
            }
        }
        let entry = &mut quotient[winner];
        entry.1 += 2;
        entry.0 = f64::from(buckets[winner].weight) / f64::from(entry.1);
        map.push(winner as u16);
    }
    Some(map.into())
}
