//! A small pool of threads that spin for a moment before they sleep.
//!
//! A network is a chain of short parallel jobs; waking a sleeping thread costs more than some of
//! them take. One job runs at a time: a caller that finds the pool at work (another thread's job,
//! or a job within a job) runs its own items by itself, which is always correct.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// A borrowed job whose lifetime has been erased; see the reason in [`parallel_for`].
#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    items: usize,
    helpers: usize,
}

// SAFETY: the closure behind `run` is Sync, and `parallel_for` keeps it alive for as long as a
// worker can reach it.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    job: Option<Job>,
    workers: usize,
    sleepers: usize,
    panic: Option<Box<dyn std::any::Any + Send>>,
}

struct Pool {
    state: Mutex<State>,
    wake: Condvar,
    /// Changes with each job; workers spin on it.
    epoch: AtomicUsize,
    /// Next item of the current job.
    next: AtomicUsize,
    /// Workers inside the current job.
    active: AtomicUsize,
    /// Held by the thread whose job the pool runs.
    owner: Mutex<()>,
}

/// 0: as many as the machine offers.
static WANTED: AtomicUsize = AtomicUsize::new(0);

/// Spins before a worker sleeps: some tens of microseconds.
const SPINS: usize = 20_000;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        state: Mutex::default(),
        wake: Condvar::new(),
        epoch: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
        active: AtomicUsize::new(0),
        owner: Mutex::new(()),
    })
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets how many threads a kernel may use, the calling one included; 0 stands for all that the
/// machine offers (the default). Takes effect with the next call.
pub fn set_num_threads(threads: usize) {
    WANTED.store(threads, Ordering::Relaxed);
}

/// How many threads a kernel uses, the calling one included.
pub fn num_threads() -> usize {
    static OFFERED: OnceLock<usize> = OnceLock::new();
    match WANTED.load(Ordering::Relaxed) {
        0 => *OFFERED.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from)),
        n => n,
    }
}

/// Calls `f` once for each item in `0..items`, on up to [`num_threads`] threads, in any order.
pub(crate) fn parallel_for(items: usize, f: impl Fn(usize) + Sync) {
    let helpers = num_threads().min(items).saturating_sub(1);
    let serial = || (0..items).for_each(&f);
    if helpers == 0 || INSIDE.get() {
        return serial();
    }
    let pool = pool();
    let _owner = match pool.owner.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return serial(),
    };
    let run: &(dyn Fn(usize) + Sync) = &f;
    // SAFETY: only the lifetime changes. A worker copies the pointer out of `state.job` under
    // the lock and counts itself in `active` before it lets go; below, `state.job` is taken back
    // under the same lock and `active` is waited down to zero before this function returns or
    // unwinds, so no worker can use `f` after its end.
    let run = unsafe {
        std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync + 'static)>(
            run,
        )
    };
    {
        let mut state = lock(&pool.state);
        while state.workers < helpers {
            let index = state.workers;
            let spawned = std::thread::Builder::new()
                .name(format!("kernels-{index}"))
                .spawn(move || worker(index));
            if spawned.is_err() {
                break; // Fewer helpers: slower, not wrong.
            }
            state.workers += 1;
        }
        state.job = Some(Job {
            run,
            items,
            helpers,
        });
        pool.next.store(0, Ordering::Relaxed);
        pool.epoch.fetch_add(1, Ordering::Release);
        if state.sleepers > 0 {
            pool.wake.notify_all();
        }
    }
    INSIDE.set(true);
    let mine = catch_unwind(AssertUnwindSafe(|| drain(pool, &f, items)));
    INSIDE.set(false);
    if mine.is_err() {
        pool.next.store(items, Ordering::Relaxed);
    }
    lock(&pool.state).job = None;
    let mut spins = 0;
    while pool.active.load(Ordering::Acquire) != 0 {
        spins += 1;
        if spins % 1024 == 0 {
            std::thread::yield_now();
        }
        std::hint::spin_loop();
    }
    let theirs = lock(&pool.state).panic.take();
    if let Err(panic) = mine {
        resume_unwind(panic);
    }
    if let Some(panic) = theirs {
        resume_unwind(panic);
    }
}

fn drain(pool: &Pool, f: &(dyn Fn(usize) + Sync), items: usize) {
    loop {
        let item = pool.next.fetch_add(1, Ordering::Relaxed);
        if item >= items {
            return;
        }
        f(item);
    }
}

fn worker(index: usize) {
    INSIDE.set(true);
    let pool = pool();
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while pool.epoch.load(Ordering::Acquire) == seen {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            let mut state = lock(&pool.state);
            while pool.epoch.load(Ordering::Acquire) == seen {
                state.sleepers += 1;
                state = pool
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.sleepers -= 1;
            }
        }
        let job = {
            let state = lock(&pool.state);
            seen = pool.epoch.load(Ordering::Acquire);
            match state.job {
                Some(job) if index < job.helpers => {
                    pool.active.fetch_add(1, Ordering::AcqRel);
                    job
                }
                _ => continue,
            }
        };
        // SAFETY: counted in `active`, so the owner of the closure waits (see `parallel_for`).
        let run = unsafe { &*job.run };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drain(pool, run, job.items))) {
            pool.next.store(job.items, Ordering::Relaxed);
            lock(&pool.state).panic = Some(panic);
        }
        pool.active.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_runs_once_even_within_items() {
        let counts: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        parallel_for(10, |i| {
            parallel_for(100, |j| {
                counts[100 * i + j].fetch_add(1, Ordering::Relaxed);
            });
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        for bad in [0, 7, 99] {
            let caught = catch_unwind(|| {
                parallel_for(100, |i| assert_ne!(i, bad));
            });
            assert!(caught.is_err());
        }
        let sum = AtomicUsize::new(0);
        parallel_for(100, |i| {
            sum.fetch_add(i, Ordering::Relaxed);
        });
        assert_eq!(sum.load(Ordering::Relaxed), 4950);
    }
}
