//! What a dialogue is held over: a connection, in clear or by TLS.

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in and out.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub(crate) type Stream = Box<dyn Io>;
