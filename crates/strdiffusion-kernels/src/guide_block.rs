//! Guide blocks in training, in bf16, on CPUs with tiles.

use crate::isa::Isa;
use crate::tiles::guide::{self, Kept};

/// What half a guide block is made of, or the gradients of that: h ↦ conv(lrelu(norm(h) · (1 + γ) + β)),
/// with γ and β convolved from relu(shared(S)). All convolutions are 3×3 with padding 1.
#[derive(Clone, Copy, Debug)]
pub struct GuideHalf<T> {
    /// `[hidden, 1, 3, 3]`.
    pub shared: T,
    /// `[hidden]`.
    pub shared_bias: T,
    /// γ's weights and then β's, `[2 · channels, hidden, 3, 3]`.
    pub maps: T,
    /// `[2 · channels]`.
    pub maps_bias: T,
    /// `[channels, channels, 3, 3]`.
    pub conv: T,
    /// `[channels]`.
    pub conv_bias: T,
}

impl<T> GuideHalf<T> {
    /// The fields in their order.
    pub fn of([shared, shared_bias, maps, maps_bias, conv, conv_bias]: [T; 6]) -> Self {
        Self {
            shared,
            shared_bias,
            maps,
            maps_bias,
            conv,
            conv_bias,
        }
    }
}

impl<T: AsRef<[f32]>> GuideHalf<T> {
    /// The fields' lengths.
    fn lens(&self) -> [usize; 6] {
        let fields = [
            &self.shared,
            &self.shared_bias,
            &self.maps,
            &self.maps_bias,
            &self.conv,
            &self.conv_bias,
        ];
        fields.map(|field| field.as_ref().len())
    }
}

/// y = x + half₁(half₀(x)), both steered by a structure S. norm makes the channels of each position
/// mean 0 and (unbiased) variance 1.
#[derive(Clone, Copy, Debug)]
pub struct GuideBlock<'a> {
    /// Pictures.
    pub batch: usize,
    /// Channels of x and y.
    pub channels: usize,
    /// Channels that γ and β are convolved from.
    pub hidden: usize,
    /// Height of every map.
    pub height: usize,
    /// Width of every map.
    pub width: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Of the leaky ReLU, below zero.
    pub slope: f32,
    /// First and second.
    pub halves: [GuideHalf<&'a [f32]>; 2],
}

/// What a block's backward pass needs of its forward pass: 6 bytes for each value of y.
#[derive(Debug)]
pub struct GuideKept(Kept);

/// Where a block's gradients go, each as large as what it belongs to.
#[derive(Debug)]
pub struct GuideGrads<'a> {
    /// With respect to x.
    pub dx: &'a mut [f32],
    /// With respect to the structure, where that is wanted.
    pub dstructure: Option<&'a mut [f32]>,
    /// With respect to the halves.
    pub halves: [GuideHalf<&'a mut [f32]>; 2],
}

impl GuideBlock<'_> {
    fn check(&self, x: &[f32], structure: &[f32], y: &[f32]) {
        let (channels, hidden) = (self.channels, self.hidden);
        let positions = self.batch * self.height * self.width;
        assert!(Isa::has_tiles(), "guide blocks need tiles");
        let len = positions * channels;
        assert_eq!([x.len(), y.len()], [len; 2], "x or y has the wrong length");
        assert_eq!(structure.len(), positions, "the structure's length");
        let lens = [
            hidden * 9,
            hidden,
            2 * channels * hidden * 9,
            2 * channels,
            channels * channels * 9,
            channels,
        ];
        assert_eq!(self.halves.map(|half| half.lens()), [lens; 2], "weights");
    }

    /// Writes y, `[batch, channels, h, w]`, from x of its shape and S, `[batch, 1, h, w]`.
    ///
    /// # Panics
    /// If a slice's length does not fit, or this CPU has [no tiles](Isa::has_tiles).
    pub fn forward(&self, x: &[f32], structure: &[f32], y: &mut [f32]) -> GuideKept {
        self.check(x, structure, y);
        GuideKept(guide::forward(self, x, structure, y))
    }

    /// The gradients from dy.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        kept: &GuideKept,
        x: &[f32],
        structure: &[f32],
        dy: &[f32],
        grads: GuideGrads,
    ) {
        self.check(x, structure, dy);
        assert_eq!(grads.dx.len(), x.len(), "dx has the wrong length");
        let dstructure = grads.dstructure.as_ref();
        assert!(
            dstructure.is_none_or(|d| d.len() == structure.len()),
            "dstructure has the wrong length"
        );
        for (half, grads) in self.halves.iter().zip(&grads.halves) {
            assert_eq!(grads.lens(), half.lens(), "gradients of weights");
        }
        guide::backward(self, &kept.0, x, structure, dy, grads);
    }
}
