//! Sums of convolutions of maps as planes of f32: how a block's result and its gradient leave it, in
//! training.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::TILE_FLOATS;
use super::channels_last::{Sink, Spot};
use super::lanes::{self, Bf16, Element};
use crate::raw::Shared;

/// Planes in two parts, the channels of the one and then those of the other.
pub(super) struct Planes {
    pub parts: [Shared<*mut f32>; 2],
    pub channels: [usize; 2],
    pub positions: usize,
}

impl Planes {
    /// Planes in one part.
    pub(super) fn whole(to: &mut [f32], channels: usize, positions: usize) -> Self {
        Planes {
            parts: [Shared::of_mut(to); 2],
            channels: [channels, 0],
            positions,
        }
    }

    /// Where a channel of a picture starts.
    #[inline]
    fn plane(&self, picture: usize, channel: usize) -> *mut f32 {
        let [first, second] = self.channels;
        let (part, plane) = if channel < first {
            (self.parts[0], picture * first + channel)
        } else {
            (self.parts[1], picture * second + channel - first)
        };
        part.get().wrapping_add(plane * self.positions)
    }
}

/// What is added to sums on their way into planes.
pub(super) enum Added {
    Nothing,
    /// What the planes hold.
    Themselves,
    /// Other planes, in one part.
    Others(Shared<*const f32>),
}

/// y = f(sums + bias) + added, with f = SiLU where the sums are kept as well.
pub(super) struct ToPlanes<'a> {
    pub y: Planes,
    pub bias: Option<&'a [f32]>,
    pub added: Added,
    /// Where sums go as they are, before they are activated.
    pub kept: Option<Shared<*mut Bf16>>,
}

impl Sink for ToPlanes<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn put(&self, at: Spot, sums: *const f32) {
        let positions = self.y.positions;
        let channels = self.y.channels[0] + self.y.channels[1];
        // SAFETY: all maps are as large as the convolution's output.
        unsafe {
            if let Some(kept) = self.kept {
                for r in 0..at.count {
                    let v = both(sums, r);
                    let to = kept.get().add(at.in_map([positions, channels], r)).cast();
                    _mm512_mask_storeu_epi16(to, at.mask, lanes::round(v[0], v[1]));
                }
            }
            let places = lanes::first(at.count);
            for half in 0..2 {
                let rows = turned(sums, half);
                let first = at.output + half * 16;
                let count = 16.min(channels.saturating_sub(first));
                for (i, row) in rows.iter().enumerate().take(count) {
                    let channel = first + i;
                    let v = _mm512_castsi512_ps(*row);
                    let to = self.y.plane(at.picture, channel).add(at.place);
                    let mut v = match self.bias {
                        Some(bias) => _mm512_add_ps(v, _mm512_set1_ps(bias[channel])),
                        None => v,
                    };
                    if self.kept.is_some() {
                        v = lanes::silu(v);
                    }
                    let added = match self.added {
                        Added::Nothing => None,
                        Added::Themselves => Some(to.cast_const()),
                        Added::Others(planes) => {
                            let plane = at.picture * channels + channel;
                            Some(planes.get().add(plane * positions + at.place))
                        }
                    };
                    if let Some(added) = added {
                        v = _mm512_add_ps(v, f32::load(added, places));
                    }
                    f32::store(to, places, v);
                }
            }
        }
    }
}

/// Sums of 32 outputs at place `r` of a spot.
///
/// # Safety
/// `sums` are two tiles.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn both(sums: *const f32, r: usize) -> [__m512; 2] {
    // SAFETY: row r of each.
    [0, 1].map(|i| unsafe { _mm512_load_ps(sums.add(i * TILE_FLOATS + r * 16)) })
}

/// Sums of 16 outputs at the places of a spot, output after output.
///
/// # Safety
/// As [`both`]; the first (0) or the second (1) of them.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn turned(sums: *const f32, half: usize) -> [__m512i; 16] {
    // SAFETY: the rows of a tile.
    let mut rows: [__m512i; 16] =
        from_fn(|r| unsafe { _mm512_load_si512(sums.add(half * TILE_FLOATS + r * 16).cast()) });
    lanes::transpose(&mut rows);
    rows
}
