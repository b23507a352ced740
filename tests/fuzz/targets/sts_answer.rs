//! Answers of an STS, good and bad, of AWS's shape, of S3's and of none: a whole session with a life, or a failure that
//! tells no secret.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use credbroker::model::{LongTermKey, Signer};
use credbroker::source::{Codes, Live, Oidc, Source, Sts};
use credbroker_fuzz::{SECRET, clock, now, plan, run};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

/// Gives one answer to whatever is asked.
#[derive(Clone, Debug)]
struct Answer(u16, Vec<u8>);

impl HttpConnector for Answer {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let status =
            StatusCode::try_from(self.0).unwrap_or(StatusCode::try_from(200).expect("a status"));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.1.clone()))))
    }
}

fuzz_target!(|input: (u16, Vec<u8>)| {
    let (status, body) = input;
    let status = [200, 200, 400, 403, 500, 503, 429, 301][usize::from(status) % 8];
    run(async {
        let clock = clock();
        let connector = SharedHttpConnector::new(Answer(status, body));
        let codes = Codes::open(Path::new("/nonexistent"), clock);
        let source = Live::new(Sts::through(clock, connector), codes, Oidc::new(clock));
        let key =
            LongTermKey { access_key_id: "AKIAFUZZ".to_owned(), secret_access_key: SECRET.into() };
        match source.assume(&Signer::LongTerm(Arc::new(key)), &plan().last).await {
            Ok(session) => {
                assert_eq!(status, 200, "an error is no session");
                assert!(!session.access_key_id.is_empty());
                assert!(!session.secret_access_key.expose_secret().is_empty());
                assert!(!session.session_token.expose_secret().is_empty());
                assert!(session.validity.expires() > now(), "it has expired");
                assert!(
                    !format!("{session:?}").contains(session.secret_access_key.expose_secret())
                );
            }
            Err(failure) => {
                assert!(!failure.message.contains(SECRET), "{}", failure.message);
                assert!(failure.message.len() < 4096, "a sentence is short");
            }
        }
    });
});
