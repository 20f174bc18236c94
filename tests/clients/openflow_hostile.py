"""Peers of a bridge's management socket that misbehave; after each, a good peer must be served. Argument: the socket."""
import os, random, socket, struct, sys, time
path = sys.argv[1]
def connect():
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path); return s
def hello(v=4): return struct.pack("!BBHI", v, 0, 8, 1)
def read(s):
    b = b""
    while len(b) < 8: 
        d = s.recv(8 - len(b))
        if not d: return None
        b += d
    n = struct.unpack("!H", b[2:4])[0]
    while len(b) < n:
        d = s.recv(n - len(b))
        if not d: return None
        b += d
    return b
def served():
    s = connect(); s.sendall(hello()); assert read(s)[1] == 0
    s.sendall(struct.pack("!BBHI4s", 4, 2, 12, 7, b"ping"))
    m = read(s); assert m == struct.pack("!BBHI4s", 4, 3, 12, 7, b"ping"), m
    s.close()
random.seed(5)
served(); print("served")
for n in range(200):
    s = connect()
    try: s.sendall(random.randbytes(random.randint(1, 4000)))
    except OSError: pass
    s.close()
served(); print("garbage")
for n in range(100):
    s = connect(); s.sendall(hello())
    for _ in range(20):
        k = random.randint(0, 40); body = random.randbytes(k)
        try: s.sendall(struct.pack("!BBHI", 4, random.randint(0, 35), 8 + k, 9) + body)
        except OSError: break
    s.close()
served(); print("garbage behind a hello")
held = []
for n in range(700):
    s = connect(); s.sendall(hello()[: n % 9]); held.append(s)
served(); print("many that say half a hello")
for s in held: s.close()
s = connect(); s.sendall(hello() + struct.pack("!BBHI", 4, 14, 56, 3)[:8] + bytes(5)); served(); print("half a message"); s.close()
s = connect(); s.sendall(hello() + struct.pack("!BBHI", 4, 14, 3, 3)); 
seen = []
while True:
    try: m = read(s)
    except OSError: m = None
    if m is None: break
    seen.append(m[1])
print("too short a header:", seen); served()
# a reader that stops: requests without end, no reply read
slow = connect(); slow.sendall(hello()); slow.settimeout(2)
sent = 0
try:
    while sent < 64 << 20:
        sent += slow.send(struct.pack("!BBHI", 4, 2, 65535, 7) + bytes(65527))
except OSError: pass
print("a reader that stops was", "stopped" if sent < 64 << 20 else "fed"); served()
asks = []
for n in range(20):
    s = connect(); s.sendall(hello()); s.setblocking(False)
    try:
        for _ in range(2000): s.send(struct.pack("!BBHIHHI", 4, 18, 16, 7, 12, 0, 0))
    except OSError: pass
    asks.append(s)
served(); print("many that ask for much and do not read")
for s in asks: s.close()
slow.close(); served(); print("served")
