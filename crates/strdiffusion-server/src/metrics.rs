//! What the server counts, for Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use strdiffusion::sampling::Evaluations;

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "label values are lower case")]
pub(crate) enum Outcome {
    done,
    failed,
    cancelled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NetworkLabels {
    network: &'static str,
}

/// Every count, and how they are printed.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    jobs: Family<JobLabels, Counter>,
    evaluations: Family<NetworkLabels, Counter>,
    fill_seconds: Histogram,
    batch_size: Histogram,
    queue_length: Gauge,
    kept_bytes: Gauge,
}

impl Metrics {
    pub fn new() -> Self {
        let seconds = [
            0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
        ];
        let mut metrics = Self {
            registry: Registry::with_prefix("strdiffusion"),
            requests: Family::default(),
            jobs: Family::default(),
            evaluations: Family::default(),
            fill_seconds: Histogram::new(seconds),
            batch_size: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]),
            queue_length: Gauge::default(),
            kept_bytes: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "http_requests",
            "Requests answered, by method, route and status",
            metrics.requests.clone(),
        );
        registry.register("jobs", "Jobs ended, by outcome", metrics.jobs.clone());
        registry.register(
            "network_evaluations",
            "Evaluations of each network, counted for every picture filled",
            metrics.evaluations.clone(),
        );
        registry.register_with_unit(
            "fill",
            "Time from a job's start to its end, of jobs that were done",
            Unit::Seconds,
            metrics.fill_seconds.clone(),
        );
        registry.register(
            "batch_size",
            "Pictures handed to the networks together",
            metrics.batch_size.clone(),
        );
        registry.register("queue_length", "Jobs waiting", metrics.queue_length.clone());
        registry.register_with_unit(
            "kept_results",
            "Memory taken by finished results",
            Unit::Bytes,
            metrics.kept_bytes.clone(),
        );
        metrics
    }

    pub fn request(&self, method: &str, route: &'static str, status: u16) {
        // Methods are the client's to invent; labels are memory.
        let known = ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"];
        let method = if known.contains(&method) {
            method
        } else {
            "other"
        };
        let labels = RequestLabels {
            method: method.to_owned(),
            route,
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    pub fn job(&self, outcome: Outcome, seconds: Option<f64>) {
        self.jobs.get_or_create(&JobLabels { outcome }).inc();
        if let (Outcome::done, Some(seconds)) = (outcome, seconds) {
            self.fill_seconds.observe(seconds);
        }
    }

    pub fn evaluations(&self, evaluations: &Evaluations) {
        for (network, count) in [
            ("texture", evaluations.texture),
            ("structure", evaluations.structure),
            ("discriminator", evaluations.discriminator),
        ] {
            let labels = NetworkLabels { network };
            self.evaluations.get_or_create(&labels).inc_by(count as u64);
        }
    }

    pub fn batch(&self, pictures: usize) {
        self.batch_size.observe(pictures as f64);
    }

    pub fn queue_length(&self, jobs: usize) {
        self.queue_length.set(jobs as i64);
    }

    pub fn kept_bytes(&self, bytes: usize) {
        self.kept_bytes.set(bytes as i64);
    }

    /// The exposition text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a string takes any text");
        text
    }
}
