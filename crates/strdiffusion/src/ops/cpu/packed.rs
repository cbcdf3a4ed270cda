//! Weights packed once for inference.
//!
//! Winograd's transform of a layer's weights costs as much as a few pictures' worth of the layer
//! itself, so inference keeps it. An entry is found by the weights' place in memory and holds on
//! to them, so that the place cannot be reused, nor the weights be changed in place, while the
//! entry lives.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;
use strdiffusion_kernels::channels_last::Conv;
use strdiffusion_kernels::{Conv2dShape, Isa, PackedConv, Precision, prefers_plain_weights};

/// Packed weights of all networks of the process: 4 GB, room for both full-size networks of width
/// 32, or one of width 64. What does not fit is packed at every call.
const MOST_BYTES: usize = 4 << 30;

static CACHE: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// How a network's convolutions are computed on the CPU; elsewhere it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolutions {
    /// Their numbers and algorithm. Bf16 is f32 where the CPU has no tiles ([`has_bf16`]).
    pub precision: Precision,
    /// Whether inference keeps the weights as the kernels read them. Without, every call packs them
    /// anew: slower, with less memory.
    pub keep_packed: bool,
}

impl Default for Convolutions {
    fn default() -> Self {
        Self {
            precision: Precision::Fast,
            keep_packed: true,
        }
    }
}

thread_local! {
    static NOW: Cell<Convolutions> = const {
        Cell::new(Convolutions {
            precision: Precision::Fast,
            keep_packed: true,
        })
    };
}

/// As long as it lives, this thread's convolutions are computed as [`choose_convolutions`] was
/// told.
#[must_use]
pub struct ChosenConvolutions {
    before: Convolutions,
}

/// From now until the result is dropped, convolutions that this thread starts on the CPU are
/// computed so. Their gradients follow them, whenever they are taken.
pub fn choose_convolutions(chosen: Convolutions) -> ChosenConvolutions {
    ChosenConvolutions {
        before: NOW.replace(chosen),
    }
}

impl Drop for ChosenConvolutions {
    fn drop(&mut self) {
        NOW.set(self.before);
    }
}

/// Whether this CPU has tiles for bf16: with them convolutions in bf16 are faster than in f32.
pub fn has_bf16() -> bool {
    Isa::available().contains(&Isa::Amx)
}

/// How a convolution that starts now is computed.
pub(super) fn precision() -> Precision {
    NOW.get().precision
}

/// Whether what this thread computes now goes through tiles: maps of bf16 from layer to layer in
/// inference, whole blocks in training.
pub(in crate::ops) fn uses_tiles() -> bool {
    precision() == Precision::Bf16 && Isa::has_tiles()
}

/// For which kernels.
#[derive(Clone)]
enum Packed {
    Planes(Arc<PackedConv>),
    Maps(Arc<Conv>),
}

impl Packed {
    fn bytes(&self) -> usize {
        match self {
            Self::Planes(packed) => packed.bytes(),
            Self::Maps(packed) => packed.bytes(),
        }
    }
}

struct Entry {
    weight: FlexTensor,
    stride: usize,
    padding: usize,
    precision: Precision,
    packed: Packed,
}

impl Entry {
    /// Whether nobody but this entry holds the weights any more.
    fn is_orphan(&self) -> bool {
        self.weight.is_unique()
    }
}

fn held(cache: &[Entry]) -> usize {
    cache.iter().map(|entry| entry.packed.bytes()).sum()
}

/// The packed form of `weight`, or `None` where there is no room for it or it would be slower.
pub(super) fn find_or_pack(weight: &FlexTensor, shape: &Conv2dShape) -> Option<Arc<PackedConv>> {
    let precision = precision();
    if prefers_plain_weights(shape, precision) {
        return None;
    }
    let find = |packed: &Packed| match packed {
        Packed::Planes(packed) => Some(packed.clone()),
        Packed::Maps(_) => None,
    };
    find_or(weight, shape, find, |values| {
        let packed = Arc::new(PackedConv::new(shape, values, precision));
        (packed.clone(), Packed::Planes(packed))
    })
}

/// The same for kernels on maps.
pub(super) fn find_or_pack_for_maps(weight: &FlexTensor, shape: &Conv2dShape) -> Option<Arc<Conv>> {
    let find = |packed: &Packed| match packed {
        Packed::Maps(packed) => Some(packed.clone()),
        Packed::Planes(_) => None,
    };
    find_or(weight, shape, find, |values| {
        let packed = Arc::new(Conv::new(shape, values));
        (packed.clone(), Packed::Maps(packed))
    })
}

/// What `find` finds among the packed forms of `weight`, else what `pack` makes, if it may be kept.
fn find_or<T>(
    weight: &FlexTensor,
    shape: &Conv2dShape,
    find: impl Fn(&Packed) -> Option<T>,
    pack: impl FnOnce(&[f32]) -> (T, Packed),
) -> Option<T> {
    let Convolutions {
        precision,
        keep_packed,
    } = NOW.get();
    if !keep_packed {
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
    let mut found = cache.iter().filter(|entry| matches(entry));
    if let Some(packed) = found.find_map(|entry| find(&entry.packed)) {
        return Some(packed);
    }
    cache.retain(|entry| !entry.is_orphan());
    let (found, packed) = pack(values);
    if held(&cache) + packed.bytes() > MOST_BYTES {
        return None;
    }
    cache.push(Entry {
        weight: weight.clone(),
        stride: shape.stride,
        padding: shape.padding,
        precision,
        packed,
    });
    Some(found)
}
