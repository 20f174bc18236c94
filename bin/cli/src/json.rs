//! JSON for people: on one line, or indented as Open vSwitch's programs indent it. Names are sorted.

use serde_json::Value;

/// `value` on one line, or over many.
#[must_use]
pub fn text(value: &Value, pretty: bool) -> String {
    if pretty {
        let mut out = String::new();
        write_pretty(value, 0, &mut out);
        out
    } else {
        jsonrpc::text::to_sorted_text(value)
    }
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', depth * 2));
}

fn write_pretty(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                write_pretty(item, depth + 1, out);
            }
            out.push(']');
        }
        Value::Object(members) if !members.is_empty() => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (name, member)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                jsonrpc::text::write_string(out, name);
                out.push_str(": ");
                write_pretty(member, depth + 1, out);
            }
            out.push('}');
        }
        other => out.push_str(&jsonrpc::text::to_sorted_text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_ways() {
        let value = json!({"b": [1, [], "x"], "a": {}});
        assert_eq!(text(&value, false), r#"{"a":{},"b":[1,[],"x"]}"#);
        assert_eq!(text(&value, true), "{\n  \"a\": {},\n  \"b\": [\n    1,\n    [],\n    \"x\"]}");
    }
}
