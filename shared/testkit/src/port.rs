//! A port for a server that is not there yet, or not there any more.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// A port of this machine that is given to nobody else as long as this is kept, and on
/// which whoever calls is refused until somebody listens. A port that was only found to
/// be free can be another's a moment later.
///
/// Who is to listen binds it by its number, as Tokio and Python do: with
/// `SO_REUSEADDR`, which lets two sockets share a port as long as one of them listens.
pub struct ReservedPort(TcpSocket);

impl ReservedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of sockets");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(any).expect("a free port");
        Self(socket)
    }

    /// Of the loopback interface.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// From here on callers are let in.
    pub fn listen(self) -> TcpListener {
        self.0.listen(1_024).expect("nobody else listens")
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_reserved_port_refuses_until_somebody_listens() {
        let reserved = ReservedPort::new();
        let address = reserved.address();
        assert!(TcpStream::connect(address).await.is_err());
        for _ in 0..2 {
            let server = TcpListener::bind(address).await.unwrap();
            assert!(TcpStream::connect(address).await.is_ok());
            drop(server);
            assert!(TcpStream::connect(address).await.is_err());
        }
        let _server = reserved.listen();
        assert!(TcpStream::connect(address).await.is_ok());
    }
}
