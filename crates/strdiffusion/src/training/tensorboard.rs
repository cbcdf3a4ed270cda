//! Event files that TensorBoard reads: scalars by step.
//!
//! A file is a row of records: length, checksum of the length, an `Event` message of TensorFlow's
//! protocol, checksum of the message. Only the few fields that scalars need are written, which is
//! less than a code generator would bring.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// An event file that is being written.
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts a new file in `folder`. Steps after `first_step` that older files of the folder hold
    /// are outdated: TensorBoard drops them.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn create(folder: &Path, first_step: usize) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let name = format!(
            "events.out.tfevents.{}.{:09}.strdiffusion",
            now.as_secs(),
            now.subsec_nanos()
        );
        let path = folder.join(name);
        let file = File::create(&path).map_err(|error| Error::io(&path, error))?;
        let mut events = Self { path, file };
        events.write(0, &message(3, b"brain.Event:2"))?;
        // session_log { status: START } makes TensorBoard purge what comes later in older files.
        events.write(first_step, &message(7, &varint(1, 1)))?;
        Ok(events)
    }

    /// Adds values at a step, such as `("train/loss", 0.1)`.
    ///
    /// # Errors
    /// If the disk is full.
    pub fn scalars(&mut self, step: usize, values: &[(&str, f64)]) -> Result<()> {
        let summary: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| {
                let mut entry = message(1, tag.as_bytes());
                entry.push(2 << 3 | 5); // field 2, 32 bits: simple_value
                entry.extend((*value as f32).to_le_bytes());
                message(1, &entry)
            })
            .collect();
        self.write(step, &message(5, &summary))
    }

    fn write(&mut self, step: usize, what: &[u8]) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut event = vec![1 << 3 | 1]; // field 1, 64 bits: wall_time
        event.extend(now.as_secs_f64().to_le_bytes());
        event.extend(varint(2, step as u64));
        event.extend(what);
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(&event);
        record.extend(masked_crc(&event).to_le_bytes());
        self.file
            .write_all(&record)
            .map_err(|error| Error::io(&self.path, error))
    }
}

/// A field that holds bytes, a string or a message.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    push_varint(&mut bytes, content.len() as u64);
    bytes.extend(content);
    bytes
}

/// A field that holds a whole number.
fn varint(field: u8, value: u64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    push_varint(&mut bytes, value);
    bytes
}

fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// CRC-32C, rotated and offset as the record format asks for.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected bytes: Protocol Buffers' encoding specification; the checksum of "123456789" is
    /// CRC-32C's published check value.
    #[test]
    fn records_are_framed_as_the_format_asks() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(varint(2, 300), [0x10, 0xac, 0x02]);
        assert_eq!(message(3, b"ab"), [0x1a, 2, b'a', b'b']);

        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 0).unwrap();
        events.scalars(7, &[("train/loss", 0.25)]).unwrap();
        let bytes = std::fs::read(&events.path).unwrap();
        let mut rest = bytes.as_slice();
        let mut records = 0;
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            assert_eq!(crc(8), masked_crc(&rest[..8]));
            assert_eq!(crc(12 + length), masked_crc(&rest[12..12 + length]));
            rest = &rest[16 + length..];
            records += 1;
        }
        assert_eq!(records, 3);
    }
}
