//! Where a journal lives: `postgres://user:password@host:port/database?service=shop`, and whether the way there is encrypted.
//!
//! Beyond loopback the server must prove who it is (TLS, the system's trusted roots or those in `sslrootcert`), unless the URL says
//! `sslmode=disable`. A service has a schema of its own, `headwater_shop`, so that many share a database.

use std::path::PathBuf;
use std::str::FromStr as _;

use journal::InvalidError;
use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::limits;

/// The longest name of a service: PostgreSQL cuts names of schemas off behind 63 bytes.
const SERVICE_BYTES_MAX: usize = 63 - "headwater_".len();

/// See the module.
#[derive(Clone, Debug)]
pub struct Address {
    pub(crate) config: Config,
    pub(crate) schema: String,
    pub(crate) service: String,
    pub(crate) roots: Option<PathBuf>,
}

impl Address {
    /// From a URL; its `service` counts before the one that is given.
    ///
    /// # Errors
    /// When it is not such a URL, or names no service.
    pub fn new(url: &str, service: Option<&str>) -> Result<Self, InvalidError> {
        let (front, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut own, mut rest) = (Own { service: service.map(str::to_owned), ..Own::default() }, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !own.take(name, value)? {
                rest.push(part);
            }
        }
        let joined = if rest.is_empty() { front.to_owned() } else { format!("{front}?{}", rest.join("&")) };
        let mut config = Config::from_str(&joined).map_err(|error| invalid(format!("is not one of PostgreSQL: {error}")))?;
        let mode = own.mode.unwrap_or(if is_local(&config) { SslMode::Disable } else { SslMode::Require });
        let application = config.get_application_name().unwrap_or("headwater").to_owned();
        config
            .ssl_mode(mode)
            .application_name(application)
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .tcp_user_timeout(limits::SILENT_PEER)
            .keepalives_idle(limits::SILENT_PEER / 2)
            .keepalives_interval(limits::SILENT_PEER / 4)
            .keepalives_retries(2);
        let service = own.service.ok_or_else(|| invalid("names no service; add ?service=NAME"))?;
        Ok(Self { config, schema: schema(&service)?, service, roots: own.roots })
    }

    /// The same for another service, whatever the URL says.
    ///
    /// # Errors
    /// When it is no name of a service.
    pub fn of_service(self, service: &str) -> Result<Self, InvalidError> {
        Ok(Self { schema: schema(service)?, service: service.to_owned(), ..self })
    }

    /// The schema of the service.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// The parameters that are ours and not the driver's.
#[derive(Default)]
struct Own {
    service: Option<String>,
    mode: Option<SslMode>,
    roots: Option<PathBuf>,
}

impl Own {
    /// Whether the parameter is one of ours.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, InvalidError> {
        match name {
            "service" => self.service = Some(value.to_owned()),
            "sslrootcert" => self.roots = Some(PathBuf::from(percent_decode_str(value).decode_utf8_lossy().as_ref())),
            // Whoever is asked to prove who it is is asked in full.
            "sslmode" => self.mode = Some(mode(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn mode(value: &str) -> Result<SslMode, InvalidError> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(invalid("has an sslmode that is neither `disable` nor `require`")),
    }
}

fn invalid(problem: impl Into<std::borrow::Cow<'static, str>>) -> InvalidError {
    InvalidError::new("engine URL", problem)
}

/// Whether nobody but this machine sees the bytes.
fn is_local(config: &Config) -> bool {
    let name = |host: &Host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    };
    config.get_hosts().iter().all(name) && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

/// Names of services have no `_`, so that no two of them share a schema.
fn schema(service: &str) -> Result<String, InvalidError> {
    let fits = service.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !fits || service.len() > SERVICE_BYTES_MAX {
        return Err(invalid(format!("has a service that does not match [a-z][a-z0-9-]{{0,{}}}", SERVICE_BYTES_MAX - 1)));
    }
    Ok(format!("headwater_{}", service.replace('-', "_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        Address::new(url, None).unwrap_err().to_string()
    }

    #[test]
    fn a_service_has_a_schema_of_its_own() {
        let of = |url: &str, service| Address::new(url, service).unwrap().schema;
        assert_eq!(of("postgres://u@h/db?service=shop-eu", None), "headwater_shop_eu");
        assert_eq!(of("postgres://u@h/db", Some("shop")), "headwater_shop");
        assert_eq!(of("postgres://u@h/db?service=other", Some("shop")), "headwater_other");
        assert!(problem("postgres://u@h/db").contains("?service=NAME"));
        for bad in ["", "Shop", "a_b", "1", &"x".repeat(54)] {
            assert!(problem(&format!("postgres://u@h/db?service={bad}")).contains("does not match"), "{bad}");
        }
    }

    #[test]
    fn beyond_loopback_the_way_is_encrypted_unless_the_url_says_otherwise() {
        let of = |url: &str| Address::new(url, Some("shop")).unwrap().config.get_ssl_mode();
        for local in
            ["postgres://localhost/db", "postgres://127.0.0.1:5433/db", "postgres://[::1]/db", "postgres:///db?host=/run/postgresql"]
        {
            assert_eq!(of(local), SslMode::Disable, "{local}");
        }
        for far in ["postgres://db.example/db", "postgres://10.0.0.1/db", "postgres://localhost,db.example/db"] {
            assert_eq!(of(far), SslMode::Require, "{far}");
        }
        assert_eq!(of("postgres://db.example/db?sslmode=disable"), SslMode::Disable);
        assert_eq!(of("postgres://localhost/db?sslmode=verify-full"), SslMode::Require);
        assert!(problem("postgres://h/db?sslmode=prefer").contains("sslmode"));
    }

    #[test]
    fn what_is_not_ours_goes_to_the_driver() {
        let address = Address::new("postgres://u:p%40w@h:5433/db?service=shop&application_name=x&sslrootcert=%2Fa%20b.pem", None).unwrap();
        assert_eq!((address.config.get_user(), address.config.get_ports()), (Some("u"), &[5433][..]));
        assert_eq!((address.config.get_application_name(), address.config.get_password()), (Some("x"), Some(&b"p@w"[..])));
        assert_eq!(address.roots, Some(PathBuf::from("/a b.pem")));
        assert!(problem("postgres://h/db?service=shop&nothing=1").contains("PostgreSQL"));
        assert!(problem("mysql://h/db?service=shop").contains("PostgreSQL"));
    }
}
