//! Noise that any language can draw again.

use strdiffusion::Result;
use strdiffusion::sampling::NoiseSource;

/// Numbers of mean 0 and variance 1, each of four uniform ones, by Knuth's 64-bit linear
/// congruential generator: what `scripts/recorded_numbers.py` draws too. One stream for all
/// pictures.
#[derive(Debug, Clone)]
pub struct FormulaNoise(u64);

impl FormulaNoise {
    /// The stream that begins after `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as f64 / f64::from(1u32 << 31)
        };
        let total: f64 = (0..4).map(|_| uniform()).sum();
        ((total - 2.0) * 3f64.sqrt()) as f32
    }
}

impl NoiseSource for FormulaNoise {
    fn normal(&mut self, _picture: usize, shape: [usize; 3]) -> Result<Vec<f32>> {
        Ok((0..shape.iter().product()).map(|_| self.draw()).collect())
    }
}
