//! Residual blocks in training, in bf16, on CPUs with tiles.

use crate::isa::Isa;
use crate::tiles::residual::{self, Kept};

/// y = SiLU(conv2(SiLU(conv1(x)·(1 + scale) + shift))) + skip, both convolutions 3×3 with padding 1
/// and no bias.
#[derive(Clone, Copy, Debug)]
pub struct ResidualBlock<'a> {
    /// Pictures.
    pub batch: usize,
    /// Channels of x.
    pub in_channels: usize,
    /// Channels of everything else.
    pub out_channels: usize,
    /// Height of every map.
    pub height: usize,
    /// Width of every map.
    pub width: usize,
    /// `[out, in, 3, 3]`.
    pub conv1: &'a [f32],
    /// `[out, out, 3, 3]`.
    pub conv2: &'a [f32],
    /// `[batch, out]`.
    pub scale: &'a [f32],
    /// `[batch, out]`.
    pub shift: &'a [f32],
}

/// What a block's backward pass needs of its forward pass: 6 bytes for each value of y.
#[derive(Debug)]
pub struct ResidualKept(Kept);

/// Where a block's gradients go, each as large as what it belongs to.
#[derive(Debug)]
pub struct ResidualGrads<'a> {
    /// With respect to x.
    pub dx: &'a mut [f32],
    /// With respect to the first convolution's weights.
    pub dconv1: &'a mut [f32],
    /// With respect to the second one's.
    pub dconv2: &'a mut [f32],
    /// With respect to the scale.
    pub dscale: &'a mut [f32],
    /// With respect to the shift.
    pub dshift: &'a mut [f32],
}

impl ResidualBlock<'_> {
    /// Whether this CPU computes such blocks in one piece; the two functions below need it.
    pub fn available() -> bool {
        Isa::current() == Isa::Amx
    }

    fn check(&self, x: &[f32], y: &[f32]) {
        let (inputs, outputs) = (self.in_channels, self.out_channels);
        let positions = self.batch * self.height * self.width;
        assert!(Self::available(), "residual blocks need tiles");
        assert_eq!(x.len(), positions * inputs, "x has the wrong length");
        assert_eq!(y.len(), positions * outputs, "y has the wrong length");
        assert_eq!(self.conv1.len(), outputs * inputs * 9, "conv1's length");
        assert_eq!(self.conv2.len(), outputs * outputs * 9, "conv2's length");
        assert_eq!(self.scale.len(), self.batch * outputs, "scale's length");
        assert_eq!(self.shift.len(), self.batch * outputs, "shift's length");
    }

    /// Writes y, `[batch, out, h, w]`, from x, `[batch, in, h, w]`, and the skip, which is as large
    /// as y.
    ///
    /// # Panics
    /// If a slice's length does not fit, or blocks are not [`available`](Self::available).
    pub fn forward(&self, x: &[f32], skip: &[f32], y: &mut [f32]) -> ResidualKept {
        self.check(x, y);
        assert_eq!(skip.len(), y.len(), "the skip has the wrong length");
        ResidualKept(residual::forward(self, x, skip, y))
    }

    /// The gradients from dy. The skip's is dy itself; `skip_is_x` adds it to dx.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn backward(
        &self,
        kept: &ResidualKept,
        x: &[f32],
        dy: &[f32],
        skip_is_x: bool,
        grads: ResidualGrads,
    ) {
        self.check(x, dy);
        assert!(!skip_is_x || self.in_channels == self.out_channels);
        assert_eq!(grads.dx.len(), x.len(), "dx has the wrong length");
        assert_eq!(grads.dconv1.len(), self.conv1.len(), "dconv1's length");
        assert_eq!(grads.dconv2.len(), self.conv2.len(), "dconv2's length");
        assert_eq!(grads.dscale.len(), self.scale.len(), "dscale's length");
        assert_eq!(grads.dshift.len(), self.shift.len(), "dshift's length");
        residual::backward(self, &kept.0, x, dy, skip_is_x, grads);
    }
}
