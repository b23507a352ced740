//! `whoami`: who a profile's credentials are, asked of the profile's own STS.
//!
//! The one client command that speaks to an STS itself: what the daemon believes is not the question.

use std::sync::Arc;

use crate::cli::client::Daemon;
use crate::cli::exit::{Complaint, Exit};
use crate::cli::{print, process, table};
use crate::endpoint::control::wire::{ClientView, ProcessCredentials};
use crate::model::{
    AccountId, Clock, Dialect, Failure, FailureKind, ProfileName, Region, SessionCredentials,
    Signer, StsEndpoint, Validity, parse_timestamp,
};
use crate::source::{CallerIdentity, Sts};

/// Asks, and prints the answer with what is known beside it.
pub(super) fn run(daemon: &Daemon, profile: &ProfileName) -> Result<Exit, Complaint> {
    let role = daemon.profile_status(profile)?.role_arn;
    let endpoint = sts_of(&daemon.client_view(profile)?)?;
    let keys = process::usable(&daemon.credentials(profile)?)?;
    let mut known = Vec::from_iter(role.map(|role| ("role", role)));
    known.extend([
        ("key", keys.access_key_id.clone()),
        ("expires", expiry(&keys.expiration)),
        ("sts", endpoint.to_string()),
    ]);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Complaint::new(Exit::Internal, error.to_string()))?;
    let clock = Clock::system();
    let sts = Sts::new(clock);
    let asked = runtime.block_on(sts.caller_identity(&session(keys)?, &endpoint));
    known.extend(sts.states().into_iter().filter_map(|state| {
        Some(("clock", format!("{} that of the STS: set it (timedatectl)", state.skew?)))
    }));
    let said = match asked {
        Ok(identity) => of(identity),
        Err(failure) if is_lacking(&failure, endpoint.dialect) => {
            vec![(
                "identity",
                "not known: this STS cannot be asked (no GetCallerIdentity)".to_owned(),
            )]
        }
        Err(failure) => return Err(complaint(failure)),
    };
    print::report(&table::facts(said.into_iter().chain(known)))?;
    Ok(Exit::Success)
}

fn of(identity: CallerIdentity) -> Vec<(&'static str, String)> {
    let facts =
        [("identity", identity.arn), ("account", identity.account), ("user id", identity.user_id)];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn expiry(expiration: &str) -> String {
    format!("{} ({expiration})", table::when(Some(expiration), Clock::system().now()))
}

fn sts_of(client: &ClientView) -> Result<StsEndpoint, Complaint> {
    let dialects = [Dialect::Aws, Dialect::Ceph, Dialect::Generic, Dialect::Minio];
    let dialect = dialects.into_iter().find(|dialect| dialect.as_str() == client.sts);
    let region = Region::parse(&client.sts_region);
    let (Some(dialect), Some(region)) = (dialect, region) else {
        return Err(Complaint::new(
            Exit::Internal,
            "the daemon names an STS that this version does not know; restart it",
        ));
    };
    let url = client.sts_endpoint_url.as_deref().or(client.endpoint_url.as_deref());
    Ok(StsEndpoint {
        dialect,
        url: url.map(Into::into),
        region,
        fips: client.fips,
        dual_stack: client.dual_stack,
        ca_bundle: client.ca_bundle.as_ref().map(Into::into),
    })
}

fn session(keys: ProcessCredentials) -> Result<Signer, Complaint> {
    let validity = parse_timestamp(&keys.expiration)
        .and_then(|expires| Validity::new(Clock::system().now(), expires))
        .ok_or_else(|| {
            Complaint::new(Exit::NotNow, "the credentials have just ended; try again")
        })?;
    Ok(Signer::Session(Arc::new(SessionCredentials {
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
        validity,
        account_id: keys.account_id.as_deref().and_then(AccountId::parse),
        arn: None,
    })))
}

/// Whether a failure says that there is no such operation, rather than no to this caller.
///
/// The Ceph Object Gateway answers 405. `MinIO` knows only `AssumeRole` and its kin: it looks at the credentials
/// first, and denies a session every one of them.
fn is_lacking(failure: &Failure, dialect: Dialect) -> bool {
    let unknown = ["InvalidAction", "InvalidParameterValue", "MethodNotAllowed", "NotImplemented"];
    match dialect {
        Dialect::Aws => false,
        Dialect::Ceph | Dialect::Generic => unknown.contains(&failure.code.as_str()),
        Dialect::Minio => {
            failure.code == "AccessDenied" || unknown.contains(&failure.code.as_str())
        }
    }
}

/// How a command ends that an STS or IAM did not serve.
pub(super) fn complaint(failure: Failure) -> Complaint {
    let exit = match failure.kind {
        FailureKind::InputExpired
        | FailureKind::Throttled
        | FailureKind::Unreachable
        | FailureKind::Unsettled => Exit::NotNow,
        FailureKind::Misconfigured => Exit::Config,
        FailureKind::PersonNeeded => Exit::PersonNeeded,
        FailureKind::Refused => Exit::Refused,
    };
    Complaint::new(exit, failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sts_that_cannot_tell_is_told_from_one_that_refuses() {
        let refused = |code| Failure::new(FailureKind::Refused, code, "no");
        assert!(is_lacking(&refused("MethodNotAllowed"), Dialect::Ceph));
        assert!(is_lacking(&refused("AccessDenied"), Dialect::Minio));
        assert!(!is_lacking(&refused("AccessDenied"), Dialect::Ceph));
        assert!(!is_lacking(&refused("MethodNotAllowed"), Dialect::Aws));
        assert_eq!(complaint(refused("ExpiredToken")).exit, Exit::Refused);
    }

    #[test]
    fn the_profiles_own_sts_is_asked() {
        let mut client = ClientView {
            endpoint_url: Some("http://all".into()),
            sts_region: "us-east-1".into(),
            sts: "ceph".into(),
            ..ClientView::default()
        };
        let endpoint = sts_of(&client).unwrap();
        assert_eq!(
            (endpoint.dialect, endpoint.url.as_deref()),
            (Dialect::Ceph, Some("http://all"))
        );
        client.sts_endpoint_url = Some("http://sts".into());
        assert_eq!(sts_of(&client).unwrap().url.as_deref(), Some("http://sts"));
        client.sts = "other".into();
        assert!(sts_of(&client).is_err());
    }
}
