//! What a change of the configuration means for what runs: decided here, carried out elsewhere.

use std::net::SocketAddr;

use crate::config::{DaemonSettings, EndpointConfig, Listen};

/// A listener as it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running<'a> {
    pub(super) endpoint: &'a EndpointConfig,
    pub(super) address: SocketAddr,
}

/// How an endpoint of the next configuration comes to its listener; the numbers are places among those that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This one stays as it is.
    Keep(usize),
    /// A socket is to be had that nobody here has.
    Open,
    /// What it serves is another thing from now on, at the socket of this one, which is never closed.
    TakeOver(usize),
}

/// The step for each endpoint of `wanted`; of those that run, the ones that no step names are closed.
///
/// A socket belongs to a place, not to a name: endpoints that change names, or swap their addresses, never leave a port
/// to somebody else.
pub(super) fn steps(running: &[Running<'_>], wanted: &[EndpointConfig]) -> Vec<Step> {
    let step = |wanted: &EndpointConfig| {
        let there = |it: &Running<'_>| is_there(it, wanted);
        match running.iter().position(there).zip(running.iter().find(|it| there(it))) {
            Some((place, found)) if found.endpoint == wanted => Step::Keep(place),
            Some((place, _)) => Step::TakeOver(place),
            None => Step::Open,
        }
    };
    wanted.iter().map(step).collect()
}

fn is_there(running: &Running<'_>, wanted: &EndpointConfig) -> bool {
    match &wanted.listen {
        Listen::Address(address) => address.get() == running.address,
        Listen::FreePort => {
            running.endpoint.listen == Listen::FreePort && running.endpoint.name == wanted.name
        }
        Listen::Socket(_) => running.endpoint.listen == wanted.listen,
    }
}

/// The keys of `[daemon]` whose new values wait for the next start.
pub(super) fn waits_for_a_start(old: &DaemonSettings, new: &DaemonSettings) -> Vec<&'static str> {
    // The audit is another's from the moment it is read.
    let DaemonSettings { state_dir, control, store, idle, mfa_warning, notify, audit: _ } = old;
    let same = [
        ("state_dir", *state_dir == new.state_dir),
        ("control", *control == new.control),
        ("store", *store == new.store),
        ("idle", *idle == new.idle),
        ("mfa_warning", *mfa_warning == new.mfa_warning),
        ("notify", *notify == new.notify),
    ];
    same.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EndpointKind, HttpTokens, ListenAddress};
    use crate::model::ProfileName;

    fn at(port: u16) -> Listen {
        Listen::Address(ListenAddress::new(([127, 0, 0, 1], port).into()).unwrap())
    }

    fn container(name: &str, listen: Listen) -> EndpointConfig {
        EndpointConfig { name: name.to_owned(), listen, kind: EndpointKind::Container }
    }

    fn imds(name: &str, listen: Listen, profile: &str) -> EndpointConfig {
        let profiles = vec![ProfileName::parse(profile).unwrap()];
        let kind = EndpointKind::Imds { profiles, http_tokens: HttpTokens::Required };
        EndpointConfig { name: name.to_owned(), listen, kind }
    }

    /// The steps from endpoints that run at these ports.
    fn from(running: &[(EndpointConfig, u16)], wanted: &[EndpointConfig]) -> Vec<Step> {
        let running: Vec<_> = running
            .iter()
            .map(|(endpoint, port)| Running { endpoint, address: ([127, 0, 0, 1], *port).into() })
            .collect();
        steps(&running, wanted)
    }

    #[test]
    fn what_is_the_same_stays_and_what_is_gone_is_named_by_no_step() {
        let running = [(container("local", Listen::FreePort), 4711), (imds("m", at(80), "x"), 80)];
        let wanted = [container("local", Listen::FreePort)];
        assert_eq!(from(&running, &wanted), [Step::Keep(0)]);
    }

    #[test]
    fn another_address_is_opened_beside_the_old_one() {
        let running = [(container("local", at(1)), 1)];
        assert_eq!(from(&running, &[container("local", at(2))]), [Step::Open]);
        assert_eq!(from(&running, &[container("local", Listen::FreePort)]), [Step::Open]);
    }

    #[test]
    fn what_changes_at_its_place_takes_the_socket_over() {
        let running = [(imds("m", at(1), "x"), 1), (imds("s", Listen::Socket("s".into()), "x"), 2)];
        let wanted = [imds("m", at(1), "y"), imds("s", Listen::Socket("s".into()), "y")];
        assert_eq!(from(&running, &wanted), [Step::TakeOver(0), Step::TakeOver(1)]);
        assert_eq!(from(&running, &[container("renamed", at(1))]), [Step::TakeOver(0)]);
        // However it was had: here it came from systemd.
        assert_eq!(from(&running, &[imds("s", at(2), "x")]), [Step::TakeOver(1)]);
    }

    #[test]
    fn two_that_swap_their_addresses_swap_their_sockets() {
        let running = [(container("a", at(1)), 1), (container("b", at(2)), 2)];
        let wanted = [container("a", at(2)), container("b", at(1))];
        assert_eq!(from(&running, &wanted), [Step::TakeOver(1), Step::TakeOver(0)]);
    }
}
