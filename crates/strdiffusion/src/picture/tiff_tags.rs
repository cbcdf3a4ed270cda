//! Tags and values of TIFF that are not named elsewhere (TIFF 6.0 and its supplements).

use tiff::tags::Tag;

pub(super) const WHITE_IS_ZERO: u16 = 0;
pub(super) const BLACK_IS_ZERO: u16 = 1;
pub(super) const RGB: u16 = 2;
pub(super) const PALETTE: u16 = 3;
pub(super) const CMYK: u16 = 5;
pub(super) const YCBCR: u16 = 6;

pub(super) const INK_SET: Tag = Tag::Unknown(332);
pub(super) const YCBCR_COEFFICIENTS: Tag = Tag::Unknown(529);
pub(super) const REFERENCE_BLACK_WHITE: Tag = Tag::Unknown(532);
pub(super) const XMP: u16 = 700;
pub(super) const IPTC: u16 = 33_723;
pub(super) const ICC: u16 = 34_675;
pub(super) const PHOTOSHOP_LAYERS: u16 = 37_724;

/// Whether an entry of the main directory describes the photograph rather than how it is stored.
pub(super) fn travels(tag: u16) -> bool {
    matches!(
        tag,
        // Names, descriptions, camera, program, time, author, host, copyright.
        269 | 270 | 271 | 272 | 285 | 305 | 306 | 315 | 316 | 33_432
        // Rating, and Windows' title, comment, author, keywords and subject.
        | 0x4746 | 0x4749 | 0x9c9b..=0x9c9f
        // Where on Earth, of maps and aerial photographs.
        | 33_550 | 33_922 | 34_264 | 34_735..=34_737 | 42_112 | 42_113
    )
}
