//! Lists, a page at a time: `MaxItems` of them, and a `Marker` where more are left.

use crate::sandbox::answer::{Answer, Refusal};
use crate::sandbox::form::Form;
use crate::sandbox::limit::Bounds;

/// The page of `members` that `form` asks for, in a list called `name`.
pub(super) fn page(
    name: &'static str,
    members: Vec<Answer>,
    form: &Form,
    mut bounds: Bounds,
) -> Result<Answer, Refusal> {
    let most = form.number("MaxItems")?;
    bounds.number("maxItems", most, 1..=1000);
    bounds.finish()?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(DEFAULT_ITEMS);
    let first = match form.text("Marker") {
        None => 0,
        Some(marker) => marker
            .parse()
            .ok()
            .filter(|first| *first < members.len())
            .ok_or_else(|| Refusal::validation("Invalid Marker."))?,
    };
    let next = first + most;
    let is_truncated = next < members.len();
    let members = members.into_iter().skip(first).take(most);
    Ok(Answer::new()
        .text("IsTruncated", is_truncated.to_string())
        .list(name, members)
        .optional("Marker", is_truncated.then(|| next.to_string())))
}

/// How many there are on a page where nobody says (IAM API Reference, `ListAccessKeys`, `MaxItems`).
const DEFAULT_ITEMS: usize = 100;
