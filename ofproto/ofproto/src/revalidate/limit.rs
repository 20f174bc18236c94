//! How many flows the cache may hold, and for how long an idle one stays.

/// Most flows unless configured.
pub const DEFAULT_FLOW_LIMIT: usize = 200_000;
/// How long an idle flow stays unless configured, milliseconds.
pub const DEFAULT_MAX_IDLE_MS: i64 = 10_000;
/// Packets a second that make a flow worth translating anew while looks take long, unless configured.
pub const DEFAULT_MIN_PPS: u32 = 5;
/// The limit at the start, before it is known how fast flows can be looked through.
const INITIAL: usize = 10_000;
const LEAST: usize = 1000;
/// How long an idle flow stays when there are too many, milliseconds.
const HURRY_MS: i64 = 100;

/// The limit, which follows how long a sweep over all flows takes.
#[derive(Clone, Debug)]
pub struct FlowLimit {
    limit: usize,
    most: usize,
    max_idle_ms: i64,
    /// Duration of the last sweep, milliseconds.
    pub sweep_ms: i64,
    /// Moving average of the number of flows.
    pub average: usize,
    /// Most flows seen.
    pub peak: usize,
}

impl Default for FlowLimit {
    fn default() -> Self {
        FlowLimit {
            limit: INITIAL,
            most: DEFAULT_FLOW_LIMIT,
            max_idle_ms: DEFAULT_MAX_IDLE_MS,
            sweep_ms: 1,
            average: 0,
            peak: 0,
        }
    }
}

impl FlowLimit {
    /// Sets the configured bounds; a longer idle time than 500 ms, at least.
    pub fn configure(&mut self, most: usize, max_idle_ms: i64) {
        self.most = most;
        self.max_idle_ms = max_idle_ms.max(500);
        self.limit = self.limit.min(most);
    }

    /// Sets the limit by hand, until sweeps move it again.
    pub fn set(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Most flows at present.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// How long an idle flow stays when there are `n`.
    pub fn max_idle_ms(&self, n: usize) -> i64 {
        if n > self.limit { HURRY_MS } else { self.max_idle_ms }
    }

    /// Packets a second below which a flow is taken out rather than translated anew: none while looks at all flows are
    /// done within half of the time between them.
    pub fn min_pps(&self, configured: u32, max_revalidator_ms: i64) -> u32 {
        if self.sweep_ms > max_revalidator_ms / 2 { configured } else { 0 }
    }

    /// Whether there are so many flows that all of them had better go.
    pub fn is_far_exceeded(&self, n: usize) -> bool {
        n > self.limit.saturating_mul(2)
    }

    /// A sweep over `n` flows took so long.
    pub fn swept(&mut self, n: usize, duration_ms: i64) {
        let duration = duration_ms.max(1);
        self.sweep_ms = duration;
        self.peak = self.peak.max(n);
        self.average = (self.average + n) / 2;
        let flows_a_second = n as u64 * 1000 / duration as u64;
        if duration > 2000 {
            self.limit /= (duration / 1000) as usize;
        } else if duration > 1300 {
            self.limit = self.limit * 3 / 4;
        } else if duration < 1000 && (self.limit as u64) < flows_a_second {
            // Where there is need, faster.
            self.limit += if n > self.limit / 2 { (self.limit / 2).max(1000) } else { 1000 };
        }
        self.limit = self.limit.max(LEAST).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_sweeps_lower_the_limit() {
        let mut limit = FlowLimit::default();
        limit.swept(100, 4000);
        assert_eq!(limit.limit(), 2500);
        limit.swept(100, 1);
        assert_eq!(limit.limit(), 3500);
        assert_eq!((limit.max_idle_ms(10), limit.max_idle_ms(9999)), (10_000, 100));
    }

    #[test]
    fn slow_sweeps_ask_for_busy_flows() {
        let mut limit = FlowLimit::default();
        assert_eq!(limit.min_pps(5, 500), 0);
        limit.swept(100, 250);
        assert_eq!(limit.min_pps(5, 500), 0);
        limit.swept(100, 251);
        assert_eq!((limit.min_pps(5, 500), limit.min_pps(5, 502), limit.min_pps(0, 500)), (5, 0, 0));
    }
}
