"""A hypervisor's part of a virtual machine: holds a tap of the host's namespace and is the wire between it and the
machine's `eth0`, a tap in a namespace of its own.

    machine.py TAP NAMESPACE [--offloads] [--queues N]

With --offloads both taps carry virtio headers, so that checksums and segmentation are left undone on the wire, as
between qemu and its guests; with --queues the host's tap has several, of which any may be read. Says "ready" once both
taps are there.
"""

import argparse
import ctypes
import fcntl
import os
import select
import struct
import sys

# linux/if_tun.h
TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 0x0002, 0x1000, 0x4000, 0x0100
CSUM, TSO4, TSO6 = 0x01, 0x02, 0x04
HEADER = 12  # struct virtio_net_hdr_mrg_rxbuf
CLONE_NEWNET = 0x40000000


def queue(name, offloads, many):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if offloads else 0) | (IFF_MULTI_QUEUE if many else 0)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    if offloads:
        fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", HEADER))
        fcntl.ioctl(fd, TUNSETOFFLOAD, CSUM | TSO4 | TSO6)
    return fd


def move_to(namespace):
    with open("/var/run/netns/" + namespace, "rb") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) != 0:
            sys.exit("setns: " + os.strerror(ctypes.get_errno()))


def carry(source, sink):
    """Moves frames until there is none; a device that is down takes none."""
    for _ in range(64):
        try:
            frame = os.read(source, 70000)
            os.write(sink, frame)
        except OSError:
            return


def main():
    words = argparse.ArgumentParser()
    words.add_argument("tap")
    words.add_argument("namespace")
    words.add_argument("--offloads", action="store_true")
    words.add_argument("--queues", type=int, default=1)
    said = words.parse_args()
    host = [queue(said.tap, said.offloads, said.queues > 1) for _ in range(said.queues)]
    move_to(said.namespace)
    guest = queue("eth0", said.offloads, False)
    print("ready", flush=True)
    turn = 0
    poll = select.poll()
    for fd in host + [guest]:
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == guest:
                turn = (turn + 1) % len(host)
                carry(guest, host[turn])
            else:
                carry(fd, guest)


main()
