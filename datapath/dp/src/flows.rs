//! The flow table of a thread: flows by number, by ufid, and by port in classifiers; with their counters.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flow::{Action, Actions, FlowEntry, FlowStats, Key, MiniMask, OdpPort, Ufid};
use smallvec::SmallVec;

use crate::classifier::{Classifier, Picked, PickedWords};

/// Why a flow was not installed or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// There is a flow of this name, or with this key and mask.
    #[error("flow exists")]
    Exists,
    /// There is no such flow.
    #[error("no such flow")]
    NotFound,
    /// The table is full.
    #[error("too many flows")]
    FlowLimit,
    /// The port's flows use too many different masks.
    #[error("too many masks")]
    MaskLimit,
}

/// Where a dump goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCursor(u32);

/// A flow as dumped.
#[derive(Clone, Debug)]
pub struct DumpedFlow {
    /// Name, masked key, mask and actions.
    pub entry: FlowEntry,
    /// Counters.
    pub stats: FlowStats,
    /// The view it was translated from.
    pub view_version: u64,
}

/// Names a flow as long as it is there: a number is used again, with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowRef {
    index: u32,
    generation: u32,
}

impl FlowRef {
    pub(crate) const NONE: Self = Self { index: u32::MAX, generation: 0 };
}

/// What a flow does, seen from the hot path.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// Nothing.
    Drop,
    /// Output only.
    Outputs(SmallVec<[OdpPort; 6]>),
    /// Whatever its actions say.
    General,
}

impl Plan {
    fn of(actions: &[Action]) -> Self {
        let port = |action: &Action| match action {
            Action::Output(port) => Some(*port),
            _ => None,
        };
        match actions.iter().map(port).collect::<Option<SmallVec<_>>>() {
            Some(ports) if ports.is_empty() => Plan::Drop,
            Some(ports) => Plan::Outputs(ports),
            None => Plan::General,
        }
    }
}

pub(crate) struct Flow {
    pub(crate) plan: Plan,
    pub(crate) actions: Actions,
    pub(crate) stats: FlowStats,
    picked: Picked,
    mask: Arc<MiniMask>,
    ufid: Ufid,
    view_version: u64,
    /// The classifier it is in.
    port: OdpPort,
}

impl Flow {
    fn key(&self) -> Key {
        let mut key = Key::EMPTY;
        for ((i, _), word) in self.mask.iter().zip(&self.picked) {
            key.0[i] = *word;
        }
        key
    }

    fn matches(&self, key: &Key) -> bool {
        self.mask.iter().zip(&self.picked).all(|((i, m), p)| key.0[i] & m == *p)
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn credit(&mut self, bytes: usize, key: &Key, now_ms: i64) {
        self.stats.packets += 1;
        self.stats.bytes += bytes as u64;
        self.stats.used_ms = now_ms;
        if key.nw_proto() == 6 {
            self.stats.tcp_flags |= key.tcp_flags();
        }
    }

    fn dumped(&self) -> DumpedFlow {
        let entry =
            FlowEntry { ufid: self.ufid, key: self.key(), mask: self.mask.to_mask(), actions: self.actions.clone() };
        DumpedFlow { entry, stats: self.stats, view_version: self.view_version }
    }
}

#[derive(Default)]
struct Place {
    generation: u32,
    flow: Option<Box<Flow>>,
}

/// The classifier of flows that do not match on an exact port.
const ANY_PORT: OdpPort = u32::MAX;

/// Flows by number.
#[derive(Default)]
struct Slab(Vec<Place>);

impl PickedWords for Slab {
    #[inline]
    fn picked(&self, flow: u32) -> &[u64] {
        match &self.0[flow as usize].flow {
            Some(flow) => &flow.picked,
            None => &[],
        }
    }
}

pub(crate) struct FlowTable {
    slab: Slab,
    free: Vec<u32>,
    by_ufid: HashMap<Ufid, u32>,
    /// By port; ports beyond [`DENSE`] and [`ANY_PORT`] share `others`.
    dense: Vec<Classifier>,
    others: BTreeMap<OdpPort, Classifier>,
    seed: u64,
    flow_limit: usize,
    mask_limit: usize,
}

/// Ports whose classifier is found by indexing.
const DENSE: usize = 4096;

impl FlowTable {
    pub(crate) fn new(seed: u64, flow_limit: usize, mask_limit: usize) -> Self {
        Self {
            slab: Slab::default(),
            free: Vec::new(),
            by_ufid: HashMap::new(),
            dense: Vec::new(),
            others: BTreeMap::new(),
            seed,
            flow_limit,
            mask_limit,
        }
    }

    pub(crate) fn set_limits(&mut self, flows: usize, masks: usize) {
        self.flow_limit = flows;
        self.mask_limit = masks;
    }

    fn classifier(&mut self, port: OdpPort) -> &mut Classifier {
        let i = port as usize;
        let seed = self.seed;
        if i < DENSE {
            if self.dense.len() <= i {
                self.dense.resize_with(i + 1, || Classifier::new(seed));
            }
            return &mut self.dense[i];
        }
        self.others.entry(port).or_insert_with(|| Classifier::new(seed))
    }

    /// The flow that matches, and how many subtables were looked into.
    #[inline]
    pub(crate) fn find(&mut self, key: &Key) -> (Option<FlowRef>, usize) {
        let (slab, port) = (&self.slab, key.in_port());
        let (mut found, mut looks) = (None, 0);
        if let Some(classifier) = self.dense.get_mut(port as usize) {
            (found, looks) = classifier.find(key, slab);
        }
        if found.is_none() && !self.others.is_empty() {
            for port in [port, ANY_PORT] {
                if let (None, Some(classifier)) = (found, self.others.get_mut(&port)) {
                    let (flow, more) = classifier.find(key, slab);
                    (found, looks) = (flow, looks + more);
                }
            }
        }
        (found.map(|index| FlowRef { index, generation: self.slab.0[index as usize].generation }), looks)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, flow: FlowRef) -> Option<&mut Flow> {
        let place = self.slab.0.get_mut(flow.index as usize)?;
        if place.generation != flow.generation {
            return None;
        }
        place.flow.as_deref_mut()
    }

    #[inline]
    pub(crate) fn is_live(&self, flow: FlowRef) -> bool {
        self.slab.0.get(flow.index as usize).is_some_and(|p| p.generation == flow.generation && p.flow.is_some())
    }

    /// Whether the flow is there, and matches.
    pub(crate) fn is_match(&self, flow: FlowRef, key: &Key) -> bool {
        self.slab
            .0
            .get(flow.index as usize)
            .is_some_and(|p| p.generation == flow.generation && p.flow.as_ref().is_some_and(|flow| flow.matches(key)))
    }

    pub(crate) fn install(&mut self, entry: &FlowEntry, view_version: u64) -> Result<(), InstallError> {
        if self.by_ufid.contains_key(&entry.ufid) {
            return Err(InstallError::Exists);
        }
        if self.is_full() {
            return Err(InstallError::FlowLimit);
        }
        let port = if entry.mask.in_port() == u32::MAX { entry.key.in_port() } else { ANY_PORT };
        let (limit, plan) = (self.mask_limit, Plan::of(&entry.actions));
        let mini = MiniMask::from(&entry.mask);
        self.classifier(port);
        let classifier = match self.dense.get_mut(port as usize) {
            Some(classifier) => classifier,
            None => self.others.get_mut(&port).ok_or(InstallError::MaskLimit)?,
        };
        if classifier.find_exact(&entry.key, &mini, &self.slab).is_some() {
            return Err(InstallError::Exists);
        }
        let subtable = classifier.subtable_for(&entry.mask, limit).ok_or(InstallError::MaskLimit)?;
        let (picked, mask) = (subtable.pick(&entry.key), Arc::clone(subtable.mask()));
        let flow = Flow {
            plan,
            // A list of its own: the count of one shared with other threads would travel between processors.
            actions: entry.actions.iter().cloned().collect(),
            stats: FlowStats::default(),
            picked,
            mask,
            ufid: entry.ufid,
            view_version,
            port,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.slab.0.push(Place::default());
            self.slab.0.len() as u32 - 1
        });
        self.slab.0[index as usize].flow = Some(Box::new(flow));
        classifier.insert(index, &mini, &self.slab);
        self.by_ufid.insert(entry.ufid, index);
        Ok(())
    }

    /// Changes a flow's actions; it keeps its counters.
    pub(crate) fn modify(&mut self, ufid: Ufid, actions: &Actions, view_version: u64) -> Result<(), InstallError> {
        let index = self.by_ufid.get(&ufid).ok_or(InstallError::NotFound)?;
        let flow = self.slab.0[*index as usize].flow.as_mut().ok_or(InstallError::NotFound)?;
        flow.plan = Plan::of(actions);
        flow.actions = actions.iter().cloned().collect();
        flow.view_version = view_version;
        Ok(())
    }

    pub(crate) fn remove(&mut self, ufid: Ufid) -> Option<DumpedFlow> {
        let index = self.by_ufid.remove(&ufid)?;
        let (port, mask) = {
            let flow = self.slab.0[index as usize].flow.as_ref()?;
            (flow.port, Arc::clone(&flow.mask))
        };
        let classifier = match self.dense.get_mut(port as usize) {
            Some(classifier) => Some(classifier),
            None => self.others.get_mut(&port),
        };
        if let Some(classifier) = classifier {
            classifier.remove(index, &mask, &self.slab);
            if classifier.is_empty() {
                self.others.remove(&port);
            }
        }
        let place = &mut self.slab.0[index as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(index);
        place.flow.take().map(|flow| flow.dumped())
    }

    pub(crate) fn get(&self, ufid: Ufid) -> Option<DumpedFlow> {
        let index = self.by_ufid.get(&ufid)?;
        self.slab.0[*index as usize].flow.as_ref().map(|flow| flow.dumped())
    }

    pub(crate) fn counters(&self, ufid: Ufid) -> Option<(Actions, FlowStats)> {
        let index = self.by_ufid.get(&ufid)?;
        self.slab.0[*index as usize].flow.as_ref().map(|flow| (flow.actions.clone(), flow.stats))
    }

    /// Up to `max` flows from the cursor on, in the order of their numbers, and where to go on.
    pub(crate) fn dump(&self, cursor: FlowCursor, max: usize) -> (Vec<DumpedFlow>, Option<FlowCursor>) {
        let mut flows = Vec::new();
        for (i, place) in self.slab.0.iter().enumerate().skip(cursor.0 as usize) {
            if flows.len() == max {
                return (flows, Some(FlowCursor(i as u32)));
            }
            flows.extend(place.flow.as_ref().map(|flow| flow.dumped()));
        }
        (flows, None)
    }

    /// Shows up to `max` flows from `cursor` on; gives where to go on.
    pub(crate) fn walk(
        &self,
        cursor: FlowCursor,
        max: usize,
        mut see: impl FnMut(Ufid, &Actions, &FlowStats),
    ) -> Option<FlowCursor> {
        let mut n = 0;
        for (i, place) in self.slab.0.iter().enumerate().skip(cursor.0 as usize) {
            if n == max {
                return Some(FlowCursor(i as u32));
            }
            if let Some(flow) = &place.flow {
                see(flow.ufid, &flow.actions, &flow.stats);
                n += 1;
            }
        }
        None
    }

    pub(crate) fn flush(&mut self) {
        self.by_ufid.clear();
        self.dense.clear();
        self.others.clear();
        self.free.clear();
        for (i, place) in self.slab.0.iter_mut().enumerate() {
            place.generation = place.generation.wrapping_add(u32::from(place.flow.take().is_some()));
            self.free.push(i as u32);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_ufid.len()
    }

    /// Whether there is no room for another.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.flow_limit
    }

    /// Masks of all ports together.
    pub(crate) fn masks(&self) -> usize {
        self.dense.iter().chain(self.others.values()).map(Classifier::masks).sum()
    }

    /// Puts the most used subtables in front.
    pub(crate) fn rank(&mut self) {
        self.dense.iter_mut().chain(self.others.values_mut()).for_each(Classifier::rank);
    }
}
