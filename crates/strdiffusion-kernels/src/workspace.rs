//! Scratch memory that outlives a call: each thread keeps its buffers, so that after the first
//! call of a shape nothing is allocated.

use std::cell::RefCell;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A buffer of f32, aligned to 64 bytes, that starts as zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer(Vec<Line>);

impl Buffer {
    /// The first `len` floats, grown if needed. The content is what the last user left.
    pub(crate) fn get(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(16);
        if self.0.len() < lines {
            // Not `resize`: the old content need not be copied.
            self.0 = Vec::new();
            self.0 = vec![Line([0.0; 16]); lines];
        }
        // SAFETY: Line is repr(C) and made of 16 f32 without padding (64 bytes, align 64), so
        // the vector's memory is `16 * lines` initialised f32, at least `len`.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }

    /// The first `len` floats of a buffer that was grown to hold them.
    pub(crate) fn filled(&self, len: usize) -> &[f32] {
        assert!(len <= 16 * self.0.len());
        // SAFETY: as in `get`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }
}

/// What a buffer is for; nested uses need different slots.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    /// Transformed or gathered input.
    Input,
    /// Products of a block.
    Product,
    /// Rows on their way.
    Rows,
    /// Weights packed for one call.
    Weights,
    /// Input shared by the threads of one call.
    Shared,
    /// Only ever read: stays zero.
    Zeros,
}

const SLOTS: usize = 6;

thread_local! {
    static BUFFERS: RefCell<[Buffer; SLOTS]> = RefCell::default();
}

/// Lends this thread's buffer of `slot` to `f`. A slot that is already lent is replaced by a
/// fresh buffer for the inner use.
pub(crate) fn with<R>(slot: Slot, len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = BUFFERS.with_borrow_mut(|b| std::mem::take(&mut b[slot as usize]));
    let result = f(buffer.get(len));
    BUFFERS.with_borrow_mut(|b| b[slot as usize] = buffer);
    result
}

/// Frees the scratch memory of the calling thread, which holds what the threads of a call share;
/// the pool's threads keep theirs, a few MB each.
pub fn release_workspace() {
    BUFFERS.with_borrow_mut(|b| *b = Default::default());
}
