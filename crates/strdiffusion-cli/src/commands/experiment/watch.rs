//! How far a measurement is, and Ctrl-C.

use std::ops::ControlFlow;

use indicatif::{ProgressFinish, ProgressStyle};
use strdiffusion::experiment::measure::Case;
use strdiffusion::sampling::Event;

use crate::interrupt::Interrupt;
use crate::terminal;

/// Breaks as soon as Ctrl-C was pressed.
pub(super) fn unless_asked(interrupt: &Interrupt) -> ControlFlow<()> {
    match interrupt.is_asked() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Shows at a terminal how far the fills of so many pictures are, until it is dropped; breaks as
/// [`unless_asked`].
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
        unless_asked(interrupt)
    }
}
