//! How a command fails: one line on stderr and an exit code.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use strdiffusion::Error;
use strdiffusion::error::TrainingError;
use strdiffusion::picture::PictureError;
use strdiffusion::text::{one_line, printable};

/// What the user gave is at fault; the text names it and says what to do.
#[derive(Debug)]
pub struct UserError(String);

impl Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UserError {}

/// An error that ends in exit code 2.
pub fn user_error(text: impl Display) -> anyhow::Error {
    UserError(text.to_string()).into()
}

/// The system has no memory left. All files that matter are written under another name first, so
/// nothing is half there.
pub fn out_of_memory(bytes: usize) {
    eprintln!(
        "error: out of memory: the system has not the {} MiB that were asked for; take smaller \
         pictures or batches (--batch; in training run.batch, or more parts with run.accumulate); a \
         training run goes on from its last checkpoint with --resume",
        bytes.div_ceil(1 << 20)
    );
    std::process::exit(1);
}

/// Runs a command and turns its end into an exit code.
pub fn report(command: impl FnOnce() -> anyhow::Result<()>) -> u8 {
    silence_panics();
    match catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            eprintln!("error: {}", printable(text_of(&error)));
            exit_code(&error)
        }
        // The hook has said what happened.
        Err(_) => 1,
    }
}

/// An error in one line.
pub fn text_of(error: &anyhow::Error) -> String {
    let advice = error.downcast_ref().map_or("", advice);
    one_line(told(error)) + advice
}

/// Which option helps, for errors that the library words without options.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Device(_) => " (--device cpu)",
        Error::Training(TrainingError::NoStructureNetwork { .. }) => {
            " (--stage structure, or --from MODEL)"
        }
        Error::Training(
            TrainingError::Diverged { .. }
            | TrainingError::WeightsNotFinite { .. }
            | TrainingError::DeviceFailed { .. }
            | TrainingError::ProcessLost { .. },
        ) => " (go on with --resume)",
        _ => "",
    }
}

/// The error and its causes. Many of our messages hold their cause already; it is told once.
fn told(error: &anyhow::Error) -> String {
    error
        .chain()
        .skip(1)
        .fold(error.to_string(), |text, cause| {
            let cause = cause.to_string();
            if text.contains(&cause) {
                text
            } else {
                format!("{text}: {cause}")
            }
        })
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(Error::Cancelled) = error.downcast_ref() {
        return crate::interrupt::EXIT_CODE;
    }
    if is_users_fault(error) { 2 } else { 1 }
}

/// Whether what the user gave is at fault; see [`Error::is_users_fault`].
pub fn is_users_fault(error: &anyhow::Error) -> bool {
    let of_picture = error.downcast_ref::<PictureError>();
    error.is::<UserError>()
        || error.downcast_ref().is_some_and(Error::is_users_fault)
        || of_picture.is_some_and(PictureError::is_users_fault)
}

/// A panic is a mistake of ours. The user sees one line, a developer who asks for it the trace.
fn silence_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let text = match panic.payload_as_str() {
            Some(text) => one_line(text),
            None => "no message".into(),
        };
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        eprintln!(
            "error: internal error: {text}{place}; this is a mistake in strdiffusion, please \
             report it (RUST_BACKTRACE=1 shows more)"
        );
    }));
}
