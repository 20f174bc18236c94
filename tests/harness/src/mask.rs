//! Masks: what must differ between two runs of the same scenario is replaced by its name.

use regex::{Captures, Regex};
use std::path::Path;

/// A named replacement.
#[derive(Debug)]
struct Mask {
    name: String,
    pattern: Regex,
    text: String,
}

/// The masks of one scenario.
#[derive(Debug)]
pub struct Masks {
    list: Vec<Mask>,
    /// Runs of output ports are sorted: in which order a flood leaves is nobody's promise.
    floods: bool,
}

/// Masks that always apply, unless a scenario keeps them.
const USUAL: [(&str, &str, &str); 11] = [
    ("uuids", r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    ("times", r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?", "<time>"),
    ("durations", r"\bduration=\d+(\.\d+)?s", "duration=<t>s"),
    ("durations", r"\bused:\d+(\.\d+)?s", "used:<t>s"),
    ("ages", r"\b(idle|hard)_age=\d+", "${1}_age=<t>"),
    ("pids", r"\.\d+\.ctl\b", ".<pid>.ctl"),
    ("pids", r"\b(pid|process) \d+", "${1} <pid>"),
    ("temporary", r"/tmp/tmp\.\w+", "/tmp/<tmp>"),
    // What Open vSwitch's programs say of a machine that kept them waiting.
    ("stalls", r"(?m)^.*\|timeval\|WARN\|(Unreasonably long|faults:|disk:|context switches:).*\n", ""),
    ("elapsed", r"\b\d+ ?ms\b", "<t> ms"),
    ("elapsed", r"\bafter \d+(\.\d+)? seconds", "after <t> seconds"),
];

/// Masks that a scenario asks for by name.
const ASKED: [(&str, &str, &str); 6] = [
    ("macs", r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "<mac>"),
    ("xids", r"\bxid=0x[0-9a-f]+", "xid=<xid>"),
    ("recirc", r"\brecirc(_id)?\((0x)?[0-9a-f]+\)", "recirc${1}(<id>)"),
    ("recirc", r"\brecirc_id=(0x)?[0-9a-f]+", "recirc_id=<id>"),
    ("numbers", r"\b\d+\b", "<n>"),
    ("spaces", r" +", " "),
];

/// The mask that sorts instead of hiding.
const FLOODS: &str = "floods";

impl Masks {
    /// The usual masks without `keep`, with `more`: names, or `s/REGEX/TEXT/`.
    pub fn new(keep: &[String], more: &[String]) -> Result<Masks, String> {
        let mut masks = Vec::new();
        for (name, pattern, text) in USUAL {
            if !keep.iter().any(|kept| kept == name) {
                masks.push(Mask::new(name, pattern, text)?);
            }
        }
        for name in keep {
            if !USUAL.iter().any(|(known, ..)| known == name) {
                return Err(format!("keep: there is no mask {name:?}"));
            }
        }
        for asked in more.iter().filter(|name| *name != FLOODS) {
            if let Some(rest) = asked.strip_prefix("s/") {
                let (pattern, text) = rest
                    .strip_suffix('/')
                    .and_then(|rest| rest.rsplit_once('/'))
                    .ok_or_else(|| format!("mask: {asked:?} is not s/REGEX/TEXT/"))?;
                masks.push(Mask::new(asked, pattern, text)?);
                continue;
            }
            let named: Vec<_> = ASKED.iter().filter(|(name, ..)| name == asked).collect();
            if named.is_empty() {
                return Err(format!("mask: there is no mask {asked:?}"));
            }
            for (name, pattern, text) in named {
                masks.push(Mask::new(name, pattern, text)?);
            }
        }
        Ok(Masks { list: masks, floods: more.iter().any(|name| name == FLOODS) })
    }

    /// `text` with the place's directory and all that must differ masked.
    pub fn apply(&self, text: &str, dir: &Path, pids: &[u32]) -> String {
        let mut text = text.replace(&dir.display().to_string(), "$DIR");
        for mask in &self.list {
            if mask.pattern.is_match(&text) {
                text = mask.pattern.replace_all(&text, mask.text.as_str()).into_owned();
            }
        }
        for pid in pids {
            text = whole_number(&text, *pid);
        }
        if self.floods { sorted_floods(&text) } else { text }
    }

    /// The names in use, in order.
    pub fn names(&self) -> Vec<&str> {
        self.list.iter().map(|mask| mask.name.as_str()).collect()
    }
}

impl Mask {
    fn new(name: &str, pattern: &str, text: &str) -> Result<Mask, String> {
        let pattern = Regex::new(pattern).map_err(|error| format!("mask {name}: {error}"))?;
        Ok(Mask { name: name.to_owned(), pattern, text: text.to_owned() })
    }
}

/// `text` with each run of datapath ports in actions sorted by number.
fn sorted_floods(text: &str) -> String {
    let Ok(run) = Regex::new(r"(actions: ?|,)(\d+(,\d+)+)") else { return text.to_owned() };
    let sorted = |found: &Captures<'_>| {
        let mut ports: Vec<u64> = found[2].split(',').filter_map(|port| port.parse().ok()).collect();
        ports.sort_unstable();
        let ports: Vec<String> = ports.iter().map(u64::to_string).collect();
        format!("{}{}", &found[1], ports.join(","))
    };
    let lines = text.split_inclusive('\n').map(|line| {
        if line.contains("actions:") { run.replace_all(line, sorted).into_owned() } else { line.to_owned() }
    });
    lines.collect()
}

fn whole_number(text: &str, number: u32) -> String {
    let word = number.to_string();
    if !text.contains(&word) {
        return text.to_owned();
    }
    let Ok(digits) = Regex::new(r"\d+") else { return text.to_owned() };
    digits
        .replace_all(text, |found: &Captures<'_>| if found[0] == word { "<pid>".into() } else { found[0].to_owned() })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_differ_is_masked() {
        let masks = Masks::new(&[], &["macs".into(), "s/abc(\\d)/x$1/".into()]).unwrap();
        for (text, masked) in [
            ("_uuid : 3c1f8c3e-0b6e-4b0e-9f6e-0d8f4a1c2b3d", "_uuid : <uuid>"),
            ("2026-11-23T00:41:07.123Z|00012|bridge|INFO|x", "<time>|00012|bridge|INFO|x"),
            (
                " cookie=0x0, duration=1.234s, table=0, idle_age=3, n_packets=2",
                " cookie=0x0, duration=<t>s, table=0, idle_age=<t>, n_packets=2",
            ),
            ("/d/run/x.123.ctl 4711 47110", "$DIR/run/x.<pid>.ctl <pid> 47110"),
            ("aa:55:aa:55:00:01 abc7", "<mac> x7"),
            (
                "a\n2026-11-23T00:41:07Z|00002|timeval|WARN|faults: 73 minor, 0 major\n2026-11-23T00:41:07Z|00003|timeval|WARN|b",
                "a\n<time>|00003|timeval|WARN|b",
            ),
        ] {
            assert_eq!(masks.apply(text, Path::new("/d"), &[4711]), masked);
        }
        let floods = Masks::new(&[], &["floods".into()]).unwrap();
        let actions = "Datapath actions: 10,2,push_vlan(vid=5,pcp=0),4,3,100\nports 3,2\n";
        let sorted = "Datapath actions: 2,10,push_vlan(vid=5,pcp=0),3,4,100\nports 3,2\n";
        assert_eq!(floods.apply(actions, Path::new("/d"), &[]), sorted);
        let kept = Masks::new(&["durations".into()], &[]).unwrap();
        assert_eq!(kept.apply("duration=1s", Path::new("/d"), &[]), "duration=1s");
        assert_eq!(Masks::new(&[], &["nosuch".into()]).unwrap_err(), "mask: there is no mask \"nosuch\"");
    }
}
