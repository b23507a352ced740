//! The MFA device of an IAM user, and how its codes are used.

use crate::config::fault::Span;
use crate::model::{MfaDevice, SessionDuration};

/// A device as a profile names it.
#[derive(Clone, Debug)]
pub(super) struct Mfa {
    pub(super) device: MfaDevice,
    /// How long the session that all profiles behind the device share shall live; `None` where each role gets a code
    /// of its own.
    pub(super) session: Option<SessionDuration>,
    /// Where the profile names it.
    pub(super) span: Span,
}
