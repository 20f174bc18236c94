//! The test bench of the switch: what the tests under `tests/` stand on.
//!
//! * [`scenario`], [`mask`], [`compare`], [`parity`]: the same scenario against two sets of programs,
//!   compared command by command.
//! * [`side`], [`place`], [`process`]: which programs, a private directory for them to live in, and
//!   processes that never outlive the test that started them.
//! * [`lab`], [`echo`]: network namespaces with a switch in one of them, for traffic, and echoes through it.
//! * [`random`]: numbers that are the same for the same seed.
//! * [`source`]: the house as data (crates, files, lines) for the test of its rules.
//!
//! Absent on purpose: any knowledge of the switch's insides. The bench sees programs, sockets and packets.

pub mod compare;
pub mod echo;
pub mod lab;
pub mod mask;
pub mod parity;
pub mod place;
pub mod process;
pub mod random;
pub mod scenario;
pub mod side;
pub mod source;
