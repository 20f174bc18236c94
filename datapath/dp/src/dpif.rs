//! The forwarding layer as those above see it, whoever does the forwarding: this crate's rings and dummies, or a kernel's
//! fast path. And what each implementation must pass, [`conformance::check`].
//!
//! How packets come in and go out is no part of it: that differs. What a new one must provide:
//!
//! * a flow table by name, whose flows do not overlap; a packet that no flow matches is handed up once;
//! * the actions that [`Support`] says, applied in order, a clone never changing the original;
//! * counters of a flow that never go back as long as it is there, through changes of its actions as well;
//! * dumps that may be taken in pieces, while flows come and go, and that never give a flow twice.

use flow::{Execute, FlowChange, FlowEntry, Ufid, Upcall};

use crate::flows::{DumpedFlow, FlowCursor, InstallError};
use crate::meter::{Meter, MeterConfig};

/// What an implementation can do; the translation asks before it uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// VLAN tags told apart.
    pub max_vlan_headers: usize,
    /// MPLS labels told apart.
    pub max_mpls_depth: usize,
    /// Lists of actions within `sample`.
    pub sample_nesting: usize,
    /// Packets may come back with an identifier.
    pub recirc: bool,
    /// A hash that is the same both ways.
    pub hash_sym_l4: bool,
    /// The action `clone`.
    pub clone: bool,
    /// The action `trunc`.
    pub trunc: bool,
    /// The action `check_pkt_len`.
    pub check_pkt_len: bool,
    /// The action `drop`.
    pub explicit_drop: bool,
    /// The action `lb_output`: bonds that balance by themselves.
    pub lb_output: bool,
    /// The actions `push_nsh` and `pop_nsh`.
    pub push_nsh: bool,
    /// Connection tracking, with zones, marks, labels and address translation.
    pub ct: bool,
    /// The actions `tnl_push` and `tnl_pop` are taken; see the crate for what becomes of them.
    pub tunnels: bool,
    /// The action `meter`.
    pub meters: bool,
}

/// A forwarding layer.
pub trait Dpif {
    /// What it can do.
    fn support(&self) -> Support;

    /// Installs a flow, translated from the view of this version.
    fn install(&mut self, entry: &FlowEntry, view_version: u64) -> Result<(), InstallError>;

    /// Changes a flow's actions; its counters go on.
    fn modify(&mut self, change: &FlowChange, view_version: u64) -> Result<(), InstallError>;

    /// Removes a flow: as it was last.
    fn delete(&mut self, ufid: Ufid) -> Option<DumpedFlow>;

    /// A flow as it is.
    fn flow(&self, ufid: Ufid) -> Option<DumpedFlow>;

    /// Up to `max` flows, and where to go on.
    fn dump(&self, cursor: FlowCursor, max: usize) -> (Vec<DumpedFlow>, Option<FlowCursor>);

    /// Removes all flows.
    fn flush(&mut self);

    /// Number of flows.
    fn n_flows(&self) -> usize;

    /// Acts upon packets from above.
    fn execute(&mut self, packets: Vec<Execute>, now_us: u64, upcalls: &mut Vec<Upcall>);

    /// Sets a meter; its counters and buckets start anew.
    fn set_meter(&mut self, id: u32, config: MeterConfig, now_us: u64);

    /// A meter with its counters.
    fn meter(&self, id: u32) -> Option<Meter>;

    /// Removes a meter: as it was last.
    fn delete_meter(&mut self, id: u32) -> Option<Meter>;
}

/// What every implementation must pass.
pub mod conformance {
    use flow::{Action, Execute, FlowChange, FlowEntry, Key, Mask, Ufid, Upcall, UpcallKind};
    use packet::PacketBuf;

    use super::Dpif;
    use crate::flows::{FlowCursor, InstallError};

    /// An implementation with ports 1, 2 and 3 that can be fed and observed.
    pub trait Stage {
        /// The implementation.
        fn dpif(&mut self) -> &mut dyn Dpif;

        /// Lets a frame come in by a port, and waits until everything that follows has happened.
        fn inject(&mut self, port: u32, frame: &[u8]) -> Vec<Upcall>;

        /// Frames that left by a port since last asked.
        fn sent(&mut self, port: u32) -> Vec<Vec<u8>>;
    }

    type Verdict = Result<(), String>;

    fn ensure(holds: bool, what: &str) -> Verdict {
        if holds { Ok(()) } else { Err(what.into()) }
    }

    /// An IPv4 frame from this host, of 60 octets.
    fn frame(host: u8) -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 253, 0, 0];
        f.extend([10, 0, 0, host, 10, 0, 0, 250]);
        let csum = packet::checksum::of(&f[14..34]).to_be_bytes();
        f[24..26].copy_from_slice(&csum);
        f.extend(0..26);
        f
    }

    fn flow(name: u128, host: u8, actions: &[Action]) -> FlowEntry {
        let (key, _) = flow::extract(&frame(host), 1);
        let mut mask = Mask::EMPTY;
        mask.set_in_port(u32::MAX);
        mask.set_recirc_id(u32::MAX);
        mask.set_packet_type(u32::MAX);
        mask.set_dl_type(u16::MAX);
        mask.set_nw_frag(3);
        mask.set_nw_src(u32::MAX);
        FlowEntry::new(Ufid(name), &key, &mask, actions.into())
    }

    /// Runs all checks; the sentence that does not hold. The stage has no flows, before and after.
    pub fn check(stage: &mut dyn Stage) -> Verdict {
        misses(stage)?;
        flows(stage)?;
        dumps(stage)?;
        actions(stage)?;
        executes(stage)?;
        stage.dpif().flush();
        ensure(stage.dpif().n_flows() == 0, "a flush leaves no flow")
    }

    fn misses(stage: &mut dyn Stage) -> Verdict {
        let upcalls = stage.inject(1, &frame(1));
        let [miss] = upcalls.as_slice() else {
            return Err(format!("a packet without flow is handed up once, not {} times", upcalls.len()));
        };
        ensure(miss.kind == UpcallKind::Miss && miss.packet.data() == frame(1), "a miss brings the packet as it came")?;
        ensure(*miss.key == flow::extract(&frame(1), 1).0, "a miss brings the packet's key")
    }

    fn flows(stage: &mut dyn Stage) -> Verdict {
        let out = |port| [Action::Output(port)];
        let entry = flow(1, 1, &out(2));
        let change = FlowChange { ufid: Ufid(1), actions: out(3).as_slice().into(), edition: 1 };
        ensure(stage.dpif().modify(&change, 1) == Err(InstallError::NotFound), "no flow, no change")?;
        ensure(stage.dpif().install(&entry, 1) == Ok(()), "a flow can be installed")?;
        ensure(stage.dpif().install(&entry, 1) == Err(InstallError::Exists), "a name is given once")?;
        let twin = FlowEntry { ufid: Ufid(2), ..entry.clone() };
        ensure(stage.dpif().install(&twin, 1) == Err(InstallError::Exists), "a match is there once")?;
        ensure(stage.inject(1, &frame(1)).is_empty(), "a packet with a flow is not handed up")?;
        ensure(stage.inject(1, &frame(2)).len() == 1, "the mask decides what matches")?;
        ensure(stage.inject(2, &frame(1)).len() == 1, "another port's packet does not match")?;
        ensure(stage.sent(2) == [frame(1)], "the flow's packet goes where it shall")?;
        ensure(stage.dpif().modify(&change, 2) == Ok(()), "a flow can be changed")?;
        stage.inject(1, &frame(1));
        ensure(stage.sent(3) == [frame(1)] && stage.sent(2).is_empty(), "the change holds at once")?;
        let now = stage.dpif().flow(Ufid(1)).ok_or("a flow can be read")?;
        ensure((now.stats.packets, now.stats.bytes) == (2, 120), "a change keeps the counters")?;
        ensure(now.entry.matching == entry.matching, "a flow is read as it was written")?;
        ensure((now.view_version, now.entry.edition) == (2, 1), "a flow carries the version it came from")?;
        let last = stage.dpif().delete(Ufid(1)).ok_or("a flow can be deleted")?;
        ensure(last.stats.packets == 2, "a deleted flow gives its last counters")?;
        ensure(stage.dpif().delete(Ufid(1)).is_none(), "a deleted flow is gone")?;
        ensure(stage.inject(1, &frame(1)).len() == 1, "packets of a deleted flow are handed up")
    }

    fn dumps(stage: &mut dyn Stage) -> Verdict {
        for host in 0..50 {
            let installed = stage.dpif().install(&flow(host.into(), host, &[]), 1);
            ensure(installed.is_ok(), "many flows can be installed")?;
        }
        let (mut names, mut cursor) = (Vec::new(), Some(FlowCursor::START));
        while let Some(at) = cursor {
            let (some, next) = stage.dpif().dump(at, 7);
            ensure(some.len() <= 7, "a dump gives no more than asked for")?;
            names.extend(some.iter().map(|f| f.entry.ufid.0));
            cursor = next;
            if let Some(gone) = names.first().filter(|_| names.len() < 20) {
                stage.dpif().delete(Ufid(*gone));
            }
        }
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        ensure(names.len() == n && n >= 49, "a dump gives each flow once")?;
        stage.dpif().flush();
        ensure(stage.dpif().n_flows() == 0 && stage.inject(1, &frame(1)).len() == 1, "a flush removes all flows")
    }

    fn actions(stage: &mut dyn Stage) -> Verdict {
        let tag = Action::PushVlan { tpid: 0x8100, tci: 0x1009 };
        let clone = Action::Clone([tag.clone(), Action::Output(3)].as_slice().into());
        let entry = flow(1, 1, &[clone, Action::Output(2), tag, Action::Output(2), Action::PopVlan, Action::Output(1)]);
        stage.dpif().install(&entry, 1).map_err(|e| e.to_string())?;
        stage.inject(1, &frame(1));
        let mut tagged = frame(1);
        tagged.splice(12..12, [0x81, 0, 0, 9]);
        ensure(stage.sent(3) == [tagged.clone()], "a clone is changed")?;
        ensure(stage.sent(2) == [frame(1), tagged], "a clone does not change the original; actions go in order")?;
        ensure(stage.sent(1) == [frame(1)], "what is pushed can be popped; a packet may go back where it came from")?;
        stage.dpif().flush();
        if stage.dpif().support().recirc {
            let second = flow(2, 1, &[Action::Output(2)]);
            let (mut key, mask) = (second.key(), second.mask());
            key.set_recirc_id(77);
            let second = FlowEntry::new(second.ufid, &key, &mask, second.actions);
            stage.dpif().install(&flow(1, 1, &[Action::Recirc(77)]), 1).map_err(|e| e.to_string())?;
            ensure(stage.inject(1, &frame(1)).iter().all(|u| u.key.recirc_id() == 77), "a second round can miss")?;
            stage.dpif().install(&second, 1).map_err(|e| e.to_string())?;
            ensure(stage.inject(1, &frame(1)).is_empty() && stage.sent(2) == [frame(1)], "a packet can go round")?;
            stage.dpif().flush();
        }
        Ok(())
    }

    fn executes(stage: &mut dyn Stage) -> Verdict {
        let mut key = Key::EMPTY;
        key.set_in_port(1);
        let actions = [Action::Output(2), Action::Output(3)].as_slice().into();
        let execute = Execute { packet: PacketBuf::new(&frame(9)), key: Box::new(key), actions };
        stage.dpif().execute(vec![execute], 1, &mut Vec::new());
        ensure(stage.sent(2) == [frame(9)] && stage.sent(3) == [frame(9)], "packets from above go where they shall")
    }
}
