//! Who asks for a role, as a trust policy names them.

use serde_json::{Value, json};

use crate::model::{Base, Dialect, Partition, Plan, Provider, RoleArn};

/// Who asks for the next role, and with what.
pub(super) struct Caller {
    /// A condition beside the principal, where one says who it is.
    pub(super) condition: Option<Value>,
    /// Whether a device's code went with the credentials.
    pub(super) mfa: bool,
    /// As a trust policy names them; `None` for nobody, who signs nothing.
    pub(super) principal: Option<String>,
    /// Whom a permission policy is attached to.
    pub(super) who: String,
}

impl Caller {
    pub(super) fn named(principal: String) -> Self {
        let who = principal.clone();
        Self { condition: None, mfa: false, principal: Some(principal), who }
    }

    pub(super) fn of_base(base: &Base, plan: &Plan) -> Self {
        match base {
            Base::Anonymous => {
                Self { condition: None, mfa: false, principal: None, who: String::new() }
            }
            Base::Given(provider) => Self::of_provider(provider, partition(plan)),
            Base::Key(_) => {
                Self { who: "the user whose key it is".to_owned(), ..Self::named(user_arn(plan)) }
            }
        }
    }

    pub(super) fn of_provider(provider: &Provider, partition: &str) -> Self {
        let role =
            |name: &str| Self::named(format!("arn:{partition}:iam::<ACCOUNT_ID>:role/<{name}>"));
        match provider {
            Provider::Ecs => role("ROLE_OF_THE_CONTAINER"),
            Provider::Environment | Provider::Process(_) => {
                Self::named("<ARN_OF_THE_CALLER>".to_owned())
            }
            Provider::Imds => role("ROLE_OF_THE_MACHINE"),
            Provider::Login(session) => Self::named(session.arn.to_string()),
            // The role's name ends with what nobody knows before; IAM Identity Center, "Referencing permission sets in
            // resource policies".
            Provider::Sso(sso) => {
                let account = sso.account.as_str();
                let roles = format!(
                    "arn:{partition}:iam::{account}:role/aws-reserved/sso.amazonaws.com*/AWSReservedSSO_{}_*",
                    sso.role
                );
                Self {
                    condition: Some(json!({ "ArnLike": { "aws:PrincipalArn": roles } })),
                    who: format!("the permission set {} in the account {account}", sso.role),
                    ..Self::named(format!("arn:{partition}:iam::{account}:root"))
                }
            }
        }
    }
}

/// The user behind the key of `plan`, as far as it says who that is.
fn user_arn(plan: &Plan) -> String {
    let first = plan.through.first().unwrap_or(&plan.last);
    let partition = partition(plan);
    match first.sts.dialect {
        // Users of Ceph belong to a tenant, mostly the one without a name, as roles do.
        Dialect::Ceph => {
            let role = plan.hops().find_map(|hop| hop.call.role_arn());
            let tenant = role.and_then(|role| role.as_str().split(':').nth(4)).unwrap_or_default();
            format!("arn:{partition}:iam::{tenant}:user/<USER_NAME>")
        }
        Dialect::Aws | Dialect::Generic | Dialect::Minio => {
            let account = device_account(plan).unwrap_or("<ACCOUNT_ID>");
            format!("arn:{partition}:iam::{account}:user/<USER_NAME>")
        }
    }
}

/// The account of the user's device, which is the user's.
pub(super) fn device_account(plan: &Plan) -> Option<&str> {
    let device = plan.hops().find_map(|hop| hop.call.device())?;
    let account = device.serial.as_str().strip_prefix("arn:")?.split(':').nth(3)?;
    (!account.is_empty()).then_some(account)
}

pub(super) fn partition(plan: &Plan) -> &str {
    let role = plan.hops().find_map(|hop| hop.call.role_arn());
    let region = || Partition::of_region(plan.last.sts.region.as_str()).name;
    role.map_or_else(region, RoleArn::partition)
}
