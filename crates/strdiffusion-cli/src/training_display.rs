//! A training run on the screen: Burn's dashboard on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::sync::Arc;

use burn_train::Interrupter;
use burn_train::logger::TrainingProgressLogger;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry,
    SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{MetricState, MetricsRenderer, MetricsRendererTraining};
use strdiffusion::training::trainer::TrainEvent;

use crate::terminal::{is_quiet, report};

/// Shows a run's events.
pub enum Display {
    /// Burn's dashboard.
    Dashboard(Box<Dashboard>),
    /// A line for each logged step.
    Lines(Lines),
}

impl Display {
    /// The dashboard if stdout is a terminal.
    pub fn new(photos: usize) -> Self {
        if std::io::stdout().is_terminal() && !is_quiet() {
            Self::Dashboard(Box::new(Dashboard::new()))
        } else {
            report(format!("training on {photos} photographs"));
            Self::Lines(Lines::default())
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &TrainEvent) {
        match self {
            Self::Dashboard(dashboard) => dashboard.show(event),
            Self::Lines(lines) => lines.show(event),
        }
    }

    /// Whether the user asked to stop in the dashboard.
    pub fn wants_to_stop(&self) -> bool {
        match self {
            Self::Dashboard(dashboard) => dashboard.interrupter.should_stop(),
            Self::Lines(_) => false,
        }
    }

    /// Gives the terminal back.
    pub fn close(self) {
        if let Self::Dashboard(mut dashboard) = self {
            dashboard.close();
        }
    }
}

/// Plain lines.
#[derive(Default)]
pub struct Lines {
    loss: f64,
    seconds: f64,
    steps: usize,
}

impl Lines {
    fn show(&mut self, event: &TrainEvent) {
        match *event {
            TrainEvent::Started { stage, step, until } => {
                report(format!("{}: from step {step} to {until}", stage.name()));
            }
            TrainEvent::Stepped {
                stage,
                step,
                until,
                loss,
                gradient_norm,
                learning_rate,
                steps_per_second,
                log,
            } => {
                self.loss += loss;
                self.seconds += 1.0 / steps_per_second;
                self.steps += 1;
                if log {
                    let count = self.steps as f64;
                    let (loss, rate) = (self.loss / count, count / self.seconds);
                    report(format!(
                        "{} {step}/{until}: loss {loss:.5}, gradients {gradient_norm:.3}, learning \
                         rate {learning_rate:.2e}, {rate:.2} steps/s",
                        stage.name()
                    ));
                    *self = Self::default();
                }
            }
            TrainEvent::Validated {
                stage,
                step,
                scores,
                best,
            } => {
                let mut line = format!(
                    "{} {step} validation: loss {:.5}",
                    stage.name(),
                    scores.loss
                );
                if let (Some(psnr), Some(ssim)) = (scores.psnr, scores.ssim) {
                    line += &format!(", in the hole PSNR {psnr:.2} dB and SSIM {ssim:.4}");
                }
                report(line + if best { ", the best so far" } else { "" });
            }
            _ => {}
        }
    }
}

/// The values that the dashboard plots.
const METRICS: [(&str, bool); 6] = [
    ("Loss", false),
    ("Gradient norm", false),
    ("Learning rate", false),
    ("Steps per second", true),
    ("PSNR in the hole", true),
    ("SSIM in the hole", true),
];

/// Burn's dashboard.
pub struct Dashboard {
    renderer: TuiMetricsRendererWrapper,
    interrupter: Interrupter,
    ids: Vec<MetricId>,
    started: bool,
    /// Whether Ctrl-C has been given back its meaning.
    hears_ctrl_c: bool,
}

impl Dashboard {
    fn new() -> Self {
        let interrupter = Interrupter::new();
        let mut renderer = TuiMetricsRendererWrapper::new(interrupter.clone(), None);
        let ids = METRICS
            .iter()
            .map(|&(name, higher_is_better)| {
                let name = Arc::new(name.to_string());
                let metric_id = MetricId::new(name.clone());
                renderer.register_metric(MetricDefinition {
                    metric_id: metric_id.clone(),
                    name,
                    description: None,
                    attributes: MetricAttributes::Numeric(NumericAttributes {
                        unit: None,
                        higher_is_better,
                    }),
                });
                metric_id
            })
            .collect();
        Self {
            renderer,
            interrupter,
            ids,
            started: false,
            hears_ctrl_c: false,
        }
    }

    fn show(&mut self, event: &TrainEvent) {
        match *event {
            TrainEvent::Started { stage, step, until } => {
                if self.started {
                    self.renderer.end_split();
                } else {
                    self.renderer.start(1, 1, None, Some("strdiffusion"));
                    self.started = true;
                }
                // Burn knows the splits "train" and "valid" only.
                self.renderer.start_split("train", until);
                self.renderer
                    .log_event_training(format!("{} from step {step}", stage.name()));
                self.renderer.update_split(step);
            }
            TrainEvent::Stepped {
                step,
                loss,
                gradient_norm,
                learning_rate,
                steps_per_second,
                ..
            } => {
                self.listen_to_ctrl_c();
                self.renderer.update_split(step);
                let values = [loss, gradient_norm, learning_rate, steps_per_second];
                for (i, value) in values.into_iter().enumerate() {
                    let state = self.state(i, value);
                    self.renderer.update_train(state);
                }
            }
            TrainEvent::Validated { scores, .. } => {
                let values = [(0, Some(scores.loss)), (4, scores.psnr), (5, scores.ssim)];
                for (i, value) in values {
                    if let Some(value) = value {
                        let state = self.state(i, value);
                        self.renderer.update_valid(state);
                    }
                }
            }
            TrainEvent::Saved { stage, step } => {
                self.renderer
                    .log_event_training(format!("{} saved at step {step}", stage.name()));
            }
            _ => {}
        }
    }

    /// The dashboard puts the terminal into raw mode, in which Ctrl-C is a key like any other.
    /// Here it shall save and stop, as it does without the dashboard.
    fn listen_to_ctrl_c(&mut self) {
        if std::mem::replace(&mut self.hears_ctrl_c, true) {
            return;
        }
        #[cfg(unix)]
        {
            use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
            let stdin = std::io::stdin();
            if let Ok(mut mode) = tcgetattr(&stdin) {
                mode.local_modes |= LocalModes::ISIG;
                // If the terminal refuses, `q` still stops the run.
                let _ = tcsetattr(&stdin, OptionalActions::Now, &mode);
            }
        }
    }

    fn state(&self, metric: usize, value: f64) -> MetricState {
        let text = format!("{value:.5}");
        let entry = MetricEntry::new(
            self.ids[metric].clone(),
            SerializedEntry::new(text, value.to_string()),
        );
        MetricState::Numeric(entry, Some(NumericEntry::Value(value)))
    }

    fn close(&mut self) {
        if self.started {
            self.renderer.end_split();
            self.renderer.end();
        }
        // A terminal that cannot be restored is not worth failing a finished run for.
        let _ = self.renderer.on_train_end(None);
    }
}
