//! A small assembler for the kernel's extended BPF (RFC 9669).
//!
//! An instruction is 64 bits: from the lowest, 8 of code, 4 of destination and 4 of source register, 16 of offset, 32 of
//! immediate. Jumps name labels, resolved at the end.

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    /// Results of helpers, and the program's own.
    R0 = 0,
    /// First argument of a call.
    R1,
    /// Second argument.
    R2,
    /// Third argument.
    R3,
    /// Fourth argument.
    R4,
    /// Fifth argument; it and those above are lost by a call.
    R5,
    /// Outlives calls.
    R6,
    /// Outlives calls.
    R7,
    /// Outlives calls.
    R8,
    /// Outlives calls.
    R9,
    /// The frame pointer: the stack lies below it.
    Fp,
}

/// How much is loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 1 octet.
    B = 0x10,
    /// 2 octets.
    H = 0x08,
    /// 4 octets.
    W = 0x00,
    /// 8 octets.
    D = 0x18,
}

/// A condition of two unsigned numbers of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// Equal.
    Eq = 0x10,
    /// Greater.
    Gt = 0x20,
    /// Not equal.
    Ne = 0x50,
    /// Less.
    Lt = 0xa0,
}

/// An operation on 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sum.
    Add = 0x00,
    /// Difference.
    Sub = 0x10,
    /// Either bit.
    Or = 0x40,
    /// Both bits.
    And = 0x50,
    /// Shifted left.
    Shl = 0x60,
    /// Shifted right, zeros coming in.
    Shr = 0x70,
    /// The second number.
    Mov = 0xb0,
}

/// A function of the kernel's, by its number (bpf-helpers(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFn {
    /// Map, address of a key: address of the value, or 0.
    MapLookup = 1,
    /// Packet, protocol in network order, tag: 0, or an error.
    VlanPush = 18,
    /// Packet: 0, or an error.
    VlanPop = 19,
    /// Device, flags: the verdict to return.
    Redirect = 23,
    /// Packet, offset, address, length: 0, or an error.
    LoadBytes = 26,
    /// Nanoseconds of the monotonic clock, at the last tick.
    CoarseNs = 160,
}

/// Where a jump leads, before that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// A jump leads nowhere, or too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a jump without a target")]
pub struct Unbound;

const CLASS_LD: u8 = 0x00;
const CLASS_LDX: u8 = 0x01;
const CLASS_ST: u8 = 0x02;
const CLASS_STX: u8 = 0x03;
const CLASS_JMP: u8 = 0x05;
const CLASS_ALU64: u8 = 0x07;
const CLASS_ALU: u8 = 0x04;
const MODE_MEM: u8 = 0x60;
const MODE_ATOMIC: u8 = 0xc0;
/// The operand is a register, not the immediate.
const SOURCE_REG: u8 = 0x08;
/// The immediate of a wide load is a map's descriptor (`BPF_PSEUDO_MAP_FD`).
const PSEUDO_MAP: u8 = 1;
/// An atomic operation gives the old value; with that it is a full barrier.
const FETCH: i32 = 0x01;

/// Instructions in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<u64>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn put(&mut self, code: u8, dst: u8, src: u8, offset: i16, imm: i32) {
        let regs = u64::from(dst | src << 4);
        let word = u64::from(code) | regs << 8 | u64::from(offset as u16) << 16 | u64::from(imm as u32) << 32;
        self.code.push(word);
    }

    /// A label to jump to, and to bind somewhere.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Lets a label name the next instruction.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// `dst = dst op imm`.
    pub fn op(&mut self, op: Op, dst: Reg, imm: i32) {
        self.put(CLASS_ALU64 | op as u8, dst as u8, 0, 0, imm);
    }

    /// `dst = dst op src`.
    pub fn op_reg(&mut self, op: Op, dst: Reg, src: Reg) {
        self.put(CLASS_ALU64 | op as u8 | SOURCE_REG, dst as u8, src as u8, 0, 0);
    }

    /// A number of 16 bits in network order becomes one in host order.
    pub fn from_be16(&mut self, dst: Reg) {
        const TO_BE: u8 = 0xd8;
        self.put(CLASS_ALU | TO_BE, dst as u8, 0, 0, 16);
    }

    /// `dst = *(src + offset)`.
    pub fn load(&mut self, width: Width, dst: Reg, src: Reg, offset: i16) {
        self.put(CLASS_LDX | MODE_MEM | width as u8, dst as u8, src as u8, offset, 0);
    }

    /// `*(dst + offset) = src`.
    pub fn store(&mut self, width: Width, dst: Reg, offset: i16, src: Reg) {
        self.put(CLASS_STX | MODE_MEM | width as u8, dst as u8, src as u8, offset, 0);
    }

    /// `*(dst + offset) = imm`.
    pub fn store_imm(&mut self, width: Width, dst: Reg, offset: i16, imm: i32) {
        self.put(CLASS_ST | MODE_MEM | width as u8, dst as u8, 0, offset, imm);
    }

    /// `*(dst + offset) op= src`, at once, and a full barrier; 4 or 8 octets. `src` gets the old value.
    pub fn atomic(&mut self, op: Op, width: Width, dst: Reg, offset: i16, src: Reg) {
        self.put(CLASS_STX | MODE_ATOMIC | width as u8, dst as u8, src as u8, offset, op as i32 | FETCH);
    }

    /// `dst =` the map behind a descriptor.
    pub fn map(&mut self, dst: Reg, fd: i32) {
        self.put(CLASS_LD | Width::D as u8, dst as u8, PSEUDO_MAP, 0, fd);
        self.put(0, 0, 0, 0, 0);
    }

    /// Calls a helper: arguments in R1 to R5, the result in R0.
    pub fn call(&mut self, helper: KernelFn) {
        self.put(CLASS_JMP | 0x80, 0, 0, 0, helper as i32);
    }

    /// Jumps.
    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(CLASS_JMP, 0, 0, 0, 0);
    }

    /// Jumps if the register compares so with the number.
    pub fn jump_if(&mut self, dst: Reg, cond: If, imm: i32, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(CLASS_JMP | cond as u8, dst as u8, 0, 0, imm);
    }

    /// Jumps if the registers compare so.
    pub fn jump_if_reg(&mut self, dst: Reg, cond: If, src: Reg, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.put(CLASS_JMP | cond as u8 | SOURCE_REG, dst as u8, src as u8, 0, 0);
    }

    /// Ends the program with R0.
    pub fn exit(&mut self) {
        self.put(CLASS_JMP | 0x90, 0, 0, 0, 0);
    }

    /// The program.
    ///
    /// # Errors
    /// A label was not bound, or is too far away.
    pub fn finish(mut self) -> Result<Vec<u64>, Unbound> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].ok_or(Unbound)?;
            let distance = i16::try_from(target as i64 - at as i64 - 1).map_err(|_| Unbound)?;
            self.code[at] |= u64::from(distance as u16) << 16;
        }
        Ok(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(write: impl FnOnce(&mut Assembler)) -> Vec<u64> {
        let mut asm = Assembler::default();
        write(&mut asm);
        asm.finish().expect("a program")
    }

    #[test]
    fn instructions_are_encoded_as_the_standard_says() {
        let rows: [(Vec<u64>, &[u64]); 12] = [
            (one(|a| a.op(Op::Mov, Reg::R0, -1)), &[0xffff_ffff_0000_00b7]),
            (one(|a| a.op_reg(Op::Mov, Reg::R6, Reg::R1)), &[0x0000_0000_0000_16bf]),
            (one(|a| a.load(Width::W, Reg::R1, Reg::R6, 40)), &[0x0000_0000_0028_6161]),
            (one(|a| a.load(Width::B, Reg::R1, Reg::Fp, -1)), &[0x0000_0000_ffff_a171]),
            (one(|a| a.store(Width::D, Reg::Fp, -8, Reg::R2)), &[0x0000_0000_fff8_2a7b]),
            (one(|a| a.store_imm(Width::W, Reg::R7, 4, 9)), &[0x0000_0009_0004_0762]),
            (one(|a| a.atomic(Op::Add, Width::D, Reg::R9, 8, Reg::R1)), &[0x0000_0001_0008_19db]),
            (one(|a| a.atomic(Op::Or, Width::W, Reg::R9, 44, Reg::R1)), &[0x0000_0041_002c_19c3]),
            (one(|a| a.map(Reg::R1, 7)), &[0x0000_0007_0000_1118, 0]),
            (one(|a| a.call(KernelFn::MapLookup)), &[0x0000_0001_0000_0085]),
            (one(|a| a.from_be16(Reg::R1)), &[0x0000_0010_0000_01dc]),
            (one(Assembler::exit), &[0x0000_0000_0000_0095]),
        ];
        for (code, expected) in rows {
            assert_eq!(code, expected, "{code:x?}");
        }
    }

    #[test]
    fn jumps_lead_forward_and_back() {
        let code = one(|a| {
            let (back, on) = (a.label(), a.label());
            a.bind(back);
            a.jump_if(Reg::R1, If::Eq, 3, on);
            a.jump_if_reg(Reg::R1, If::Gt, Reg::R2, back);
            a.bind(on);
            a.exit();
        });
        assert_eq!(code, [0x0000_0003_0001_0115, 0x0000_0000_fffe_212d, 0x0000_0000_0000_0095]);
    }

    #[test]
    fn a_jump_to_nowhere_is_refused() {
        let mut asm = Assembler::default();
        let nowhere = asm.label();
        asm.jump(nowhere);
        assert_eq!(asm.finish(), Err(Unbound));
    }
}
