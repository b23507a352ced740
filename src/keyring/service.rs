//! The Secret Service on the session bus, asked through the crate of that name.

use secret_service::{EncryptionType, Error, Item, SecretService};
use zeroize::Zeroizing;

use super::{Attributes, CAP, KeyringProblem};

pub(super) async fn read(attributes: Attributes<'_>) -> Result<Zeroizing<Vec<u8>>, KeyringProblem> {
    let service = connect().await?;
    let item = find(&service, attributes).await?.ok_or(KeyringProblem::Missing)?;
    let secret = Zeroizing::new(item.get_secret().await.map_err(|error| problem(&error))?);
    if secret.len() > CAP { Err(KeyringProblem::TooLarge) } else { Ok(secret) }
}

pub(super) async fn write(
    label: &str,
    attributes: Attributes<'_>,
    secret: &[u8],
) -> Result<(), KeyringProblem> {
    let service = connect().await?;
    if let Some(item) = find(&service, attributes).await? {
        return item.set_secret(secret, CONTENT_TYPE).await.map_err(|error| problem(&error));
    }
    let keyring = match service.get_default_collection().await {
        Ok(keyring) => keyring,
        Err(Error::NoResult) => return Err(KeyringProblem::NoKeyring),
        Err(error) => return Err(problem(&error)),
    };
    let named = attributes.iter().copied().collect();
    let made = keyring.create_item(label, named, secret, true, CONTENT_TYPE).await;
    made.map(drop).map_err(|error| problem(&error))
}

pub(super) async fn delete(attributes: Attributes<'_>) -> Result<(), KeyringProblem> {
    let service = connect().await?;
    match find(&service, attributes).await? {
        Some(item) => item.delete().await.map_err(|error| problem(&error)),
        None => Ok(()),
    }
}

async fn connect() -> Result<SecretService<'static>, KeyringProblem> {
    SecretService::connect(EncryptionType::Dh).await.map_err(|error| {
        let said = error.to_string();
        // Whoever answers on the bus names an error.
        if said.contains("org.freedesktop.") {
            return problem(&error);
        }
        KeyringProblem::NoBus(said.replace("zbus error: ", ""))
    })
}

/// The one item that has `attributes`; `None` where there is none and a keyring is open in which one could be made.
async fn find<'a>(
    service: &'a SecretService<'_>,
    attributes: Attributes<'_>,
) -> Result<Option<Item<'a>>, KeyringProblem> {
    let named = attributes.iter().copied().collect();
    let found = service.search_items(named).await.map_err(|error| problem(&error))?;
    let count = found.unlocked.len();
    match found.unlocked.into_iter().next() {
        Some(item) if count == 1 => return Ok(Some(item)),
        Some(_) => return Err(KeyringProblem::Several(count)),
        None if !found.locked.is_empty() => return Err(KeyringProblem::Locked),
        None => {}
    }
    // What is in a locked keyring may not be found at all.
    let is_locked = match service.get_default_collection().await {
        Ok(keyring) => keyring.is_locked().await.map_err(|error| problem(&error))?,
        Err(Error::NoResult) => false,
        Err(error) => return Err(problem(&error)),
    };
    if is_locked { Err(KeyringProblem::Locked) } else { Ok(None) }
}

/// What an error means, by the name that D-Bus gives it (D-Bus specification, "Message Bus Messages"; Secret Service API,
/// "Errors").
fn problem(error: &Error) -> KeyringProblem {
    let said = error.to_string();
    let is = |names: &[&str]| names.iter().any(|name| said.contains(name));
    if matches!(error, Error::Locked | Error::Prompt) || is(&["Secret.Error.IsLocked"]) {
        KeyringProblem::Locked
    } else if is(&["Secret.Error.NoSuchObject", "DBus.Error.UnknownObject"]) {
        KeyringProblem::Missing
    } else if is(&["DBus.Error.ServiceUnknown", "DBus.Error.NameHasNoOwner", "DBus.Error.Spawn"]) {
        KeyringProblem::NoService
    } else {
        KeyringProblem::Failed(said)
    }
}

/// What the secrets are to whoever looks at them in a keyring's own program.
const CONTENT_TYPE: &str = "text/plain";
