//! Normalisation over channels at each position: channel LayerNorm, and the SPADE norm with its
//! maps (Park et al., CVPR 2019) and the leaky ReLU that follows it.

use crate::isa::{Isa, kernels_of};
use crate::kernels::norm::Norm;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::workspace::{self, Slot};
use std::ptr::{null, null_mut};

/// `[batch, channels, positions]`, where the positions are all rows and columns of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    /// Pictures.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height times width.
    pub positions: usize,
}

impl MapShape {
    /// Number of floats.
    pub fn len(&self) -> usize {
        self.batch * self.channels * self.positions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn check(&self, name: &str, slice: &[f32]) {
        assert_eq!(
            slice.len(),
            self.len(),
            "{name} does not have the length of {self:?}"
        );
    }

    /// Positions of a block whose channels fit into cache.
    fn block(&self) -> usize {
        (32_768 / self.channels.max(1) / 16 * 16).clamp(64, 1024)
    }
}

/// Adds to a pointer that may be null.
fn offset(p: *const f32, by: usize) -> *const f32 {
    if p.is_null() { p } else { p.wrapping_add(by) }
}

fn offset_mut(p: *mut f32, by: usize) -> *mut f32 {
    if p.is_null() { p } else { p.wrapping_add(by) }
}

/// A `Norm` with everything but the block.
#[derive(Clone, Copy)]
struct Whole {
    x: Shared<*const f32>,
    gain: Shared<*const f32>,
    gamma: Shared<*const f32>,
    beta: Shared<*const f32>,
    residual: Shared<*const f32>,
    dy: Shared<*const f32>,
    y: Shared<*mut f32>,
    dx: Shared<*mut f32>,
    dgamma: Shared<*mut f32>,
    dbeta: Shared<*mut f32>,
    slope: f32,
    divisor: f32,
    epsilon: f32,
}

impl Whole {
    fn new(x: &[f32], divisor: usize, epsilon: f32) -> Self {
        let (none, none_mut) = (Shared::from_raw(null()), Shared::from_raw_mut(null_mut()));
        Whole {
            x: Shared::of(x),
            gain: none,
            gamma: none,
            beta: none,
            residual: none,
            dy: none,
            y: none_mut,
            dx: none_mut,
            dgamma: none_mut,
            dbeta: none_mut,
            slope: 1.0,
            divisor: divisor as f32,
            epsilon,
        }
    }

    /// Calls `kernel` for each block; `dgain` gives each its part of `blocks · channels` floats.
    fn run(&self, s: &MapShape, kernel: unsafe fn(&Norm), dgain: Shared<*mut f32>) {
        let block = s.block();
        let per_picture = s.positions.div_ceil(block);
        parallel_for(s.batch * per_picture, |item| {
            let (n, p) = (item / per_picture, item % per_picture * block);
            let count = block.min(s.positions - p);
            let at = n * s.channels * s.positions + p;
            workspace::with(Slot::Rows, 4 * block, |scratch| {
                // SAFETY: the callers check that every slice has the shape's length (`gain`
                // that of the channels); a block's positions are its own.
                unsafe {
                    kernel(&Norm {
                        channels: s.channels,
                        count,
                        step: s.positions,
                        x_step: s.positions,
                        x: self.x.get().add(at),
                        gain: self.gain.get(),
                        gamma: offset(self.gamma.get(), at),
                        beta: offset(self.beta.get(), at),
                        residual: offset(self.residual.get(), at),
                        slope: self.slope,
                        divisor: self.divisor,
                        epsilon: self.epsilon,
                        y: offset_mut(self.y.get(), at),
                        y_step: s.positions,
                        scratch: scratch.as_mut_ptr(),
                        dy: offset(self.dy.get(), at),
                        dx: offset_mut(self.dx.get(), at),
                        dgamma: offset_mut(self.dgamma.get(), at),
                        dbeta: offset_mut(self.dbeta.get(), at),
                        dgain: offset_mut(dgain.get(), item * s.channels),
                    });
                }
            });
        });
    }
}

/// Channel LayerNorm: y = (x − mean)/√(variance + ε) · gain (+ residual), mean and biased variance
/// over the channels of each position. `gain` is `[channels]`.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn layer_norm(
    s: &MapShape,
    x: &[f32],
    gain: &[f32],
    epsilon: f32,
    residual: Option<&[f32]>,
    y: &mut [f32],
) {
    s.check("x", x);
    s.check("y", y);
    assert_eq!(
        gain.len(),
        s.channels,
        "the gain's length is not the channels'"
    );
    let mut whole = Whole::new(x, s.channels, epsilon);
    whole.gain = Shared::of(gain);
    if let Some(residual) = residual {
        s.check("the residual", residual);
        whole.residual = Shared::of(residual);
    }
    whole.y = Shared::of_mut(y);
    let k = kernels_of(Isa::current());
    whole.run(s, k.norm, Shared::from_raw_mut(null_mut()));
}

/// The gradients of [`layer_norm`] with respect to x and the gain. (That of the residual is dy.)
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn layer_norm_backward(
    s: &MapShape,
    x: &[f32],
    gain: &[f32],
    epsilon: f32,
    dy: &[f32],
    dx: &mut [f32],
    dgain: &mut [f32],
) {
    s.check("x", x);
    s.check("dy", dy);
    s.check("dx", dx);
    assert_eq!(
        gain.len(),
        s.channels,
        "the gain's length is not the channels'"
    );
    assert_eq!(
        dgain.len(),
        s.channels,
        "the gain's gradient has the wrong length"
    );
    let mut whole = Whole::new(x, s.channels, epsilon);
    whole.gain = Shared::of(gain);
    whole.dy = Shared::of(dy);
    whole.dx = Shared::of_mut(dx);
    let k = kernels_of(Isa::current());
    let blocks = s.batch * s.positions.div_ceil(s.block());
    workspace::with(Slot::Shared, blocks * s.channels, |parts| {
        whole.run(s, k.norm_back, Shared::of_mut(parts));
        for (c, sum) in dgain.iter_mut().enumerate() {
            let parts = parts.iter().skip(c).step_by(s.channels);
            *sum = parts.map(|v| f64::from(*v)).sum::<f64>() as f32;
        }
    });
}

/// The SPADE norm: with n = (x − mean)/√(variance + ε), mean and *unbiased* variance over the
/// channels of each position, y = leaky(n·(1 + γ) + β). `gamma` and `beta` are as `x`; `slope` is
/// the leaky ReLU's (1 for none).
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn spade(
    s: &MapShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    slope: f32,
    y: &mut [f32],
) {
    s.check("x", x);
    s.check("gamma", gamma);
    s.check("beta", beta);
    s.check("y", y);
    let mut whole = Whole::new(x, s.channels.saturating_sub(1).max(1), epsilon);
    whole.gamma = Shared::of(gamma);
    whole.beta = Shared::of(beta);
    whole.slope = slope;
    whole.y = Shared::of_mut(y);
    let k = kernels_of(Isa::current());
    whole.run(s, k.norm, Shared::from_raw_mut(null_mut()));
}

/// Where the gradients of [`spade`] go.
pub struct SpadeGrads<'a> {
    /// With respect to x.
    pub dx: &'a mut [f32],
    /// With respect to γ.
    pub dgamma: &'a mut [f32],
    /// With respect to β.
    pub dbeta: &'a mut [f32],
}

/// The gradients of [`spade`].
///
/// # Panics
/// If a slice's length does not fit the shape.
#[allow(clippy::too_many_arguments)]
pub fn spade_backward(
    s: &MapShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    slope: f32,
    dy: &[f32],
    grads: SpadeGrads,
) {
    s.check("x", x);
    s.check("gamma", gamma);
    s.check("beta", beta);
    s.check("dy", dy);
    s.check("dx", grads.dx);
    s.check("dgamma", grads.dgamma);
    s.check("dbeta", grads.dbeta);
    let mut whole = Whole::new(x, s.channels.saturating_sub(1).max(1), epsilon);
    whole.gamma = Shared::of(gamma);
    whole.beta = Shared::of(beta);
    whole.slope = slope;
    whole.dy = Shared::of(dy);
    whole.dx = Shared::of_mut(grads.dx);
    whole.dgamma = Shared::of_mut(grads.dgamma);
    whole.dbeta = Shared::of_mut(grads.dbeta);
    let k = kernels_of(Isa::current());
    whole.run(s, k.norm_back, Shared::from_raw_mut(null_mut()));
}
