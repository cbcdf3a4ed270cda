//! `strdiffusion serve`: the page in the browser and the HTTP API.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use strdiffusion::Inpainter;
use strdiffusion::device::DeviceName;
use strdiffusion_server::{NamedModel, Server, ServerConfig, ServerLimits, StartError};
use tokio::sync::mpsc;

use crate::failure::user_error;
use crate::interrupt;
use crate::model_source::ModelSource;
use crate::terminal::{note, say};

/// Environment variable that holds the token; other users of the machine do not see it there.
const TOKEN: &str = "STRDIFFUSION_TOKEN";

/// Fill photographs in the browser, and for other programs over HTTP
///
/// Open the address that is printed. Ctrl-C finishes the running job and ends; a second Ctrl-C
/// cancels it.
#[derive(Args)]
pub struct Serve {
    /// Model folder, or ORG/NAME[@REVISION] on the hub; give several to offer a choice [default:
    /// $STRDIFFUSION_MODEL, else the one inside]
    #[arg(long)]
    model: Vec<PathBuf>,
    /// Address and port; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:7860", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// auto, cpu, cuda[:i], vulkan[:i] or metal
    #[arg(long, default_value = "auto")]
    device: DeviceName,
    /// What requests must bring along; needed where other machines can connect
    /// [default: $STRDIFFUSION_TOKEN]
    #[arg(long)]
    token: Option<String>,
    /// Jobs that may wait
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().queue)]
    queue: usize,
    /// Pictures that pass through the networks together, at most [default: 8, fewer for large
    /// networks]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Largest photograph, in millions of pixels
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().pixels / 1_000_000)]
    max_megapixels: u64,
    /// Longest side of a photograph, in pixels
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().side)]
    max_side: u32,
    /// Largest request, in MiB
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().body_bytes >> 20)]
    max_body_mib: usize,
    /// Connections at the same time; further ones wait
    #[arg(long, value_name = "N", default_value_t = ServerLimits::default().connections)]
    max_connections: usize,
}

impl Serve {
    pub fn run(self) -> Result<()> {
        let defaults = ServerLimits::default();
        let body_bytes = self.max_body_mib.saturating_mul(1 << 20);
        let limits = ServerLimits {
            queue: self.queue,
            batch: self.batch.unwrap_or(defaults.batch),
            pixels: self.max_megapixels.saturating_mul(1_000_000),
            side: self.max_side,
            connections: self.max_connections,
            body_bytes,
            upload_bytes: defaults.upload_bytes.max(body_bytes),
            ..defaults
        };
        let mut config = ServerConfig {
            listen: self.listen,
            models: vec![],
            token: self.token.or_else(|| std::env::var(TOKEN).ok()),
            limits,
        };
        // What is wrong with the settings is said before models are loaded.
        config.check_settings().map_err(told)?;
        let (device_name, device) = self.device.resolve()?;
        for source in sources(self.model)? {
            let mut inpainter = Inpainter::from_model(source.load(&device)?);
            if let Some(limit) = self.batch {
                inpainter = inpainter.with_batch_limit(limit);
            }
            tracing::info!(model = %source, device = %device_name, "model loaded");
            config.models.push(NamedModel {
                name: free_name(&source.name(), &config.models),
                engine: Box::new(inpainter),
                device: device_name.to_string(),
            });
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the async runtime cannot be started")?;
        runtime.block_on(async {
            let shutdown = signals()?;
            let server = Server::bind(config).await.map_err(told)?;
            say(format!("strdiffusion serves at {}", server.url()));
            server.run(shutdown).await.map_err(told)
        })
    }
}

/// The models that were named, else the default one.
fn sources(named: Vec<PathBuf>) -> Result<Vec<ModelSource>> {
    if named.is_empty() {
        return Ok(vec![ModelSource::choose(None)?]);
    }
    let each = named.into_iter().map(Some);
    each.map(ModelSource::choose).collect()
}

/// A model's name, with a number where that is taken.
fn free_name(name: &str, others: &[NamedModel]) -> String {
    let is_free = |name: &String| others.iter().all(|other| &other.name != name);
    std::iter::once(name.to_owned())
        .chain((2..).map(|number| format!("{name}-{number}")))
        .find(is_free)
        .expect("numbers do not run out")
}

fn told(error: StartError) -> anyhow::Error {
    match error {
        StartError::Config(_) | StartError::Listen { .. } => user_error(error),
        error => error.into(),
    }
}

/// A message for each Ctrl-C and each SIGTERM. The third ends the program on the spot.
fn signals() -> Result<mpsc::Receiver<()>> {
    let (wish, wishes) = mpsc::channel(2);
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).context("signals cannot be received")?
    };
    tokio::spawn(async move {
        let mut asked = 0;
        loop {
            #[cfg(unix)]
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
            asked += 1;
            match asked {
                1 => note("finishing the running job; once more cancels it"),
                2 => note("cancelling"),
                _ => std::process::exit(interrupt::EXIT_CODE.into()),
            }
            // Two messages fit, and no third is sent.
            let _ = wish.try_send(());
        }
    });
    Ok(wishes)
}
