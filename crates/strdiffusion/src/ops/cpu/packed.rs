//! Weights packed once for inference.
//!
//! Winograd's transform of a layer's weights costs as much as a few pictures' worth of the layer
//! itself, so inference keeps it. An entry is found by the weights' place in memory and holds on
//! to them, so that the place cannot be reused, nor the weights be changed in place, while the
//! entry lives.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use strdiffusion_kernels::{Conv2dShape, Isa, PackedConv, Precision, prefers_plain_weights};

/// 4 GB: room for both full-size networks of width 32, or one of width 64.
const DEFAULT_BUDGET: usize = 4 << 30;

static BUDGET: AtomicUsize = AtomicUsize::new(DEFAULT_BUDGET);
static CACHE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

static PRECISE: AtomicBool = AtomicBool::new(false);

/// Chooses how 3×3 convolutions on the CPU are computed from now on: `true` takes Winograd's
/// F(2, 3), whose rounding error is about 3e-7 of the largest value, `false` (the default) F(4, 3),
/// with about 1e-6, which is faster.
pub fn set_precise(precise: bool) {
    PRECISE.store(precise, Ordering::Relaxed);
}

thread_local! {
    static BF16: Cell<bool> = const { Cell::new(false) };
}

/// As long as it lives, this thread's convolutions are computed as [`bf16_convolutions`] was told.
#[must_use]
pub struct Bf16Convolutions {
    before: bool,
}

/// From now until the result is dropped, convolutions that this thread starts on the CPU take bf16
/// operands, or do not. Their gradients follow them, whenever they are taken. Where the CPU has no
/// tiles (see [`has_bf16`]) they stay f32.
pub fn bf16_convolutions(on: bool) -> Bf16Convolutions {
    Bf16Convolutions {
        before: BF16.replace(on),
    }
}

impl Drop for Bf16Convolutions {
    fn drop(&mut self) {
        BF16.set(self.before);
    }
}

/// Whether this CPU has tiles for bf16: with them convolutions in bf16 are faster than in f32.
pub fn has_bf16() -> bool {
    Isa::available().contains(&Isa::Amx)
}

/// How a convolution that starts now is computed.
pub(super) fn precision() -> Precision {
    if BF16.get() {
        Precision::Bf16
    } else if PRECISE.load(Ordering::Relaxed) {
        Precision::Precise
    } else {
        Precision::Fast
    }
}

struct Entry {
    weight: FlexTensor,
    stride: usize,
    padding: usize,
    precision: Precision,
    packed: Arc<PackedConv>,
}

impl Entry {
    /// Whether nobody but this entry holds the weights any more.
    fn is_orphan(&self) -> bool {
        self.weight.is_unique()
    }
}

/// Sets how many bytes of packed weights inference may keep. 0 keeps none: the low-memory mode,
/// in which every call packs its weights anew.
pub fn set_weight_cache_bytes(bytes: usize) {
    BUDGET.store(bytes, Ordering::Relaxed);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if held(&cache) > bytes {
        cache.clear();
    }
}

/// How many bytes of packed weights are kept now.
pub fn weight_cache_bytes() -> usize {
    held(&CACHE.lock().unwrap_or_else(PoisonError::into_inner))
}

fn held(cache: &[Entry]) -> usize {
    cache.iter().map(|entry| entry.packed.bytes()).sum()
}

/// The packed form of `weight`, or `None` where there is no room for it or it would be slower.
pub(super) fn find_or_pack(weight: &FlexTensor, shape: &Conv2dShape) -> Option<Arc<PackedConv>> {
    let budget = BUDGET.load(Ordering::Relaxed);
    let precision = precision();
    if budget == 0 || prefers_plain_weights(shape, precision) {
        return None;
    }
    let values: &[f32] = weight.as_slice()?;
    let matches = |entry: &Entry| {
        let held: Option<&[f32]> = entry.weight.as_slice();
        held.is_some_and(|held| std::ptr::eq(held, values))
            && (entry.stride, entry.padding) == (shape.stride, shape.padding)
            && entry.precision == precision
            && entry.weight.layout().shape() == weight.layout().shape()
    };
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(entry) = cache.iter().find(|entry| matches(entry)) {
        return Some(entry.packed.clone());
    }
    cache.retain(|entry| !entry.is_orphan());
    let packed = Arc::new(PackedConv::new(shape, values, precision));
    if held(&cache) + packed.bytes() > budget {
        return None;
    }
    cache.push(Entry {
        weight: weight.clone(),
        stride: shape.stride,
        padding: shape.padding,
        precision,
        packed: packed.clone(),
    });
    Some(packed)
}
