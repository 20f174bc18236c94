#!/usr/bin/env python3
"""Traffic between a host and a guest by a bridge's own port, measured beside other switches in one run:

    host_port.py --switches debian,bridge,ours=DIR [--rounds N] [--secs S] [--no-fast-path]

`debian` are the installed programs (with `tx off`, without which they pass no TCP), `bridge` is the Linux bridge, DIR a
directory with programs of Open vSwitch's names. TCP in Gbit/s, one stream and eight, both ways, connections of one
question and its answer a second, one after the other, and a ping without pause, µs; medians. Rounds are interleaved.
Needs root, iperf3, ethtool.

Host and guest are network namespaces of their own, daemons have a directory of their own; all of it ends with the run.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

# Answers each connection once.
SERVER = """
import socket
listener = socket.create_server(("10.7.0.2", 7), backlog=1000)
while True:
    peer = listener.accept()[0]
    peer.send(peer.recv(1000))
    peer.close()
"""

# Prints how many connections a second there were; each is ended by a reset, so that its port is free at once.
CLIENT = """
import socket, struct, sys, time
count, began = 0, time.monotonic()
while time.monotonic() < began + float(sys.argv[1]):
    with socket.create_connection(("10.7.0.2", 7)) as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.send(bytes(200))
        count += len(peer.recv(1000)) == 200
print(count / (time.monotonic() - began))
"""


class Lab:
    """A host with a switch, and a guest behind it."""

    def __init__(self, kind, fast_path):
        self.host, self.guest = f"hph{os.getpid()}", f"hpg{os.getpid()}"
        self.daemons = []
        self.dir = tempfile.TemporaryDirectory(prefix="hostport.")
        self.env = dict(os.environ, **{f"OVS_{d}DIR": self.dir.name for d in ("RUN", "DB", "LOG", "SYSCONF")})
        try:
            self.make(kind, fast_path)
        except BaseException:
            self.end()
            raise

    def run(self, *words, space=None):
        words = ["ip", "netns", "exec", space, *words] if space else list(words)
        return subprocess.run(words, env=self.env, check=True, capture_output=True, text=True).stdout

    def start(self, *words, space):
        words = ["ip", "netns", "exec", space, *words]
        self.daemons.append(subprocess.Popen(words, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def make(self, kind, fast_path):
        for space in (self.host, self.guest):
            self.run("ip", "netns", "add", space)
            self.run("ip", "link", "set", "lo", "up", space=space)
        self.run("ip", "link", "add", "v1", "type", "veth", "peer", "name", "eth0", "netns", self.guest, space=self.host)
        self.run("ip", "link", "set", "v1", "up", space=self.host)
        self.run("ip", "link", "set", "eth0", "up", space=self.guest)
        self.run("ip", "addr", "add", "10.7.0.2/24", "dev", "eth0", space=self.guest)
        if kind == "bridge":
            self.run("ip", "link", "add", "br0", "type", "bridge", space=self.host)
            self.run("ip", "link", "set", "v1", "master", "br0", space=self.host)
        else:
            self.switch(kind, fast_path)
        if kind == "debian":
            for device, space in (("v1", self.host), ("br0", self.host), ("eth0", self.guest)):
                self.run("ethtool", "-K", device, "tx", "off", space=space)
        self.run("ip", "addr", "add", "10.7.0.1/24", "dev", "br0", space=self.host)
        self.run("ip", "link", "set", "br0", "up", space=self.host)
        self.run("ping", "-q", "-c", "20", "-i", "0.05", "10.7.0.1", space=self.guest)
        self.start("iperf3", "-s", space=self.guest)
        self.start("python3", "-c", SERVER, space=self.guest)
        time.sleep(0.5)

    def switch(self, kind, fast_path):
        daemons, tools = ("/usr/sbin", "/usr/bin") if kind == "debian" else (kind, kind)
        at = self.dir.name
        self.run(f"{tools}/ovsdb-tool", "create", f"{at}/conf.db", SCHEMA)
        self.start(f"{daemons}/ovsdb-server", f"{at}/conf.db", f"--remote=punix:{at}/db.sock", "-vconsole:off",
                   space=self.host)
        while not os.path.exists(f"{at}/db.sock"):
            time.sleep(0.05)
        self.run(f"{tools}/ovs-vsctl", "--no-wait", "init", space=self.host)
        if not fast_path:
            self.run(f"{tools}/ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".",
                     "other_config:kernel-fast-path=false", space=self.host)
        self.start(f"{daemons}/ovs-vswitchd", "-vconsole:off", space=self.host)
        self.run(f"{tools}/ovs-vsctl", "-t", "20", "add-br", "br0", "--", "set", "bridge", "br0",
                 "datapath_type=netdev", "--", "add-port", "br0", "v1", space=self.host)

    def measure(self, secs):
        """The figures by name."""
        found = {}
        for streams in (1, 8):
            for way, more in (("to guest", []), ("from guest", ["-R"])):
                text = self.run("iperf3", "-J", "-c", "10.7.0.2", "-t", str(secs), "-P", str(streams), *more,
                                space=self.host)
                rate = json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e9
                found[f"tcp{streams} {way}, Gbit/s"] = rate
        found["connections a second"] = float(self.run("python3", "-c", CLIENT, str(secs), space=self.host))
        text = self.run("ping", "-q", "-c", "2000", "-i", "0.001", "10.7.0.2", space=self.host)
        found["ping, µs"] = float(re.search(r"= [\d.]+/([\d.]+)/", text).group(1)) * 1000
        return found

    def end(self):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for space in (self.host, self.guest):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        self.dir.cleanup()


def main():
    parser = argparse.ArgumentParser(description="Traffic between a host and a guest by a bridge's own port.")
    parser.add_argument("--switches", default="debian,bridge")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=int, default=1)
    parser.add_argument("--no-fast-path", action="store_true", help="by the tap alone")
    args = parser.parse_args()
    switches = [word.partition("=") for word in args.switches.split(",")]
    figures = {}
    for _ in range(args.rounds):
        for name, _, place in switches:
            lab = Lab(place or name, not (args.no_fast_path and place))
            try:
                for what, value in lab.measure(args.secs).items():
                    figures.setdefault(what, {}).setdefault(name, []).append(value)
            finally:
                lab.end()
    print(f"{'':28}" + "".join(f"{name:>24}" for name, *_ in switches))
    for what, values in figures.items():
        cells = [values[name] for name, *_ in switches]
        print(f"{what:28}" + "".join(f"{f'{statistics.median(v):.1f} [{min(v):.1f}..{max(v):.1f}]':>24}" for v in cells))


if __name__ == "__main__":
    main()
