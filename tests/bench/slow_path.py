#!/usr/bin/env python3
"""The slow path of a switch, measured beside another's in one run:

    slow_path.py --switches debian,ours=DIR [--cases packet_in,revalidate] [--flows N] [--rounds N]

`debian` are the installed programs, DIR a directory with programs of the same names. Cases:

  packet_in   a packet without a flow, to the controller, and back out by another port: microseconds, p50 and p99,
              one after another and one each two milliseconds
  revalidate  with N cached flows (100000), how long after a change begins its effect shows on one of them,
              milliseconds: a rule changed, an address moved, a group changed, a port taken away;
              and what the cached flows cost the switch in memory, octets each

Needs root. Everything is in a network namespace of its own, daemons have a directory of their own; both end with it.
"""

import argparse
import os
import re
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ETH_ALL = 3
MAC_A, MAC_B, MAC_C = (bytes([2, 0, 0, 0, 0, n]) for n in (0xA, 0xB, 0xC))


def run(*words, env=None, check=True):
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(words), done.stdout))
    return done.stdout


def checksum(octets):
    total = sum(struct.unpack("!%dH" % (len(octets) // 2), octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def frame(flow, source=MAC_A, target=MAC_B, mark=0):
    """A UDP frame of 60 octets; each number is a flow of its own."""
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 46, 0, 0, 64, 17, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    udp = struct.pack("!HHHH", flow & 0xFFFF, 1000 + (flow >> 16), 26, 0)
    return target + source + b"\x08\x00" + ip + udp + struct.pack("!Q", mark) + bytes(10)


class Port:
    """The far end of one of the switch's ports."""

    def __init__(self, name):
        self.name = name
        run("ip", "link", "add", name, "type", "veth", "peer", "name", name + "x")
        for end in (name, name + "x"):
            run("ip", "link", "set", end, "up")
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((name + "x", 0))
        self.socket.setblocking(False)

    def send(self, octets):
        while True:
            try:
                return self.socket.send(octets)
            except BlockingIOError:
                select.select([], [self.socket], [], 1)

    def marks(self):
        """The marks of the frames that came since last asked."""
        marks = []
        while True:
            try:
                octets, address = self.socket.recvfrom(2048)
            except BlockingIOError:
                return marks
            if address[2] != socket.PACKET_OUTGOING and octets[12:14] == b"\x08\x00" and len(octets) >= 50:
                marks.append(struct.unpack("!Q", octets[42:50])[0])


class Switch:
    def __init__(self, programs):
        self.dir = tempfile.mkdtemp(prefix="slow_path.")
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        self.env = dict(os.environ, PATH=programs + ":" + path if programs else path)
        for name in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"):
            self.env["OVS_" + name] = self.dir
        self.daemons = []
        self.ports = {}
        database = self.dir + "/conf.db"
        self.tool("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.daemon("ovsdb-server", database, "--remote=punix:%s/db.sock" % self.dir)
        self.wait(self.dir + "/db.sock")
        self.vsctl("--no-wait", "init")
        self.daemon("ovs-vswitchd", "unix:%s/db.sock" % self.dir)
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail_mode=secure")
        for number, name in enumerate(("pa", "pb", "pc"), 1):
            self.ports[name] = Port(name)
            self.vsctl("add-port", "br0", name, "--", "set", "interface", name, "ofport_request=%d" % number)

    def tool(self, *words, check=True):
        return run(*words, env=self.env, check=check)

    def vsctl(self, *words):
        return self.tool("ovs-vsctl", "-t", "10", "--db=unix:%s/db.sock" % self.dir, *words)

    def ofctl(self, *words):
        return self.tool("ovs-ofctl", *words)

    def appctl(self, *words):
        return self.tool("ovs-appctl", "-t", self.control, *words)

    def daemon(self, program, *words):
        log = open(self.dir + "/%s.out" % program, "w")
        words = (program,) + words + ("--unixctl=%s/%s.ctl" % (self.dir, program), "-vconsole:emer")
        self.daemons.append(subprocess.Popen(words, env=self.env, stdout=log, stderr=log))
        self.control = "%s/%s.ctl" % (self.dir, program)

    @staticmethod
    def wait(path):
        until = time.monotonic() + 10
        while not os.path.exists(path):
            if time.monotonic() > until:
                raise RuntimeError("%s does not come" % path)
            time.sleep(0.01)

    def memory(self):
        """Resident memory of ovs-vswitchd, octets."""
        with open("/proc/%d/status" % self.daemons[-1].pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024

    def flows(self):
        return int(re.search(r"flows\s+: \(current (\d+)\)", self.appctl("upcall/show")).group(1))

    def close(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for port in self.ports.values():
            port.socket.close()
            run("ip", "link", "del", port.name, check=False)
        run("ip", "link", "del", "br0", check=False)
        shutil.rmtree(self.dir)


class Controller:
    """Sends what comes in out by port 2. OpenFlow 1.0."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.target = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]

    def accept(self):
        self.socket, _ = self.listener.accept()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ready = False
        self.send(0, b"")
        self.send(5, b"")

    def send(self, kind, body, xid=1):
        self.socket.sendall(struct.pack("!BBHI", 1, kind, 8 + len(body), xid) + body)

    def serve(self):
        got = self.socket.recv(65536)
        if not got:
            raise RuntimeError("the switch hung up")
        self.buffer += got
        while len(self.buffer) >= 8:
            _, kind, length, xid = struct.unpack("!BBHI", self.buffer[:8])
            if len(self.buffer) < length:
                return
            message, self.buffer = self.buffer[:length], self.buffer[length:]
            if kind == 2:
                self.send(3, message[8:], xid)
            elif kind == 6:
                self.ready = True
            elif kind == 10:
                in_port = message[14:16]
                head = struct.pack("!I", 0xFFFFFFFF) + in_port + struct.pack("!HHHHH", 8, 0, 8, 2, 0xFFFF)
                self.send(13, head + message[18:])


def packet_in(switch, options):
    controller = Controller()
    switch.vsctl("set-controller", "br0", controller.target)
    controller.accept()
    while not controller.ready:
        controller.serve()
    a, b = switch.ports["pa"], switch.ports["pb"]
    results = {}
    for name, gap in (("", 0), ("_paced", 0.002)):
        times = []
        for n in range(options.packets):
            mark = 1 + n
            begin = time.perf_counter()
            a.send(frame(n, mark=mark))
            until, back = begin + 1, False
            while not back and time.perf_counter() < until:
                ready, _, _ = select.select([controller.socket, b.socket], [], [], 1)
                if controller.socket in ready:
                    controller.serve()
                back = b.socket in ready and mark in b.marks()
            if not back:
                raise RuntimeError("a packet did not come back")
            times.append((time.perf_counter() - begin) * 1e6)
            if gap:
                time.sleep(gap)
        times.sort()
        results["p50" + name] = times[len(times) // 2]
        results["p99" + name] = times[len(times) * 99 // 100]
    return results


RULES = """priority=10,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG1[0..15],move:NXM_OF_UDP_DST[]->NXM_NX_REG2[0..15],group:1
priority=0,actions=NORMAL
"""


def done(_):
    """A change that nobody has to be waited for."""


def effect_after(switch, here, there, change):
    """How long after the beginning of `change` the probe, which came to `here`, comes to `there`, milliseconds."""
    a, here, there = switch.ports["pa"], switch.ports[here], switch.ports[there] if there else None
    mark = int(time.monotonic() * 1e6) << 16
    # What was changed before has to be over.
    calm = 0
    while calm < 20:
        mark += 1
        a.send(frame(0, mark=mark))
        time.sleep(0.005)
        came = here.marks() and not (there is not None and there.marks())
        calm = calm + 1 if came else 0
    begin = time.perf_counter()
    process = change()
    last = begin
    until = begin + 20
    while time.perf_counter() < until:
        mark += 1
        now = time.perf_counter()
        a.send(frame(0, mark=mark))
        time.sleep(0.0005)
        if here.marks():
            last = now
        if there is not None and there.marks():
            break
        if there is None and now - last > 0.7:
            break
    else:
        raise RuntimeError("no effect")
    if process is not None:
        process.wait()
    return ((now if there is not None else last) - begin) * 1e3


def revalidate(switch, options):
    switch.vsctl("set", "open", ".", "other_config:flow-limit=200000", "other_config:max-idle=900000")
    switch.appctl("upcall/set-flow-limit", "200000")
    switch.ofctl("-O", "OpenFlow13", "add-group", "br0", "group_id=1,type=indirect,bucket=actions=normal")
    rules = switch.dir + "/rules"
    with open(rules, "w") as file:
        file.write(RULES)
    switch.ofctl("-O", "OpenFlow13", "add-flows", "br0", rules)
    a, b, c = (switch.ports[name] for name in ("pa", "pb", "pc"))
    b.send(frame(0, MAC_B, MAC_A))
    c.send(frame(0, MAC_C, MAC_A))
    time.sleep(0.2)
    before = switch.memory()
    until = time.monotonic() + 120
    n = 0
    while (n := switch.flows()) < options.flows and time.monotonic() < until:
        for flow in range(options.flows + 100):
            a.send(frame(flow))
            if flow % 16 == 0:
                time.sleep(0.0005)
    if n < options.flows:
        raise RuntimeError("only %d flows" % n)
    b.marks()
    results = {"octets_a_flow": (switch.memory() - before) / n}
    words = ["ovs-ofctl", "-O", "OpenFlow13"]
    spawn = lambda *more: subprocess.Popen(words + list(more), env=switch.env)
    group = lambda port: lambda: spawn("mod-group", "br0", "group_id=1,type=indirect,bucket=actions=" + port)
    results["group"] = effect_after(switch, "pb", "pc", group("3"))
    effect_after(switch, "pc", "pb", group("normal"))
    results["rule"] = effect_after(switch, "pb", "pc", lambda: spawn("mod-flows", "br0", "udp,actions=output:3"))
    spawn("add-flows", "br0", rules).wait()
    time.sleep(3)
    results["address"] = effect_after(switch, "pb", "pc", lambda: done(c.send(frame(1, MAC_B, MAC_A))))
    gone = ["ovs-vsctl", "--db=unix:%s/db.sock" % switch.dir, "del-port", "pc"]
    results["port"] = effect_after(switch, "pc", None, lambda: subprocess.Popen(gone, env=switch.env))
    return results


CASES = {"packet_in": packet_in, "revalidate": revalidate}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", default="debian")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--flows", type=int, default=100000)
    parser.add_argument("--packets", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not os.environ.get("SLOW_PATH_INSIDE"):
        os.environ["SLOW_PATH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable] + sys.argv)
    run("ip", "link", "set", "lo", "up")
    switches = [s.partition("=")[::2] for s in options.switches.split(",")]
    for case in options.cases.split(","):
        results = {}
        for _ in range(options.rounds):
            for name, programs in switches:
                switch = Switch(os.path.abspath(programs) if programs else "")
                try:
                    for what, value in CASES[case](switch, options).items():
                        results.setdefault(what, {}).setdefault(name, []).append(value)
                except RuntimeError as error:
                    print("%s %s: %s" % (case, name, error))
                finally:
                    switch.close()
        for what, by_switch in results.items():
            for name, values in by_switch.items():
                low, high = min(values), max(values)
                print("%-10s %-15s %-8s %10.1f   (%.1f to %.1f)" % (case, what, name, statistics.median(values), low, high))


if __name__ == "__main__":
    main()
