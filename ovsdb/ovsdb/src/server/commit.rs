//! One commit: appended to the log, applied, told to monitors, in this order.

use std::sync::Arc;

use super::{Compaction, Now, Server, Stage, Ticket};
use crate::error::{OvsdbError, Result};
use crate::log::SyncJob;
use crate::txn::Commit;
use crate::uuid::Uuid;

impl Server {
    pub(crate) fn apply_commit(&mut self, name: &Arc<str>, commit: Commit, now: Now) -> Result<Option<Ticket>> {
        self.apply_commit_as(name, commit, None, now)
    }

    /// `id`: what a source calls the transaction.
    pub(crate) fn apply_commit_as(
        &mut self,
        name: &Arc<str>,
        commit: Commit,
        id: Option<Uuid>,
        now: Now,
    ) -> Result<Option<Ticket>> {
        let column_diff = self.column_diff();
        let id = id.filter(|id| !id.is_zero()).unwrap_or_else(|| self.source.next_uuid());
        let Some(served) = self.dbs.get_mut(name) else { return Ok(None) };
        let mut ticket = None;
        if let Some(log) = &mut served.log {
            let record = if column_diff {
                commit.log_record(&served.db, now.wall_ms)
            } else {
                commit.log_record_whole(&served.db, now.wall_ms)
            };
            if let Some(record) = record {
                if let Err(error) = log.append(&record) {
                    self.write_faults.extend(log.take_note().map(|note| (note, error.clone())));
                    return Err(error);
                }
                served.seq += 1;
                if let Some(Compaction { stage: Stage::Writing(since), .. }) = &mut served.compacting {
                    since.push(record);
                }
            }
            ticket = Some(Ticket { db: Arc::clone(name), seq: served.seq });
        }
        if let Some(Compaction { stage: Stage::Gathering(job), .. }) = &mut served.compacting {
            job.note(&commit);
        }
        let commit = Arc::new(commit);
        served.db.apply(&commit, id);
        self.tell_monitors(name, &commit);
        if let Some(kept) = &mut self.kept_commits {
            kept.push((Arc::clone(name), commit));
        }
        Ok(ticket)
    }

    /// Whether commits are kept for [`Server::take_commits`]: for a log of changes.
    pub fn keep_commits(&mut self, keep: bool) {
        self.kept_commits = keep.then(Vec::new);
    }

    /// The commits since the last call, with their databases' names.
    pub fn take_commits(&mut self) -> Vec<(Arc<str>, Arc<Commit>)> {
        self.kept_commits.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Files that began to refuse what is written to them, each with the error that clients are told.
    pub fn take_write_faults(&mut self) -> Vec<(String, OvsdbError)> {
        std::mem::take(&mut self.write_faults)
    }

    /// What was found wrong with tables of roles as their rules were asked, for the log of module `ovsdb_rbac`.
    pub fn take_rbac_notes(&mut self) -> Vec<crate::rbac::Note> {
        std::mem::take(&mut self.rbac_notes)
    }

    pub(super) fn latest_ticket(&self, name: &Arc<str>) -> Option<Ticket> {
        let served = self.dbs.get(name)?;
        served.log.as_ref()?;
        Some(Ticket { db: Arc::clone(name), seq: served.seq })
    }

    /// Work for the fsync thread, with the number of the ticket that it redeems, and all before
    /// it. `None`: the database is gone or has no log, and its tickets are redeemed.
    pub fn sync_job(&self, db: &str) -> Option<(u64, std::io::Result<SyncJob>)> {
        let served = self.dbs.get(db)?;
        let log = served.log.as_ref()?;
        Some((served.seq, log.sync_job()))
    }
}
