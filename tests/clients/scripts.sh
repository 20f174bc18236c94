#!/bin/bash
# What Debian's package has around the switch, run on the programs that come first on the path: ovs-ctl with a restart under
# ping, ovs-save, the ifupdown scripts, ovs-tcpdump, ovs-dpctl-top. For a network namespace and a mount namespace of its
# own; the place for everything is the first argument. Prints what must be the same whoever switches.
set -u
place=$1
mkdir -p "$place" && cd "$place" || exit 1
export OVS_RUNDIR=$place OVS_DBDIR=$place OVS_LOGDIR=$place OVS_SYSCONFDIR=$place LC_ALL=C
scripts=/usr/share/openvswitch/scripts
mkdir -p /run/netns bin && mount -t tmpfs netns /run/netns
# The ifupdown scripts start the service where it is not: here it is.
printf '#!/bin/sh\nexit 1\n' > bin/service && printf '#!/bin/sh\n' > bin/systemctl && chmod +x bin/*
PATH=$PATH:/usr/sbin:/sbin

ctl() {
    timeout 100 $scripts/ovs-ctl --no-mlockall --system-id=tests "$@" < /dev/null > ctl.out 2>&1
    echo "ovs-ctl $1: $?"
    sed -n 's/ *is running with pid [0-9]*/ runs/p; s/ (*[0-9][0-9]*)*\.$//p' ctl.out | grep -E 'runs|Saving|Restoring|Exiting|Starting'
}
again() { for _ in $(seq 600); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; echo "in vain: $*"; }
within() { ip netns exec "$@"; }

ip link set lo up
ctl start
ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev other_config:hwaddr=02:00:00:00:00:99
for i in 1 2; do
    ip netns add guest$i
    ip link add v$i type veth peer name e0 netns guest$i && ip link set v$i up
    ip -n guest$i link set e0 address 02:00:00:00:00:0$i up && ip -n guest$i addr add 10.7.0.$i/24 dev e0
    ovs-vsctl add-port br0 v$i -- set interface v$i ofport_request=$i
done
ovs-ofctl -O OpenFlow15 add-group br0 'group_id=7,type=all,bucket=output:2'
ovs-ofctl del-flows br0
ovs-ofctl -O OpenFlow15 add-flow br0 'cookie=5,priority=5,in_port=1,actions=group:7'
ovs-ofctl add-flow br0 'priority=5,in_port=2,ip,actions=ct(commit),output:1'
ovs-ofctl add-flow br0 'priority=4,in_port=2,actions=output:1'
ovs-ofctl add-tlv-map br0 '{class=0xffff,type=0,len=4}->tun_metadata0'
again within guest1 ping -c1 -W1 10.7.0.2

echo "-- restart"
within guest1 ping -i 0.1 10.7.0.2 > ping.out &
ping=$!
again grep -q icmp_seq=5 ping.out
begin=$(date +%s%N)
ctl restart
away=$((($(date +%s%N) - begin) / 100000000))
again within guest1 ping -c1 -W1 10.7.0.2
before=$(grep -c 'bytes from' ping.out)
again sh -c "[ \$(grep -c 'bytes from' ping.out) -ge $((before + 20)) ]"
{ kill $ping; wait $ping; } 2> /dev/null
# It takes some tenths of a second; a busy machine may take as long as the restart took, and three seconds more.
last=$(sed -n '$s/.*icmp_seq=\([0-9]*\).*/\1/p' ping.out)
lost=$((last - $(grep -c 'bytes from' ping.out)))
[ "$lost" -le $((away + 30)) ] && echo "most echoes come back" || echo "$lost of $last echoes are lost, $away tenths of a second away"
ovs-ofctl -O OpenFlow15 --no-stats dump-flows br0
ovs-ofctl -O OpenFlow15 dump-groups br0 | tail -1
ovs-ofctl dump-tlv-map br0 | tail -1
ovs-vsctl get open . other_config external_ids:system-id
ctl status

echo "-- ovs-save"
$scripts/ovs-save save-flows br0 | sed 's#"[^"]*/ovs-save[^/"]*#"DIR#g'

echo "-- ifupdown"
network() { env PATH="$place/bin:$PATH" MODE="$1" IFACE="$2" IF_OVS_BRIDGE=br0 "${@:3}" sh /etc/network/if-$([ "$1" = start ] && echo pre-up || echo post-down).d/openvswitch; }
ip link add b1 type veth peer name b2
network start br1 IF_OVS_TYPE=OVSBridge 'IF_OVS_EXTRA=set bridge br1 datapath_type=netdev fail_mode=secure'
network start i0 IF_OVS_TYPE=OVSIntPort IF_OVS_OPTIONS=tag=5
network start bond0 IF_OVS_TYPE=OVSBond 'IF_OVS_BONDS=b1 b2' IF_OVS_OPTIONS=bond_mode=balance-slb 2> /dev/null
network start pp IF_OVS_TYPE=OVSPatchPort IF_OVS_PATCH_PEER=pq
network start gt IF_OVS_TYPE=OVSTunnel IF_OVS_TUNNEL_TYPE=gre IF_OVS_TUNNEL_OPTIONS=options:remote_ip=10.9.9.9
# Open vSwitch tells of the peer that is not there with its next round of status, a moment after ovs-vsctl is answered.
again sh -c 'ovs-vsctl get interface pp error | grep -q "No usable peer"'
for column in "type" "options" "error"; do for name in i0 b1 b2 pp gt; do ovs-vsctl get interface $name $column; done; done
ip -br link show i0 | grep -c i0
network stop gt IF_OVS_TYPE=OVSTunnel; network stop pp IF_OVS_TYPE=OVSPatchPort; network stop bond0 IF_OVS_TYPE=OVSBond
network stop i0 IF_OVS_TYPE=OVSIntPort; network stop br1 IF_OVS_TYPE=OVSBridge
ovs-vsctl list-br; ovs-vsctl list-ports br0; ip -br link | grep -cE 'i0|bond0|br1'

echo "-- watching"
within guest1 ping -i 0.1 10.7.0.2 > /dev/null &
ping=$!
timeout 60 ovs-tcpdump --db-sock "unix:$place/db.sock" -i v1 -c 4 -nn icmp 2> /dev/null | sed 's/^[0-9:.]* //; s/id [0-9]*, seq [0-9]*, //' | sort -u
ovs-vsctl --columns=name list mirror; ovs-vsctl list-ports br0
again sh -c 'ovs-appctl dpctl/dump-flows | grep "10.7\|0x0800" | grep -v "packets:0"'
timeout 20 ovs-dpctl-top --script 2>&1 | grep -cE 'Traceback|Error'
ovs-appctl dpctl/dump-flows > flows && timeout 20 ovs-dpctl-top --script --flow-file=flows 2>&1 | grep -cE 'Traceback|Error'
kill $ping
$scripts/ovs-bugtool-ovs-ofctl-loop-over-bridges "dump-groups" | sed 's/xid=[^)]*/xid/'
ctl stop
grep -h '|EMER|' ./*.log
