//! What a plan has this machine do: the commands that it runs, and the files of other programs that it writes.

use std::path::Path;

use crate::model::{
    Base, Call, CodeSource, CommandLine, Hop, KeySource, MfaDevice, OidcClient, OidcGrant, Plan,
    Provider, SecretSource, TokenSource,
};

impl Plan {
    /// A command that is run for its credentials; `None` where there is none.
    #[must_use]
    pub fn command(&self) -> Option<&CommandLine> {
        let of_base = match &self.base {
            Base::Anonymous => None,
            Base::Given(provider) => of_provider(provider),
            Base::Key(source) => of_key(source),
        };
        of_base.or_else(|| self.hops().find_map(of_hop))
    }

    /// The directories in which a sign-in that other programs made is kept, and written when it is renewed.
    pub fn sign_ins(&self) -> impl Iterator<Item = &Path> {
        let of_base = match &self.base {
            Base::Given(provider) => Some(provider),
            Base::Anonymous | Base::Key(_) => None,
        };
        let of_hops = self.hops().filter_map(|hop| match &hop.call {
            Call::Provided(provider) => Some(provider),
            Call::AssumeRole { .. }
            | Call::AssumeRoleWithWebIdentity { .. }
            | Call::GetSessionToken { .. } => None,
        });
        of_base.into_iter().chain(of_hops).filter_map(|provider| match provider {
            Provider::Login(session) => Some(session.cache.as_path()),
            Provider::Sso(role) => Some(role.cache.as_path()),
            Provider::Ecs | Provider::Environment | Provider::Imds | Provider::Process(_) => None,
        })
    }
}

fn of_hop(hop: &Hop) -> Option<&CommandLine> {
    match &hop.call {
        Call::AssumeRole { device, .. } | Call::GetSessionToken { device, .. } => {
            device.as_ref().and_then(of_device)
        }
        Call::AssumeRoleWithWebIdentity { token, .. } => match token {
            TokenSource::Command(command) => Some(command),
            TokenSource::File(_) => None,
            TokenSource::Oidc(client) => of_client(client),
        },
        Call::Provided(provider) => of_provider(provider),
    }
}

fn of_provider(provider: &Provider) -> Option<&CommandLine> {
    match provider {
        Provider::Process(command) => Some(command),
        Provider::Ecs
        | Provider::Environment
        | Provider::Imds
        | Provider::Login(_)
        | Provider::Sso(_) => None,
    }
}

fn of_key(source: &KeySource) -> Option<&CommandLine> {
    match source {
        KeySource::Command { print, .. } => Some(print),
        KeySource::AwsProfile { .. }
        | KeySource::Environment
        | KeySource::File(_)
        | KeySource::Keyring(_)
        | KeySource::SystemdCredential { .. } => None,
    }
}

fn of_device(device: &MfaDevice) -> Option<&CommandLine> {
    match &device.code {
        CodeSource::Command(command) => Some(command),
        CodeSource::Prompt => None,
        CodeSource::Totp(seed) => of_secret(seed),
    }
}

fn of_client(client: &OidcClient) -> Option<&CommandLine> {
    let refresh = match &client.grant {
        OidcGrant::RefreshToken(token) => of_secret(token),
        OidcGrant::ClientCredentials | OidcGrant::DeviceCode => None,
    };
    refresh.or_else(|| client.client_secret.as_ref().and_then(of_secret))
}

fn of_secret(source: &SecretSource) -> Option<&CommandLine> {
    match source {
        SecretSource::Command(command) => Some(command),
        SecretSource::File(_) | SecretSource::SystemdCredential { .. } => None,
    }
}
