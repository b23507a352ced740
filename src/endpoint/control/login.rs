//! What people do over the control socket: they see what waits for them, log in and out, and take a code.

use std::time::SystemTime;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};

use crate::broker::{Consent, Errand, Held, Need, Unavailable};
use crate::endpoint::control::refusal::{Denied, bad_request, misconfigured, unavailable};
use crate::endpoint::control::wire::{
    ErrorBody, LoginRequest, LoginStep, Reason, SignedOut, Waiting, WaitingList,
};
use crate::endpoint::control::{Control, PATIENCE, answer};
use crate::endpoint::desk::{Empty, Granted};
use crate::endpoint::render::{self, Value};
use crate::endpoint::reply::{self, Reply};
use crate::model::{Call, Caller, ProfileName, timestamp};
use crate::policy::Action;

impl Control {
    /// What waits for people, as far as the caller may answer it.
    pub(super) fn waiting(&self, caller: &Caller) -> WaitingList {
        let names = self.names(caller, Action::Login);
        let waiting = self.desk.broker().waiting().into_iter();
        let waiting = waiting.map(|errand| view(errand, &names));
        WaitingList { waiting: waiting.filter(|it| !it.profiles.is_empty()).collect() }
    }

    /// Takes a code, or says what is still to be done.
    pub(super) async fn login(
        &self,
        granted: &Granted,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Reply, Denied> {
        let wish = if body.is_empty() {
            LoginRequest::default()
        } else {
            serde_json::from_slice(body).map_err(|_| bad_request("the body is no login"))?
        };
        let profile = &granted.plan.profile;
        let Some(errand) = self.desk.broker().errand(&granted.grant) else {
            return match wish.code {
                None => self.elsewhere(granted).await,
                Some(_) => Err(misconfigured(
                    "NoPrompt",
                    format!(
                        "`{profile}` takes no code from a person; `credbroker check` shows its plan"
                    ),
                )
                .into()),
            };
        };
        let step = match (&errand.need, wish.code) {
            (Need::Code(_), None) => {
                let names = self.names(caller, Action::Login);
                LoginStep::Code(view(errand, &names))
            }
            (Need::Code(_), Some(code)) => {
                let held = self.desk.broker().answer(&granted.grant, code, PATIENCE).await;
                let held = held.map_err(|why| refused(why, profile))?;
                held.map_or(LoginStep::Nothing, |held| self.done(granted, caller, &held))
            }
            (Need::Consent(_), code) => {
                if code.is_some() {
                    let text = "this login takes no code here, but in a browser";
                    return Err(bad_request(text).into());
                }
                let consent = self.desk.broker().authorize(&granted.grant, PATIENCE).await;
                match consent.map_err(|why| refused(why, profile))? {
                    None => LoginStep::Nothing,
                    Some(Consent::Given(held)) => self.done(granted, caller, &held),
                    Some(Consent::Asked(asked)) => LoginStep::Authorize {
                        waiting: view(errand, &self.names(caller, Action::Login)),
                        verification_uri: asked.verification_uri,
                        verification_uri_complete: asked.verification_uri_complete,
                        user_code: asked.user_code,
                        expires: timestamp(asked.expires),
                    },
                }
            }
        };
        Ok(answer(&step))
    }

    /// The answer where no person acts here: what they do with another tool, as for `aws sso login`, is looked for anew,
    /// and its remedy passed on.
    async fn elsewhere(&self, granted: &Granted) -> Result<Reply, Denied> {
        let provided = granted.plan.hops().any(|hop| matches!(hop.call, Call::Provided(_)));
        let lease = self.desk.lease(granted).filter(|_| provided);
        let now = self.desk.broker().clock().now();
        if let Some(lease) = lease.filter(|lease| lease.view().usable(now).is_none())
            && let Err(why) = lease.refresh(PATIENCE).await
        {
            return Err(refused(why, &granted.plan.profile).into());
        }
        Ok(answer(&LoginStep::Nothing))
    }

    /// Ends the sessions that a profile stands on.
    pub(super) async fn log_out(&self, granted: &Granted, caller: &Caller) {
        self.desk.broker().sign_out(&granted.grant).await;
        self.desk.note_deed(caller, &granted.plan.profile, "logged out");
    }

    /// Ends the sessions of all that the caller manages; where that is everything, every ticket too.
    pub(super) async fn log_out_of_all(&self, caller: &Caller) -> Result<Reply, Denied> {
        let all = self.desk.broker().plans();
        let names = all.iter().map(|plan| plan.profile.clone());
        let managed: Vec<_> = self.desk.open_to(caller, Action::Manage, names).collect();
        if managed.is_empty() {
            return Err(ErrorBody {
                reason: Reason::Forbidden,
                code: "AccessDenied".to_owned(),
                message: "no profile is yours to manage; ask who runs the daemon".to_owned(),
                retry_after_seconds: None,
            }
            .into());
        }
        let tickets_ended = managed.len() == all.len();
        if tickets_ended {
            let epoch = self.epoch.clone();
            let raised = tokio::task::spawn_blocking(move || epoch.raise()).await;
            if !matches!(raised, Ok(Ok(()))) {
                return Err(misconfigured(
                    "Epoch",
                    "every ticket is ended, but that cannot be written to the state directory and is \
                     forgotten with the next start; make room there, and log out again",
                )
                .into());
            }
        }
        for granted in &managed {
            self.log_out(granted, caller).await;
        }
        let profiles = managed.iter().map(|granted| granted.plan.profile.to_string()).collect();
        Ok(answer(&SignedOut { profiles, tickets_ended }))
    }

    /// The present code of a device whose seed is known, for use elsewhere.
    pub(super) async fn code(&self, granted: &Granted, caller: &Caller) -> Result<Reply, Denied> {
        let profile = &granted.plan.profile;
        let code = self.desk.broker().code(&granted.grant).await;
        let code = code.map_err(|failure| {
            refused(Unavailable::Failed { failure, retry_after: PATIENCE }, profile)
        })?;
        let (code, expires) = code.ok_or_else(|| {
            let text = format!("`{profile}` has no MFA device; `credbroker check` shows its plan");
            misconfigured("NoDevice", text)
        })?;
        self.desk.note_deed(caller, profile, "MFA code taken");
        Ok(reply::json(Bytes::from_owner(code_document(&code, expires))))
    }

    fn done(&self, granted: &Granted, caller: &Caller, held: &Held) -> LoginStep {
        self.desk.note_deed(caller, &granted.plan.profile, "logged in");
        LoginStep::Done { expires: timestamp(held.credentials().validity.expires()) }
    }

    /// The profiles with which the caller may do `action`.
    fn names(&self, caller: &Caller, action: Action) -> Vec<ProfileName> {
        let plans = self.desk.broker().plans();
        let names = plans.iter().map(|plan| plan.profile.clone());
        self.desk.open_to(caller, action, names).map(|it| it.plan.profile.clone()).collect()
    }
}

/// The errand as those see it who may do it for the profiles `names`, which are in order.
fn view(errand: Errand, names: &[ProfileName]) -> Waiting {
    let (mfa_serial, issuer) = match &errand.need {
        Need::Code(device) => (Some(device.serial.to_string()), None),
        Need::Consent(client) => (None, Some(client.issuer.to_string())),
    };
    let profiles = errand.profiles.iter().filter(|name| names.binary_search(name).is_ok());
    Waiting {
        mfa_serial,
        issuer,
        profiles: profiles.map(ToString::to_string).collect(),
        since: errand.since.map(timestamp),
        expires: errand.expires.map(timestamp),
        why: errand.why.map(|failure| failure.message),
    }
}

/// The answer to a login that failed: the code is the failure's own, so that a client knows when to ask again.
fn refused(why: Unavailable, profile: &ProfileName) -> ErrorBody {
    match Empty::from(why) {
        Empty::Person(failure) => ErrorBody {
            reason: Reason::PersonNeeded,
            code: failure.code,
            message: failure.message,
            retry_after_seconds: None,
        },
        other @ (Empty::Away | Empty::Misconfigured(_) | Empty::NotNow(..) | Empty::Refused(_)) => {
            unavailable(other, profile)
        }
    }
}

fn code_document(code: &SecretString, expires: SystemTime) -> zeroize::Zeroizing<Vec<u8>> {
    render::object(&[
        ("code", Value::Text(code.expose_secret())),
        ("expires", Value::Text(&timestamp(expires))),
    ])
}
