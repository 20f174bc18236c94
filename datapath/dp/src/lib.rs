//! The datapath of one thread: bursts, caches, action execution, meters; no sockets, no clock, no randomness.
//!
//! A [`Datapath`] owns receive queues and, for every port, a sending half ([`port`]). [`Datapath::poll`] takes a burst
//! from a queue through the whole of it:
//!
//! ```text
//! receive ─ extract key ─ exact-match cache ─ signature cache ─ megaflow classifier ─ actions ─ output queues ─ send
//!              ▲                                                   │ miss                │
//!              └──────────────── recirculation ◄───────────────────┼─────────────────────┤
//!                                                                  ▼                     ▼
//!                                                         upcalls, in one batch a burst  drops, by reason
//! ```
//!
//! Frames stay where they were received, in memory borrowed from their queue, until everything queued for output in the
//! burst has been sent; only what is changed after it was queued, or lacks headroom, is copied. Nothing here waits,
//! allocates for a packet that hits, or sends a message.
//!
//! Deliberately absent: who decides on flows (upcalls go up, [`flow::FlowEntry`]s come down). Each thread has a
//! datapath of its own; what they share is [`Common`].
//!
//! Source: ovs-vswitchd(8), ovs-dpctl(8), dpif-netdev's documented caches and counters; ovs-actions(7).

mod bond;
mod burst;
mod by_host;
mod classifier;
mod common;
pub mod ct;
mod datapath;
pub mod dpif;
mod drop_log;
mod edit;
mod emc;
mod engine;
mod execute;
mod flows;
mod handup;
pub mod kernel;
mod load;
mod meter;
mod mix;
mod notice;
mod outputs;
mod pace;
mod pending;
pub mod perf;
mod policer;
pub mod port;
mod quota;
pub mod rxq;
mod segment;
mod set;
mod smc;
mod stats;
mod tunnel;

pub use burst::{BURST, Burst, Lent};
pub use common::Common;
pub use datapath::{Config, Datapath, KERNEL_PATH, QueueId, TUNNEL_SOURCES};
pub use drop_log::PortDrops;
pub use flow::outer::TunnelKind;
pub use flows::{DumpedFlow, FlowCursor, FlowEdit, InstallError};
pub use handup::Handup;
pub use load::Load;
pub use meter::{Band, BandKind, Meter, MeterConfig, MeterStats};
pub use notice::{Notice, Speaker};
pub use policer::PolicerConfig;
pub use port::{PortShare, RxLosses, RxQueue, TxPacket, TxPort, TxReport, Watcher};
pub use stats::{Carried, Drop, PortStats, QueueStats, Stats};
