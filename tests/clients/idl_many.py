"""A thousand clients of the database in one process: each monitors, each sees one write, none is refused.

Usage: idl_many.py SOCKET NUMBER
"""

import json
import select
import socket
import sys
import time


def values(buffer):
    """The whole JSON values at the front of a text, and the rest."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(buffer):
        try:
            value, end = decoder.raw_decode(buffer, at)
        except ValueError:
            break
        found.append(value)
        at = end
        while at < len(buffer) and buffer[at].isspace():
            at += 1
    return found, buffer[at:]


def main():
    path, number = sys.argv[1], int(sys.argv[2])
    clients = []
    for _ in range(number):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        monitor = ["Open_vSwitch", None, {"Open_vSwitch": [{"columns": ["external_ids"]}]}]
        client.sendall(json.dumps({"method": "monitor_cond", "params": monitor, "id": 1}).encode())
        client.setblocking(False)
        clients.append(client)
    buffers = {client.fileno(): "" for client in clients}
    replied, updated, written = set(), set(), False
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    by_number = {client.fileno(): client for client in clients}
    end = time.monotonic() + 240
    while len(updated) < number:
        if time.monotonic() > end:
            sys.exit("in vain: %d replies, %d updates" % (len(replied), len(updated)))
        if len(replied) == number and not written:
            written = True
            row = {"external_ids": ["map", [["seen", "by all"]]]}
            operations = ["Open_vSwitch", {"op": "update", "table": "Open_vSwitch", "where": [], "row": row}]
            clients[0].sendall(json.dumps({"method": "transact", "params": operations, "id": 2}).encode())
        for fd, _ in poll.poll(1000):
            data = by_number[fd].recv(65536)
            if not data:
                sys.exit("a client was cut off")
            found, buffers[fd] = values(buffers[fd] + data.decode())
            for message in found:
                if message.get("method") == "echo":
                    reply = {"result": message["params"], "error": None, "id": message["id"]}
                    by_number[fd].sendall(json.dumps(reply).encode())
                elif message.get("method") == "update2":
                    updated.add(fd)
                elif message.get("id") == 1:
                    if message["error"] is not None:
                        sys.exit("error: %s" % message["error"])
                    replied.add(fd)
    print("all saw it", flush=True)


main()
