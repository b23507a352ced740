//! From a chain to the hops of its plan: what comes before the first role, and in which way each role is assumed.

use crate::config::context::Context;
use crate::config::fault::Fault;
use crate::config::mfa::Mfa;
use crate::config::profile::Parameters;
use crate::config::role::{self, Way};
use crate::config::sts::Settings;
use crate::model::{Base, Call, Dialect, Hop, KeySource, Plan, ProfileName, Provider, TokenSource};

/// What the first hop is signed with, and the roles that are assumed from there, in order.
pub(super) struct Chain<'a> {
    /// `None` where something on the way has a fault of its own: then the roles are checked, and nothing comes of it.
    pub(super) start: Option<Start>,
    /// What the profile that states the start says of its STS.
    pub(super) settings: &'a Settings,
    /// The device that goes with a key.
    pub(super) mfa: Option<&'a Mfa>,
    /// Each with what its profile says of its STS.
    pub(super) roles: Vec<(&'a Settings, &'a Parameters)>,
}

/// What a chain begins with.
pub(super) enum Start {
    Key(KeySource),
    Provider(Provider),
    Token(TokenSource),
}

impl Chain<'_> {
    /// The hops on the way to a profile with the settings of `leaf`; `None` in the place of one that is no good.
    pub(super) fn hops(&self, leaf: &Settings, context: &Context<'_>) -> Vec<Option<Hop>> {
        let (mut hops, mut way) = self.opening(leaf, self.checked_device(leaf, context));
        for (settings, parameters) in &self.roles {
            let sts = settings.endpoint(leaf, &parameters.arn, context);
            let way = std::mem::replace(&mut way, Way::Session);
            let hop = sts.and_then(|sts| {
                let call = role::call(parameters, way, sts.dialect, context)?;
                Some(Hop { sts, call })
            });
            hops.push(hop);
        }
        hops
    }

    /// The device whose codes count: a second factor that nobody checks is worse than none.
    fn checked_device(&self, leaf: &Settings, context: &Context<'_>) -> Option<&Mfa> {
        let mfa = self.mfa?;
        let of_user = self.settings.user_endpoint(leaf, self.partition());
        let of_role = self
            .roles
            .first()
            .and_then(|(settings, role)| settings.endpoint(leaf, &role.arn, context));
        let mut dialects = [of_user, of_role].into_iter().flatten().map(|sts| sts.dialect);
        let (title, help) = match dialects.find(|it| matches!(it, Dialect::Ceph | Dialect::Minio)) {
            // Seen with radosgw 16.2: a session comes with any code, and a role is refused with six digits.
            Some(Dialect::Ceph) => (
                "Ceph's STS does not check MFA codes",
                "take `mfa` out; what a role may be taken with, its trust policy says",
            ),
            // Its sts-handlers.go reads neither serial nor code.
            Some(Dialect::Minio) => (
                "MinIO's STS does not check MFA codes",
                "take `mfa` out, and let people come with a web identity: the provider asks them",
            ),
            Some(Dialect::Aws | Dialect::Generic) | None => return Some(mfa),
        };
        context.findings.add(Fault::error(mfa.span.clone(), title).help(help));
        None
    }

    /// The plan of the profile `name` with these `hops`.
    pub(super) fn plan(
        &self,
        name: &ProfileName,
        leaf: &Settings,
        hops: Vec<Option<Hop>>,
        eager: bool,
    ) -> Option<Plan> {
        let mut through: Vec<Hop> = hops.into_iter().collect::<Option<_>>()?;
        let last = through.pop()?;
        let base = self.base()?;
        let client = leaf.client(&last.sts);
        Some(Plan { profile: name.clone(), base, through, last, client, eager })
    }

    /// What the first hop is signed with.
    fn base(&self) -> Option<Base> {
        Some(match self.start.as_ref()? {
            Start::Key(source) => Base::Key(source.clone()),
            Start::Provider(provider) if self.is_provided(provider) => Base::Anonymous,
            Start::Provider(provider) => Base::Given(provider.clone()),
            Start::Token(_) => Base::Anonymous,
        })
    }

    /// Whether the session of `provider` is a hop of its own: where it always is one, and where nothing comes after
    /// it.
    fn is_provided(&self, provider: &Provider) -> bool {
        provider.gives_sessions() || self.roles.is_empty()
    }

    /// The hop before any role, if there is one (`None` in its place where it is no good), and the way in which the first role is assumed.
    ///
    /// One session of the user serves every role behind a device, except a role that is to live longer than AWS lets
    /// a session assume it: that gets the code itself.
    fn opening(&self, leaf: &Settings, mfa: Option<&Mfa>) -> (Vec<Option<Hop>>, Way) {
        let of_user = |call| {
            let sts = self.settings.user_endpoint(leaf, self.partition());
            vec![sts.map(|sts| Hop { sts, call })]
        };
        let device = mfa.map(|mfa| mfa.device.clone());
        match &self.start {
            Some(Start::Token(token)) => (Vec::new(), Way::Token(token.clone())),
            Some(Start::Provider(provider)) if self.is_provided(provider) => {
                (of_user(Call::Provided(provider.clone())), Way::Session)
            }
            Some(Start::Key(_)) => {
                let role = self.roles.first();
                let shared = mfa.and_then(|mfa| mfa.session);
                let is_long = role.is_some_and(|(_, role)| role.outlives_chaining());
                if role.is_none() || (shared.is_some() && !is_long) {
                    let call = Call::GetSessionToken { device, duration: shared };
                    (of_user(call), Way::Session)
                } else {
                    (Vec::new(), Way::Key { device })
                }
            }
            // Whether it gives a key is not known before: if it does, the code belongs to the request of the role.
            Some(Start::Provider(_)) | None => (Vec::new(), Way::Key { device }),
        }
    }

    /// The partition that the chain lies in, by its first role or its device.
    fn partition(&self) -> Option<&str> {
        let of_role = self.roles.first().map(|(_, role)| role.arn.value.partition());
        let of_device = || {
            let serial = self.mfa?.device.serial.as_str();
            serial.strip_prefix("arn:")?.split(':').next()
        };
        of_role.or_else(of_device)
    }
}
