//! A source of the tests' own, and plans for it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use tokio::time::sleep;

use crate::broker::{Broker, Habits, lock};
use crate::model::{
    Base, Call, ClientSettings, Clock, CodeSource, Dialect, Failure, FailureKind, Hop, KeySource,
    LoginSession, LongTermKey, MfaDevice, MfaSerial, Plan, ProfileName, Provider, Region, RoleArn,
    RoleRequest, SessionCredentials, SessionName, SessionTags, Signer, StsEndpoint, Validity,
};
use crate::source::{Asking, Codes, Oidc, People, Source};

/// A source that answers from a script; with the script at its end, with sessions of an hour.
#[derive(Debug)]
pub(in crate::broker) struct Script {
    pub(in crate::broker) clock: Clock,
    takes: Duration,
    pub(in crate::broker) answers: Mutex<VecDeque<Answer>>,
    pub(in crate::broker) calls: Mutex<Vec<(String, String)>>,
    people: Option<People>,
}

#[derive(Clone, Debug)]
pub(in crate::broker) enum Answer {
    Fail(FailureKind),
    Life(Duration),
    WrongCode,
}

impl Script {
    pub(in crate::broker) fn new(takes: Duration, answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self {
            clock: Clock::simulated(SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)),
            takes,
            answers: Mutex::new(answers.iter().cloned().collect()),
            calls: Mutex::default(),
            people: None,
        })
    }

    /// The same with people to ask, whose codes are written down in `directory`.
    pub(in crate::broker) fn with_people(directory: &Path, answers: &[Answer]) -> Arc<Self> {
        let script = Arc::into_inner(Self::new(Duration::ZERO, answers)).unwrap();
        let codes = Codes::open(directory, script.clock);
        let people = Some(People { codes, oidc: Oidc::new(script.clock) });
        Arc::new(Self { people, ..script })
    }

    pub(in crate::broker) fn calls(&self) -> usize {
        lock(&self.calls).len()
    }

    pub(in crate::broker) fn roles(&self) -> Vec<String> {
        lock(&self.calls).iter().map(|(_, role)| role.clone()).collect()
    }

    pub(in crate::broker) fn broker(self: &Arc<Self>, plans: Vec<Plan>) -> Broker {
        let script = Arc::clone(self);
        Broker::start(plans, script, self.clock, Habits::default())
    }
}

impl Source for Script {
    fn root<'a>(&'a self, _base: &'a Base) -> Asking<'a, Signer> {
        let key = LongTermKey {
            access_key_id: "AKIAROOT".to_owned(),
            secret_access_key: SecretString::from("root"),
        };
        Box::pin(async { Ok(Signer::LongTerm(Arc::new(key))) })
    }

    fn people(&self) -> Option<&People> {
        self.people.as_ref()
    }

    fn assume<'a>(&'a self, from: &'a Signer, hop: &'a Hop) -> Asking<'a, SessionCredentials> {
        Box::pin(async move {
            let from = match from {
                Signer::Anonymous => "nobody".to_owned(),
                Signer::LongTerm(key) => key.access_key_id.clone(),
                Signer::Session(session) => session.access_key_id.clone(),
            };
            let role = match hop.call.role_arn() {
                Some(role) => role.role_name().to_owned(),
                None => "USER".to_owned(),
            };
            if let (Some(device), Some(people)) = (hop.call.device(), &self.people) {
                people.codes.take(device).await?;
            }
            let count = {
                let mut calls = lock(&self.calls);
                calls.push((from, role.clone()));
                calls.len()
            };
            let issued = self.clock.now();
            sleep(self.takes).await;
            let answer = lock(&self.answers).pop_front();
            let life = match answer {
                None => Duration::from_hours(1),
                Some(Answer::Life(life)) => life,
                Some(Answer::WrongCode) => {
                    let kind = FailureKind::PersonNeeded;
                    return Err(Failure::new(kind, "InvalidMfaCode", "wrong; wait for the next"));
                }
                Some(Answer::Fail(kind)) => return Err(Failure::new(kind, "Code", "no")),
            };
            Ok(SessionCredentials {
                access_key_id: format!("{role}-{count}"),
                secret_access_key: SecretString::from("secret"),
                session_token: SecretString::from("token"),
                validity: Validity::new(issued, issued + life).unwrap(),
                account_id: None,
                arn: None,
            })
        })
    }
}

/// A plan whose first hop is a session of the key with a code that a person gives.
pub(in crate::broker) fn plan_of_person(profile: &str, roles: &[&str]) -> Plan {
    let mut plan = plan(profile, roles);
    let session = Call::GetSessionToken { device: Some(device()), duration: None };
    plan.through.insert(0, Hop { call: session, ..hop("any") });
    plan
}

/// A plan whose roles stand behind a sign-in that a person makes elsewhere.
pub(in crate::broker) fn plan_of_sign_in(profile: &str, roles: &[&str]) -> Plan {
    let mut plan = plan(profile, roles);
    let arn = "arn:aws:iam::123456789012:user/me".into();
    let session = LoginSession { arn, region: Region::fallback(), cache: "cache".into() };
    plan.base = Base::Anonymous;
    let call = Call::Provided(Provider::Login(session));
    plan.through.insert(0, Hop { call, ..hop("any") });
    plan
}

pub(in crate::broker) fn device() -> MfaDevice {
    let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
    MfaDevice { serial, code: CodeSource::Prompt }
}

fn hop(role: &str) -> Hop {
    Hop {
        sts: StsEndpoint {
            dialect: Dialect::Aws,
            url: None,
            region: Region::fallback(),
            fips: false,
            dual_stack: false,
            ca_bundle: None,
        },
        call: Call::AssumeRole {
            device: None,
            request: RoleRequest {
                role_arn: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{role}"))
                    .unwrap(),
                session_name: SessionName::from_lossy("test"),
                duration: None,
                external_id: None,
                source_identity: None,
                policy: None,
                policy_arns: Vec::new(),
                tags: SessionTags::default(),
            },
        },
    }
}

/// A plan whose roles stand behind an MFA session that a person is asked for.
pub(in crate::broker) fn mfa_plan(profile: &str, roles: &[&str]) -> Plan {
    let mut plan = plan(profile, roles);
    let serial = MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap();
    let device = Some(MfaDevice { serial, code: CodeSource::Prompt });
    let call = Call::GetSessionToken { device, duration: None };
    plan.through.insert(0, Hop { sts: plan.last.sts.clone(), call });
    plan
}

pub(in crate::broker) fn plan(profile: &str, roles: &[&str]) -> Plan {
    let (last, through) = roles.split_last().unwrap();
    Plan {
        profile: ProfileName::parse(profile).unwrap(),
        base: Base::Key(KeySource::Environment),
        through: through.iter().map(|role| hop(role)).collect(),
        last: hop(last),
        client: ClientSettings::default(),
        eager: false,
    }
}
