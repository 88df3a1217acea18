//! Certificates between services over TCP: both sides show one, and both must be signed
//! by the same authority. Reads files once; never writes them.

use std::{fmt, fs, io, path::PathBuf, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::{
    self, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Where the certificates are, in PEM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate of the authority that signed those of all services.
    pub ca: PathBuf,
    /// Certificate chain of this service.
    pub cert: PathBuf,
    /// Private key of that certificate.
    pub key: PathBuf,
}

/// Certificates, read and checked.
#[derive(Clone)]
pub struct Tls {
    client: ClientTlsConfig,
    server: Arc<ServerConfig>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is no PEM of the expected kind", path.display())]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the authority cannot be used to check clients")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    #[error("certificate and key cannot be used")]
    Certificate(#[from] rustls::Error),
}

impl Tls {
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let [ca, cert, key] = [&files.ca, &files.cert, &files.key].map(read);
        let (ca, cert, key) = (ca?, cert?, key?);
        let client = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&ca))
            .identity(Identity::from_pem(&cert, &key));
        let pem = |path: &PathBuf| {
            let path = path.clone();
            move |source| TlsError::Pem { path, source }
        };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&ca) {
            roots.add(authority.map_err(pem(&files.ca))?)?;
        }
        let chain = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(pem(&files.cert))?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(pem(&files.key))?;
        let server = Arc::new(server_config(roots, chain, key)?);
        Ok(Self { client, server })
    }

    pub(crate) fn client(&self) -> ClientTlsConfig {
        self.client.clone()
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }
}

fn server_config(
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| {
        let path = path.clone();
        TlsError::File { path, source }
    })
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(redacted)")
    }
}
