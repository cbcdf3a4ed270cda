//! The server's life: it binds, serves, and ends without losing what it has begun.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use crate::app::App;
use crate::config::ServerConfig;
use crate::connections;
use crate::routes;
use crate::start::StartError;
use crate::worker;

/// How often jobs that have ended are looked through for those that are too old.
const SWEEP: Duration = Duration::from_secs(30);

/// A server that has its port and its worker, and answers once it is [run](Self::run).
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    /// True once the worker has ended.
    idle: watch::Receiver<bool>,
}

impl Server {
    /// Takes the port and starts the worker.
    ///
    /// # Errors
    /// If the settings cannot be, or the port cannot be had.
    pub async fn bind(config: ServerConfig) -> Result<Self, StartError> {
        config.validate()?;
        let listen = config.listen;
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| StartError::listen(listen, &error))?;
        let address = listener.local_addr()?;
        let (app, engines) = App::new(config, address);
        let (ended, idle) = watch::channel(false);
        let shared = Arc::clone(&app);
        std::thread::Builder::new()
            .name("networks".into())
            .spawn(move || {
                worker::work(&shared, &engines);
                ended.send_replace(true);
            })?;
        Ok(Self {
            listener,
            address,
            app,
            idle,
        })
    }

    /// Where the server listens: with the port that it got, where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The page's address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until told to end.
    ///
    /// The first message of `shutdown` ends the work in order: no new job is taken (503), jobs that
    /// wait are cancelled and say so, the job that runs is finished. Then the results of finished
    /// jobs can still be fetched for [`farewell`](crate::ServerLimits::farewell). The second message
    /// cancels the running job and waits for nobody.
    ///
    /// # Errors
    /// If the system refuses to go on.
    pub async fn run(self, mut shutdown: mpsc::Receiver<()>) -> Result<(), StartError> {
        let Self {
            listener,
            app,
            mut idle,
            ..
        } = self;
        let (stop, stopped) = watch::channel(false);
        let router = routes::router(Arc::clone(&app));
        let farewell = app.limits.farewell;
        let limits = app.limits.clone();
        let mut serving: JoinHandle<()> = tokio::spawn(async move {
            connections::serve(listener, router, &limits, stopped).await;
        });
        let sweeper = tokio::spawn(sweep(Arc::clone(&app)));

        tokio::select! {
            () = next(&mut shutdown) => {}
            ended = &mut serving => return finished(ended),
        }
        tracing::info!("shutting down: the running job is finished, no new one is taken");
        let begun = Instant::now();
        app.begin_shutdown();
        let in_order = async {
            let _ = idle.wait_for(|&idle| idle).await;
            let _ = timeout(farewell, all_fetched(&app, begun)).await;
        };
        tokio::select! {
            () = in_order => {}
            () = next(&mut shutdown) => {
                tracing::info!("shutting down at once: the running job is cancelled");
                app.cancel_running();
                let _ = idle.wait_for(|&idle| idle).await;
            }
        }
        stop.send_replace(true);
        sweeper.abort();
        // Connections that are still busy with sending get some time, idle ones are closed.
        match timeout(farewell, &mut serving).await {
            Ok(ended) => finished(ended),
            Err(_) => {
                serving.abort();
                Ok(())
            }
        }
    }
}

/// Binds and runs a [`Server`].
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`].
pub async fn serve(config: ServerConfig, shutdown: mpsc::Receiver<()>) -> Result<(), StartError> {
    Server::bind(config).await?.run(shutdown).await
}

/// The next wish to end; where nobody is left to wish, it never comes.
async fn next(shutdown: &mut mpsc::Receiver<()>) {
    if shutdown.recv().await.is_none() {
        pending::<()>().await;
    }
}

fn finished(ended: Result<(), tokio::task::JoinError>) -> Result<(), StartError> {
    ended.map_err(std::io::Error::other)?;
    Ok(())
}

/// Waits until nothing that was done since then is left to fetch.
async fn all_fetched(app: &App, since: Instant) {
    loop {
        let fetched = app.fetched.notified();
        if !app.store.has_unfetched_since(since) {
            return;
        }
        fetched.await;
    }
}

async fn sweep(app: Arc<App>) {
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        app.store.sweep();
    }
}
