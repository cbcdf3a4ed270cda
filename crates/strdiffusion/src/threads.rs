//! How many threads the library computes on.

use crate::error::{Error, Result};

/// Computes on at most so many threads from now on, the calling one included; without a limit, on
/// as many as the machine offers. Results do not depend on it. To be called once, before any other
/// work of the library.
///
/// # Errors
/// For 0 threads, or if threads of another number are at work already.
pub fn limit_threads(threads: usize) -> Result<()> {
    if threads == 0 {
        return Err(Error::Config(
            "0 threads cannot compute; take at least 1".into(),
        ));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    if pool.build_global().is_err() && rayon::current_num_threads() != threads {
        return Err(Error::Config(format!(
            "{} threads are at work already, so it is too late to take {threads}",
            rayon::current_num_threads()
        )));
    }
    strdiffusion_kernels::set_num_threads(threads);
    Ok(())
}
