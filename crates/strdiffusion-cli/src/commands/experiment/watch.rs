//! How far a measurement is, and Ctrl-C.

use std::ops::ControlFlow;

use indicatif::{ProgressFinish, ProgressStyle};
use strdiffusion::experiment::measure::Case;
use strdiffusion::sampling::Event;

use crate::interrupt::Interrupt;
use crate::terminal;

/// Shows at a terminal how far the fills of so many pictures are, until it is dropped; breaks as
/// soon as Ctrl-C was pressed.
pub(super) fn watching(
    interrupt: &Interrupt,
    what: impl Into<String>,
    pictures: usize,
) -> impl FnMut(&[Case], &Event) -> ControlFlow<()> {
    let style = "{bar:30} {percent} %, {elapsed} gone, {eta} to go, {msg}";
    let bar = terminal::bar(0)
        .with_style(ProgressStyle::with_template(style).expect("the template is fixed"))
        .with_message(what.into())
        .with_finish(ProgressFinish::AndClear);
    move |batch, event| {
        if let Event::Step { total, .. } = event {
            bar.set_length((pictures * total) as u64);
            bar.inc(batch.len() as u64);
        }
        interrupt.flow()
    }
}
