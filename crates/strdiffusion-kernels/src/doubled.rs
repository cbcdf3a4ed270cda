//! In training in bf16, on CPUs with tiles: a 3×3 convolution of a map whose every value stands for four,
//! without that map. Nearest-neighbour doubling, then the convolution.
//!
//! Three taps meet only two different values in each direction. So the convolution is the transpose
//! of one with stride 2 and a 4×4 kernel, whose weights are sums of the 3×3 ones: 4/9 of the
//! products, of a map a quarter as large.

use std::array::from_fn;

use crate::conv::conv2d;
use crate::grad::conv2d_weight_grad;
use crate::isa::Isa;
use crate::pool::parallel_for;
use crate::raw::Shared;
use crate::shape::{Conv2dShape, Epilogue, Precision};
use crate::tiles::doubled;

/// The shape of such a convolution; padding 1.
#[derive(Clone, Copy, Debug)]
pub struct DoubledConv {
    /// Pictures.
    pub batch: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Height of the input: half of the output's.
    pub height: usize,
    /// Width of the input: half of the output's.
    pub width: usize,
}

/// The transpose's four taps from three, and the gradient of the three from that of the four.
fn sums(v: [f32; 3]) -> [f32; 4] {
    [v[2], v[1] + v[2], v[0] + v[1], v[0]]
}

fn sums_back(v: [f32; 4]) -> [f32; 3] {
    [v[2] + v[3], v[1] + v[2], v[0] + v[1]]
}

/// `f` on the rows of a kernel, and on the columns of what they become.
fn both<const A: usize, const B: usize>(
    kernel: &[f32],
    f: fn([f32; A]) -> [f32; B],
) -> [[f32; B]; B] {
    let rows: [[f32; B]; A] = from_fn(|y| f(from_fn(|x| kernel[y * A + x])));
    let columns: [[f32; B]; B] = from_fn(|x| f(from_fn(|y| rows[y][x])));
    from_fn(|y| from_fn(|x| columns[x][y]))
}

impl DoubledConv {
    fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    fn output_len(&self) -> usize {
        self.batch * self.out_channels * 4 * self.height * self.width
    }

    fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * 9
    }

    /// The convolution that this one is the transpose of: from the output to the input.
    fn transpose(&self) -> Conv2dShape {
        let size = [2 * self.height, 2 * self.width];
        let output = [self.batch, self.out_channels, size[0], size[1]];
        Conv2dShape::new(output, self.in_channels, 4, 2, 1)
    }

    /// y, `[batch, out, 2h, 2w]`, from x, `[batch, in, h, w]`, the weights, `[out, in, 3, 3]`, and the
    /// bias, `[out]`.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape, or this CPU has [no tiles](Isa::has_tiles).
    pub fn forward(&self, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32]) {
        assert!(Isa::has_tiles(), "doubled maps need tiles");
        assert_eq!(x.len(), self.input_len(), "the input's length");
        assert_eq!(w.len(), self.weight_len(), "the weights' length");
        assert_eq!(bias.len(), self.out_channels, "the bias's length");
        assert_eq!(y.len(), self.output_len(), "the output's length");
        doubled::forward(self, x, w, bias, y);
    }

    /// dx from dy.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn input_grad(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) {
        assert!(Isa::has_tiles(), "doubled maps need tiles");
        assert_eq!(w.len(), self.weight_len(), "the weights' length");
        let s = self.transpose();
        let mut sums = vec![0.0; s.weight_len()];
        let to = Shared::of_mut(&mut sums);
        parallel_for(self.in_channels, |i| {
            for o in 0..self.out_channels {
                let kernel = &w[(o * self.in_channels + i) * 9..][..9];
                let kernel = both(kernel, self::sums);
                let at = (i * self.out_channels + o) * 16;
                // SAFETY: this item's own kernels.
                unsafe { to.get().add(at).cast::<[[f32; 4]; 4]>().write(kernel) };
            }
        });
        conv2d(&s, dy, &sums, &Epilogue::default(), Precision::Bf16, dx);
    }

    /// dw from x and dy.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn weight_grad(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        assert!(Isa::has_tiles(), "doubled maps need tiles");
        assert_eq!(dw.len(), self.weight_len(), "the weights' length");
        let s = self.transpose();
        let mut sums = vec![0.0; s.weight_len()];
        conv2d_weight_grad(&s, dy, x, Precision::Bf16, &mut sums);
        let to = Shared::of_mut(dw);
        parallel_for(self.out_channels, |o| {
            for i in 0..self.in_channels {
                let kernel = &sums[(i * self.out_channels + o) * 16..][..16];
                let kernel = both(kernel, sums_back);
                let at = (o * self.in_channels + i) * 9;
                // SAFETY: this item's own kernels.
                unsafe { to.get().add(at).cast::<[[f32; 3]; 3]>().write(kernel) };
            }
        });
    }
}
