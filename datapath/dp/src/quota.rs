//! How many upcalls of each port may be unanswered: a port that floods cannot take the place of others.

use flow::OdpPort;

/// After so long without an answer the upcalls are taken for lost, ms.
const FORGET_MS: u64 = 1_000;
/// Ports told apart; those beyond share the last place.
const PORTS: usize = 65_536;

#[derive(Clone, Copy, Default)]
struct Open {
    count: u32,
    /// When the count last went down, or up from zero.
    moved_ms: u64,
}

pub(crate) struct Quota {
    limit: u32,
    ports: Vec<Open>,
}

impl Quota {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, ports: Vec::new() }
    }

    fn open(&mut self, port: OdpPort) -> &mut Open {
        let i = (port as usize).min(PORTS - 1);
        if self.ports.len() <= i {
            self.ports.resize(i + 1, Open::default());
        }
        &mut self.ports[i]
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(&mut self, port: OdpPort, now_ms: u64) -> bool {
        let limit = self.limit;
        let open = self.open(port);
        if open.count == 0 || now_ms.saturating_sub(open.moved_ms) > FORGET_MS {
            *open = Open { count: 0, moved_ms: now_ms };
        }
        if open.count >= limit {
            return false;
        }
        open.count += 1;
        true
    }

    /// Gives places back.
    pub(crate) fn give(&mut self, port: OdpPort, n: u32, now_ms: u64) {
        let open = self.open(port);
        *open = Open { count: open.count.saturating_sub(n), moved_ms: now_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_its_own_places_and_gets_lost_ones_back() {
        let mut quota = Quota::new(2);
        assert!(quota.take(1, 0) && quota.take(1, 0) && !quota.take(1, 0));
        assert!(quota.take(2, 0), "another port is not concerned");
        quota.give(1, 1, 10);
        assert!(quota.take(1, 10) && !quota.take(1, 10));
        assert!(!quota.take(1, 1010) && quota.take(1, 1011), "the answers will not come any more");
        assert!(quota.take(u32::MAX, 0));
    }
}
