//! The commands, one file a family, and their table.

mod bundle;
mod ct;
mod flow_file;
mod flows;
mod groups;
mod help;
mod meters;
mod monitor;
mod ofp_print;
mod packet_out;
mod parse;
mod pcap;
mod ports;
mod probe;
mod replace;
mod show;
mod tables;
mod tlv;

use cli::command::Command;

use crate::Done;
use crate::settings::Settings;

pub(crate) use help::usage;

/// What carries a command out, given its arguments.
pub(crate) type Run = fn(&Settings, &[String]) -> Done;

const MANY: usize = usize::MAX;

const fn reads(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command<Run> {
    Command::reading(name, usage, min, max, run)
}

const fn writes(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command<Run> {
    Command::writing(name, usage, min, max, run)
}

/// Every command. Helpers that only turn texts into messages and back count as writing, as `--read-only` refuses them.
pub(crate) const TABLE: &[Command<Run>] = &[
    reads("show", "switch", 1, 1, show::show),
    reads("monitor", "switch [misslen] [invalid_ttl] [watch:[...]]", 1, 3, monitor::monitor),
    reads("snoop", "switch", 1, 1, monitor::snoop),
    reads("dump-desc", "switch", 1, 1, show::dump_desc),
    reads("dump-tables", "switch", 1, 1, tables::dump_tables),
    reads("dump-table-features", "switch", 1, 1, tables::dump_features),
    reads("dump-table-desc", "switch", 1, 1, tables::dump_desc),
    reads("dump-flows", "switch", 1, 2, flows::dump_flows),
    reads("dump-aggregate", "switch", 1, 2, flows::dump_aggregate),
    reads("queue-stats", "switch [port [queue]]", 1, 3, ports::queue_stats),
    reads("queue-get-config", "switch [port [queue]]", 1, 3, ports::queue_get_config),
    writes("add-flow", "switch flow", 2, 2, flows::add_flow),
    writes("add-flows", "switch file", 2, 2, flows::add_flows),
    writes("mod-flows", "switch flow", 2, 2, flows::mod_flows),
    writes("del-flows", "switch [flow]", 1, 2, flows::del_flows),
    writes("replace-flows", "switch file", 2, 2, replace::replace_flows),
    writes("diff-flows", "source1 source2", 2, 2, replace::diff_flows),
    writes("add-meter", "switch meter", 2, 2, meters::add),
    writes("mod-meter", "switch meter", 2, 2, meters::modify),
    writes("del-meter", "switch meter", 1, 2, meters::delete),
    writes("del-meters", "switch", 1, 2, meters::delete),
    reads("dump-meter", "switch meter", 1, 2, meters::dump),
    reads("dump-meters", "switch", 1, 2, meters::dump),
    reads("meter-stats", "switch [meter]", 1, 2, meters::stats),
    reads("meter-features", "switch", 1, 1, meters::features),
    writes("packet-out", "switch \"in_port=<port> packet=<hex data> actions=...\"", 2, MANY, packet_out::packet_out),
    reads("dump-ports", "switch [port]", 1, 2, ports::dump_ports),
    reads("dump-ports-desc", "switch [port]", 1, 2, ports::dump_ports_desc),
    writes("mod-port", "switch iface act", 3, 3, ports::mod_port),
    writes("mod-table", "switch mod", 3, 3, tables::mod_table),
    reads("get-frags", "switch", 1, 1, show::get_frags),
    writes("set-frags", "switch frag_mode", 2, 2, show::set_frags),
    reads("probe", "target", 1, 1, probe::probe),
    reads("ping", "target [n]", 1, 2, probe::ping),
    reads("benchmark", "target n count", 3, 3, probe::benchmark),
    reads("dump-ipfix-bridge", "switch", 1, 1, show::dump_ipfix_bridge),
    reads("dump-ipfix-flow", "switch", 1, 1, show::dump_ipfix_flow),
    reads("ct-flush-zone", "switch zone", 2, 2, ct::flush_zone),
    reads("ct-flush", "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]", 1, 4, ct::flush),
    writes("ofp-parse", "file", 1, 1, ofp_print::ofp_parse),
    writes("ofp-parse-pcap", "pcap", 1, MANY, ofp_print::ofp_parse_pcap),
    writes("add-group", "switch group", 1, 2, groups::add_group),
    writes("add-groups", "switch file", 2, 2, groups::add_groups),
    writes("mod-group", "switch group", 1, 2, groups::mod_group),
    writes("del-groups", "switch [group]", 1, 2, groups::del_groups),
    writes("insert-buckets", "switch [group]", 1, 2, groups::insert_buckets),
    writes("remove-buckets", "switch [group]", 1, 2, groups::remove_buckets),
    reads("dump-groups", "switch [group]", 1, 2, groups::dump_desc),
    reads("dump-group-stats", "switch [group]", 1, 2, groups::dump_stats),
    reads("dump-group-features", "switch", 1, 1, groups::dump_features),
    writes("bundle", "switch file", 2, 2, bundle::bundle),
    reads("add-tlv-map", "switch map", 2, 2, tlv::add),
    reads("del-tlv-map", "switch [map]", 1, 2, tlv::delete),
    reads("dump-tlv-map", "switch", 1, 1, tlv::dump),
    reads("help", "", 0, MANY, help::help),
    reads("list-commands", "", 0, MANY, help::list_commands),
    writes("parse-flow", "", 1, 1, parse::flow),
    writes("parse-flows", "", 1, 1, parse::flows),
    writes("parse-group", "", 1, 1, parse::group),
    writes("parse-nx-match", "", 0, 0, parse::nx_match),
    writes("parse-nxm", "", 0, 0, parse::nx_match),
    writes("parse-oxm", "", 1, 1, parse::oxm),
    writes("parse-actions", "", 1, 1, parse::actions),
    writes("parse-instructions", "", 1, 1, parse::instructions),
    writes("parse-ofp10-match", "", 0, 0, parse::ofp10_match),
    writes("parse-ofp11-match", "", 0, 0, parse::ofp11_match),
    writes("parse-pcap", "", 1, MANY, parse::pcap),
    writes("check-vlan", "", 2, 2, parse::check_vlan),
    writes("print-error", "", 1, 1, parse::print_error),
    writes("encode-error-reply", "", 2, 2, parse::encode_error_reply),
    writes("ofp-print", "", 1, 2, ofp_print::ofp_print),
    writes("encode-hello", "", 1, 1, parse::encode_hello),
    writes("parse-key-value", "", 1, MANY, parse::key_value),
    reads("compose-packet", "", 1, 2, parse::compose_packet),
    reads("parse-packet", "", 0, 0, parse::packet),
];
