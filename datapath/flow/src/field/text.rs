//! Fields as text.
