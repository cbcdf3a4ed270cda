//! Scoring one result against the truth.

use super::{EvaluationError, Mask, Metric, Picture};
use crate::metrics::{self, GradientRatios, MetricError, Planes, SlicedWasserstein};

/// A learned distance between two pictures, such as LPIPS.
pub trait PerceptualDistance {
    /// The distance of `result` from `truth`; 0 for equal pictures.
    ///
    /// # Errors
    /// A one-line reason.
    fn distance(&mut self, truth: &Picture, result: &Picture) -> Result<f64, String>;
}

/// Computes the scores that were asked for.
pub struct Scorer<'a> {
    /// The metrics asked for. FID belongs to the whole run and is not computed here.
    pub metrics: Vec<Metric>,
    /// LPIPS, where its weights are at hand.
    pub lpips: Option<&'a mut dyn PerceptualDistance>,
}

/// The scores of one picture; absent where not asked for or not defined.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scores {
    pub psnr: Option<f64>,
    pub ssim: Option<f64>,
    pub psnr_hole: Option<f64>,
    pub ssim_hole: Option<f64>,
    pub ms_ssim: Option<f64>,
    pub swd: Option<SlicedWasserstein>,
    pub gradient: Option<GradientRatios>,
    pub lpips: Option<f64>,
}

impl Scorer<'_> {
    pub(super) fn score(
        &mut self,
        id: &str,
        truth: &Picture,
        result: &Picture,
        mask: &Mask,
    ) -> Result<Scores, EvaluationError> {
        let failed = |reason: String| EvaluationError::Score {
            id: id.to_owned(),
            reason,
        };
        let wanted = |metric| self.metrics.contains(&metric);
        let mut scores = Scores::default();
        let keep: Vec<f32> = mask.keep().iter().map(|&k| f32::from(k)).collect();
        let (truth_data, result_data) = (truth.planar(), result.planar());
        let pixel_scores = (|| -> Result<(), MetricError> {
            let (height, width) = (truth.height() as usize, truth.width() as usize);
            let a = Planes::new(&truth_data, 3, height, width)?;
            let b = Planes::new(&result_data, 3, height, width)?;
            if wanted(Metric::Psnr) {
                scores.psnr = Some(metrics::psnr(&a, &b)?);
                scores.psnr_hole = metrics::psnr_hole(&a, &b, &keep)?;
            }
            if wanted(Metric::Ssim)
                && let Some(ssim) = unless_too_small(metrics::ssim(&a, &b, Some(&keep)))?
            {
                scores.ssim = Some(ssim.whole);
                scores.ssim_hole = ssim.hole;
            }
            if wanted(Metric::MsSsim) {
                scores.ms_ssim = unless_too_small(metrics::ms_ssim(&a, &b))?;
            }
            if wanted(Metric::Swd) {
                let swd = metrics::sliced_wasserstein(&a, &b, &keep);
                scores.swd = unless_too_small(swd)?.flatten();
            }
            if wanted(Metric::Gradient) {
                scores.gradient = metrics::gradient_ratios(&a, &b, &keep)?;
            }
            Ok(())
        })();
        pixel_scores.map_err(|e| failed(e.to_string()))?;
        if wanted(Metric::Lpips)
            && let Some(lpips) = &mut self.lpips
        {
            scores.lpips = Some(lpips.distance(truth, result).map_err(failed)?);
        }
        Ok(scores)
    }
}

/// A picture too small for a metric has no such score; that is no failure.
fn unless_too_small<T>(score: Result<T, MetricError>) -> Result<Option<T>, MetricError> {
    match score {
        Ok(score) => Ok(Some(score)),
        Err(MetricError::TooSmall { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
