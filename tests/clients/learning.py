"""A learning switch by os-ken: asks for all the switch can tell, then forwards by flows.

The version is in the environment: `OPENFLOW` is 10, 12, 13, 14 or 15.
"""

import importlib
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet

NUMBER = int(os.environ["OPENFLOW"])
VERSION = importlib.import_module(f"os_ken.ofproto.ofproto_v1_{NUMBER % 10}")
ANY_TIME = [CONFIG_DISPATCHER, MAIN_DISPATCHER]
REPLIES = [
    "Stats", "DescStats", "FlowStats", "TableStats", "PortStats", "GroupStats", "GetConfig", "Role", "Barrier",
    "PortDescStats", "MeterFeaturesStats", "TableFeaturesStats", "GroupFeaturesStats", "GetAsync", "TableDescStats",
    "QueueDescStats", "FlowDescStats",
]
REPLY_EVENTS = [
    getattr(ofp_event, f"EventOFP{name}Reply") for name in REPLIES if hasattr(ofp_event, f"EventOFP{name}Reply")
]


def requests(path):
    """What the version can ask for, each by the name of its reply."""
    proto, parser = path.ofproto, path.ofproto_parser
    asked = {"GetConfig": parser.OFPGetConfigRequest(path), "Barrier": parser.OFPBarrierRequest(path)}
    if NUMBER == 12:
        asked["Stats"] = parser.OFPDescStatsRequest(path)
    else:
        asked["DescStats"] = parser.OFPDescStatsRequest(path, 0)
        asked["TableStats"] = parser.OFPTableStatsRequest(path, 0)
    if NUMBER == 10:
        asked["FlowStats"] = parser.OFPFlowStatsRequest(path, 0, parser.OFPMatch(), 0xFF, proto.OFPP_NONE)
        asked["PortStats"] = parser.OFPPortStatsRequest(path, 0, proto.OFPP_NONE)
        return asked
    role = (proto.OFPCR_ROLE_MASTER, 0) if NUMBER < 15 else (proto.OFPCR_ROLE_MASTER, 0, 0)
    asked["Role"] = parser.OFPRoleRequest(path, *role)
    if NUMBER < 13:
        return asked
    asked["PortStats"] = parser.OFPPortStatsRequest(path, 0, proto.OFPP_ANY)
    asked["GroupStats"] = parser.OFPGroupStatsRequest(path, 0, proto.OFPG_ALL)
    asked["TableFeaturesStats"] = parser.OFPTableFeaturesStatsRequest(path, 0)
    asked["GroupFeaturesStats"] = parser.OFPGroupFeaturesStatsRequest(path, 0)
    asked["GetAsync"] = parser.OFPGetAsyncRequest(path)
    if NUMBER < 15:
        asked["FlowStats"] = parser.OFPFlowStatsRequest(path)
        asked["MeterFeaturesStats"] = parser.OFPMeterFeaturesStatsRequest(path, 0)
    else:
        asked["FlowDescStats"] = parser.OFPFlowDescStatsRequest(path)
    if NUMBER < 14:
        asked["PortDescStats"] = parser.OFPPortDescStatsRequest(path, 0)
    else:
        asked["PortDescStats"] = parser.OFPPortDescStatsRequest(path, 0, proto.OFPP_ANY)
        asked["TableDescStats"] = parser.OFPTableDescStatsRequest(path, 0)
        asked["QueueDescStats"] = parser.OFPQueueDescStatsRequest(path, 0, proto.OFPP_ANY, proto.OFPQ_ALL)
    return asked


class Learning(app_manager.OSKenApp):
    OFP_VERSIONS = [VERSION.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}
        self.awaited = set()

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        path = event.msg.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        whole = 0xFFFF if NUMBER == 10 else proto.OFPCML_NO_BUFFER
        self.add_flow(path, 0, parser.OFPMatch(), [parser.OFPActionOutput(proto.OFPP_CONTROLLER, whole)])
        asked = requests(path)
        self.awaited.update(asked)
        for request in asked.values():
            path.send_msg(request)

    @set_ev_cls(REPLY_EVENTS, ANY_TIME)
    def replied(self, event):
        name = type(event).__name__.removeprefix("EventOFP").removesuffix("Reply")
        self.awaited.discard(name)
        print("reply", name, flush=True)
        if not self.awaited:
            print("all replies are here", flush=True)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, ANY_TIME)
    def error(self, event):
        print("error", event.msg.type, event.msg.code, flush=True)

    def add_flow(self, path, priority, match, actions):
        proto, parser = path.ofproto, path.ofproto_parser
        if NUMBER == 10:
            flow = parser.OFPFlowMod(
                datapath=path, match=match, cookie=0, command=proto.OFPFC_ADD, idle_timeout=0, hard_timeout=0,
                priority=priority, flags=0, actions=actions,
            )
            return path.send_msg(flow)
        instructions = [parser.OFPInstructionActions(proto.OFPIT_APPLY_ACTIONS, actions)]
        if NUMBER == 12:
            flow = parser.OFPFlowMod(
                path, 0, 0, 0, proto.OFPFC_ADD, 0, 0, priority, proto.OFP_NO_BUFFER, proto.OFPP_ANY, proto.OFPG_ANY, 0,
                match, instructions,
            )
        else:
            flow = parser.OFPFlowMod(datapath=path, priority=priority, match=match, instructions=instructions)
        path.send_msg(flow)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        path = message.datapath
        proto, parser = path.ofproto, path.ofproto_parser
        in_port = message.in_port if NUMBER == 10 else message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        self.ports[frame.src] = in_port
        out = self.ports.get(frame.dst, proto.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != proto.OFPP_FLOOD:
            destination = {"dl_dst" if NUMBER == 10 else "eth_dst": frame.dst}
            self.add_flow(path, 1, parser.OFPMatch(in_port=in_port, **destination), actions)
        data = message.data if message.buffer_id == proto.OFP_NO_BUFFER else None
        place = {"match": parser.OFPMatch(in_port=in_port)} if NUMBER == 15 else {"in_port": in_port}
        path.send_msg(
            parser.OFPPacketOut(datapath=path, buffer_id=message.buffer_id, actions=actions, data=data, **place)
        )
