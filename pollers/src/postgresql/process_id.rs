//! The process id that a server reports with a new connection.
//!
//! The driver keeps it to itself and shows it only in a request to cancel. So we let it write one, not to the server
//! but into a pipe, and read the id at the other end.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio_postgres::CancelToken;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// Code of a request for encryption in PostgreSQL's protocol.
const SSL_REQUEST: i32 = 80_877_103;
/// Larger than both requests together.
const PIPE_BYTES: usize = 64;

/// The process id that came with the connection of `token`.
pub async fn reported(token: &CancelToken) -> Option<i32> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (_, process_id) = tokio::join!(token.cancel_query_raw(ours, Unencrypted), read_process_id(theirs));
    process_id.ok()
}

/// Plays the server: agrees to encryption if asked for it, and reads the request to cancel: length, code, process id, key.
async fn read_process_id(mut pipe: DuplexStream) -> io::Result<i32> {
    pipe.read_i32().await?;
    if pipe.read_i32().await? == SSL_REQUEST {
        pipe.write_all(b"S").await?;
        pipe.read_i64().await?;
    }
    pipe.read_i32().await
}

/// What the driver takes for TLS: the pipe as it is. Nothing leaves this process.
struct Unencrypted;

struct Pipe(DuplexStream);

impl TlsConnect<DuplexStream> for Unencrypted {
    type Stream = Pipe;
    type Error = io::Error;
    type Future = Ready<Result<Pipe, io::Error>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(Pipe(stream)))
    }
}

impl TlsStream for Pipe {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
