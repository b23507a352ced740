//! A small OpenID provider, whose tokens the sandbox signs: it keeps what it was asked and can be told to misbehave.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use credbroker::model::Clock;
use credbroker::sandbox::{Sandbox, SandboxConfig};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const ISSUER: &str = "https://token.sandbox.example";
pub(crate) const CLIENT_SECRET: &str = "hush%of+the client";
pub(crate) const AUDIENCE: &str = "sts.amazonaws.com";

/// The provider; cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Idp {
    pub(crate) sandbox: Sandbox,
    state: Arc<Mutex<State>>,
}

/// What it does, and what it was asked.
#[derive(Debug)]
pub(crate) struct State {
    /// What its document says.
    pub(crate) document: Value,
    /// How long its tokens live.
    pub(crate) life: Duration,
    pub(crate) gives_id_token: bool,
    /// The refresh tokens that are good, once each.
    pub(crate) refresh: Vec<String>,
    /// What the next polls of a device are answered; at the end, the grant.
    pub(crate) device: Vec<&'static str>,
    /// How long the code of a device is good.
    pub(crate) code_life: u64,
    /// How often a device may ask whether its code has been entered, in seconds.
    pub(crate) interval: u64,
    /// Each answer comes this much later.
    pub(crate) delay: Duration,
    /// What every request is answered while it is set; status zero for nobody there.
    pub(crate) trouble: Option<(u16, String)>,
    /// What every token request is answered while it is set.
    pub(crate) refusal: Option<(u16, String)>,
    pub(crate) asked: Vec<Asked>,
    minted: u64,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) form: BTreeMap<String, String>,
}

impl Idp {
    pub(crate) fn new(clock: Clock) -> Self {
        let sandbox = Sandbox::new(SandboxConfig::parse(SANDBOX).unwrap(), clock);
        let state = State {
            document: json!({
                "issuer": ISSUER,
                "token_endpoint": format!("{ISSUER}/token"),
                "device_authorization_endpoint": format!("{ISSUER}/device"),
            }),
            life: Duration::from_mins(5),
            gives_id_token: true,
            refresh: Vec::new(),
            device: Vec::new(),
            code_life: 600,
            interval: 5,
            delay: Duration::from_millis(50),
            trouble: None,
            refusal: None,
            asked: Vec::new(),
            minted: 0,
        };
        Self { sandbox, state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }

    /// The requests to `path`.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.state().asked.iter().filter(|it| it.path == path).cloned().collect()
    }

    /// Serves on a port of this machine, as the issuer that is returned, until the set is dropped.
    pub(crate) async fn serve(&self) -> (String, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        self.state().document =
            json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/token") });
        let idp = self.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let idp = idp.clone();
                connections.spawn(async move {
                    let service =
                        service_fn(move |request: http::Request<hyper::body::Incoming>| {
                            let idp = idp.clone();
                            async move {
                                let (parts, body) = request.into_parts();
                                let body = body.collect().await.unwrap().to_bytes();
                                let authorization = parts.headers.get("authorization");
                                let authorization =
                                    authorization.map(|it| it.to_str().unwrap().to_owned());
                                let (status, body) =
                                    idp.answer(parts.uri.path(), authorization, &body).unwrap();
                                let answer = http::Response::builder().status(status);
                                let answer = answer.header("content-type", "application/json");
                                Ok::<_, Infallible>(
                                    answer.body(Full::new(Bytes::from(body))).unwrap(),
                                )
                            }
                        });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        (issuer, tasks)
    }

    fn answer(
        &self,
        path: &str,
        authorization: Option<String>,
        body: &[u8],
    ) -> Result<(u16, String), ConnectorError> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let asked = Asked { path: path.to_owned(), authorization, form };
        let mut state = self.state();
        state.asked.push(asked.clone());
        match &state.trouble {
            Some((0, _)) => {
                let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
                return Err(ConnectorError::io(refused.into()));
            }
            Some((status, body)) => return Ok((*status, body.clone())),
            None => {}
        }
        match path {
            "/.well-known/openid-configuration" => Ok((200, state.document.to_string())),
            "/token" => {
                if let Some(refusal) = &state.refusal {
                    return Ok(refusal.clone());
                }
                Ok(match state.grant(&asked) {
                    Ok(refresh) => (200, state.tokens(&self.sandbox, refresh.as_deref())),
                    Err((status, error)) => (status, json!({ "error": error }).to_string()),
                })
            }
            "/device" => {
                let (code_life, interval) = (state.code_life, state.interval);
                Ok((
                    200,
                    json!({
                        "device_code": "the-device-code",
                        "user_code": "WDJB-MJHT",
                        "verification_uri": "https://token.sandbox.example/activate",
                        "verification_uri_complete": "https://token.sandbox.example/activate?c=WDJB-MJHT",
                        "expires_in": code_life,
                        "interval": interval,
                    })
                    .to_string(),
                ))
            }
            _ => Ok((404, "<html>not here</html>".to_owned())),
        }
    }
}

impl State {
    /// Whether the request is granted, and the refresh token that goes with it.
    fn grant(&mut self, asked: &Asked) -> Result<Option<String>, (u16, &'static str)> {
        let is = |key: &str, value: &str| asked.form.get(key).is_some_and(|it| it == value);
        match asked.form["grant_type"].as_str() {
            "client_credentials" => {
                let basic = "Basic ".to_owned() + &STANDARD.encode("broker:hush%25of%2Bthe+client");
                let shown = asked.authorization.as_ref().is_some_and(|it| *it == basic)
                    || is("client_id", "broker") && is("client_secret", CLIENT_SECRET);
                if shown { Ok(None) } else { Err((401, "invalid_client")) }
            }
            "refresh_token" => {
                let shown = &asked.form["refresh_token"];
                let place = self.refresh.iter().position(|good| good == shown);
                let place = place.ok_or((400, "invalid_grant"))?;
                self.refresh.remove(place);
                let next = format!("refresh-{}", self.minted);
                self.refresh.push(next.clone());
                Ok(Some(next))
            }
            "urn:ietf:params:oauth:grant-type:device_code" => {
                if !is("device_code", "the-device-code") {
                    return Err((400, "invalid_grant"));
                }
                if !self.device.is_empty() {
                    return Err((400, self.device.remove(0)));
                }
                let next = format!("refresh-{}", self.minted);
                self.refresh.push(next.clone());
                Ok(Some(next))
            }
            _ => Err((400, "unsupported_grant_type")),
        }
    }

    fn tokens(&mut self, sandbox: &Sandbox, refresh: Option<&str>) -> String {
        self.minted += 1;
        let mint = |subject: &str| {
            let token = sandbox.mint_token(ISSUER, subject, AUDIENCE, self.life).unwrap();
            token.expose_secret().to_owned()
        };
        let access = mint(&format!("app-{}", self.minted));
        let mut answer = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.life.as_secs(),
            "refresh_token": refresh,
        });
        if self.gives_id_token {
            answer["id_token"] = mint("person").into();
        }
        answer.to_string()
    }
}

impl HttpConnector for Idp {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let idp = self.clone();
        HttpConnectorFuture::new(async move {
            let delay = idp.state().delay;
            tokio::time::sleep(delay).await;
            let path = request.uri().strip_prefix(ISSUER).unwrap_or("/elsewhere").to_owned();
            let authorization = request.headers().get("authorization").map(ToOwned::to_owned);
            let body = request.body().bytes().unwrap_or_default();
            let (status, body) = idp.answer(&path, authorization, body)?;
            let mut answer =
                HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
            answer.headers_mut().insert("content-type", "application/json;charset=UTF-8");
            Ok(answer)
        })
    }
}

const SANDBOX: &str = r#"
[[role]]
name                 = "Workload"
max_session_duration = "12h"
[role.trust]
provider = "https://token.sandbox.example"

[[provider]]
issuer     = "https://token.sandbox.example"
client_ids = ["sts.amazonaws.com"]
key        = "generated"
"#;
