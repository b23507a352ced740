//! Session policies: whether they are policies at all, and whether they fit.
//!
//! The sandbox has no resources, so what a policy says is read for its form alone.

use serde_json::Value;

use crate::sandbox::answer::Refusal;
use crate::sandbox::config::Role;
use crate::sandbox::operation::request::Tags;

/// Checks `policy` and `arns`; gives the part of the allotted space that they and `tags` take, in percent, where
/// there is any.
///
/// AWS packs them into a binary form that it does not publish. Here policies have 2,048 characters, the documented
/// limit on the plain text of policy and ARNs, and the tags have as much again.
pub(super) fn packed_size(
    policy: Option<&str>,
    arns: &[&str],
    tags: &Tags,
    role: &Role,
) -> Result<Option<usize>, Refusal> {
    let mut policy_chars: usize = arns.iter().map(|arn| arn.chars().count()).sum();
    if let Some(policy) = policy {
        policy_chars += check(policy)?;
    }
    for arn in arns {
        check_arn(arn, role)?;
    }
    let tag_chars: usize =
        tags.all.iter().map(|(key, value)| key.chars().count() + value.chars().count()).sum();
    if policy_chars + tag_chars == 0 {
        return Ok(None);
    }
    let share = |chars: usize, space: usize| (chars * 100).div_ceil(space);
    let percent = share(policy_chars, SPACE).max(share(policy_chars + tag_chars, 2 * SPACE));
    if percent > 100 {
        return Err(Refusal::bad_request(
            "PackedPolicyTooLarge",
            format!(
                "Packed policy consumes {percent}% of allotted space, please use smaller policy."
            ),
        ));
    }
    Ok(Some(percent))
}

/// Reads `policy` by the grammar of IAM's policy language (IAM User Guide, "Grammar of the IAM JSON policy
/// language"); gives its length without white space.
fn check(policy: &str) -> Result<usize, Refusal> {
    let value: Value =
        serde_json::from_str(policy).map_err(|_| malformed("This policy contains invalid Json"))?;
    let known_version = value
        .get("Version")
        .is_none_or(|version| version == "2012-10-17" || version == "2008-10-17");
    let statements = match value.get("Statement") {
        Some(Value::Array(statements)) => statements.as_slice(),
        Some(statement) => std::slice::from_ref(statement),
        None => &[],
    };
    if !known_version || statements.is_empty() || !statements.iter().all(is_statement) {
        return Err(malformed("Syntax errors in policy."));
    }
    Ok(value.to_string().chars().count())
}

fn is_statement(value: &Value) -> bool {
    let effect = value.get("Effect").is_some_and(|effect| effect == "Allow" || effect == "Deny");
    let one_of = |this: &str, that: &str| match (value.get(this), value.get(that)) {
        (Some(list), None) | (None, Some(list)) => is_list(list),
        (Some(_), Some(_)) | (None, None) => false,
    };
    effect
        && one_of("Action", "NotAction")
        && one_of("Resource", "NotResource")
        && value.get("Principal").is_none()
}

fn is_list(value: &Value) -> bool {
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    is_text(value)
        || value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_text))
}

/// A managed policy is AWS's own or one of the role's account.
fn check_arn(arn: &str, role: &Role) -> Result<(), Refusal> {
    let (partition, account) = role.partition_and_account();
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let legal = match fields[..] {
        ["arn", of, "iam", "", owner, resource] => {
            of == partition
                && (owner == "aws" || owner == account)
                && resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty())
        }
        _ => false,
    };
    if legal { Ok(()) } else { Err(Refusal::validation(format!("{arn} is invalid"))) }
}

fn malformed(message: &str) -> Refusal {
    Refusal::bad_request("MalformedPolicyDocument", message)
}

/// The characters that policies may have together.
const SPACE: usize = 2048;
