//! The form of the texts that name a place: where to listen, whom to talk to. Nothing is looked up or opened here.

use std::net::{Ipv4Addr, SocketAddr};

/// Whether a text is an address and a port: `127.0.0.1:7430`, `[::1]:7430`, `localhost:7430`.
pub(super) fn is_listen_address(text: &str) -> bool {
    if text.parse::<SocketAddr>().is_ok() {
        return true;
    }
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// A name, or a plain IPv4 address: what is made of numbers only and is no such address would be looked up in vain.
fn is_host(text: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let of_an_address = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    !text.is_empty() && text.bytes().all(of_a_name) && (!text.bytes().all(of_an_address) || text.parse::<Ipv4Addr>().is_ok())
}

/// Whether the client takes a text as the URL of a service: its own parser says so.
pub(super) fn is_service_url(text: &str) -> bool {
    gateway::client::Connection::new(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{is_listen_address, is_service_url};

    #[test]
    fn a_listen_address_has_a_host_and_a_port() {
        for good in ["127.0.0.1:7430", "0.0.0.0:0", "[::1]:7430", "[::]:80", "localhost:1", "shop-1.example:65535"] {
            assert!(is_listen_address(good), "{good}");
        }
        let bad = [
            "",
            "x",
            ":80",
            "7430",
            "localhost:",
            "localhost:65536",
            "localhost:+1",
            "1.2.3:4",
            "999.1.1.1:4",
            "::1:80",
            "[::1]",
            "http://a:1",
            "a b:1",
        ];
        for bad in bad {
            assert!(!is_listen_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_service_url_is_plain_http() {
        assert!(is_service_url("http://127.0.0.1:7430") && is_service_url("http://[::1]:1/behind/proxy"));
        for bad in ["", "foo", "127.0.0.1:7430", "https://shop", "postgres://shop", "http://", "http://user@shop"] {
            assert!(!is_service_url(bad), "{bad}");
        }
    }
}
