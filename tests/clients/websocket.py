"""WebSocket by hand: what `subscribe_monitor` brings to one that reads, and to one that does not; a connection's session."""

import base64
import json
import os
import socket
import struct
import sys


def connect(port):
    stream = socket.create_connection(("127.0.0.1", port), timeout=60)
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
    elif length == 127:
        length = struct.unpack(">Q", exactly(stream, 8))[0]
    return json.loads(exactly(stream, length))


def monitor(port):
    """Prints what is told of a bridge that another request makes."""
    peer = connect(port)
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


def stop_reading(port):
    """Prints how a subscriber that did not read for 400 updates of 100 kB is told of them."""
    peer = connect(port)
    send(peer, {"jsonrpc": "2.0", "id": 1, "method": "subscribe_monitor",
                "params": ["Open_vSwitch", "m", {"Open_vSwitch": {"columns": ["external_ids"]}}]})
    receive(peer), receive(peer)
    other = socket.create_connection(("127.0.0.1", port), timeout=60)
    for number in range(400):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "transact", "params": [
            "Open_vSwitch", {"op": "update", "table": "Open_vSwitch", "where": [],
                             "row": {"external_ids": ["map", [["n", f"{number} " + 100_000 * "x"]]]}}]})
        other.sendall((f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += other.recv(4096)
        assert b'"count":1' in answer, answer
    peer.settimeout(60)
    told, last = 0, ""
    while not last.startswith("399 "):
        (row,) = receive(peer)["params"]["result"]["params"][2]["Open_vSwitch"].values()
        told, last = told + 1, row["modify"]["external_ids"][1][0][1]
    print("many at once" if told < 300 else f"{told} one by one")


def call(peer, number, method, *params):
    """The result of a call, and what came before it."""
    send(peer, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    before = []
    while "id" not in (message := receive(peer)):
        before.append((message["method"], message["params"]))
    assert message["id"] == number, message
    return message.get("result", message.get("error")), before


def session(port):
    """Prints what becomes of locks, a monitor and a transaction that waits, of two connections, and when one goes."""
    first, second = connect(port), connect(port)
    print("lock", call(first, 1, "lock", "l"), call(second, 1, "lock", "l"))
    print("assert", call(first, 2, "transact", "Open_vSwitch", {"op": "assert", "lock": "l"}))
    print("monitor", call(second, 2, "monitor", "Open_vSwitch", "m", {"Bridge": {"columns": ["name"]}}))
    (_, made), _ = call(first, 3, "transact", "Open_vSwitch",
                        {"op": "insert", "table": "Bridge", "row": {"name": "b"}, "uuid-name": "b"},
                        {"op": "mutate", "table": "Open_vSwitch", "where": [],
                         "mutations": [["bridges", "insert", ["named-uuid", "b"]]]})
    assert made == {"count": 1}, made
    update = receive(second)
    print(update["method"], update["params"][0], [row["new"] for row in update["params"][1]["Bridge"].values()])
    wait = {"op": "wait", "table": "Bridge", "where": [], "columns": ["name"], "until": "==", "rows": []}
    send(second, {"jsonrpc": "2.0", "id": "w", "method": "transact", "params": ["Open_vSwitch", wait]})
    print("echo", call(second, 3, "echo", "waits"))
    send(second, {"jsonrpc": "2.0", "method": "cancel", "params": ["w"]})
    print("canceled", receive(second))
    print("monitor_cancel", call(second, 4, "monitor_cancel", "m"))
    print("web_attach", call(second, 5, "web_attach"))
    first.close()
    print(receive(second)["method"])
    print("unlock", call(second, 6, "unlock", "l"))


if __name__ == "__main__":
    {"monitor": monitor, "stop-reading": stop_reading, "session": session}[sys.argv[2]](int(sys.argv[1]))
