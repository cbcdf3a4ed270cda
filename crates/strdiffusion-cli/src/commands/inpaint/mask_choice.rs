//! The options that say how a mask becomes the hole, and how the fill ends at its border.

use anyhow::Result;
use clap::Args;
use strdiffusion::picture::MaskOptions;

/// How a mask becomes the hole, and how the fill ends at its border.
#[derive(Args)]
pub struct MaskChoice {
    /// Grow the hole by PX pixels: a tight mask leaves a rim of what it is to remove
    #[arg(long, value_name = "PX", default_value_t = 0, help_heading = "Borders")]
    grow: u32,
    /// Shrink the hole by PX pixels, before it is grown
    #[arg(long, value_name = "PX", default_value_t = 0, help_heading = "Borders")]
    shrink: u32,
    /// Blend fill and photograph across PX pixels around the hole; these known pixels change
    #[arg(long, value_name = "PX", default_value_t = 0, help_heading = "Borders")]
    feather: u32,
    /// Where white begins in the mask, above 0 and at most 1 [default: 0.5]; of transparency: the alpha
    /// below which a pixel is the hole
    #[arg(long, value_name = "NUMBER", help_heading = "Borders")]
    threshold: Option<f64>,
    /// Take the mask's gray as the share of the fill, which is blended with what the photograph holds
    #[arg(
        long,
        conflicts_with_all = ["grow", "shrink", "feather", "threshold"],
        help_heading = "Borders"
    )]
    soft: bool,
}

impl MaskChoice {
    /// The options.
    ///
    /// # Errors
    /// As [`MaskOptions::check`].
    pub fn options(&self) -> Result<MaskOptions> {
        let options = MaskOptions {
            threshold: self.threshold,
            shrink: self.shrink,
            grow: self.grow,
            feather: self.feather,
            soft: self.soft,
        };
        options.check()?;
        Ok(options)
    }
}
