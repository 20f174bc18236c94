//! The three programs of a port of the host's: the ring's, the alarm's and the ingress filter's; and that of a tap.
//!
//! A program of a packet socket answers how much of the frame the socket is to have: nothing, or all.

use crate::asm::Reg::{Fp, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9};
use crate::asm::Width::{B, D, H, W};
use crate::asm::{Assembler, If, KernelFn, Label, Op, Unbound};
use crate::layout::{KEY_LEN, PLAIN_FLAGS, key, slot, verdict};

/// Descriptors of the maps.
#[derive(Clone, Copy, Debug)]
pub struct Maps {
    /// Hash: [`crate::FlowKey`] to entry.
    pub flows: i32,
    /// Array of slots.
    pub slots: i32,
    /// Array of one verdict for each processor.
    pub verdicts: i32,
}

/// Places in what programs are told of a frame (`struct __sk_buff` of linux/bpf.h).
mod skb {
    pub(super) const LEN: i16 = 0;
    pub(super) const MARK: i16 = 8;
    pub(super) const VLAN_PRESENT: i16 = 20;
    pub(super) const VLAN_TCI: i16 = 24;
    pub(super) const VLAN_PROTO: i16 = 28;
    pub(super) const PRIORITY: i16 = 32;
    pub(super) const IFINDEX: i16 = 40;
    pub(super) const GSO_SIZE: i16 = 176;
}

/// Places on the stack.
mod at {
    /// Index of an array's element.
    pub(super) const INDEX: i16 = -4;
    pub(super) const KEY: i16 = INDEX - super::KEY_LEN as i16;
    /// What a TCP header has at 12: length and flags.
    pub(super) const TCP: i16 = -72;
    pub(super) const GENERATION: i16 = -76;
    /// Of the frame, what lies behind the Ethernet header.
    pub(super) const FRAME: i16 = -128;
    /// The wide key, in the place of what was read of the frame.
    pub(super) const WIDE: i16 = GENERATION - super::KEY_LEN as i16;
}

/// A protocol that no key has (IANA: reserved).
const NO_PROTO: i32 = 255;

const fn key_at(offset: usize) -> i16 {
    at::KEY + offset as i16
}

/// The verdict of this processor is at R7 from now on.
fn find_verdict(asm: &mut Assembler, maps: &Maps, none: Label) {
    asm.store_imm(W, Fp, at::INDEX, 0);
    find(asm, maps.verdicts, at::INDEX, none);
    asm.op_reg(Op::Mov, R7, R0);
}

/// Looks up what stands on the stack; the value is at R0 then.
fn find(asm: &mut Assembler, map: i32, stack: i16, none: Label) {
    asm.map(R1, map);
    asm.op_reg(Op::Mov, R2, Fp);
    asm.op(Op::Add, R2, stack.into());
    asm.call(KernelFn::MapLookup);
    asm.jump_if(R0, If::Eq, 0, none);
}

/// Loads octets of the frame, from the offset in R2, on the stack.
fn load_frame(asm: &mut Assembler, stack: i16, len: i32, short: Label) {
    asm.op_reg(Op::Mov, R1, R6);
    asm.op_reg(Op::Mov, R3, Fp);
    asm.op(Op::Add, R3, stack.into());
    asm.op(Op::Mov, R4, len);
    asm.call(KernelFn::LoadBytes);
    asm.jump_if(R0, If::Ne, 0, short);
}

fn copy(asm: &mut Assembler, width: crate::asm::Width, from: i16, to: i16) {
    asm.load(width, R1, Fp, from);
    asm.store(width, Fp, to, R1);
}

/// The program of a ring's socket: decides, and counts what it takes.
///
/// # Errors
/// None: the program is the same always.
pub fn ring(maps: &Maps) -> Result<Vec<u64>, Unbound> {
    let mut asm = Assembler::default();
    let pass = begin(&mut asm);
    find_verdict(&mut asm, maps, pass);
    asm.load(W, R1, R6, skb::IFINDEX);
    asm.store(W, R7, verdict::IFINDEX, R1);
    asm.store_imm(W, R7, verdict::OUT, 0);
    decide(&mut asm, maps, pass);
    for (from, to) in VERDICT_OF {
        asm.load(W, R1, R9, from as i16);
        asm.store(W, R7, to, R1);
    }
    count(&mut asm, slot::PACKETS, 1);
    asm.op(Op::Mov, R0, 0);
    asm.exit();
    end(asm, pass)
}

/// What a verdict has of a slot.
const VERDICT_OF: [(usize, i16); 4] = [
    (slot::OUT, verdict::OUT),
    (slot::POP, verdict::POP),
    (slot::PUSH, verdict::PUSH),
    (slot::TO_HOST, verdict::TO_HOST),
];

/// The program of a tap, which the host's frames pass before they come there: decides, counts and sends what it takes.
/// All else goes on to whatever program is behind it, and to the tap.
///
/// # Errors
/// None: the program is the same always.
pub fn tap(maps: &Maps) -> Result<Vec<u64>, Unbound> {
    let mut asm = Assembler::default();
    let (pass, shot) = (begin(&mut asm), asm.label());
    decide(&mut asm, maps, pass);
    count(&mut asm, slot::PACKETS, 1);
    asm.load(W, R8, R9, slot::OUT as i16);
    asm.load(W, R7, R9, slot::TO_HOST as i16);
    asm.load(W, R1, R9, slot::POP as i16);
    asm.load(W, R9, R9, slot::PUSH as i16);
    send(&mut asm, shot);
    end(asm, pass)
}

/// Keeps the frame's context in R6, and clears the stack. Gives the label where frames end that are not taken.
fn begin(asm: &mut Assembler) -> Label {
    asm.op_reg(Op::Mov, R6, R1);
    for place in (at::TCP..0).step_by(8) {
        asm.store_imm(D, Fp, place, 0);
    }
    asm.label()
}

/// Ends a program that takes some frames: what both kinds of it answer for the others is the same number (`TCX_NEXT` of
/// linux/bpf.h, and the greatest length).
fn end(mut asm: Assembler, pass: Label) -> Result<Vec<u64>, Unbound> {
    asm.bind(pass);
    asm.op(Op::Mov, R0, -1);
    asm.exit();
    asm.finish()
}

/// Makes the frame's key and looks for an entry in force; there is one where this ends, its slot at R9, and the frame is
/// entered but not yet counted as forwarded.
fn decide(asm: &mut Assembler, maps: &Maps, pass: Label) {
    let [untagged, v4, tcp, look] = [(); 4].map(|()| asm.label());
    asm.load(W, R1, R6, skb::IFINDEX);
    asm.store(W, Fp, key_at(key::IFINDEX), R1);
    find(asm, maps.slots, at::INDEX, pass);
    asm.load(W, R1, R0, 0);
    asm.jump_if(R1, If::Eq, 0, pass);
    asm.load(W, R1, R6, skb::VLAN_PRESENT);
    asm.jump_if(R1, If::Eq, 0, untagged);
    asm.load(W, R1, R6, skb::VLAN_TCI);
    asm.store(H, Fp, key_at(key::TCI), R1);
    asm.load(W, R1, R6, skb::VLAN_PROTO);
    asm.store(H, Fp, key_at(key::TPID), R1);
    asm.bind(untagged);
    asm.load(W, R8, R6, skb::LEN);
    asm.op(Op::Mov, R2, 0);
    load_frame(asm, key_at(key::ETHERNET), 14, pass);
    asm.load(H, R1, Fp, key_at(key::ETHERNET + 12));
    asm.from_be16(R1);
    asm.jump_if(R1, If::Eq, 0x0800, v4);
    asm.jump_if(R1, If::Ne, 0x86dd, pass);
    ipv6(asm, tcp, look, pass);
    asm.bind(v4);
    ipv4(asm, tcp, look, pass);
    asm.bind(tcp);
    tcp_header(asm, pass);
    asm.bind(look);
    take(asm, maps, pass);
}

/// Fills in an IPv4 packet's part of the key. At `tcp`, R3 is the length of what lies behind the header, R5 where that
/// begins in the frame.
fn ipv4(asm: &mut Assembler, tcp: Label, look: Label, pass: Label) {
    let icmp = asm.label();
    asm.op(Op::Mov, R2, 14);
    load_frame(asm, at::FRAME, 28, pass);
    asm.load(B, R1, Fp, at::FRAME);
    asm.jump_if(R1, If::Ne, 0x45, pass);
    asm.load(H, R3, Fp, at::FRAME + 2);
    asm.from_be16(R3);
    fit(asm, 28, 14, pass);
    asm.op(Op::Sub, R3, 20);
    // Neither more fragments nor an offset; that it must not be fragmented may be said.
    asm.load(H, R1, Fp, at::FRAME + 6);
    asm.from_be16(R1);
    asm.op(Op::And, R1, 0xbfff);
    asm.jump_if(R1, If::Ne, 0, pass);
    copy(asm, W, at::FRAME + 12, key_at(key::SRC));
    copy(asm, W, at::FRAME + 16, key_at(key::DST));
    asm.load(B, R4, Fp, at::FRAME + 9);
    asm.store(B, Fp, key_at(key::PROTO), R4);
    asm.op(Op::Mov, R5, 34);
    asm.jump_if(R4, If::Eq, 1, icmp);
    copy(asm, W, at::FRAME + 20, key_at(key::PORTS));
    transport(asm, tcp, look, pass);
    asm.bind(icmp);
    copy(asm, H, at::FRAME + 20, key_at(key::PORTS));
    asm.jump(look);
}

/// The same for IPv6.
fn ipv6(asm: &mut Assembler, tcp: Label, look: Label, pass: Label) {
    let (icmp, echo) = (asm.label(), asm.label());
    asm.op(Op::Mov, R2, 14);
    load_frame(asm, at::FRAME, 48, pass);
    asm.load(B, R1, Fp, at::FRAME);
    asm.op(Op::Shr, R1, 4);
    asm.jump_if(R1, If::Ne, 6, pass);
    asm.load(H, R3, Fp, at::FRAME + 4);
    asm.from_be16(R3);
    fit(asm, 8, 54, pass);
    for i in 0..4 {
        copy(asm, W, at::FRAME + 8 + 4 * i, key_at(key::SRC) + 4 * i);
        copy(asm, W, at::FRAME + 24 + 4 * i, key_at(key::DST) + 4 * i);
    }
    asm.load(B, R4, Fp, at::FRAME + 6);
    asm.store(B, Fp, key_at(key::PROTO), R4);
    asm.op(Op::Mov, R5, 54);
    asm.jump_if(R4, If::Eq, 58, icmp);
    copy(asm, W, at::FRAME + 40, key_at(key::PORTS));
    transport(asm, tcp, look, pass);
    asm.bind(icmp);
    asm.load(B, R1, Fp, at::FRAME + 40);
    asm.jump_if(R1, If::Eq, 128, echo);
    asm.jump_if(R1, If::Ne, 129, pass);
    asm.bind(echo);
    copy(asm, H, at::FRAME + 40, key_at(key::PORTS));
    asm.jump(look);
}

/// Goes on with the protocol in R4, of which R3 octets are there, if it has ports.
fn transport(asm: &mut Assembler, tcp: Label, look: Label, pass: Label) {
    asm.jump_if(R4, If::Eq, 17, look);
    asm.jump_if(R4, If::Eq, 6, tcp);
    asm.jump_if(R4, If::Ne, 132, pass);
    asm.jump_if(R3, If::Lt, 12, pass);
    asm.jump(look);
}

/// Goes on only if R3, the length that a header claims, is at least `least`, and there are as many octets behind
/// `before`.
fn fit(asm: &mut Assembler, least: i32, before: i32, pass: Label) {
    asm.jump_if(R3, If::Lt, least, pass);
    asm.op_reg(Op::Mov, R1, R8);
    asm.op(Op::Sub, R1, before);
    asm.jump_if_reg(R3, If::Gt, R1, pass);
}

/// Goes on only with segments whose header is whole. Those that are not in the midst of a connection have no exact key.
fn tcp_header(asm: &mut Assembler, pass: Label) {
    asm.jump_if(R3, If::Lt, 20, pass);
    asm.op_reg(Op::Mov, R9, R3);
    asm.op_reg(Op::Mov, R2, R5);
    asm.op(Op::Add, R2, 12);
    load_frame(asm, at::TCP, 2, pass);
    asm.load(B, R1, Fp, at::TCP);
    asm.op_reg(Op::Mov, R2, R1);
    asm.op(Op::And, R2, 0x0f);
    asm.jump_if(R2, If::Ne, 0, pass);
    asm.op(Op::Shr, R1, 2);
    asm.jump_if(R1, If::Lt, 20, pass);
    asm.jump_if_reg(R1, If::Gt, R9, pass);
    let plain = asm.label();
    asm.load(B, R1, Fp, at::TCP + 1);
    asm.op(Op::And, R1, i32::from(!PLAIN_FLAGS));
    asm.jump_if(R1, If::Eq, 0, plain);
    asm.store_imm(B, Fp, key_at(key::PROTO), NO_PROTO);
    asm.bind(plain);
}

/// Looks for an entry, by the wide key first if there are such entries; it is at R0 then.
fn look_up(asm: &mut Assembler, maps: &Maps, pass: Label) {
    let [exact, found] = [(); 2].map(|()| asm.label());
    find(asm, maps.slots, at::INDEX, pass);
    asm.load(W, R1, R0, slot::WIDE as i16);
    asm.jump_if(R1, If::Eq, 0, exact);
    for place in (0..key::PORTS as i16).step_by(8) {
        copy(asm, D, at::KEY + place, at::WIDE + place);
    }
    asm.store_imm(B, Fp, at::WIDE + key::PROTO as i16, 0);
    for place in (key::PORTS as i16..KEY_LEN as i16).step_by(4) {
        asm.store_imm(W, Fp, at::WIDE + place, 0);
    }
    find(asm, maps.flows, at::WIDE, exact);
    asm.jump(found);
    asm.bind(exact);
    find(asm, maps.flows, at::KEY, pass);
    asm.bind(found);
}

/// Looks the key up; goes on with frames that have an entry in force, whose slot is at R9 then.
///
/// A frame is entered first, then the generation is looked at. So whoever changes the generation, and then sees as many
/// frames entered as forwarded, knows that no further one will be forwarded by the entry, and that all are counted.
fn take(asm: &mut Assembler, maps: &Maps, pass: Label) {
    let [fits, counted, known, undo, taken] = [(); 5].map(|()| asm.label());
    look_up(asm, maps, pass);
    asm.load(W, R1, R0, 0);
    asm.store(W, Fp, at::INDEX, R1);
    asm.load(W, R1, R0, 4);
    asm.store(W, Fp, at::GENERATION, R1);
    find(asm, maps.slots, at::INDEX, pass);
    asm.op_reg(Op::Mov, R9, R0);
    count(asm, slot::ENTERED, 1);
    asm.load(W, R1, R9, slot::GENERATION as i16);
    asm.load(W, R2, Fp, at::GENERATION);
    asm.jump_if_reg(R1, If::Ne, R2, undo);
    asm.load(W, R1, R6, skb::GSO_SIZE);
    asm.jump_if(R1, If::Ne, 0, fits);
    asm.load(W, R1, R9, slot::MAX_LEN as i16);
    asm.jump_if_reg(R8, If::Gt, R1, undo);
    asm.bind(fits);
    // The tag is beside the frame, and counts.
    asm.load(W, R1, R6, skb::VLAN_PRESENT);
    asm.jump_if(R1, If::Eq, 0, counted);
    asm.op(Op::Add, R8, 4);
    asm.bind(counted);
    asm.atomic(Op::Add, D, R9, slot::BYTES as i16, R8);
    asm.call(KernelFn::CoarseNs);
    asm.store(D, R9, slot::USED as i16, R0);
    asm.load(B, R1, Fp, at::TCP + 1);
    asm.load(W, R2, R9, slot::TCP_FLAGS as i16);
    asm.op_reg(Op::Mov, R3, R2);
    asm.op_reg(Op::Or, R3, R1);
    asm.jump_if_reg(R3, If::Eq, R2, known);
    asm.atomic(Op::Or, W, R9, slot::TCP_FLAGS as i16, R1);
    asm.bind(known);
    asm.jump(taken);
    asm.bind(undo);
    count(asm, slot::ENTERED, -1);
    asm.jump(pass);
    asm.bind(taken);
}

fn count(asm: &mut Assembler, place: usize, by: i32) {
    asm.op(Op::Mov, R1, by);
    asm.atomic(Op::Add, D, R9, place as i16, R1);
}

/// Goes on only with a verdict on a frame of the same device: of this very frame, as the last one's is taken back.
fn own_verdict(asm: &mut Assembler, maps: &Maps, none: Label) {
    asm.op_reg(Op::Mov, R6, R1);
    find_verdict(asm, maps, none);
    asm.load(W, R1, R6, skb::IFINDEX);
    asm.load(W, R2, R7, verdict::IFINDEX);
    asm.jump_if_reg(R1, If::Ne, R2, none);
}

/// Has R1 the device that the frame goes to by its verdict, at R7.
fn read_verdict(asm: &mut Assembler, none: Label) {
    asm.load(W, R1, R7, verdict::OUT);
    asm.jump_if(R1, If::Eq, 0, none);
}

/// What the socket answers that has what `none` is not bound to: nothing, and all otherwise.
fn none_or_all(mut asm: Assembler, pass: Label) -> Result<Vec<u64>, Unbound> {
    asm.op(Op::Mov, R0, 0);
    asm.exit();
    asm.bind(pass);
    asm.op(Op::Mov, R0, -1);
    asm.exit();
    asm.finish()
}

/// The program of an alarm's socket, which is asked after its ring's: nobody is woken for what the kernel forwards.
///
/// # Errors
/// None: the program is the same always.
pub fn alarm(maps: &Maps) -> Result<Vec<u64>, Unbound> {
    let mut asm = Assembler::default();
    let pass = asm.label();
    own_verdict(&mut asm, maps, pass);
    read_verdict(&mut asm, pass);
    none_or_all(asm, pass)
}

/// The program of a plain socket that a port has until it has a ring, asked after that ring's: what the ring was asked
/// about is the ring's.
///
/// # Errors
/// None: the program is the same always.
pub fn early(maps: &Maps) -> Result<Vec<u64>, Unbound> {
    let mut asm = Assembler::default();
    let pass = asm.label();
    own_verdict(&mut asm, maps, pass);
    none_or_all(asm, pass)
}

/// What an ingress filter says of a frame that goes no further.
const TC_ACT_SHOT: i32 = 2;

/// The program of the device's ingress filter: redirects what the ring's said of, once, its tags changed as that said,
/// and keeps all else from the host.
///
/// # Errors
/// None: the program is the same always.
pub fn ingress(maps: &Maps) -> Result<Vec<u64>, Unbound> {
    let mut asm = Assembler::default();
    let shot = asm.label();
    own_verdict(&mut asm, maps, shot);
    // The frame's last stop.
    asm.store_imm(W, R7, verdict::IFINDEX, 0);
    read_verdict(&mut asm, shot);
    asm.op_reg(Op::Mov, R8, R1);
    asm.store_imm(W, R7, verdict::OUT, 0);
    asm.load(W, R9, R7, verdict::PUSH);
    asm.load(W, R1, R7, verdict::POP);
    asm.load(W, R7, R7, verdict::TO_HOST);
    send(&mut asm, shot);
    asm.finish()
}

/// Sends the frame by the device in R8, its tag taken off if R1 says so, that in R9 put on unless it is 0; R7: whether
/// the host receives it there (`BPF_F_INGRESS` of linux/bpf.h). A frame whose tags cannot be changed goes no further.
fn send(asm: &mut Assembler, shot: Label) {
    let [popped, pushed] = [(); 2].map(|()| asm.label());
    asm.jump_if(R1, If::Eq, 0, popped);
    asm.op_reg(Op::Mov, R1, R6);
    asm.call(KernelFn::VlanPop);
    asm.jump_if(R0, If::Ne, 0, shot);
    asm.bind(popped);
    asm.jump_if(R9, If::Eq, 0, pushed);
    asm.op_reg(Op::Mov, R1, R6);
    asm.op_reg(Op::Mov, R2, R9);
    asm.op(Op::Shr, R2, 16);
    asm.op_reg(Op::Mov, R3, R9);
    asm.op(Op::And, R3, 0xffff);
    asm.call(KernelFn::VlanPush);
    asm.jump_if(R0, If::Ne, 0, shot);
    asm.bind(pushed);
    // As if the switch had sent it.
    asm.op(Op::Mov, R2, 0);
    asm.store(W, R6, skb::MARK, R2);
    asm.store(W, R6, skb::PRIORITY, R2);
    asm.op_reg(Op::Mov, R1, R8);
    asm.op_reg(Op::Mov, R2, R7);
    asm.call(KernelFn::Redirect);
    asm.exit();
    asm.bind(shot);
    asm.op(Op::Mov, R0, TC_ACT_SHOT);
    asm.exit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_whole_and_small() {
        let maps = Maps { flows: 3, slots: 4, verdicts: 5 };
        for (name, program, most) in [
            ("ring", ring(&maps), 250),
            ("tap", tap(&maps), 260),
            ("alarm", alarm(&maps), 30),
            ("early", early(&maps), 30),
            ("ingress", ingress(&maps), 50),
        ] {
            let program = program.expect(name);
            assert!(program.len() < most, "{name}: {} instructions", program.len());
        }
    }
}
