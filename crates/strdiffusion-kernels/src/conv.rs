//! Convolution: the entry points, and which way each shape takes.

use crate::isa::Isa;
use crate::shape::{Conv2dShape, Epilogue, Precision};
use crate::taps::{self, Places, Taps};
use crate::tiles;
use crate::winograd::{self, Geometry, Source, Transform};
use crate::workspace::{self, Buffer, Slot};

/// Below this many input channels a 3×3 convolution is quicker without Winograd's transforms.
const WINOGRAD_MIN_INPUTS: usize = 4;

/// Which way a shape is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Winograd(Transform),
    Taps,
    /// bf16 on AMX tiles.
    Tiles,
}

impl Method {
    pub(crate) fn of(shape: &Conv2dShape, inputs: usize, precision: Precision) -> Self {
        let transform = match precision {
            Precision::Bf16 if Isa::has_tiles() && tiles::supports(&forward_taps(shape)) => {
                return Method::Tiles;
            }
            Precision::Fast | Precision::Bf16 => Transform::F43,
            Precision::Precise => Transform::F23,
            Precision::Direct => return Method::Taps,
        };
        if shape.is_winograd() && inputs >= WINOGRAD_MIN_INPUTS {
            Method::Winograd(transform)
        } else {
            Method::Taps
        }
    }
}

/// The forward convolution as taps.
pub(crate) fn forward_taps(s: &Conv2dShape) -> Taps {
    let [oh, ow] = s.out_size();
    let pad = -(s.padding as isize);
    let mut t = Taps {
        batch: s.batch,
        inputs: s.in_channels,
        h: s.height,
        w: s.width,
        outputs: s.out_channels,
        grid: [oh, ow],
        stride: s.stride,
        taps: s.kernel,
        first: [pad, pad],
        out: [oh, ow],
        out_stride: 1,
        out_first: [0, 0],
    };
    if s.kernel == [1, 1] && s.stride == 1 && s.padding == 0 {
        // One long row: nothing to cut at the rows' ends.
        (t.h, t.w) = (1, s.height * s.width);
        t.grid = [1, t.w];
        t.out = t.grid;
    }
    t
}

/// Where the forward convolution's weights lie.
pub(crate) fn forward_places(s: &Conv2dShape) -> Places {
    let [kh, kw] = s.kernel;
    Places {
        first: 0,
        output: (s.in_channels * kh * kw) as isize,
        input: (kh * kw) as isize,
        tap: [kw as isize, 1],
    }
}

fn geometry(s: &Conv2dShape) -> Geometry {
    Geometry {
        batch: s.batch,
        inputs: s.in_channels,
        outputs: s.out_channels,
        h: s.height,
        w: s.width,
    }
}

/// The forward convolution as far as its weights go: their order does not depend on the picture.
fn weight_taps(s: &Conv2dShape) -> Taps {
    Taps {
        batch: 0,
        inputs: s.in_channels,
        h: 0,
        w: 0,
        outputs: s.out_channels,
        grid: [0, 0],
        stride: 1,
        taps: s.kernel,
        first: [0, 0],
        out: [0, 0],
        out_stride: 1,
        out_first: [0, 0],
    }
}

fn packed_len(isa: Isa, s: &Conv2dShape, method: Method) -> usize {
    match method {
        Method::Tiles => tiles::packed_len(&weight_taps(s)),
        Method::Winograd(p) => winograd::packed_len(isa, p, s.in_channels, s.out_channels),
        Method::Taps => {
            let terms = s.in_channels * s.kernel[0] * s.kernel[1];
            taps::packed_len(isa, terms, s.out_channels)
        }
    }
}

fn pack(isa: Isa, s: &Conv2dShape, method: Method, w: &[f32], u: &mut [f32]) {
    match method {
        Method::Winograd(p) => {
            let source = Source {
                w,
                transposed: false,
            };
            winograd::pack(isa, p, source, s.in_channels, s.out_channels, u);
        }
        Method::Taps | Method::Tiles => {
            let (t, places) = (&weight_taps(s), forward_places(s));
            match method {
                Method::Tiles => tiles::pack(t, w, &places, u),
                _ => taps::pack(isa, t, w, &places, u),
            }
        }
    }
}

fn check_lengths(s: &Conv2dShape, x: &[f32], y: &[f32]) {
    assert_eq!(
        x.len(),
        s.input_len(),
        "the input's length does not fit {s:?}"
    );
    assert_eq!(
        y.len(),
        s.output_len(),
        "the output's length does not fit {s:?}"
    );
}

fn run(
    isa: Isa,
    s: &Conv2dShape,
    method: Method,
    x: &[f32],
    u: &[f32],
    epilogue: &Epilogue,
    y: &mut [f32],
) {
    check_lengths(s, x, y);
    let raw = epilogue.raw(s.batch, s.out_channels, y.len());
    match method {
        Method::Winograd(p) => winograd::conv(isa, p, geometry(s), x, u, y, raw),
        Method::Taps => taps::conv(isa, &forward_taps(s), x, u, y, raw),
        Method::Tiles => tiles::conv(&forward_taps(s), x, u, y, raw),
    }
}

/// Whether [`conv2d`] with plain weights is quicker for this shape than [`PackedConv`]: where there
/// are many channels and few positions, reading transformed weights takes longer than making them.
pub fn prefers_plain_weights(s: &Conv2dShape, precision: Precision) -> bool {
    match Method::of(s, s.in_channels, precision) {
        Method::Winograd(p) => winograd::pays_to_stream(Isa::current(), p, &geometry(s)),
        Method::Taps | Method::Tiles => false,
    }
}

/// Floats that the packed weights take.
pub(crate) fn packed_floats(s: &Conv2dShape, precision: Precision) -> usize {
    packed_len(Isa::current(), s, Method::of(s, s.in_channels, precision))
}

/// y = epilogue(conv(x, w)).
///
/// `x` is `[batch, in, h, w]`, `w` is `[out, in, kh, kw]`, `y` is `[batch, out, oh, ow]`, all
/// contiguous. The weights are packed anew at each call: for weights that stay, see
/// [`PackedConv`] and [`prefers_plain_weights`].
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv2d(
    s: &Conv2dShape,
    x: &[f32],
    w: &[f32],
    epilogue: &Epilogue,
    precision: Precision,
    y: &mut [f32],
) {
    assert_eq!(
        w.len(),
        s.weight_len(),
        "the weights' length does not fit {s:?}"
    );
    let isa = Isa::current();
    let method = Method::of(s, s.in_channels, precision);
    if let Method::Winograd(p) = method
        && winograd::pays_to_stream(isa, p, &geometry(s))
    {
        check_lengths(s, x, y);
        let source = Source {
            w,
            transposed: false,
        };
        let raw = epilogue.raw(s.batch, s.out_channels, y.len());
        return winograd::conv_streamed(isa, p, geometry(s), source, x, y, raw);
    }
    workspace::with(Slot::Weights, packed_len(isa, s, method), |u| {
        pack(isa, s, method, w, u);
        run(isa, s, method, x, u, epilogue, y);
    });
}

/// The weights of a convolution, packed once for the kernels that will use them.
#[derive(Clone, Debug)]
pub struct PackedConv {
    in_channels: usize,
    out_channels: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    isa: Isa,
    method: Method,
    u: Buffer,
    len: usize,
}

impl PackedConv {
    /// Packs `w`, `[out, in, kh, kw]`. The shape's batch, height and width do not matter.
    ///
    /// # Panics
    /// If the weights' length does not fit the shape.
    pub fn new(s: &Conv2dShape, w: &[f32], precision: Precision) -> Self {
        assert_eq!(
            w.len(),
            s.weight_len(),
            "the weights' length does not fit {s:?}"
        );
        let isa = Isa::current();
        let method = Method::of(s, s.in_channels, precision);
        let mut u = Buffer::default();
        let len = packed_len(isa, s, method);
        pack(isa, s, method, w, u.get(len));
        Self {
            in_channels: s.in_channels,
            out_channels: s.out_channels,
            kernel: s.kernel,
            stride: s.stride,
            padding: s.padding,
            isa,
            method,
            u,
            len,
        }
    }

    /// The shape for an input `[batch, in_channels, height, width]`.
    pub fn shape(&self, batch: usize, height: usize, width: usize) -> Conv2dShape {
        Conv2dShape {
            batch,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            height,
            width,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
        }
    }

    /// y = epilogue(conv(x, w)) for `batch` pictures of `height` × `width`.
    ///
    /// # Panics
    /// If a slice's length does not fit the shape.
    pub fn forward(
        &self,
        [batch, height, width]: [usize; 3],
        x: &[f32],
        epilogue: &Epilogue,
        y: &mut [f32],
    ) {
        let s = self.shape(batch, height, width);
        let u = self.u.filled(self.len);
        run(self.isa, &s, self.method, x, u, epilogue, y);
    }

    /// Bytes that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<f32>()
    }
}
