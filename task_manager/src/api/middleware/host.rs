//! The host name and port by which a client addresses the server (RFC 9112, section 3.2).
//!
//! By hand: tower-http has no layer for this, and `Host` of the crate `headers` reads the first of
//! several headers and accepts user information in them.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::{HeaderMap, Uri, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Error;

/// The default port of `http`.
const DEFAULT_PORT: u16 = 80;
/// The maximum length of a DNS name, in characters.
const LONGEST_NAME: usize = 253;

/// A name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: Name,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// In lower case.
    Dns(String),
}

impl Host {
    /// Parses `host[:port]`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_or_port(text, DEFAULT_PORT)
    }

    /// The same with another default port.
    pub fn parse_or_port(text: &str, default_port: u16) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                (Name::V6(address.parse().ok()?), port)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, port) = text.split_at(end);
                (dns_or_v4(name)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => default_port,
            None => return None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
            Some(_) => return None,
        };
        (port > 0).then_some(Self { name, port })
    }

    /// Parses the host of an `http` origin, such as `http://localhost:5000`.
    pub fn of_origin(text: &str) -> Option<Self> {
        let (scheme, host) = text.split_once("://")?;
        scheme.eq_ignore_ascii_case("http").then(|| Self::parse(host)).flatten()
    }

    /// Whether it names this machine and cannot name another one.
    pub fn is_this_machine(&self) -> bool {
        match &self.name {
            Name::V4(address) => address.is_loopback(),
            Name::V6(address) => address.is_loopback(),
            Name::Dns(name) => name == "localhost",
        }
    }
}

fn dns_or_v4(text: &str) -> Option<Name> {
    if let Ok(address) = text.parse() {
        return Some(Name::V4(address));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = text.len() <= LONGEST_NAME && text.split('.').all(is_label);
    is_name.then(|| Name::Dns(text.to_ascii_lowercase()))
}

/// Refuses a request that names no host, more than one, or two different ones: a proxy in front of
/// this server may have used the other one.
pub async fn one_host(request: Request, next: Next) -> Response {
    match check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(reason) => Error::BadRequest(reason.to_owned()).into_response(),
    }
}

fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut given = headers.get_all(header::HOST).iter();
    let host = match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().map_err(|_| "The Host header is not ASCII text.")?,
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        (None, _) => return Err("The request has no Host header."),
        (Some(_), Some(_)) => return Err("The request has more than one Host header."),
    };
    // A target in absolute form names the host too.
    match uri.authority().map(|authority| Host::parse(authority.as_str())) {
        Some(target) if target.is_none() || target != Host::parse(host) => {
            Err("The request's target and its Host header name different hosts.")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        let loopback = Name::V6(Ipv6Addr::LOCALHOST);
        let dns = |name: &str| Name::Dns(name.to_owned());
        for (text, name, port) in [
            ("localhost", dns("localhost"), 80),
            ("LocalHost:5000", dns("localhost"), 5000),
            ("127.0.0.1:80", Name::V4(Ipv4Addr::LOCALHOST), 80),
            ("[::1]", loopback.clone(), 80),
            ("[0:0:0:0:0:0:0:1]:65535", loopback, 65535),
            ("tasks.example:00080", dns("tasks.example"), 80),
            ("task_manager-1:5000", dns("task_manager-1"), 5000),
        ] {
            assert_eq!(Host::parse(text), Some(Host { name, port }), "{text}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for text in [
            "",
            ":",
            ":5000",
            ".",
            "localhost.",
            ".localhost",
            "a..b",
            "a b",
            " localhost",
            "localhost ",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            "localhost:-1",
            "localhost:+80",
            "localhost:80:80",
            "localhost:5000.evil.example",
            "localhost:5000@evil.example",
            "x@localhost",
            "x:y@localhost:5000",
            "[localhost]",
            "[127.0.0.1]",
            "[::1",
            "::1",
            "::1]",
            "[::1]x",
            "[::1]5000",
            "[::1]:",
            "[::1].evil.example",
            "[[::1]]",
            "[::1%lo]",
            "localhost/",
            "localhost#",
            "localhost,evil.example",
            "löcalhost",
            "local%68ost",
        ] {
            assert_eq!(Host::parse(text), None, "{text:?}");
        }
        assert_eq!(Host::parse(&"a".repeat(254)), None);
    }

    #[test]
    fn this_machine_is_localhost_or_a_loopback_address() {
        for text in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.255.1.2:5", "[::1]:5000"] {
            assert!(Host::parse(text).unwrap().is_this_machine(), "{text}");
        }
        for text in [
            "localhost.evil.example",
            "evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0.0.0.0",
            "0177.0.0.1",
            "2130706433",
            "0x7f.0.0.1",
            "[::]",
            "[::2]",
            "10.0.0.1",
        ] {
            assert!(!Host::parse(text).unwrap().is_this_machine(), "{text}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let check = |version, target: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            check(version, &target.parse().unwrap(), &headers).is_ok()
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, target, hosts) in [
            (new, "/v1/tasks", &["localhost:5000"][..]),
            (new, "/v1/tasks", &["anything else"]),
            (new, "http://localhost:5000/", &["LOCALHOST:5000"]),
            (new, "http://localhost/", &["localhost:80"]),
            (new, "http://[::1]:5000/", &["[0::1]:5000"]),
            (old, "/", &[]),
            (old, "http://localhost/", &[]),
        ] {
            assert!(check(version, target, hosts), "{target} {hosts:?}");
        }
        for (version, target, hosts) in [
            (new, "/", &[][..]),
            (new, "/", &["localhost", "localhost"]),
            (old, "/", &["localhost", "evil.example"]),
            (new, "http://evil.example/", &["localhost"]),
            (new, "http://localhost:5001/", &["localhost:5000"]),
            (new, "http://localhost/", &[""]),
            (new, "http://x@localhost/", &["localhost"]),
            (new, "http://x@localhost/", &["x@localhost"]),
        ] {
            assert!(!check(version, target, hosts), "{target} {hosts:?}");
        }
    }
}
