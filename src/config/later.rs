//! Keys that are documented but that this version does not know how to obey: an honest fault, instead of "unknown".

use crate::config::cursor::Node;
use crate::config::fault::{Fault, quoted};

/// Keys of `[daemon]`.
pub(super) const DAEMON: &[&str] = &["audit"];

/// The fault for `node` where it is one of `keys`.
pub(super) fn key(node: &Node<'_>, keys: &[&str]) -> Option<Fault> {
    keys.contains(&node.key).then(|| {
        let title = format!("{} is not supported by this version", quoted(node.key));
        Fault::error(node.key_span.clone(), title).help("take it out")
    })
}
