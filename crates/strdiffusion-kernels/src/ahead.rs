//! Prefetching of what comes next while the cores compute.
//!
//! Rows of different channels lie far apart in memory, where the hardware's own prefetching does
//! not reach. A few lines asked for between two runs of a micro-kernel hide that time.

/// Rows of memory to be prefetched bit by bit.
pub(crate) struct Ahead {
    base: *const f32,
    row_step: usize,
    lines: usize,
    rows: usize,
    /// The next line to ask for.
    row: usize,
    line: usize,
    per_step: usize,
    write: bool,
}

/// Floats in a cache line.
const LINE: usize = 16;

impl Ahead {
    /// `rows` rows of `count` floats, in about `steps` steps. The memory need not exist.
    pub(crate) fn new(
        base: *const f32,
        [rows, row_step, count]: [usize; 3],
        steps: usize,
        write: bool,
    ) -> Self {
        let lines = count.div_ceil(LINE);
        Self {
            base,
            row_step,
            lines,
            rows,
            row: 0,
            line: 0,
            per_step: (rows * lines).div_ceil(steps.max(1)),
            write,
        }
    }

    /// Nothing.
    pub(crate) fn none() -> Self {
        Self::new(std::ptr::null(), [0, 0, 0], 1, false)
    }

    /// Asks for the next few lines.
    pub(crate) fn step(&mut self) {
        for _ in 0..self.per_step {
            if self.row >= self.rows {
                return;
            }
            prefetch(self.base.wrapping_add(self.line * LINE), self.write);
            self.line += 1;
            if self.line == self.lines {
                self.line = 0;
                self.row += 1;
                self.base = self.base.wrapping_add(self.row_step);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn prefetch(p: *const f32, write: bool) {
    use std::arch::x86_64::{_MM_HINT_ET0, _MM_HINT_T1, _mm_prefetch};
    // SAFETY: a prefetch is a hint; it faults for no address.
    unsafe {
        if write {
            _mm_prefetch::<_MM_HINT_ET0>(p.cast());
        } else {
            _mm_prefetch::<_MM_HINT_T1>(p.cast());
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch(_p: *const f32, _write: bool) {}
