//! Shapes and choices.

/// The shape of a 2-D convolution: square zero padding and stride, no dilation, one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dShape {
    /// Pictures.
    pub batch: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Input height and width.
    pub height: usize,
    /// See `height`.
    pub width: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between outputs, in both directions.
    pub stride: usize,
    /// Rows and columns of zeros on each side.
    pub padding: usize,
}

impl Conv2dShape {
    /// A square kernel.
    pub fn new(
        [batch, in_channels, height, width]: [usize; 4],
        out_channels: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self {
            batch,
            in_channels,
            out_channels,
            height,
            width,
            kernel: [kernel, kernel],
            stride,
            padding,
        }
    }

    /// Height and width of the output.
    ///
    /// # Panics
    /// If the stride is 0 or the kernel does not fit into the padded input.
    pub fn out_size(&self) -> [usize; 2] {
        assert!(self.stride > 0, "the stride of a convolution must not be 0");
        let side = |n: usize, k: usize| {
            assert!(
                k > 0 && n + 2 * self.padding >= k,
                "a kernel of {k} does not fit into {n} with padding {}",
                self.padding
            );
            (n + 2 * self.padding - k) / self.stride + 1
        };
        [
            side(self.height, self.kernel[0]),
            side(self.width, self.kernel[1]),
        ]
    }

    /// Floats in the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.in_channels * self.height * self.width
    }

    /// Floats in the weights, `[out, in, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel[0] * self.kernel[1]
    }

    /// Floats in the output.
    pub fn output_len(&self) -> usize {
        let [h, w] = self.out_size();
        self.batch * self.out_channels * h * w
    }

    /// Floating-point operations of a direct convolution: 2 per multiplication and addition.
    pub fn flops(&self) -> f64 {
        let taps = self.in_channels * self.kernel[0] * self.kernel[1];
        2.0 * self.output_len() as f64 * taps as f64
    }

    /// Bytes that the weights take in a [`PackedConv`](crate::PackedConv).
    pub fn packed_bytes(&self, precision: Precision) -> usize {
        crate::conv::packed_floats(self, precision) * size_of::<f32>()
    }

    /// Whether this is 3×3, stride 1, padding 1: what Winograd handles.
    pub(crate) fn is_winograd(&self) -> bool {
        self.kernel == [3, 3] && self.stride == 1 && self.padding == 1
    }
}

/// How a convolution is computed; where bf16 is not meant, how a 3×3 one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Winograd F(4, 3): 4 times fewer multiplications, errors about 1e-6 of the largest value;
    /// transformed weights take 4 times the room.
    #[default]
    Fast,
    /// Winograd F(2, 3): 2.25 times fewer multiplications, errors about 3e-7 of the largest value;
    /// transformed weights take 1.78 times the room.
    Precise,
    /// No transform: errors about 3e-7 of the largest value; weights take no more room than they
    /// do anyway.
    Direct,
    /// Operands rounded to bf16, sums in f32: errors about 3e-3 of the largest value. For kernels of
    /// every size with stride 1 or 2, on a CPU with [`Isa::Amx`](crate::Isa); anything else is
    /// computed as [`Precision::Fast`].
    Bf16,
}

impl Precision {
    /// The fastest choice whose packed weights take at most `bytes` for a convolution of this
    /// shape; [`Precision::Direct`] where none does.
    pub fn within(shape: &Conv2dShape, bytes: usize) -> Self {
        let fits = |p: &Precision| shape.packed_bytes(*p) <= bytes;
        let choices = [Precision::Fast, Precision::Precise];
        choices.into_iter().find(fits).unwrap_or(Precision::Direct)
    }
}

/// What follows a convolution, in this order: `· gain`, `+ bias`, `· (1 + scale) + shift`, SiLU,
/// `+ residual`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One factor for all: convolving with `gain` times the weights.
    pub gain: Option<f32>,
    /// `[out_channels]`.
    pub bias: Option<&'a [f32]>,
    /// `[batch, out_channels]`.
    pub scale: Option<&'a [f32]>,
    /// `[batch, out_channels]`.
    pub shift: Option<&'a [f32]>,
    /// v / (1 + e^−v).
    pub silu: bool,
    /// As the output.
    pub residual: Option<&'a [f32]>,
}

impl Epilogue<'_> {
    /// Checks the lengths and takes the pointers.
    pub(crate) fn raw(
        &self,
        batch: usize,
        channels: usize,
        output: usize,
    ) -> crate::kernels::rows::RawEpilogue {
        let take = |name: &str, slice: Option<&[f32]>, len: usize| match slice {
            Some(s) => {
                assert_eq!(s.len(), len, "the epilogue's {name} has the wrong length");
                s.as_ptr()
            }
            None => std::ptr::null(),
        };
        crate::kernels::rows::RawEpilogue {
            gain: self.gain.unwrap_or(1.0),
            bias: take("bias", self.bias, channels),
            scale: take("scale", self.scale, batch * channels),
            shift: take("shift", self.shift, batch * channels),
            residual: take("residual", self.residual, output),
            silu: self.silu,
            channels,
        }
    }
}
