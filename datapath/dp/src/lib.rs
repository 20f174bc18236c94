//! The datapath: bursts, caches, action execution, meters; no sockets.
