//! The house as data: crates, files and lines, for the test of its rules.
