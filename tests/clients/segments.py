"""Looks at what comes by eth0 as it came, until a whole TCP stream has passed.

    segments.py stream ADDRESS LENGTH MTU    a stream that ADDRESS sent: each frame fits, has right sums, and all octets are there
    segments.py cut ADDRESS LENGTH MAX       frames of such a stream, cut: none is longer than MAX, and each says what the stream said

The stream is that of the bench: octet N is (N * 2654435761) >> 13.
"""

import ipaddress
import socket
import struct
import sys
import time


def total(octets):
    """One's complement sum, folded: 0xffff if a checksum inside is right."""
    if len(octets) & 1:
        octets += b"\0"
    number = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while number >> 16:
        number = (number & 0xFFFF) + (number >> 16)
    return number


def main():
    what, source, length, limit = sys.argv[1], ipaddress.ip_address(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    expected = bytes((((at * 2654435761) >> 13) & 0xFF) for at in range(length))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind(("eth0", 0))
    s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    s.settimeout(1)
    first, had, frames = None, bytearray(length), 0
    print("ready", flush=True)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            frame, (_, _, kind, _, _) = s.recvfrom(1 << 17)
        except TimeoutError:
            if what == "cut" and frames > 10:
                break
            continue
        if kind == socket.PACKET_OUTGOING:
            continue
        ethertype, ip = frame[12:14], frame[14:]
        if ethertype == b"\x08\x00" and ip[9] == 6 and ip[12:16] == source.packed:
            at, size = (ip[0] & 15) * 4, int.from_bytes(ip[2:4], "big")
            if total(ip[:at]) != 0xFFFF:
                sys.exit(f"a header's sum is wrong: {frame[:54].hex()}")
            pseudo = ip[12:20] + struct.pack("!HH", 6, size - at)
        elif ethertype == b"\x86\xdd" and ip[6] == 6 and ip[8:24] == source.packed:
            at, size = 40, 40 + int.from_bytes(ip[4:6], "big")
            pseudo = ip[8:40] + struct.pack("!II", size - at, 6)
        else:
            continue
        segment = ip[at:size]
        port, sequence, flags = int.from_bytes(segment[2:4], "big"), int.from_bytes(segment[4:8], "big"), segment[13]
        if port != 7070:
            continue
        frames += 1
        if len(frame) > limit + (14 if what == "stream" else 0):
            sys.exit(f"{len(frame)} octets are too many: {frame[:54].hex()}")
        if what == "stream" and (len(ip) < size or total(pseudo + segment) != 0xFFFF):
            sys.exit(f"a segment's sum is wrong: {len(frame)} octets, {frame[:74].hex()}")
        if flags & 2:
            first = (sequence + 1) & 0xFFFFFFFF
            continue
        if first is None:
            continue
        octets, from_ = segment[(segment[12] >> 4) * 4 :], (sequence - first) & 0xFFFFFFFF
        if octets and octets != expected[from_ : from_ + len(octets)]:
            sys.exit(f"other octets at {from_}: {frame[:74].hex()}")
        had[from_ : from_ + len(octets)] = b"\1" * len(octets)
        if what == "stream" and all(had):
            break
    if what == "stream" and not all(had):
        sys.exit(f"only {sum(had)} of {length} octets in {frames} frames")
    print(f"whole {frames}", flush=True)


main()
