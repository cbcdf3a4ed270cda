//! How long each kind of operation takes, for whoever asks. Where nobody asks it costs nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Spent = BTreeMap<String, Duration>;

thread_local! {
    /// What was spent so far, where this thread is being profiled.
    static SPENT: RefCell<Option<Spent>> = const { RefCell::new(None) };
}

/// Runs `f`, and measures the operations on our own kernels that it starts on this thread: the time
/// spent in each kind, the longest first. What runs on Burn's own operations is not in it.
pub fn profiled<R>(f: impl FnOnce() -> R) -> (R, Vec<(String, Duration)>) {
    let outer = SPENT.replace(Some(Spent::new()));
    let result = f();
    let spent = SPENT.replace(outer).unwrap_or_default();
    let mut spent: Vec<_> = spent.into_iter().collect();
    spent.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    (result, spent)
}

/// Counts the time until it is dropped.
pub(super) struct Timer(String, Instant);

/// Starts to count, if anybody asks.
pub(super) fn timer(kind: impl FnOnce() -> String) -> Option<Timer> {
    SPENT
        .with_borrow(Option::is_some)
        .then(|| Timer(kind(), Instant::now()))
}

impl Drop for Timer {
    fn drop(&mut self) {
        let time = self.1.elapsed();
        let kind = std::mem::take(&mut self.0);
        SPENT.with_borrow_mut(|spent| {
            if let Some(spent) = spent {
                *spent.entry(kind).or_default() += time;
            }
        });
    }
}

/// Runs `f`; its time counts as `kind`'s.
pub fn timed<R>(kind: impl FnOnce() -> String, f: impl FnOnce() -> R) -> R {
    let _timer = timer(kind);
    f()
}
