//! `strdiffusion merge-results`: what became of each photograph, from the files of all shards.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use strdiffusion::files::write_atomically_with;

use super::inpaint::results::{file_name, for_each_line, output_of};
use super::inpaint::shard::{Shard, number_of};
use crate::failure::user_error;
use crate::terminal;

/// Join the files that `inpaint --results` wrote: one line for each output
///
/// Ends with exit code 1 if a photograph failed, or a shard is missing or not finished.
#[derive(Args)]
pub struct MergeResults {
    /// Folder of the results
    folder: PathBuf,
    /// Joined file of JSON lines [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl MergeResults {
    pub fn run(self) -> Result<()> {
        let shards = shards_in(&self.folder)?;
        let mut merged = Merged::default();
        for (number, shard) in shards.iter().enumerate() {
            merged.read(number, &self.folder.join(file_name(*shard)))?;
        }
        let count = shards[0].count;
        for index in (0..count).filter(|index| shards.iter().all(|shard| shard.index != *index)) {
            merged.wrong(format!("shard {index}/{count} has no file"));
        }
        match &self.output {
            None => merged.write(&mut std::io::stdout().lock())?,
            Some(path) => write_atomically_with(path, |file| merged.write(file))?,
        }
        merged.sum_up()
    }
}

/// The shards that have a file in the folder, in their order.
fn shards_in(folder: &Path) -> Result<Vec<Shard>> {
    let unreadable = |error| user_error(format!("{}: cannot be read ({error})", folder.display()));
    let mut shards = vec![];
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        shards.extend(name.to_str().and_then(shard_of));
    }
    shards.sort_by_key(|shard| (shard.count, shard.index));
    match (shards.first(), shards.last()) {
        (Some(one), Some(other)) if one.count == other.count => Ok(shards),
        (Some(one), Some(other)) => Err(user_error(format!(
            "{}: it holds both {} and {}, of different numbers of shards; keep each in a folder \
             of its own",
            folder.display(),
            file_name(*one),
            file_name(*other)
        ))),
        _ => Err(user_error(format!(
            "{}: it holds no shard-I-of-N.jsonl; name what --results named",
            folder.display()
        ))),
    }
}

fn shard_of(name: &str) -> Option<Shard> {
    let numbers = name.strip_prefix("shard-")?.strip_suffix(".jsonl")?;
    numbers.replace("-of-", "/").parse().ok()
}

/// Where the last line about an output is.
struct Place {
    file: usize,
    byte: u64,
    event: Event,
}

#[derive(Clone, Copy, PartialEq)]
enum Event {
    Made,
    ThereAlready,
    Failed,
}

/// All files, without their lines: there may be millions.
#[derive(Default)]
struct Merged {
    files: Vec<PathBuf>,
    /// By the number of the output's name, or of the input's where no output is known.
    places: HashMap<u64, Place>,
    problems: usize,
}

impl Merged {
    fn wrong(&mut self, what: String) {
        terminal::failure(what);
        self.problems += 1;
    }

    fn read(&mut self, file: usize, path: &Path) -> Result<()> {
        let mut run = 0;
        let mut is_finished = false;
        let mut twice = vec![];
        let whole = for_each_line(path, &mut |byte, line| {
            is_finished = line["event"] == "finished";
            let event = match line["event"].as_str() {
                Some("result") => Event::Made,
                Some("there_already") => Event::ThereAlready,
                Some("failed") => Event::Failed,
                Some("started") => {
                    run = byte;
                    return Ok(());
                }
                // What failed in an earlier run and not in this one was put right.
                Some("finished") => {
                    self.places.retain(|_, place| {
                        place.file != file || place.event != Event::Failed || place.byte >= run
                    });
                    return Ok(());
                }
                _ => return Ok(()),
            };
            let Some(name) = output_of(&line).or_else(|| line["input"].as_str()) else {
                return Ok(());
            };
            let place = Place { file, byte, event };
            let before = self.places.insert(number_of(name.as_bytes()), place);
            if before.is_some_and(|before| before.file != file) {
                twice.push(name.to_string());
            }
            Ok(())
        })?;
        let shown = path.display();
        if whole < std::fs::metadata(path)?.len() {
            terminal::note(format!("{shown}: its last line is cut off"));
        }
        for name in twice {
            self.wrong(format!("{name}: two shards tell of it"));
        }
        if !is_finished {
            self.wrong(format!("{shown}: the shard is not finished; run it again"));
        }
        self.files.push(path.to_path_buf());
        Ok(())
    }

    /// Writes the lines in the order in which they stand in the files.
    fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let mut to = BufWriter::new(to);
        let mut places: Vec<(usize, u64)> = self
            .places
            .values()
            .map(|place| (place.file, place.byte))
            .collect();
        places.sort_unstable();
        let mut line = vec![];
        for places in places.chunk_by(|one, other| one.0 == other.0) {
            let path = &self.files[places[0].0];
            let mut reader = BufReader::new(File::open(path)?);
            let mut at = 0;
            for &(_, byte) in places {
                reader.seek_relative((byte - at) as i64)?;
                line.clear();
                at = byte + reader.read_until(b'\n', &mut line)? as u64;
                to.write_all(&line)?;
            }
        }
        to.flush()
    }

    /// Says how many there are of each kind.
    fn sum_up(&self) -> Result<()> {
        let count = |event: Event| {
            let places = self.places.values();
            places.filter(|place| place.event == event).count()
        };
        let failed = count(Event::Failed);
        terminal::note(format!(
            "{} outputs of {} shards: {} made, {} there already, {failed} failed",
            self.places.len(),
            self.files.len(),
            count(Event::Made),
            count(Event::ThereAlready),
        ));
        match (failed, self.problems) {
            (0, 0) => Ok(()),
            (0, problems) => Err(anyhow!(
                "the results are not whole ({problems} problems above)"
            )),
            (failed, _) => Err(anyhow!(
                "{failed} photographs failed; put them right and run their shards again"
            )),
        }
    }
}
