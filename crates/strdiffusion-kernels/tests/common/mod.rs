//! Random numbers, plain f64 references, and a lock for the process-wide choice of ISA.
#![allow(dead_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use strdiffusion_kernels::{Conv2dShape, Isa, force_isa};

/// xorshift64*, uniform and roughly normal numbers.
pub struct Rng(pub u64);

impl Rng {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }
    /// Sum of four uniforms, centred, variance 1.
    pub fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n)
            .map(|_| ((0..4).map(|_| self.unit()).sum::<f64>() - 2.0) as f32 * 3f32.sqrt())
            .collect()
    }
}

/// Runs `f` with each instruction set that this CPU has.
pub fn each_isa(mut f: impl FnMut(Isa)) {
    let _guard = isa_lock();
    for &isa in Isa::available() {
        assert!(force_isa(Some(isa)));
        f(isa);
    }
    force_isa(None);
}

pub fn isa_lock() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Largest difference relative to the largest reference value.
pub fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let max = want.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    let mut worst = 0f64;
    for (g, w) in got.iter().zip(want) {
        let d = (f64::from(*g) - w).abs();
        worst = if d.is_nan() {
            f64::INFINITY
        } else {
            worst.max(d)
        };
    }
    worst / max
}

/// (batch, in, h, w, out, kernel, stride, padding)
pub type Row = (usize, usize, usize, usize, usize, usize, usize, usize);

/// The shape that a row lists.
pub fn shape(t: Row) -> Conv2dShape {
    let (n, c, h, w, o, k, s, p) = t;
    Conv2dShape::new([n, c, h, w], o, k, s, p)
}

/// Calls `f(output index, input index, weight index)` for each product of the convolution: its
/// definition.
pub fn products(s: &Conv2dShape, mut f: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = s.out_size();
    let [kh, kw] = s.kernel;
    for n in 0..s.batch {
        for o in 0..s.out_channels {
            for y in 0..oh {
                for x in 0..ow {
                    let at = ((n * s.out_channels + o) * oh + y) * ow + x;
                    for c in 0..s.in_channels {
                        for ky in 0..kh {
                            let iy = (y * s.stride + ky).wrapping_sub(s.padding);
                            for kx in 0..kw {
                                let ix = (x * s.stride + kx).wrapping_sub(s.padding);
                                if iy < s.height && ix < s.width {
                                    let i =
                                        ((n * s.in_channels + c) * s.height + iy) * s.width + ix;
                                    f(at, i, ((o * s.in_channels + c) * kh + ky) * kw + kx);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The same numbers in f64.
pub fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().map(|x| f64::from(*x)).collect()
}

/// The gradient of Σ weights·f(x) by central differences, where f is a reference in f64.
pub fn numeric_gradient(x: &[f64], weights: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let loss = |x: &[f64]| -> f64 {
        f(x).iter()
            .zip(weights)
            .map(|(y, w)| y * f64::from(*w))
            .sum()
    };
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let (at, h) = (x[i], 1e-5);
            x[i] = at + h;
            let up = loss(&x);
            x[i] = at - h;
            let down = loss(&x);
            x[i] = at;
            (up - down) / (2.0 * h)
        })
        .collect()
}
