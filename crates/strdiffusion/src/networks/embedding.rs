//! Sinusoidal time embedding.

use burn::tensor::{Device, Tensor, TensorData};

/// Embeds timesteps as sines and cosines of geometrically spaced frequencies, `[times, dim]`:
/// sin(t·f_i) for i < dim/2, then cos(t·f_i), with f_i = 10000^(−i / (dim/2 − 1)).
///
/// The arithmetic is f32 throughout, as in the networks that were trained with it.
pub fn sinusoidal(times: &[f32], dim: usize, device: &Device) -> Tensor<2> {
    let half = dim / 2;
    let step = -((10_000f64.ln() / (half as f64 - 1.0)) as f32);
    let frequencies: Vec<f32> = (0..half).map(|i| (i as f32 * step).exp()).collect();
    let mut values = Vec::with_capacity(times.len() * dim);
    for &t in times {
        values.extend(frequencies.iter().map(|f| (t * f).sin()));
        values.extend(frequencies.iter().map(|f| (t * f).cos()));
    }
    Tensor::from_data(TensorData::new(values, [times.len(), 2 * half]), device)
}
