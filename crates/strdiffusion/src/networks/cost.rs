//! How much arithmetic the networks are: multiplications and additions of their convolutions,
//! linear attention included, norms and activations not.

use super::guide::HIDDEN;
use super::unet::{HEAD_DIM, HEADS};
use super::{ConditionalUNetConfig, DiscriminatorConfig};

/// Multiply-adds of a convolution for each output pixel.
fn conv([c_in, c_out]: [usize; 2], kernel: usize) -> usize {
    c_in * c_out * kernel * kernel
}

/// Multiply-adds of a residual block for each pixel.
fn res_block([c_in, c_out]: [usize; 2]) -> usize {
    let skip = if c_in == c_out {
        0
    } else {
        conv([c_in, c_out], 1)
    };
    conv([c_in, c_out], 3) + conv([c_out, c_out], 3) + skip
}

/// Multiply-adds of an attention block for each pixel.
fn attention(channels: usize) -> usize {
    let hidden = HEADS * HEAD_DIM;
    conv([channels, 3 * hidden], 1) + conv([hidden, channels], 1) + 2 * HEADS * HEAD_DIM * HEAD_DIM
}

/// Multiply-adds of a guide block for each pixel.
fn guide(channels: usize) -> usize {
    let spade = conv([1, HIDDEN], 3) + 2 * conv([HIDDEN, channels], 3);
    2 * (conv([channels, channels], 3) + spade)
}

impl ConditionalUNetConfig {
    /// Multiply-adds of one evaluation on a picture of `height` × `width`.
    pub fn multiply_adds(&self, height: usize, width: usize) -> usize {
        let multiple = self.patch << self.depth;
        let squared = self.patch.pow(2);
        let pixels = height.next_multiple_of(multiple) * width.next_multiple_of(multiple);
        let area = pixels / squared;
        let nf = self.width;
        let mut total = area * conv([self.input_channels() * squared, nf], self.stem_kernel());
        for level in 0..self.depth {
            let (d, next) = (nf << level, nf << (level + 1));
            let here = area >> (2 * level);
            let last = level + 1 == self.depth;
            let below = if last { here } else { here / 4 };
            total += here * (2 * res_block([d, d]) + attention(d));
            total += below * conv([d, next], if last { 3 } else { 4 });
            if self.guided {
                total += below * guide(next);
            }
            // On the way up the blocks come before the doubling, which level 0 does not do.
            total += here * (2 * res_block([next + d, next]) + attention(next));
            total += if level == 0 { here } else { 4 * here } * conv([next, d], 3);
        }
        let (middle, bottom) = (nf << self.depth, area >> (2 * (self.depth - 1)));
        total += bottom * (2 * res_block([middle, middle]) + attention(middle));
        total + area * (res_block([2 * nf, nf]) + conv([nf, self.out_channels * squared], 3))
    }
}

impl DiscriminatorConfig {
    /// Multiply-adds of one evaluation on a picture of `height` × `width`.
    pub fn multiply_adds(&self, height: usize, width: usize) -> usize {
        let (w, area) = (self.width, height * width);
        let mut total = area * conv([self.in_channels, 2 * w], 1);
        let mut here = area;
        for (i, [c_in, c_out]) in [
            [2 * w, 2 * w],
            [2 * w, 4 * w],
            [4 * w, 8 * w],
            [8 * w, 8 * w],
        ]
        .into_iter()
        .enumerate()
        {
            total += here * conv([c_in, c_out], 3);
            if i > 0 {
                here /= 4;
            }
            total += here * (conv([c_out, c_out], 3) + conv([c_in, c_out], 1));
        }
        total + here * conv([8 * w + 1, 8 * w], 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected: the counts published with measurements of the reference implementation at
    /// 256×256: 417, 380 and 95 · 10⁹.
    #[test]
    fn full_size_networks_cost_what_the_reference_costs() {
        let giga = |macs: usize| macs as f64 / 1e9;
        let texture = giga(ConditionalUNetConfig::texture(64, 4).multiply_adds(256, 256));
        let structure = giga(ConditionalUNetConfig::structure(64, 4).multiply_adds(256, 256));
        let discriminator = giga(DiscriminatorConfig::new(64).multiply_adds(256, 256));
        assert!((texture - 417.0).abs() < 5.0, "{texture}");
        assert!((structure - 380.0).abs() < 5.0, "{structure}");
        assert!((discriminator - 95.0).abs() < 2.0, "{discriminator}");
    }
}
