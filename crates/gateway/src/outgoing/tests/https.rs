//! https, with a certificate of these tests' own: valid for a hundred years, for 127.0.0.1 alone. Its key is in the repository and guards nothing.

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

const CERTIFICATE: &[u8] = include_bytes!("certificate.der");
const KEY: &[u8] = include_bytes!("key.der");

/// A server that answers one request a connection, over TLS.
async fn secure_server() -> SocketAddr {
    let key = PrivateKeyDer::try_from(KEY.to_vec()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![CertificateDer::from(CERTIFICATE.to_vec())], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut read = Vec::new();
            while !read.ends_with(b"{\"cents\":250}") {
                let mut buffer = [0; 4_096];
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "the call ends too early");
                read.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(YES).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn whoever_proves_to_be_the_host_is_called() {
    let address = secure_server().await;
    let pool = Pool::trusting(&[CERTIFICATE.to_vec()]);
    for _ in 0..3 {
        assert_eq!(pool.call(call_to(&format!("https://{address}"))).await.unwrap().body, "42");
    }
}

#[tokio::test]
async fn nobody_else_is() {
    let address = secure_server().await;
    let trusting = Pool::trusting(&[CERTIFICATE.to_vec()]);
    // The certificate is for another name than the one that is called.
    let message = failure(trusting.call(call_to(&format!("https://localhost:{}", address.port()))).await);
    assert!(message.contains("no secure connection came about"), "{message}");
    // The machine does not know who has signed it.
    let message = failure(Pool::new().call(call_to(&format!("https://{address}"))).await);
    assert!(message.contains("no secure connection came about") || message.contains("no trusted roots"), "{message}");
    let plain = server(|mut stream, _| Box::pin(async move { stream.write_all(YES).await.unwrap() })).await;
    let message = failure(trusting.call(call_to(&format!("https://{}", plain.address))).await);
    assert!(message.contains("no secure connection came about"), "{message}");
}
