//! Why a server cannot start.

use std::net::SocketAddr;

/// Why a server cannot start, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting that cannot be.
    #[error("{0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("{address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said, and what to do.
        reason: String,
    },
    /// The system refused to go on.
    #[error("the server had to stop: {0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    pub(crate) fn listen(address: SocketAddr, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there already; choose another port with --listen".into()
            }
            std::io::ErrorKind::PermissionDenied => {
                "this port needs more rights; choose one above 1023 with --listen".into()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; choose another with --listen".into()
            }
            _ => error.to_string(),
        };
        Self::Listen { address, reason }
    }
}
