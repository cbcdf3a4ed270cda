//! A server that runs while a test does.

use std::ops::Deref;

use strdiffusion_server::{NamedModel, Server, ServerConfig, ServerLimits, StartError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::checked::Checked;
use crate::stages::{Gate, Gated, inpainter};

/// A running server and a client of it.
pub struct Running {
    pub client: Checked,
    pub stop: mpsc::Sender<()>,
    pub ended: JoinHandle<Result<(), StartError>>,
}

impl Deref for Running {
    type Target = Checked;

    fn deref(&self) -> &Checked {
        &self.client
    }
}

pub fn config(gate: &Gate) -> ServerConfig {
    let model = |name: &str| NamedModel {
        name: name.into(),
        engine: Box::new(Gated {
            inner: inpainter(),
            gate: gate.clone(),
        }),
        device: "cpu".into(),
    };
    ServerConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        models: vec![model("tiny"), model("other")],
        token: None,
        limits: ServerLimits::default(),
    }
}

pub async fn start_with(config: ServerConfig) -> Running {
    let token = config.token.clone();
    let server = Server::bind(config).await.unwrap();
    let client = Checked::new(server.address(), token);
    let (stop, shutdown) = mpsc::channel(2);
    Running {
        client,
        stop,
        ended: tokio::spawn(server.run(shutdown)),
    }
}

/// A server that never waits.
pub async fn start() -> Running {
    start_with(config(&Gate::open())).await
}

/// A server whose worker waits at the gate.
pub async fn start_gated(limits: ServerLimits) -> (Running, Gate) {
    let gate = Gate::closed();
    let mut config = config(&gate);
    config.limits = limits;
    (start_with(config).await, gate)
}
