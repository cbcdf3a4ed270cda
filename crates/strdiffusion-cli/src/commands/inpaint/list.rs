//! A list of photographs, as CSV: read row by row, however long it is.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Result;
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::Inpaint;
use super::candidates::candidates;
use super::many::{HoleFrom, Item, Row, Run};
use super::shard::{number_of, plain};
use super::sources::is_standard;
use crate::failure::user_error;
use crate::progress::Reporter;

/// Photographs of a list that are looked at together, to find some that can be batched.
const WINDOW: usize = 256;

/// Fills every photograph of a list that is not filled yet.
///
/// # Errors
/// If the list is at fault, photographs failed (after the rest is done), or the user cancels.
pub fn run(args: &Inpaint, list: &Path) -> Result<()> {
    let reporter = Reporter::new(args.json);
    let rows = List::open(args, list)?;
    Run::new(args, &reporter)?.fill(rows, None, WINDOW)
}

/// Which column is which.
struct Columns {
    /// Columns in all.
    count: usize,
    photo: usize,
    output: usize,
    mask: Option<usize>,
    seed: Option<usize>,
    structure: Option<usize>,
    avoid: Option<usize>,
}

impl Columns {
    const NAMES: [&str; 6] = ["photo", "mask", "output", "seed", "structure", "avoid"];

    fn of(header: &StringRecord, list: &str) -> Result<Self> {
        for (i, name) in header.iter().enumerate() {
            if !Self::NAMES.contains(&name) || header.iter().take(i).any(|other| other == name) {
                return Err(user_error(format!(
                    "{list}: its first line names a column {name:?}; the columns are photo and \
                     output and, where wanted, mask, seed, structure and avoid, each once"
                )));
            }
        }
        let place = |name: &str| header.iter().position(|column| column == name);
        let needed = |name: &str| {
            place(name).ok_or_else(|| {
                user_error(format!(
                    "{list}: it has no column {name}; its first line must name the columns, such \
                     as photo,mask,output"
                ))
            })
        };
        Ok(Self {
            count: header.len(),
            photo: needed("photo")?,
            output: needed("output")?,
            mask: place("mask"),
            seed: place("seed"),
            structure: place("structure"),
            avoid: place("avoid"),
        })
    }
}

/// The rows of this shard, one after the other.
struct List<'a> {
    args: &'a Inpaint,
    name: String,
    reader: Reader<Box<dyn Read>>,
    columns: Columns,
    record: StringRecord,
    /// Numbers of the outputs so far, to find one that is named twice.
    outputs: HashSet<u64>,
}

impl<'a> List<'a> {
    fn open(args: &'a Inpaint, path: &Path) -> Result<Self> {
        let (name, source): (String, Box<dyn Read>) = match is_standard(path) {
            true => ("standard input".into(), Box::new(std::io::stdin())),
            false => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| {
                    user_error(format!("{name}: this list cannot be read ({error})"))
                })?;
                (name, Box::new(file))
            }
        };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(source);
        let header = reader.headers();
        let header = header.map_err(|error| user_error(format!("{name}: {}", reason(&error))))?;
        Ok(Self {
            args,
            columns: Columns::of(header, &name)?,
            name,
            reader,
            record: StringRecord::new(),
            outputs: HashSet::new(),
        })
    }

    /// What the record asks for, and its output's name.
    fn item(&self) -> Result<Item> {
        let (record, columns) = (&self.record, &self.columns);
        if record.len() != columns.count {
            return Err(user_error(format!(
                "{} fields where the first line has {}",
                record.len(),
                columns.count
            )));
        }
        if record.iter().any(|field| field.contains('\n')) {
            return Err(user_error(
                "a field runs over several lines: is a quote not closed?",
            ));
        }
        let file = |column: usize| Some(&record[column]).filter(|text| !text.is_empty());
        let optional = |column: Option<usize>| column.and_then(file);
        let path = file(columns.photo).ok_or_else(|| user_error("it names no photo"))?;
        let output = file(columns.output).ok_or_else(|| user_error("it names no output"))?;
        let mask = optional(columns.mask);
        let drawing = optional(columns.structure);
        let avoid = optional(columns.avoid);
        let named = [Some(path), Some(output), mask, drawing, avoid];
        if named
            .into_iter()
            .flatten()
            .any(|name| is_standard(Path::new(name)))
        {
            return Err(user_error("- stands for no file in a list"));
        }
        let seed = match optional(columns.seed) {
            None => self.args.seed,
            Some(text) => text.parse().map_err(|_| {
                user_error(format!(
                    "its seed {text:?} is no number from 0 to {}",
                    u64::MAX
                ))
            })?,
        };
        let hole = mask.map_or(HoleFrom::Transparency(None), |mask| {
            HoleFrom::Mask(mask.into())
        });
        Ok(Item {
            path: path.into(),
            hole,
            drawing: drawing.map(PathBuf::from),
            avoid: avoid.map(PathBuf::from),
            wanted: candidates(&plain(Path::new(output)), seed, self.args.candidates)?,
        })
    }

    /// Whether the record belongs to this shard. One that names no output belongs to the first.
    fn is_mine(&self) -> bool {
        match self.output_name() {
            Some(output) => self.args.shard.holds(output.as_bytes()),
            None => self.args.shard.index == 0,
        }
    }

    fn output_name(&self) -> Option<String> {
        let output = self.record.get(self.columns.output)?;
        let output = plain(Path::new(output)).display().to_string();
        Some(output).filter(|output| !output.is_empty())
    }

    /// Finds a record whose output an earlier one has.
    fn check_new(&mut self) -> Result<()> {
        let Some(output) = self.output_name() else {
            return Ok(());
        };
        match self.outputs.insert(number_of(output.as_bytes())) {
            true => Ok(()),
            false => Err(user_error(format!(
                "{output} is the output of an earlier row, too; give each row its own"
            ))),
        }
    }
}

impl Iterator for List<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let line = self.reader.position().line();
            let place = format!("{} line {line}", self.name);
            match self.reader.read_record(&mut self.record) {
                Ok(false) => return None,
                Ok(true) if !self.is_mine() => {}
                Ok(true) => {
                    let line = self.record.position().map_or(line, csv::Position::line);
                    let place = format!("{} line {line}", self.name);
                    let item = self.check_new().and_then(|()| self.item());
                    return Some(match item {
                        Ok(item) => Row {
                            name: item.path.display().to_string(),
                            item: Ok(item),
                        },
                        Err(error) => Row {
                            name: place,
                            item: Err(error),
                        },
                    });
                }
                // It cannot be told whose it is; nobody shall miss it.
                Err(error) if self.args.shard.index != 0 && !error.is_io_error() => {}
                Err(error) => {
                    let item = Err(user_error(reason(&error)));
                    return Some(Row { name: place, item });
                }
            }
        }
    }
}

/// A CSV error without its place, which our messages begin with.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::Utf8 { .. } => "it is not UTF-8".into(),
        ErrorKind::Io(error) => format!("cannot be read ({error})"),
        _ => error.to_string(),
    }
}
