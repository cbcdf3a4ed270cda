//! A global allocator that keeps large blocks for the next use.
//!
//! A network asks for the same large blocks again and again. Ordinary allocators hand blocks of
//! this size back to the system, which then clears and maps every page anew: a fifth of the time
//! of a forward pass, measured. Here a freed block waits in a list of its size class, so that from
//! the second step on nothing is asked of the system. New blocks want huge pages, because rows of
//! different channels lie far apart and would each need a place in the address cache.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Smaller blocks go to the system's allocator.
const SMALLEST: usize = 1 << SMALLEST_LOG;
const SMALLEST_LOG: u32 = 18;
/// Size classes for each power of two: at most an eighth of a block is lost.
const STEPS: usize = 8;
/// Up to 2^40 bytes; larger blocks go to the system.
const CLASSES: usize = STEPS * 22;
const LARGEST: usize = 1 << (SMALLEST_LOG + 21);
/// Blocks are aligned to what holds them.
const PAGE: usize = 4096;
const HUGE_PAGE: usize = 2 << 20;
/// What may stand idle beyond a quarter of the peak.
const ALWAYS_KEPT: usize = 64 << 20;

/// Keeps freed blocks of 256 KiB and more for the next use; all else is the system allocator's.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: strdiffusion_kernels::Recycler = strdiffusion_kernels::Recycler;
/// # fn main() { drop(vec![0f32; 1 << 20]) }
/// ```
///
/// Before it asks the system for a new block it gives old ones back, the longest unused first, as
/// far as blocks in use and idle ones together exceed the most that was ever in use by a quarter
/// (and 64 MiB).
#[derive(Clone, Copy, Debug, Default)]
pub struct Recycler;

/// Stands at the start of a free block.
struct Free {
    next: *mut Free,
    /// When it was freed.
    since: u64,
}

struct State {
    /// Free blocks of each class, the last freed first.
    lists: [*mut Free; CLASSES],
    clock: u64,
    idle: usize,
    used: usize,
    /// The most that was ever in use.
    peak: usize,
}

// SAFETY: the blocks in the lists belong to nobody but the state.
unsafe impl Send for State {}

static STATE: Mutex<State> = Mutex::new(State {
    lists: [null_mut(); CLASSES],
    clock: 0,
    idle: 0,
    used: 0,
    peak: 0,
});

static EXHAUSTED: OnceLock<fn(usize)> = OnceLock::new();

/// From now on `tell` is called with the bytes that were asked for when the system has no memory
/// left for a large block, before the program is aborted as usual. The first call decides.
pub fn when_exhausted(tell: fn(usize)) {
    let _ = EXHAUSTED.set(tell);
}

/// Nothing in this file panics while it holds the lock, so it is never poisoned.
fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size class of a block that is recycled.
fn class_of(layout: &Layout) -> Option<usize> {
    let size = layout.size();
    if !(SMALLEST..=LARGEST).contains(&size) || layout.align() > PAGE {
        return None;
    }
    let log = size.ilog2();
    let step = (size - (1 << log)).div_ceil((1 << log) / STEPS);
    Some((log - SMALLEST_LOG) as usize * STEPS + step)
}

/// The block that stands for a class.
fn block_of(class: usize) -> Layout {
    let base = SMALLEST << (class / STEPS);
    let size = base + class % STEPS * (base / STEPS);
    let align = if size >= 2 * HUGE_PAGE {
        HUGE_PAGE
    } else {
        PAGE
    };
    // SAFETY: both alignments are powers of two, and sizes stay below 2^41.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

impl State {
    fn take(&mut self, class: usize) -> *mut u8 {
        let block = self.lists[class];
        let size = block_of(class).size();
        self.used += size;
        self.peak = self.peak.max(self.used);
        if !block.is_null() {
            // SAFETY: blocks in the lists start with a `Free`.
            self.lists[class] = unsafe { (*block).next };
            self.idle -= size;
        }
        block.cast()
    }

    /// # Safety
    /// `block` is of this class and is used by nobody any more.
    unsafe fn keep(&mut self, block: *mut u8, class: usize) {
        let free = block.cast::<Free>();
        self.clock += 1;
        let (next, since) = (self.lists[class], self.clock);
        // SAFETY: the block is ours, larger than a `Free` and aligned to a page.
        unsafe { free.write(Free { next, since }) };
        self.lists[class] = free;
        let size = block_of(class).size();
        self.idle += size;
        self.used -= size;
    }

    /// Gives the longest unused blocks back until at most `kept` bytes are idle.
    fn trim(&mut self, kept: usize) {
        while self.idle > kept {
            let mut oldest: Option<(u64, *mut *mut Free, usize)> = None;
            for (class, list) in self.lists.iter_mut().enumerate() {
                let mut link: *mut *mut Free = list;
                // SAFETY: links lead from block to block and end with null.
                unsafe {
                    while !(*link).is_null() {
                        let since = (**link).since;
                        if oldest.is_none_or(|(old, ..)| since < old) {
                            oldest = Some((since, link, class));
                        }
                        link = &raw mut (**link).next;
                    }
                }
            }
            let Some((_, link, class)) = oldest else {
                return;
            };
            let layout = block_of(class);
            // SAFETY: `link` was found just now; the block came from the system with this layout.
            unsafe {
                let block = *link;
                *link = (*block).next;
                System.dealloc(block.cast(), layout);
            }
            self.idle -= layout.size();
        }
    }
}

/// Asks for huge pages where the system has them on demand.
fn prefer_huge_pages(block: *mut u8, layout: Layout) {
    #[cfg(all(target_os = "linux", not(miri)))]
    if !block.is_null() && layout.align() == HUGE_PAGE {
        use std::ffi::{c_int, c_void};
        unsafe extern "C" {
            fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
        }
        const MADV_HUGEPAGE: c_int = 14;
        // SAFETY: the range is a block that the system just gave; the advice changes how its
        // pages are mapped, not what they hold. A refusal changes nothing.
        unsafe { madvise(block.cast(), layout.size() / PAGE * PAGE, MADV_HUGEPAGE) };
    }
    #[cfg(not(all(target_os = "linux", not(miri))))]
    let _ = (block, layout);
}

// SAFETY: a block is either lent out or in one list, never both; all else is left to the system's
// allocator, and which of the two serves a layout depends on the layout alone.
unsafe impl GlobalAlloc for Recycler {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(&layout) else {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc(layout) };
        };
        let block = state().take(class);
        if !block.is_null() {
            return block;
        }
        {
            let mut state = state();
            let most = state.peak + state.peak / 4 + ALWAYS_KEPT;
            let kept = most - state.used;
            state.trim(kept);
        }
        let whole = block_of(class);
        // SAFETY: the layout is not of size zero.
        let mut block = unsafe { System.alloc(whole) };
        if block.is_null() {
            state().trim(0);
            // SAFETY: as above.
            block = unsafe { System.alloc(whole) };
        }
        if block.is_null() {
            state().used -= whole.size();
            if let Some(tell) = EXHAUSTED.get() {
                tell(whole.size());
            }
        }
        prefer_huge_pages(block, whole);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class_of(&layout) {
            // SAFETY: the caller's contract: the block came from `alloc` with this layout.
            Some(class) => unsafe { state().keep(block, class) },
            // SAFETY: as above.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(&layout).is_none() {
            // SAFETY: the caller's contract.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the caller's contract; what is written lies within the block.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract: the size is not zero and fits the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(&layout), class_of(&new)) {
            // SAFETY: the caller's contract.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (old, new) if old == new => block,
            // SAFETY: both blocks are valid for the smaller of the two sizes.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

/// Gives all blocks that [`Recycler`] keeps back to the system.
pub fn release_recycled() {
    state().trim(0);
}

/// A vector of `len` floats of no particular value, for a kernel to fill: unlike `vec![0.0; len]`
/// it costs nothing where the block was used before.
pub fn unfilled(len: usize) -> Vec<f32> {
    // SAFETY: any bytes are a valid f32.
    unsafe { unfilled_of(len) }
}

/// As [`unfilled`], of another type.
///
/// # Safety
/// Any bytes are a valid `T`.
pub(crate) unsafe fn unfilled_of<T: Copy + Default>(len: usize) -> Vec<T> {
    #[cfg(miri)]
    return vec![T::default(); len];
    #[cfg(not(miri))]
    {
        let mut values = Vec::<T>::with_capacity(len);
        // SAFETY: the vector has room for `len`, and any bytes are valid. The empty assembly may,
        // for all the compiler knows, have written them, so that they count as initialised with
        // values that are not known.
        unsafe {
            std::arch::asm!("/* {0} */", in(reg) values.as_mut_ptr(), options(nostack, preserves_flags));
            values.set_len(len);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that is asked for fits into its class, and classes are at most an eighth larger.
    #[test]
    fn classes_are_large_enough_and_waste_little() {
        for size in (SMALLEST..=1 << 26)
            .step_by(99_991)
            .chain([SMALLEST, LARGEST])
        {
            let layout = Layout::from_size_align(size, 8).unwrap();
            let block = block_of(class_of(&layout).unwrap()).size();
            assert!(
                block >= size && block <= size + size / 8 + 1,
                "{size} {block}"
            );
        }
        let small = Layout::from_size_align(SMALLEST - 1, 8).unwrap();
        assert_eq!(class_of(&small), None);
    }

    #[test]
    fn a_freed_block_is_used_again_and_zeroed_where_asked() {
        let layout = Layout::from_size_align(3 << 20, 8).unwrap();
        // SAFETY: blocks are used within their size and freed once, with their layout.
        unsafe {
            let first = Recycler.alloc(layout);
            first.write_bytes(7, layout.size());
            Recycler.dealloc(first, layout);
            let again = Recycler.alloc_zeroed(layout);
            assert_eq!(first, again);
            let bytes = std::slice::from_raw_parts(again, layout.size());
            assert!(bytes.iter().all(|&b| b == 0));
            Recycler.dealloc(again, layout);
        }
    }

    /// A step that is repeated finds all its blocks again, also when a block of a new size comes in
    /// between.
    #[test]
    fn a_repeated_step_asks_the_system_for_nothing() {
        let layout = |mib: usize| Layout::from_size_align(mib << 20, 8).unwrap();
        let sizes = [33, 17, 33, 9, 70, 5, 17, 33];
        let step = || {
            // SAFETY: each block is freed once, with its layout.
            unsafe {
                let blocks = sizes.map(|mib| Recycler.alloc(layout(mib)));
                let new = Recycler.alloc(layout(41));
                Recycler.dealloc(new, layout(41));
                for (block, mib) in blocks.iter().zip(sizes) {
                    Recycler.dealloc(*block, layout(mib));
                }
                let mut blocks = blocks.to_vec();
                blocks.push(new);
                blocks.sort();
                blocks
            }
        };
        let first = step();
        assert_eq!(step(), first);
        assert_eq!(step(), first);
    }

    #[test]
    fn growing_keeps_the_content() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        // SAFETY: as above.
        unsafe {
            let mut block = Recycler.alloc(layout);
            for i in 0..1000 {
                *block.add(i) = i as u8;
            }
            let mut size = 1000;
            for grown in [300 << 10, 310 << 10, 5 << 20, 400 << 10, 1500] {
                let old = Layout::from_size_align(size, 8).unwrap();
                block = Recycler.realloc(block, old, grown);
                size = grown;
                assert!((0..1000).all(|i| *block.add(i) == i as u8), "{grown}");
            }
            Recycler.dealloc(block, Layout::from_size_align(size, 8).unwrap());
        }
    }
}
