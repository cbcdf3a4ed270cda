//! Adam and moving averages: one pass over the weights, on all threads.

use crate::isa::{Isa, kernels_of};
use crate::kernels::optimizer::{Adam, Blend};
use crate::pool::parallel_for;
use crate::raw::Shared;

/// One step of Adam (Kingma and Ba, ICLR 2015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Which step it is, counted from 1.
    pub time: usize,
}

impl AdamStep {
    /// Both moments' corrections for their start at zero: the factor of the first moment, and ε in
    /// the units of the second one's uncorrected root.
    pub(crate) fn corrections(&self) -> [f32; 2] {
        let time = i32::try_from(self.time).unwrap_or(i32::MAX);
        let root = (1.0 - self.beta2.powi(time)).sqrt();
        [root / (1.0 - self.beta1.powi(time)), self.epsilon * root]
    }
}

/// Weights and moments of a step.
#[derive(Debug)]
pub struct AdamTensors<V> {
    /// Weights.
    pub weight: V,
    /// First moment: the mean of gradients.
    pub first: V,
    /// Second moment: the mean of their squares.
    pub second: V,
}

/// Floats of an item of work.
const STRETCH: usize = 1 << 16;

/// Writes what a step makes of `old`.
///
/// # Panics
/// If the lengths differ.
pub fn adam_step(
    step: AdamStep,
    old: AdamTensors<&[f32]>,
    gradient: &[f32],
    new: AdamTensors<&mut [f32]>,
) {
    let len = gradient.len();
    let lengths = [old.weight.len(), old.first.len(), old.second.len()];
    assert_eq!(
        lengths, [len; 3],
        "weights and moments have the gradient's length"
    );
    let lengths = [new.weight.len(), new.first.len(), new.second.len()];
    assert_eq!(lengths, [len; 3], "results have the gradient's length");
    let k = kernels_of(Isa::current());
    let [weight, first, second, gradient] =
        [old.weight, old.first, old.second, gradient].map(Shared::of);
    let to = [new.weight, new.first, new.second].map(Shared::of_mut);
    parallel_for(len.div_ceil(STRETCH), |item| {
        let at = item * STRETCH;
        // SAFETY: a stretch of each slice, whose lengths are checked; each item has its own.
        unsafe {
            (k.adam)(&Adam {
                count: STRETCH.min(len - at),
                step,
                weight: weight.get().add(at),
                gradient: gradient.get().add(at),
                moments: [first.get().add(at), second.get().add(at)],
                new_weight: to[0].get().add(at),
                new_moments: [to[1].get().add(at), to[2].get().add(at)],
            });
        }
    });
}

/// out = average · decay + value · (1 − decay).
///
/// # Panics
/// If the lengths differ.
pub fn blend(average: &[f32], value: &[f32], decay: f32, out: &mut [f32]) {
    let len = out.len();
    assert_eq!([average.len(), value.len()], [len; 2], "all of one length");
    let k = kernels_of(Isa::current());
    let (average, value, out) = (Shared::of(average), Shared::of(value), Shared::of_mut(out));
    parallel_for(len.div_ceil(STRETCH), |item| {
        let at = item * STRETCH;
        // SAFETY: as in `adam_step`.
        unsafe {
            (k.blend)(&Blend {
                count: STRETCH.min(len - at),
                average: average.get().add(at),
                value: value.get().add(at),
                decay,
                out: out.get().add(at),
            });
        }
    });
}
