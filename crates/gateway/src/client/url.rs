//! The address of a service: `http://host[:port][/path]`.

use http::Uri;
use http::uri::InvalidUri;

use super::{ClientError, ClientErrorKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// For the socket: a host without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// For the `Host` header.
    pub(super) authority: String,
    /// What stands before every path, without a slash at its end.
    pub(super) base: String,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, ClientError> {
        let invalid = |problem: &str| ClientError::new(ClientErrorKind::InvalidUrl, format!("`{url}` {problem}"));
        let uri: Uri = url.parse().map_err(|error: InvalidUri| invalid("is no URL; write it like http://127.0.0.1:7430").because(error))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(invalid("asks for https, which this client does not speak; use http:// over a trusted network or a proxy"));
            }
            _ => return Err(invalid("does not begin with http://; write it like http://127.0.0.1:7430")),
        }
        let authority = uri.authority().ok_or_else(|| invalid("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("has a user in it; leave that out"));
        }
        if uri.query().is_some() {
            return Err(invalid("has a query; leave that out"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(invalid("has no host"));
        }
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            base: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_host_port_and_base() {
        for (url, host, port, base) in [
            ("http://127.0.0.1:7430", "127.0.0.1", 7430, ""),
            ("http://shop.example/", "shop.example", 80, ""),
            ("http://[::1]:7430/behind/proxy/", "::1", 7430, "/behind/proxy"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((&*address.host, address.port, &*address.base), (host, port, base), "{url}");
        }
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        for (url, reason) in [
            ("https://shop.example", "https"),
            ("127.0.0.1:7430", "http://"),
            ("/path", "http://"),
            ("http://ann@shop.example", "user"),
            ("http://shop.example/?a=1", "query"),
            ("http://exa mple", "no URL"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), ClientErrorKind::InvalidUrl);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
