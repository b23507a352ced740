//! What IAM's own codes mean, where they are not those of an STS (IAM service model, botocore
//! `data/iam/2010-05-08/service-2.json.gz`).

use crate::model::FailureKind;
use crate::source::trouble::No;
use crate::source::trouble::meaning::Meaning;

/// What `no` means; `None` where it is what an STS would mean by it.
pub(super) fn meaning(no: &No) -> Option<Meaning> {
    let code = no.code.strip_suffix("Exception").unwrap_or(&no.code);
    let remedy = match code {
        "AccessDenied" => {
            "does a policy keep this from the user, or does one demand MFA? then the profile needs mfa = ..."
        }
        // A quota, and not a rate as the same word is elsewhere.
        "LimitExceeded" => "take something away first",
        "NoSuchEntity" => "the user has none of this name: `credbroker keys list` shows the keys",
        "InvalidAction" | "MethodNotAllowed" | "NotImplemented" | "UnknownOperation" => {
            "there are no access keys of IAM: make and delete keys with that system's own tools, or say sts = \"ceph\" if it is a Ceph gateway"
        }
        _ => return None,
    };
    Some(Meaning { kind: FailureKind::Refused, code: None, remedy: remedy.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str) -> Option<FailureKind> {
        let no = No { status: 409, code: code.into(), message: String::new(), request_id: None };
        meaning(&no).map(|meaning| meaning.kind)
    }

    #[test]
    fn a_quota_is_no_rate() {
        for code in ["LimitExceeded", "LimitExceededException", "NoSuchEntity", "InvalidAction"] {
            assert_eq!(kind(code), Some(FailureKind::Refused), "{code}");
        }
        assert_eq!(kind("Throttling"), None);
        assert_eq!(kind("InvalidClientTokenId"), None);
    }
}
