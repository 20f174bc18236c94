//! The call site of a message: its module, resolved once, and its own rate limit.
//!
//! A limited site holds a token bucket in monotonic time: `rate` messages a minute after a first burst. What
//! it swallows it counts, and it says so before the next message that passes.

use crate::modules::{self, Level, Module};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

/// Tokens a message costs; the bucket gains `rate` tokens a millisecond, so that `rate` is per minute.
const MESSAGE_TOKENS: i64 = 60_000;

/// A place in the code that logs. Made by the macros; one `static` a place.
#[derive(Debug)]
pub struct Site {
    name: &'static str,
    module: OnceLock<&'static Module>,
    limit: Option<(u32, u32)>,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: i64,
    /// `None` before the first message: the bucket starts full.
    filled_ms: Option<i64>,
    dropped: u32,
    first_dropped_ms: i64,
    last_dropped_ms: i64,
}

/// What a limited site does with a message.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Drop,
    Pass,
    /// Pass, after telling of `count` messages dropped since `first_s` and until `last_s` seconds ago.
    PassAfterDrops {
        count: u32,
        first_s: i64,
        last_s: i64,
    },
}

impl Bucket {
    const fn new() -> Bucket {
        Bucket { tokens: 0, filled_ms: None, dropped: 0, first_dropped_ms: 0, last_dropped_ms: 0 }
    }

    fn judge(&mut self, rate: u32, burst: u32, now_ms: i64) -> Verdict {
        let full = i64::from(burst).saturating_mul(MESSAGE_TOKENS);
        self.tokens = match self.filled_ms {
            None => full,
            Some(then) => {
                let gained = now_ms.saturating_sub(then).max(0).saturating_mul(i64::from(rate));
                self.tokens.saturating_add(gained).min(full)
            }
        };
        self.filled_ms = Some(now_ms);
        if self.tokens < MESSAGE_TOKENS {
            if self.dropped == 0 {
                self.first_dropped_ms = now_ms;
            }
            self.last_dropped_ms = now_ms;
            self.dropped = self.dropped.saturating_add(1);
            return Verdict::Drop;
        }
        self.tokens -= MESSAGE_TOKENS;
        match std::mem::take(&mut self.dropped) {
            0 => Verdict::Pass,
            count => Verdict::PassAfterDrops {
                count,
                first_s: now_ms / 1000 - self.first_dropped_ms / 1000,
                last_s: now_ms / 1000 - self.last_dropped_ms / 1000,
            },
        }
    }
}

impl Site {
    /// A site without a limit.
    pub const fn new(name: &'static str) -> Site {
        Site { name, module: OnceLock::new(), limit: None, bucket: Mutex::new(Bucket::new()) }
    }

    /// A site that lets through `burst` messages at once and `rate` a minute from there on.
    pub const fn limited(name: &'static str, rate: u32, burst: u32) -> Site {
        Site { name, module: OnceLock::new(), limit: Some((rate, burst)), bucket: Mutex::new(Bucket::new()) }
    }

    /// The module of this site.
    pub fn module(&self) -> &'static Module {
        self.module.get_or_init(|| modules::module(self.name))
    }

    /// Writes a message if its level is wanted and the limit lets it through.
    pub fn write(&self, level: Level, text: fmt::Arguments<'_>) {
        let module = self.module();
        if !module.enabled(level) {
            return;
        }
        if let Some((rate, burst)) = self.limit.filter(|_| module.honors_rate_limits()) {
            let now_ms = (crate::clock().mono_ms)();
            let verdict = match self.bucket.lock() {
                Ok(mut bucket) => bucket.judge(rate, burst, now_ms),
                Err(poisoned) => poisoned.into_inner().judge(rate, burst, now_ms),
            };
            match verdict {
                Verdict::Drop => return,
                Verdict::Pass => {}
                Verdict::PassAfterDrops { count, first_s, last_s } => crate::write(
                    module,
                    level,
                    format_args!(
                        "Dropped {count} log messages in last {first_s} seconds (most recently, {last_s} \
                         seconds ago) due to excessive rate"
                    ),
                ),
            }
        }
        crate::write(module, level, text);
    }
}

static SHARED: Mutex<BTreeMap<(&'static str, &'static str), Arc<Site>>> = Mutex::new(BTreeMap::new());

/// The site that all limited messages of a module share that are of one kind.
pub(crate) fn shared(name: &'static str, kind: &'static str, rate: u32, burst: u32) -> Arc<Site> {
    let mut sites = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Arc::clone(sites.entry((name, kind)).or_insert_with(|| Arc::new(Site::limited(name, rate, burst))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate_then_confession() {
        let mut b = Bucket::new();
        for _ in 0..3 {
            assert_eq!(b.judge(60, 3, 5_000), Verdict::Pass);
        }
        assert_eq!(b.judge(60, 3, 5_100), Verdict::Drop);
        assert_eq!(b.judge(60, 3, 5_900), Verdict::Drop);
        let told = Verdict::PassAfterDrops { count: 2, first_s: 3, last_s: 3 };
        assert_eq!(b.judge(60, 3, 8_000), told);
        assert_eq!(b.judge(60, 3, 8_000), Verdict::Pass);
    }

    #[test]
    fn the_bucket_never_holds_more_than_its_burst() {
        let mut b = Bucket::new();
        assert_eq!(b.judge(1, 1, 0), Verdict::Pass);
        assert_eq!(b.judge(1, 1, i64::MAX), Verdict::Pass);
        assert_eq!(b.judge(1, 1, i64::MAX), Verdict::Drop);
    }
}
