//! ovs-appctl and ovs-dpctl.
