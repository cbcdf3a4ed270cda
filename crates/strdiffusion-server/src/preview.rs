//! A state of the networks as a small picture that a page can show at once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strdiffusion::Progress;
use strdiffusion::picture::{FloatImage, OutputFormat, Photo};

use crate::job::Previews;

/// Texture and structure after a step, as data URLs.
pub(crate) fn previews(progress: &Progress) -> Previews {
    let Some((texture, structure)) = progress.states() else {
        return Previews::default();
    };
    Previews {
        texture: data_url(&texture),
        structure: data_url(&structure),
    }
}

/// None where the state is not finite, which the fill itself will report.
fn data_url(state: &FloatImage) -> Option<String> {
    let photo = Photo::from_float_image(state).ok()?;
    let png = photo.encode(OutputFormat::Png).ok()?;
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}
