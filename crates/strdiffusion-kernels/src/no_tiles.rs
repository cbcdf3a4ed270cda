//! In place of `tiles`, for architectures that have none: nothing is supported.

use crate::kernels::rows::RawEpilogue;
use crate::shape::Conv2dShape;
use crate::taps::{Places, Taps};

pub(crate) mod residual {
    use crate::residual_block::{ResidualBlock, ResidualGrads};

    #[derive(Debug)]
    pub(crate) struct Kept;

    pub(crate) fn forward(_: &ResidualBlock, _: [&[f32]; 2], _: &mut [f32]) -> Kept {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn backward(
        _: &ResidualBlock,
        _: &Kept,
        _: [&[f32]; 2],
        _: &[f32],
        _: ResidualGrads,
    ) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod guide {
    use crate::guide_block::{GuideBlock, GuideGrads};

    #[derive(Debug)]
    pub(crate) struct Kept;

    pub(crate) fn forward(_: &GuideBlock, _: &[f32], _: &[f32], _: &mut [f32]) -> Kept {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn backward(
        _: &GuideBlock,
        _: &Kept,
        _: &[f32],
        _: &[f32],
        _: &[f32],
        _: GuideGrads,
    ) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod doubled {
    use crate::doubled::DoubledConv;

    pub(crate) fn forward(_: &DoubledConv, _: &[f32], _: &[f32], _: &[f32], _: &mut [f32]) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod orthogonal {
    pub(crate) fn orthogonal(_: [usize; 2], _: &[f32], _: &mut [f32]) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod attention {
    use crate::attention_block::{AttentionGrads, AttentionWeights};
    use crate::norm::MapShape;

    pub(crate) const DIM: usize = 32;

    #[derive(Debug)]
    pub(crate) struct Context;

    pub(crate) fn context(_: &MapShape, _: &AttentionWeights, _: &[f32]) -> Context {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn forward(
        _: &MapShape,
        _: &AttentionWeights,
        _: &Context,
        _: &[f32],
        _: &mut [f32],
    ) {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn backward(
        _: &MapShape,
        _: &AttentionWeights,
        _: &Context,
        _: &[f32],
        _: &[f32],
        _: AttentionGrads,
    ) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod attention_maps {
    use super::Bf16;
    use crate::attention_block::AttentionWeights;
    use crate::norm::MapShape;

    pub(crate) fn forward(_: &MapShape, _: &AttentionWeights, _: &[Bf16], _: &mut [Bf16]) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod channels_last {
    use super::Bf16;
    use crate::kernels::rows::RawEpilogue;
    use crate::shape::Conv2dShape;
    use crate::taps::Places;

    pub(crate) fn packed_len(_: &Conv2dShape) -> usize {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn pack(_: &Conv2dShape, _: &[f32], _: &Places, _: &mut [f32]) {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn conv(
        _: &Conv2dShape,
        _: &[Bf16],
        _: &[f32],
        _: RawEpilogue,
        _: Option<&[Bf16]>,
        _: &mut [Bf16],
    ) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) mod maps {
    use super::Bf16;
    use crate::norm::MapShape;

    pub(crate) fn from_planes(_: &MapShape, _: &[f32], _: &mut [Bf16]) {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn to_planes(_: &MapShape, _: &[Bf16], _: &mut [f32]) {
        unreachable!("{}", super::NONE)
    }

    pub(crate) fn spade(_: &MapShape, _: &[Bf16], _: [&[Bf16]; 2], _: f32, _: f32, _: &mut [Bf16]) {
        unreachable!("{}", super::NONE)
    }
}

pub(crate) struct Bf16;

impl Bf16 {
    pub(crate) fn of_bits(_: &[u16]) -> &[Self] {
        unreachable!("{NONE}")
    }

    pub(crate) fn of_bits_mut(_: &mut [u16]) -> &mut [Self] {
        unreachable!("{NONE}")
    }
}

const NONE: &str = "no tiles here: `supports` says so";

pub(crate) fn supports(_: &Taps) -> bool {
    false
}

pub(crate) fn packed_len(_: &Taps) -> usize {
    unreachable!("{NONE}")
}

pub(crate) fn pack(_: &Taps, _: &[f32], _: &Places, _: &mut [f32]) {
    unreachable!("{NONE}")
}

pub(crate) fn conv(_: &Taps, _: &[f32], _: &[f32], _: &mut [f32], _: RawEpilogue) {
    unreachable!("{NONE}")
}

pub(crate) fn weight_grad(_: &Conv2dShape, _: &[f32], _: &[f32], _: &mut [f32]) {
    unreachable!("{NONE}")
}
