//! EXIF: what a camera wrote, as a small TIFF structure (TIFF 6.0, section 2; Exif 2.32, 4.6).
//!
//! A block is patched in place where it can be: maker notes hold offsets that break when they move.

/// Tags of directory 0 that lead to other directories.
pub(super) const EXIF_DIRECTORY: u16 = 0x8769;
pub(super) const GPS_DIRECTORY: u16 = 0x8825;
const INTEROPERABILITY_DIRECTORY: u16 = 0xa005;
pub(super) const ORIENTATION: u16 = 0x0112;
pub(super) const X_RESOLUTION: u16 = 0x011a;
pub(super) const Y_RESOLUTION: u16 = 0x011b;
pub(super) const RESOLUTION_UNIT: u16 = 0x0128;
/// Number of images, in the index of a multi-picture JPEG (CIPA DC-007).
pub(super) const NUMBER_OF_IMAGES: u16 = 0xb001;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub tag: u16,
    /// Type of the values: 1 byte, 2 text, 3 short, 4 long, 5 rational, 7 undefined and so on.
    pub kind: u16,
    /// The values in this machine's byte order.
    pub value: Vec<u8>,
}

impl Entry {
    pub fn short(tag: u16, value: u16) -> Self {
        Self {
            tag,
            kind: 3,
            value: value.to_ne_bytes().to_vec(),
        }
    }

    pub fn rational(tag: u16, [numerator, denominator]: [u32; 2]) -> Self {
        let value = [numerator.to_ne_bytes(), denominator.to_ne_bytes()].concat();
        Self {
            tag,
            kind: 5,
            value,
        }
    }

    /// The first value, of a kind that counts.
    pub fn number(&self) -> Option<f64> {
        let four = |at: usize| {
            Some(u32::from_ne_bytes(
                self.value.get(at..at + 4)?.try_into().ok()?,
            ))
        };
        match self.kind {
            1 => self.value.first().map(|&v| f64::from(v)),
            3 => Some(f64::from(u16::from_ne_bytes(
                self.value.get(..2)?.try_into().ok()?,
            ))),
            4 | 13 => four(0).map(f64::from),
            // Only in large kinds of TIFF.
            16 => Some(u64::from_ne_bytes(self.value.get(..8)?.try_into().ok()?) as f64),
            5 => match four(4)? {
                0 => None,
                below => Some(f64::from(four(0)?) / f64::from(below)),
            },
            _ => None,
        }
    }
}

/// Bytes of one value of a kind; none for a kind that is not known.
pub(super) fn size_of_kind(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}

/// Turns values around where a file's byte order is not this machine's.
pub(super) fn to_native(value: &mut [u8], kind: u16, little_endian: bool) {
    if little_endian == cfg!(target_endian = "little") {
        return;
    }
    let unit = match kind {
        3 | 8 => 2,
        4 | 5 | 9 | 10 | 11 | 13 => 4,
        12 => 8,
        _ => return,
    };
    value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
}

/// The directories of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directories {
    pub main: Vec<Entry>,
    pub exif: Vec<Entry>,
    pub gps: Vec<Entry>,
}

/// A block, to be looked at.
struct Block<'a> {
    bytes: &'a [u8],
    little_endian: bool,
}

/// Where an entry lies in a block.
#[derive(Clone)]
struct Place {
    tag: u16,
    kind: u16,
    count: usize,
    /// Where the four bytes of its value or offset are.
    field: usize,
    /// Where its values are.
    values: std::ops::Range<usize>,
}

impl<'a> Block<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let little_endian = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        Some(Self {
            bytes,
            little_endian,
        })
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn long(&self, at: usize) -> Option<usize> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let value = if self.little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        };
        usize::try_from(value).ok()
    }

    /// The entries of a directory, and where the offset of the next one is. Entries that reach
    /// beyond the block are left out.
    fn directory(&self, at: usize) -> Option<(Vec<Place>, usize)> {
        let count = usize::from(self.short(at)?);
        let end = at + 2 + 12 * count;
        let places = (0..count).filter_map(|i| {
            let entry = at + 2 + 12 * i;
            let kind = self.short(entry + 2)?;
            let count = self.long(entry + 4)?;
            let length = count.checked_mul(size_of_kind(kind)?)?;
            let start = if length <= 4 {
                entry + 8
            } else {
                self.long(entry + 8)?
            };
            let values = start..start.checked_add(length)?;
            self.bytes.get(values.clone())?;
            Some(Place {
                tag: self.short(entry)?,
                kind,
                count,
                field: entry + 8,
                values,
            })
        });
        (end <= self.bytes.len()).then(|| (places.collect(), end))
    }

    /// The first value of a short or long entry.
    fn value(&self, place: &Place) -> Option<usize> {
        match place.kind {
            3 => self.short(place.values.start).map(usize::from),
            4 | 13 => self.long(place.values.start),
            _ => None,
        }
    }

    fn find(&self, places: &[Place], tag: u16) -> Option<usize> {
        self.value(places.iter().find(|place| place.tag == tag)?)
    }

    fn entries(&self, places: &[Place]) -> Vec<Entry> {
        let pointers = [EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY];
        let kept = places.iter().filter(|place| !pointers.contains(&place.tag));
        kept.map(|place| {
            let mut value = self.bytes[place.values.clone()].to_vec();
            to_native(&mut value, place.kind, self.little_endian);
            Entry {
                tag: place.tag,
                kind: place.kind,
                value,
            }
        })
        .collect()
    }
}

/// The block without the bytes that some containers put before it.
pub(super) fn without_prefix(block: &[u8]) -> &[u8] {
    block.strip_prefix(b"Exif\0\0").unwrap_or(block)
}

/// The orientation that a block states, 1 to 8.
pub(super) fn orientation(block: &[u8]) -> Option<u8> {
    let block = Block::new(block)?;
    let (main, _) = block.directory(block.long(4)?)?;
    let value = u8::try_from(block.find(&main, ORIENTATION)?).ok()?;
    (1..=8).contains(&value).then_some(value)
}

/// A number of the main directory.
pub(super) fn number(block: &[u8], tag: u16) -> Option<f64> {
    let block = Block::new(block)?;
    let (main, _) = block.directory(block.long(4)?)?;
    block
        .entries(&main)
        .iter()
        .find(|entry| entry.tag == tag)?
        .number()
}

/// The same block for a photograph that stands upright, has this size and no thumbnail. Nothing in
/// it moves; none where it cannot be read.
pub(super) fn upright(mut bytes: Vec<u8>, size: [u32; 2]) -> Option<Vec<u8>> {
    // What is to be written, as a number of so many bytes.
    let mut changes: Vec<(usize, u32, usize)> = vec![];
    let mut blanks = vec![];
    let block = Block::new(&bytes)?;
    let start = block.long(4)?;
    let (main, next) = block.directory(start)?;
    let mut set = |places: &[Place], tag: u16, value: u32| {
        let found = places.iter().filter(|p| p.tag == tag && p.count == 1);
        for place in found {
            match place.kind {
                3 => changes.push((place.values.start, value.min(0xffff), 2)),
                4 => changes.push((place.values.start, value, 4)),
                _ => {}
            }
        }
    };
    set(&main, ORIENTATION, 1);
    set(&main, 0x0100, size[0]);
    set(&main, 0x0101, size[1]);
    if let Some((exif, _)) = block
        .find(&main, EXIF_DIRECTORY)
        .and_then(|at| block.directory(at))
    {
        set(&exif, 0xa002, size[0]);
        set(&exif, 0xa003, size[1]);
    }
    // The directory after the main one is that of the thumbnail.
    let thumbnail = block.long(next).filter(|&at| at != 0);
    if let Some((places, _)) = thumbnail.and_then(|at| block.directory(at)) {
        // Compressed, or in strips.
        for (offset, length) in [(0x0201, 0x0202), (0x0111, 0x0117)] {
            if let (Some(at), Some(length)) =
                (block.find(&places, offset), block.find(&places, length))
            {
                blanks.push(at..at.saturating_add(length));
            }
        }
        blanks.extend(places.iter().map(|place| place.values.clone()));
        blanks.extend(places.iter().map(|place| place.field - 8..place.field + 4));
    }
    // Some programs leave out the offset of a directory that is not there.
    if next + 4 <= bytes.len() {
        changes.push((next, 0, 4));
    }
    let little_endian = block.little_endian;
    for range in blanks {
        let end = range.end.min(bytes.len());
        bytes[range.start.min(end)..end].fill(0);
    }
    for (at, value, width) in changes {
        let encoded = match (little_endian, width) {
            (true, _) => value.to_le_bytes()[..width].to_vec(),
            (false, 2) => (value as u16).to_be_bytes().to_vec(),
            (false, _) => value.to_be_bytes().to_vec(),
        };
        bytes.get_mut(at..at + width)?.copy_from_slice(&encoded);
    }
    // A thumbnail lies at the end as a rule. Whatever else ends in zeros is no longer than before.
    let used = used_length(&bytes)?;
    bytes.truncate(used);
    Some(bytes)
}

/// Where the last directory or value of a block ends.
fn used_length(bytes: &[u8]) -> Option<usize> {
    let block = Block::new(bytes)?;
    let mut open = vec![block.long(4)?];
    let mut seen = vec![];
    let mut end = 8;
    while let Some(at) = open.pop() {
        if seen.contains(&at) {
            continue;
        }
        seen.push(at);
        let Some((places, next)) = block.directory(at) else {
            continue;
        };
        end = end.max(next + 4);
        for place in &places {
            end = end.max(place.values.end);
            if [EXIF_DIRECTORY, GPS_DIRECTORY, INTEROPERABILITY_DIRECTORY].contains(&place.tag) {
                open.extend(block.value(place));
            }
            // A maker note's own structure may reach beyond its stated length.
            if place.tag == 0x927c {
                return Some(bytes.len());
            }
        }
    }
    Some(end.min(bytes.len()))
}

/// The entries of a block, directory by directory; pointers and the thumbnail are left out.
pub(super) fn directories(bytes: &[u8]) -> Option<Directories> {
    let block = Block::new(bytes)?;
    let (main, _) = block.directory(block.long(4)?)?;
    let below = |tag: u16| {
        let directory = block.find(&main, tag).and_then(|at| block.directory(at));
        directory.map_or_else(Vec::new, |(places, _)| block.entries(&places))
    };
    Some(Directories {
        exif: below(EXIF_DIRECTORY),
        gps: below(GPS_DIRECTORY),
        main: block.entries(&main),
    })
}

/// A block of these directories; none where there is no entry.
pub(super) fn build(directories: &Directories) -> Option<Vec<u8>> {
    let Directories { main, exif, gps } = directories;
    if main.is_empty() && exif.is_empty() && gps.is_empty() {
        return None;
    }
    let mut bytes = if cfg!(target_endian = "little") {
        b"II*\0".to_vec()
    } else {
        b"MM\0*".to_vec()
    };
    bytes.extend(8u32.to_ne_bytes());
    let below = [(EXIF_DIRECTORY, exif), (GPS_DIRECTORY, gps)];
    let mut main = main.clone();
    main.extend(
        below
            .iter()
            .filter(|(_, entries)| !entries.is_empty())
            .map(|&(tag, _)| Entry {
                tag,
                kind: 4,
                value: vec![0; 4],
            }),
    );
    let pointers = write_directory(&mut bytes, &mut main);
    for (tag, entries) in below {
        if let Some(&(_, field)) = pointers.iter().find(|(of, _)| *of == tag) {
            let at = u32::try_from(bytes.len()).ok()?;
            bytes[field..field + 4].copy_from_slice(&at.to_ne_bytes());
            write_directory(&mut bytes, &mut entries.clone());
        }
    }
    Some(bytes)
}

/// Appends a directory with its values; gives back where the field of each entry is.
fn write_directory(bytes: &mut Vec<u8>, entries: &mut [Entry]) -> Vec<(u16, usize)> {
    entries.sort_by_key(|entry| entry.tag);
    bytes.extend((entries.len() as u16).to_ne_bytes());
    let mut fields = vec![];
    let mut values = vec![];
    let after = bytes.len() + 12 * entries.len() + 4;
    for entry in entries.iter() {
        let count = entry.value.len() / size_of_kind(entry.kind).unwrap_or(1);
        bytes.extend(entry.tag.to_ne_bytes());
        bytes.extend(entry.kind.to_ne_bytes());
        bytes.extend((count as u32).to_ne_bytes());
        fields.push((entry.tag, bytes.len()));
        if entry.value.len() <= 4 {
            let mut field = entry.value.clone();
            field.resize(4, 0);
            bytes.extend(field);
        } else {
            bytes.extend(((after + values.len()) as u32).to_ne_bytes());
            values.extend(&entry.value);
            // Values begin at even offsets.
            values.resize(values.len().next_multiple_of(2), 0);
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(values);
    fields
}
