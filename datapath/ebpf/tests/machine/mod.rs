//! An interpreter of the few instructions that the programs have. It panics at what the kernel's verifier would refuse.

use std::collections::HashMap;

/// A frame and what is known of it.
#[derive(Clone, Debug)]
pub struct Skb {
    pub data: Vec<u8>,
    pub ifindex: u32,
    /// The outer tag, beside the data: whether there is one, its control information, its protocol in network order.
    pub vlan: [u32; 3],
    pub gso_size: u32,
    pub mark: u32,
    pub priority: u32,
}

/// Where pointers point: in their upper half. An offset is in the lower, from the middle.
const MIDDLE: u64 = 1 << 20;
const STACK: u64 = 1;
const CONTEXT: u64 = 2;
const MAP: u64 = 3;
const VERDICT: u64 = 4;
const SLOTS: u64 = 5;
const ENTRY: u64 = 6;

const SLOT: usize = ebpf::layout::SLOT_LEN;

fn pointer(region: u64, offset: u64) -> u64 {
    region << 32 | (MIDDLE + offset)
}

pub struct Machine {
    pub skb: Skb,
    pub flows: HashMap<Vec<u8>, Vec<u8>>,
    /// Every look-up of a key succeeds, which none should be made.
    pub takes_any_key: bool,
    /// The device that the frame was redirected to, and the flags.
    pub redirected: Option<(u32, u32)>,
    slots: Vec<u8>,
    verdict: Vec<u8>,
    entry: Vec<u8>,
    stack: Vec<u8>,
}

impl Machine {
    pub fn new(skb: Skb) -> Self {
        Self {
            skb,
            flows: HashMap::new(),
            takes_any_key: false,
            redirected: None,
            slots: vec![0; SLOT * 4],
            verdict: vec![0; ebpf::layout::VERDICT_LEN],
            entry: vec![0; 8],
            stack: vec![0; 512],
        }
    }

    pub fn set_slot(&mut self, i: usize, at: usize, value: u32) {
        self.slots[i * SLOT + at..][..4].copy_from_slice(&value.to_ne_bytes());
    }

    pub fn slot(&self, i: usize, at: usize) -> u64 {
        u64::from_ne_bytes(self.slots[i * SLOT + at..][..8].try_into().unwrap())
    }

    fn memory(&mut self, address: u64, len: usize) -> &mut [u8] {
        let offset = (address & 0xffff_ffff).wrapping_sub(MIDDLE) as i64;
        let (memory, at) = match address >> 32 {
            STACK => (&mut self.stack, 512 + offset),
            VERDICT => (&mut self.verdict, offset),
            SLOTS => (&mut self.slots, offset),
            ENTRY => (&mut self.entry, offset),
            other => panic!("no memory: {other}"),
        };
        assert_eq!(at as usize % len.clamp(1, 8).next_power_of_two().min(len.max(1)), 0, "unaligned");
        &mut memory[usize::try_from(at).expect("inside")..][..len]
    }

    fn context(&mut self, offset: u64) -> &mut u32 {
        match offset {
            8 => &mut self.skb.mark,
            20 => &mut self.skb.vlan[0],
            24 => &mut self.skb.vlan[1],
            28 => &mut self.skb.vlan[2],
            32 => &mut self.skb.priority,
            40 => &mut self.skb.ifindex,
            176 => &mut self.skb.gso_size,
            other => panic!("no such word: {other}"),
        }
    }

    fn load(&mut self, address: u64, len: usize) -> u64 {
        if address >> 32 == CONTEXT {
            return match (address & 0xffff_ffff) - MIDDLE {
                0 => self.skb.data.len() as u64,
                offset => u64::from(*self.context(offset)),
            };
        }
        let mut octets = [0; 8];
        octets[..len].copy_from_slice(self.memory(address, len));
        u64::from_le_bytes(octets)
    }

    fn store(&mut self, address: u64, len: usize, value: u64) {
        if address >> 32 == CONTEXT {
            *self.context((address & 0xffff_ffff) - MIDDLE) = value as u32;
            return;
        }
        self.memory(address, len).copy_from_slice(&value.to_le_bytes()[..len]);
    }

    fn stack_octets(&mut self, address: u64, len: usize) -> Vec<u8> {
        (0..len as u64).map(|i| self.load(address + i, 1) as u8).collect()
    }

    fn call(&mut self, helper: i32, r: &[u64; 11]) -> u64 {
        match helper {
            1 => {
                assert_eq!(r[1] >> 32, MAP);
                match r[1] & 0xffff_ffff {
                    1 => {
                        let key = self.stack_octets(r[2], ebpf::layout::KEY_LEN);
                        let any = self.takes_any_key.then(|| vec![3, 0, 0, 0, 0, 0, 0, 0]);
                        let Some(entry) = self.flows.get(&key).cloned().or(any) else { return 0 };
                        self.entry = entry;
                        pointer(ENTRY, 0)
                    }
                    2 => pointer(SLOTS, self.load(r[2], 4) * SLOT as u64),
                    3 => pointer(VERDICT, 0),
                    other => panic!("no such map: {other}"),
                }
            }
            18 => {
                if self.skb.vlan[0] != 0 {
                    let octets = self.outer_tag();
                    self.skb.data.splice(12..12, octets);
                }
                self.skb.vlan = [1, r[3] as u32, r[2] as u32];
                0
            }
            19 => {
                self.skb.vlan[0] = 0;
                0
            }
            23 => {
                self.redirected = Some((r[1] as u32, r[2] as u32));
                7
            }
            26 => {
                let (at, len) = (r[2] as usize, r[4] as usize);
                let Some(octets) = self.skb.data.get(at..at + len).map(<[u8]>::to_vec) else { return u64::MAX };
                for (i, octet) in (0..).zip(octets) {
                    self.store(r[3] + i, 1, octet.into());
                }
                0
            }
            160 => 1_000_000,
            other => panic!("no such helper: {other}"),
        }
    }

    /// The tag beside the frame, as it is in packets.
    pub fn outer_tag(&self) -> Vec<u8> {
        let [_, tci, tpid] = self.skb.vlan;
        [(tpid as u16).to_ne_bytes(), (tci as u16).to_be_bytes()].concat()
    }

    /// Runs a program on the frame; what it returns.
    pub fn run(&mut self, program: &[u64]) -> u64 {
        let mut r = [0u64; 11];
        (r[1], r[10]) = (pointer(CONTEXT, 0), pointer(STACK, 0));
        let mut at = 0usize;
        for _ in 0..10_000 {
            let word = program[at];
            at += 1;
            let code = word as u8;
            let (dst, src) = ((word >> 8 & 15) as usize, (word >> 12 & 15) as usize);
            let (offset, imm) = ((word >> 16) as i16, (word >> 32) as i32);
            let operand = if code & 8 != 0 { r[src] } else { i64::from(imm) as u64 };
            let len = [4, 2, 1, 8][usize::from(code >> 3 & 3)];
            let near = |base: u64| base.wrapping_add(i64::from(offset) as u64);
            match (code & 7, code & 0xf0) {
                (0, 0x10) => {
                    r[dst] = MAP << 32 | imm as u64;
                    at += 1;
                }
                (1, _) => r[dst] = self.load(near(r[src]), len),
                (2, _) => self.store(near(r[dst]), len, i64::from(imm) as u64),
                (3, 0x60 | 0x70) => self.store(near(r[dst]), len, r[src]),
                (3, _) => {
                    let old = self.load(near(r[dst]), len);
                    let new = if imm & 0x40 != 0 { old | r[src] } else { old.wrapping_add(r[src]) };
                    self.store(near(r[dst]), len, new);
                    r[src] = old;
                }
                (4, 0xd0) => r[dst] = u64::from((r[dst] as u16).swap_bytes()),
                (7, op) => {
                    r[dst] = match op {
                        0x00 => r[dst].wrapping_add(operand),
                        0x10 => r[dst].wrapping_sub(operand),
                        0x40 => r[dst] | operand,
                        0x50 => r[dst] & operand,
                        0x60 => r[dst] << operand,
                        0x70 => r[dst] >> operand,
                        0xb0 => operand,
                        other => panic!("no such operation: {other:x}"),
                    }
                }
                (5, 0x80) => r[0] = self.call(imm, &r),
                (5, 0x90) => return r[0],
                (5, cond) => {
                    let jumps = match cond {
                        0x00 => true,
                        0x10 => r[dst] == operand,
                        0x20 => r[dst] > operand,
                        0x50 => r[dst] != operand,
                        0xa0 => r[dst] < operand,
                        other => panic!("no such condition: {other:x}"),
                    };
                    if jumps {
                        at = at.wrapping_add_signed(offset.into());
                    }
                }
                other => panic!("no such instruction: {other:x?}"),
            }
        }
        panic!("it does not end");
    }
}
