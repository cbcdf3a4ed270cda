//! The semantic discrepancy along the way: how well the estimate x̂_0 of a step agrees with the
//! truth in the known region and in the hole. The paper's claim is that guidance closes the gap
//! between the two early.

use std::collections::BTreeMap;

use super::measure::Case;
use crate::error::Result;
use crate::metrics::{Planes, finite_psnr, psnr_hole};
use crate::sampling::Event;
use crate::weights::host_values;

/// Agreement at one timestep, means over pictures, dB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// The timestep that was left.
    pub t: usize,
    /// PSNR of x̂_0 in the known region.
    pub known: f64,
    /// PSNR of x̂_0 in the hole.
    pub hole: f64,
}

impl Agreement {
    /// The gap: known − hole, dB.
    pub fn gap(&self) -> f64 {
        self.known - self.hole
    }
}

/// Collects the curve while pictures are sampled.
#[derive(Debug, Clone, Default)]
pub struct Discrepancy {
    sums: BTreeMap<usize, (f64, f64, usize)>,
}

impl Discrepancy {
    /// Takes in a step of a batch; other events are passed over.
    ///
    /// # Errors
    /// If the states are of another size than the pictures.
    pub fn record(&mut self, cases: &[Case], event: &Event) -> Result<()> {
        let Event::Step { t, clean, .. } = event else {
            return Ok(());
        };
        let values = host_values((*clean).clone());
        for (case, values) in cases.iter().zip(values.chunks(values.len() / cases.len())) {
            let (width, height) = (case.truth.width(), case.truth.height());
            let values: Vec<f32> = values.iter().map(|v| v.clamp(0.0, 1.0)).collect();
            let truth = Planes::new(case.truth.data(), 3, height, width)?;
            let estimate = Planes::new(&values, 3, height, width)?;
            let keep: Vec<f32> = case.mask.keep().iter().map(|&k| f32::from(k)).collect();
            let hide: Vec<f32> = keep.iter().map(|k| 1.0 - k).collect();
            let psnr = |mask: &[f32]| -> Result<f64> {
                let psnr = psnr_hole(&truth, &estimate, mask)?;
                Ok(finite_psnr(psnr))
            };
            let sum = self.sums.entry(*t).or_default();
            sum.0 += psnr(&hide)?;
            sum.1 += psnr(&keep)?;
            sum.2 += 1;
        }
        Ok(())
    }

    /// The curve from t = T down.
    pub fn curve(&self) -> Vec<Agreement> {
        let mean = |(&t, &(known, hole, count)): (&usize, &(f64, f64, usize))| Agreement {
            t,
            known: known / count as f64,
            hole: hole / count as f64,
        };
        self.sums.iter().rev().map(mean).collect()
    }
}
