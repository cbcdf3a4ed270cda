//! The page in the browser and the HTTP API.
//!
//! A [`Server`] answers requests on an async runtime and fills photographs on one thread of its
//! own. Jobs wait in a bounded queue; those that can share batches are filled together. Everything
//! that a request can make the server keep is bounded by its [`ServerLimits`].
//!
//! ```no_run
//! use strdiffusion::Inpainter;
//! use strdiffusion::device::DeviceName;
//! use strdiffusion_server::{NamedModel, ServerConfig, ServerLimits, serve};
//! use tokio::sync::mpsc;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let model = NamedModel {
//!     name: "default".into(),
//!     engine: Box::new(Inpainter::load("models/default", &DeviceName::Cpu.open()?)?),
//!     device: "cpu".into(),
//! };
//! let config = ServerConfig {
//!     listen: ([127, 0, 0, 1], 7860).into(),
//!     models: vec![model],
//!     token: None,
//!     limits: ServerLimits::default(),
//! };
//! let (_stop, shutdown) = mpsc::channel(1);
//! serve(config, shutdown).await?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod app;
mod candidate;
mod config;
mod connections;
mod decode;
mod drain;
mod engine;
mod error;
mod events;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod metrics;
mod models;
mod multipart;
mod openapi;
mod page;
mod preview;
mod queue;
mod routes;
mod security;
mod server;
mod settings;
mod start;
mod store;
mod submit;
mod worker;

pub use config::{NamedModel, ServerConfig, ServerLimits};
pub use engine::Engine;
pub use error::Code;
pub use openapi::OPENAPI;
pub use routes::{ROUTES, template_of};
pub use server::{Server, serve};
pub use start::StartError;
