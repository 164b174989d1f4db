// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A firmware image put together instruction by instruction: 64 KiB that start at the reset vector, enter flat 32-bit
//! protected mode, collect bytes at edi, and write them to the debug console.
//!
//! Each method adds the instructions that its line shows.

use anyhow::{Result, bail};

const SIZE: usize = 0x1_0000;
/// Where the image lies: its last byte is the last below 4 GiB.
const BASE: u32 = 0xffff_0000;
/// Where texts are, from the beginning of the image; the code is below.
const TEXTS: usize = 0x8000;
const VECTOR: usize = SIZE - 16;

const CONSOLE: u16 = 0x402;
const EXIT: u16 = 0x501;
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const DIRECTORY: u16 = 0x19;

/// Guest memory: the directory of fw_cfg, an item of it, and what is to be written.
const FILES: u32 = 0x1_0000;
const ITEM: u32 = 0x2_0000;
const OUTPUT: u32 = 0x5_0000;
/// Most files that are looked at, and most bytes of one.
pub(in super::super) const MAX_FILES: u32 = 500;
pub(in super::super) const MAX_ITEM: u32 = 0x2_0000;
/// Longer items are told by the FNV-1a hash of each page.
pub(in super::super) const PAGE: u32 = 256;
pub(in super::super) const FNV_BASIS: u32 = 0x811c_9dc5;
pub(in super::super) const FNV_PRIME: u32 = 0x0100_0193;
/// Size of a file that is not there.
pub(in super::super) const ABSENT: u32 = u32::MAX;
/// What the image exits with at its end.
pub(in super::super) const DONE: u8 = 0x2a;

/// Conditions of short jumps.
const JE: u8 = 0x74;
const JNE: u8 = 0x75;
const JBE: u8 = 0x76;
const JA: u8 = 0x77;
const JAE: u8 = 0x73;

/// Bytes of an access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Width {
    Byte,
    Word,
    Dword,
}

/// Code in the making, and the texts that it uses.
#[derive(Default, Debug)]
pub(in super::super) struct Asm {
    code: Vec<u8>,
    texts: Vec<u8>,
    is_too_far: bool,
}

impl Asm {
    /// Protected mode, the stack, and where the output goes.
    pub(in super::super) fn new() -> Self {
        let mut asm = Self::default();
        // Real mode, CS base FFFF0000: cli; lgdt cs:[40h]; cr0.PE = 1; jmp 8:FFFF0080
        asm.raw(&[0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16, 0x40, 0x00]);
        asm.raw(&[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0]);
        asm.raw(&[0x66, 0xea, 0x80, 0x00, 0xff, 0xff, 0x08, 0x00]);
        asm.code.resize(0x40, 0);
        // Limit and address of the table that follows: null, flat code, flat data.
        asm.raw(&[0x17, 0x00, 0x48, 0x00, 0xff, 0xff, 0, 0]).raw(&[0; 8]);
        asm.raw(&[0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
        asm.raw(&[0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
        asm.code.resize(0x80, 0);
        // mov ax, 10h; mov ds, ax; mov es, ax; mov ss, ax; mov esp, 8000h; cld; mov edi, OUTPUT
        asm.raw(&[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0]);
        asm.imm(&[0xbc], 0x8000).raw(&[0xfc]).imm(&[0xbf], OUTPUT);
        asm
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.code.extend(bytes);
        self
    }

    fn imm(&mut self, opcode: &[u8], value: u32) -> &mut Self {
        self.raw(opcode).raw(&value.to_le_bytes())
    }

    /// `mov dx, port`
    fn port(&mut self, port: u16) -> &mut Self {
        self.raw(&[0x66, 0xba]).raw(&port.to_le_bytes())
    }

    /// A jump over `body`
    fn skip(&mut self, condition: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        self.raw(&[condition, 0]);
        let start = self.code.len();
        body(self);
        let distance = i8::try_from(self.code.len() - start).unwrap_or_default();
        self.is_too_far |= distance == 0;
        if let Some(byte) = self.code.get_mut(start - 1) {
            *byte = distance.cast_unsigned();
        }
        self
    }

    /// `body`, and a jump back to its beginning
    fn repeat(&mut self, condition: u8, body: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.code.len();
        body(self);
        let distance = i8::try_from(self.code.len() + 2 - start).unwrap_or_default();
        self.is_too_far |= distance == 0;
        self.raw(&[condition, distance.wrapping_neg().cast_unsigned()])
    }

    /// `xor eax, eax; in al, port`, or `in ax, port`, or `in eax, port`; `stosd`
    pub(in super::super) fn port_read(&mut self, port: u16, width: Width) -> &mut Self {
        self.raw(&[0x31, 0xc0]).port(port).raw(match width {
            Width::Byte => &[0xec, 0xab],
            Width::Word => &[0x66, 0xed, 0xab],
            Width::Dword => &[0xed, 0xab],
        })
    }

    /// `mov eax, value; out port, al` and so on
    pub(in super::super) fn port_write(&mut self, port: u16, width: Width, value: u32) -> &mut Self {
        self.imm(&[0xb8], value).port(port).raw(match width {
            Width::Byte => &[0xee],
            Width::Word => &[0x66, 0xef],
            Width::Dword => &[0xef],
        })
    }

    fn config(&mut self, function: u8, register: u8) -> u16 {
        let address = 1 << 31 | u32::from(function) << 8 | u32::from(register & 0xfc);
        self.port_write(CONFIG_ADDRESS, Width::Dword, address);
        CONFIG_DATA | u16::from(register & 3)
    }

    /// A read through the configuration ports
    pub(in super::super) fn config_read(&mut self, function: u8, register: u8, width: Width) -> &mut Self {
        let port = self.config(function, register);
        self.port_read(port, width)
    }

    /// A write through the configuration ports
    pub(in super::super) fn config_write(&mut self, function: u8, register: u8, width: Width, value: u32) -> &mut Self {
        let port = self.config(function, register);
        self.port_write(port, width, value)
    }

    /// `mov ebx, first`, then until ebx is `end`: `mov eax, ebx; out 0CF8h, eax; in eax, 0CFCh; stosd; add ebx, step`
    fn configs(&mut self, first: u32, step: u32, end: u32) -> &mut Self {
        self.imm(&[0xbb], first).repeat(JNE, |asm| {
            asm.raw(&[0x89, 0xd8]).port(CONFIG_ADDRESS).raw(&[0xef]);
            asm.port(CONFIG_DATA).raw(&[0xed, 0xab]);
            asm.imm(&[0x81, 0xc3], step).imm(&[0x81, 0xfb], end);
        })
    }

    /// The 256 bytes of a function's configuration space
    pub(in super::super) fn config_space(&mut self, function: u8) -> &mut Self {
        let first = 1 << 31 | u32::from(function) << 8;
        self.configs(first, 4, first + 0x100)
    }

    /// The first register of function 0 of each of the 32 devices of bus 0
    pub(in super::super) fn devices(&mut self) -> &mut Self {
        self.configs(1 << 31, 8 << 8, 1 << 31 | 0x1_0000)
    }

    /// `movzx eax, [address]` or `mov eax, [address]`; `stosd`
    pub(in super::super) fn memory_read(&mut self, address: u32, width: Width) -> &mut Self {
        let opcode: &[u8] = match width {
            Width::Byte => &[0x0f, 0xb6, 0x05],
            Width::Word => &[0x0f, 0xb7, 0x05],
            Width::Dword => &[0x8b, 0x05],
        };
        self.imm(opcode, address).raw(&[0xab])
    }

    /// `mov eax, value; mov [address], al` and so on
    pub(in super::super) fn memory_write(&mut self, address: u32, width: Width, value: u32) -> &mut Self {
        self.imm(&[0xb8], value);
        let opcode: &[u8] = match width {
            Width::Byte => &[0x88, 0x05],
            Width::Word => &[0x66, 0x89, 0x05],
            Width::Dword => &[0x89, 0x05],
        };
        self.imm(opcode, address)
    }

    /// Until one of the bits is set, or so often: `mov ecx, tries; test dword [address], bits; jne +3; dec ecx; jne -15`
    pub(in super::super) fn await_bits(&mut self, address: u32, bits: u32, tries: u32) -> &mut Self {
        self.imm(&[0xb9], tries).imm(&[0xf7, 0x05], address);
        self.raw(&bits.to_le_bytes()).raw(&[JNE, 3, 0x49, JNE, 0xf1])
    }

    /// `mov esi, address; mov ecx, count; rep movsd`
    pub(in super::super) fn memory(&mut self, address: u32, dwords: u32) -> &mut Self {
        self.imm(&[0xbe], address).imm(&[0xb9], dwords).raw(&[0xf3, 0xa5])
    }

    /// An item of fw_cfg that has no name: `out 510h, key; mov ecx, count; rep insb` from 511h
    pub(in super::super) fn item(&mut self, key: u16, bytes: u32) -> &mut Self {
        self.port_write(SELECTOR, Width::Word, key.into());
        self.imm(&[0xb9], bytes).port(DATA).raw(&[0xf3, 0x6c])
    }

    /// The directory of fw_cfg to memory, and on: the number of files, little-endian, and 64 bytes a file
    pub(in super::super) fn directory(&mut self) -> &mut Self {
        // push edi; mov edi, FILES; the number; mov eax, [FILES]; bswap eax
        self.raw(&[0x57]).imm(&[0xbf], FILES).item(DIRECTORY, 4);
        self.imm(&[0xa1], FILES).raw(&[0x0f, 0xc8]);
        // cmp eax, MAX_FILES; jbe; mov eax, MAX_FILES
        self.imm(&[0x3d], MAX_FILES).skip(JBE, |asm| {
            asm.imm(&[0xb8], MAX_FILES);
        });
        // mov [FILES], eax; mov ecx, eax; shl ecx, 6; rep insb; pop edi
        self.imm(&[0xa3], FILES).raw(&[0x89, 0xc1, 0xc1, 0xe1, 6]).port(DATA);
        self.raw(&[0xf3, 0x6c, 0x5f]);
        // mov esi, FILES; mov ecx, [FILES]; shl ecx, 6; add ecx, 4; rep movsb
        self.imm(&[0xbe], FILES).imm(&[0x8b, 0x0d], FILES);
        self.raw(&[0xc1, 0xe1, 6, 0x83, 0xc1, 4, 0xf3, 0xa4])
    }

    /// A file of the directory in memory: its size, and its bytes or the hashes of its pages
    pub(in super::super) fn file(&mut self, name: &str) -> &mut Self {
        let text = BASE + u32::try_from(TEXTS + self.texts.len()).unwrap_or_default();
        self.texts.extend(name.as_bytes());
        self.texts.push(0);
        let len = u32::try_from(name.len() + 1).unwrap_or_default();
        // xor ebp, ebp; mov ebx, [FILES]; mov esi, FILES + 4; test ebx, ebx
        self.raw(&[0x31, 0xed]).imm(&[0x8b, 0x1d], FILES);
        self.imm(&[0xbe], FILES + 4).raw(&[0x85, 0xdb]);
        self.skip(JE, |asm| {
            asm.repeat(JNE, |asm| {
                // push esi; push edi; add esi, 8; mov edi, text; mov ecx, len; repe cmpsb; pop edi; pop esi
                asm.raw(&[0x56, 0x57, 0x83, 0xc6, 8])
                    .imm(&[0xbf], text)
                    .imm(&[0xb9], len);
                asm.raw(&[0xf3, 0xa6, 0x5f, 0x5e]).skip(JNE, |asm| {
                    // mov ebp, esi
                    asm.raw(&[0x89, 0xf5]);
                });
                // add esi, 64; dec ebx
                asm.raw(&[0x83, 0xc6, 64, 0x4b]);
            });
        });
        // test ebp, ebp; jne; mov eax, -1; stosd
        self.raw(&[0x85, 0xed]).skip(JNE, |asm| {
            asm.imm(&[0xb8], ABSENT).raw(&[0xab]);
        });
        self.raw(&[0x85, 0xed]).skip(JE, Self::found)
    }

    /// The file whose entry is at ebp
    fn found(&mut self) {
        // movzx eax, word [ebp+4]; xchg al, ah; out 510h, ax; mov eax, [ebp]; bswap eax; stosd; mov ebp, eax
        self.raw(&[0x0f, 0xb7, 0x45, 4, 0x86, 0xe0]).port(SELECTOR);
        self.raw(&[0x66, 0xef, 0x8b, 0x45, 0, 0x0f, 0xc8, 0xab, 0x89, 0xc5]);
        // cmp ebp, MAX_ITEM
        self.imm(&[0x81, 0xfd], MAX_ITEM).skip(JA, |asm| {
            // push edi; mov edi, ITEM; mov ecx, ebp; rep insb; pop edi; mov esi, ITEM
            asm.raw(&[0x57]).imm(&[0xbf], ITEM).raw(&[0x89, 0xe9]).port(DATA);
            asm.raw(&[0xf3, 0x6c, 0x5f]).imm(&[0xbe], ITEM);
            // cmp ebp, PAGE; ja; mov ecx, ebp; rep movsb; xor ebp, ebp
            asm.imm(&[0x81, 0xfd], PAGE).skip(JA, |asm| {
                asm.raw(&[0x89, 0xe9, 0xf3, 0xa4, 0x31, 0xed]);
            });
            // test ebp, ebp
            asm.raw(&[0x85, 0xed]).skip(JE, |asm| {
                asm.repeat(JNE, Self::page);
            });
        });
    }

    /// The hash of one page of the ebp bytes at esi
    fn page(&mut self) {
        // mov ecx, PAGE; cmp ebp, ecx; jae; mov ecx, ebp
        self.imm(&[0xb9], PAGE).raw(&[0x39, 0xcd]).skip(JAE, |asm| {
            asm.raw(&[0x89, 0xe9]);
        });
        // sub ebp, ecx; mov eax, basis
        self.raw(&[0x29, 0xcd]).imm(&[0xb8], FNV_BASIS).repeat(JNE, |asm| {
            // movzx edx, byte [esi]; xor eax, edx; imul eax, prime; inc esi; dec ecx
            asm.raw(&[0x0f, 0xb6, 0x16, 0x31, 0xd0]).imm(&[0x69, 0xc0], FNV_PRIME);
            asm.raw(&[0x46, 0x49]);
        });
        // stosd; test ebp, ebp
        self.raw(&[0xab, 0x85, 0xed]);
    }

    /// What was collected to the console: `mov esi, OUTPUT; mov ecx, edi; sub ecx, esi; mov edi, esi; rep outsb`
    pub(in super::super) fn flush(&mut self) -> &mut Self {
        self.imm(&[0xbe], OUTPUT).raw(&[0x89, 0xf9, 0x29, 0xf1, 0x89, 0xf7]);
        self.port(CONSOLE).raw(&[0xf3, 0x6e])
    }

    /// The image, which ends the machine with [`DONE`].
    pub(in super::super) fn build(mut self) -> Result<Vec<u8>> {
        self.port_write(EXIT, Width::Byte, DONE.into());
        // jmp $
        self.raw(&[0xeb, 0xfe]);
        let Self {
            code: mut image,
            texts,
            is_too_far,
        } = self;
        if is_too_far || image.len() > TEXTS || texts.len() > VECTOR - TEXTS {
            bail!("the probe does not fit into {SIZE:#x} bytes, or has a jump that is too far");
        }
        image.resize(TEXTS, 0);
        image.extend(texts);
        image.resize(VECTOR, 0);
        // The reset vector: jmp 0000h (FFF3 + D = 10000).
        image.extend([0xe9, 0x0d, 0x00]);
        image.resize(SIZE, 0);
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_begins_at_its_end() {
        let image = Asm::new().build().unwrap();
        assert_eq!(image.len(), SIZE);
        assert_eq!(image[VECTOR..VECTOR + 3], [0xe9, 0x0d, 0x00], "a jump to offset 0");
        assert_eq!(image[0], 0xfa, "which turns interrupts off");
        let end = image[0x80..TEXTS].iter().rposition(|byte| *byte != 0).unwrap() + 0x80;
        assert_eq!(
            image[end - 11..=end],
            [0xb8, DONE, 0, 0, 0, 0x66, 0xba, 0x01, 0x05, 0xee, 0xeb, 0xfe]
        );
    }

    #[test]
    fn jumps_reach_their_ends() {
        let mut asm = Asm::default();
        asm.skip(JE, |asm| {
            asm.raw(&[0x90, 0x90]);
        });
        asm.repeat(JNE, |asm| {
            asm.raw(&[0x90, 0x90]);
        });
        assert_eq!(asm.code, [JE, 2, 0x90, 0x90, 0x90, 0x90, JNE, 0xfc]);
        asm.skip(JE, |asm| {
            asm.raw(&[0x90; 128]);
        });
        assert!(asm.build().unwrap_err().to_string().contains("too far"));
    }

    #[test]
    fn names_lie_behind_the_code() {
        let mut asm = Asm::new();
        asm.file("etc/a").file("etc/bc");
        let image = asm.build().unwrap();
        assert_eq!(&image[TEXTS..TEXTS + 13], b"etc/a\0etc/bc\0");
        let second = (BASE + 0x8006).to_le_bytes();
        assert!(
            image[..TEXTS]
                .windows(5)
                .any(|bytes| bytes[0] == 0xbf && bytes[1..] == second)
        );
    }
}
