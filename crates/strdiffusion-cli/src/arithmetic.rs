//! The numbers that networks compute with, on the command line.

use clap::{Args, ValueEnum};
use strdiffusion::networks::Precision;
use strdiffusion::{Device, ops};

use crate::terminal::note;

/// How networks compute.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct Arithmetic {
    /// CPU: 3×3 convolutions with a third of the rounding error, slower
    #[arg(long)]
    precise: bool,
    /// Networks compute with 16-bit numbers: half the memory on a GPU, twice the speed in bf16 on a
    /// CPU with AMX; on other CPUs f16 is slow, and bf16 is 32 bit
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "precise")]
    half: Option<Half>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Half {
    /// 10 bits of mantissa
    F16,
    /// 7 bits of mantissa, the range of 32 bit
    Bf16,
}

impl Arithmetic {
    /// The networks' numbers on a device.
    pub fn choose(self, device: &Device) -> Precision {
        let precision = match self.half {
            None if self.precise => Precision::F32Precise,
            None => Precision::F32,
            Some(Half::F16) => Precision::F16,
            Some(Half::Bf16) => Precision::Bf16,
        };
        note_if_wider(precision, device);
        precision
    }
}

/// Says so where bf16 was asked for and the device computes in 32 bit.
pub fn note_if_wider(precision: Precision, device: &Device) {
    if precision == Precision::Bf16 && ops::is_cpu(device) && !ops::has_bf16() {
        note("this processor has no AMX, so bf16 is computed in 32 bit");
    }
}
