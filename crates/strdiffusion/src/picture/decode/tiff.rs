//! Reading TIFF: the full-size picture among its pages, in the kinds that cameras, scanners and
//! programs write, and what its tags say beside it.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::ZlibDecoder;
use image::{DynamicImage, ImageBuffer};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{CompressionMethod, IfdPointer, Tag, Type, ValueBuffer};
use tiff::{Directory, TiffError};

use super::{Decoded, damaged, from_io, jpeg_scan, unsupported};
use crate::picture::colour;
use crate::picture::exif::{self, Directories, Entry};
use crate::picture::metadata::{Metadata, Resolution};
use crate::picture::samples::Sample;
use crate::picture::tiff_tags::{self as tags, travels};
use crate::picture::{Limits, PictureError};

/// Pages that are looked at in one file.
const MOST_PAGES: usize = 10_000;

/// Decodes the largest picture of a file.
pub(super) fn read(
    mut stream: impl Read + Seek,
    path: &Path,
    limits: &Limits,
) -> Result<Decoded, PictureError> {
    let failed = |e| decode_error(path, e);
    let length = stream
        .seek(SeekFrom::End(0))
        .map_err(|e| from_io(path, e))?;
    let mut notes = vec![];
    let (page, kind, mut metadata, orientation) = {
        let mut decoder = open(&mut stream, None)
            .map_err(failed)?
            .with_limits(tiff_limits(limits));
        let page = Page::choose(&mut decoder, path, &mut notes)?;
        limits.check(path, page.size[0], page.size[1])?;
        let kind = PixelKind::of(&mut decoder, &page, path)?;
        let (metadata, orientation) = metadata(&mut decoder, &page.directory, &mut notes);
        (page, kind, metadata, orientation)
    };
    // Palettes, and white as zero beside alpha, are refused by the decoder: it reads their plain
    // numbers where the file seems to hold gray.
    let seems_gray = kind.photometric == tags::PALETTE || kind.photometric == tags::WHITE_IS_ZERO;
    let patch = match seems_gray {
        true => Some(place_of_photometric(&mut stream, &page).map_err(|e| from_io(path, e))?),
        false => None,
    };
    let mut decoder = open(&mut stream, patch)
        .map_err(failed)?
        .with_limits(tiff_limits(limits));
    decoder.seek_to_image(page.index).map_err(failed)?;
    check_chunks(&mut decoder, &kind, page.size, length, (path, limits))?;
    let mut buffer = DecodingResult::U8(vec![]);
    let layout = decoder.read_image_to_buffer(&mut buffer).map_err(failed)?;
    let pixels = Pixels {
        size: page.size,
        kind: &kind,
        planes: layout.planes,
    };
    let image = match buffer {
        DecodingResult::U8(samples) if kind.bits < 8 => pixels.finish(
            &unpack(&samples, &kind, page.size),
            &mut metadata,
            &mut notes,
        ),
        DecodingResult::U8(samples) => pixels.finish(&samples, &mut metadata, &mut notes),
        DecodingResult::U16(samples) => pixels.finish(&samples, &mut metadata, &mut notes),
        _ => return Err(unsupported(path, "TIFF of this kind of samples")),
    };
    Ok(Decoded {
        image: image.ok_or_else(|| damaged(path, "it holds fewer pixels than it states"))?,
        orientation,
        metadata,
        notes,
    })
}

/// Width and height of the picture that [`read`] gives, as it lies in the file, and how it is to be
/// turned.
pub(super) fn size(
    mut stream: impl Read + Seek,
    path: &Path,
) -> Result<([u32; 2], u8), PictureError> {
    let mut decoder = open(&mut stream, None).map_err(|e| decode_error(path, e))?;
    let page = Page::choose(&mut decoder, path, &mut vec![])?;
    let orientation =
        entry(&mut decoder, &page.directory, exif::ORIENTATION).and_then(|e| e.number());
    Ok((page.size, orientation.map_or(1, |value| value as u8)))
}

fn tiff_limits(limits: &Limits) -> tiff::decoder::Limits {
    let bytes = usize::try_from(limits.bytes()).unwrap_or(usize::MAX);
    let mut all = tiff::decoder::Limits::default();
    all.decoding_buffer_size = bytes;
    all.intermediate_buffer_size = bytes;
    all.ifd_value_size = bytes;
    all
}

/// A stream in which two bytes read as if they were others.
struct Patched<'a, R> {
    stream: &'a mut R,
    at: u64,
    patch: Option<(u64, [u8; 2])>,
}

impl<R: Read> Read for Patched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if let Some((place, bytes)) = self.patch {
            for (place, byte) in (place..).zip(bytes) {
                if let Some(offset) = place.checked_sub(self.at).filter(|&o| o < count as u64) {
                    buffer[offset as usize] = byte;
                }
            }
        }
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Patched<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.stream.seek(to)?;
        Ok(self.at)
    }
}

type TiffDecoder<'a, R> = Decoder<Patched<'a, R>>;

fn open<R: Read + Seek>(
    stream: &mut R,
    patch: Option<(u64, [u8; 2])>,
) -> Result<TiffDecoder<'_, R>, TiffError> {
    stream.seek(SeekFrom::Start(0))?;
    Decoder::new(Patched {
        stream,
        at: 0,
        patch,
    })
}

/// Where a page states how its numbers are to be read, and what would be gray.
fn place_of_photometric(
    stream: &mut (impl Read + Seek),
    page: &Page,
) -> io::Result<(u64, [u8; 2])> {
    let mut header = [0; 4];
    stream.seek(SeekFrom::Start(0))?;
    stream.read_exact(&mut header)?;
    let little_endian = header[0] == b'I';
    let is_big = header.contains(&43);
    let (count, entry, field) = if is_big { (8, 20, 12) } else { (2, 12, 8) };
    let order = |bytes: [u8; 2]| {
        if little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }
    };
    for i in 0..page.directory.len() as u64 + 64 {
        let at = page.pointer.0 + count + entry * i;
        let mut tag = [0; 2];
        stream.seek(SeekFrom::Start(at))?;
        stream.read_exact(&mut tag)?;
        if order(tag) == Tag::PhotometricInterpretation.to_u16() {
            let gray = tags::BLACK_IS_ZERO;
            let bytes = if little_endian {
                gray.to_le_bytes()
            } else {
                gray.to_be_bytes()
            };
            return Ok((at + field, bytes));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// An entry of a directory, its values in this machine's byte order; none where there is none, or
/// it cannot be read.
fn entry<R: Read + Seek>(
    decoder: &mut TiffDecoder<R>,
    directory: &Directory,
    tag: u16,
) -> Option<Entry> {
    let mut value = ValueBuffer::empty(Type::BYTE);
    let mut directory = decoder.read_directory_tags(directory);
    directory
        .find_tag_buf(Tag::from_u16_exhaustive(tag), &mut value)
        .ok()??;
    // Bytes that only claim to be numbers of four bytes.
    if tag != tags::IPTC {
        value.set_byte_order(tiff::tags::ByteOrder::native());
    }
    let kind = value.data_type().to_u16();
    Some(Entry {
        tag,
        kind,
        value: value.as_bytes().to_vec(),
    })
}

/// A page of a file.
struct Page {
    /// From 0.
    index: usize,
    pointer: IfdPointer,
    directory: Directory,
    size: [u32; 2],
    /// A smaller copy, or a mask of another page.
    is_secondary: bool,
}

impl Page {
    /// The page with the most pixels, the first of several. What else there is becomes a note.
    fn choose<R: Read + Seek>(
        decoder: &mut TiffDecoder<R>,
        path: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self, PictureError> {
        let mut pages = Self::all(decoder, path)?;
        let count = pages.len();
        let is_full = pages.iter().any(|page| !page.is_secondary);
        let pixels = |page: &Self| u64::from(page.size[0]) * u64::from(page.size[1]);
        let candidates = pages.iter().filter(|page| !is_full || !page.is_secondary);
        let best = candidates
            .rev()
            .max_by_key(|page| pixels(page))
            .map(|page| page.index);
        let Some(best) = best else {
            return Err(damaged(path, "it holds no picture"));
        };
        let page = pages.swap_remove(best);
        if count > 1 {
            notes.push(super::only_one_of("pages", count, page.index + 1));
        }
        let below = entry(decoder, &page.directory, Tag::SubIfd.to_u16());
        let below: Vec<u64> = below.map_or_else(Vec::new, |entry| pointers(&entry));
        for &pointer in &below {
            let inner = Self::at(decoder, IfdPointer(pointer), 0).ok();
            if inner.is_some_and(|inner| pixels(&inner) > pixels(&page)) {
                return Err(unsupported(
                    path,
                    "a full-size picture inside another one, as in camera raw files,",
                ));
            }
        }
        if !below.is_empty() {
            notes.push(format!(
                "it holds {} smaller copies or masks, which are left out",
                below.len()
            ));
        }
        decoder
            .seek_to_image(page.index)
            .map_err(|e| decode_error(path, e))?;
        Ok(page)
    }

    fn all<R: Read + Seek>(
        decoder: &mut TiffDecoder<R>,
        path: &Path,
    ) -> Result<Vec<Self>, PictureError> {
        let failed = |e| decode_error(path, e);
        let mut next = decoder.ifd_pointer();
        let mut seen = std::collections::BTreeSet::new();
        let mut pages = vec![];
        while let Some(pointer) = next {
            if !seen.insert(pointer.0) || pages.len() == MOST_PAGES {
                return Err(damaged(path, "its pages go in a circle"));
            }
            let page = Self::at(decoder, pointer, pages.len()).map_err(failed)?;
            next = page.directory.next();
            pages.push(page);
        }
        Ok(pages)
    }

    fn at<R: Read + Seek>(
        decoder: &mut TiffDecoder<R>,
        pointer: IfdPointer,
        index: usize,
    ) -> Result<Self, TiffError> {
        let directory = decoder.read_directory(pointer)?;
        let mut number =
            |tag: Tag| entry(decoder, &directory, tag.to_u16()).and_then(|entry| entry.number());
        let size = [Tag::ImageWidth, Tag::ImageLength]
            .map(|tag| number(tag).map_or(0, |side| side as u32));
        // Bit 0: reduced resolution; bit 2: transparency mask.
        let is_secondary = number(Tag::NewSubfileType).is_some_and(|kind| kind as u32 & 0b101 != 0)
            || number(Tag::SubfileType) == Some(2.0);
        Ok(Self {
            index,
            pointer,
            directory,
            size,
            is_secondary,
        })
    }
}

/// Offsets of other directories.
fn pointers(entry: &Entry) -> Vec<u64> {
    match entry.kind {
        4 | 13 => entry
            .value
            .chunks_exact(4)
            .map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]).into())
            .collect(),
        16 | 18 => entry
            .value
            .chunks_exact(8)
            .filter_map(|b| Some(u64::from_ne_bytes(b.try_into().ok()?)))
            .collect(),
        _ => vec![],
    }
}

/// How a page's numbers are to be read.
struct PixelKind {
    photometric: u16,
    bits: u16,
    /// Samples of a pixel that are stored, and of these colours.
    stored: usize,
    colours: usize,
    alpha: Alpha,
    compression: CompressionMethod,
    is_planar: bool,
    /// Red, green and blue, one after the other, 16 bits each.
    palette: Vec<u16>,
    luma: [f32; 3],
    black_white: [f32; 6],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alpha {
    None,
    /// The colours were multiplied by it.
    Associated,
    Straight,
}

impl PixelKind {
    /// Reads it; refuses kinds that are not read, by their names.
    fn of<R: Read + Seek>(
        decoder: &mut TiffDecoder<R>,
        page: &Page,
        path: &Path,
    ) -> Result<Self, PictureError> {
        let refuse = |what: String| Err(unsupported(path, what));
        let mut numbers = |tag: Tag| -> Vec<f64> {
            let entry = entry(decoder, &page.directory, tag.to_u16());
            entry.map_or_else(Vec::new, |entry| values(&entry))
        };
        let first =
            |values: Vec<f64>, otherwise: u16| values.first().map_or(otherwise, |&v| v as u16);
        let photometric = first(numbers(Tag::PhotometricInterpretation), tags::BLACK_IS_ZERO);
        let bits = first(numbers(Tag::BitsPerSample), 1);
        let stored = usize::from(first(numbers(Tag::SamplesPerPixel), 1));
        let extra = numbers(Tag::ExtraSamples);
        let format = first(numbers(Tag::SampleFormat), 1);
        let compression =
            CompressionMethod::from_u16_exhaustive(first(numbers(Tag::Compression), 1));
        let colours = match photometric {
            tags::WHITE_IS_ZERO | tags::BLACK_IS_ZERO | tags::PALETTE => 1,
            tags::RGB | tags::YCBCR => 3,
            tags::CMYK if first(numbers(tags::INK_SET), 1) != 1 => {
                return refuse("TIFF of inks other than CMYK".into());
            }
            tags::CMYK => 4,
            4 => return refuse("TIFF that is a transparency mask".into()),
            8..=10 => return refuse("TIFF in the L*a*b* colour space".into()),
            32803 | 34892 => return refuse("camera raw data".into()),
            other => return refuse(format!("TIFF of the photometric interpretation {other}")),
        };
        match format {
            1 | 4 => {}
            2 => return refuse("TIFF of signed samples".into()),
            3 => return refuse("TIFF of floating-point samples".into()),
            _ => return refuse("TIFF of complex samples".into()),
        }
        let few_bits = colours == 1 && stored == 1 && matches!(bits, 1 | 2 | 4);
        let is_read = few_bits || bits == 8 || (bits == 16 && photometric != tags::YCBCR);
        if !is_read {
            return refuse(format!("TIFF of {bits}-bit samples of this colour space"));
        }
        use CompressionMethod as C;
        match compression {
            C::None
            | C::LZW
            | C::Deflate
            | C::OldDeflate
            | C::PackBits
            | C::ModernJPEG
            | C::Fax4 => {}
            C::JPEG => return refuse("TIFF with old-style JPEG compression".into()),
            other => return refuse(format!("TIFF with {other:?} compression")),
        }
        if stored < colours {
            return Err(damaged(
                path,
                format!("{stored} samples for {colours} colours"),
            ));
        }
        // Four samples of RGB without a word on the fourth are taken as straight alpha.
        let alpha = match (extra.first().map(|&kind| kind as u16), stored - colours) {
            (_, 0) => Alpha::None,
            (Some(1), _) => Alpha::Associated,
            (Some(2), _) => Alpha::Straight,
            (None, 1) => Alpha::Straight,
            _ => Alpha::None,
        };
        let luma = numbers(tags::YCBCR_COEFFICIENTS);
        let black_white = numbers(tags::REFERENCE_BLACK_WHITE);
        Ok(Self {
            photometric,
            bits,
            stored,
            colours,
            alpha,
            compression,
            is_planar: first(numbers(Tag::PlanarConfiguration), 1) == 2,
            palette: numbers(Tag::ColorMap).iter().map(|&v| v as u16).collect(),
            luma: match *luma {
                [r, g, b] if g > 0.0 => [r as f32, g as f32, b as f32],
                _ => colour::REC_601,
            },
            black_white: match <[f64; 6]>::try_from(black_white) {
                Ok(values) => values.map(|v| v as f32),
                Err(_) => [0.0, 255.0, 128.0, 255.0, 128.0, 255.0],
            },
        })
    }
}

/// All values of an entry, of kinds that count.
fn values(entry: &Entry) -> Vec<f64> {
    let size = exif::size_of_kind(entry.kind).unwrap_or(8);
    let single = entry.value.chunks_exact(size).map(|value| {
        let (tag, kind) = (entry.tag, entry.kind);
        Entry {
            tag,
            kind,
            value: value.to_vec(),
        }
        .number()
    });
    single.map(Option::unwrap_or_default).collect()
}

/// Checks that the file holds what it states of each strip or tile. The decoder reads on past a
/// part that is too short, does not look at checksums, and fills what is missing of a JPEG with
/// gray.
fn check_chunks<R: Read + Seek>(
    decoder: &mut TiffDecoder<R>,
    kind: &PixelKind,
    size: [u32; 2],
    length: u64,
    (path, limits): (&Path, &Limits),
) -> Result<(), PictureError> {
    let failed = |e| decode_error(path, e);
    let mut list = |strip: Tag, tile: Tag| -> Result<Vec<u64>, TiffError> {
        match decoder.find_tag_unsigned_vec(strip)? {
            Some(list) => Ok(list),
            None => Ok(decoder.find_tag_unsigned_vec(tile)?.unwrap_or_default()),
        }
    };
    let offsets = list(Tag::StripOffsets, Tag::TileOffsets).map_err(failed)?;
    let counts = list(Tag::StripByteCounts, Tag::TileByteCounts).map_err(failed)?;
    // A few bytes that all parts share are no damage; reading most of the file for each part is.
    let all = counts
        .iter()
        .fold(0u64, |sum, &count| sum.saturating_add(count));
    if all > limits.bytes().max(length) {
        return Err(damaged(path, "its parts overlap"));
    }
    let tables = decoder.find_tag(Tag::JPEGTables).map_err(failed)?;
    let tables = tables.and_then(|tables| tables.into_u8_vec().ok());
    let tables = tables.unwrap_or_default();
    let stated = Stated::of(decoder.chunk_dimensions(), kind, size);
    for (number, (&offset, &count)) in (0u64..).zip(offsets.iter().zip(&counts)) {
        let part = |what: &str| {
            let text = format!("part {} of {} {what}", number + 1, offsets.len());
            damaged(path, text)
        };
        if offset.checked_add(count).is_none_or(|end| end > length) {
            return Err(part("is missing"));
        }
        let stream = decoder.inner();
        stream
            .seek(SeekFrom::Start(offset))
            .map_err(|e| from_io(path, e))?;
        let mut stream = stream.take(count);
        match kind.compression {
            CompressionMethod::None if count < stated.bytes_of(number) => {
                return Err(part("is too short"));
            }
            CompressionMethod::Deflate | CompressionMethod::OldDeflate => {
                let stated = stated.bytes_of(number);
                // One more than is stated, so that the checksum at the end is looked at.
                let mut unpacked = ZlibDecoder::new(stream).take(stated.saturating_add(1));
                let unpacked = io::copy(&mut unpacked, &mut io::sink());
                if !unpacked.is_ok_and(|bytes| bytes >= stated) {
                    return Err(part("is cut off or changed"));
                }
            }
            CompressionMethod::ModernJPEG => {
                // Tables that all parts share come first, in place of a part's first marker.
                let mut data = tables[..tables.len().saturating_sub(2)].to_vec();
                let mut start = [0; 2];
                let whole = stream.read_exact(&mut start);
                if data.is_empty() {
                    data.extend(start);
                }
                let whole = whole.and_then(|()| stream.read_to_end(&mut data));
                whole.map_err(|e| from_io(path, e))?;
                jpeg_scan::check(&data, limits).map_err(|reason| damaged(path, reason))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many bytes the parts of a page are, unpacked.
struct Stated {
    row: u64,
    rows: u64,
    rows_of_last: u64,
    /// Strips of one plane; tiles are all of one size.
    strips: Option<u64>,
}

impl Stated {
    fn of((width, height): (u32, u32), kind: &PixelKind, size: [u32; 2]) -> Self {
        let samples = if kind.is_planar { 1 } else { kind.stored };
        let bits = u64::from(width) * samples as u64 * u64::from(kind.bits);
        let (rows, all) = (u64::from(height.max(1)), u64::from(size[1]));
        let strips = all.div_ceil(rows).max(1);
        Self {
            row: bits.div_ceil(8),
            rows,
            rows_of_last: all.saturating_sub((strips - 1) * rows),
            strips: (width == size[0]).then_some(strips),
        }
    }

    fn bytes_of(&self, number: u64) -> u64 {
        let is_last = self
            .strips
            .is_some_and(|strips| number % strips == strips - 1);
        let rows = if is_last {
            self.rows_of_last
        } else {
            self.rows
        };
        self.row.saturating_mul(rows)
    }
}

/// Samples of 1, 2 or 4 bits, one in each byte; gray fills the whole range.
fn unpack(packed: &[u8], kind: &PixelKind, [width, height]: [u32; 2]) -> Vec<u8> {
    let bits = usize::from(kind.bits);
    let row = (width as usize * bits).div_ceil(8);
    let most = (1u8 << bits) - 1;
    let scale = if kind.photometric == tags::PALETTE {
        1
    } else {
        255 / most
    };
    let mut samples = Vec::with_capacity(width as usize * height as usize);
    for row in packed.chunks_exact(row).take(height as usize) {
        samples.extend((0..width as usize).map(|x| {
            let shift = 8 - bits - x * bits % 8;
            (row[x * bits / 8] >> shift & most) * scale
        }));
    }
    samples
}

/// A page's samples on their way to a picture.
struct Pixels<'a> {
    size: [u32; 2],
    kind: &'a PixelKind,
    planes: usize,
}

/// A sample that makes a picture.
trait TiffSample: Sample + colour::InkSample + Ord {
    fn inverted(self) -> Self;
    /// A value of 16 bits.
    fn of_16_bits(value: u16) -> Self;
    fn index(self) -> usize;
    fn to_image(samples: Vec<Self>, channels: usize, size: [u32; 2]) -> Option<DynamicImage>;
}

macro_rules! tiff_sample {
    ($sample:ty, $shift:expr, $gray:ident, $gray_alpha:ident, $rgb:ident, $rgba:ident) => {
        impl TiffSample for $sample {
            fn inverted(self) -> Self {
                Self::MAX - self
            }
            fn of_16_bits(value: u16) -> Self {
                (value >> $shift) as Self
            }
            fn index(self) -> usize {
                usize::from(self)
            }
            fn to_image(
                samples: Vec<Self>,
                channels: usize,
                [w, h]: [u32; 2],
            ) -> Option<DynamicImage> {
                match channels {
                    1 => ImageBuffer::from_raw(w, h, samples).map(DynamicImage::$gray),
                    2 => ImageBuffer::from_raw(w, h, samples).map(DynamicImage::$gray_alpha),
                    3 => ImageBuffer::from_raw(w, h, samples).map(DynamicImage::$rgb),
                    _ => ImageBuffer::from_raw(w, h, samples).map(DynamicImage::$rgba),
                }
            }
        }
    };
}
tiff_sample!(u8, 8, ImageLuma8, ImageLumaA8, ImageRgb8, ImageRgba8);
tiff_sample!(u16, 0, ImageLuma16, ImageLumaA16, ImageRgb16, ImageRgba16);

impl Pixels<'_> {
    /// The picture; none where samples are missing.
    fn finish<S: TiffSample>(
        &self,
        samples: &[S],
        metadata: &mut Metadata,
        notes: &mut Vec<String>,
    ) -> Option<DynamicImage> {
        let kind = self.kind;
        let count = self.size[0] as usize * self.size[1] as usize;
        let has_alpha = kind.alpha != Alpha::None;
        let read = kind.colours + usize::from(has_alpha);
        if kind.stored > read {
            let more = kind.stored - read;
            notes.push(format!(
                "it holds {more} more channels than colour and transparency, which are left out"
            ));
        }
        // Samples lie plane by plane or pixel by pixel; the decoder may have left some out.
        let given = samples.len() / count.max(1);
        let at = |pixel: usize, channel: usize| match self.planes {
            1 => pixel * given + channel,
            _ => channel * count + pixel,
        };
        if given < read {
            return None;
        }
        let gather = |channels: std::ops::Range<usize>| -> Vec<S> {
            (0..count)
                .flat_map(|pixel| channels.clone().map(move |c| (pixel, c)))
                .map(|(pixel, c)| samples[at(pixel, c)])
                .collect()
        };
        let colours = gather(0..kind.colours);
        let (mut colours, shown) = match kind.photometric {
            tags::WHITE_IS_ZERO => (colours.into_iter().map(S::inverted).collect(), 1),
            tags::PALETTE => (self.through_palette(&colours)?, 3),
            tags::YCBCR => (self.ycbcr(&colours), 3),
            tags::CMYK => {
                let (rgb, note) = colour::cmyk_to_rgb(&colours, metadata.icc.take().as_deref());
                notes.push(note);
                (rgb, 3)
            }
            _ => (colours, kind.colours),
        };
        if !has_alpha {
            return S::to_image(colours, shown, self.size);
        }
        let alpha = gather(kind.colours..kind.colours + 1);
        if kind.alpha == Alpha::Associated {
            for (pixel, &alpha) in colours.chunks_exact_mut(shown).zip(&alpha) {
                pixel
                    .iter_mut()
                    .for_each(|colour| *colour = divided(*colour, alpha));
            }
        }
        let pixels = colours.chunks_exact(shown).zip(&alpha);
        let all = pixels.flat_map(|(pixel, &alpha)| pixel.iter().copied().chain([alpha]));
        S::to_image(all.collect(), shown + 1, self.size)
    }

    fn through_palette<S: TiffSample>(&self, indices: &[S]) -> Option<Vec<S>> {
        let entries = self.kind.palette.len() / 3;
        // Some programs write 8 bits where 16 are meant.
        let is_short = self.kind.palette.iter().all(|&v| v < 256);
        let channel = |index: S, c: usize| {
            let value = *self.kind.palette.get(c * entries + index.index())?;
            Some(S::of_16_bits(if is_short { value * 257 } else { value }))
        };
        let is_there = |index: &S| index.index() < entries;
        let all = indices.iter().filter(|index| is_there(index));
        let colours: Option<Vec<S>> = all
            .flat_map(|&index| (0..3).map(move |c| (index, c)))
            .map(|(index, c)| channel(index, c))
            .collect();
        colours.filter(|colours| colours.len() == 3 * indices.len())
    }

    fn ycbcr<S: TiffSample>(&self, samples: &[S]) -> Vec<S> {
        let [y0, y1, b0, b1, r0, r1] = self.kind.black_white;
        let to_range = |code: S, zero: f32, most: f32, span: f32| {
            let code: f32 = code.into();
            (code - zero) * span / (most - zero).max(1.0)
        };
        let convert = |p: &[S]| {
            let y = to_range(p[0], y0, y1, 255.0);
            let (cb, cr) = (to_range(p[1], b0, b1, 127.0), to_range(p[2], r0, r1, 127.0));
            colour::ycbcr_to_rgb([y, cb + 128.0, cr + 128.0], self.kind.luma)
        };
        let rgb = samples.chunks_exact(3).flat_map(convert);
        rgb.map(|value| S::from_f32(f32::from(value))).collect()
    }
}

/// A colour from its product with alpha, rounded.
fn divided<S: TiffSample>(colour: S, alpha: S) -> S {
    let alpha: f64 = alpha.into();
    if alpha == 0.0 {
        return colour;
    }
    let colour: f64 = colour.into();
    S::from_unit(colour / alpha)
}

/// What the tags of a page say beside the pixels, and how the page is to be turned.
fn metadata<R: Read + Seek>(
    decoder: &mut TiffDecoder<R>,
    directory: &Directory,
    notes: &mut Vec<String>,
) -> (Metadata, u8) {
    let mut bytes = |tag: u16| {
        entry(decoder, directory, tag)
            .map(|entry| entry.value)
            .filter(|v| !v.is_empty())
    };
    let (icc, xmp, iptc) = (bytes(tags::ICC), bytes(tags::XMP), bytes(tags::IPTC));
    if bytes(tags::PHOTOSHOP_LAYERS).is_some() {
        notes.push("it holds Photoshop's layers, which are left out".into());
    }
    let mut number = |tag: u16| entry(decoder, directory, tag).and_then(|entry| entry.number());
    let orientation = number(exif::ORIENTATION).map_or(1, |value| value as u8);
    let numbers = [
        exif::X_RESOLUTION,
        exif::Y_RESOLUTION,
        exif::RESOLUTION_UNIT,
    ]
    .map(|tag| (tag, number(tag)));
    let resolution = Resolution::from_numbers(|tag| numbers.iter().find(|(of, _)| *of == tag)?.1);
    let main: Vec<u16> = directory
        .iter()
        .map(|(tag, _)| tag.to_u16())
        .filter(|&tag| travels(tag))
        .collect();
    let mut directories = Directories {
        main: main
            .into_iter()
            .filter_map(|tag| entry(decoder, directory, tag))
            .collect(),
        exif: below(decoder, directory, exif::EXIF_DIRECTORY),
        gps: below(decoder, directory, exif::GPS_DIRECTORY),
    };
    // What only a larger kind of file has is left out.
    let is_plain = |entry: &Entry| exif::size_of_kind(entry.kind).is_some();
    for entries in [
        &mut directories.main,
        &mut directories.exif,
        &mut directories.gps,
    ] {
        entries.retain(is_plain);
    }
    let block = exif::build(&directories).and_then(|_| {
        directories
            .main
            .extend(resolution.map(Resolution::to_entries).into_iter().flatten());
        exif::build(&directories)
    });
    let metadata = Metadata {
        icc,
        exif: block,
        xmp,
        iptc,
        resolution,
        ..Metadata::default()
    };
    (metadata, orientation)
}

/// The entries of a directory that another one points to.
fn below<R: Read + Seek>(
    decoder: &mut TiffDecoder<R>,
    directory: &Directory,
    tag: u16,
) -> Vec<Entry> {
    let pointer =
        entry(decoder, directory, tag).and_then(|entry| pointers(&entry).first().copied());
    let Some(inner) = pointer.and_then(|at| decoder.read_directory(IfdPointer(at)).ok()) else {
        return vec![];
    };
    let tags: Vec<u16> = inner.iter().map(|(tag, _)| tag.to_u16()).collect();
    // Interoperability has a directory of its own, which says nothing of a photograph.
    let tags = tags.into_iter().filter(|&tag| tag != 0xa005);
    tags.filter_map(|tag| entry(decoder, &inner, tag)).collect()
}

fn decode_error(path: &Path, error: TiffError) -> PictureError {
    match error {
        TiffError::IoError(e) => from_io(path, e),
        TiffError::UnsupportedError(what) => {
            unsupported(path, format!("TIFF of this kind ({what})"))
        }
        other => damaged(path, other),
    }
}
