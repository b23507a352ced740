//! What there is in the place of the Secret Service where the feature `keyring` is off.

use std::future::ready;

use zeroize::Zeroizing;

use super::{Attributes, KeyringProblem};

pub(super) fn read(
    _: Attributes<'_>,
) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, KeyringProblem>> {
    ready(Err(KeyringProblem::NotBuiltIn))
}

pub(super) fn write(
    _: &str,
    _: Attributes<'_>,
    _: &[u8],
) -> impl Future<Output = Result<(), KeyringProblem>> {
    ready(Err(KeyringProblem::NotBuiltIn))
}

pub(super) fn delete(_: Attributes<'_>) -> impl Future<Output = Result<(), KeyringProblem>> {
    ready(Err(KeyringProblem::NotBuiltIn))
}
