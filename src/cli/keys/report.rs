//! Keys as a person reads them, and as a script does.

use std::time::SystemTime;

use serde::Serialize;

use crate::cli::{print, table};
use crate::iam::{AccessKey, KeyStatus, KeyUse, LastUse};
use crate::model::timestamp;

/// A key, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) is_in_use: bool,
    pub(super) key: AccessKey,
    pub(super) last_used: LastUse,
}

/// All that there is to say of the keys.
pub(super) fn keys(keys: &[Known], now: SystemTime) -> String {
    let header = ["KEY", "STATUS", "CREATED", "LAST USED", "SERVICE", "REGION", ""];
    table::columns(
        &header,
        keys.iter().map(|known| {
            let [when, service, region] = used(known, now);
            let created = known.key.created.map(timestamp);
            let in_use = if known.is_in_use { "in use" } else { "" };
            vec![
                known.key.id.clone(),
                status(known),
                table::when(created.as_deref(), now),
                when,
                service,
                region,
                in_use.to_owned(),
            ]
        }),
    )
}

/// When the keys were used.
pub(super) fn uses(keys: &[Known], now: SystemTime) -> String {
    let header = ["KEY", "LAST USED", "SERVICE", "REGION"];
    table::columns(
        &header,
        keys.iter().map(|known| [vec![known.key.id.clone()], used(known, now).to_vec()].concat()),
    )
}

/// The same for a script.
pub(super) fn json(keys: &[Known]) -> String {
    let user = keys.first().map(|known| known.key.user.as_str());
    let keys = keys.iter().map(|known| WireKey {
        access_key_id: &known.key.id,
        status: known.key.status.as_ref().map(KeyStatus::to_string),
        created: known.key.created.map(timestamp),
        in_use: known.is_in_use,
        last_used: WireLastUse::of(&known.last_used),
    });
    print::json(&WireKeys { user, keys: keys.collect() })
}

/// What a user with two keys is told who wants a third.
pub(super) fn full(profile: &str, keys: &[Known], now: SystemTime) -> String {
    let names = keys.iter().map(|known| {
        let how = match (known.is_in_use, &known.last_used) {
            (true, _) => "in use here".to_owned(),
            (false, LastUse::Untold) => status(known),
            (false, LastUse::Never) => format!("{}, never used", status(known)),
            (false, LastUse::At(_)) => {
                let [when, service, _] = used(known, now);
                format!("{}, last used {when} for {service}", status(known))
            }
        };
        format!("{} ({how})", known.key.id)
    });
    let names = names.collect::<Vec<_>>().join(" and ");
    // The one that was not used for longest, and never before once.
    let idle = keys.iter().filter(|known| !known.is_in_use);
    let idle = idle.min_by_key(|known| match &known.last_used {
        LastUse::At(used) => Some(used.at),
        LastUse::Never | LastUse::Untold => None,
    });
    let remedy = idle.map_or_else(String::new, |known| {
        let id = &known.key.id;
        format!("; where nothing needs {id}, run: credbroker keys delete {profile} {id}")
    });
    format!("a user has two access keys at most, and these are there: {names}{remedy}")
}

fn status(known: &Known) -> String {
    known.key.status.as_ref().map_or_else(|| "-".to_owned(), KeyStatus::to_string)
}

fn used(known: &Known, now: SystemTime) -> [String; 3] {
    match &known.last_used {
        LastUse::Untold => ["-", "-", "-"].map(str::to_owned),
        LastUse::Never => ["never", "-", "-"].map(str::to_owned),
        LastUse::At(used) => {
            let when = table::when(Some(&timestamp(used.at)), now);
            [when, used.service.clone(), used.region.clone()]
        }
    }
}

#[derive(Serialize)]
struct WireKeys<'a> {
    user: Option<&'a str>,
    keys: Vec<WireKey<'a>>,
}

#[derive(Serialize)]
struct WireKey<'a> {
    access_key_id: &'a str,
    status: Option<String>,
    created: Option<String>,
    in_use: bool,
    #[serde(skip_serializing_if = "WireLastUse::is_untold")]
    last_used: WireLastUse<'a>,
}

/// `null` for never; nothing at all where nobody tells.
#[derive(Serialize)]
#[serde(untagged)]
enum WireLastUse<'a> {
    At { at: String, service: &'a str, region: &'a str },
    Never,
    Untold,
}

impl<'a> WireLastUse<'a> {
    fn of(last_use: &'a LastUse) -> Self {
        match last_use {
            LastUse::At(KeyUse { at, region, service }) => {
                Self::At { at: timestamp(*at), service, region }
            }
            LastUse::Never => Self::Never,
            LastUse::Untold => Self::Untold,
        }
    }

    fn is_untold(&self) -> bool {
        matches!(self, Self::Untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_timestamp;

    fn at(text: &str) -> SystemTime {
        parse_timestamp(text).unwrap()
    }

    fn now() -> SystemTime {
        at("2026-03-01T12:00:00Z")
    }

    fn two() -> [Known; 2] {
        let key = |id: &str, created, status| AccessKey {
            created: Some(at(created)),
            id: id.to_owned(),
            status: Some(status),
            user: "me".to_owned(),
        };
        let last_used = LastUse::At(KeyUse {
            at: at("2026-03-01T09:00:00Z"),
            region: "eu-west-1".into(),
            service: "sts".into(),
        });
        [
            Known {
                is_in_use: true,
                key: key("AKIA1", "2025-12-01T12:00:00Z", KeyStatus::Active),
                last_used,
            },
            Known {
                is_in_use: false,
                key: key("AKIA2", "2026-02-25T12:00:00Z", KeyStatus::Inactive),
                last_used: LastUse::Never,
            },
        ]
    }

    #[test]
    fn a_table_marks_the_key_in_use() {
        assert_eq!(
            keys(&two(), now()),
            "KEY    STATUS    CREATED      LAST USED  SERVICE  REGION\n\
             AKIA1  Active    90 days ago  3 h ago    sts      eu-west-1  in use\n\
             AKIA2  Inactive  4 days ago   never      -        -\n"
        );
        assert_eq!(
            uses(&two(), now()),
            "KEY    LAST USED  SERVICE  REGION\nAKIA1  3 h ago    sts      eu-west-1\nAKIA2  never      -        -\n"
        );
    }

    #[test]
    fn a_script_gets_times_and_names() {
        let read: serde_json::Value = serde_json::from_str(&json(&two())).unwrap();
        assert_eq!(
            read,
            serde_json::json!({ "user": "me", "keys": [
                { "access_key_id": "AKIA1", "status": "Active", "created": "2025-12-01T12:00:00Z", "in_use": true,
                  "last_used": { "at": "2026-03-01T09:00:00Z", "service": "sts", "region": "eu-west-1" } },
                { "access_key_id": "AKIA2", "status": "Inactive", "created": "2026-02-25T12:00:00Z", "in_use": false,
                  "last_used": null },
            ]})
        );
    }

    #[test]
    fn what_nobody_tells_is_a_dash_and_no_word_to_a_script() {
        let key = AccessKey { created: None, id: "K".to_owned(), status: None, user: "me".into() };
        let untold = [Known { is_in_use: true, key, last_used: LastUse::Untold }];
        assert_eq!(
            keys(&untold, now()),
            "KEY  STATUS  CREATED  LAST USED  SERVICE  REGION\n\
             K    -       -        -          -        -       in use\n"
        );
        let read: serde_json::Value = serde_json::from_str(&json(&untold)).unwrap();
        let key = serde_json::json!({ "access_key_id": "K", "status": null, "created": null, "in_use": true });
        assert_eq!(read, serde_json::json!({ "user": "me", "keys": [key] }));
    }

    #[test]
    fn who_has_two_keys_is_told_which_one_to_delete() {
        assert_eq!(
            full("base", &two(), now()),
            "a user has two access keys at most, and these are there: AKIA1 (in use here) and AKIA2 (Inactive, never used); \
             where nothing needs AKIA2, run: credbroker keys delete base AKIA2"
        );
    }
}
