//! Freezing: what is left to do when the datapath must bring the packet again.

use std::sync::Arc;

use flow::field::Value;
use flow::{Field, Key, odp};
use openflow::OfPort;
use openflow::action::{Action, Resubmit, ResubmitForm, SetField, SetFieldForm};

use super::context::{Context, DpHash};
use super::recirc::{FrozenState, frozen_mask};
use super::record::{NodeKind, Recirculation};

impl Context<'_> {
    /// Stops here; what follows is for later.
    pub fn trigger_freeze(&mut self) {
        self.exit = true;
        self.freezing = true;
    }

    pub fn trigger_hash(&mut self, hash: DpHash) {
        self.trigger_freeze();
        self.dp_hash = Some(hash);
    }

    pub fn cancel_freeze(&mut self) {
        if self.freezing {
            self.freezing = false;
            self.dp_hash = None;
            self.frozen.clear();
            self.freeze_noted = false;
            self.unroll = None;
            self.pause = None;
        }
    }

    /// Whether the action that froze the packet has yet to be dealt with.
    pub fn is_freeze_new(&self) -> bool {
        self.freezing && !self.freeze_noted
    }

    fn put_unroll(&mut self) {
        let at = (self.table, self.rule_cookie);
        if self.unroll != Some(at) {
            self.unroll = Some(at);
            self.frozen.push(Action::UnrollXlate { table: at.0, cookie: at.1 });
        }
    }

    /// Keeps actions for later.
    pub fn freeze_actions(&mut self, actions: &[Action]) {
        self.freeze_noted = true;
        for action in actions {
            match action {
                Action::Output { .. }
                | Action::OutputReg { .. }
                | Action::OutputTrunc { .. }
                | Action::Group(_)
                | Action::Controller(_)
                | Action::DecMplsTtl
                | Action::DecNshTtl
                | Action::DecTtl(_) => self.put_unroll(),
                // It means the table that it stands in.
                Action::Resubmit(Resubmit { table: 0xff, .. }) => self.put_unroll(),
                _ => {}
            }
            self.frozen.push(match action {
                // It may lead on from any table; only a rule's own may not lead back.
                Action::GotoTable(table) => Action::Resubmit(Resubmit {
                    in_port: OfPort::IN_PORT,
                    table: *table,
                    with_ct_orig: false,
                    form: ResubmitForm::Table,
                }),
                // An instruction is none of the actions that a controller may be told of, and give back.
                Action::WriteMetadata { metadata, mask } => {
                    let value = |number: u64| Value::from_u128(number.into(), size_of::<u64>());
                    Action::SetField(Box::new(SetField {
                        field: Field::Metadata,
                        value: value(metadata & mask),
                        mask: value(*mask),
                        flow_has_vlan: false,
                        form: SetFieldForm::SetField,
                    }))
                }
                other => other.clone(),
            });
        }
    }

    /// The state of the pipeline, to go on in `table`.
    pub fn frozen_state(&mut self, table: u8, with_actions: bool) -> FrozenState {
        let mut metadata: Key = self.flow.masked(&frozen_mask());
        metadata.set_recirc_id(0);
        FrozenState {
            bridge: self.bridge.id,
            table,
            metadata: Box::new(metadata),
            stack: self.stack.clone(),
            mirrors: self.mirrors,
            conntracked: self.conntracked,
            actions: if with_actions { Arc::from(self.frozen.as_slice()) } else { Arc::from([]) },
            action_set: if with_actions { Arc::from(self.action_set.as_slice()) } else { Arc::from([]) },
            userdata: Vec::new(),
            is_told: false,
            from_nowhere: self.from_nowhere,
        }
    }

    pub fn alloc_recirc(&mut self, state: FrozenState) -> u32 {
        let id = self.recirc.alloc(state);
        self.recircs.push(id);
        id
    }

    pub fn finish_freezing(&mut self) {
        self.commit();
        self.freeze(0);
    }

    /// Ends with a recirculation, or hands the packet to the controller. Gives the state's number in the first case.
    fn freeze(&mut self, table: u8) -> Option<u32> {
        let mut state = self.frozen_state(table, true);
        let mut recirculated = None;
        if let Some(pause) = self.pause.take() {
            state.userdata.clone_from(&pause.userdata);
            let id = self.alloc_recirc(state);
            if self.tells() {
                self.emit_continuation(&pause, id);
            }
        } else {
            let id = self.alloc_recirc(state);
            if let Some(hash) = self.dp_hash {
                self.odp.push(odp::Action::Hash { alg: hash.alg, basis: hash.basis });
            }
            self.odp.push(odp::Action::Recirc(id));
            recirculated = Some(id);
        }
        self.cancel_freeze();
        recirculated
    }

    /// A copy goes on later in `table`, this packet now.
    pub fn fork_recirculation(&mut self, table: u8, zone: u16) {
        self.freezing = true;
        let Some(id) = self.freeze(table) else { return };
        let nat = self.ct_nat.clone();
        let flow = self.flow.clone();
        if let Some(recorder) = &mut self.recorder {
            recorder.recirculations.push(Recirculation { id, flow: Box::new(flow), zone, nat });
        }
        self.report(NodeKind::Detail, || {
            format!(
                "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {table}."
            )
        });
    }
}
