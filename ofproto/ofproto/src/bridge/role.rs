//! Controllers' roles: at most one primary, and elections that do not go backwards. OpenFlow 1.3.5 section 6.3.5.

use openflow::message::role::{Role, RoleReason, RoleRequest, RoleStatus};
use openflow::message::{Dialect, Message};
use openflow::{ErrorCode, Version};

use super::{Bridge, ConnId};

impl Bridge {
    pub(super) fn role_request(&mut self, id: ConnId, xid: u32, wanted: &RoleRequest) -> Result<(), ErrorCode> {
        if wanted.role != Role::NoChange {
            if wanted.role != Role::Equal
                && let Some(generation) = wanted.generation_id
            {
                let stale = |old: u64| (generation.wrapping_sub(old) as i64) < 0;
                if self.generation_id.is_some_and(stale) {
                    return Err(ErrorCode::OFPRRFC_STALE);
                }
                self.generation_id = Some(generation);
            }
            self.set_role(id, wanted.role);
        }
        let role = self.conns.get(&id).map_or(Role::Equal, |c| c.role);
        let generation_id = if wanted.dialect == Dialect::Standard { self.generation_id } else { None };
        self.reply(id, xid, Message::RoleReply(RoleRequest { dialect: wanted.dialect, role, generation_id }));
        Ok(())
    }

    fn set_role(&mut self, id: ConnId, role: Role) {
        let mut demoted = Vec::new();
        if role == Role::Primary && self.conns.get(&id).is_some_and(|c| c.role != Role::Primary) {
            for other in self.conns.values_mut().filter(|c| c.id != id && c.role == Role::Primary) {
                other.role = Role::Secondary;
                if other.version >= Version::V13 {
                    demoted.push(other.id);
                }
            }
        }
        self.edit(id, |c| c.role = role);
        for conn in demoted {
            let generation_id = self.generation_id.unwrap_or(u64::MAX);
            let status = RoleStatus { role: Role::Secondary, reason: RoleReason::MasterRequest, generation_id };
            self.send_async(conn, Message::RoleStatus(status));
        }
    }

    /// The role of a connection, as the database shows it: `master`, `slave`, `other`.
    pub fn role_name(&self, id: ConnId) -> Option<&'static str> {
        self.conns.get(&id).map(|c| match c.role {
            Role::Primary => "master",
            Role::Secondary => "slave",
            Role::Equal | Role::NoChange => "other",
        })
    }
}
