// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A tiny firmware, put together instruction by instruction: 64 KiB that start at the reset vector, enter flat 32-bit
//! protected mode and run what a test asks for.
//!
//! Each method adds the instructions that its line shows.

/// Where the image lies: its last byte is the last below 4 GiB.
const BASE: u32 = 0xffff_0000;
const SIZE: usize = 0x1_0000;
/// The port that ends the machine with a value.
pub(crate) const EXIT_PORT: u16 = 0x501;
/// What a firmware exits with when everything was as expected.
pub(crate) const OK: u8 = 0x2a;

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;

/// A firmware in the making.
pub(crate) struct Guest {
    image: Vec<u8>,
}

impl Guest {
    /// One that has entered protected mode.
    pub(crate) fn new() -> Self {
        let mut guest = Self { image: Vec::new() };
        // Real mode, CS base FFFF0000: cli; lgdt cs:[gdt]; cr0.PE = 1; far jump.
        let start = [
            &[0xfa][..],
            &[0x66, 0x2e, 0x0f, 0x01, 0x16, 0x40, 0x00],
            &[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0],
            &[0x66, 0xea, 0x80, 0x00, 0xff, 0xff, 0x08, 0x00],
        ];
        for bytes in start {
            guest.image.extend(bytes);
        }
        guest.image.resize(0x40, 0);
        // Limit and address of the table that follows: null, flat code, flat data.
        guest.image.extend([0x17, 0x00, 0x48, 0x00, 0xff, 0xff, 0, 0]);
        guest.image.extend([0; 8]);
        guest.image.extend([0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
        guest.image.extend([0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
        guest.image.resize(0x80, 0);
        // mov ax, 10h; mov ds, ax; mov es, ax; mov ss, ax; mov esp, 8000h
        guest
            .image
            .extend([0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0]);
        guest.image.extend([0xbc, 0x00, 0x80, 0x00, 0x00]);
        guest
    }

    fn imm32(&mut self, opcode: &[u8], value: u32) -> &mut Self {
        self.image.extend(opcode);
        self.image.extend(value.to_le_bytes());
        self
    }

    fn here(&self) -> u32 {
        u32::try_from(self.image.len()).unwrap()
    }

    /// `mov eax, value`
    pub(crate) fn load(&mut self, value: u32) -> &mut Self {
        self.imm32(&[0xb8], value)
    }

    /// `mov dx, port`
    fn port(&mut self, port: u16) -> &mut Self {
        self.image.extend([0x66, 0xba]);
        self.image.extend(port.to_le_bytes());
        self
    }

    /// `out port, eax` for this value
    pub(crate) fn out32(&mut self, port: u16, value: u32) -> &mut Self {
        self.load(value).port(port).image.push(0xef);
        self
    }

    /// `out port, ax` for this value
    pub(crate) fn out16(&mut self, port: u16, value: u16) -> &mut Self {
        self.load(value.into()).port(port).image.extend([0x66, 0xef]);
        self
    }

    /// `out port, al` for this value
    pub(crate) fn out8(&mut self, port: u16, value: u8) -> &mut Self {
        self.load(value.into()).port(port).image.push(0xee);
        self
    }

    /// `in eax, port`
    pub(crate) fn in32(&mut self, port: u16) -> &mut Self {
        self.port(port).image.push(0xed);
        self
    }

    /// `xor eax, eax; in al, port`
    pub(crate) fn in8(&mut self, port: u16) -> &mut Self {
        self.image.extend([0x31, 0xc0]);
        self.port(port).image.push(0xec);
        self
    }

    /// `mov edi, to; mov ecx, count; cld; rep insb` from this port
    pub(crate) fn rep_insb(&mut self, port: u16, to: u32, count: u32) -> &mut Self {
        self.imm32(&[0xbf], to).imm32(&[0xb9], count).port(port);
        self.image.extend([0xfc, 0xf3, 0x6c]);
        self
    }

    /// Writes a dword of configuration space through the ports.
    pub(crate) fn config_write(&mut self, devfn: u8, register: u8, value: u32) -> &mut Self {
        self.config_address(devfn, register).out32(CONFIG_DATA, value)
    }

    /// Reads a dword of configuration space through the ports into eax.
    pub(crate) fn config_read(&mut self, devfn: u8, register: u8) -> &mut Self {
        self.config_address(devfn, register).in32(CONFIG_DATA)
    }

    fn config_address(&mut self, devfn: u8, register: u8) -> &mut Self {
        let address = 1 << 31 | u32::from(devfn) << 8 | u32::from(register & 0xfc);
        self.out32(CONFIG_ADDRESS, address)
    }

    /// `mov dword [addr], value`
    pub(crate) fn write32(&mut self, addr: u32, value: u32) -> &mut Self {
        self.imm32(&[0xc7, 0x05], addr).image.extend(value.to_le_bytes());
        self
    }

    /// `mov eax, [addr]`
    pub(crate) fn read32(&mut self, addr: u32) -> &mut Self {
        self.imm32(&[0xa1], addr)
    }

    /// `mov [addr], eax`
    pub(crate) fn store(&mut self, addr: u32) -> &mut Self {
        self.imm32(&[0xa3], addr)
    }

    /// Ends with `code` unless eax has this value: `cmp eax, value; je +; mov al, code; mov dx, 501h; out dx, al`
    pub(crate) fn expect(&mut self, value: u32, code: u8) -> &mut Self {
        self.imm32(&[0x3d], value);
        self.image.extend([0x74, 7, 0xb0, code, 0x66, 0xba]);
        self.image.extend(EXIT_PORT.to_le_bytes());
        self.image.push(0xee);
        self
    }

    /// Does `body` this many times: `mov ebx, times; ..; dec ebx; jnz`
    pub(crate) fn repeat(&mut self, times: u32, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.imm32(&[0xbb], times);
        let top = self.here();
        body(self);
        self.image.push(0x4b);
        let next = self.here() + 6;
        self.imm32(&[0x0f, 0x85], top.wrapping_sub(next))
    }

    /// Does `body` until the machine is stopped.
    pub(crate) fn forever(&mut self, body: impl FnOnce(&mut Self)) -> &mut Self {
        let top = self.here();
        body(self);
        let next = self.here() + 5;
        self.imm32(&[0xe9], top.wrapping_sub(next))
    }

    /// `call`s nothing: raw instructions, for what no method has.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.image.extend(bytes);
        self
    }

    /// The image, which ends the machine with [`OK`] when it gets that far.
    pub(crate) fn build(&mut self) -> Vec<u8> {
        self.out8(EXIT_PORT, OK);
        // jmp $
        self.image.extend([0xeb, 0xfe]);
        let mut image = std::mem::take(&mut self.image);
        assert!(image.len() <= SIZE - 16, "the firmware has 64 KiB");
        image.resize(SIZE - 16, 0);
        // The reset vector: jmp 0000h (FFF3 + D = 10000).
        image.extend([0xe9, 0x0d, 0x00]);
        image.resize(SIZE, 0);
        assert_eq!(u64::from(BASE) + u64::try_from(image.len()).unwrap(), 1 << 32);
        image
    }
}
