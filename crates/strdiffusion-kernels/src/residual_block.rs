//! Residual blocks in training, in bf16, on CPUs with tiles.

use crate::isa::Isa;
use crate::tiles::residual::{self, Kept};

/// y = SiLU(conv2(SiLU(conv1(x)·(1 + scale) + shift))) + skip(x), both convolutions 3×3 with padding 1,
/// the skip x itself or a 1×1 convolution; none has a bias.
///
/// x comes in two parts, the channels of the one and then those of the other: what joins two maps
/// need not stand in memory. A whole x is followed by an empty one.
#[derive(Clone, Copy, Debug)]
pub struct ResidualBlock<'a> {
    /// Pictures.
    pub batch: usize,
    /// Channels of the parts of x.
    pub in_channels: [usize; 2],
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
    /// `[out, in, 1, 1]`; without it the skip is x itself, which is then whole and has as many
    /// channels as y.
    pub skip: Option<&'a [f32]>,
}

/// What a block's backward pass needs of its forward pass: 6 bytes for each value of y.
#[derive(Debug)]
pub struct ResidualKept(Kept);

/// Where a block's gradients go, each as large as what it belongs to.
#[derive(Debug)]
pub struct ResidualGrads<'a> {
    /// With respect to the parts of x.
    pub dx: [&'a mut [f32]; 2],
    /// With respect to the first convolution's weights.
    pub dconv1: &'a mut [f32],
    /// With respect to the second one's.
    pub dconv2: &'a mut [f32],
    /// With respect to the scale.
    pub dscale: &'a mut [f32],
    /// With respect to the shift.
    pub dshift: &'a mut [f32],
    /// With respect to the skip's weights; empty where it has none.
    pub dskip: &'a mut [f32],
}

impl ResidualBlock<'_> {
    /// Channels of x.
    pub(crate) fn inputs(&self) -> usize {
        self.in_channels.iter().sum()
    }

    fn check(&self, x: [&[f32]; 2], y: &[f32]) {
        let (inputs, outputs) = (self.inputs(), self.out_channels);
        let positions = self.batch * self.height * self.width;
        assert!(Isa::has_tiles(), "residual blocks need tiles");
        assert_eq!(
            x.map(<[f32]>::len),
            self.in_channels.map(|c| positions * c),
            "a part of x has the wrong length"
        );
        assert_eq!(y.len(), positions * outputs, "y has the wrong length");
        assert_eq!(self.conv1.len(), outputs * inputs * 9, "conv1's length");
        assert_eq!(self.conv2.len(), outputs * outputs * 9, "conv2's length");
        assert_eq!(self.scale.len(), self.batch * outputs, "scale's length");
        assert_eq!(self.shift.len(), self.batch * outputs, "shift's length");
        match self.skip {
            Some(skip) => assert_eq!(skip.len(), outputs * inputs, "skip's length"),
            None => assert_eq!(self.in_channels, [outputs, 0], "the skip is x"),
        }
    }

    /// Writes y, `[batch, out, h, w]`, from the parts of x, `[batch, in, h, w]`.
    ///
    /// # Panics
    /// If a slice's length does not fit, or this CPU has [no tiles](Isa::has_tiles).
    pub fn forward(&self, x: [&[f32]; 2], y: &mut [f32]) -> ResidualKept {
        self.check(x, y);
        ResidualKept(residual::forward(self, x, y))
    }

    /// The gradients from dy.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn backward(&self, kept: &ResidualKept, x: [&[f32]; 2], dy: &[f32], grads: ResidualGrads) {
        self.check(x, dy);
        assert_eq!(
            grads.dx.each_ref().map(|dx| dx.len()),
            x.map(<[f32]>::len),
            "a part of dx has the wrong length"
        );
        assert_eq!(grads.dconv1.len(), self.conv1.len(), "dconv1's length");
        assert_eq!(grads.dconv2.len(), self.conv2.len(), "dconv2's length");
        assert_eq!(grads.dscale.len(), self.scale.len(), "dscale's length");
        assert_eq!(grads.dshift.len(), self.shift.len(), "dshift's length");
        let skip = self.skip.map_or(0, <[f32]>::len);
        assert_eq!(grads.dskip.len(), skip, "dskip's length");
        residual::backward(self, &kept.0, x, dy, grads);
    }
}
