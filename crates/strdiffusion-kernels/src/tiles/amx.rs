//! The tile registers: whether they may be used, and the products of panels.
//!
//! A panel is a run of tiles in memory, one for each 32 terms of a sum, each 1 KiB and aligned to
//! 64 bytes: rows that straddle cache lines take six times as long. Every product is one `asm!`
//! block that leaves nothing in the registers, because the compiler does not know tiles and may
//! not keep them from block to block.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::sync::OnceLock;

/// Whether this process may use bf16 tiles, and this CPU has what stands around them here. The
/// first call asks the system for permission, which then holds for every thread; a refusal stands.
pub(crate) fn available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let vectors = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("xsave");
        let features = __cpuid_count(7, 0).edx;
        let (tiles, bf16) = (features >> 24 & 1 == 1, features >> 22 & 1 == 1);
        vectors && tiles && bf16 && system_saves_tiles() && request_permission()
    })
}

/// Whether the system saves tile configuration and data (XCR0 bits 17 and 18) on a task switch.
fn system_saves_tiles() -> bool {
    #[target_feature(enable = "xsave")]
    fn saved() -> u64 {
        // SAFETY: OSXSAVE is set wherever AVX-512 was detected.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: XSAVE was detected.
    unsafe { saved() >> 17 & 3 == 3 }
}

/// Linux gives tiles to programs that ask: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA). It
/// refuses before version 5.16, and where a thread's alternate signal stack is too small for them.
#[cfg(target_os = "linux")]
fn request_permission() -> bool {
    let result: i64;
    // SAFETY: a system call that touches no memory of the program.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") 158i64 => result,
            in("rdi") 0x1023u64,
            in("rsi") 18u64,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Elsewhere nobody has tried.
#[cfg(not(target_os = "linux"))]
fn request_permission() -> bool {
    false
}

/// All eight tiles of this thread, 16 rows of 64 bytes each, until it is dropped.
pub(super) struct Tiles(());

impl Tiles {
    pub(super) fn new() -> Self {
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        row_bytes[..8].fill(64);
        rows[..8].fill(16);
        let configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes,
            rows,
        };
        assert!(available());
        // SAFETY: there are tiles, and palette 1 exists wherever there are.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly));
        }
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: back to the initial state, in which task switches save no tiles.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Where a product's four tiles of sums lie, one after the other, and whether what is there counts.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub at: *mut f32,
    pub add: bool,
}

/// A product of panels: sums to tmm0 … tmm3, which lie at the four addresses, with the loads and
/// multiplications of one step.
macro_rules! product {
    (
        [$sums0:literal, $sums1:literal, $sums2:literal, $sums3:literal], $add:expr, $steps:ident,
        [$($step:expr),+ $(,)?], $($operand:tt)+
    ) => {
        asm!(
            "test {add:e}, {add:e}",
            "jz 2f",
            concat!("tileloadd tmm0, ", $sums0),
            concat!("tileloadd tmm1, ", $sums1),
            concat!("tileloadd tmm2, ", $sums2),
            concat!("tileloadd tmm3, ", $sums3),
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            ".p2align 5",
            "3:",
            $($step,)+
            "dec {steps}",
            "jnz 3b",
            concat!("tilestored ", $sums0, ", tmm0"),
            concat!("tilestored ", $sums1, ", tmm1"),
            concat!("tilestored ", $sums2, ", tmm2"),
            concat!("tilestored ", $sums3, ", tmm3"),
            $($operand)+,
            steps = inout(reg) $steps => _,
            add = in(reg) u32::from($add),
            row = in(reg) 64usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// A product whose four tiles of sums lie one after the other.
macro_rules! product_to_tiles {
    ($sums:ident, $steps:ident, $step:tt, $($panel:tt)+) => {
        product!(
            [
                "[{sums}+{row}*1]",
                "[{sums}+{row}*1+1024]",
                "[{sums}+{row}*1+2048]",
                "[{sums}+{row}*1+3072]"
            ],
            $sums.add,
            $steps,
            $step,
            sums = in(reg) $sums.at,
            $($panel)+
        )
    };
}

/// A step of two panels times two; the first panels are loaded by `$load`.
macro_rules! two_by_two_step {
    ($load:literal) => {
        concat!(
            $load,
            " tmm4, [{a0}+{row}*1]\n",
            "tileloadd tmm6, [{b0}+{row}*1]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tileloadd tmm7, [{b1}+{row}*1]\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            $load,
            " tmm5, [{a1}+{row}*1]\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            "tdpbf16ps tmm3, tmm5, tmm7\n",
            "add {a0}, 1024\n",
            "add {a1}, 1024\n",
            "add {b0}, 1024\n",
            "add {b1}, 1024",
        )
    };
}

/// Two panels times two: the sums of (0, 0), (0, 1), (1, 0), (1, 1).
///
/// # Safety
/// Each panel has `steps` > 0 tiles, `sums` room for four, all aligned to 64 bytes.
pub(super) unsafe fn two_by_two(
    _: &Tiles,
    a: [*const u8; 2],
    b: [*const u8; 2],
    steps: usize,
    sums: Sums,
) {
    // SAFETY: the caller's contract; the tiles are configured as long as `Tiles` lives.
    unsafe {
        product_to_tiles!(
            sums,
            steps,
            // What is read once need not stay in the first-level cache.
            [two_by_two_step!("tileloaddt1")],
            a0 = inout(reg) a[0] => _,
            a1 = inout(reg) a[1] => _,
            b0 = inout(reg) b[0] => _,
            b1 = inout(reg) b[1] => _
        );
    }
}

/// Two runs of rows times two panels: as [`two_by_two`], but the left sides' tiles lie at `offsets`
/// from each of the two, and the panels' tiles in turn, step by step.
///
/// # Safety
/// Tiles lie at all `offsets`, which are not none, from both of `a`; twice as many at `b`; all
/// aligned to 64 bytes. `sums` has room for four.
pub(super) unsafe fn two_by_two_at(
    _: &Tiles,
    a: [*const u8; 2],
    offsets: &[usize],
    b: *const u8,
    sums: Sums,
) {
    let steps = offsets.len();
    // SAFETY: as in `two_by_two`.
    unsafe {
        product_to_tiles!(
            sums,
            steps,
            [
                "mov {there}, [{offsets}]",
                "lea {other}, [{a0}+{there}]",
                "add {there}, {a1}",
                "tileloadd tmm4, [{other}+{row}*1]",
                "tileloadd tmm6, [{b}+{row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b}+{row}*1+1024]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{there}+{row}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {offsets}, 8",
                "add {b}, 2048",
            ],
            there = out(reg) _,
            other = out(reg) _,
            a0 = in(reg) a[0],
            a1 = in(reg) a[1],
            offsets = inout(reg) offsets.as_ptr() => _,
            b = inout(reg) b => _
        );
    }
}

/// One panel times four: the sums of each of the four.
///
/// # Safety
/// As [`two_by_two`].
pub(super) unsafe fn one_by_four(
    _: &Tiles,
    a: *const u8,
    b: [*const u8; 4],
    steps: usize,
    sums: Sums,
) {
    // SAFETY: as in `two_by_two`.
    unsafe {
        product_to_tiles!(
            sums,
            steps,
            [
                "tileloadd tmm4, [{a}+{row}*1]",
                "tileloadd tmm5, [{b0}+{row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm5",
                "tileloadd tmm6, [{b1}+{row}*1]",
                "tdpbf16ps tmm1, tmm4, tmm6",
                "tileloadd tmm7, [{b2}+{row}*1]",
                "tdpbf16ps tmm2, tmm4, tmm7",
                "tileloadd tmm5, [{b3}+{row}*1]",
                "tdpbf16ps tmm3, tmm4, tmm5",
                "add {a}, 1024",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "add {b2}, 1024",
                "add {b3}, 1024",
            ],
            a = inout(reg) a => _,
            b0 = inout(reg) b[0] => _,
            b1 = inout(reg) b[1] => _,
            b2 = inout(reg) b[2] => _,
            b3 = inout(reg) b[3] => _
        );
    }
}

/// Four panels times one: the sums of each of the four.
///
/// # Safety
/// As [`two_by_two`].
pub(super) unsafe fn four_by_one(
    _: &Tiles,
    a: [*const u8; 4],
    b: *const u8,
    steps: usize,
    sums: Sums,
) {
    // SAFETY: as in `two_by_two`.
    unsafe {
        product_to_tiles!(
            sums,
            steps,
            [
                "tileloadd tmm4, [{b}+{row}*1]",
                "tileloadd tmm5, [{a0}+{row}*1]",
                "tdpbf16ps tmm0, tmm5, tmm4",
                "tileloadd tmm6, [{a1}+{row}*1]",
                "tdpbf16ps tmm1, tmm6, tmm4",
                "tileloadd tmm7, [{a2}+{row}*1]",
                "tdpbf16ps tmm2, tmm7, tmm4",
                "tileloadd tmm5, [{a3}+{row}*1]",
                "tdpbf16ps tmm3, tmm5, tmm4",
                "add {b}, 1024",
                "add {a0}, 1024",
                "add {a1}, 1024",
                "add {a2}, 1024",
                "add {a3}, 1024",
            ],
            b = inout(reg) b => _,
            a0 = inout(reg) a[0] => _,
            a1 = inout(reg) a[1] => _,
            a2 = inout(reg) a[2] => _,
            a3 = inout(reg) a[3] => _
        );
    }
}

/// Two panels times two, into a matrix of f32 whose rows are `stride` floats apart: the rows of the
/// first panel's sums, then those of the second's; `add`: to what is there.
///
/// # Safety
/// As [`two_by_two`], for 32 rows of 32 floats at `to`.
pub(super) unsafe fn two_by_two_into(
    _: &Tiles,
    a: [*const u8; 2],
    b: [*const u8; 2],
    steps: usize,
    to: *mut f32,
    stride: usize,
    add: bool,
) {
    // SAFETY: as in `two_by_two`.
    unsafe {
        product!(
            [
                "[{upper}+{stride}*1]",
                "[{upper}+{stride}*1+64]",
                "[{lower}+{stride}*1]",
                "[{lower}+{stride}*1+64]"
            ],
            add,
            steps,
            [two_by_two_step!("tileloadd")],
            a0 = inout(reg) a[0] => _,
            a1 = inout(reg) a[1] => _,
            b0 = inout(reg) b[0] => _,
            b1 = inout(reg) b[1] => _,
            upper = in(reg) to,
            lower = in(reg) to.add(16 * stride),
            stride = in(reg) 4 * stride
        );
    }
}
