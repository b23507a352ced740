//! What an IMDS endpoint tells beside credentials: facts about the profile's role and region, and no others.
//!
//! A region is never invented: without one in the profile the paths that need it do not exist, and clients look
//! elsewhere (contract A.5).

use std::time::SystemTime;

use crate::endpoint::render::{self, Value};
use crate::model::{AccountId, Partition, Plan, RoleArn, timestamp};

/// The region that clients of the profile are told.
pub(super) fn region(plan: &Plan) -> Option<&str> {
    plan.client.region.as_ref().map(crate::model::Region::as_str)
}

/// The first zone of that region; botocore and C++ drop the last letter to learn the region.
pub(super) fn zone(plan: &Plan) -> Option<String> {
    region(plan).map(|region| format!("{region}a"))
}

/// The partition of the profile's role; without a role that of its region.
pub(super) fn partition(plan: &Plan) -> &str {
    role(plan).map_or_else(
        || region(plan).map_or("aws", |region| Partition::of_region(region).name),
        RoleArn::partition,
    )
}

/// The domain of that partition's services (botocore's `partitions.json`, `dnsSuffix`).
pub(super) fn domain(plan: &Plan) -> &'static str {
    match partition(plan) {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// The document of `iam/info`, which names the instance profile around a role; ours bears the role's
/// name, or the profile's where there is no role.
pub(super) fn info(plan: &Plan, since: SystemTime) -> String {
    let account = role(plan).and_then(RoleArn::account);
    let profile = format!(
        "arn:{}:iam::{}:instance-profile/{}",
        partition(plan),
        account.as_ref().map_or("", AccountId::as_str),
        role(plan).map_or(plan.profile.as_str(), RoleArn::role_name)
    );
    document(&[
        ("Code", Value::Text("Success")),
        ("LastUpdated", Value::Text(&timestamp(since))),
        ("InstanceProfileArn", Value::Text(&profile)),
        ("InstanceProfileId", Value::Text("AIPACREDBROKER")),
    ])
}

/// The instance identity document, from which Go and Java learn the region; what is no fact here is zero.
pub(super) fn identity(plan: &Plan) -> Option<String> {
    let region = region(plan)?;
    let zone = zone(plan)?;
    let account = role(plan).and_then(RoleArn::account);
    let mut members = Vec::with_capacity(10);
    members.extend(account.as_ref().map(|id| ("accountId", Value::Text(id.as_str()))));
    members.extend([
        ("architecture", Value::Text(architecture())),
        ("availabilityZone", Value::Text(&zone)),
        ("imageId", Value::Text("ami-00000000000000000")),
        ("instanceId", Value::Text("i-00000000000000000")),
        ("instanceType", Value::Text("credbroker")),
        ("privateIp", Value::Text("127.0.0.1")),
        ("region", Value::Text(region)),
        ("version", Value::Text("2017-09-30")),
    ]);
    Some(document(&members))
}

fn role(plan: &Plan) -> Option<&RoleArn> {
    plan.last.call.role_arn()
}

fn document(members: &[(&str, Value<'_>)]) -> String {
    String::from_utf8_lossy(&render::object(members)).into_owned()
}

/// As EC2 spells it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}
