//! What clients send to the server.

use std::cell::LazyCell;

use strdiffusion_server::{ServerLimits, fuzzing};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: LazyCell<Runtime> = LazyCell::new(|| {
        let runtime = Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime of one thread can be made")
    });
}

/// A form, as it comes with a request. Its boundary is `x`.
pub fn form(bytes: &[u8]) {
    let limits = ServerLimits {
        pixels: 1 << 18,
        side: 4096,
        ..ServerLimits::default()
    };
    let kind = "multipart/form-data; boundary=x";
    RUNTIME.with(|runtime| {
        let _ = runtime.block_on(fuzzing::request(kind, bytes.to_vec(), &limits));
    });
}

/// The JSON of a request's settings.
pub fn settings(bytes: &[u8]) {
    let _ = fuzzing::settings(bytes);
}
