//! The socket to a server: TCP or local. Whoever closes it waits until the server has closed it too, so that the server has
//! counted the connection out before another one is opened.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::settings::Endpoint;

/// How long a silent connection lives before the network is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// What is left on a connection that is being closed is read in pieces of this size, and forgotten.
const REST_BYTES: usize = 4096;

/// An open socket.
pub struct Wire {
    stream: Box<dyn Stream>,
    is_shut: bool,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Wire {
    /// Opens a socket to the server of `endpoint`, at the first of its addresses that answers.
    pub async fn open(endpoint: &Endpoint) -> io::Result<Wire> {
        let stream: Box<dyn Stream> = if endpoint.is_socket() {
            Box::new(UnixStream::connect(format!("{}/.s.PGSQL.{}", endpoint.host, endpoint.port)).await?)
        } else {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            stream.set_nodelay(true)?;
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
            Box::new(stream)
        };
        Ok(Wire { stream, is_shut: false })
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends when the server has closed the socket, which it does as the last thing.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        loop {
            let mut bytes = [0; REST_BYTES];
            let mut rest = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
