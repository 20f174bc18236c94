//! The only real clock. Everything below is handed `now`.
//!
//! Two times: monotonic (milliseconds or microseconds since the program started, never zero) and wall (since
//! 1970). Tests stop the monotonic one with `time/stop` and push it with `time/warp`; a stopped clock fires
//! no timer by itself, and a warp fires those it passes and lets the actors come to rest between its steps.
//! Wall time warps along, as Open vSwitch's does not: nothing of ours measures with it.
//!
//! Deliberately absent: timer wheels (an actor has one timer, see `supervise::Desk`).

use crate::mailbox;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock starts here, so that a time of zero means "never" wherever that helps.
const EPOCH_US: i64 = 1_000_000;

static STOPPED: AtomicBool = AtomicBool::new(false);
/// While stopped: the time shown. While running: what is added to real time.
static FROZEN_US: AtomicI64 = AtomicI64::new(0);
static OFFSET_US: AtomicI64 = AtomicI64::new(0);
static SERIAL: AtomicU64 = AtomicU64::new(0);
/// Sleepers that were woken and have not come yet, and actors that do what a message or their timer asks for.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
static SLEEPERS: Mutex<BTreeMap<(i64, u64), Waker>> = Mutex::new(BTreeMap::new());
/// How often sleepers were taken off that list by others.
static TURNS_OUT: AtomicU64 = AtomicU64::new(0);

#[allow(clippy::disallowed_methods)]
fn real_us() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    EPOCH_US + i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX / 2)
}

/// Monotonic time in microseconds.
pub fn now_us() -> i64 {
    if STOPPED.load(SeqCst) { FROZEN_US.load(SeqCst) } else { real_us() + OFFSET_US.load(SeqCst) }
}

/// Monotonic time in milliseconds.
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// Wall clock time in microseconds since 1970.
#[allow(clippy::disallowed_methods)]
pub fn wall_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Wall clock time in milliseconds since 1970.
pub fn wall_ms() -> i64 {
    wall_us() / 1000
}

/// Whether `time/stop` holds the clock.
pub fn is_stopped() -> bool {
    STOPPED.load(SeqCst)
}

/// Lets the log's rate limits run on this clock. Called once at start.
pub fn serve_log() {
    vlog::set_clock(vlog::Clock { wall_us, mono_ms: now_ms });
}

/// Stops monotonic time for good: from now on only [`warp`] moves it.
pub fn stop() {
    if !STOPPED.load(SeqCst) {
        FROZEN_US.store(real_us() + OFFSET_US.load(SeqCst), SeqCst);
        STOPPED.store(true, SeqCst);
        // Sleepers drop their real timers when they look again.
        wake_until(i64::MAX);
    }
}

fn sleepers() -> std::sync::MutexGuard<'static, BTreeMap<(i64, u64), Waker>> {
    SLEEPERS.lock().unwrap_or_else(|p| p.into_inner())
}

/// Wakes every sleeper whose deadline is not after `now_ms`.
fn wake_until(now_ms: i64) {
    let due: Vec<Waker> = {
        let mut sleepers = sleepers();
        TURNS_OUT.fetch_add(1, SeqCst);
        let later = sleepers.split_off(&(now_ms, u64::MAX));
        let due: Vec<Waker> = std::mem::replace(&mut *sleepers, later).into_values().collect();
        AT_WORK.fetch_add(due.len(), SeqCst);
        due
    };
    due.into_iter().for_each(Waker::wake);
}

fn advance(by_ms: i64) {
    let by_us = by_ms.saturating_mul(1000);
    let cell = if is_stopped() { &FROZEN_US } else { &OFFSET_US };
    cell.fetch_add(by_us, SeqCst);
    wake_until(now_ms());
}

/// Moves time on by `total_ms` in steps of `step_ms`; between steps the actors run until they are at rest.
///
/// # Errors
/// The text to show if either number is out of range.
pub async fn warp(total_ms: i64, step_ms: i64) -> Result<(), String> {
    if total_ms <= 0 || step_ms <= 0 || total_ms > i64::from(i32::MAX) {
        return Err("invalid MSECS".into());
    }
    let mut left = total_ms;
    while left > 0 {
        let by = left.min(step_ms);
        advance(by);
        left -= by;
        rest().await;
    }
    Ok(())
}

/// Counts as work, for [`rest`], as long as it lives.
#[derive(Debug)]
pub(crate) struct AtWork(());

/// Somebody begins to do what a message or its timer asks for.
pub(crate) fn at_work() -> AtWork {
    AT_WORK.fetch_add(1, SeqCst);
    AtWork(())
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, SeqCst);
    }
}

/// Waits until every mailbox is empty, nobody is at work, and no actor has handled anything for a few turns of this
/// thread's runtime, or until half a second of real time has passed: an actor that never rests must not hold up a test.
pub async fn rest() {
    const QUIET_TURNS: u32 = 4;
    let give_up_us = real_us() + 500_000;
    let (mut quiet, mut before) = (0, mailbox::activity());
    while quiet < QUIET_TURNS && real_us() < give_up_us {
        tokio::task::yield_now().await;
        let now = mailbox::activity();
        if now.waiting == 0 && now == before && AT_WORK.load(SeqCst) == 0 {
            quiet += 1;
        } else {
            quiet = 0;
            if now == before {
                // Another thread holds the work: give it the processor.
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        before = now;
    }
}

/// Completes when the clock reaches `deadline_ms`.
pub fn sleep_until(deadline_ms: i64) -> Sleep {
    Sleep { deadline_ms, serial: SERIAL.fetch_add(1, SeqCst), real: None, listed: None }
}

/// Completes `ms` from now.
pub fn sleep(ms: i64) -> Sleep {
    sleep_until(now_ms().saturating_add(ms.max(0)))
}

/// Completes after `ms` of real time, whatever the clock shows: for deadlines toward other processes.
pub async fn sleep_real(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// The future of [`sleep_until`].
#[derive(Debug)]
pub struct Sleep {
    deadline_ms: i64,
    serial: u64,
    real: Option<Pin<Box<tokio::time::Sleep>>>,
    /// It is on the list of sleepers.
    listed: Option<Listed>,
}

/// As what a sleeper is on the list.
#[derive(Debug)]
struct Listed {
    waker: Waker,
    /// [`TURNS_OUT`] of that moment.
    turns_out: u64,
}

impl Sleep {
    /// When this sleep ends.
    pub fn deadline_ms(&self) -> i64 {
        self.deadline_ms
    }

    /// Moves the end of this sleep; the future must be polled again to notice.
    pub fn reset(&mut self, deadline_ms: i64) {
        if deadline_ms != self.deadline_ms {
            self.unlist();
            self.deadline_ms = deadline_ms;
            self.real = None;
        }
    }

    fn unlist(&mut self) {
        if self.listed.take().is_some() && sleepers().remove(&(self.deadline_ms, self.serial)).is_none() {
            // It was woken, and has come to see why.
            AT_WORK.fetch_sub(1, SeqCst);
        }
    }

    /// Whether all is set for who looks anew with this waker: actors do so at each wake.
    fn is_set(&self, waker: &Waker) -> bool {
        let listed = |l: &Listed| l.turns_out == TURNS_OUT.load(SeqCst) && l.waker.will_wake(waker);
        let times = |real: &Pin<Box<tokio::time::Sleep>>| !real.is_elapsed();
        self.listed.as_ref().is_some_and(listed)
            && self.real.as_ref().is_some_and(times)
            && now_us() < self.deadline_ms.saturating_mul(1000)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.is_set(cx.waker()) {
            return Poll::Pending;
        }
        this.unlist();
        loop {
            let now = now_us();
            let deadline_us = this.deadline_ms.saturating_mul(1000);
            if now >= deadline_us {
                this.unlist();
                this.real = None;
                return Poll::Ready(());
            }
            this.unlist();
            {
                let mut sleepers = sleepers();
                sleepers.insert((this.deadline_ms, this.serial), cx.waker().clone());
                let turns_out = TURNS_OUT.load(SeqCst);
                this.listed = Some(Listed { waker: cx.waker().clone(), turns_out });
            }
            if is_stopped() {
                this.real = None;
                // A warp between the look at the clock and the insertion has missed this waker.
                if now_us() >= deadline_us {
                    continue;
                }
                return Poll::Pending;
            }
            // Cap the real timer: tokio's wheel ends somewhere, and "never" is a common deadline.
            let wait_us = u64::try_from(deadline_us - now).unwrap_or(0).min(3_600_000_000);
            let real = this.real.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_micros(wait_us))));
            match real.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => this.real = None,
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.unlist();
    }
}
