//! One line of the audit.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;
use tracing::info;

use crate::endpoint::audit::Event;
use crate::model::{Caller, Proof, timestamp};

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<'a> {
    /// Something was done for the profile, or to it.
    Done(&'static str),
    /// Credentials were lent.
    Lent {
        /// The role that they are of, where it is one.
        role_arn: Option<&'a str>,
        /// Their key id.
        access_key_id: &'a str,
        /// When they expire.
        expires: SystemTime,
    },
    /// The caller was turned away.
    Refused(&'static str),
}

/// A caller, as far as one is told from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    /// The user whose ticket was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ticket_uid: Option<u32>,
    /// Whether a token was shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) token: bool,
}

/// One line: what happened, to whom, and, where it tells of repetitions, how often and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Record {
    pub(super) time: String,
    /// `lent`, `refused`, or what was done.
    pub(super) event: &'static str,
    pub(super) endpoint: String,
    pub(super) channel: &'static str,
    pub(super) who: Who,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    /// How often it happened again; absent the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<String>,
}

impl Who {
    /// What tells one caller from another; not its process, of which there may be twenty a minute.
    pub(super) fn told_apart(caller: &Caller) -> Self {
        Self {
            uid: caller.uid,
            unit: caller.unit.as_ref().map(|group| group.as_str().to_owned()),
            address: caller.source.filter(|address| !address.is_loopback()),
            ticket_uid: match caller.proof {
                Proof::Ticket(uid) => Some(uid),
                Proof::None | Proof::Token(_) => None,
            },
            token: matches!(caller.proof, Proof::Token(_)),
            ..Self::default()
        }
    }
}

impl Record {
    /// Of what happened for the first time.
    pub(super) fn of(event: &Event<'_>, now: SystemTime) -> Self {
        let record = Self {
            time: timestamp(now),
            event: "refused",
            endpoint: event.caller.endpoint.to_string(),
            channel: event.caller.channel.as_str(),
            who: Who::of(event.caller),
            profile: event.profile.map(|profile| profile.as_str().to_owned()),
            role_arn: None,
            access_key_id: None,
            expires: None,
            reason: None,
            count: None,
            first: None,
            last: None,
        };
        match event.outcome {
            Outcome::Done(deed) => Self { event: deed, ..record },
            Outcome::Lent { role_arn, access_key_id, expires } => Self {
                event: "lent",
                role_arn: role_arn.map(str::to_owned),
                access_key_id: Some(access_key_id.to_owned()),
                expires: Some(timestamp(expires)),
                ..record
            },
            Outcome::Refused(reason) => Self { reason: Some(reason), ..record },
        }
    }

    /// Of what happened again, so often, between these times.
    pub(super) fn again(
        &self,
        count: u64,
        first: SystemTime,
        last: SystemTime,
        now: SystemTime,
    ) -> Self {
        Self {
            time: timestamp(now),
            count: Some(count),
            first: Some(timestamp(first)),
            last: Some(timestamp(last)),
            ..self.clone()
        }
    }

    /// As a JSON object on a line.
    pub(super) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// As fields of the journal, or a line of the log.
    pub(super) fn log(&self) {
        let Self { event, who, .. } = self;
        info!(
            target: AUDIT,
            profile = self.profile,
            role.arn = self.role_arn,
            access_key.id = self.access_key_id,
            expires = self.expires,
            endpoint = self.endpoint,
            channel = self.channel,
            peer.uid = who.uid,
            peer.gid = who.gid,
            peer.pid = who.pid,
            peer.unit = who.unit,
            peer.exe = who.exe,
            peer.address = who.address.map(|address| address.to_string()),
            ticket.uid = who.ticket_uid,
            token = who.token.then_some(true),
            reason = self.reason,
            count = self.count,
            first = self.first,
            last = self.last,
            "{event}"
        );
    }
}

/// The target of the audit's lines.
const AUDIT: &str = "credbroker::audit";
