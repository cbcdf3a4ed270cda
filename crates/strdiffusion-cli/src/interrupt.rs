//! Ctrl-C: the first ends the work cleanly between two network evaluations, the second at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code after a cancellation: 128 + SIGINT, as shells have it.
pub const EXIT_CODE: u8 = 130;

/// Whether the user has asked to stop.
#[derive(Clone)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    /// Whether SIGTERM may end the program on the spot; where it never may, nobody looks at it.
    may_end: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub fn listen() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second handler sets the flag, so the first acts from the second
            // signal on. Outputs are renamed into place, so none is partial even then.
            flag::register_conditional_shutdown(signal, EXIT_CODE.into(), Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        let may_end = Arc::new(AtomicBool::new(false));
        Ok(Self { asked, may_end })
    }

    /// As [`Self::listen`], but SIGTERM ends the program on the spot, whatever it waits for, unless
    /// it is [writing](Self::while_writing).
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub fn that_ends_at_once() -> anyhow::Result<Self> {
        let may_end = Arc::new(AtomicBool::new(true));
        let code = EXIT_CODE.into();
        flag::register_conditional_shutdown(SIGTERM, code, Arc::clone(&may_end))?;
        let Self { asked, .. } = Self::listen()?;
        Ok(Self { asked, may_end })
    }

    /// Does something that leaves a file behind if it is cut short.
    pub fn while_writing<T>(&self, write: impl FnOnce() -> T) -> T {
        let before = self.may_end.swap(false, Ordering::SeqCst);
        let done = write();
        self.may_end.store(before, Ordering::SeqCst);
        done
    }

    /// Whether to stop.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The same, for work that is watched.
    pub fn flow(&self) -> ControlFlow<()> {
        match self.is_asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
