//! Training of the three networks.

pub mod optimizer;
