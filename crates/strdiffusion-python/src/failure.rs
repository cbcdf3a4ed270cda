//! The library's errors as Python's exceptions.

use std::io::ErrorKind;

use pyo3::exceptions::{PyException, PyFileNotFoundError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::{PyErr, create_exception};
use strdiffusion::Error;
use strdiffusion::picture::PictureError;
use strdiffusion::text::one_line;
use strdiffusion_cli::is_users_fault;

create_exception!(
    strdiffusion,
    Cancelled,
    PyException,
    "The progress callback returned False; nothing was filled."
);

/// The exception of an error: `Cancelled`; `FileNotFoundError` and `OSError` for files;
/// `ValueError` where the caller's input is at fault; else `RuntimeError`.
pub fn exception(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let text = error.to_string();
    exception_with(&error, text)
}

/// The exception of an error of the command.
pub fn exception_of_command(error: anyhow::Error) -> PyErr {
    let text = one_line(format!("{error:#}"));
    match error.downcast::<Error>() {
        Ok(error) => exception_with(&error, text),
        Err(error) if is_users_fault(&error) => PyValueError::new_err(text),
        Err(_) => PyRuntimeError::new_err(text),
    }
}

/// As [`exception`], for the image of a batch that has that place.
pub fn exception_of(which: usize, error: Error) -> PyErr {
    let text = format!("images[{which}]: {error}");
    exception_with(&error, text)
}

fn exception_with(error: &Error, text: String) -> PyErr {
    match error {
        Error::Cancelled => Cancelled::new_err("cancelled: progress returned False"),
        Error::Model { path, .. } if !path.exists() => PyFileNotFoundError::new_err(text),
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            PyFileNotFoundError::new_err(text)
        }
        Error::Io { .. } => PyOSError::new_err(text),
        Error::Device(_) => PyRuntimeError::new_err(text),
        // Buffers come from the caller here.
        Error::Picture(PictureError::BufferLength { .. }) => PyValueError::new_err(text),
        error if error.is_users_fault() => PyValueError::new_err(text),
        _ => PyRuntimeError::new_err(text),
    }
}
