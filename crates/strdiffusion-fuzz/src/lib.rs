//! What the fuzz targets do with their bytes: anything may be refused, nothing may panic, and nothing
//! may take more memory than [`MEMORY`].
//!
//! `fuzz/` calls these with libFuzzer, and the test `short` on any toolchain.

#![forbid(unsafe_code)]

mod models;
mod pictures;
mod plans;
mod requests;

use std::alloc::System;
use std::path::PathBuf;

use cap::Cap;

/// Bytes that the process may hold while it reads hostile input.
pub const MEMORY: usize = 256 << 20;

/// An allocation beyond the limit ends the process, which is a finding.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MEMORY);

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Body); 8] = [
    ("picture", pictures::picture),
    ("metadata", pictures::metadata),
    ("checkpoint", models::checkpoint),
    ("model", models::model),
    ("config", models::config),
    ("form", requests::form),
    ("settings", requests::settings),
    ("region", plans::region),
];

/// Does what the target of this name does.
///
/// # Panics
/// If there is none of this name, or the bytes are a finding.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, body) = target.expect("the target is one of the list");
    body(bytes);
}

/// Two inputs out of one: a length in two bytes, then both.
fn halves(bytes: &[u8]) -> [&[u8]; 2] {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return [bytes, &[]];
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (first, second) = rest.split_at(length);
    [first, second]
}

/// Puts two inputs together as the targets take them apart.
///
/// # Panics
/// If the first has 64 KiB or more.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u16::try_from(first.len()).expect("seeds are small");
    [&length.to_le_bytes(), first, second].concat()
}

/// A file of this process, for readers that take a path.
fn file(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("strdiffusion-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary files can be made");
    folder.join(name)
}

/// Writes such a file.
fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = file(name);
    std::fs::write(&path, bytes).expect("temporary files can be written");
    path
}
