//! Writing TIFF as other programs expect it: strips, no tag that says nothing, alpha declared, and
//! EXIF as the directories that it is made of.

use std::io::{Seek, Write};

use image::DynamicImage;
use tiff::Directory;
use tiff::TiffError;
use tiff::encoder::{DirectoryEncoder, Rational, TiffEncoder, TiffKindStandard};
use tiff::tags::{Tag, Type};

use crate::picture::exif::{self, Directories, Entry};
use crate::picture::tiff_tags::{self as tags, travels};
use crate::picture::{OutputFormat, Photo};

/// Bytes of a strip, about.
const STRIP: usize = 1 << 20;

type Encoder<'a, W> = DirectoryEncoder<'a, W, TiffKindStandard>;

impl Photo {
    pub(super) fn encode_tiff(
        &self,
        out: &mut (impl Write + Seek),
        image: &DynamicImage,
    ) -> Result<(), TiffError> {
        let mut encoder = TiffEncoder::new(out)?;
        let block = self.metadata.exif.as_deref().and_then(exif::directories);
        let Directories { main, exif, gps } = block.unwrap_or_default();
        let mut below = |entries: &[Entry]| -> Result<Option<u32>, TiffError> {
            if entries.is_empty() {
                return Ok(None);
            }
            let mut directory = encoder.extra_directory()?;
            entries
                .iter()
                .try_for_each(|entry| write(&mut directory, entry))?;
            Ok(Some(directory.finish_with_offsets()?.offset))
        };
        let (exif, gps) = (below(&exif)?, below(&gps)?);
        let mut directory = encoder.image_directory()?;
        write_pixels(&mut directory, image)?;
        if let Some(resolution) = self.metadata.resolution {
            resolution
                .to_entries()
                .iter()
                .try_for_each(|entry| write(&mut directory, entry))?;
        }
        for entry in main.iter().filter(|entry| travels(entry.tag)) {
            write(&mut directory, entry)?;
        }
        for (tag, offset) in [(Tag::ExifDirectory, exif), (Tag::GpsDirectory, gps)] {
            if let Some(offset) = offset {
                directory.write_tag(tag, offset)?;
            }
        }
        let profile = self.profile_for(OutputFormat::Tiff);
        let blocks = [
            (tags::ICC, 7, profile.as_deref()),
            (tags::XMP, 1, self.metadata.xmp.as_deref()),
            (tags::IPTC, 7, self.metadata.iptc.as_deref()),
        ];
        for (tag, kind, block) in blocks {
            if let Some(block) = block {
                write(
                    &mut directory,
                    &Entry {
                        tag,
                        kind,
                        value: block.to_vec(),
                    },
                )?;
            }
        }
        directory.finish()
    }
}

fn write<W: Write + Seek>(directory: &mut Encoder<W>, entry: &Entry) -> Result<(), TiffError> {
    let Some(kind) = Type::from_u16(entry.kind) else {
        return Ok(());
    };
    let written = directory.write_entry_bytes(kind, &entry.value)?;
    let tag = Tag::from_u16_exhaustive(entry.tag);
    directory.extend_from(&Directory::from_iter([(tag, written)]));
    Ok(())
}

fn write_pixels<W: Write + Seek>(
    directory: &mut Encoder<W>,
    image: &DynamicImage,
) -> Result<(), TiffError> {
    let channels = usize::from(image.color().channel_count());
    let bytes = image.as_bytes();
    let row = bytes.len() / image.height() as usize;
    let rows = (STRIP / row).clamp(1, image.height() as usize);
    let (mut offsets, mut counts) = (vec![], vec![]);
    for strip in bytes.chunks(rows * row) {
        offsets.push(u32::try_from(directory.write_data(strip)?)?);
        counts.push(u32::try_from(strip.len())?);
    }
    let bits = image.color().bits_per_pixel() / channels as u16;
    let photometric = if channels > 2 {
        tags::RGB
    } else {
        tags::BLACK_IS_ZERO
    };
    directory.write_tag(Tag::ImageWidth, image.width())?;
    directory.write_tag(Tag::ImageLength, image.height())?;
    directory.write_tag(Tag::BitsPerSample, vec![bits; channels].as_slice())?;
    directory.write_tag(Tag::Compression, 1u16)?;
    directory.write_tag(Tag::PhotometricInterpretation, photometric)?;
    directory.write_tag(Tag::StripOffsets, offsets.as_slice())?;
    directory.write_tag(Tag::SamplesPerPixel, channels as u16)?;
    directory.write_tag(Tag::RowsPerStrip, rows as u32)?;
    directory.write_tag(Tag::StripByteCounts, counts.as_slice())?;
    // Required, even where the photograph has none: then replaced by its own.
    directory.write_tag(Tag::XResolution, Rational { n: 1, d: 1 })?;
    directory.write_tag(Tag::YResolution, Rational { n: 1, d: 1 })?;
    directory.write_tag(Tag::ResolutionUnit, 1u16)?;
    directory.write_tag(Tag::PlanarConfiguration, 1u16)?;
    if channels % 2 == 0 {
        // Unassociated: colours are not multiplied by it.
        directory.write_tag(Tag::ExtraSamples, 2u16)?;
    }
    Ok(())
}
