//! Promises of the command, kept by running it, with tiny models of random weights.

mod bad_input;
mod cluster;
mod determinism;
mod eval;
mod experiment;
mod folder;
mod hostile;
mod hub;
mod import;
mod inpaint;
mod list;
mod model;
mod pictures;
mod serve;
mod shell;
mod support;
mod train;
