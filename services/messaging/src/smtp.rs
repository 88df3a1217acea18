//! Hands mails to one SMTP server over connections that are kept open. Sends bytes and
//! tells how it went; never decides when to try again.
//!
//! The connections are made here rather than by lettre's own pool, because lettre
//! leaves Nagle's algorithm on: every mail would wait for the server's delayed
//! acknowledgement, 40 ms each.

use std::{
    error::Error as StdError,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

#[allow(deprecated)] // Announced to become private in lettre 0.12.
use lettre::transport::smtp::client::AsyncNetworkStream;
use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters},
    extension::ClientId,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use crate::{
    Error,
    config::{Smtp, Tls},
    domain::mail::Rendered,
};

/// A connection that has been idle for longer is asked whether it is still there.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// The server, and what is known of how to reach it.
pub(crate) struct Pool {
    settings: Smtp,
    hello: ClientId,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
    mails_sent: u32,
}

/// Why a mail was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// May pass: the server is away, busy, or has said so (4xx).
    Transient(String),
    /// Will not pass: the server refuses this mail (5xx), or it cannot be sent at all.
    Permanent(String),
}

impl Pool {
    /// Reads the certificates; connects when there is something to send.
    pub fn open(settings: &Smtp) -> Result<Self, Error> {
        let hello = match settings.hello_name.as_str() {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Ok(Self {
            settings: settings.clone(),
            hello,
            tls: tls_parameters(settings)?,
            idle: Mutex::default(),
        })
    }

    /// Hands over one mail. Returns once the server has taken responsibility for it.
    pub async fn send(&self, mail: &Rendered) -> Result<(), Failure> {
        let (mut connection, mails_sent) = self.connection().await?;
        let time_max = Duration::from_secs(self.settings.send_seconds_max);
        match timeout(time_max, connection.send(&mail.envelope, &mail.bytes)).await {
            Err(_) => Err(Failure::Transient(format!(
                "the server did not take the mail within {time_max:?}"
            ))),
            // lettre has closed the connection, so it is not kept.
            Ok(Err(error)) => Err(refusal(&error)),
            Ok(Ok(_)) => {
                self.keep(connection, mails_sent + 1).await;
                Ok(())
            }
        }
    }

    /// Says goodbye on all idle connections.
    pub async fn close(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        for mut idle in idle {
            // Nothing is lost if the server does not hear it.
            let _ = timeout(Duration::from_secs(1), idle.connection.quit()).await;
        }
    }

    /// An idle connection that still works, or a new one.
    async fn connection(&self) -> Result<(AsyncSmtpConnection, u32), Failure> {
        while let Some(mut idle) = self.take_idle() {
            let idle_for = idle.since.elapsed();
            let expired = idle_for > Duration::from_secs(self.settings.idle_seconds_max);
            if expired {
                let _ = timeout(Duration::from_secs(1), idle.connection.quit()).await;
            } else if idle_for < TRUSTED_IDLE || answers(&mut idle.connection).await {
                return Ok((idle.connection, idle.mails_sent));
            }
        }
        let time_max = Duration::from_secs(self.settings.connect_seconds_max);
        let connected = timeout(time_max, self.connect()).await.map_err(|_| {
            let (host, port) = (&self.settings.host, self.settings.port);
            Failure::Transient(format!(
                "no connection to {host}:{port} within {time_max:?}"
            ))
        })?;
        // Whatever is wrong before a mail was offered is not the mail's fault, not
        // even a refused login: the settings can be mended while the mail waits.
        let connection = connected.map_err(|error| Failure::Transient(chain(&*error)))?;
        Ok((connection, 0))
    }

    fn take_idle(&self) -> Option<Idle> {
        self.idle.lock().pop()
    }

    async fn keep(&self, mut connection: AsyncSmtpConnection, mails_sent: u32) {
        let worn = mails_sent >= self.settings.mails_per_connection_max;
        if !worn && !connection.has_broken() {
            let mut idle = self.idle.lock();
            if idle.len() < self.settings.idle_connections_max {
                idle.push(Idle {
                    connection,
                    since: Instant::now(),
                    mails_sent,
                });
                return;
            }
        }
        let _ = timeout(Duration::from_secs(1), connection.quit()).await;
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Box<dyn StdError + Send + Sync>> {
        let settings = &self.settings;
        let socket = TcpStream::connect((settings.host.as_str(), settings.port)).await?;
        socket.set_nodelay(true)?;
        let socket: Box<dyn AsyncTokioStream> = Box::new(socket);
        let mut connection = match (&self.tls, settings.tls) {
            (Some(tls), Tls::Implicit) => {
                let stream = Encrypted::establish(socket, tls.clone()).await?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await?
            }
            (Some(tls), _) => {
                let mut connection =
                    AsyncSmtpConnection::connect_with_transport(socket, &self.hello).await?;
                connection.starttls(tls.clone(), &self.hello).await?;
                connection
            }
            (None, _) => AsyncSmtpConnection::connect_with_transport(socket, &self.hello).await?,
        };
        if !settings.username.is_empty() {
            let password = settings.password.expose().clone();
            let credentials = Credentials::new(settings.username.clone(), password);
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&mechanisms, &credentials).await?;
        }
        Ok(connection)
    }
}

async fn answers(connection: &mut AsyncSmtpConnection) -> bool {
    timeout(Duration::from_secs(5), connection.test_connected())
        .await
        .unwrap_or(false)
}

fn tls_parameters(settings: &Smtp) -> Result<Option<TlsParameters>, Error> {
    if settings.tls == Tls::None || settings.host.is_empty() {
        return Ok(None);
    }
    let config_error = |key, problem: String| Error::Config { key, problem };
    let mut builder = TlsParameters::builder(settings.host.clone());
    if !settings.ca_file.is_empty() {
        let pem = std::fs::read(&settings.ca_file)
            .map_err(|error| config_error("email.smtp.ca_file", error.to_string()))?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|error| config_error("email.smtp.ca_file", chain(&error)))?;
        builder = builder.add_root_certificate(certificate);
    }
    let parameters = builder
        .build()
        .map_err(|error| config_error("email.smtp.tls", chain(&error)))?;
    Ok(Some(parameters))
}

fn refusal(error: &lettre::transport::smtp::Error) -> Failure {
    let text = chain(error);
    // "Client" is lettre's word for a mail that this server has no means to take.
    if error.is_permanent() || error.is_client() {
        Failure::Permanent(text)
    } else {
        Failure::Transient(text)
    }
}

/// An error with its causes, as far as they say something new.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// TLS from the first byte over a socket of ours. lettre takes such sockets only where
/// the SMTP conversation begins, and keeps its own TLS stream to itself, so that stream
/// is set up first and handed back as if it were a socket.
struct Encrypted {
    #[allow(deprecated)]
    stream: Compat<AsyncNetworkStream>,
    peer: SocketAddr,
}

impl Encrypted {
    #[allow(deprecated)]
    async fn establish(
        socket: Box<dyn AsyncTokioStream>,
        tls: TlsParameters,
    ) -> Result<Self, Box<dyn StdError + Send + Sync>> {
        let peer = socket.peer_addr()?;
        let mut stream = AsyncNetworkStream::use_existing_tokio1(socket);
        stream.upgrade_tls(tls).await?;
        let stream = stream.compat();
        Ok(Self { stream, peer })
    }
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({})", self.peer)
    }
}

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
