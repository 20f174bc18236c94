//! Whether a flow asks for nothing that the kernel does not tell apart, and does nothing that it cannot do.

use flow::classifier::Shape;
use flow::extract::ethertype;
use flow::key::word;
use flow::{Action, OdpPort, WORDS};

use crate::layout::{Tag, is_tag};

/// What differs between packets of one [`crate::FlowKey`]: type of service, time to live, flow label, TCP flags. All else
/// that a flow's mask may ask for is in the key, or the same for all packets that have one: there are no inner tags,
/// labels, fragments, and no metadata but the port.
const UNTOLD: [u64; WORDS] = bits(&[(word::IP, 0x000f_ffff_00ff_ff00), (word::ARP_THA_TCP_FLAGS, 0xffff)]);

/// What differs between packets of a wide one besides: protocol, addresses of IP, ports. None of them is a fragment.
const UNTOLD_WIDE: [u64; WORDS] = bits(&[
    (word::IP, 0xff),
    (word::NW, u64::MAX),
    (word::IPV6_SRC, u64::MAX),
    (word::IPV6_SRC + 1, u64::MAX),
    (word::IPV6_DST, u64::MAX),
    (word::IPV6_DST + 1, u64::MAX),
    (word::TP, u64::MAX),
]);

const fn bits(of: &[(usize, u64)]) -> [u64; WORDS] {
    let (mut all, mut i) = ([0; WORDS], 0);
    while i < of.len() {
        all[of[i].0] = of[i].1;
        i += 1;
    }
    all
}

/// The bit of a pushed tag's `tci` that says that there is a tag, and is not in the packet.
const TAG_PRESENT: u16 = 0x1000;
/// Octets of a tag.
const TAG_LEN: u32 = 4;

/// What is done to a frame's tags on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retag {
    /// The tag that it came with is taken off.
    pub pops: bool,
    /// This one is put on then.
    pub pushes: Option<Tag>,
}

impl Retag {
    /// What actions that send a packet once, and before that change at most its tags, do to one that came with this
    /// tag, and the port they send it by. `None`: they do something else.
    pub fn of(actions: &[Action], came: Option<Tag>) -> Option<(OdpPort, Self)> {
        let (Action::Output(port), edits) = actions.split_last()? else { return None };
        let mut this = Self::default();
        for edit in edits {
            match edit {
                Action::PopVlan if this.pushes.is_some() => this.pushes = None,
                // What has no tag stays as it is.
                Action::PopVlan => this.pops = came.is_some(),
                Action::PushVlan { tpid, tci } if this.pushes.is_none() && is_tag(*tpid) => {
                    this.pushes = Some(Tag { tpid: *tpid, tci: tci & !TAG_PRESENT });
                }
                _ => return None,
            }
        }
        Some((*port, this))
    }

    /// How many octets a frame is longer afterwards.
    pub fn growth(&self) -> i64 {
        i64::from(TAG_LEN) * (i64::from(self.pushes.is_some()) - i64::from(self.pops))
    }

    /// Octets of the longest frame, its outer tag not counted, that may be sent with these tags where an untagged one may
    /// have `max_len`: a packet socket leaves room for one tag of 802.1Q.
    pub fn longest(&self, came: Option<Tag>, max_len: u32) -> u32 {
        let stays = came.filter(|_| !self.pops);
        let tags = u32::from(self.pushes.is_some()) + u32::from(stays.is_some());
        let has_room = self.pushes.or(stays).is_some_and(|outer| outer.tpid == ethertype::VLAN);
        (max_len + TAG_LEN * u32::from(has_room)).saturating_sub(TAG_LEN * tags)
    }
}

/// Where the kernel hands packets over, by the number of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// The device sends them.
    Wire(u32),
    /// The host receives them as from the device, which is a tap of the switch's own.
    Host(u32),
}

impl Exit {
    /// The device's number.
    pub fn device(self) -> u32 {
        let (Self::Wire(device) | Self::Host(device)) = self;
        device
    }
}

/// Where packets of one key go, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// Where they leave.
    pub exit: Exit,
    /// Octets of the longest that it takes uncut, an outer tag as it is received not counted.
    pub max_len: u32,
    /// What is done to them before.
    pub retag: Retag,
}

/// How much of a packet a key holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Breadth {
    /// Device, tag and Ethernet header: whatever two stations send each other over one version of IP.
    Wide,
    /// Addresses, protocol and ports as well.
    Exact,
}

impl Breadth {
    /// Of the keys whose packets, as they are received, are all alike under the mask. `None`: there are no such keys.
    pub fn of(shape: &Shape) -> Option<Self> {
        let (mut untold, mut untold_wide) = (0, 0);
        for (i, mask) in shape.words() {
            untold |= mask & UNTOLD[usize::from(*i)];
            untold_wide |= mask & UNTOLD_WIDE[usize::from(*i)];
        }
        (untold == 0).then_some(if untold_wide == 0 { Self::Wide } else { Self::Exact })
    }
}

#[cfg(test)]
mod tests {
    use flow::Mask;

    use super::*;

    #[test]
    fn only_what_the_key_holds_may_be_asked_for() {
        type Set = fn(&mut Mask);
        const WIDE: Option<Breadth> = Some(Breadth::Wide);
        const EXACT: Option<Breadth> = Some(Breadth::Exact);
        let rows: [(&str, Set, Option<Breadth>); 15] = [
            ("in_port", |m| m.set_in_port(u32::MAX), WIDE),
            ("recirc_id", |m| m.set_recirc_id(u32::MAX), WIDE),
            ("dl_dst", |m| m.set_dl_dst(u64::MAX), WIDE),
            ("dl_type", |m| m.set_dl_type(u16::MAX), WIDE),
            ("nw_frag", |m| m.set_nw_frag(3), WIDE),
            ("nw_dst", |m| m.set_nw_dst(0xffff_ff00), EXACT),
            ("nw_src", |m| m.set_nw_src(1), EXACT),
            ("ipv6_dst", |m| m.set_ipv6_dst(1 << 64), EXACT),
            ("nw_proto", |m| m.set_nw_proto(u8::MAX), EXACT),
            ("tp_src", |m| m.set_tp_src(1), EXACT),
            ("tp_dst", |m| m.set_tp_dst(u16::MAX), EXACT),
            ("nw_tos", |m| m.set_nw_tos(0xfc), None),
            ("nw_ttl", |m| m.set_nw_ttl(1), None),
            ("ipv6_label", |m| m.set_ipv6_label(0x80000), None),
            ("tcp_flags", |m| m.set_tcp_flags(2), None),
        ];
        for (name, set, expected) in rows {
            let mut mask = Mask::EMPTY;
            set(&mut mask);
            assert_eq!(Breadth::of(&Shape::of(&mask)), expected, "{name}");
        }
    }

    #[test]
    fn tags_may_change_before_the_only_output() {
        const OUT: Action = Action::Output(7);
        const POP: Action = Action::PopVlan;
        let push = |tpid, tci| Action::PushVlan { tpid, tci };
        let tag = |tpid, tci| Some(Tag { tpid, tci });
        let (came, retag) = (tag(0x8100, 5), |pops, pushes| Some(Retag { pops, pushes }));
        type Row = (Vec<Action>, Option<Tag>, Option<Retag>, i64, u32);
        let rows: [Row; 12] = [
            (vec![OUT], None, retag(false, None), 0, 1514),
            (vec![OUT], came, retag(false, None), 0, 1514),
            (vec![OUT], tag(0x88a8, 5), retag(false, None), 0, 1510),
            (vec![POP, OUT], came, retag(true, None), -4, 1514),
            (vec![POP, OUT], None, retag(false, None), 0, 1514),
            (vec![push(0x8100, 0x7009), OUT], None, retag(false, tag(0x8100, 0x6009)), 4, 1514),
            (vec![POP, push(0x88a8, 0x1009), OUT], came, retag(true, tag(0x88a8, 9)), 0, 1510),
            (vec![push(0x8100, 0x1009), POP, POP, OUT], came, retag(true, None), -4, 1514),
            (vec![push(0x8100, 0x1009), OUT], came, retag(false, tag(0x8100, 9)), 4, 1510),
            (vec![push(0x8100, 0x1009), push(0x8100, 0x1009), OUT], None, None, 0, 0),
            (vec![push(0x9100, 0x1009), OUT], None, None, 0, 0),
            (vec![OUT, POP, OUT], came, None, 0, 0),
        ];
        for (actions, came, expected, growth, longest) in rows {
            let found = Retag::of(&actions, came);
            assert_eq!(found, expected.map(|retag| (7, retag)), "{actions:?}");
            if let Some((_, retag)) = found {
                assert_eq!((retag.growth(), retag.longest(came, 1514)), (growth, longest), "{actions:?}");
            }
        }
        assert_eq!((Retag::of(&[], None), Retag::of(&[POP], came)), (None, None));
    }
}
