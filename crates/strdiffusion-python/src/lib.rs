//! strdiffusion for Python.
