#!/bin/bash
# OVN's daemons over the database servers and the switch that stand first on the path: a logical switch with
# two ports bound on one chassis, an access list, a router, a gateway, and a database server killed under its clients.
# Wants: OVS_RUNDIR and the other directories set, root, a network namespace of its own ($1: its name's stem).
set -u
net=$1
dir=$OVS_RUNDIR
export OVN_RUNDIR=$dir OVN_LOGDIR=$OVS_LOGDIR OVN_DBDIR=$OVS_DBDIR
export OVN_NB_DB=unix:$dir/nb.sock OVN_SB_DB=unix:$dir/sb.sock
quiet="-vconsole:off -vsyslog:off --no-chdir"
started=""
end() {
    for pid in $started; do kill "$pid"; done
    # Who does not go by itself within some seconds is no reason to wait.
    for _ in $(seq 100); do kill -0 $(jobs -p) || break; sleep 0.1; done
    for pid in $(jobs -p); do kill -9 "$pid"; done
    wait
    for i in 1 2; do ip netns del "$net-$i"; done
} 2>/dev/null
trap end EXIT
# What a killed run of the same name has left.
for i in 1 2; do ip netns del "$net-$i" 2>/dev/null; done
serve() {
    ovsdb-server "$OVS_DBDIR/$1.db" --remote="punix:$dir/$1.sock" --unixctl="$dir/$1.$RANDOM.ctl" $quiet &
    server=$!
    started="$started $server"
    await test -S "$dir/$1.sock"
}
masked() { sed 's/[0-9a-f]\{8\}-[0-9a-f-]\{27\}/<uuid>/g' | sort; }
# How many of three echoes of an address are answered: tried again until it is as many as are wanted. Caches follow the
# rules a moment later, and ping gives up on its last echo after two round trips.
reach() {
    for _ in $(seq 20); do
        answered=$(ip netns exec "$net-1" ping -c 3 -i 0.2 -W 2 "$2" | grep -c 'bytes from')
        [ "$answered" = "$1" ] && break
    done
    echo "$answered"
}

ip link set lo up
ovsdb-tool create "$OVS_DBDIR/nb.db" /usr/share/ovn/ovn-nb.ovsschema
ovsdb-tool create "$OVS_DBDIR/sb.db" /usr/share/ovn/ovn-sb.ovsschema
ovsdb-tool create "$OVS_DBDIR/conf.db" /usr/share/openvswitch/vswitch.ovsschema
serve nb; serve conf; serve sb
vsctl="ovs-vsctl --db=unix:$dir/conf.sock --timeout=100"
$vsctl --no-wait init
ovs-vswitchd "unix:$dir/conf.sock" --pidfile="$dir/ovs-vswitchd.pid" $quiet 2>/dev/null &
started="$started $!"
ovn-nbctl init
ovn-sbctl init
ovn-northd --ovnnb-db="$OVN_NB_DB" --ovnsb-db="$OVN_SB_DB" --unixctl="$dir/northd.ctl" $quiet &
started="$started $!"
$vsctl set open_vswitch . external_ids:system-id=ch1 external_ids:ovn-remote="$OVN_SB_DB" \
    external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip=127.0.0.1
$vsctl add-br br-int -- set bridge br-int datapath_type=netdev fail-mode=secure
ovn-controller "unix:$dir/conf.sock" $quiet &
started="$started $!"

ovn-nbctl ls-add sw0
for i in 1 2; do
    ovn-nbctl lsp-add sw0 p$i -- lsp-set-addresses p$i "00:00:00:00:00:0$i 10.0.0.$i"
    ip netns add "$net-$i"
    ip link add v$i type veth peer name e$i netns "$net-$i" address 00:00:00:00:00:0$i
    ip link set v$i up
    ip -n "$net-$i" link set e$i up
    ip -n "$net-$i" addr add 10.0.0.$i/24 dev e$i
    $vsctl add-port br-int v$i -- set interface v$i external_ids:iface-id=p$i
done
timeout 100 ovn-nbctl --wait=hv sync; echo "synchronized: $?"
timeout 100 ovn-nbctl wait-until logical_switch_port p1 up=true -- wait-until logical_switch_port p2 up=true
echo "up: $?"
echo "ping: $(reach 3 10.0.0.2)"
ovn-nbctl acl-add sw0 to-lport 1000 'inport == "p1" && ip4' drop
timeout 100 ovn-nbctl --wait=hv sync
echo "ping against an access list: $(reach 0 10.0.0.2)"
ovn-nbctl acl-del sw0 -- lb-add lb0 10.0.0.100:80 10.0.0.1:80,10.0.0.2:80 -- ls-lb-add sw0 lb0
ovn-nbctl lr-add r0 -- lrp-add r0 rp0 00:00:00:00:ff:01 10.0.0.254/24 -- lsp-add sw0 sp0 \
    -- lsp-set-type sp0 router -- lsp-set-addresses sp0 router -- lsp-set-options sp0 router-port=rp0
timeout 100 ovn-nbctl --wait=hv sync
echo "ping of the router: $(reach 3 10.0.0.254)"
ovn-nbctl show | masked
ovn-sbctl show | grep -v hostname | masked
echo "logical flows: $(ovn-sbctl lflow-list | wc -l)"
# Out by a gateway: its neighbour is learned from a packet that comes in by another bridge.
$vsctl add-br br-phys -- set bridge br-phys datapath_type=netdev \
    -- set open_vswitch . external_ids:ovn-bridge-mappings=phys:br-phys
ip addr add 172.16.0.1/24 dev br-phys
ip link set br-phys up
ovn-nbctl ls-add pub -- lsp-add pub ln -- lsp-set-type ln localnet -- lsp-set-addresses ln unknown \
    -- lsp-set-options ln network_name=phys -- lrp-add r0 rp1 00:00:00:00:ff:02 172.16.0.50/24 \
    -- lsp-add pub pp1 -- lsp-set-type pp1 router -- lsp-set-addresses pp1 router -- lsp-set-options pp1 router-port=rp1 \
    -- lrp-set-gateway-chassis rp1 ch1 -- lr-nat-add r0 snat 172.16.0.50 10.0.0.0/24
ip -n "$net-1" route add default via 10.0.0.254
timeout 100 ovn-nbctl --wait=hv sync; echo "gateway: $?"
echo "ping by the gateway: $(reach 3 172.16.0.1)"
# Back to where it came from by a load balancer: what the echo teaches a table is to stand before its answer is there.
ovn-nbctl lb-add lb1 30.0.0.9 10.0.0.1 -- ls-lb-add sw0 lb1
timeout 100 ovn-nbctl --wait=hv sync
reach 3 30.0.0.9 >/dev/null
answered=0
for _ in $(seq 10); do
    ovs-ofctl del-flows br-int table=69
    ovs-appctl dpctl/flush-conntrack
    ovs-appctl revalidator/purge
    ip netns exec "$net-1" ping -c 1 -W 3 30.0.0.9 >/dev/null && answered=$((answered + 1))
done
echo "first echoes that came back: $answered"
# The shell tells of a killed job whenever it learns of it.
{ kill -9 "$server"; wait "$server"; } 2>/dev/null
rm -f "$dir/sb.sock"
serve sb
timeout 100 ovn-nbctl --wait=hv ls-add sw1; echo "after the server's death: $?"
echo "ping: $(reach 3 10.0.0.2)"
ovn-sbctl --bare --columns=external_ids list datapath_binding | masked
