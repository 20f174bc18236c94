//! Packet formats: one file a protocol, views beside representations, checksums.
