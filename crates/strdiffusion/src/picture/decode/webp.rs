//! Reading WebP: pixels, and what its chunks say beside them.

use std::io::{BufRead, Seek, SeekFrom};
use std::path::Path;

use image::{DynamicImage, ImageBuffer};
use image_webp::{DecodingError, WebPDecoder};

use super::{Decoded, damaged, from_io, unsupported};
use crate::picture::exif;
use crate::picture::metadata::{Metadata, Resolution};
use crate::picture::{Limits, PictureError};

/// Decodes a whole file.
pub(super) fn read(
    mut stream: impl BufRead + Seek,
    path: &Path,
    limits: &Limits,
) -> Result<Decoded, PictureError> {
    check_length(&mut stream, path)?;
    let failed = |e| decode_error(path, e);
    let mut decoder = WebPDecoder::new(stream).map_err(failed)?;
    decoder.set_memory_limit(usize::try_from(limits.bytes()).unwrap_or(usize::MAX));
    let (width, height) = decoder.dimensions();
    limits.check(path, width, height)?;
    let size = decoder.output_buffer_size();
    let mut pixels = vec![0; size.ok_or_else(|| damaged(path, "its size is not possible"))?];
    decoder.read_image(&mut pixels).map_err(failed)?;
    let image = match decoder.has_alpha() {
        true => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgba8),
        false => ImageBuffer::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    };
    let mut notes = vec![];
    if decoder.is_animated() && decoder.num_frames() > 1 {
        notes.push(super::only_one_of(
            "frames",
            decoder.num_frames() as usize,
            1,
        ));
    }
    let block = decoder.exif_metadata().map_err(failed)?;
    let block = block.map(|block| exif::without_prefix(&block).to_vec());
    Ok(Decoded {
        image: image.ok_or_else(|| damaged(path, "it holds fewer pixels than it states"))?,
        orientation: block.as_deref().and_then(exif::orientation).unwrap_or(1),
        metadata: Metadata {
            icc: decoder.icc_profile().map_err(failed)?,
            xmp: decoder.xmp_metadata().map_err(failed)?,
            resolution: Resolution::from_numbers(|tag| exif::number(block.as_deref()?, tag)),
            exif: block,
            ..Metadata::default()
        },
        notes,
    })
}

/// The container states its own length. A lossy picture whose end is missing decodes to garbage
/// without an error.
fn check_length(stream: &mut (impl BufRead + Seek), path: &Path) -> Result<(), PictureError> {
    let io = |e| from_io(path, e);
    let mut header = [0; 8];
    stream.read_exact(&mut header).map_err(io)?;
    let stated = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let found = stream.seek(SeekFrom::End(0)).map_err(io)?;
    stream.seek(SeekFrom::Start(0)).map_err(io)?;
    if found < u64::from(stated) + 8 {
        let missing = u64::from(stated) + 8 - found;
        return Err(damaged(
            path,
            format!("the last {missing} bytes are missing"),
        ));
    }
    Ok(())
}

fn decode_error(path: &Path, error: DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(e) => from_io(path, e),
        DecodingError::UnsupportedFeature(what) => unsupported(path, what),
        other => damaged(path, other),
    }
}
