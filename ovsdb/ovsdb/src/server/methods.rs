//! The methods that clients call, by name.

use serde_json::Value;

use super::{Now, SERVER_DB, Server, SessionId, Text};
use crate::error::OvsdbError;

impl Server {
    pub(super) fn handle_request(&mut self, session: SessionId, id: Value, method: &str, params: Vec<Value>, now: Now) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        match method {
            "transact" => self.transact(session, id, params, now),
            "monitor_cond" | "monitor_cond_since" if !self.monitor_cond => {
                self.reply_word(session, &id, "unknown method")
            }
            "monitor" | "monitor_cond" | "monitor_cond_since" => match self.monitor(session, &id, method, &params) {
                Ok(answer) => self.reply(session, answer, None),
                Err(error) => self.reply_error(session, &id, &error),
            },
            "monitor_cond_change" => match self.monitor_cond_change(session, params) {
                Ok(()) => self.reply_raw(session, &id, "{}", None),
                Err(error) => self.reply_error(session, &id, &error),
            },
            "monitor_cancel" => match self.monitor_cancel(session, &params) {
                Ok(()) => self.reply_raw(session, &id, "{}", None),
                Err(word) => self.reply_word(session, &id, word),
            },
            "get_schema" => match self.db_of(method, &params) {
                Ok(name) => {
                    let schema = self.dbs[&name].db.schema_text();
                    self.reply(session, Text::of_result(&id, schema), None);
                }
                Err(error) => self.reply_error(session, &id, &error),
            },
            "list_dbs" => {
                let result = self.list_dbs();
                self.reply_raw(session, &id, &result, None);
            }
            "lock" | "steal" | "unlock" => self.lock_method(session, &id, method, params),
            "echo" => {
                let result = jsonrpc::text::to_text(&Value::Array(params));
                self.reply_raw(session, &id, &result, None);
            }
            "get_server_id" => {
                let result = format!("\"{}\"", self.server_id());
                self.reply_raw(session, &id, &result, None);
            }
            "set_db_change_aware" => self.set_change_aware(session, &id, params),
            "convert" => match self.convert_method(session, &params, now) {
                Ok(ticket) => self.reply_raw(session, &id, "{}", ticket),
                Err(error) => self.reply_error(session, &id, &error),
            },
            _ => self.reply_word(session, &id, "unknown method"),
        }
    }

    fn set_change_aware(&mut self, session: SessionId, id: &Value, params: Vec<Value>) {
        let [Value::Bool(aware)] = params.as_slice() else {
            let details = "set_db_change_aware: true or false parameter expected";
            let error = OvsdbError::syntax_in(&Value::Array(params), details);
            return self.reply_error(session, id, &error);
        };
        if let Some(known) = self.sessions.get_mut(&session) {
            known.change_aware = *aware;
        }
        self.reply_raw(session, id, "{}", None);
    }

    fn list_dbs(&self) -> String {
        let mut out = String::from("[");
        let own = self.dbs.keys().filter(|name| &***name == SERVER_DB);
        let others = self.dbs.iter().filter(|(name, db)| &***name != SERVER_DB && db.ready);
        for (i, name) in others.map(|(name, _)| name).chain(own).enumerate() {
            if i > 0 {
                out.push(',');
            }
            jsonrpc::text::write_string(&mut out, name);
        }
        out.push(']');
        out
    }

    pub(super) fn is_read_only(&self, session: SessionId) -> bool {
        self.read_only || self.sessions.get(&session).is_some_and(|s| s.info.read_only)
    }
}
