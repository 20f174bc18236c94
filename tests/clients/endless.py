"""Requests without end to a server that may have little memory; each time a good peer must be served. Argument: a directory."""
import os, resource, socket, subprocess, sys, time
place, MEMORY, MIB = sys.argv[1], 800 << 20, 1 << 20
os.makedirs(place, exist_ok=True); os.chdir(place)
subprocess.run(["ovsdb-tool", "create", "db", sys.argv[2]], check=True)
limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
server = subprocess.Popen(["ovsdb-server", "--no-chdir", "-vconsole:off", "-vsyslog:off", f"--log-file={place}/log", f"--pidfile={place}/pid",
                           f"--unixctl={place}/ctl", f"--remote=punix:{place}/sock", "db"], preexec_fn=limit)
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(120); s.connect("sock"); return s
def send(s, octets):
    "Sends so much of a request; how much of it went before the server ended the connection, if it did."
    sent = 0
    try:
        s.sendall(b'{"id":"')
        while sent < octets: s.sendall(b"x" * 65536); sent += 65536
    except OSError: return sent
    return None
def echo(s):
    s.sendall(b'{"id":1,"method":"echo","params":[]}')
    return s.recv(1000).startswith(b'{"id":1,"result":[]')
try:
    while not os.path.exists("sock") or not os.path.exists("pid"): time.sleep(0.01); assert server.poll() is None
    good = connect(); assert echo(good)
    with open(f"/proc/{server.pid}/maps") as maps:
        sizes = [(int(b, 16) - int(a, 16), flags) for a, b, flags in (l.split()[0].split("-") + [l.split()[1]] for l in maps)]
    heaps = sum(1 for size, flags in sizes if flags == "---p" and 60 * MIB < size < 64 * MIB)
    print("heaps of the C library:", heaps)
    ended = send(connect(), 100 * MIB)
    print("one is let go near 50 MiB:", ended is not None and 49 * MIB < ended < 52 * MIB)
    assert echo(good)
    peers = [connect() for _ in range(6)]
    ended = [send(s, 45 * MIB) for s in peers]
    print("of six there is room for:", sum(1 for e in ended if e is None))
    assert echo(good)
    small = connect(); small.sendall(b'{"id":1,"method":"echo",'); assert echo(good)
    small.sendall(b'"params":[]}'); print("little has room:", small.recv(1000).startswith(b'{"id":1,'))
    for s in peers: s.close()
    print("another has room:", send(connect(), 45 * MIB))
    assert echo(good) and server.poll() is None
    print("served")
finally:
    server.kill(); server.wait()
