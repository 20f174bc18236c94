//! The OpenFlow pipeline: tables, rules, groups, meters, translation.
