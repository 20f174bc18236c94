//! A port's queue until it has had some packets, and what follows it then ([`sys::EarlySocket`]).
//!
//! The port's actor is told, makes a ring, and hands it over; the datapath reads what the socket has had, and then the
//! ring.

use dp::port::RxLosses;
use dp::{BURST, Burst, RxQueue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire};
use sys::EarlySocket;
use tokio::sync::mpsc;

use super::adapt::lend;
use crate::msg::datapath::QueueParts;

/// Packets that make a ring worth its while; a host that only makes itself known sends fewer.
const WORTH_A_RING: usize = 32;

/// A plain socket, which rings a bell when it has had some packets.
pub struct EarlyQueue {
    socket: EarlySocket,
    had: usize,
    bell: Option<mpsc::Sender<()>>,
}

impl EarlyQueue {
    /// The queue, and what hears its bell.
    pub fn new(socket: EarlySocket) -> (Self, mpsc::Receiver<()>) {
        let (bell, heard) = mpsc::channel(1);
        (Self { socket, had: 0, bell: Some(bell) }, heard)
    }
}

impl RxQueue for EarlyQueue {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        let Self { socket, had, bell } = self;
        *had = had.saturating_add(socket.receive(max.min(BURST), |frame| lend(burst, frame)));
        if *had >= WORTH_A_RING
            && let Some(bell) = bell.take()
        {
            // Whoever listened is gone with the device.
            let _ = bell.try_send(());
        }
    }

    fn prepare_sleep(&mut self) -> bool {
        self.socket.is_empty()
    }

    fn losses(&mut self) -> RxLosses {
        let stats = self.socket.stats();
        RxLosses { dropped: stats.drops, errors: stats.truncated }
    }

    fn recover(&mut self) -> bool {
        self.socket.take_error();
        true
    }
}

/// A queue in another's place: what the former has had is older, and comes first.
pub struct Successor {
    former: Option<Box<dyn RxQueue>>,
    /// The former was found empty.
    is_drained: bool,
    /// From when it is set on nothing comes by the former any more.
    is_settled: Arc<AtomicBool>,
    /// What the former had lost in the end.
    lost: RxLosses,
    queue: Box<dyn RxQueue>,
}

impl Successor {
    /// The queue that follows `former`.
    pub fn follow(former: QueueParts, next: QueueParts, is_settled: Arc<AtomicBool>) -> QueueParts {
        let (former, lost) = (Some(former.rx), RxLosses::default());
        let rx = Box::new(Self { former, is_drained: false, is_settled, lost, queue: next.rx });
        QueueParts { rx, wake: next.wake }
    }
}

impl RxQueue for Successor {
    fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
        if self.is_drained && self.is_settled.load(Acquire) {
            // One last look: what was on its way when it was found empty has arrived.
            if let Some(mut former) = self.former.take_if(|former| former.prepare_sleep()) {
                self.lost = former.losses();
            }
        }
        let Self { former, is_drained, queue, .. } = self;
        if let Some(former) = former {
            former.receive(max, burst);
            if !burst.is_empty() {
                return;
            }
            *is_drained = true;
        }
        queue.receive(max, burst);
    }

    fn release(&mut self) {
        self.queue.release();
    }

    /// What is on its way to the former wakes nobody: until it has arrived, a grace period of the kernel at the most, there
    /// is no sleep.
    fn prepare_sleep(&mut self) -> bool {
        let is_settled = self.is_settled.load(Acquire);
        self.former.as_mut().is_none_or(|former| is_settled && former.prepare_sleep()) && self.queue.prepare_sleep()
    }

    fn stay_awake(&mut self) {
        self.queue.stay_awake();
    }

    fn recover(&mut self) -> bool {
        self.former.as_mut().is_none_or(|former| former.recover()) && self.queue.recover()
    }

    fn device(&self) -> Option<u32> {
        self.queue.device()
    }

    fn losses(&mut self) -> RxLosses {
        let of_former = self.former.as_mut().map_or(self.lost, |former| former.losses());
        let own = self.queue.losses();
        RxLosses { dropped: own.dropped + of_former.dropped, errors: own.errors + of_former.errors }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::{Relaxed, Release};

    /// How many frames wait.
    type Waiting = Arc<AtomicUsize>;

    /// A queue of frames of one octet.
    struct Fake(Waiting, [u8; BURST]);

    impl RxQueue for Fake {
        fn receive<'a>(&'a mut self, max: usize, burst: &mut Burst<'a>) {
            let n = self.0.swap(0, Relaxed).min(max);
            burst.extend(
                self.1.chunks_mut(1).take(n).map(|octet| dp::Lent::new(octet, 0, 1, packet::Offload::default())),
            );
        }

        fn prepare_sleep(&mut self) -> bool {
            self.0.load(Relaxed) == 0
        }
    }

    fn receive(queue: &mut QueueParts) -> usize {
        let mut burst = Burst::default();
        queue.rx.receive(BURST, &mut burst);
        burst.len()
    }

    /// What comes by the socket after both were found empty is not left there until something else comes.
    #[test]
    fn nobody_sleeps_while_frames_are_under_way_to_the_socket() {
        let [early, ring] = [(); 2].map(|()| Waiting::default());
        let parts = |frames: &Waiting| QueueParts { rx: Box::new(Fake(frames.clone(), [0; BURST])), wake: None };
        let is_settled = Arc::new(AtomicBool::new(false));
        let mut queue = Successor::follow(parts(&early), parts(&ring), is_settled.clone());
        early.store(1, Relaxed);
        ring.store(2, Relaxed);
        assert_eq!([receive(&mut queue), receive(&mut queue)], [1, 2], "the socket's are older");
        assert_eq!(receive(&mut queue), 0);
        assert!(!queue.rx.prepare_sleep(), "a frame may be on its way");
        early.store(1, Relaxed);
        is_settled.store(true, Release);
        assert!(!queue.rx.prepare_sleep(), "it has come");
        assert_eq!(receive(&mut queue), 1);
        assert!(queue.rx.prepare_sleep());
        ring.store(3, Relaxed);
        assert!(!queue.rx.prepare_sleep());
        assert_eq!(receive(&mut queue), 3);
    }
}
