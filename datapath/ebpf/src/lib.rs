//! The kernel fast path, still pure: an assembler ([`asm`]), what programs and switch share ([`layout`]), the programs
//! ([`program`]), and which flows they may forward ([`eligible`]).
//!
//! The kernel shows a received frame first to a port's packet sockets, ring before alarm, and then to the device's
//! ingress filter; all three in one go, on one processor. The ring's socket has a program that looks the frame up among
//! the flows that were given to the kernel. Its verdict is kept per processor, and obeyed by the two that follow: a
//! frame of such a flow is not put into the ring, wakes nobody, and is redirected to the flow's device; all others go
//! the usual way. So the decision is made once, and a frame can neither be lost between the three nor forwarded twice,
//! however entries change meanwhile. Without the ring's socket, whose end is the switch's, there are no verdicts: what
//! the programs leave behind in the kernel drops frames and forwards none.
//!
//! What the host sends into a tap of the switch's own passes one program before it is there, which decides, counts and
//! redirects. It is attached as long as the switch holds a descriptor.
//!
//! Absent here: system calls (`sys::bpf`), and when a flow is worth an entry (`dp`).

pub mod asm;
pub mod eligible;
pub mod layout;
pub mod program;

pub use eligible::{Breadth, Exit, Retag, Way};
pub use layout::{FlowKey, Tag};
