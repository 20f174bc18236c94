//! Answers to upcalls for which nobody waits.
//!
//! A packet that was handed up only to be told of, to a controller or a collector, leaves the datapath nothing to do but
//! count: to wake its thread for that, before the controller's, costs as much as to tell the controller. Such answers
//! wait a little for something else that the datapath has to hear, as what the controller does with the packet.

use flow::odp::Cookie;
use flow::{OdpPort, Ticket};

use super::Output;

/// So many messages may go unanswered, as the datapath sends no more than twice as many ahead.
const AT_MOST: usize = 2;
/// So long, ms.
const PATIENCE_MS: i64 = 20;

type Answers = Vec<(OdpPort, Ticket)>;

/// Answers by message.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    kept: Vec<Answers>,
    since_ms: i64,
}

/// Whether a packet with this cookie is only told of.
pub(super) fn is_news(cookie: &Cookie) -> bool {
    !matches!(cookie, Cookie::SlowPath { .. })
}

impl Receipts {
    /// Keeps a message's answers.
    pub(super) fn keep(&mut self, answers: Answers, now_ms: i64) {
        if self.kept.is_empty() {
            self.since_ms = now_ms;
        }
        self.kept.push(answers);
    }

    /// When they are due.
    pub(super) fn poll_timeout(&self) -> Option<(i64, &'static str)> {
        (!self.kept.is_empty()).then_some((self.since_ms + PATIENCE_MS, "upcalls are to be answered"))
    }

    /// Adds to what the datapath is told anyway; and otherwise what has waited long enough.
    pub(super) fn join(&mut self, outputs: &mut Vec<Output>, now_ms: i64) {
        let is_due = self.kept.len() >= AT_MOST || now_ms - self.since_ms >= PATIENCE_MS;
        let wakes = |output: &Output| matches!(output, Output::Install { .. } | Output::Execute { .. });
        if !self.kept.is_empty() && (is_due || outputs.iter().any(wakes)) {
            let answers = self.kept.drain(..);
            outputs.extend(answers.map(|answered| Output::Receipt { answered }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receipts: &mut Receipts, outputs: Vec<Output>, now_ms: i64) -> usize {
        let before = outputs.len();
        let mut outputs = outputs;
        receipts.join(&mut outputs, now_ms);
        outputs.len() - before
    }

    #[test]
    fn answers_wait_for_company_but_not_for_long() {
        let message = || vec![(1, Ticket::default())];
        let execute = || vec![Output::Execute { packets: Vec::new(), answered: Vec::new() }];
        let mut receipts = Receipts::default();
        assert_eq!(told(&mut receipts, execute(), 1_000), 0, "there are none");
        receipts.keep(message(), 1_000);
        assert_eq!(told(&mut receipts, vec![Output::Share], 1_001), 0);
        assert_eq!(told(&mut receipts, execute(), 1_002), 1, "they go with others");
        assert_eq!(receipts.poll_timeout(), None);
        receipts.keep(message(), 2_000);
        let (due, _) = receipts.poll_timeout().expect("one waits");
        assert_eq!(told(&mut receipts, Vec::new(), due - 1), 0);
        assert_eq!(told(&mut receipts, Vec::new(), due), 1, "when they are due");
        (0..AT_MOST).for_each(|_| receipts.keep(message(), due));
        assert_eq!(told(&mut receipts, Vec::new(), due), AT_MOST, "as many as may be");
    }
}
