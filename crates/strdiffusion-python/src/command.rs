//! What the command does, for Python code.

use std::cell::RefCell;
use std::ffi::OsString;
use std::ops::ControlFlow;

use pyo3::prelude::*;

use crate::failure::exception_of_command;
use crate::inpainter::report;

/// Does what a command line asks for, and returns the exit code. Other threads run meanwhile.
#[pyfunction]
pub fn command(py: Python, arguments: Vec<OsString>) -> u8 {
    py.detach(|| strdiffusion_cli::run(arguments))
}

/// Does what `strdiffusion eval` does with these options. `progress` gets pictures done and in all;
/// if it returns False, the scores so far are kept and `Cancelled` is raised. Other threads run
/// meanwhile.
#[pyfunction]
#[pyo3(signature = (options, *, progress))]
pub fn evaluate(py: Python, options: Vec<OsString>, progress: Option<Py<PyAny>>) -> PyResult<()> {
    py.detach(|| {
        let raised = RefCell::new(None);
        // None: the interpreter is shutting down under a daemon thread.
        let flow = |answer: Option<PyResult<ControlFlow<()>>>| match answer {
            Some(Ok(flow)) => flow,
            Some(Err(error)) => {
                raised.borrow_mut().get_or_insert(error);
                ControlFlow::Break(())
            }
            None => ControlFlow::Break(()),
        };
        let is_asked = || {
            let answer = Python::try_attach(|py| {
                py.check_signals()?;
                Ok(ControlFlow::Continue(()))
            });
            flow(answer).is_break()
        };
        let mut on_progress = |done: usize, total: usize| {
            flow(Python::try_attach(|py| {
                report(py, progress.as_ref(), Some((done, total)))
            }))
        };
        let evaluated = strdiffusion_cli::evaluate(options, &is_asked, &mut on_progress);
        match raised.into_inner() {
            Some(error) => Err(error),
            None => evaluated.map_err(exception_of_command),
        }
    })
}
