//! The flow table of a thread: flows by number, by ufid, and by port in classifiers; with their counters.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use ebpf::Breadth;
use flow::classifier::{MiniMatch, Shape};
use flow::numbers::Numbers;
use flow::{Action, Actions, FlowChange, FlowEntry, FlowReported, FlowStats, Key, Mask, MiniKey, OdpPort, Ufid};
use smallvec::SmallVec;

use crate::classifier::{Classifier, Markable, Picked, PickedWords, Taken};
use crate::kernel::NO_ENTRY;
use crate::mix;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCursor(u32);

impl FlowCursor {
    /// At the first flow.
    pub const START: Self = Self(0);
}

/// A flow as dumped.
#[derive(Clone, Debug)]
pub struct DumpedFlow {
    /// Name, masked key, mask and actions.
    pub entry: FlowEntry,
    /// Counters.
    pub stats: FlowStats,
    /// The view it was translated from.
    pub view_version: u64,
    /// Its key with the bits that its mask leaves out, where [`crate::Datapath::keep_key`] was told of it.
    pub kept_key: Option<MiniKey>,
}

/// A change of a flow table, to be made in another thread's as well.
#[derive(Clone, Debug)]
pub enum FlowEdit {
    /// A flow, translated from the view of this version.
    Install(FlowEntry, u64),
    /// Other actions, likewise.
    Modify(FlowChange, u64),
    /// No such flow any more.
    Remove(Ufid),
    /// No flow at all.
    Flush,
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
    shape: Arc<Shape>,
    ufid: Ufid,
    view_version: u64,
    edition: u32,
    /// The classifier it is in.
    port: OdpPort,
    /// The first of its entries in the kernel.
    kernel: u32,
    /// Its mask, which nobody uses, keeps others out.
    is_in_the_way: bool,
    /// See [`is_simple`].
    is_simple: bool,
    /// Of its entries in the kernel, if it may have any.
    breadth: Option<Breadth>,
}

impl Flow {
    fn matches(&self, key: &Key) -> bool {
        self.shape.words().iter().zip(&self.picked).all(|((i, m), p)| key.0[usize::from(*i)] & m == *p)
    }

    fn set_actions(&mut self, actions: &Actions) {
        self.plan = Plan::of(actions);
        self.actions = own_list(&self.plan, actions);
    }
    /// The first of its entries in the kernel.
    pub(crate) fn kernel(&mut self) -> &mut u32 {
        &mut self.kernel
    }

    fn report(&self) -> FlowReported {
        let Self { ufid, edition, stats, is_in_the_way, .. } = *self;
        FlowReported { ufid, edition, stats, is_in_the_way }
    }

    /// See [`is_simple`].
    pub(crate) fn is_simple(&self) -> bool {
        self.is_simple
    }

    /// How much of a packet its entries in the kernel have to hold; `None`: more than they can.
    pub(crate) fn breadth(&self) -> Option<Breadth> {
        self.breadth
    }

    /// Counts a packet.
    #[inline]
    pub(crate) fn credit(&mut self, bytes: usize, key: &Key, now_ms: i64, is_simple: bool) {
        self.stats.packets += 1;
        self.stats.bytes += bytes as u64;
        self.stats.used_ms = now_ms;
        // Of a neighbour discovery the type of an option is in their place: Open vSwitch shows it, where it reads all of
        // the packet.
        if !is_simple || key.nw_proto() == 6 {
            self.stats.tcp_flags |= key.tcp_flags();
        }
    }

    fn dumped(&self) -> DumpedFlow {
        let entry = FlowEntry {
            ufid: self.ufid,
            matching: MiniMatch::of_values(Arc::clone(&self.shape), &self.picked),
            actions: self.actions.clone(),
            edition: self.edition,
        };
        DumpedFlow { entry, stats: self.stats, view_version: self.view_version, kept_key: None }
    }
}

/// Actions as a flow keeps them. Those that are cloned for each packet are a list of the thread's own: the count of one
/// shared with other threads would travel between processors.
fn own_list(plan: &Plan, actions: &Actions) -> Actions {
    match plan {
        Plan::General => actions.iter().cloned().collect(),
        Plan::Drop | Plan::Outputs(_) => Arc::clone(actions),
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

impl Slab {
    fn flow(&self, index: u32) -> Option<&Flow> {
        self.0.get(index as usize)?.flow.as_deref()
    }

    /// Whether a flow has a name.
    fn is_named(&self, index: u32, ufid: Ufid) -> bool {
        self.flow(index).is_some_and(|flow| flow.ufid == ufid)
    }
}

impl PickedWords for Slab {
    #[inline]
    fn picked(&self, flow: u32) -> &[u64] {
        match &self.0[flow as usize].flow {
            Some(flow) => &flow.picked,
            None => &[],
        }
    }
}

/// Flows, of which those count as used that were since a moment.
struct Lately<'a> {
    slab: &'a mut Slab,
    since_ms: i64,
}

impl Markable for Lately<'_> {
    fn is_used(&self, flow: u32) -> bool {
        self.slab.flow(flow).is_some_and(|flow| flow.stats.used_ms > self.since_ms)
    }

    fn mark(&mut self, flow: u32, is_in_the_way: bool) {
        if let Some(flow) = self.slab.0.get_mut(flow as usize).and_then(|place| place.flow.as_mut()) {
            flow.is_in_the_way = is_in_the_way;
        }
    }
}

/// Whether a flow is of a port's Ethernet frames and asks for nothing but their type, whether they are fragments, and their
/// VLAN without its priority: what Open vSwitch finds by its simple match, and counts apart.
fn is_simple(matching: &MiniMatch) -> bool {
    let mut may = Mask::EMPTY;
    may.set_recirc_id(u32::MAX);
    may.set_in_port(OdpPort::MAX);
    may.set_packet_type(u32::MAX);
    may.set_dl_type(u16::MAX);
    may.set_vlan_tci(VID_AND_CFI);
    may.set_nw_frag(u8::MAX);
    if matching.shape().words().iter().any(|(i, asked)| asked & !may.0[usize::from(*i)] != 0) {
        return false;
    }
    let (key, asked) = (matching.key(), matching.mask());
    let is_any = (asked.in_port(), asked.dl_type(), asked.vlan_tci()) != (OdpPort::MAX, u16::MAX, VID_AND_CFI);
    !is_any && key.recirc_id() == 0 && key.packet_type() == 0
}

/// Of `vlan_tci`: the VLAN, and whether there is a tag.
const VID_AND_CFI: u16 = 0x1fff;

pub(crate) struct FlowTable {
    slab: Slab,
    /// Places without a flow. The first of them is taken, so that few flows are listed in the order in which they came
    /// also where others went before: so Open vSwitch lists them.
    free: BinaryHeap<Reverse<u32>>,
    by_ufid: Numbers,
    /// By port; ports beyond [`DENSE`] and [`ANY_PORT`] share `others`.
    dense: Vec<Classifier>,
    others: BTreeMap<OdpPort, Classifier>,
    seed: u64,
    flow_limit: usize,
    mask_limit: usize,
    /// What was changed, where others follow.
    journal: Option<Vec<FlowEdit>>,
}

/// Ports whose classifier is found by indexing.
const DENSE: usize = 4096;

impl FlowTable {
    pub(crate) fn new(seed: u64, flow_limit: usize, mask_limit: usize) -> Self {
        Self {
            slab: Slab::default(),
            free: BinaryHeap::new(),
            by_ufid: Numbers::default(),
            dense: Vec::new(),
            others: BTreeMap::new(),
            seed,
            flow_limit,
            mask_limit,
            journal: None,
        }
    }

    /// Has changes noted from now on, or no longer.
    pub(crate) fn keep_journal(&mut self, on: bool) {
        self.journal = on.then(Vec::new);
    }

    /// What was changed since last asked.
    pub(crate) fn take_journal(&mut self) -> Vec<FlowEdit> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    #[inline]
    fn note(&mut self, edit: impl FnOnce() -> FlowEdit) {
        if let Some(journal) = &mut self.journal {
            journal.push(edit());
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

    /// See [`Flow::breadth`].
    #[inline]
    pub(crate) fn breadth(&self, flow: FlowRef) -> Option<Breadth> {
        let place = self.slab.0.get(flow.index as usize).filter(|place| place.generation == flow.generation)?;
        place.flow.as_deref()?.breadth
    }

    /// Whether a port has no flows but simple ones ([`is_simple`]).
    #[inline]
    pub(crate) fn are_simple(&self, port: OdpPort) -> bool {
        self.dense.get(port as usize).is_some_and(|classifier| classifier.others == 0)
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

    fn name_hash(ufid: Ufid, seed: u64) -> u64 {
        mix::words([ufid.0 as u64, (ufid.0 >> 64) as u64].into_iter(), seed)
    }

    fn by_name(&self, ufid: Ufid) -> Option<u32> {
        let hash = Self::name_hash(ufid, self.seed);
        self.by_ufid.find(hash, |index| self.slab.is_named(index, ufid))
    }

    fn named(&self, ufid: Ufid) -> Option<&Flow> {
        self.slab.flow(self.by_name(ufid)?)
    }

    /// A flow by its name.
    pub(crate) fn reference(&self, ufid: Ufid) -> Option<FlowRef> {
        let index = self.by_name(ufid)?;
        Some(FlowRef { index, generation: self.slab.0[index as usize].generation })
    }

    pub(crate) fn install(&mut self, entry: &FlowEntry, view_version: u64) -> Result<(), InstallError> {
        if self.by_name(entry.ufid).is_some() {
            // Others may not have it yet.
            self.note(|| FlowEdit::Install(entry.clone(), view_version));
            return Err(InstallError::Exists);
        }
        if self.is_full() {
            return Err(InstallError::FlowLimit);
        }
        let port = entry.matching.in_port().unwrap_or(ANY_PORT);
        let (limit, plan) = (self.mask_limit, Plan::of(&entry.actions));
        self.classifier(port);
        let classifier = match self.dense.get_mut(port as usize) {
            Some(classifier) => classifier,
            None => self.others.get_mut(&port).ok_or(InstallError::MaskLimit)?,
        };
        let values = entry.matching.values();
        let vacancy =
            classifier.vacancy(entry.matching.shape(), values, limit, &self.slab).map_err(|taken| match taken {
                Taken::ByFlow => InstallError::Exists,
                Taken::MaskLimit => InstallError::MaskLimit,
            })?;
        let flow = Flow {
            actions: own_list(&plan, &entry.actions),
            plan,
            stats: FlowStats::default(),
            picked: Picked::from_slice(values),
            shape: Arc::clone(classifier.shape(vacancy)),
            ufid: entry.ufid,
            view_version,
            edition: entry.edition,
            port,
            kernel: NO_ENTRY,
            is_in_the_way: false,
            is_simple: is_simple(&entry.matching),
            breadth: Breadth::of(entry.matching.shape()),
        };
        classifier.others += u32::from(!flow.is_simple);
        let index = match self.free.pop() {
            Some(Reverse(index)) => index,
            None => {
                self.slab.0.push(Place::default());
                self.slab.0.len() as u32 - 1
            }
        };
        self.slab.0[index as usize].flow = Some(Box::new(flow));
        classifier.insert(index, vacancy);
        self.by_ufid.insert(Self::name_hash(entry.ufid, self.seed), index);
        self.note(|| FlowEdit::Install(entry.clone(), view_version));
        Ok(())
    }

    /// Changes a flow's actions; it keeps its counters.
    pub(crate) fn modify(&mut self, change: &FlowChange, view_version: u64) -> Result<(), InstallError> {
        let index = self.by_name(change.ufid).ok_or(InstallError::NotFound)?;
        let flow = self.slab.0[index as usize].flow.as_mut().ok_or(InstallError::NotFound)?;
        flow.set_actions(&change.actions);
        (flow.view_version, flow.edition) = (view_version, change.edition);
        self.note(|| FlowEdit::Modify(change.clone(), view_version));
        Ok(())
    }

    pub(crate) fn remove(&mut self, ufid: Ufid) -> Option<DumpedFlow> {
        let index = self.by_name(ufid)?;
        self.by_ufid.remove(Self::name_hash(ufid, self.seed), index);
        self.note(|| FlowEdit::Remove(ufid));
        let (port, shape, is_simple) = self.slab.flow(index).map(|f| (f.port, Arc::clone(&f.shape), f.is_simple))?;
        let classifier = match self.dense.get_mut(port as usize) {
            Some(classifier) => Some(classifier),
            None => self.others.get_mut(&port),
        };
        if let Some(classifier) = classifier {
            classifier.remove(index, &shape, &self.slab);
            classifier.others -= u32::from(!is_simple);
            if classifier.is_empty() {
                self.others.remove(&port);
            }
        }
        let place = &mut self.slab.0[index as usize];
        place.generation = place.generation.wrapping_add(1);
        self.free.push(Reverse(index));
        place.flow.take().map(|flow| flow.dumped())
    }

    /// Adds what another thread counted of a flow.
    pub(crate) fn credit(&mut self, ufid: Ufid, stats: FlowStats) {
        if let Some(index) = self.by_name(ufid)
            && let Some(flow) = &mut self.slab.0[index as usize].flow
        {
            flow.stats += stats;
        }
    }

    pub(crate) fn get(&self, ufid: Ufid) -> Option<DumpedFlow> {
        self.named(ufid).map(Flow::dumped)
    }

    pub(crate) fn report(&self, ufid: Ufid) -> Option<FlowReported> {
        self.named(ufid).map(Flow::report)
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
    pub(crate) fn walk(&self, cursor: FlowCursor, max: usize, mut see: impl FnMut(FlowReported)) -> Option<FlowCursor> {
        let mut n = 0;
        for (i, place) in self.slab.0.iter().enumerate().skip(cursor.0 as usize) {
            if n == max {
                return Some(FlowCursor(i as u32));
            }
            if let Some(flow) = &place.flow {
                see(flow.report());
                n += 1;
            }
        }
        None
    }

    pub(crate) fn flush(&mut self) {
        self.note(|| FlowEdit::Flush);
        self.by_ufid.clear();
        self.dense.clear();
        self.others.clear();
        self.free.clear();
        for (i, place) in self.slab.0.iter_mut().enumerate() {
            place.generation = place.generation.wrapping_add(u32::from(place.flow.take().is_some()));
            self.free.push(Reverse(i as u32));
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

    /// Puts the most used subtables in front; where their number keeps flows out, marks those that nobody has used since
    /// `since_ms` as in the way.
    pub(crate) fn rank(&mut self, since_ms: u64) {
        let mut lately = Lately { slab: &mut self.slab, since_ms: i64::try_from(since_ms).unwrap_or(i64::MAX) };
        for classifier in self.dense.iter_mut().chain(self.others.values_mut()) {
            classifier.rank();
            classifier.mark(&mut lately);
        }
    }
}
