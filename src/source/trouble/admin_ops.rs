//! What the codes of a Ceph gateway's Admin Ops API mean, where they are not those of its STS (Ceph documentation, "Admin
//! Operations"; `rgw_common.cc`).

use crate::model::FailureKind;
use crate::source::trouble::No;
use crate::source::trouble::meaning::Meaning;

/// What `no` means; `None` where it is what an STS would mean by it.
pub(super) fn meaning(no: &No) -> Option<Meaning> {
    let remedy = match no.code.as_str() {
        "KeyExists" => "somebody has a key of this id: run this again for another",
        // Where the API is not served, its path is an object's in a bucket.
        "MethodNotAllowed" | "NoSuchBucket" | "NoSuchKey" => {
            "its Admin Ops API is not at /admin: do the gateway's rgw_enable_apis name admin, and is rgw_admin_entry admin?"
        }
        "NoSuchUser" => "there is no such user any more",
        _ => return None,
    };
    Some(Meaning { kind: FailureKind::Refused, code: None, remedy: remedy.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_without_the_api_is_told_from_one_that_refuses() {
        let meaning = |code: &str| {
            meaning(&No {
                status: 404,
                code: code.into(),
                message: String::new(),
                request_id: None,
            })
        };
        assert!(meaning("NoSuchBucket").unwrap().remedy.contains("rgw_enable_apis"));
        for code in ["AccessDenied", "UserSuspended", "RequestTimeTooSkewed", "SlowDown"] {
            assert_eq!(meaning(code), None, "{code}");
        }
    }
}
