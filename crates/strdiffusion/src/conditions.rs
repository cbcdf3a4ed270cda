//! From photographs and masks to what the networks are conditioned on.

use burn::tensor::{Device, Tensor, TensorData};

use crate::conditioning::Conditioning;
use crate::error::{Error, Result};
use crate::model::{EdgeConfig, ModelConfig};
use crate::picture::{FloatImage, Mask};
use crate::structure::{EdgeSource, batch_luma, edge_map, rgb_to_gray};

/// What the networks are conditioned on, for a batch of pictures of one size.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Mask m, `[b, 1, h, w]`: 1 = known, 0 = hole.
    pub mask: Tensor<4>,
    /// The texture's μ, `[b, 3, h, w]` in [0, 1]: the known pixels; in the hole zero or what the
    /// model's [`Conditioning`] says.
    pub texture: Tensor<4>,
    /// Known structure, gray · m, `[b, 1, h, w]`.
    pub gray: Tensor<4>,
    /// Edges · m (or edges drawn into the hole), `[b, 1, h, w]` in [0, 1]: the structure's μ.
    pub edges: Tensor<4>,
    /// What else the texture network reads, `[b, _, h, w]`.
    pub texture_context: Option<Tensor<4>>,
    /// What else the structure network reads, `[b, _, h, w]`.
    pub structure_context: Option<Tensor<4>>,
}

/// One picture to be filled.
#[derive(Debug, Clone)]
pub struct Task {
    /// RGB, `[3, h, w]` in [0, 1]. What it holds in the hole is not read (unless edges are taken
    /// from the full image, for parity with published evaluations).
    pub image: FloatImage,
    /// 1 = known, 0 = hole.
    pub mask: Mask,
    /// Edges that a person wants inside the hole, `[1, h, w]` in [0, 1]; only the hole's part is
    /// used.
    pub drawn_edges: Option<FloatImage>,
}

impl Conditions {
    /// Conditions of a batch of pictures of one size, as a model's networks expect them; `edges`
    /// says how edges are found.
    ///
    /// Hole pixels are set to zero before anything else looks at the picture, so nothing that
    /// they held can matter.
    ///
    /// # Errors
    /// If the batch is empty or its pictures, masks or drawings differ in size.
    pub fn new(
        tasks: &[Task],
        model: &ModelConfig,
        edges: &EdgeConfig,
        device: &Device,
    ) -> Result<Self> {
        let conditioning = model.conditioning;
        let Some(first) = tasks.first() else {
            return Err(Error::Size("a batch needs at least one picture".into()));
        };
        let (width, height) = (first.image.width(), first.image.height());
        let mut planes: [Vec<f32>; 4] = Default::default(); // mask, texture's μ, gray, edges
        for task in tasks {
            let size = [task.image.width(), task.image.height()];
            if size != [width, height] {
                return Err(Error::Size(format!(
                    "pictures of one batch must be of one size, but {width}×{height} and {}×{} \
                     were given",
                    size[0], size[1]
                )));
            }
            task.mask.check_size(width, height, "the picture")?;
            for (all, one) in planes
                .iter_mut()
                .zip(task_planes(task, conditioning, edges)?)
            {
                all.extend(one);
            }
        }
        let [mask, texture, gray, edges] = planes;
        let tensor = |values: Vec<f32>, channels: usize| {
            let data = TensorData::new(values, [tasks.len(), channels, height, width]);
            Tensor::from_data(data, device)
        };
        let (mask, texture) = (tensor(mask, 1), tensor(texture, 3));
        let (gray, edges) = (tensor(gray, 1), tensor(edges, 1));
        let (gray, edges) = model.structure_process.ends(
            || gray.clone(),
            || batch_luma(texture.clone()),
            || edges.clone() * mask.clone(),
            || edges.clone(),
        );
        Ok(Self::of(conditioning, mask, texture, gray, edges))
    }

    /// Mask, the texture's μ, known structure and the structure's μ, with what else the networks
    /// read of them.
    pub(crate) fn of(
        conditioning: Conditioning,
        mask: Tensor<4>,
        texture: Tensor<4>,
        gray: Tensor<4>,
        edges: Tensor<4>,
    ) -> Self {
        Self {
            structure_context: conditioning.structure_context(&mask, &texture),
            texture_context: conditioning.texture_context(&mask, &edges),
            mask,
            texture,
            gray,
            edges,
        }
    }
}

/// Mask, the texture's μ, known gray and edges of one picture.
fn task_planes(
    task: &Task,
    conditioning: Conditioning,
    edges: &EdgeConfig,
) -> Result<[Vec<f32>; 4]> {
    let keep: Vec<f32> = task
        .mask
        .keep()
        .iter()
        .map(|&keep| f32::from(keep))
        .collect();
    let known = hide_hole(&task.image, &task.mask);
    let gray = rgb_to_gray(&known)?;
    let read = match edges.source {
        EdgeSource::KnownRegion => edge_map(&gray, &task.mask, edges.source, &edges.canny)?,
        EdgeSource::FullImage => {
            let gray = rgb_to_gray(&task.image)?;
            edge_map(&gray, &task.mask, edges.source, &edges.canny)?
        }
    };
    let mut edge_values = read.into_vec();
    if let Some(drawn) = &task.drawn_edges {
        if [drawn.channels(), drawn.width(), drawn.height()]
            != [1, task.image.width(), task.image.height()]
        {
            return Err(Error::Size(format!(
                "the drawn structure is {}×{} but the picture is {}×{}",
                drawn.width(),
                drawn.height(),
                task.image.width(),
                task.image.height()
            )));
        }
        for ((edge, drawn), keep) in edge_values.iter_mut().zip(drawn.data()).zip(&keep) {
            if *keep == 0.0 {
                *edge = drawn.clamp(0.0, 1.0);
            }
        }
    }
    let gray = gray.to_float_image().into_vec();
    let mu = conditioning.texture_mu(&known, &task.mask);
    Ok([keep, mu.into_vec(), gray, edge_values])
}

/// m · known + (1 − m) · x.
pub(crate) fn paste(x: Tensor<4>, known: Tensor<4>, mask: &Tensor<4>) -> Tensor<4> {
    known * mask.clone() + x * (1.0 - mask.clone())
}

/// image · m.
pub fn hide_hole(image: &FloatImage, mask: &Mask) -> FloatImage {
    let mut known = image.clone();
    let area = image.width() * image.height();
    for (i, value) in known.data_mut().iter_mut().enumerate() {
        if mask.keep()[i % area] == 0 {
            *value = 0.0;
        }
    }
    known
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use crate::training::config::{Preset, TrainConfig};

    /// A linear ramp with a square hole that holds `inside`.
    fn ramp(inside: f32) -> Task {
        let side = 16;
        let is_hole = |x: usize, y: usize| (5..11).contains(&x) && (5..11).contains(&y);
        let pixel = |i: usize| (i % side, i / side % side);
        let values = (0..3 * side * side).map(|i| {
            let (x, y) = pixel(i);
            if is_hole(x, y) {
                inside
            } else {
                x as f32 / 16.0
            }
        });
        let keep = (0..side * side).map(|i| {
            let (x, y) = pixel(i);
            u8::from(!is_hole(x, y))
        });
        Task {
            image: FloatImage::from_vec(3, side, side, values.collect()).unwrap(),
            mask: Mask::from_keep(side, side, keep.collect()).unwrap(),
            drawn_edges: None,
        }
    }

    fn conditions(conditioning: Conditioning, inside: f32) -> Conditions {
        let mut config = TrainConfig::preset(Preset::Tiny);
        config.networks.conditioning = conditioning;
        let model = config.model_config();
        Conditions::new(&[ramp(inside)], &model, &model.edges, &Device::flex()).unwrap()
    }

    fn values(tensor: &Tensor<4>) -> Vec<f32> {
        crate::weights::host_values(tensor.clone())
    }

    #[test]
    fn nothing_that_the_hole_held_reaches_the_networks() {
        for conditioning in [Conditioning::Paper, Conditioning::Membrane] {
            let (dark, bright) = (conditions(conditioning, 0.0), conditions(conditioning, 1.0));
            assert_eq!(values(&dark.texture), values(&bright.texture));
            assert_eq!(values(&dark.gray), values(&bright.gray));
            assert_eq!(values(&dark.edges), values(&bright.edges));
            let context = |c: &Conditions| c.structure_context.as_ref().map(values);
            assert_eq!(context(&dark), context(&bright));
        }
    }

    #[test]
    fn the_membrane_goes_on_where_the_known_pixels_end() {
        // A linear function is harmonic, so its membrane is the function itself.
        let membrane = values(&conditions(Conditioning::Membrane, 0.0).texture);
        let worst = membrane
            .iter()
            .enumerate()
            .map(|(i, v)| (v - (i % 16) as f32 / 16.0).abs())
            .fold(0.0, f32::max);
        assert!(worst < 0.01, "{worst}");
        let paper = values(&conditions(Conditioning::Paper, 1.0).texture);
        assert_eq!(paper[16 * 8 + 8], 0.0);
    }
}
