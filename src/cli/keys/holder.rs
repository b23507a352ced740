//! Whose keys a profile is about: where its long-term key is read, and which IAM knows it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::exit::{Complaint, Exit};
use crate::config::Config;
use crate::model::{Base, Dialect, Hop, KeySource, MfaDevice, Plan, ProfileName, StsEndpoint};

/// What a profile says of the user whose key it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Holder {
    /// Who may have codes of the device: the daemon of this configuration, at its socket, asked for this profile.
    pub(in crate::cli) codes: Option<(PathBuf, ProfileName)>,
    pub(in crate::cli) device: Option<MfaDevice>,
    /// Where keys are made and deleted.
    pub(in crate::cli) iam: StsEndpoint,
    pub(in crate::cli) key: KeySource,
    /// Where the key is good for sessions.
    pub(in crate::cli) sts: StsEndpoint,
}

impl Holder {
    /// The holder of the key that `profile` is, or begins with.
    ///
    /// A profile that is only a key says nothing of a place: those that begin with it do, and they must agree.
    pub(in crate::cli) fn of(config: &Config, profile: &ProfileName) -> Result<Self, Complaint> {
        Self::anywhere(config, profile)?.check()
    }

    /// The same, whether or not its system has IAM's calls.
    pub(in crate::cli) fn anywhere(
        config: &Config,
        profile: &ProfileName,
    ) -> Result<Self, Complaint> {
        let plan = config.plans.iter().find(|plan| plan.profile == *profile);
        let source = config.sources.iter().find(|(name, _)| name == profile);
        let holders: Vec<Self> = match (plan, source) {
            (Some(plan), _) => match &plan.base {
                Base::Key(key) => vec![Self::behind(key, plan, config)],
                Base::Anonymous | Base::Given(_) => {
                    let what = "does not begin with a long-term key, so it has none to look after";
                    return Err(wrong(format!("the profile {profile} {what}")));
                }
            },
            (None, Some((_, key))) => {
                behind(key, config).map(|plan| Self::behind(key, plan, config)).collect()
            }
            (None, None) => {
                let known = "`credbroker check` shows those that there are";
                return Err(wrong(format!("there is no profile {profile}; {known}")));
            }
        };
        let Some(first) = holders.first() else {
            let remedy = "add one with source_profile and role_arn";
            return Err(wrong(format!(
                "no profile uses the key of {profile}, so nothing says where it is good; {remedy}"
            )));
        };
        if let Some(other) = holders.iter().find(|other| other.iam != first.iam) {
            return Err(wrong(format!(
                "the key of {profile} is used at {} and at {}; name one of the profiles that use it",
                place(&first.iam),
                place(&other.iam)
            )));
        }
        Ok(first.clone())
    }

    fn behind(key: &KeySource, plan: &Plan, config: &Config) -> Self {
        let hop = first_hop(plan);
        let (device, codes) = std::iter::once(plan)
            .chain(behind(key, config))
            .find_map(|plan| {
                let device = first_hop(plan).call.device()?.clone();
                Some((device, (config.daemon.control.clone(), plan.profile.clone())))
            })
            .unzip();
        // An address of AWS's is that of one service alone, and so is one that is given to STS alone; what clients use
        // is the last role's.
        let roles = plan.hops().filter(|hop| hop.call.role_arn().is_some()).count();
        let is_aws = hop.sts.dialect == Dialect::Aws;
        let client = Some(&plan.client).filter(|_| roles <= 1);
        let alone = is_aws && client.is_some_and(|client| client.sts_endpoint_url.is_some());
        let shared = |url: &Arc<str>| !(alone || is_aws && url.contains(".amazonaws."));
        let url = client.and_then(|client| client.endpoint_url.clone());
        let url = url.or_else(|| hop.sts.url.clone().filter(shared));
        let iam = StsEndpoint { url, ..hop.sts.clone() };
        Self { codes, device, iam, key: key.clone(), sts: hop.sts.clone() }
    }

    /// Refuses a system whose keys nobody here can look after, before any key is read.
    fn check(&self) -> Result<Self, Complaint> {
        match self.iam.dialect {
            Dialect::Aws | Dialect::Ceph | Dialect::Generic => Ok(self.clone()),
            Dialect::Minio => Err(wrong(format!(
                "{} (sts = \"minio\") has no IAM calls for access keys, and MinIO's own are encrypted for its own tool: make and delete keys \
                 with mc admin accesskey, and put the new one where access_key points",
                place(&self.iam),
            ))),
        }
    }
}

/// The plans that begin with `key`.
fn behind<'a>(key: &KeySource, config: &'a Config) -> impl Iterator<Item = &'a Plan> {
    config.plans.iter().filter(move |plan| matches!(&plan.base, Base::Key(it) if it == key))
}

fn first_hop(plan: &Plan) -> &Hop {
    plan.through.first().unwrap_or(&plan.last)
}

fn place(iam: &StsEndpoint) -> &str {
    iam.url.as_deref().unwrap_or("AWS")
}

fn wrong(message: String) -> Complaint {
    Complaint::new(Exit::Config, message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{self, Surroundings};

    fn holder(profile: &str, profiles: &str) -> Result<Holder, Complaint> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = format!("[profile.base]\naccess_key = {{ env = true }}\n{profiles}");
        fs::write(&path, text).unwrap();
        let surroundings = Surroundings {
            home: Some("/home/me".into()),
            env_has_keys: true,
            user: "me".into(),
            uid: 4711,
            ..Surroundings::default()
        };
        let config = config::load(&path, &surroundings);
        let config = config.map_err(|faults| faults.render(false)).unwrap();
        Holder::of(&config, &ProfileName::parse(profile).unwrap())
    }

    fn role(name: &str, more: &str) -> String {
        let role = "role_arn = \"arn:aws:iam::123456789012:role/Reader\"";
        format!("[profile.{name}]\nsource_profile = \"base\"\n{role}\n{more}\n")
    }

    #[test]
    fn a_key_is_good_where_the_profiles_behind_it_take_it() {
        let on_aws = role("reader", "region = \"eu-west-1\"");
        for profile in ["base", "reader"] {
            let holder = holder(profile, &on_aws).unwrap();
            assert_eq!(holder.key, KeySource::Environment);
            assert_eq!((holder.iam.url, holder.iam.region.as_str()), (None, "eu-west-1"));
        }
        let url = "endpoint_url = \"http://127.0.0.1:9910\"";
        let here = holder("base", &role("reader", url)).unwrap();
        assert_eq!(here.iam.url.as_deref(), Some("http://127.0.0.1:9910"));
        let both = on_aws + &role("local", url);
        let message = holder("base", &both).unwrap_err().message;
        assert!(message.contains("at http://127.0.0.1:9910 and at AWS"), "{message}");
        assert!(holder("reader", &both).unwrap().iam.url.is_none());
    }

    #[test]
    fn an_sts_of_aws_at_an_address_of_its_own_leaves_iam_where_it_is() {
        let url = "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com";
        let more = format!("services.sts.endpoint_url = \"{url}\"\nsts = \"aws\"");
        let holder = holder("base", &role("reader", &more)).unwrap();
        assert_eq!((holder.iam.url.as_deref(), holder.sts.url.as_deref()), (None, Some(url)));
    }

    #[test]
    fn a_system_without_calls_for_keys_is_named_with_what_to_do_there() {
        let at = |sts| format!("endpoint_url = \"https://s3.example\"\nsts = \"{sts}\"");
        let complaint = holder("base", &role("bucket", &at("minio"))).unwrap_err();
        assert_eq!(complaint.exit, Exit::Config);
        assert!(complaint.message.contains("has no IAM calls for access keys"), "{complaint}");
        assert!(complaint.message.contains("mc admin accesskey"), "{complaint}");
        let ceph = holder("base", &role("bucket", &at("ceph"))).unwrap();
        assert_eq!(ceph.iam.url.as_deref(), Some("https://s3.example"));
    }

    #[test]
    fn a_profile_without_a_key_has_none() {
        let workload = "[profile.workload]\nweb_identity_token = { file = \"/etc/hostname\" }\n\
            role_arn = \"arn:aws:iam::123456789012:role/Reader\"\n";
        let all = role("reader", "") + workload;
        let message = holder("workload", &all).unwrap_err().message;
        assert!(message.contains("does not begin with a long-term key"), "{message}");
        assert!(holder("nobody", &all).unwrap_err().message.contains("there is no profile"));
    }
}
