//! Whether a JPEG stream holds all of its picture.
//!
//! Decoders fill what is missing with gray and report success, even where a stream was cut off and
//! closed with an end marker. So the entropy-coded data is walked block by block, without
//! computing one pixel (ITU-T T.81, annexes B, F and G).

use crate::picture::Limits;

/// Checks that every block of every scan is there, up to the end-of-image marker. Streams of kinds
/// that are not read anyway (lossless, arithmetic coding) pass.
///
/// # Errors
/// What is missing, in words.
pub(super) fn check(bytes: &[u8], limits: &Limits) -> Result<(), String> {
    Walk::new(bytes, limits.max_pixels).run()
}

/// Components of a frame, at most (annex B.2.2, for the kinds of frames that are walked).
const MOST_COMPONENTS: usize = 4;

const ENDS_EARLY: &str = "the JPEG data ends early";

/// A Huffman table (annex C), by the lengths of its codes.
#[derive(Clone, Default)]
struct Table {
    /// For the next 9 bits: length of the code (0 = longer) and its value.
    short: Vec<(u8, u8)>,
    /// For each length: the first code, how many there are, and where their values begin.
    lengths: [(u32, u32, usize); 17],
    values: Vec<u8>,
}

const SHORT: u32 = 9;

impl Table {
    fn new(counts: &[u8], values: &[u8]) -> Self {
        let mut table = Self {
            short: vec![(0, 0); 1 << SHORT],
            values: values.to_vec(),
            ..Self::default()
        };
        let (mut code, mut first) = (0u32, 0usize);
        for (length, &count) in (1..=16u32).zip(counts) {
            let count = u32::from(count);
            table.lengths[length as usize] = (code, count, first);
            for i in 0..count {
                let value = values.get(first + i as usize).copied().unwrap_or(0);
                if length <= SHORT {
                    let start = ((code + i) << (SHORT - length)) as usize;
                    let end = (start + (1 << (SHORT - length))).min(table.short.len());
                    table.short[start.min(end)..end].fill((length as u8, value));
                }
            }
            code = (code + count) << 1;
            first += count as usize;
        }
        table
    }
}

/// The bits of one entropy-coded segment.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

/// Why a segment cannot be walked to its end.
enum Stop {
    Early,
    BadCode,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                // A marker ends the segment.
                Some([0xff, ..] | []) | None => return,
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer = (self.buffer << 8) | u64::from(byte);
            self.count += 8;
        }
    }

    fn take(&mut self, count: u32) -> Result<u32, Stop> {
        if self.count < count {
            self.fill();
            if self.count < count {
                return Err(Stop::Early);
            }
        }
        self.count -= count;
        Ok((self.buffer >> self.count) as u32 & ((1 << count) - 1))
    }

    fn symbol(&mut self, table: &Table) -> Result<u8, Stop> {
        if self.count < 16 {
            self.fill();
        }
        // The next 16 bits, zeros past the end.
        let next = match self.count {
            16.. => (self.buffer >> (self.count - 16)) as u32 & 0xffff,
            count => ((self.buffer as u32) << (16 - count)) & 0xffff,
        };
        let short = table.short.get((next >> (16 - SHORT)) as usize);
        let (mut length, mut value) = short.copied().unwrap_or_default();
        if length == 0 {
            let found = (SHORT + 1..=16).find_map(|length| {
                let (first, count, at) = table.lengths[length as usize];
                let offset = (next >> (16 - length)).wrapping_sub(first);
                (offset < count).then(|| (length as u8, table.values.get(at + offset as usize)))
            });
            match found {
                Some((found, Some(&of))) => (length, value) = (found, of),
                _ if self.count < 16 => return Err(Stop::Early),
                _ => return Err(Stop::BadCode),
            }
        }
        self.take(u32::from(length))?;
        Ok(value)
    }
}

struct Component {
    id: u8,
    horizontal: usize,
    vertical: usize,
    /// Blocks that hold pixels: across and down.
    blocks: [usize; 2],
    /// Blocks across in whole minimum coded units.
    stride: usize,
    /// Which coefficients of each block are not zero, for refinements.
    nonzero: Vec<u64>,
    /// Lowest bit of each coefficient that has come; none where nothing has.
    precision: [Option<u8>; 64],
    dc: usize,
    ac: usize,
}

/// One scan's share of the coefficients (annex G).
#[derive(Clone, Copy)]
struct Band {
    start: usize,
    end: usize,
    refines: bool,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    progressive: bool,
    size: [usize; 2],
    components: Vec<Component>,
    dc: [Table; 4],
    ac: [Table; 4],
    restart: usize,
    most_pixels: u64,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], most_pixels: u64) -> Self {
        Self {
            bytes,
            most_pixels,
            at: 0,
            progressive: false,
            size: [0; 2],
            components: vec![],
            dc: Default::default(),
            ac: Default::default(),
            restart: 0,
        }
    }

    /// The next marker, past anything that is none.
    fn marker(&mut self) -> Result<u8, String> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(found) = rest.iter().position(|&b| b == 0xff) else {
                return Err(ENDS_EARLY.into());
            };
            self.at += found + 1;
            match self.bytes.get(self.at) {
                None => return Err(ENDS_EARLY.into()),
                Some(0xff) => {}
                Some(0x00) => self.at += 1,
                Some(&marker) => {
                    self.at += 1;
                    return Ok(marker);
                }
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8], String> {
        let length = match self.bytes.get(self.at..self.at + 2) {
            Some(length) => usize::from(u16::from_be_bytes([length[0], length[1]])).max(2),
            None => return Err(ENDS_EARLY.into()),
        };
        let segment = self.bytes.get(self.at + 2..self.at + length);
        self.at += length;
        segment.ok_or_else(|| ENDS_EARLY.into())
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            match self.marker()? {
                0xd9 => return self.finish(),
                // Start of image, restart markers, TEM: nothing follows them.
                0x01 | 0xd0..=0xd8 => {}
                kind @ 0xc0..=0xc2 => {
                    self.progressive = kind == 0xc2;
                    let frame = self.segment()?;
                    // A second header might state any size.
                    if !self.components.is_empty() || self.frame(frame).is_none() {
                        return Err("the JPEG header contradicts itself".into());
                    }
                    if self.size[1] == 0 {
                        // The height comes later; the decoder refuses that.
                        return Ok(());
                    }
                }
                // Lossless, hierarchical or arithmetic coding.
                0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Ok(()),
                0xc4 => {
                    let tables = self.segment()?;
                    self.tables(tables);
                }
                0xdd => {
                    let interval = self.segment()?;
                    if let [high, low, ..] = *interval {
                        self.restart = usize::from(u16::from_be_bytes([high, low]));
                    }
                }
                0xda => {
                    let header = self.segment()?;
                    self.scan(header)?;
                }
                _ => {
                    self.segment()?;
                }
            }
        }
    }

    fn frame(&mut self, frame: &[u8]) -> Option<()> {
        let side = |at: usize| {
            Some(usize::from(u16::from_be_bytes([
                *frame.get(at)?,
                *frame.get(at + 1)?,
            ])))
        };
        self.size = [side(3)?, side(1)?];
        let parts: Vec<&[u8]> = frame.get(6..)?.chunks_exact(3).collect();
        let sampling = |part: &[u8]| [usize::from(part[1] >> 4), usize::from(part[1] & 15)];
        let most = parts
            .iter()
            .map(|part| sampling(part))
            .fold([1, 1], |most, of| [most[0].max(of[0]), most[1].max(of[1])]);
        let pixels = self.size[0] as u64 * self.size[1] as u64;
        if pixels > self.most_pixels || parts.len() > MOST_COMPONENTS {
            return None;
        }
        for part in parts {
            let [horizontal, vertical] = sampling(part);
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) {
                return None;
            }
            let across = (self.size[0] * horizontal).div_ceil(8 * most[0]);
            let down = (self.size[1] * vertical).div_ceil(8 * most[1]);
            let stride = self.size[0].div_ceil(8 * most[0]) * horizontal;
            let rows = self.size[1].div_ceil(8 * most[1]) * vertical;
            self.components.push(Component {
                id: part[0],
                horizontal,
                vertical,
                blocks: [across, down],
                stride,
                nonzero: vec![0; if self.progressive { stride * rows } else { 0 }],
                precision: [None; 64],
                dc: 0,
                ac: 0,
            });
        }
        (!self.components.is_empty()).then_some(())
    }

    fn tables(&mut self, mut data: &[u8]) {
        while data.len() > 17 {
            let counts = &data[1..17];
            let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
            let values = &data[17..data.len().min(17 + total)];
            let tables = if data[0] >> 4 == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            tables[usize::from(data[0] & 3)] = Table::new(counts, values);
            data = &data[data.len().min(17 + total)..];
        }
    }

    /// Walks one scan. Its header has been read, its data follows.
    fn scan(&mut self, header: &[u8]) -> Result<(), String> {
        let damaged = || String::from("a scan of the JPEG data is damaged");
        let count = usize::from(*header.first().ok_or_else(damaged)?);
        let selectors = header.get(1..1 + 2 * count).ok_or_else(damaged)?;
        let [start, end, bits] = *header
            .get(1 + 2 * count..4 + 2 * count)
            .ok_or_else(damaged)?
        else {
            return Err(damaged());
        };
        let mut members = vec![];
        for selector in selectors.chunks_exact(2) {
            let found = self.components.iter().position(|c| c.id == selector[0]);
            let number = found.ok_or_else(damaged)?;
            let component = &mut self.components[number];
            component.dc = usize::from(selector[1] >> 4 & 3);
            component.ac = usize::from(selector[1] & 3);
            members.push(number);
        }
        let band = match self.progressive {
            false => Band {
                start: 0,
                end: 63,
                refines: false,
            },
            true => Band {
                start: usize::from(start.min(63)),
                end: usize::from(end.min(63)),
                refines: bits >> 4 != 0,
            },
        };
        for &number in &members {
            let precision = if self.progressive { bits & 15 } else { 0 };
            self.components[number].precision[band.start..=band.end.max(band.start)]
                .fill(Some(precision));
        }
        let units = match members.as_slice() {
            [] => return Err(damaged()),
            &[only] => self.components[only].blocks,
            &[first, ..] => {
                let c = &self.components[first];
                [c.stride / c.horizontal, c.blocks[1].div_ceil(c.vertical)]
            }
        };
        let mut bits = Bits {
            bytes: self.bytes,
            at: self.at,
            buffer: 0,
            count: 0,
        };
        let mut run = 0;
        let total = units[0] * units[1];
        for unit in 0..total {
            if self.restart > 0 && unit > 0 && unit % self.restart == 0 {
                // What is left of the last byte is padding; then the marker must follow.
                let rest = self.bytes.get(bits.at..).unwrap_or_default();
                let fill = rest.iter().take_while(|&&b| b == 0xff).count();
                if fill == 0 || !matches!(rest.get(fill), Some(0xd0..=0xd7)) || bits.count >= 8 {
                    return Err(if rest.get(fill) == Some(&0xd9) {
                        ENDS_EARLY.into()
                    } else {
                        damaged()
                    });
                }
                bits = Bits {
                    at: bits.at + fill + 1,
                    buffer: 0,
                    count: 0,
                    ..bits
                };
                run = 0;
            }
            let [x, y] = [unit % units[0], unit / units[0]];
            self.unit(&members, [x, y], band, &mut bits, &mut run)
                .map_err(|stop| match stop {
                    Stop::Early => String::from(ENDS_EARLY),
                    Stop::BadCode => damaged(),
                })?;
        }
        self.at = bits.at;
        Ok(())
    }

    fn unit(
        &mut self,
        members: &[usize],
        [x, y]: [usize; 2],
        band: Band,
        bits: &mut Bits,
        run: &mut u32,
    ) -> Result<(), Stop> {
        let alone = members.len() == 1;
        for &number in members {
            let component = &mut self.components[number];
            let (dc, ac) = (&self.dc[component.dc], &self.ac[component.ac]);
            let [across, down] = if alone {
                [1, 1]
            } else {
                [component.horizontal, component.vertical]
            };
            for (v, h) in (0..down).flat_map(|v| (0..across).map(move |h| (v, h))) {
                if !self.progressive {
                    sequential(dc, ac, bits)?;
                    continue;
                }
                if band.start == 0 {
                    let size = if band.refines {
                        1
                    } else {
                        u32::from(bits.symbol(dc)?).min(16)
                    };
                    bits.take(size)?;
                    continue;
                }
                let block = (y * down + v) * component.stride + x * across + h;
                let Some(nonzero) = component.nonzero.get_mut(block) else {
                    return Err(Stop::BadCode);
                };
                match band.refines {
                    false => first_pass(ac, band, nonzero, bits, run)?,
                    true => refinement(ac, band, nonzero, bits, run)?,
                }
            }
        }
        Ok(())
    }

    /// At the end-of-image marker: nothing may be left to come.
    fn finish(&self) -> Result<(), String> {
        let is_whole = |component: &Component| {
            component.precision[0].is_some()
                && component
                    .precision
                    .iter()
                    .flatten()
                    .all(|&lowest| lowest == 0)
        };
        match self.components.is_empty() || !self.components.iter().all(is_whole) {
            true => Err(ENDS_EARLY.into()),
            false => Ok(()),
        }
    }
}

/// A block of a sequential scan (F.2.2).
fn sequential(dc: &Table, ac: &Table, bits: &mut Bits) -> Result<(), Stop> {
    let size = bits.symbol(dc)?;
    bits.take(u32::from(size).min(16))?;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros != 15 {
            break;
        }
        bits.take(size)?;
        k += zeros + 1;
    }
    Ok(())
}

/// The first pass over a band of coefficients (G.1.2.2).
fn first_pass(
    ac: &Table,
    band: Band,
    nonzero: &mut u64,
    bits: &mut Bits,
    run: &mut u32,
) -> Result<(), Stop> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let mut k = band.start;
    while k <= band.end {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) - 1 + bits.take(zeros)?;
            break;
        }
        k += zeros as usize;
        if size > 0 {
            bits.take(size)?;
            *nonzero |= 1u64.checked_shl(k as u32).unwrap_or(0);
        }
        k += 1;
    }
    Ok(())
}

/// One more bit of a band of coefficients (G.1.2.3).
fn refinement(
    ac: &Table,
    band: Band,
    nonzero: &mut u64,
    bits: &mut Bits,
    run: &mut u32,
) -> Result<(), Stop> {
    let mut k = band.start;
    while *run == 0 && k <= band.end {
        let symbol = bits.symbol(ac)?;
        let (mut zeros, size) = (u32::from(symbol >> 4), symbol & 15);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros)?;
            break;
        }
        if size > 0 {
            bits.take(1)?;
        }
        while k <= band.end {
            if *nonzero >> k & 1 == 1 {
                bits.take(1)?;
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            k += 1;
        }
        if size > 0 && k <= band.end {
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    if *run > 0 {
        while k <= band.end {
            if *nonzero >> k & 1 == 1 {
                bits.take(1)?;
            }
            k += 1;
        }
        *run -= 1;
    }
    Ok(())
}
