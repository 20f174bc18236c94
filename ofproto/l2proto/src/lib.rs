//! Layer-2 state machines without I/O: MAC learning and its kin.
