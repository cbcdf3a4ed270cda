//! Promises of the HTTP API, kept by a running server with a tiny model of random weights.

mod abuse;
mod checked;
mod description;
mod fills;
mod foreign;
mod jobs;
mod load;
mod pictures;
mod preview;
mod refusals;
mod running;
mod shutdown;
mod stages;
