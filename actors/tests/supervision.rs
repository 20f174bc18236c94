//! Panic an actor and see it recover; fill a mailbox and see the loss counted; warp the clock and see timers fire.

use ::actors::mailbox::{Address, AskError};
use ::actors::supervise::{self, Desk, Family, Player, Role, Strategy};
use ::actors::{clock, mailbox};
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Add(u32);

#[derive(Message)]
#[rtype(result = "()")]
struct Die;

/// Takes its time, then sets the flag.
#[derive(Message)]
#[rtype(result = "()")]
struct Dawdle(Arc<AtomicU32>);

struct Counter {
    desk: Desk,
    count: u32,
    ticks: Arc<AtomicU32>,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Player for Counter {
    fn desk(&mut self) -> &mut Desk {
        &mut self.desk
    }
    fn wake(&mut self, now_ms: i64, _: &mut Context<Self>) {
        self.ticks.fetch_add(1, SeqCst);
        self.desk.arm(Some((now_ms + 1000, "tick")));
    }
}

impl Handler<Count> for Counter {
    type Result = u32;
    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.desk.received();
        self.count
    }
}

impl Handler<Add> for Counter {
    type Result = ();
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) {
        self.desk.received();
        self.count += n;
    }
}

impl Handler<Die> for Counter {
    type Result = ();
    fn handle(&mut self, _: Die, _: &mut Context<Self>) {
        self.desk.received();
        panic!("as told");
    }
}

impl Handler<Dawdle> for Counter {
    type Result = ();
    fn handle(&mut self, Dawdle(done): Dawdle, _: &mut Context<Self>) {
        self.desk.received();
        std::thread::sleep(Duration::from_millis(50));
        done.store(1, SeqCst);
    }
}

fn hire(family: &Family, name: &str, strategy: Strategy, ticks: &Arc<AtomicU32>) -> Address<Counter> {
    let ticks = ticks.clone();
    family.hire(Role::new(name, "counter", 4, strategy), move |mut desk, _| {
        desk.arm(Some((clock::now_ms() + 1000, "tick")));
        Counter { desk, count: 0, ticks: ticks.clone() }
    })
}

const SOON: Duration = Duration::from_secs(60);

#[test]
fn recovery_loss_and_time() {
    supervise::log_panics();
    vlog::set_console(false);
    System::new().block_on(async {
        clock::stop();
        let ticks = Arc::new(AtomicU32::new(0));
        let family = Family::top("test");
        let first = hire(&family, "first", Strategy::OneForOne, &ticks);
        let second = hire(&family, "second", Strategy::RestForOne, &ticks);
        let third = hire(&family, "third", Strategy::OneForOne, &ticks);
        for address in [&first, &second, &third] {
            address.ask(Add(5), SOON).await.unwrap();
        }

        // A panic in a handler: the asker learns of it, the address lives on, the younger sibling too is new.
        assert_eq!(second.ask(Die, SOON).await, Err(AskError::Closed));
        clock::rest().await;
        let counts = [first.ask(Count, SOON).await, second.ask(Count, SOON).await, third.ask(Count, SOON).await];
        assert_eq!(counts, [Ok(5), Ok(0), Ok(0)]);
        assert_eq!(third.card().counts().restarts, 1);
        assert_eq!(first.card().counts().restarts, 0);

        // A panic by control command.
        supervise::panic_actor("first").unwrap();
        assert!(supervise::panic_actor("nobody").is_err());
        clock::rest().await;
        assert_eq!(first.ask(Count, SOON).await, Ok(0));

        // One on another thread.
        let arbiter = Arbiter::new();
        let away_ticks = Arc::new(AtomicU32::new(0));
        let away = family.hire_on(arbiter.handle(), Role::new("away", "counter", 4, Strategy::OneForOne), {
            let ticks = away_ticks.clone();
            move |desk, _| Counter { desk, count: 9, ticks: ticks.clone() }
        });
        assert_eq!(away.ask(Count, SOON).await, Ok(9));
        assert!(away.ask(Die, SOON).await.is_err());
        while away.card().counts().restarts == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(away.ask(Count, SOON).await, Ok(9));

        // At rest is who has done what it was asked to, not who has begun.
        let done = Arc::new(AtomicU32::new(0));
        assert!(away.offer(Dawdle(done.clone())));
        clock::rest().await;
        assert_eq!(done.load(SeqCst), 1);

        // A full mailbox: B drops and counts, R keeps the order, C keeps the latest.
        let sent = (0..10).filter(|_| first.offer(Add(1))).count();
        let lost = first.card().counts().lost;
        assert_eq!(sent as u64 + lost, 10);
        assert!(lost > 0);
        clock::rest().await;
        assert_eq!(first.ask(Count, SOON).await.unwrap() as usize, sent);
        let retry = third.outlet::<Add>().retry(100);
        for _ in 0..50 {
            assert!(retry.send(Add(1)).is_ok());
        }
        let latest = second.outlet::<Add>().latest();
        for n in 0..50 {
            latest.send_merged(Add(1), |Add(a), Add(b)| Add(a + b));
            let _ = n;
        }
        while retry.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        clock::rest().await;
        assert_eq!(third.ask(Count, SOON).await, Ok(50));
        assert_eq!(second.ask(Count, SOON).await, Ok(50));

        // Time stands still until it is warped; each of the three ticks once a second.
        assert_eq!(ticks.load(SeqCst), 0);
        clock::warp(10_000, 100).await.unwrap();
        assert_eq!(ticks.load(SeqCst), 30);
        assert!(clock::warp(0, 5).await.is_err());
        assert_eq!(mailbox::activity().waiting, 0);
        assert!(supervise::show(clock::now_ms()).contains("1000 ms (tick)"));

        // Dropping the family stops the children.
        drop(family);
        clock::rest().await;
        assert!(!first.is_connected());
    });
}
