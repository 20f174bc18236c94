//! The one unsafe room: packet rings, packet sockets, taps.
