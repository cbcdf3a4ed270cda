//! What a server is told when it starts.

use std::net::SocketAddr;
use std::time::Duration;

use strdiffusion::picture::Limits;

use crate::engine::Engine;
use crate::start::StartError;

/// A model under the name that requests know it by.
pub struct NamedModel {
    /// The name.
    pub name: String,
    /// The model.
    pub engine: Box<dyn Engine>,
    /// The device that it runs on, in words.
    pub device: String,
}

/// Bounds on what requests may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Jobs that may wait; at least 1.
    pub queue: usize,
    /// Bytes that the pictures of all waiting jobs may take; one job may always wait.
    pub waiting_bytes: usize,
    /// Pixels of a picture, at most.
    pub pixels: u64,
    /// Longest side of a picture, at most.
    pub side: u32,
    /// Connections at the same time; further ones wait to be accepted. At least 1.
    pub connections: usize,
    /// A connection on which no whole head of a request arrives for so long is closed.
    pub head_time: Duration,
    /// Bytes of a request's body, at most.
    pub body_bytes: usize,
    /// Bytes of bodies that are read at the same time; further uploads wait.
    pub upload_bytes: usize,
    /// A body of which nothing arrives for so long is given up.
    pub upload_idle: Duration,
    /// A body that is not whole after so long is given up.
    pub upload_time: Duration,
    /// A connection whose client reads nothing of its answer for so long is closed.
    pub answer_idle: Duration,
    /// Pictures that pass through the networks at once, at most; at least 1.
    pub batch: usize,
    /// Finished jobs that are kept.
    pub kept_jobs: usize,
    /// Bytes of results that are kept. The latest job is kept even where it is larger.
    pub kept_bytes: usize,
    /// How long a finished job is kept.
    pub kept_for: Duration,
    /// After the last job of a server that shuts down, how long clients may still take to fetch
    /// what they have not fetched yet.
    pub farewell: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            queue: 64,
            waiting_bytes: 1 << 30,
            pixels: 64_000_000,
            side: Limits::default().max_side,
            // Below the files that a process may usually have open.
            connections: 512,
            head_time: Duration::from_secs(15),
            body_bytes: 128 << 20,
            upload_bytes: 512 << 20,
            upload_idle: Duration::from_secs(30),
            upload_time: Duration::from_secs(900),
            answer_idle: Duration::from_secs(30),
            batch: 8,
            kept_jobs: 64,
            kept_bytes: 512 << 20,
            kept_for: Duration::from_secs(3600),
            farewell: Duration::from_secs(5),
        }
    }
}

impl ServerLimits {
    /// Limits for decoding a request's pictures.
    pub(crate) fn picture(&self) -> Limits {
        Limits {
            max_pixels: self.pixels,
            max_side: self.side,
        }
    }
}

/// What a server is told when it starts.
pub struct ServerConfig {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The models; the first is used where a request names none.
    pub models: Vec<NamedModel>,
    /// What requests must bring along; needed where others than this machine can connect.
    pub token: Option<String>,
    /// Bounds on what requests may cost.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// Checks all that can be checked before the port is opened.
    ///
    /// # Errors
    /// Names the first setting that cannot be.
    pub fn validate(&self) -> Result<(), StartError> {
        self.check_settings()?;
        let complain = |what: String| Err(StartError::Config(what));
        if self.models.is_empty() {
            return complain("a server needs at least one model".into());
        }
        for (i, model) in self.models.iter().enumerate() {
            if self.models[..i]
                .iter()
                .any(|other| other.name == model.name)
            {
                return complain(format!("two models are named {:?}", model.name));
            }
        }
        Ok(())
    }

    /// As [`Self::validate`], without the models, which may take long to load.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn check_settings(&self) -> Result<(), StartError> {
        let complain = |what: String| Err(StartError::Config(what));
        if self.token.as_ref().is_some_and(String::is_empty) {
            return complain("the token is empty; choose a long random one".into());
        }
        if self.token.is_none() && !self.listen.ip().is_loopback() {
            return complain(format!(
                "{} can be reached from other machines, and anyone there could use the server; \
                 set a token with --token, or listen on 127.0.0.1",
                self.listen
            ));
        }
        let limits = &self.limits;
        if [
            limits.queue,
            limits.batch,
            limits.body_bytes,
            limits.connections,
        ]
        .contains(&0)
            || limits.pixels == 0
            || limits.side == 0
        {
            return complain(
                "queue, batch, body, connection and pixel limits must be at least 1".into(),
            );
        }
        Ok(())
    }
}
