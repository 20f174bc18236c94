"""A monitor over WebSocket by hand: prints what `subscribe_monitor` brings of a bridge that another request makes."""

import base64
import json
import os
import socket
import struct
import sys


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    stream.sendall((f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return stream


def send(stream, message):
    text, mask = json.dumps(message).encode(), os.urandom(4)
    length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(text))
    stream.sendall(b"\x81" + length + mask + bytes(octet ^ mask[i % 4] for i, octet in enumerate(text)))


def exactly(stream, size):
    octets = b""
    while len(octets) < size:
        piece = stream.recv(size - len(octets))
        assert piece, "the server has gone"
        octets += piece
    return octets


def receive(stream):
    length = exactly(stream, 2)[1] & 127
    if length == 126:
        length = struct.unpack(">H", exactly(stream, 2))[0]
    return json.loads(exactly(stream, length))


peer = connect(int(sys.argv[1]))
send(peer, {"jsonrpc": "2.0", "id": 1, "method": "subscribe_monitor",
            "params": ["Open_vSwitch", "m", {"Bridge": {"columns": ["name"]}}]})
number = receive(peer)["result"]
first = receive(peer)["params"]
assert first["subscription"] == number, first
print(first["result"]["method"], first["result"]["params"][2])
send(peer, {"jsonrpc": "2.0", "id": 2, "method": "transact",
            "params": ["Open_vSwitch",
                       {"op": "insert", "table": "Bridge", "row": {"name": "b"}, "uuid-name": "b"},
                       {"op": "mutate", "table": "Open_vSwitch", "where": [],
                        "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}]})
told = {}
while len(told) < 2:
    message = receive(peer)
    told[message.get("method", "reply")] = message
update = told["monitor_update"]["params"]["result"]
print(update["method"], list(update["params"][2]["Bridge"].values()))
