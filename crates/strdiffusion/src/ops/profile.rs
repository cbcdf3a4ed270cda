//! How long each kind of operation takes, for whoever asks. Where nobody asks it costs nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

static ON: AtomicBool = AtomicBool::new(false);
static SPENT: Mutex<BTreeMap<String, Duration>> = Mutex::new(BTreeMap::new());

/// Starts to measure the operations that run on our own kernels, in the whole process.
pub fn start_profile() {
    lock().clear();
    ON.store(true, Ordering::Relaxed);
}

/// Ends it, and returns the time spent in each kind of operation, the longest first. What runs on
/// Burn's own operations is not in it.
pub fn stop_profile() -> Vec<(String, Duration)> {
    ON.store(false, Ordering::Relaxed);
    let mut spent: Vec<_> = std::mem::take(&mut *lock()).into_iter().collect();
    spent.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    spent
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<String, Duration>> {
    SPENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the time until it is dropped.
pub(super) struct Timer(String, Instant);

/// Starts to count, if anybody asks.
pub(super) fn timer(kind: impl FnOnce() -> String) -> Option<Timer> {
    ON.load(Ordering::Relaxed)
        .then(|| Timer(kind(), Instant::now()))
}

impl Drop for Timer {
    fn drop(&mut self) {
        let spent = self.1.elapsed();
        *lock().entry(std::mem::take(&mut self.0)).or_default() += spent;
    }
}

/// Runs `f`; its time counts as `kind`'s.
pub fn timed<R>(kind: impl FnOnce() -> String, f: impl FnOnce() -> R) -> R {
    let _timer = timer(kind);
    f()
}
