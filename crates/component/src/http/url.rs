//! The address of a call: `http[s]://host[:port][/path][?query]`, and the destination in it.

use crate::limits::CALL_URL_BYTES_MAX;

/// An address that can be called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Scheme, host and port, in one spelling: `https://pay.example`.
    pub(super) destination: String,
    /// The destination, the path and the query.
    pub(super) url: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.len() > CALL_URL_BYTES_MAX {
            return Err(format!("the address has {} bytes; at most {CALL_URL_BYTES_MAX} are sent", url.len()));
        }
        let (scheme, rest) = url.split_once("://").ok_or("is no address; write it like https://pay.example/charges")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let destination = destination(&scheme.to_ascii_lowercase(), authority)?;
        check_path(path)?;
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { url: [&destination, slash, path].concat(), destination })
    }
}

/// The destination that somebody has named by scheme, host and port alone.
pub(crate) fn named_destination(address: &str) -> Result<String, String> {
    let Target { destination, url } = Target::parse(address)?;
    if url.len() > destination.len() + "/".len() {
        return Err(format!("is more than scheme, host and port; write {destination}"));
    }
    Ok(destination)
}

fn destination(scheme: &str, authority: &str) -> Result<String, String> {
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        other => return Err(format!("`{other}` is not called; write http:// or https://")),
    };
    if authority.contains('@') {
        return Err("has a user in it; leave it out, and say who calls with a header".to_owned());
    }
    let (host, port) = split_port(authority)?;
    check_host(host)?;
    let host = host.to_ascii_lowercase();
    let port = match port {
        None => default_port,
        // It is not shown: it may be the password of somebody's address, cut at a letter that ends the host.
        Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).ok_or("has behind the host's `:` what is no port")?,
    };
    Ok(if port == default_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") })
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    let host_end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']').ok_or("has a `[` without its `]`")? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    match port.strip_prefix(':') {
        // RFC 3986 section 3.2.3: a port may be empty, and means the default then.
        Some("") => Ok((host, None)),
        Some(port) => Ok((host, Some(port))),
        None if port.is_empty() => Ok((host, None)),
        None => Err(format!("`{port}` is no port")),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fits = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    if fits { Ok(()) } else { Err(format!("`{host}` is no host; write other letters than a-z in their xn-- form")) }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.contains('#') {
        return Err("has a fragment, which is never sent; leave it out".to_owned());
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    match path.bytes().position(|byte| !fits(byte)) {
        None => Ok(()),
        Some(_) => Err("has letters that must be encoded; add such parts with .segment(..) and .query(..)".to_owned()),
    }
}

/// A text as a segment of a path, or a part of a query: everything but RFC 3986's unreserved letters is encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_one_spelling() {
        for (url, destination, sent) in [
            ("https://pay.example/charges?a=1", "https://pay.example", "https://pay.example/charges?a=1"),
            ("HTTPS://Pay.Example:443", "https://pay.example", "https://pay.example/"),
            ("http://pay.example:80?a=1", "http://pay.example", "http://pay.example/?a=1"),
            ("http://127.0.0.1:7430/v1", "http://127.0.0.1:7430", "http://127.0.0.1:7430/v1"),
            ("http://[::1]:7430/", "http://[::1]:7430", "http://[::1]:7430/"),
            ("https://pay.example:/x", "https://pay.example", "https://pay.example/x"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((&*target.destination, &*target.url), (destination, sent), "{url}");
        }
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        for (url, reason) in [
            ("pay.example/charges", "no address"),
            ("ftp://pay.example", "`ftp` is not called"),
            ("file:///etc/passwd", "`file` is not called"),
            ("https://ann:secret@pay.example", "has a user in it"),
            ("https:///charges", "no host"),
            ("https://pay.example:0", "no port"),
            ("https://pay.example:65536", "no port"),
            ("https://ann:secret/@pay.example", "no port"),
            ("https://[::1", "without its `]`"),
            ("https://[pay]/", "no host"),
            ("https://[::1]x/", "no port"),
            ("https://päy.example", "xn--"),
            ("https://pay example/", "no host"),
            ("https://pay.example/a b", ".segment"),
            ("https://pay.example/é", ".segment"),
            ("https://pay.example/#top", "fragment"),
        ] {
            let refused = Target::parse(url).unwrap_err();
            assert!(refused.contains(reason) && !refused.contains("secret"), "{url}: {refused}");
        }
        assert!(Target::parse(&format!("https://pay.example/{}", "a".repeat(CALL_URL_BYTES_MAX))).is_err());
    }

    #[test]
    fn a_destination_is_named_without_a_path() {
        assert_eq!(named_destination("HTTPS://Pay.example:443/").as_deref(), Ok("https://pay.example"));
        assert_eq!(
            named_destination("https://pay.example/v1").unwrap_err(),
            "is more than scheme, host and port; write https://pay.example"
        );
    }

    #[test]
    fn texts_are_encoded_but_for_unreserved_letters() {
        assert_eq!(encoded("a b/c?d=é~._-"), "a%20b%2Fc%3Fd%3D%C3%A9~._-");
    }
}
