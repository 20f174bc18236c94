"""A client of the database by the Python IDL: writes, sees its own writes, and keeps what it has across a restart.

Usage: idl_reconnect.py REMOTE SCHEMA FILE. It says one word a step and waits for the file to be there where the server is
to be killed and started again.
"""

import json
import os
import sys
import time

import ovs.db.idl
import ovs.poller


def wait_until(idl, holds, what, limit=60):
    end = time.monotonic() + limit
    while True:
        idl.run()
        if holds():
            return
        if time.monotonic() > end:
            sys.exit("in vain: " + what)
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.timer_wait(100)
        poller.block()


def say(word):
    print(word, flush=True)


def bridges(idl):
    return sorted(row.name for row in idl.tables["Bridge"].rows.values())


def commit(txn):
    status = txn.commit_block()
    if status not in (txn.SUCCESS, txn.UNCHANGED):
        sys.exit("transaction: %s %s" % (txn.status_to_string(status), txn.get_error()))


def main():
    remote, schema, go_on = sys.argv[1:]
    helper = ovs.db.idl.SchemaHelper(schema)
    helper.register_all()
    idl = ovs.db.idl.Idl(remote, helper)
    wait_until(idl, lambda: idl.change_seqno > 0, "the first contents")
    say("contents")

    txn = ovs.db.idl.Transaction(idl)
    roots = list(idl.tables["Open_vSwitch"].rows.values())
    root = roots[0] if roots else txn.insert(idl.tables["Open_vSwitch"])
    bridge = txn.insert(idl.tables["Bridge"])
    bridge.name = "idl0"
    bridge.external_ids = {"a": "b"}
    root.addvalue("bridges", bridge)
    txn.add_comment("made by a client")
    commit(txn)
    wait_until(idl, lambda: bridges(idl) == ["idl0"], "its own write")
    say("written")

    helper = ovs.db.idl.SchemaHelper(schema)
    helper.register_table("Open_vSwitch")
    lock = ovs.db.idl.Idl(remote, helper)
    lock.set_lock("the_lock")
    wait_until(lock, lambda: lock.has_lock, "a lock")
    say("locked")

    while not os.path.exists(go_on):
        time.sleep(0.02)

    def rows():
        return idl.tables["Bridge"].rows

    uuids = sorted(str(uuid) for uuid in rows())
    wait_until(idl, lambda: "more" in json.dumps([row.external_ids for row in rows().values()]), "a write of another")
    if sorted(str(uuid) for uuid in rows()) != uuids:
        sys.exit("rows changed across the restart")
    say("reconnected")

    idl.cond_change("Bridge", [["name", "==", "nosuch"]])
    wait_until(idl, lambda: bridges(idl) == [], "a condition without rows")
    idl.cond_change("Bridge", [True])
    wait_until(idl, lambda: bridges(idl) == ["idl0"], "all rows again")
    say("conditions")

    txn = ovs.db.idl.Transaction(idl)
    row = next(iter(idl.tables["Bridge"].rows.values()))
    row.verify("external_ids")
    row.setkey("external_ids", "x", "y")
    row.delkey("external_ids", "a")
    commit(txn)
    wait_until(idl, lambda: row.external_ids.get("x") == "y" and "a" not in row.external_ids, "a changed key")
    root = next(iter(idl.tables["Open_vSwitch"].rows.values()))
    txn = ovs.db.idl.Transaction(idl)
    root.delvalue("bridges", row)
    commit(txn)
    wait_until(idl, lambda: bridges(idl) == [], "no bridge")
    say("done")


main()
