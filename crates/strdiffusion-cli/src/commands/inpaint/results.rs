//! The file in which a run says what became of each photograph: a JSON object a line.
//!
//! Each shard has its own, `FOLDER/shard-I-of-N.jsonl`. It is locked while a run writes it, so that
//! two runs of one shard do not do the same work.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::shard::{Shard, number_of};
use crate::failure::user_error;
use crate::progress::Reporter;

/// A shard's file, open and locked.
pub struct Results {
    path: PathBuf,
    file: File,
    /// Numbers of the outputs that it tells of as done, sorted. Eight bytes each, since there may
    /// be millions.
    done: Vec<u64>,
}

/// The name of a shard's file.
pub fn file_name(shard: Shard) -> String {
    format!("shard-{}-of-{}.jsonl", shard.index, shard.count)
}

impl Results {
    /// Opens a shard's file, new or old. What a killed run left of its last line is taken away.
    ///
    /// # Errors
    /// If another run has it open, it holds something else, or it cannot be written.
    pub fn open(folder: &Path, shard: Shard, reporter: &Reporter) -> Result<Self> {
        let path = folder.join(file_name(shard));
        let unusable = |error: std::io::Error| {
            user_error(format!(
                "{}: cannot be used ({error}); name another folder with --results",
                path.display()
            ))
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(&path);
        let file = file.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(user_error(format!(
                    "{}: another run of shard {shard} is at work; give each run a shard of its own",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        let mut done = vec![];
        // A device, such as /dev/null, has nothing to read.
        if file.metadata().map_err(unusable)?.is_file() {
            let whole = for_each_line(&path, &mut |_, line| {
                if let Some(output) = output_of(&line).filter(|_| line["event"] != "failed") {
                    done.push(number_of(output.as_bytes()));
                }
                Ok(())
            })?;
            if whole < file.metadata().map_err(unusable)?.len() {
                file.set_len(whole).map_err(unusable)?;
                reporter.note(&format!(
                    "{}: its last line was cut off with the run that wrote it, and is taken away",
                    path.display()
                ));
            }
        }
        done.sort_unstable();
        Ok(Self { path, file, done })
    }

    /// Whether an earlier run said that the output was made.
    pub fn tells_of(&self, output: &Path) -> bool {
        let number = number_of(output.to_string_lossy().as_bytes());
        self.done.binary_search(&number).is_ok()
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&mut self, line: &Value) -> Result<()> {
        // In one piece: a line is there or it is cut off, and never within another one.
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|error| {
            anyhow::anyhow!(
                "{}: {error}; put it right and run the same command again, which does only what is \
                 missing",
                self.path.display()
            )
        })
    }
}

/// The output that a line tells of.
pub fn output_of(line: &Value) -> Option<&str> {
    line["output"].as_str()
}

/// Reads a file of JSON objects, each with the byte at which it begins. Returns how many bytes hold
/// whole lines; the rest is the beginning of one.
///
/// # Errors
/// If the file cannot be read, or a whole line is no object.
pub fn for_each_line(path: &Path, look: &mut dyn FnMut(u64, Value) -> Result<()>) -> Result<u64> {
    let unreadable =
        |error: std::io::Error| user_error(format!("{}: cannot be read ({error})", path.display()));
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut place, mut line) = (0, vec![]);
    for number in 1.. {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let object = serde_json::from_slice(&line).ok().filter(Value::is_object);
        let object = object.ok_or_else(|| {
            user_error(format!(
                "{}: line {number} is no JSON object; this is no file of results, or it was \
                 changed: move it away",
                path.display()
            ))
        })?;
        look(place, object)?;
        place += length as u64;
    }
    Ok(place)
}
