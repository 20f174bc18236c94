//! Which modules each program has, as `vlog/list` shows them and `--verbose` knows them.
//!
//! Source: what `vlog/list` of Open vSwitch 3.1's programs prints.

use crate::modules::module;

/// Those that every program has.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "backtrace", "bundle", "command_line", "conntrack", "conntrack_tp", "coverage", "ct_dpif", "dns_resolve", "dpdk",
    "dpif", "dpif_lookup_autovalidator", "dpif_lookup_generic", "dpif_mfex_extract_study", "dpif_netdev",
    "dpif_netdev_extract", "dpif_netdev_impl", "dpif_netdev_lookup", "dpif_netlink", "dpif_netlink_rtnl", "entropy",
    "fatal_signal", "flow", "hmap", "ipf", "jsonrpc", "meta_flow", "native_tnl", "netdev", "netdev_afxdp",
    "netdev_linux", "netdev_offload", "netdev_offload_tc", "netdev_vport", "netlink", "netlink_conntrack",
    "netlink_notifier", "netlink_socket", "nx_match", "odp_execute", "odp_execute_impl", "odp_util", "ofp_actions",
    "ofp_bundle", "ofp_connection", "ofp_errors", "ofp_flow", "ofp_group", "ofp_match", "ofp_meter", "ofp_monitor",
    "ofp_msgs", "ofp_packet", "ofp_port", "ofp_protocol", "ofp_queue", "ofp_table", "ofp_util", "ovs_numa", "ovs_rcu",
    "ovs_replay", "ovs_router", "ovs_thread", "ovsdb_cs", "ovsdb_error", "ovsdb_idl", "ox_stat", "pmd_perf",
    "poll_loop", "reconnect", "route_table", "sha1", "signals", "socket_util", "socket_util_unix", "stream",
    "stream_fd", "stream_replay", "stream_ssl", "stream_tcp", "stream_unix", "svec", "tc", "timeval", "unixctl",
    "userspace_tso", "util", "uuid", "vlog",
];

/// Those of programs that may be in the background.
#[rustfmt::skip]
const DAEMON: &[&str] = &[
    "daemon", "daemon_unix", "lockfile", "process",
];

/// Those of programs that read databases.
#[rustfmt::skip]
const DATABASE: &[&str] = &[
    "ovsdb", "ovsdb_file", "ovsdb_jsonrpc_server", "ovsdb_log", "ovsdb_monitor", "ovsdb_rbac", "ovsdb_util", "raft",
    "raft_rpc", "storage", "transaction", "transaction_forward", "trigger",
];

/// Those of the switch alone.
#[rustfmt::skip]
const VSWITCHD: &[&str] = &[
    "bfd", "bond", "bridge", "bundles", "cfm", "collectors", "connmgr", "fail_open", "in_band", "ipfix", "lacp",
    "lldp", "lldpd", "lldpd_structs", "memory", "netdev_dummy", "netflow", "ofproto", "ofproto_dpif",
    "ofproto_dpif_mirror", "ofproto_dpif_monitor", "ofproto_dpif_rid", "ofproto_dpif_upcall", "ofproto_dpif_xlate",
    "ofproto_xlate_cache", "ovs_lldp", "pcap", "rconn", "rstp", "rstp_sm", "sflow", "stp", "system_stats", "tunnel",
    "vconn", "vconn_stream", "vswitchd",
];

/// The modules of `program`: lists that together have each once. A program that is none of Open vSwitch's has all
/// that the switch and its database have.
fn lists(program: &str) -> Vec<&'static [&'static str]> {
    let own: &[&[&str]] = match program {
        "ovs-dpctl" | "vtep-ctl" => &[],
        "ovs-appctl" => &[DAEMON],
        "ovs-ofctl" => &[DAEMON, &["ofctl", "pcap", "vconn", "vconn_stream"]],
        "ovs-testcontroller" => &[DAEMON, &["learning_switch", "rconn", "vconn", "vconn_stream"]],
        "ovs-vsctl" => &[&["db_ctl_base", "process", "vconn", "vconn_stream", "vsctl"]],
        "ovsdb-client" => &[DAEMON, DATABASE, &["ovsdb_client"]],
        "ovsdb-tool" => &[DATABASE, &["lockfile"]],
        "ovsdb-server" => &[DAEMON, DATABASE, &["memory", "ovsdb_server", "relay", "replication"]],
        "ovs-vswitchd" => &[DAEMON, VSWITCHD],
        _ => &[DAEMON, DATABASE, VSWITCHD, &["ovsdb_server", "relay", "replication"]],
    };
    std::iter::once(COMMON).chain(own.iter().copied()).collect()
}

/// Registers the modules that `program` has, so that `vlog/list` shows them before they speak.
pub fn register(program: &str) {
    for name in lists(program).into_iter().flatten() {
        module(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_once() {
        let counts = [
            ("ovs-appctl", 92),
            ("ovs-dpctl", 88),
            ("ovs-ofctl", 96),
            ("ovs-testcontroller", 96),
            ("ovs-vsctl", 93),
            ("ovs-vswitchd", 129),
            ("ovsdb-client", 106),
            ("ovsdb-server", 109),
            ("ovsdb-tool", 102),
        ];
        for (program, count) in counts {
            let mut names: Vec<&str> = lists(program).concat();
            names.sort_unstable();
            names.dedup();
            assert_eq!((names.len(), lists(program).concat().len()), (count, count), "{program}");
        }
        assert!(lists("ovs-vsctl").concat().contains(&"vsctl") && !lists("ovs-ofctl").concat().contains(&"bridge"));
    }
}
