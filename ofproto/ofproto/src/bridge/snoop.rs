//! Reading along with a controller: whoever connects to `BRIDGE.snoop` gets a copy of what the controller with the highest
//! role sends and is sent. Source: ovs-ofctl(8), `snoop`; ovs-vswitchd(8).

use openflow::message::role::Role;
use openflow::message::{Message, Msg};

use super::{Bridge, Conn, ConnId, ConnKind, Incoming, Output};

impl Bridge {
    /// Whether anybody reads along.
    pub(super) fn has_snoops(&self) -> bool {
        self.conns.values().any(|c| c.kind == ConnKind::Snoop)
    }

    /// Whether this is the connection that is read along: the primary's, else one that may change things.
    fn is_snooped(&self, id: ConnId) -> bool {
        let rank = |c: &Conn| match c.role {
            Role::Primary => 2,
            Role::Secondary => 0,
            Role::Equal | Role::NoChange => 1,
        };
        let controllers = self.conns.values().filter(|c| c.kind == ConnKind::Primary);
        controllers.max_by_key(|c| (rank(c), std::cmp::Reverse(c.id))).is_some_and(|c| c.id == id)
    }

    /// A message went to a connection.
    pub(super) fn snoop(&mut self, id: ConnId, msg: &Msg) {
        if !self.is_snooped(id) {
            return;
        }
        let snoops: Vec<ConnId> = self.conns.values().filter(|c| c.kind == ConnKind::Snoop).map(|c| c.id).collect();
        for id in snoops {
            // Who reads along slowly misses packets, as any other does.
            if let (Message::PacketIn(_), Some(conn)) = (&msg.body, self.conns.get_mut(&id)) {
                if !conn.has_room() {
                    continue;
                }
                conn.packets_under_way += 1;
            }
            self.put(Output::Send { conn: id, msg: msg.clone() });
        }
    }

    /// Messages came from a connection. What could not be read cannot be shown either.
    pub(super) fn snoop_received(&mut self, id: ConnId, messages: &[Incoming]) {
        let Some(version) = self.conns.get(&id).map(|c| c.version) else { return };
        for message in messages {
            if let Ok(body) = &message.body {
                self.snoop(id, &Msg { version, xid: message.xid, body: body.clone() });
            }
        }
    }
}
