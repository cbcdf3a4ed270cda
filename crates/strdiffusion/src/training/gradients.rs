//! One step's gradient: in parts, on one device or several, in full or half precision.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{DType, Device, Tensor};

use super::data::Sample;
use super::loader::DeviceBatch;
use super::optimizer;
use crate::error::{Error, Result, TrainingError};
use crate::networks::{Network, Precision};
use crate::text::one_line;
use crate::weights::host_values;

/// How gradients are taken.
#[derive(Debug, Clone)]
pub struct Backward {
    /// Devices with autodiff; each step's pictures are shared out among them.
    pub devices: Vec<Device>,
    /// Parts that a device takes one after the other.
    pub accumulate: usize,
    /// Numbers of forward and backward pass.
    pub precision: Precision,
    /// Factor of the loss in f16.
    pub loss_scale: f64,
    /// Side of the pictures.
    pub side: usize,
    /// Pictures of a step, those of other processes included.
    pub batch: usize,
}

impl Backward {
    /// Mean loss over a step's pictures, and its gradient, on the first device. Of the pictures of
    /// one process among several: its share of both.
    ///
    /// The result is the same (up to rounding) for any number of parts and devices.
    ///
    /// # Errors
    /// If a device fails, for example for want of memory.
    pub fn run<M: Network + Sync>(
        &self,
        network: &M,
        samples: &[Sample],
        loss: &(dyn Fn(&M, &DeviceBatch) -> Tensor<1> + Sync),
    ) -> Result<(f64, GradientsParams)> {
        let part = samples.len().div_ceil(self.devices.len() * self.accumulate);
        let parts: Vec<&[Sample]> = samples.chunks(part).collect();
        let total = self.batch as f64;
        // Parts are dealt out in turn, so that every device has its share.
        let work = |index: usize, network: &M| -> Result<Vec<(f64, GradientsParams)>> {
            let mine = parts.iter().skip(index).step_by(self.devices.len());
            mine.map(|part| {
                let share = part.len() as f64 / total;
                self.part(network, part, share, &self.devices[index], loss)
            })
            .collect()
        };
        let results: Vec<Result<Vec<(f64, GradientsParams)>>> = if self.devices.len() == 1 {
            vec![work(0, network)]
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..self.devices.len())
                    .map(|i| {
                        let copy = network.clone().fork(&self.devices[i]);
                        let work = &work;
                        scope.spawn(move || work(i, &copy))
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| {
                        thread
                            .join()
                            .unwrap_or_else(|_| Err(failure("a device's thread died")))
                    })
                    .collect()
            })
        };
        let mut sum = GradientsAccumulator::new();
        let mut mean_loss = 0.0;
        for result in results {
            for (loss, gradients) in result? {
                mean_loss += loss;
                sum.accumulate(network, gradients.to_device(&self.devices[0], network));
            }
        }
        Ok((mean_loss, sum.grads()))
    }

    /// Loss and gradient of one part, both times its share of the pictures.
    fn part<M: Network>(
        &self,
        network: &M,
        samples: &[Sample],
        share: f64,
        device: &Device,
        loss: &(dyn Fn(&M, &DeviceBatch) -> Tensor<1> + Sync),
    ) -> Result<(f64, GradientsParams)> {
        let attempt = || {
            let batch = DeviceBatch::new(samples, self.side, device);
            let scale = if self.precision == Precision::F16 {
                self.loss_scale
            } else {
                1.0
            };
            let value = match self.precision {
                Precision::F32 => loss(network, &batch),
                half => loss(&half.of(network), &batch.cast(half.dtype(device))),
            };
            let value = value.cast(DType::F32) * share;
            let gradients = optimizer::gradients(network, &(value.clone() * scale));
            let gradients = match scale {
                1.0 => gradients,
                scale => optimizer::scale(network, gradients, 1.0 / scale),
            };
            (f64::from(host_values(value)[0]), gradients)
        };
        // Burn reports a device's failure, such as running out of memory, by panicking.
        catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown reason");
            failure(reason)
        })
    }
}

fn failure(reason: &str) -> Error {
    let reason = one_line(reason);
    TrainingError::DeviceFailed { reason }.into()
}
