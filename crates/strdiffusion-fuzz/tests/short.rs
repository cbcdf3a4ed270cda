//! The fuzz targets on any toolchain: everything in `fuzz/corpus` and `fuzz/regressions`, and a fixed
//! number of changed copies of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strdiffusion_fuzz::{Body, TARGETS, run};

/// Changed copies of each target's corpus.
const CHANGED: u64 = 3000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn inputs(kind: &str, target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder().join(kind).join(target)) else {
        return BTreeMap::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for (target, body) in TARGETS {
        for (path, bytes) in inputs("regressions", target) {
            println!("{}", path.display());
            body(&bytes);
        }
    }
}

#[test]
fn changed_files_are_refused_or_read() {
    for (target, body) in TARGETS {
        println!("{target}");
        let corpus: Vec<Vec<u8>> = inputs("corpus", target).into_values().collect();
        assert!(!corpus.is_empty(), "fuzz/corpus/{target} is missing");
        for bytes in &corpus {
            run(target, bytes);
        }
        for seed in 0..CHANGED {
            try_one(target, body, &changed(&corpus, seed), seed);
        }
    }
}

/// A failure is kept, so that it can become a regression.
fn try_one(target: &str, body: Body, bytes: &[u8], seed: u64) {
    if catch_unwind(AssertUnwindSafe(|| body(bytes))).is_ok() {
        return;
    }
    let kept = folder().join(format!("artifacts/{target}-{seed}"));
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::write(&kept, bytes).unwrap();
    panic!("{target}: {} is a finding", kept.display());
}

/// A few changes to one of the corpus, the same for each seed.
fn changed(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut bytes = corpus.choose(&mut rng).unwrap().clone();
    for _ in 0..rng.random_range(1..=8) {
        if bytes.is_empty() {
            bytes.push(rng.random());
        }
        let at = rng.random_range(0..bytes.len());
        let end = rng.random_range(at..=bytes.len().min(at + 16));
        match rng.random_range(0..8) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 => bytes[at..end].fill(*[0, 1, 0x7f, 0x80, 0xff].choose(&mut rng).unwrap()),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 => bytes[at..end].shuffle(&mut rng),
            6 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let other = corpus.choose(&mut rng).unwrap();
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
        }
    }
    bytes
}
