"""A learning switch by os-ken for OpenFlow 1.5: asks for all the switch can tell, then forwards by flows."""

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_5 as version


class Learning(app_manager.OSKenApp):
    OFP_VERSIONS = [version.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}
        self.awaited = set()

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        path = event.msg.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        match = parser.OFPMatch()
        actions = [parser.OFPActionOutput(proto.OFPP_CONTROLLER, proto.OFPCML_NO_BUFFER)]
        self.add_flow(path, 0, match, actions)
        asked = [
            ("desc", parser.OFPDescStatsRequest(path, 0)),
            ("tables", parser.OFPTableStatsRequest(path, 0)),
            ("ports", parser.OFPPortStatsRequest(path, 0, proto.OFPP_ANY)),
            ("groups", parser.OFPGroupStatsRequest(path, 0, proto.OFPG_ALL)),
            ("config", parser.OFPGetConfigRequest(path)),
            ("role", parser.OFPRoleRequest(path, proto.OFPCR_ROLE_MASTER, 0, 0)),
            ("barrier", parser.OFPBarrierRequest(path)),
            ("port_desc", parser.OFPPortDescStatsRequest(path, 0, proto.OFPP_ANY)),
            ("table_features", parser.OFPTableFeaturesStatsRequest(path, 0)),
            ("group_features", parser.OFPGroupFeaturesStatsRequest(path, 0)),
            ("async", parser.OFPGetAsyncRequest(path)),
            ("table_desc", parser.OFPTableDescStatsRequest(path, 0)),
            ("queue_desc", parser.OFPQueueDescStatsRequest(path, 0, proto.OFPP_ANY, proto.OFPQ_ALL)),
            ("flow_desc", parser.OFPFlowDescStatsRequest(path)),
        ]
        for name, request in asked:
            self.awaited.add(name)
            path.send_msg(request)

    def replied(self, name):
        self.awaited.discard(name)
        print("reply", name, flush=True)
        if not self.awaited:
            print("all replies are here", flush=True)

    @set_ev_cls(ofp_event.EventOFPDescStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_desc(self, event):
        self.replied("desc")

    @set_ev_cls(ofp_event.EventOFPTableStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_tables(self, event):
        self.replied("tables")

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_ports(self, event):
        self.replied("ports")

    @set_ev_cls(ofp_event.EventOFPGroupStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_groups(self, event):
        self.replied("groups")

    @set_ev_cls(ofp_event.EventOFPGetConfigReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_config(self, event):
        self.replied("config")

    @set_ev_cls(ofp_event.EventOFPRoleReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_role(self, event):
        self.replied("role")

    @set_ev_cls(ofp_event.EventOFPBarrierReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_barrier(self, event):
        self.replied("barrier")

    @set_ev_cls(ofp_event.EventOFPPortDescStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_port_desc(self, event):
        self.replied("port_desc")

    @set_ev_cls(ofp_event.EventOFPTableFeaturesStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_table_features(self, event):
        self.replied("table_features")

    @set_ev_cls(ofp_event.EventOFPGroupFeaturesStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_group_features(self, event):
        self.replied("group_features")

    @set_ev_cls(ofp_event.EventOFPGetAsyncReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_async(self, event):
        self.replied("async")

    @set_ev_cls(ofp_event.EventOFPTableDescStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_table_desc(self, event):
        self.replied("table_desc")

    @set_ev_cls(ofp_event.EventOFPQueueDescStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_queue_desc(self, event):
        self.replied("queue_desc")

    @set_ev_cls(ofp_event.EventOFPFlowDescStatsReply, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def on_flow_desc(self, event):
        self.replied("flow_desc")


    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def error(self, event):
        print("error", event.msg.type, event.msg.code, flush=True)

    def add_flow(self, path, priority, match, actions):
        proto, parser = path.ofproto, path.ofproto_parser
        instructions = [parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)]
        path.send_msg(parser.OFPFlowMod(datapath=path, priority=priority, match=match, instructions=instructions))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        path = message.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        in_port = message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        self.ports[frame.src] = in_port
        out = self.ports.get(frame.dst, proto.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != proto.OFPP_FLOOD:
            self.add_flow(path, 1, parser.OFPMatch(in_port=in_port, eth_dst=frame.dst), actions)
        data = message.data if message.buffer_id == proto.OFP_NO_BUFFER else None
        path.send_msg(parser.OFPPacketOut(
            datapath=path, buffer_id=message.buffer_id, match=parser.OFPMatch(in_port=in_port), actions=actions, data=data,
        ))
