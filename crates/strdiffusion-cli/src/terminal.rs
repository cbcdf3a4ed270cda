//! Lines on stdout and notes on stderr.

use std::fmt::Display;
use std::io::Write;

use strdiffusion::text::printable;

/// Writes a line to stdout. A reader that has gone away is no reason to stop working.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a note to stderr.
pub fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "note: {}", printable(line));
}

/// Writes what failed, while the rest went on, to stderr.
pub fn failure(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "failed: {}", printable(line));
}
