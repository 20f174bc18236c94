//! A line in the log for the flow-mods of a connection: soon after the first ones, then once a minute at most, and at the
//! connection's end. Texts and times as observed of Open vSwitch 3.1.

use openflow::flow_mod::FlowModCommand;

/// How soon after the first flow-mod a line is written, milliseconds.
const FIRST_MS: i64 = 10_000;
/// Between two lines, milliseconds.
const BETWEEN_MS: i64 = 60_000;

/// Flow-mods since the last line.
#[derive(Debug, Default)]
pub(crate) struct FlowModLog {
    adds: u64,
    deletes: u64,
    modifications: u64,
    first_ms: i64,
    last_ms: i64,
    report_ms: Option<i64>,
    not_before_ms: i64,
}

impl FlowModLog {
    /// Counts one.
    pub(crate) fn count(&mut self, command: FlowModCommand, now_ms: i64) {
        match command {
            FlowModCommand::Add => self.adds += 1,
            FlowModCommand::Modify | FlowModCommand::ModifyStrict => self.modifications += 1,
            FlowModCommand::Delete | FlowModCommand::DeleteStrict => self.deletes += 1,
        }
        if self.report_ms.is_none() {
            self.first_ms = now_ms;
            let at_ms = (now_ms + FIRST_MS).max(self.not_before_ms);
            self.report_ms = Some(at_ms);
            self.not_before_ms = at_ms + BETWEEN_MS;
        }
        self.last_ms = now_ms;
    }

    /// When there is a line to write.
    pub(crate) fn poll_timeout(&self) -> Option<i64> {
        self.report_ms
    }

    /// The line, if it is time.
    pub(crate) fn run(&mut self, now_ms: i64) -> Option<String> {
        if self.report_ms.is_some_and(|at| at <= now_ms) { self.take(now_ms) } else { None }
    }

    /// The line, if there is anything to say.
    pub(crate) fn take(&mut self, now_ms: i64) -> Option<String> {
        self.report_ms = None;
        let all = self.adds + self.deletes + self.modifications;
        if all == 0 {
            return None;
        }
        let ago_s = (now_ms - self.first_ms) / 1000;
        let lasted_s = (self.last_ms - self.first_ms) / 1000;
        let when = match lasted_s {
            _ if lasted_s == ago_s => format!("in the last {ago_s} s"),
            0 => format!("{ago_s} s ago"),
            _ => format!("in the {lasted_s} s starting {ago_s} s ago"),
        };
        let kinds = [(self.adds, "adds"), (self.deletes, "deletes"), (self.modifications, "modifications")];
        let kinds: Vec<String> = kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        (self.adds, self.deletes, self.modifications) = (0, 0, 0);
        Some(format!("{all} flow_mods {when} ({})", kinds.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_after_the_first_and_then_each_minute() {
        let mut log = FlowModLog::default();
        assert_eq!((log.poll_timeout(), log.take(0)), (None, None));
        log.count(FlowModCommand::Add, 0);
        log.count(FlowModCommand::DeleteStrict, 4_000);
        assert_eq!(log.run(9_999), None);
        let line = log.run(10_000);
        assert_eq!(line.as_deref(), Some("2 flow_mods in the 4 s starting 10 s ago (1 adds, 1 deletes)"));
        log.count(FlowModCommand::Modify, 11_000);
        assert_eq!(log.poll_timeout(), Some(70_000));
        assert_eq!(log.run(70_000).as_deref(), Some("1 flow_mods 59 s ago (1 modifications)"));
        log.count(FlowModCommand::Add, 71_000);
        assert_eq!(log.take(71_200).as_deref(), Some("1 flow_mods in the last 0 s (1 adds)"));
    }
}
