//! The check that every request over TCP passes first: does it come from a local program, and not from a
//! browser or a proxy on somebody else's behalf?
//!
//! A page that rebinds its own name to 127.0.0.1 still sends its own name as `Host`; a browser adds `Origin` or
//! `Sec-Fetch-*` on its own; a proxy adds `X-Forwarded-For`, which real IMDS refuses too (contract A.6). Whoever is
//! objected to has the connection closed, so that nothing that came behind is heard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{FORWARDED, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Version};

use crate::model::is_local_address;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// A browser sent it.
    Browser,
    /// It is meant for another host.
    ForeignHost,
    /// Somebody sent it on for somebody else.
    Forwarded,
    /// It names no host, or two.
    UnclearHost,
}

impl Objection {
    /// In words.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "a browser sent the request",
            Self::ForeignHost => "the request names another host",
            Self::Forwarded => "the request was forwarded",
            Self::UnclearHost => "the request names no host, or two",
        }
    }
}

/// Looks for an objection to a request that came over TCP, to the address `own`.
///
/// # Errors
/// The first [`Objection`].
pub(super) fn check(request: &Parts, own: Option<IpAddr>) -> Result<(), Objection> {
    check_origin(request)?;
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        // HTTP/1.0 knows no Host header; a browser always sends one.
        (None, _) if request.version == Version::HTTP_10 => {}
        (None, _) | (Some(_), Some(_)) => return Err(Objection::UnclearHost),
        (Some(host), None) => {
            let host = host.to_str().map_err(|_| Objection::ForeignHost)?;
            check_host(host, own)?;
        }
    }
    // In the absolute form, `GET http://host/path`, the target names the host as well.
    let named = request.uri.authority().map(Authority::as_str);
    named.map_or(Ok(()), |host| check_host(host, own))
}

/// Looks for an objection to a request that came over a Unix socket, where `Host` means nothing.
///
/// # Errors
/// The first [`Objection`].
pub(super) fn check_origin(request: &Parts) -> Result<(), Objection> {
    let has = |name: &HeaderName| request.headers.contains_key(name);
    if has(&FORWARDED) || has(&X_FORWARDED_FOR) {
        Err(Objection::Forwarded)
    } else if has(&ORIGIN) || FETCH_METADATA.iter().any(has) {
        Err(Objection::Browser)
    } else {
        Ok(())
    }
}

/// CRT sends the host without its port (contract A.6), and a forwarded port is another one: any port will do.
fn check_host(host: &str, own: Option<IpAddr>) -> Result<(), Objection> {
    let authority: Authority = host.parse().map_err(|_| Objection::ForeignHost)?;
    let bare = authority.host();
    let address = bare.parse::<Ipv4Addr>().map(IpAddr::from).ok();
    let address = address.or_else(|| bracketed(bare).map(IpAddr::from));
    let is_ours = |address| is_local_address(address) || Some(address) == own;
    let ours = bare.eq_ignore_ascii_case("localhost") || address.is_some_and(is_ours);
    let user = authority.as_str().contains('@');
    let port = host.len() == bare.len() || authority.port().is_some();
    if ours && port && !user { Ok(()) } else { Err(Objection::ForeignHost) }
}

fn bracketed(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What browsers add to every request of a page and no page can remove (W3C, Fetch Metadata).
const FETCH_METADATA: [HeaderName; 4] = [
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-user"),
];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn verdict(target: &str, headers: &[(&str, &str)]) -> Result<(), Objection> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, None)
    }

    #[test]
    fn hosts_that_are_this_machine_pass_with_and_without_port() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9911",
            "127.8.8.8",
            "localhost",
            "LocalHost:1",
            "[::1]",
            "[::1]:9911",
            "169.254.169.254",
            "169.254.170.2:80",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]:80",
        ] {
            assert_eq!(verdict("/", &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn every_other_host_is_foreign() {
        for host in [
            "",
            "evil.example",
            "evil.example:9911",
            "localhost.evil.example",
            "localhost.",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "169.254.169.253",
            "2130706433",
            "0x7f.1",
            "127.1",
            "::1",
            "[::1",
            "[::]",
            "[::ffff:127.0.0.1]",
            "evil@127.0.0.1",
            "evil@127.0.0.1:9911",
            "127.0.0.1:",
            "127.0.0.1:99999",
            "127.0.0.1, evil.example",
        ] {
            assert_eq!(verdict("/", &[("host", host)]), Err(Objection::ForeignHost), "{host}");
        }
    }

    #[test]
    fn the_address_that_the_client_came_to_is_no_foreign_host() {
        let verdict = |host: &str, own: &str| {
            let request = Request::get("/").header("host", host).body(()).unwrap();
            check(&request.into_parts().0, Some(own.parse().unwrap()))
        };
        for (host, own) in [
            ("10.88.0.1", "10.88.0.1"),
            ("10.88.0.1:9912", "10.88.0.1"),
            ("[fd00:88::1]:9912", "fd00:88::1"),
            ("127.0.0.1:9912", "10.88.0.1"),
        ] {
            assert_eq!(verdict(host, own), Ok(()), "{host}");
        }
        for host in ["10.88.0.2", "10.88.0.1.evil.example", "fd00:88::1", "evil.example"] {
            assert_eq!(verdict(host, "10.88.0.1"), Err(Objection::ForeignHost), "{host}");
            assert_eq!(verdict(host, "fd00:88::1"), Err(Objection::ForeignHost), "{host}");
        }
    }

    #[test]
    fn the_host_is_named_once() {
        assert_eq!(verdict("/", &[]), Err(Objection::UnclearHost));
        let twice = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(verdict("/", &twice), Err(Objection::UnclearHost));
        let mut old = Request::get("/").body(()).unwrap();
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check(&old.into_parts().0, None), Ok(()));
    }

    #[test]
    fn an_absolute_target_names_the_host_too() {
        let host = [("host", "127.0.0.1")];
        assert_eq!(verdict("http://127.0.0.1/latest/", &host), Ok(()));
        assert_eq!(verdict("http://evil.example/latest/", &host), Err(Objection::ForeignHost));
    }

    #[test]
    fn browsers_and_proxies_are_turned_away() {
        for (name, objection) in [
            ("x-forwarded-for", Objection::Forwarded),
            ("forwarded", Objection::Forwarded),
            ("origin", Objection::Browser),
            ("sec-fetch-site", Objection::Browser),
            ("sec-fetch-mode", Objection::Browser),
        ] {
            let headers = [("host", "127.0.0.1"), (name, "")];
            assert_eq!(verdict("/", &headers), Err(objection), "{name}");
        }
    }
}
