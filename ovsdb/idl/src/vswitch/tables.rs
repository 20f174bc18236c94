//! The tables of the Open_vSwitch schema, version 8.3, and their columns (ovs-vswitchd.conf.db(5)).

use super::column::*;
use super::table;

table!(AutoAttach, "AutoAttach", {
    mappings, set_mappings: "mappings" => NumberMap,
    system_description, set_system_description: "system_description" => Str,
    system_name, set_system_name: "system_name" => Str,
});

table!(Bridge, "Bridge", {
    auto_attach, set_auto_attach: "auto_attach" => OptRef,
    controller, set_controller: "controller" => Refs,
    datapath_id, set_datapath_id: "datapath_id" => OptStr,
    datapath_type, set_datapath_type: "datapath_type" => Str,
    datapath_version, set_datapath_version: "datapath_version" => Str,
    external_ids, set_external_ids: "external_ids" => StringMap,
    fail_mode, set_fail_mode: "fail_mode" => OptStr,
    flood_vlans, set_flood_vlans: "flood_vlans" => Ints,
    flow_tables, set_flow_tables: "flow_tables" => NumberedRefs,
    ipfix, set_ipfix: "ipfix" => OptRef,
    mcast_snooping_enable, set_mcast_snooping_enable: "mcast_snooping_enable" => Bool,
    mirrors, set_mirrors: "mirrors" => Refs,
    name, set_name: "name" => Str,
    netflow, set_netflow: "netflow" => OptRef,
    other_config, set_other_config: "other_config" => StringMap,
    ports, set_ports: "ports" => Refs,
    protocols, set_protocols: "protocols" => Strs,
    rstp_enable, set_rstp_enable: "rstp_enable" => Bool,
    rstp_status, set_rstp_status: "rstp_status" => StringMap,
    sflow, set_sflow: "sflow" => OptRef,
    status, set_status: "status" => StringMap,
    stp_enable, set_stp_enable: "stp_enable" => Bool,
});

table!(CTTimeoutPolicy, "CT_Timeout_Policy", {
    external_ids, set_external_ids: "external_ids" => StringMap,
    timeouts, set_timeouts: "timeouts" => IntegerMap,
});

table!(CTZone, "CT_Zone", {
    external_ids, set_external_ids: "external_ids" => StringMap,
    timeout_policy, set_timeout_policy: "timeout_policy" => OptRef,
});

table!(Controller, "Controller", {
    connection_mode, set_connection_mode: "connection_mode" => OptStr,
    controller_burst_limit, set_controller_burst_limit: "controller_burst_limit" => OptInt,
    controller_queue_size, set_controller_queue_size: "controller_queue_size" => OptInt,
    controller_rate_limit, set_controller_rate_limit: "controller_rate_limit" => OptInt,
    enable_async_messages, set_enable_async_messages: "enable_async_messages" => OptBool,
    external_ids, set_external_ids: "external_ids" => StringMap,
    inactivity_probe, set_inactivity_probe: "inactivity_probe" => OptInt,
    is_connected, set_is_connected: "is_connected" => Bool,
    local_gateway, set_local_gateway: "local_gateway" => OptStr,
    local_ip, set_local_ip: "local_ip" => OptStr,
    local_netmask, set_local_netmask: "local_netmask" => OptStr,
    max_backoff, set_max_backoff: "max_backoff" => OptInt,
    other_config, set_other_config: "other_config" => StringMap,
    role, set_role: "role" => OptStr,
    status, set_status: "status" => StringMap,
    target, set_target: "target" => Str,
    type_, set_type: "type" => OptStr,
});

table!(Datapath, "Datapath", {
    capabilities, set_capabilities: "capabilities" => StringMap,
    ct_zones, set_ct_zones: "ct_zones" => NumberedRefs,
    datapath_version, set_datapath_version: "datapath_version" => Str,
    external_ids, set_external_ids: "external_ids" => StringMap,
});

table!(FlowSampleCollectorSet, "Flow_Sample_Collector_Set", {
    bridge, set_bridge: "bridge" => Ref,
    external_ids, set_external_ids: "external_ids" => StringMap,
    id, set_id: "id" => Int,
    ipfix, set_ipfix: "ipfix" => OptRef,
});

table!(FlowTable, "Flow_Table", {
    external_ids, set_external_ids: "external_ids" => StringMap,
    flow_limit, set_flow_limit: "flow_limit" => OptInt,
    groups, set_groups: "groups" => Strs,
    name, set_name: "name" => OptStr,
    overflow_policy, set_overflow_policy: "overflow_policy" => OptStr,
    prefixes, set_prefixes: "prefixes" => Strs,
});

table!(IPFIX, "IPFIX", {
    cache_active_timeout, set_cache_active_timeout: "cache_active_timeout" => OptInt,
    cache_max_flows, set_cache_max_flows: "cache_max_flows" => OptInt,
    external_ids, set_external_ids: "external_ids" => StringMap,
    obs_domain_id, set_obs_domain_id: "obs_domain_id" => OptInt,
    obs_point_id, set_obs_point_id: "obs_point_id" => OptInt,
    other_config, set_other_config: "other_config" => StringMap,
    sampling, set_sampling: "sampling" => OptInt,
    targets, set_targets: "targets" => Strs,
});

table!(Interface, "Interface", {
    admin_state, set_admin_state: "admin_state" => OptStr,
    bfd, set_bfd: "bfd" => StringMap,
    bfd_status, set_bfd_status: "bfd_status" => StringMap,
    cfm_fault, set_cfm_fault: "cfm_fault" => OptBool,
    cfm_fault_status, set_cfm_fault_status: "cfm_fault_status" => Strs,
    cfm_flap_count, set_cfm_flap_count: "cfm_flap_count" => OptInt,
    cfm_health, set_cfm_health: "cfm_health" => OptInt,
    cfm_mpid, set_cfm_mpid: "cfm_mpid" => OptInt,
    cfm_remote_mpids, set_cfm_remote_mpids: "cfm_remote_mpids" => Ints,
    cfm_remote_opstate, set_cfm_remote_opstate: "cfm_remote_opstate" => OptStr,
    duplex, set_duplex: "duplex" => OptStr,
    error, set_error: "error" => OptStr,
    external_ids, set_external_ids: "external_ids" => StringMap,
    ifindex, set_ifindex: "ifindex" => OptInt,
    ingress_policing_burst, set_ingress_policing_burst: "ingress_policing_burst" => Int,
    ingress_policing_kpkts_burst, set_ingress_policing_kpkts_burst: "ingress_policing_kpkts_burst" => Int,
    ingress_policing_kpkts_rate, set_ingress_policing_kpkts_rate: "ingress_policing_kpkts_rate" => Int,
    ingress_policing_rate, set_ingress_policing_rate: "ingress_policing_rate" => Int,
    lacp_current, set_lacp_current: "lacp_current" => OptBool,
    link_resets, set_link_resets: "link_resets" => OptInt,
    link_speed, set_link_speed: "link_speed" => OptInt,
    link_state, set_link_state: "link_state" => OptStr,
    lldp, set_lldp: "lldp" => StringMap,
    mac, set_mac: "mac" => OptStr,
    mac_in_use, set_mac_in_use: "mac_in_use" => OptStr,
    mtu, set_mtu: "mtu" => OptInt,
    mtu_request, set_mtu_request: "mtu_request" => OptInt,
    name, set_name: "name" => Str,
    ofport, set_ofport: "ofport" => OptInt,
    ofport_request, set_ofport_request: "ofport_request" => OptInt,
    options, set_options: "options" => StringMap,
    other_config, set_other_config: "other_config" => StringMap,
    statistics, set_statistics: "statistics" => IntegerMap,
    status, set_status: "status" => StringMap,
    type_, set_type: "type" => Str,
});

table!(Manager, "Manager", {
    connection_mode, set_connection_mode: "connection_mode" => OptStr,
    external_ids, set_external_ids: "external_ids" => StringMap,
    inactivity_probe, set_inactivity_probe: "inactivity_probe" => OptInt,
    is_connected, set_is_connected: "is_connected" => Bool,
    max_backoff, set_max_backoff: "max_backoff" => OptInt,
    other_config, set_other_config: "other_config" => StringMap,
    status, set_status: "status" => StringMap,
    target, set_target: "target" => Str,
});

table!(Mirror, "Mirror", {
    external_ids, set_external_ids: "external_ids" => StringMap,
    name, set_name: "name" => Str,
    output_port, set_output_port: "output_port" => OptRef,
    output_vlan, set_output_vlan: "output_vlan" => OptInt,
    select_all, set_select_all: "select_all" => Bool,
    select_dst_port, set_select_dst_port: "select_dst_port" => Refs,
    select_src_port, set_select_src_port: "select_src_port" => Refs,
    select_vlan, set_select_vlan: "select_vlan" => Ints,
    snaplen, set_snaplen: "snaplen" => OptInt,
    statistics, set_statistics: "statistics" => IntegerMap,
});

table!(NetFlow, "NetFlow", {
    active_timeout, set_active_timeout: "active_timeout" => Int,
    add_id_to_interface, set_add_id_to_interface: "add_id_to_interface" => Bool,
    engine_id, set_engine_id: "engine_id" => OptInt,
    engine_type, set_engine_type: "engine_type" => OptInt,
    external_ids, set_external_ids: "external_ids" => StringMap,
    targets, set_targets: "targets" => Strs,
});

table!(OpenvSwitch, "Open_vSwitch", {
    bridges, set_bridges: "bridges" => Refs,
    cur_cfg, set_cur_cfg: "cur_cfg" => Int,
    datapath_types, set_datapath_types: "datapath_types" => Strs,
    datapaths, set_datapaths: "datapaths" => NamedRefs,
    db_version, set_db_version: "db_version" => OptStr,
    dpdk_initialized, set_dpdk_initialized: "dpdk_initialized" => Bool,
    dpdk_version, set_dpdk_version: "dpdk_version" => OptStr,
    external_ids, set_external_ids: "external_ids" => StringMap,
    iface_types, set_iface_types: "iface_types" => Strs,
    manager_options, set_manager_options: "manager_options" => Refs,
    next_cfg, set_next_cfg: "next_cfg" => Int,
    other_config, set_other_config: "other_config" => StringMap,
    ovs_version, set_ovs_version: "ovs_version" => OptStr,
    ssl, set_ssl: "ssl" => OptRef,
    statistics, set_statistics: "statistics" => StringMap,
    system_type, set_system_type: "system_type" => OptStr,
    system_version, set_system_version: "system_version" => OptStr,
});

table!(Port, "Port", {
    bond_active_slave, set_bond_active_slave: "bond_active_slave" => OptStr,
    bond_downdelay, set_bond_downdelay: "bond_downdelay" => Int,
    bond_fake_iface, set_bond_fake_iface: "bond_fake_iface" => Bool,
    bond_mode, set_bond_mode: "bond_mode" => OptStr,
    bond_updelay, set_bond_updelay: "bond_updelay" => Int,
    cvlans, set_cvlans: "cvlans" => Ints,
    external_ids, set_external_ids: "external_ids" => StringMap,
    fake_bridge, set_fake_bridge: "fake_bridge" => Bool,
    interfaces, set_interfaces: "interfaces" => Refs,
    lacp, set_lacp: "lacp" => OptStr,
    mac, set_mac: "mac" => OptStr,
    name, set_name: "name" => Str,
    other_config, set_other_config: "other_config" => StringMap,
    protected, set_protected: "protected" => Bool,
    qos, set_qos: "qos" => OptRef,
    rstp_statistics, set_rstp_statistics: "rstp_statistics" => IntegerMap,
    rstp_status, set_rstp_status: "rstp_status" => StringMap,
    statistics, set_statistics: "statistics" => IntegerMap,
    status, set_status: "status" => StringMap,
    tag, set_tag: "tag" => OptInt,
    trunks, set_trunks: "trunks" => Ints,
    vlan_mode, set_vlan_mode: "vlan_mode" => OptStr,
});

table!(QoS, "QoS", {
    external_ids, set_external_ids: "external_ids" => StringMap,
    other_config, set_other_config: "other_config" => StringMap,
    queues, set_queues: "queues" => NumberedRefs,
    type_, set_type: "type" => Str,
});

table!(Queue, "Queue", {
    dscp, set_dscp: "dscp" => OptInt,
    external_ids, set_external_ids: "external_ids" => StringMap,
    other_config, set_other_config: "other_config" => StringMap,
});

table!(SSL, "SSL", {
    bootstrap_ca_cert, set_bootstrap_ca_cert: "bootstrap_ca_cert" => Bool,
    ca_cert, set_ca_cert: "ca_cert" => Str,
    certificate, set_certificate: "certificate" => Str,
    external_ids, set_external_ids: "external_ids" => StringMap,
    private_key, set_private_key: "private_key" => Str,
});

table!(SFlow, "sFlow", {
    agent, set_agent: "agent" => OptStr,
    external_ids, set_external_ids: "external_ids" => StringMap,
    header, set_header: "header" => OptInt,
    polling, set_polling: "polling" => OptInt,
    sampling, set_sampling: "sampling" => OptInt,
    targets, set_targets: "targets" => Strs,
});
