//! An OpenID provider as the source of tokens: `web_identity_token = { oidc = { ... } }`.

use std::sync::Arc;

use http::Uri;

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node, nearest};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::secret;
use crate::config::sts::read_ca_bundle;
use crate::config::url;
use crate::model::{OidcClient, OidcGrant, OidcToken, SecretSource};

/// Reads the table of an `oidc` client.
pub(super) fn read(node: &Node<'_>, context: &Context<'_>) -> Option<OidcClient> {
    let mut table = node.table()?;
    let place = table.span.clone();
    let issuer = needed(&mut table, "issuer", "https://sso.example/realms/demo", context)
        .and_then(|text| issuer(&text, context));
    let client_id = needed(&mut table, "client_id", "broker", context);
    let secret_node = table.take("client_secret");
    let refresh_node = table.take("refresh_token");
    let read_secret = |node: &Node<'_>| secret::read(node, context).ok_or(TakenDown);
    let secret = secret_node.as_ref().map(read_secret).transpose();
    let refresh = refresh_node.as_ref().map(read_secret).transpose();
    let grant_node = table.take("grant");
    let scope = text(&mut table, "scope", context);
    let audience = text(&mut table, "audience", context);
    let token = table.take("token");
    let ca_bundle = table.string("ca_bundle").map(|path| {
        let path = context.absolute(&path).ok_or(TakenDown)?;
        read_ca_bundle(path, context).map(|path| path.value).ok_or(TakenDown)
    });
    table.finish(|_| None);

    let secret_given = secret_node.is_some();
    let grant = Written { node: grant_node, secret_given, refresh, refresh_node, place };
    let grant = grant.read(context);
    let token = token.map_or(Some(OidcToken::Access), |node| choice(&node, TOKENS, context));
    let client = OidcClient {
        issuer: issuer?,
        client_id: client_id?.value.into(),
        client_secret: secret.ok()?.map(|secret| secret.value),
        grant: grant?,
        scope: scope.ok()?,
        audience: audience.ok()?,
        token: token?,
        ca_bundle: ca_bundle.transpose().ok()?,
    };
    if client.token == OidcToken::Id && !asks_for_openid(&client) {
        let title = "an id token is given for the scope `openid` alone";
        let fault = Fault::warning(node.span.clone(), title);
        context.findings.add(fault.help("add scope = \"openid\""));
    }
    Some(client)
}

/// There is a fault, and it has been taken down.
struct TakenDown;

/// What decides on the grant.
struct Written<'n> {
    node: Option<Node<'n>>,
    secret_given: bool,
    refresh: Result<Option<At<SecretSource>>, TakenDown>,
    refresh_node: Option<Node<'n>>,
    place: Span,
}

impl Written<'_> {
    /// The grant that is named, or else the only one that can be meant.
    fn read(self, context: &Context<'_>) -> Option<OidcGrant> {
        let fault = |span: &Span, title: &str, help: &str| {
            context.findings.add(Fault::error(span.clone(), title).help(help));
            None
        };
        let (grant, span) = match &self.node {
            Some(node) => (choice(node, GRANTS, context)?, node.span.clone()),
            None if self.refresh_node.is_some() => (Grant::Refresh, self.place),
            None if self.secret_given => (Grant::Client, self.place),
            None => {
                return fault(
                    &self.place,
                    "nothing to get a token with",
                    "add client_secret = { file = \"...\" }, refresh_token = { file = \"...\" }, or \
                     grant = \"device_code\" for a person who signs in",
                );
            }
        };
        if grant != Grant::Refresh
            && let Some(node) = &self.refresh_node
        {
            let help = "write grant = \"refresh_token\", or take it out";
            return fault(
                &node.key_span,
                "a refresh token is used by the grant `refresh_token` alone",
                help,
            );
        }
        match (grant, self.refresh.ok()?) {
            (Grant::Client, _) if !self.secret_given => {
                let help = "add client_secret = { file = \"...\" }";
                fault(&span, "client credentials without a client_secret", help)
            }
            (Grant::Client, _) => Some(OidcGrant::ClientCredentials),
            (Grant::Device, _) => Some(OidcGrant::DeviceCode),
            (Grant::Refresh, Some(source)) => Some(OidcGrant::RefreshToken(source.value)),
            (Grant::Refresh, None) => {
                let help = "add refresh_token = { file = \"...\" }";
                fault(&span, "the grant `refresh_token` without a refresh_token", help)
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Grant {
    Client,
    Device,
    Refresh,
}

/// A string that must be there and say something.
fn needed(
    table: &mut Cursor<'_>,
    key: &'static str,
    example: &str,
    context: &Context<'_>,
) -> Option<At<String>> {
    let Some(node) = table.take(key) else {
        let title = format!("an OpenID client without {}", quoted(key));
        let fault = Fault::error(table.span.clone(), title);
        context.findings.add(fault.help(format!("add {key} = \"{example}\"")).absence());
        return None;
    };
    let text = node.string()?;
    if text.value.is_empty() || text.value.chars().any(char::is_control) {
        return node.wrong("a text that says something", &format!("write {key} = \"{example}\""));
    }
    Some(text)
}

/// A string that may be there.
fn text(
    table: &mut Cursor<'_>,
    key: &'static str,
    context: &Context<'_>,
) -> Result<Option<Arc<str>>, TakenDown> {
    let Some(node) = table.take(key) else { return Ok(None) };
    let text = node.string().ok_or(TakenDown)?;
    if text.value.trim().is_empty() || text.value.chars().any(char::is_control) {
        let fault = Fault::error(text.span, format!("{} says nothing", quoted(key)));
        context.findings.add(fault.help("take it out, or write what the provider knows"));
        return Err(TakenDown);
    }
    Ok(Some(text.value.trim().into()))
}

/// An https URL, or one by http on this machine itself, exactly as the provider writes its own name.
fn issuer(text: &At<String>, context: &Context<'_>) -> Option<Arc<str>> {
    let fault = |title: &str, help: &str| {
        context.findings.add(Fault::error(text.span.clone(), title).help(help));
        None
    };
    let form = "write it as the provider does, such as https://sso.example/realms/demo";
    if text.value.ends_with("/.well-known/openid-configuration") {
        return fault(
            "the issuer, not the address of its configuration",
            "end it before /.well-known/",
        );
    }
    let Ok(uri) = text.value.parse::<Uri>() else { return fault("this is no URL", form) };
    let host = uri.host().unwrap_or_default();
    if host.is_empty() || uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return fault("an issuer is a URL with a host, and without a user", form);
    }
    if uri.query().is_some() || text.value.contains('#') {
        return fault("an issuer has no query and no fragment", form);
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if url::is_loopback(host) => {}
        _ => {
            let title = "an issuer is spoken to by https, and by http on this machine alone";
            return fault(title, "write https://, since secrets go there");
        }
    }
    Some(text.value.as_str().into())
}

fn choice<T: Copy>(node: &Node<'_>, known: &[(&str, T)], context: &Context<'_>) -> Option<T> {
    let text = node.string()?;
    let found = known.iter().find(|(word, _)| *word == text.value);
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let help = match nearest(&text.value, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("write one of {}", words.join(", ")),
        };
        let title = format!("{} is no {} that is known", quoted(&text.value), quoted(node.key));
        context.findings.add(Fault::error(text.span, title).help(help));
    }
    found.map(|(_, value)| *value)
}

fn asks_for_openid(client: &OidcClient) -> bool {
    let scope = client.scope.as_deref().unwrap_or_default();
    // A refresh token brings the scope that it was given for.
    matches!(client.grant, OidcGrant::RefreshToken(_)) && scope.is_empty()
        || scope.split_whitespace().any(|it| it == "openid")
}

const GRANTS: &[(&str, Grant)] = &[
    ("client_credentials", Grant::Client),
    ("refresh_token", Grant::Refresh),
    ("device_code", Grant::Device),
];

const TOKENS: &[(&str, OidcToken)] = &[("access", OidcToken::Access), ("id", OidcToken::Id)];
