//! Actions in an order of their own, so that texts which do the same compare equal: `ovs-dpctl normalize-actions`.
//!
//! Outputs are gathered under the tags and labels that the packet has there, and stand in the order of their ports where
//! nothing comes between them. The texts are those of Open vSwitch 3.1, which ends no line of a group.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::exact::describe;
use super::{format_actions, parse_actions};
use crate::extract::ethertype as et;
use crate::odp::Action;
use crate::text::PortNames;

/// What went before a complaint, and the complaint.
pub type Failure = (String, String);

/// TPID and TCI of each tag, outermost first.
type Tags = Vec<(u16, u16)>;

/// Names of ports, as arguments `NAME=NUMBER` give them.
struct Given(Vec<(String, u32)>);

impl PortNames for Given {
    fn name_of(&self, _: u32) -> Option<&str> {
        None
    }

    fn port_named(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, number)| *number)
    }
}

/// `parse-actions ACTIONS...`: each in the form that the switch would write.
pub fn reformat(texts: &[String]) -> Result<String, Failure> {
    let mut out = String::new();
    for text in texts {
        match parse_actions(text, None) {
            Ok(actions) => {
                let _ = writeln!(out, "{}", format_actions(&actions, None));
            }
            Err(error) => return Err((out, format!("odp_actions_from_string ({})", error.reason()))),
        }
    }
    Ok(out)
}

/// `normalize-actions FLOW ACTIONS [NAME=NUMBER]...`
pub fn normalize(args: &[String]) -> Result<String, Failure> {
    let fail = |out: &str, text: String| Err((out.to_owned(), text));
    let [key_text, actions_text, names @ ..] = args else { return fail("", "two arguments are wanted".to_owned()) };
    let mut given = Vec::new();
    for name in names {
        let number = name.split_once('=').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        match number {
            Some(number) => given.push(number),
            None => return fail("", format!("{name}: expected NAME=NUMBER")),
        }
    }
    let given = Given(given);
    let packet = match describe(key_text, Some(&given)) {
        Ok(packet) => packet,
        Err(rest) => return fail("", format!("odp_flow_key_from_string (syntax error at {rest}) (Invalid argument)")),
    };
    let mut out = format!("input flow: {}\n", packet.text);
    if let Some(fault) = packet.fault {
        return fail(&out, format!("odp_flow_key_to_flow failed {fault}"));
    }
    let actions = match parse_actions(actions_text, Some(&given)) {
        Ok(actions) => actions,
        Err(error) => return fail(&out, format!("odp_actions_from_string ({})", error.reason())),
    };
    let nothing = actions.is_empty() && actions_text.eq_ignore_ascii_case("drop");
    let mut groups = gather(packet.tags.clone(), actions);
    if nothing {
        groups.entry(packet.tags).or_default();
    }
    for (tags, actions) in groups {
        heading(&mut out, &tags, packet.label);
        out.push_str(&format_actions(&actions, None));
    }
    Ok(out)
}

/// Actions by the tags that the packet has where they stand.
fn gather(mut tags: Tags, actions: Vec<Action>) -> BTreeMap<Tags, Vec<Action>> {
    let mut groups: BTreeMap<Tags, Vec<Action>> = BTreeMap::new();
    for action in actions {
        match action {
            Action::PushVlan { tpid, tci } => tags.insert(0, (tpid, tci)),
            Action::PopVlan if tags.is_empty() => {}
            Action::PopVlan => {
                tags.remove(0);
            }
            other => groups.entry(tags.clone()).or_default().push(other),
        }
    }
    for actions in groups.values_mut() {
        let both = |a: &Action, b: &Action| matches!((a, b), (Action::Output(_), Action::Output(_)));
        for run in actions.chunk_by_mut(both) {
            run.sort_by_key(|a| if let Action::Output(port) = a { *port } else { 0 });
        }
    }
    groups
}

fn heading(out: &mut String, tags: &Tags, label: Option<u32>) {
    if tags.is_empty() {
        out.push_str("no vlan: ");
    }
    for (tpid, tci) in tags {
        out.push_str("vlan(");
        if *tpid != et::VLAN {
            // As 3.1 writes it: not in the order of the wire.
            let _ = write!(out, "tpid={:#x},", tpid.swap_bytes());
        }
        let _ = write!(out, "vid={},pcp={}): ", tci & 0xfff, tci >> 13);
    }
    if let Some(lse) = label {
        let _ = write!(out, "mpls(label={},tc={},ttl={}): ", lse >> 12, (lse >> 9) & 7, lse & 0xff);
    } else {
        out.push_str("no mpls: ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARP: &str = "in_port(1),eth(src=02:00:00:00:00:01,dst=ff:ff:ff:ff:ff:ff),eth_type(0x0806),\
                       arp(sip=10.1.1.1,tip=10.1.1.2,op=1,sha=02:00:00:00:00:01,tha=00:00:00:00:00:00)";

    fn groups(key: &str, actions: &str) -> String {
        match normalize(&[key.to_owned(), actions.to_owned()]) {
            Ok(text) => text.split_once('\n').map(|(_, groups)| groups.to_owned()).unwrap_or_default(),
            Err((_, complaint)) => complaint,
        }
    }

    #[test]
    fn outputs_are_gathered_by_tags_and_sorted_between_changes() {
        for (actions, expected) in [
            ("6,3,4", "no vlan: no mpls: 3,4,6"),
            ("", ""),
            ("drop", "no vlan: no mpls: drop"),
            ("pop_vlan,2", "no vlan: no mpls: 2"),
            (
                "push_vlan(vid=40,pcp=0),1,pop_vlan,push_vlan(vid=12,pcp=0),9,8,pop_vlan,7",
                "no vlan: no mpls: 7vlan(vid=12,pcp=0): no mpls: 8,9vlan(vid=40,pcp=0): no mpls: 1",
            ),
            ("4,2,trunc(90),3,1", "no vlan: no mpls: 2,4,trunc(90),1,3"),
            ("push_vlan(vid=1,pcp=7),push_vlan(vid=2,pcp=7),9", "vlan(vid=2,pcp=7): vlan(vid=1,pcp=7): no mpls: 9"),
            ("gibberish", "odp_actions_from_string (Invalid argument)"),
        ] {
            assert_eq!(groups(ARP, actions), expected, "{actions}");
        }
        let labelled = "in_port(1),eth(),eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)";
        assert_eq!(groups(labelled, "3,2"), "no vlan: mpls(label=100,tc=3,ttl=64): 2,3");
    }

    #[test]
    fn a_packet_half_described_is_refused() {
        let refused = "odp_flow_key_to_flow failed (reason unknown) (No such file or directory)";
        for (key, expected) in [
            ("in_port(1)", "no vlan: no mpls: 3"),
            ("in_port(1),eth(),eth_type(0x0800)", refused),
            ("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17)", refused),
            ("in_port(1),eth(),eth_type(0x0800),ipv4(proto=17),udp(src=7)", "no vlan: no mpls: 3"),
            ("in_port(1),eth(),eth_type(0x8100),vlan(vid=1)", refused),
            ("in_port(1),eth(),eth_type(0x8100),vlan(vid=1),encap()", "vlan(vid=1,pcp=0): no mpls: 3"),
            ("in_port(1),eth(),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135)", refused),
        ] {
            assert_eq!(groups(key, "3"), expected, "{key}");
        }
    }

    #[test]
    fn ports_may_have_names() {
        let args = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let named = normalize(&args(&["in_port(up)", "down,up,1", "up=5", "down=4"]));
        let groups = named.as_ref().map(|text| text.lines().last().unwrap_or_default());
        assert_eq!(groups, Ok("no vlan: no mpls: 1,4,5"));
        let odd = normalize(&args(&["in_port(1)", "1", "up"]));
        assert_eq!(odd, Err((String::new(), "up: expected NAME=NUMBER".to_owned())));
        let some = reformat(&args(&["1,2", "gibberish", "3"]));
        assert_eq!(some, Err(("1,2\n".to_owned(), "odp_actions_from_string (Invalid argument)".to_owned())));
    }
}
