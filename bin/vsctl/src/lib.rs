//! ovs-vsctl, one file a command.
