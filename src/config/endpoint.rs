//! The `[[endpoint]]` tables: where local programs may fetch credentials, and by which protocol.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::model::{Channel, ProfileName, is_local_address, is_private_address};

/// One listener, other than the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// What logs and `status` call it.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// What it serves.
    pub kind: EndpointKind,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// At this address.
    Address(ListenAddress),
    /// On 127.0.0.1, at a free port that is chosen once and kept in the state directory.
    FreePort,
    /// On the sockets that systemd hands over under this `FileDescriptorName=`.
    Socket(String),
}

/// What an endpoint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointKind {
    /// The container credentials endpoint; the ticket names the profile.
    Container,
    /// The EC2 instance metadata service.
    Imds {
        /// The caller gets the first that it may have.
        profiles: Vec<ProfileName>,
        /// Which versions of the protocol are served.
        http_tokens: HttpTokens,
    },
    /// Metrics and health.
    Metrics,
}

impl EndpointKind {
    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Imds { .. } => "imds",
            Self::Metrics => "metrics",
        }
    }
}

/// Whether a metadata client must fetch a token first; AWS's own `HttpTokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpTokens {
    /// No: `IMDSv1` is served too.
    Optional,
    /// Yes: `IMDSv2` only.
    Required,
}

/// An address that only this machine reaches, or its neighbours do: a loopback one, one of those that EC2 and ECS use for
/// metadata and credentials (169.254.169.254, 169.254.170.2, `fd00:ec2::254`, `fd00:ec2::23`), or a private one, such as a
/// bridge to containers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress(SocketAddr);

impl ListenAddress {
    /// `address`, if it is one of those; `None` for any other.
    #[must_use]
    pub fn new(address: SocketAddr) -> Option<Self> {
        let ip = address.ip();
        (is_local_address(ip) || is_private_address(ip)).then_some(Self(address))
    }

    /// Whether neighbours reach it, too.
    #[must_use]
    pub fn is_shared(self) -> bool {
        !is_local_address(self.0.ip())
    }

    /// The address.
    #[must_use]
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An endpoint whose profiles are still names.
#[derive(Debug)]
pub(super) struct Raw {
    name: String,
    listen: Listen,
    kind: RawKind,
}

#[derive(Debug)]
enum RawKind {
    Container,
    Imds { profiles: Vec<At<String>>, http_tokens: HttpTokens },
    Metrics,
}

impl Raw {
    /// The endpoint that is there when the file names none.
    pub(super) fn default_container() -> Self {
        Self { name: "local".to_owned(), listen: Listen::FreePort, kind: RawKind::Container }
    }

    /// Puts resolved names in the place of what was written; `resolve` takes down those that are no good.
    pub(super) fn resolve(
        self,
        resolve: impl Fn(&At<String>) -> Option<ProfileName>,
    ) -> EndpointConfig {
        let kind = match self.kind {
            RawKind::Container => EndpointKind::Container,
            RawKind::Imds { profiles, http_tokens } => EndpointKind::Imds {
                profiles: profiles.iter().filter_map(resolve).collect(),
                http_tokens,
            },
            RawKind::Metrics => EndpointKind::Metrics,
        };
        EndpointConfig { name: self.name, listen: self.listen, kind }
    }
}

/// Reads all `[[endpoint]]` tables.
pub(super) fn read(node: &Node<'_>, context: &Context<'_>) -> Vec<Raw> {
    let Some(items) =
        node.items("tables", "write each endpoint under [[endpoint]], with two brackets")
    else {
        return Vec::new();
    };
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    let mut endpoints = Vec::new();
    for item in items {
        let Some(table) = item.table() else { continue };
        let Some((endpoint, name_span, place_span)) = read_one(table, context) else { continue };
        let place = match &endpoint.listen {
            Listen::Address(address) => Some(format!("the address {address}")),
            Listen::FreePort => None,
            Listen::Socket(socket) => Some(format!("the socket {}", quoted(socket))),
        };
        let name = format!("the name {}", quoted(&endpoint.name));
        unique(&mut names, &name, &name_span, context);
        if let Some(place) = place {
            unique(&mut places, &place, &place_span, context);
        }
        endpoints.push(endpoint);
    }
    let has_container =
        endpoints.iter().any(|endpoint| matches!(endpoint.kind, RawKind::Container));
    if !has_container && !endpoints.is_empty() {
        let title = "no container endpoint: `credbroker exec` and `credbroker env` will not work";
        let fault = Fault::warning(node.key_span.clone(), title);
        context.findings.add(fault.help("add an [[endpoint]] with kind = \"container\"").absence());
    }
    endpoints
}

fn read_one(mut table: Cursor<'_>, context: &Context<'_>) -> Option<(Raw, Span, Span)> {
    let kind = table.string("kind");
    let name = table.string("name");
    let address = table.string("address");
    let socket = table.string("socket");
    let profiles = table.take("profiles");
    let http_tokens = table.string("http_tokens");
    let span = table.span.clone();
    table.finish(|_| None);

    let Some(kind) = kind else {
        let fault = Fault::error(span, "an endpoint without `kind`");
        let help = "write kind = \"container\", kind = \"imds\" or kind = \"metrics\"";
        context.findings.add(fault.help(help).absence());
        return None;
    };
    let is_imds = kind.value == "imds";
    if !is_imds && !matches!(kind.value.as_str(), "container" | "metrics") {
        let title = format!("there is no kind {}", quoted(&kind.value));
        let help = "write \"container\", \"imds\" or \"metrics\"";
        context.findings.add(Fault::error(kind.span, title).help(help));
        return None;
    }
    let place = address.as_ref().or(socket.as_ref()).map(|at| at.span.clone());
    let place_span = place.unwrap_or_else(|| kind.span.clone());
    let name_span = name.as_ref().map_or_else(|| kind.span.clone(), |name| name.span.clone());
    let name = name.map_or_else(|| kind.value.clone(), |name| checked_name(name, context));
    // A fault that is taken down keeps nothing else from being looked at: whatever stands here is not used.
    let listen = listen(address, socket, &kind, context).unwrap_or(Listen::FreePort);
    let kind = if is_imds {
        let profiles = imds_profiles(profiles, &kind, context).unwrap_or_default();
        RawKind::Imds { profiles, http_tokens: tokens(http_tokens, context) }
    } else {
        for (key, span) in [
            ("profiles", profiles.map(|node| node.key_span)),
            ("http_tokens", http_tokens.map(|at| at.span)),
        ] {
            if let Some(span) = span {
                let (article, help) = if kind.value == "metrics" {
                    ("a metrics", "take it out: it lends nothing")
                } else {
                    (
                        "a container",
                        "take it out: the ticket that a client brings names the profile",
                    )
                };
                let title = format!("{article} endpoint takes no `{key}`");
                context.findings.add(Fault::error(span, title).help(help));
            }
        }
        if kind.value == "metrics" { RawKind::Metrics } else { RawKind::Container }
    };
    Some((Raw { name, listen, kind }, name_span, place_span))
}

fn checked_name(name: At<String>, context: &Context<'_>) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !((1..=64).contains(&name.value.len()) && name.value.chars().all(legal)) {
        let title = "an endpoint's name has 1 to 64 letters, digits and -_.";
        context.findings.add(Fault::error(name.span, title).help("choose another name"));
    } else if name.value == Channel::Control.as_str() {
        let title = "the control socket has this name already";
        context.findings.add(Fault::error(name.span, title).help("choose another name"));
    }
    name.value
}

fn listen(
    address: Option<At<String>>,
    socket: Option<At<String>>,
    kind: &At<String>,
    context: &Context<'_>,
) -> Option<Listen> {
    match (address, socket) {
        (Some(address), None) => listen_address(&address, kind, context),
        (None, Some(socket)) => listen_socket(socket, context),
        (None, None) if kind.value == "container" => Some(Listen::FreePort),
        (None, None) => {
            let (title, address) = if kind.value == "imds" {
                ("an IMDS endpoint without an address", "127.0.0.1:9912")
            } else {
                ("a metrics endpoint without an address", "127.0.0.1:9913")
            };
            let help = format!(
                "write address = \"{address}\", or socket = \"NAME\" for a socket of systemd's"
            );
            let fault = Fault::error(kind.span.clone(), title);
            context.findings.add(fault.help(help).absence());
            None
        }
        (Some(_), Some(socket)) => {
            let fault =
                Fault::error(socket.span, "an endpoint has either an `address` or a `socket`");
            context.findings.add(fault.help("keep one of them"));
            None
        }
    }
}

fn listen_address(
    address: &At<String>,
    kind: &At<String>,
    context: &Context<'_>,
) -> Option<Listen> {
    let fault = |title: String| Fault::error(address.span.clone(), title);
    let Ok(parsed) = address.value.parse::<SocketAddr>() else {
        let title = format!("{} is no address", quoted(&address.value));
        context
            .findings
            .add(fault(title).help("write an IP address and a port, such as \"127.0.0.1:9911\""));
        return None;
    };
    let Some(local) = ListenAddress::new(parsed) else {
        let title = format!("{} can be reached from other machines", parsed.ip());
        let help = "use 127.0.0.1 or [::1] (or 169.254.169.254, 169.254.170.2, [fd00:ec2::254], [fd00:ec2::23]); for containers the private address of their bridge";
        context.findings.add(fault(title).help(help));
        return None;
    };
    if kind.value == "metrics" && local.is_shared() {
        let title = format!("{} can be reached from other machines", parsed.ip());
        let help = "use 127.0.0.1 or [::1]: a metrics endpoint asks nobody who it is";
        context.findings.add(fault(title).help(help));
        return None;
    }
    if parsed.port() == 0 {
        let help =
            "name a port; a container endpoint without `address` gets a free one and keeps it";
        context
            .findings
            .add(fault("port 0 would be another port at each start".to_owned()).help(help));
        return None;
    }
    Some(Listen::Address(local))
}

/// systemd's own rule for `FileDescriptorName=`: up to 255 visible ASCII characters without a colon.
fn listen_socket(socket: At<String>, context: &Context<'_>) -> Option<Listen> {
    let legal = |b: u8| b.is_ascii_graphic() && b != b':';
    if (1..=255).contains(&socket.value.len()) && socket.value.bytes().all(legal) {
        return Some(Listen::Socket(socket.value));
    }
    let fault = Fault::error(socket.span, "this is no name that systemd gives to a socket");
    context.findings.add(fault.help("write the FileDescriptorName= of the .socket unit"));
    None
}

fn imds_profiles(
    profiles: Option<Node<'_>>,
    kind: &At<String>,
    context: &Context<'_>,
) -> Option<Vec<At<String>>> {
    let help = "write profiles = [\"NAME\"]: a caller gets the first that it may have";
    let Some(profiles) = profiles else {
        let fault = Fault::error(kind.span.clone(), "an IMDS endpoint without `profiles`");
        context.findings.add(fault.help(help).absence());
        return None;
    };
    let names = profiles.strings()?;
    if names.value.is_empty() {
        let fault = Fault::error(names.span, "an IMDS endpoint with no profile");
        context.findings.add(fault.help(help).absence());
        return None;
    }
    Some(names.value)
}

fn tokens(http_tokens: Option<At<String>>, context: &Context<'_>) -> HttpTokens {
    match http_tokens {
        Some(text) if text.value == "optional" => HttpTokens::Optional,
        Some(text) if text.value != "required" => {
            let title = format!("`http_tokens` is never {}", quoted(&text.value));
            let fault = Fault::error(text.span, title);
            context.findings.add(fault.help("write \"required\" (IMDSv2 only) or \"optional\""));
            HttpTokens::Required
        }
        Some(_) | None => HttpTokens::Required,
    }
}

fn unique(seen: &mut BTreeSet<String>, what: &str, span: &Span, context: &Context<'_>) {
    if !seen.insert(what.to_owned()) {
        let fault = Fault::error(span.clone(), format!("two endpoints have {what}"));
        context.findings.add(fault.help("give each its own"));
    }
}
