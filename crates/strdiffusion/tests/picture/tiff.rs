//! Kinds of TIFF, as cameras, scanners and programs write them.

use image::DynamicImage;
use strdiffusion::picture::{OutputFormat, Photo};

use crate::support::*;

/// A TIFF file, made by hand: classic or BigTIFF, little- or big-endian, of any pages.
struct Tiff {
    big: bool,
    little_endian: bool,
    pages: Vec<Page>,
}

/// Short values by their tags, and the data of the one strip.
struct Page {
    tags: Vec<(u16, Vec<u16>)>,
    strip: Vec<u8>,
}

impl Page {
    /// A page of this size, photometric interpretation and bits for each sample.
    fn new(size: [u16; 2], photometric: u16, bits: &[u16], strip: Vec<u8>) -> Self {
        let tags = vec![
            (256, vec![size[0]]),
            (257, vec![size[1]]),
            (258, bits.to_vec()),
            (259, vec![1]),
            (262, vec![photometric]),
            (277, vec![bits.len() as u16]),
            (278, vec![size[1]]),
        ];
        Self { tags, strip }
    }

    fn with(mut self, tag: u16, values: &[u16]) -> Self {
        self.tags.retain(|(other, _)| *other != tag);
        self.tags.push((tag, values.to_vec()));
        self
    }
}

impl Tiff {
    fn of(pages: Vec<Page>) -> Vec<u8> {
        Self {
            big: false,
            little_endian: true,
            pages,
        }
        .bytes()
    }

    fn number(&self, value: u64, width: usize) -> Vec<u8> {
        match self.little_endian {
            true => value.to_le_bytes()[..width].to_vec(),
            false => value.to_be_bytes()[8 - width..].to_vec(),
        }
    }

    /// TIFF 6.0, section 2, and its extension to 64 bits.
    fn bytes(&self) -> Vec<u8> {
        let word = if self.big { 8 } else { 4 };
        let mut out = if self.little_endian {
            b"II".to_vec()
        } else {
            b"MM".to_vec()
        };
        out.extend(self.number(if self.big { 43 } else { 42 }, 2));
        if self.big {
            out.extend([self.number(8, 2), self.number(0, 2)].concat());
        }
        let mut link = out.len();
        out.extend(self.number(0, word));
        for page in &self.pages {
            let strip = out.len() as u64;
            out.extend(&page.strip);
            let mut fields: Vec<(u16, u16, Vec<u8>)> = page
                .tags
                .iter()
                .map(|(tag, values)| {
                    (
                        *tag,
                        3,
                        values
                            .iter()
                            .flat_map(|&v| self.number(v.into(), 2))
                            .collect(),
                    )
                })
                .collect();
            fields.push((273, 4, self.number(strip, 4)));
            fields.push((279, 4, self.number(page.strip.len() as u64, 4)));
            fields.sort();
            let mut placed = vec![];
            for (tag, kind, value) in fields {
                let count = value.len() / if kind == 3 { 2 } else { 4 };
                let mut field = value;
                if field.len() > word {
                    let at = out.len() as u64;
                    out.extend(&field);
                    field = self.number(at, word);
                }
                field.resize(word, 0);
                placed.push(
                    [
                        self.number(tag.into(), 2),
                        self.number(kind.into(), 2),
                        self.number(count as u64, word),
                        field,
                    ]
                    .concat(),
                );
            }
            let here = self.number(out.len() as u64, word);
            out[link..link + word].copy_from_slice(&here);
            out.extend(self.number(placed.len() as u64, if self.big { 8 } else { 2 }));
            out.extend(placed.concat());
            link = out.len();
            out.extend(self.number(0, word));
        }
        out
    }
}

fn open(tiff: &[u8]) -> DynamicImage {
    read(tiff, "a.tif").unwrap().image().clone()
}

#[test]
fn the_size_of_a_page_decides_which_one_is_the_photograph() {
    let page = |side: u16, value: u8| {
        Page::new([side, side], 1, &[8], vec![value; usize::from(side * side)])
    };
    let small_first = Tiff::of(vec![page(2, 1), page(6, 2), page(3, 3)]);
    let photo = read(&small_first, "a.tif").unwrap();
    assert_eq!((photo.width(), photo.image().as_bytes()[0]), (6, 2));
    assert_eq!(
        photo.notes(),
        ["it holds 3 pages, of which only number 2 is used"]
    );
    let equal = read(&Tiff::of(vec![page(4, 1), page(4, 2)]), "a.tif").unwrap();
    assert_eq!(equal.image().as_bytes()[0], 1);
    assert_eq!(
        equal.notes(),
        ["it holds 2 pages, of which only number 1 is used"]
    );
    // A mask of another page (bit 2 of the subfile's type) is no photograph, however large.
    let masked = Tiff::of(vec![page(4, 1), page(8, 2).with(254, &[4])]);
    assert_eq!(read(&masked, "a.tif").unwrap().width(), 4);
    assert!(
        read(&Tiff::of(vec![page(4, 1)]), "a.tif")
            .unwrap()
            .notes()
            .is_empty()
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tif");
    std::fs::write(&file, small_first).unwrap();
    assert_eq!(Photo::size_of_file(&file).unwrap(), [6, 6]);
}

#[test]
fn gray_of_few_bits_fills_the_range() {
    // Two rows of three pixels, each row padded to a byte.
    let four = Tiff::of(vec![Page::new(
        [3, 2],
        1,
        &[4],
        vec![0x0f, 0x80, 0x12, 0x30],
    )]);
    assert_eq!(open(&four).as_bytes(), [0, 255, 136, 17, 34, 51]);
    let two = Tiff::of(vec![Page::new(
        [3, 2],
        1,
        &[2],
        vec![0b0001_1000, 0b1100_0000],
    )]);
    assert_eq!(open(&two).as_bytes(), [0, 85, 170, 255, 0, 0]);
    let one = Tiff::of(vec![Page::new(
        [3, 2],
        0,
        &[1],
        vec![0b1010_0000, 0b0100_0000],
    )]);
    assert_eq!(open(&one).as_bytes(), [0, 255, 0, 255, 0, 255]);
}

#[test]
fn gray_with_alpha_and_white_as_zero_are_read() {
    let page =
        |photometric| Page::new([2, 1], photometric, &[8, 8], vec![10, 255, 20, 7]).with(338, &[2]);
    let image = open(&Tiff::of(vec![page(1)]));
    assert_eq!(
        image,
        DynamicImage::ImageLumaA8(
            image::ImageBuffer::from_raw(2, 1, vec![10, 255, 20, 7]).unwrap()
        )
    );
    let inverted = open(&Tiff::of(vec![page(0)]));
    assert_eq!(inverted.as_bytes(), [245, 255, 235, 7]);
}

#[test]
fn associated_alpha_is_divided_out() {
    let pixels = vec![64, 32, 0, 128, 0, 0, 0, 0, 200, 100, 50, 255];
    let page = |kind: u16| Page::new([3, 1], 2, &[8; 4], pixels.clone()).with(338, &[kind]);
    let divided = open(&Tiff::of(vec![page(1)]));
    // 64 · 255 / 128 = 127.5, 32 · 255 / 128 = 63.75
    assert_eq!(
        divided.as_bytes(),
        [128, 64, 0, 128, 0, 0, 0, 0, 200, 100, 50, 255]
    );
    assert_eq!(open(&Tiff::of(vec![page(2)])).as_bytes(), pixels);
    // A channel of no stated meaning is no alpha.
    let other = read(&Tiff::of(vec![page(0)]), "a.tif").unwrap();
    assert_eq!(other.image().as_bytes(), [64, 32, 0, 0, 0, 0, 200, 100, 50]);
    assert!(
        other.notes()[0].contains("1 more channels"),
        "{:?}",
        other.notes()
    );
}

#[test]
fn palettes_are_read_as_their_colours() {
    let mut map = vec![0u16; 3 * 256];
    for (channel, value) in [0xff00, 0x8000, 0x1200].into_iter().enumerate() {
        map[channel * 256 + 7] = value;
    }
    let page = |little_endian| Tiff {
        big: false,
        little_endian,
        pages: vec![Page::new([2, 1], 3, &[8], vec![7, 0]).with(320, &map)],
    };
    for little_endian in [true, false] {
        assert_eq!(
            open(&page(little_endian).bytes()).as_bytes(),
            [0xff, 0x80, 0x12, 0, 0, 0]
        );
    }
}

#[test]
fn big_tiff_of_either_byte_order_is_read() {
    for little_endian in [true, false] {
        let samples = [1000u16, 2000, 3000];
        let strip = samples.iter().flat_map(|v| {
            if little_endian {
                v.to_le_bytes()
            } else {
                v.to_be_bytes()
            }
        });
        let page = Page::new([1, 1], 2, &[16; 3], strip.collect());
        let tiff = Tiff {
            big: true,
            little_endian,
            pages: vec![page],
        };
        assert_eq!(
            open(&tiff.bytes()),
            DynamicImage::ImageRgb16(image::ImageBuffer::from_raw(1, 1, samples.to_vec()).unwrap())
        );
    }
}

#[test]
fn planes_that_lie_apart_are_put_together() {
    let page = Page::new([2, 1], 2, &[8; 3], vec![1, 2]);
    let mut tiff = Tiff::of(vec![page.with(284, &[2])]);
    // Three strips need three offsets; one strip is not what the file states.
    assert!(read(&tiff, "a.tif").is_err());
    // Offsets and lengths of two bytes each, which no reader minds.
    let header = 8u16;
    let page = Page::new([2, 1], 2, &[8; 3], vec![1, 2, 3, 4, 5, 6]).with(284, &[2]);
    tiff = Tiff::of(vec![page]);
    let at = |tag: u16| {
        tiff.windows(4)
            .position(|w| w == [tag.to_le_bytes(), 4u16.to_le_bytes()].concat())
            .unwrap()
    };
    let (offsets, counts) = (at(273), at(279));
    let lists = tiff.len() as u32;
    let values = [header, header + 2, header + 4, 2, 2, 2];
    tiff.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    for (entry, place) in [(offsets, lists), (counts, lists + 6)] {
        tiff[entry + 2..entry + 4].copy_from_slice(&3u16.to_le_bytes());
        tiff[entry + 4..entry + 8].copy_from_slice(&3u32.to_le_bytes());
        tiff[entry + 8..entry + 12].copy_from_slice(&place.to_le_bytes());
    }
    assert_eq!(open(&tiff).as_bytes(), [1, 3, 5, 2, 4, 6]);
}

#[test]
fn compressed_strips_are_read_and_checked_to_their_end() {
    use std::io::Write;
    let pixels: Vec<u8> = (0..=255u8).map(|v| v ^ v >> 3).collect();
    let mut packed = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::best());
    packed.write_all(&pixels).unwrap();
    let strip = packed.finish().unwrap();
    let tiff = |strip: Vec<u8>| Tiff::of(vec![Page::new([16, 16], 1, &[8], strip).with(259, &[8])]);
    assert_eq!(open(&tiff(strip.clone())).as_bytes(), pixels);
    // The last four bytes are a checksum, which no pixel depends on.
    let mut changed = strip.clone();
    *changed.last_mut().unwrap() ^= 1;
    for bad in [changed, strip[..strip.len() / 2].to_vec()] {
        let error = read(&tiff(bad), "a.tif").unwrap_err().to_string();
        assert!(error.contains("truncated or damaged"), "{error}");
    }
}

#[test]
fn kinds_that_are_not_read_are_named() {
    let page = |photometric, bits: &[u16]| Page::new([1, 1], photometric, bits, vec![0; 64]);
    let cases = [
        (page(2, &[32; 3]).with(339, &[3, 3, 3]), "floating-point"),
        (page(1, &[16]).with(339, &[2]), "signed"),
        (page(8, &[8; 3]), "L*a*b*"),
        (page(2, &[12; 3]), "12-bit"),
        (page(1, &[8]).with(259, &[34_925]), "compression"),
        (page(32_803, &[16]), "is not supported"),
    ];
    for (page, expected) in cases {
        let error = read(&Tiff::of(vec![page]), "a.tif")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.contains("not supported"),
            "{error}"
        );
    }
}

/// The values of the first directory's entries of a file in this machine's byte order.
fn tags(tiff: &[u8]) -> Vec<u16> {
    let long = |at: usize| u32::from_ne_bytes(tiff[at..at + 4].try_into().unwrap()) as usize;
    let short = |at: usize| u16::from_ne_bytes([tiff[at], tiff[at + 1]]);
    let start = long(4);
    (0..usize::from(short(start)))
        .map(|i| short(start + 2 + 12 * i))
        .collect()
}

#[test]
fn written_files_declare_alpha_and_state_nothing_that_is_not_so() {
    for image in pictures() {
        let photo = Photo::from_image(image.clone()).unwrap();
        let bytes = photo.encode(OutputFormat::Tiff).unwrap();
        let tags = tags(&bytes);
        assert!(tags.is_sorted(), "{tags:?}");
        // ExtraSamples where there is alpha, and a Predictor never.
        assert_eq!(tags.contains(&338), image.color().has_alpha());
        assert!(!tags.contains(&317));
        assert_eq!(open(&bytes), image);
    }
}
