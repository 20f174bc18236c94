//! The one unsafe room: packet rings, packet sockets, taps, and the few system calls around them.
//!
//! Everything here is offered behind safe types; nothing blocks, and every descriptor is opened in the
//! network namespace of the calling thread. The crate knows nothing of flows or packets beyond a frame's
//! bytes and its virtio header (packet(7), tuntap.txt, packet_mmap.rst of the kernel's documentation).
//!
//! Deliberately absent: clocks, retries, policy (when a ring grows, which thread serves it) and everything
//! that ordinary crates do safely (rtnetlink, files, TCP).
//!
//! What needs no kernel (blocks read half written, frames, sizes) runs under Miri:
//! `cargo +nightly miri test -p sys --lib -- --skip epoll --skip affinity`, with `MIRIFLAGS=-Zmiri-disable-isolation`.
//!
//! * [`RxRing`]: receive, by `TPACKET_V3` read ahead of its blocks' retirement or by `TPACKET_V2`.
//! * [`EarlySocket`]: receive by a plain socket until there is a ring.
//! * [`TxSocket`]: send in batches, straight out of ring memory, or by a ring of its own (`PACKET_TX_RING`).
//! * [`Tap`]: tap devices, in both directions, with offloads.
//! * [`HostTunnel`], [`TunnelSender`]: tunnels by the host's own IP stack.
//! * [`Epoll`], [`EventFd`]: waiting. [`thread`]: affinity, locked memory.
//! * [`bpf`]: programs in the kernel, and what they share with us.
//! * [`heap`]: the daemons' allocator, and how soon freed memory is the kernel's again.
//! * [`memory`]: how much there is.
//! * [`WakeLatency`]: how deep processors may sleep.
//! * [`device`], [`ethtool`]: small questions to a device. [`napi`]: who receives what comes by a veth.
//! * [`host_stack`]: keeps a port's frames from the host.

pub mod bpf;
mod closer;
pub mod device;
mod epoll;
mod error;
pub mod ethtool;
mod frame;
pub mod heap;
mod host_address;
pub mod host_stack;
mod host_tunnel;

mod map;
pub mod memory;
pub mod napi;
mod netlink;
pub mod process;
mod ring;
mod selftest;
mod socket;
mod tap;
pub mod tc;
pub mod thread;
mod tx;
mod wake_latency;

pub use closer::finish_closing;
pub use epoll::{Epoll, EventFd, Ready};
pub use error::{Error, Result};
pub use frame::{Frame, VNET_HDR_LEN, VnetHdr, gso, vnet_flag};
pub use host_address::{add_default_route, ipv4, set_ipv4};
pub use host_tunnel::{Carrier, HostTunnel, TunnelReceiver, TunnelSender};
pub use netlink::{add_veth, delete_link};
pub use ring::{EarlySocket, RingConfig, RingKind, RingStats, RingStock, RxRing, await_frames_under_way};
pub use selftest::{early_reading_works, early_reading_works_apart};
pub use tap::{Tap, TapKind, WakeFd};
pub use tx::{DeviceWatch, TX_BATCH, TxConfig, TxFrame, TxMtu, TxOutcome, TxSocket};
pub use wake_latency::WakeLatency;
