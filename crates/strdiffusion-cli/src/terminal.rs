//! Lines on stdout and notes on stderr.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use strdiffusion::text::printable;

static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on nothing is told but errors and what a command was asked to print.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes, progress and what is done are left out.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Writes a line that was asked for to stdout. A reader that has gone away is no reason to stop
/// working.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes what is done to stdout, unless that shall be quiet.
pub fn report(line: impl Display) {
    if !is_quiet() {
        say(line);
    }
}

/// Writes a note to stderr, unless that shall be quiet.
pub fn note(line: impl Display) {
    if !is_quiet() {
        let _ = writeln!(std::io::stderr().lock(), "note: {}", printable(line));
    }
}

/// A progress bar, hidden where that shall be quiet.
pub fn bar(length: u64) -> ProgressBar {
    match is_quiet() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new(length),
    }
}

/// Writes what failed, while the rest went on, to stderr.
pub fn failure(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "failed: {}", printable(line));
}
