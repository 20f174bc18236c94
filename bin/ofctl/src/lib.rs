//! ovs-ofctl, one file a command.
