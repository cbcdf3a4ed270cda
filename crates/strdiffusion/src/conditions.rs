//! From photographs and masks to what the networks are conditioned on.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::model::EdgeConfig;
use crate::picture::{FloatImage, Mask};
use crate::sampler::Conditions;
use crate::structure::{EdgeSource, edge_map, rgb_to_gray};

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
    /// Conditions of a batch of pictures of one size.
    ///
    /// Hole pixels are set to zero before anything else looks at the picture, so nothing that
    /// they held can matter.
    ///
    /// # Errors
    /// If the batch is empty or its pictures, masks or drawings differ in size.
    pub fn new(tasks: &[Task], edges: &EdgeConfig, device: &Device) -> Result<Self> {
        let Some(first) = tasks.first() else {
            return Err(Error::Size("a batch needs at least one picture".into()));
        };
        let (width, height) = (first.image.width(), first.image.height());
        let mut planes: [Vec<f32>; 4] = Default::default(); // mask, texture, gray, edges
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
            for (all, one) in planes.iter_mut().zip(task_planes(task, edges)?) {
                all.extend(one);
            }
        }
        let [mask, texture, gray, edges] = planes;
        let tensor = |values: Vec<f32>, channels: usize| {
            let data = TensorData::new(values, [tasks.len(), channels, height, width]);
            Tensor::from_data(data, device)
        };
        Ok(Self {
            mask: tensor(mask, 1),
            texture: tensor(texture, 3),
            gray: tensor(gray, 1),
            edges: tensor(edges, 1),
        })
    }
}

/// Mask, known texture, known gray and edges of one picture.
fn task_planes(task: &Task, edges: &EdgeConfig) -> Result<[Vec<f32>; 4]> {
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
    Ok([keep, known.into_vec(), gray, edge_values])
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
