//! https: TLS over a connection, with the system's trusted roots.
//!
//! The roots are read with the first call, and once: a machine that changes them restarts its services. They are where OpenSSL finds them,
//! or in `SSL_CERT_FILE`.

use std::sync::Arc;

use runtime::OutgoingError;
use rustls_native_certs::load_native_certs;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::failed;

/// See the module.
#[derive(Default)]
pub(super) struct Tls {
    connector: OnceCell<TlsConnector>,
}

impl Tls {
    /// One that trusts these roots, in DER, and no others.
    #[cfg(test)]
    pub(super) fn trusting(roots: &[Vec<u8>]) -> Self {
        let certificates = roots.iter().map(|root| CertificateDer::from(root.clone()));
        let connector = connector(certificates).expect("a test has a root");
        Self { connector: OnceCell::new_with(Some(connector)) }
    }

    /// Speaks TLS from here on, with whoever proves to be the host.
    pub(super) async fn secure(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, OutgoingError> {
        let connector = self.connector.get_or_try_init(system).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed("no certificate can name the host", &error))?;
        connector.connect(name, stream).await.map_err(|error| failed("no secure connection came about", &error))
    }
}

/// With the roots of the system; reading them reads files.
async fn system() -> Result<TlsConnector, OutgoingError> {
    let found = spawn_blocking(load_native_certs).await.map_err(|error| failed("the trusted roots cannot be read", &error))?;
    connector(found.certs.into_iter())
}

fn connector(certificates: impl Iterator<Item = CertificateDer<'static>>) -> Result<TlsConnector, OutgoingError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        let message = "this machine has no trusted roots; install its package of CA certificates, or name a file with SSL_CERT_FILE";
        return Err(OutgoingError::Failed { message: message.to_owned() });
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed("no version of TLS is there", &error))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
