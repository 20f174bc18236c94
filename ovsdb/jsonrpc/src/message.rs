//! The four kinds of JSON-RPC 1.0 messages and their wire form (RFC 7047 section 4, JSON-RPC 1.0).
//! Members are written in the order Open vSwitch 3.1 writes them; an error reply has no `result`.

use serde_json::Value;

use crate::error::MessageError;
use crate::parser;
use crate::pull::Pull;
use crate::text::{write_string, write_value};

/// One JSON-RPC 1.0 message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Wants an answer with the same id.
    Request {
        /// Any JSON value but null.
        id: Value,
        /// Name of the method.
        method: String,
        /// Its arguments.
        params: Vec<Value>,
    },
    /// Wants no answer; its id on the wire is null.
    Notification {
        /// Name of the method.
        method: String,
        /// Its arguments.
        params: Vec<Value>,
    },
    /// Answers a request that succeeded.
    Response {
        /// The request's id.
        id: Value,
        /// Anything but null.
        result: Value,
    },
    /// Answers a request that failed.
    Error {
        /// The request's id.
        id: Value,
        /// Anything but null.
        error: Value,
    },
}

impl Message {
    /// A request.
    #[must_use]
    pub fn request(id: Value, method: &str, params: Vec<Value>) -> Self {
        Message::Request { id, method: method.to_owned(), params }
    }

    /// A notification.
    #[must_use]
    pub fn notification(method: &str, params: Vec<Value>) -> Self {
        Message::Notification { method: method.to_owned(), params }
    }

    /// The probe that a session sends to a silent peer.
    #[must_use]
    pub fn echo_request() -> Self {
        Message::request(Value::from("echo"), "echo", Vec::new())
    }

    /// The answer to an echo request.
    #[must_use]
    pub fn echo_reply(id: Value, params: Vec<Value>) -> Self {
        Message::Response { id, result: Value::Array(params) }
    }

    /// Reads a request as it stands in a stream. `None`: it is not all there, or not a plain request, for
    /// [`Message::from_json`] to judge. `max_depth`: of brackets.
    pub(crate) fn read_request(pull: &mut Pull<'_>, max_depth: usize) -> Option<Message> {
        let (mut id, mut method, mut params) = (None, None, None);
        pull.members(|name, pull| {
            let again = match name {
                "id" => id.replace(parser::read(pull, max_depth.checked_sub(1)?)?).is_some(),
                "method" => method.replace(pull.string()?.into_owned()).is_some(),
                "params" => params.replace(parser::read(pull, max_depth.checked_sub(1)?)?).is_some(),
                _ => return None,
            };
            (!again).then_some(())
        })?;
        match (id?, method?, params?) {
            (Value::Null, ..) => None,
            (id, method, Value::Array(params)) => Some(Message::Request { id, method, params }),
            _ => None,
        }
    }

    /// Takes a JSON value for a message. The texts of errors are Open vSwitch's.
    pub fn from_json(value: Value) -> Result<Self, MessageError> {
        let Value::Object(members) = value else {
            return Err(MessageError("message is not a JSON object".into()));
        };
        let (mut method, mut id, mut params, mut result, mut error) = (None, None, None, None, None);
        let mut unexpected = None;
        for (name, value) in members {
            let member = match name.as_str() {
                "method" => &mut method,
                "id" => &mut id,
                "params" => &mut params,
                "result" => &mut result,
                "error" => &mut error,
                _ => {
                    unexpected.get_or_insert(name);
                    continue;
                }
            };
            *member = (!value.is_null()).then_some(value);
        }
        let method = match method {
            None => None,
            Some(Value::String(method)) => Some(method),
            Some(_) => return Err(MessageError("method is not a JSON string".into())),
        };
        if let Some(name) = unexpected {
            return Err(MessageError(format!("message has unexpected member \"{name}\"")));
        }
        if let Some(params) = &params
            && !params.is_array()
        {
            return Err(MessageError("\"params\" must be JSON array".into()));
        }
        let kind = match (&result, &error, &method, &id) {
            (Some(_), ..) => Kind::Reply,
            (_, Some(_), ..) => Kind::Error,
            (_, _, _, Some(_)) => Kind::Request,
            _ => Kind::Notify,
        };
        kind.check([
            ("method", method.is_some()),
            ("params", params.is_some()),
            ("result", result.is_some()),
            ("error", error.is_some()),
            ("id", id.is_some()),
        ])?;
        let id = id.unwrap_or(Value::Null);
        let method = method.unwrap_or_default();
        let params = match params {
            Some(Value::Array(params)) => params,
            _ => Vec::new(),
        };
        Ok(match kind {
            Kind::Request => Message::Request { id, method, params },
            Kind::Notify => Message::Notification { method, params },
            Kind::Reply => Message::Response { id, result: result.unwrap_or(Value::Null) },
            Kind::Error => Message::Error { id, error: error.unwrap_or(Value::Null) },
        })
    }

    /// What the log says of a message that comes or, if `sent`, goes: what kind it is and what it says.
    #[must_use]
    pub fn log_text(&self, sent: bool) -> String {
        let mut out = String::from(if sent { "send " } else { "received " });
        let mut put = |name: &str, value: &Value| {
            out.push_str(name);
            write_value(&mut out, value, false);
        };
        match self {
            Message::Request { id, method, params } => {
                put("request, method=", &method.as_str().into());
                put(", params=", &params.clone().into());
                put(", id=", id);
            }
            Message::Notification { method, params } => {
                put("notification, method=", &method.as_str().into());
                put(", params=", &params.clone().into());
            }
            Message::Response { id, result } => {
                put("reply, result=", result);
                put(", id=", id);
            }
            Message::Error { id, error } => {
                put(if sent { "reply, error=" } else { "error, error=" }, error);
                put(", id=", id);
            }
        }
        out
    }

    /// The text on the wire, without white space.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::with_capacity(128);
        self.write(&mut out);
        out
    }

    /// Appends the text on the wire.
    pub fn write(&self, out: &mut String) {
        match self {
            Message::Request { id, method, params } => write_call(out, id, method, params),
            Message::Notification { method, params } => {
                write_call(out, &Value::Null, method, params);
            }
            Message::Response { id, result } => {
                write_reply_head(out, id);
                write_value(out, result, false);
                out.push_str(REPLY_TAIL);
            }
            Message::Error { id, error } => {
                out.push_str("{\"id\":");
                write_value(out, id, false);
                out.push_str(",\"error\":");
                write_value(out, error, false);
                out.push('}');
            }
        }
    }
}

/// Appends a response up to and including `"result":`; the result's text and [`REPLY_TAIL`] follow.
pub fn write_reply_head(out: &mut String, id: &Value) {
    out.push_str("{\"id\":");
    write_value(out, id, false);
    out.push_str(",\"result\":");
}

/// What follows the result of a response.
pub const REPLY_TAIL: &str = ",\"error\":null}";

/// Appends a notification up to and including `"params":`; the text of the array and `}` follow.
pub fn write_notification_head(out: &mut String, method: &str) {
    out.push_str("{\"id\":null,\"method\":");
    write_string(out, method);
    out.push_str(",\"params\":");
}

fn write_call(out: &mut String, id: &Value, method: &str, params: &[Value]) {
    out.push_str("{\"id\":");
    write_value(out, id, false);
    out.push_str(",\"method\":");
    write_string(out, method);
    out.push_str(",\"params\":[");
    for (i, param) in params.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_value(out, param, false);
    }
    out.push_str("]}");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Notify,
    Reply,
    Error,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Notify => "notification",
            Kind::Reply => "reply",
            Kind::Error => "error",
        }
    }

    fn may_have(self, member: &str) -> bool {
        match self {
            Kind::Request => matches!(member, "method" | "params" | "id"),
            Kind::Notify => matches!(member, "method" | "params"),
            Kind::Reply => matches!(member, "result" | "id"),
            Kind::Error => matches!(member, "error" | "id"),
        }
    }

    fn check(self, members: [(&str, bool); 5]) -> Result<(), MessageError> {
        for (member, present) in members {
            let wanted = self.may_have(member);
            if present != wanted {
                let not = if wanted { "" } else { " not" };
                let kind = self.name();
                return Err(MessageError(format!("{kind} must{not} have \"{member}\"")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wire_form() {
        let cases = [
            (Message::echo_request(), r#"{"id":"echo","method":"echo","params":[]}"#),
            (Message::notification("locked", vec![json!("l")]), r#"{"id":null,"method":"locked","params":["l"]}"#),
            (
                Message::echo_reply(json!(3), vec![json!({"b": 1, "a": 2})]),
                r#"{"id":3,"result":[{"b":1,"a":2}],"error":null}"#,
            ),
            (Message::Error { id: json!(3), error: json!("unknown method") }, r#"{"id":3,"error":"unknown method"}"#),
        ];
        for (message, text) in cases {
            assert_eq!(message.to_text(), text);
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(Message::from_json(value).unwrap(), message);
        }
    }

    #[test]
    fn bad_messages() {
        let cases = [
            (json!([]), "message is not a JSON object"),
            (json!({"method": 5}), "method is not a JSON string"),
            (json!({"id": 1, "method": "m", "params": {}}), "\"params\" must be JSON array"),
            (json!({"id": 1, "method": "m"}), "request must have \"params\""),
            (json!({"id": 1, "params": []}), "request must have \"method\""),
            (json!({"result": 1, "error": 2, "id": 3}), "reply must not have \"error\""),
            (json!({"result": 1}), "reply must have \"id\""),
            (json!({"id": 1, "method": "m", "params": [], "x": 1}), "message has unexpected member \"x\""),
        ];
        for (value, expect) in cases {
            assert_eq!(Message::from_json(value).unwrap_err().0, expect);
        }
    }
}
