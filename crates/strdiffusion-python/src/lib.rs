//! The native half of the Python package `strdiffusion`.
//!
//! Pictures cross over as bytes with a size, so neither NumPy nor Pillow is needed to build or to
//! import it; the Python half, in `python/strdiffusion`, turns both into such bytes and back.

#![deny(unsafe_code)]

mod failure;
mod inpainter;
mod pixels;
mod sampler_choice;
mod training;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::failure::Cancelled;
    #[pymodule_export]
    use crate::inpainter::Inpainter;
    #[pymodule_export]
    use crate::pixels::{Hole, find_hole};
    #[pymodule_export]
    use crate::training::{train, training_settings};

    /// See `strdiffusion::limit_threads`.
    #[pyfunction]
    fn limit_threads(threads: usize) -> PyResult<()> {
        strdiffusion::limit_threads(threads).map_err(crate::failure::exception)
    }

    /// Version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name for it")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
