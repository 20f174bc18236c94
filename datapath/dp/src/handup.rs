//! The way of upcalls to who answers them: so many messages under way, the rest waits here by port.
//!
//! Each message takes from the ports in turn, so that one port's flood of new flows delays another's first packet by no
//! more than what is under way. How much may wait is each port's quota.

use std::collections::{BTreeMap, VecDeque};

use flow::{OdpPort, Upcall};

/// Messages under way at the most.
const UNDER_WAY: u32 = 4;
/// Upcalls in a message at the most.
const MESSAGE: usize = 64;
/// After so long without an answer the messages are taken for lost, ms.
const FORGET_MS: u64 = 300;

/// Upcalls for one receiver.
#[derive(Default)]
pub struct Handup {
    ports: BTreeMap<OdpPort, VecDeque<Upcall>>,
    /// Whose turn it is.
    next: OdpPort,
    under_way: u32,
    moved_ms: u64,
}

impl Handup {
    /// Adds an upcall.
    pub fn push(&mut self, upcall: Upcall) {
        self.ports.entry(upcall.key.in_port()).or_default().push_back(upcall);
    }

    /// The next message, if there is anything to send, and not too much under way.
    pub fn take(&mut self, now_ms: u64) -> Option<Vec<Upcall>> {
        if self.ports.is_empty() {
            return None;
        }
        if now_ms.saturating_sub(self.moved_ms) > FORGET_MS {
            self.under_way = 0;
        }
        if self.under_way >= UNDER_WAY {
            return None;
        }
        let mut message = Vec::with_capacity(MESSAGE);
        if let (1, Some(mut only)) = (self.ports.len(), self.ports.first_entry()) {
            let n = only.get().len().min(MESSAGE);
            message.extend(only.get_mut().drain(..n));
            if only.get().is_empty() {
                only.remove();
            }
        }
        while message.len() < MESSAGE && !self.ports.is_empty() {
            let Some(port) = self.ports.range(self.next..).next().or_else(|| self.ports.iter().next()).map(|(p, _)| *p)
            else {
                break;
            };
            if let Some(waiting) = self.ports.get_mut(&port) {
                message.extend(waiting.pop_front());
                if waiting.is_empty() {
                    self.ports.remove(&port);
                }
            }
            self.next = port.wrapping_add(1);
        }
        self.under_way += 1;
        self.moved_ms = now_ms;
        Some(message)
    }

    /// A message was answered.
    pub fn answered(&mut self, now_ms: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        self.moved_ms = now_ms;
    }

    /// Whether nothing waits or is under way.
    pub fn is_idle(&self) -> bool {
        self.ports.is_empty() && self.under_way == 0
    }

    /// Whether no upcall waits.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Key, Ticket, UpcallKind};
    use packet::PacketBuf;

    fn upcall(port: OdpPort) -> Upcall {
        let mut key = Key::EMPTY;
        key.set_in_port(port);
        Upcall { kind: UpcallKind::Miss, key: Box::new(key), packet: PacketBuf::new(&[]), ticket: Ticket::default() }
    }

    fn ports(message: &[Upcall]) -> Vec<OdpPort> {
        message.iter().map(|u| u.key.in_port()).collect()
    }

    #[test]
    fn a_port_that_floods_leaves_others_their_turn() {
        let mut handup = Handup::default();
        (0..1000).for_each(|_| handup.push(upcall(1)));
        for _ in 0..UNDER_WAY {
            assert_eq!(handup.take(5).map(|m| m.len()), Some(MESSAGE));
        }
        assert!(handup.take(5).is_none(), "enough is under way");
        handup.push(upcall(2));
        handup.push(upcall(3));
        handup.answered(6);
        let message = handup.take(6).unwrap();
        assert_eq!(message.len(), MESSAGE);
        assert!(ports(&message)[..3].contains(&2) && ports(&message)[..3].contains(&3), "{:?}", ports(&message));
        assert!(handup.take(6).is_none());
    }

    #[test]
    fn what_was_lost_is_not_waited_for_for_ever() {
        let mut handup = Handup::default();
        (0..1000).for_each(|_| handup.push(upcall(1)));
        while handup.take(1).is_some() {}
        assert!(handup.take(1 + FORGET_MS).is_none());
        assert!(handup.take(2 + FORGET_MS).is_some());
    }

    #[test]
    fn upcalls_of_a_port_stay_in_order() {
        let mut handup = Handup::default();
        for i in 0..10 {
            let mut one = upcall(1 + i % 2);
            one.ticket = Ticket { flow: i.into(), thread: 0 };
            handup.push(one);
        }
        let message = handup.take(1).unwrap();
        let of = |port| message.iter().filter(|u| u.key.in_port() == port).map(|u| u.ticket.flow).collect::<Vec<_>>();
        assert_eq!((of(1), of(2)), (vec![0, 2, 4, 6, 8], vec![1, 3, 5, 7, 9]));
        assert!(handup.is_empty());
    }
}
