//! Which files a lease stands on: keys, tokens, secrets, and the authorities that its STS is known by.

use std::path::Path;

use crate::model::{
    Base, Call, CodeSource, Hop, KeySource, LeaseKey, OidcClient, OidcGrant, SecretSource,
    TokenSource,
};

impl LeaseKey {
    /// The files that are read when the lease is renewed, or one that it is signed with.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        if let Base::Key(source) = &self.base {
            of_key(source, &mut files);
        }
        for hop in self.through.iter().chain([&self.last]) {
            of_hop(hop, &mut files);
        }
        files
    }
}

fn of_key<'a>(source: &'a KeySource, files: &mut Vec<&'a Path>) {
    match source {
        KeySource::AwsProfile { credentials_file, config_file, .. } => {
            files.extend([credentials_file.as_path(), config_file]);
        }
        KeySource::File(path) | KeySource::SystemdCredential { path, .. } => files.push(path),
        KeySource::Command { .. } | KeySource::Environment | KeySource::Keyring(_) => {}
    }
}

fn of_hop<'a>(hop: &'a Hop, files: &mut Vec<&'a Path>) {
    files.extend(hop.sts.ca_bundle.as_deref());
    if let Some(CodeSource::Totp(seed)) = hop.call.device().map(|device| &device.code) {
        of_secret(seed, files);
    }
    if let Call::AssumeRoleWithWebIdentity { token, .. } = &hop.call {
        match token {
            TokenSource::File(path) => files.push(path),
            TokenSource::Oidc(client) => of_client(client, files),
            TokenSource::Command(_) => {}
        }
    }
}

fn of_client<'a>(client: &'a OidcClient, files: &mut Vec<&'a Path>) {
    files.extend(client.ca_bundle.as_deref());
    if let Some(secret) = &client.client_secret {
        of_secret(secret, files);
    }
    if let OidcGrant::RefreshToken(secret) = &client.grant {
        of_secret(secret, files);
    }
}

fn of_secret<'a>(secret: &'a SecretSource, files: &mut Vec<&'a Path>) {
    match secret {
        SecretSource::File(path) | SecretSource::SystemdCredential { path, .. } => files.push(path),
        SecretSource::Command(_) => {}
    }
}
