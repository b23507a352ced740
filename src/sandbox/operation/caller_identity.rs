//! `GetCallerIdentity`: who the signer is. Nobody needs a permission for it.

use crate::sandbox::answer::Answer;
use crate::sandbox::principal::Principal;

pub(super) fn perform(caller: &Principal) -> Answer {
    Answer::new()
        .text("Arn", &caller.arn)
        .text("UserId", &caller.user_id)
        .text("Account", &caller.account)
}
