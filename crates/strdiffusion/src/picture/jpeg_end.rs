//! Whether a JPEG stream reaches its end marker.
//!
//! Decoders fill what a cut-off JPEG lacks with gray and report success. A photograph that lost
//! its lower half would pass unnoticed, so the marker structure (ITU-T T.81, annex B) is walked.

use std::io::{self, BufRead};

/// Reads a JPEG stream from its start; false where it ends before the end-of-image marker.
pub(super) fn reaches_end(mut stream: impl BufRead) -> io::Result<bool> {
    match walk(&mut stream) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn byte(stream: &mut impl BufRead) -> io::Result<u8> {
    let mut one = [0];
    stream.read_exact(&mut one)?;
    Ok(one[0])
}

fn skip(stream: &mut impl BufRead, mut count: usize) -> io::Result<()> {
    while count > 0 {
        let available = stream.fill_buf()?.len();
        if available == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let step = available.min(count);
        stream.consume(step);
        count -= step;
    }
    Ok(())
}

/// Walks to the end-of-image marker, or fails with `UnexpectedEof`.
fn walk(stream: &mut impl BufRead) -> io::Result<()> {
    loop {
        // To the next marker: entropy-coded data and fill bytes are skipped alike.
        while byte(stream)? != 0xff {}
        let mut marker = byte(stream)?;
        while marker == 0xff {
            marker = byte(stream)?;
        }
        match marker {
            0xd9 => return Ok(()),
            // A stuffed zero, start of image, a restart marker, TEM: nothing follows them.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let length = u16::from_be_bytes([byte(stream)?, byte(stream)?]);
                skip(stream, usize::from(length).saturating_sub(2))?;
            }
        }
    }
}
