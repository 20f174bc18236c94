"""Sends datagrams of many lengths by UDP, and compares what comes back with what was sent; or sends back what comes.

    datagrams.py answer PORT
    datagrams.py ask ADDRESS PORT LENGTH...

One is sent again until its answer is there: what is asserted is that whatever arrives is whole.
"""

import socket
import sys


def answer(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(("::", port))
    print("ready", flush=True)
    while True:
        octets, peer = s.recvfrom(70000)
        s.sendto(octets, peer)


def ask(address, port, lengths):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((address, port))
    s.settimeout(0.5)
    for number, length in enumerate(lengths):
        sent = bytes((at * 197 + number * 31 + (at >> 8)) & 0xFF for at in range(length))
        for _ in range(40):
            s.send(sent)
            try:
                got = s.recv(70000)
            except TimeoutError:
                continue
            if len(got) != length and len(got) in lengths[:number]:
                continue  # an answer to what was asked twice
            if got != sent:
                sys.exit(f"{length} octets to {address} came back as {len(got)} others")
            break
        else:
            sys.exit(f"{length} octets to {address} do not come back")


if sys.argv[1] == "answer":
    answer(int(sys.argv[2]))
else:
    ask(sys.argv[2], int(sys.argv[3]), [int(word) for word in sys.argv[4:]])
