//! The file with the ticket, kept fresh while the child runs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;

use crate::cli::client::ClientFault;
use crate::cli::exit::{Complaint, warn};
use crate::endpoint::control::wire::Ticket;
use crate::model::{Clock, parse_timestamp};

/// A file that always holds one whole ticket: 0600, without a newline (several SDKs refuse one), and renewed by a
/// rename (contract B.1).
pub(super) struct TicketFile {
    path: PathBuf,
    clock: Clock,
    schedule: Schedule,
    warned: bool,
}

impl TicketFile {
    /// Writes a first ticket to `path`.
    pub(super) fn write(path: PathBuf, ticket: &Ticket) -> io::Result<Self> {
        let clock = Clock::system();
        let schedule = Schedule::new(ticket, clock.now());
        put(&path, ticket)?;
        Ok(Self { path, clock, schedule, warned: false })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renews the ticket if it is time; how long to leave it alone after that.
    ///
    /// The wall clock is looked at each time: a ticket ends while the machine sleeps too. Nothing is said about a
    /// failed try until the ticket is about to end, and then once: the terminal is the child's.
    pub(super) fn keep_fresh(
        &mut self,
        renew: impl FnOnce() -> Result<Ticket, ClientFault>,
    ) -> Duration {
        let now = self.clock.now();
        if self.schedule.due(now) {
            let renewed = renew().map_err(Complaint::from).and_then(|ticket| {
                put(&self.path, &ticket).map(|()| ticket).map_err(|error| {
                    Complaint::new(crate::cli::exit::Exit::Internal, error.to_string())
                })
            });
            match renewed {
                Ok(ticket) => {
                    self.schedule = Schedule::new(&ticket, now);
                    self.warned = false;
                }
                Err(complaint) => {
                    self.schedule.next = now + RETRY;
                    if !self.warned && self.schedule.ends_soon(now) {
                        self.warned = true;
                        warn(&complaint);
                    }
                }
            }
        }
        self.schedule.wait(self.clock.now())
    }
}

fn put(path: &Path, ticket: &Ticket) -> io::Result<()> {
    crate::files::write_atomically(path, ticket.ticket.expose_secret().as_bytes(), 0o600)
}

/// When to ask for the next ticket; pure.
struct Schedule {
    since: SystemTime,
    next: SystemTime,
    expires: SystemTime,
}

impl Schedule {
    /// Half the ticket's life from now.
    fn new(ticket: &Ticket, now: SystemTime) -> Self {
        let expires = parse_timestamp(&ticket.expires).unwrap_or(now);
        let life = expires.duration_since(now).unwrap_or_default();
        Self { since: now, next: now + (life / 2).max(FLOOR), expires }
    }

    /// Whether to ask; also when the clock was set back behind the last time.
    fn due(&self, now: SystemTime) -> bool {
        now >= self.next || now < self.since
    }

    fn ends_soon(&self, now: SystemTime) -> bool {
        now + Duration::from_mins(5) > self.expires
    }

    fn wait(&self, now: SystemTime) -> Duration {
        self.next.duration_since(now).unwrap_or_default().clamp(FLOOR, LOOK)
    }
}

/// The shortest pause.
const FLOOR: Duration = Duration::from_secs(1);

/// How often the wall clock is looked at: after a machine's sleep the ticket is renewed this soon.
const LOOK: Duration = Duration::from_secs(15);

/// How long to wait after a failed try.
const RETRY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::wire::ClientView;
    use crate::model::timestamp;

    fn ticket(now: SystemTime, life: u64) -> Ticket {
        Ticket {
            ticket: "t".into(),
            expires: timestamp(now + Duration::from_secs(life)),
            url: String::new(),
            client: ClientView::default(),
        }
    }

    #[test]
    fn a_ticket_is_renewed_at_half_its_life() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds| now + Duration::from_secs(seconds);
        let schedule = Schedule::new(&ticket(now, 3600), now);
        assert!(!schedule.due(at(1799)));
        assert!(schedule.due(at(1800)));
        assert!(schedule.due(now - Duration::from_secs(1)));
        assert!(!schedule.ends_soon(at(3300)));
        assert!(schedule.ends_soon(at(3301)));
    }

    #[test]
    fn the_clock_is_looked_at_often_but_not_in_a_spin() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(Schedule::new(&ticket(now, 3600), now).wait(now), LOOK);
        assert_eq!(Schedule::new(&ticket(now, 0), now).wait(now), FLOOR);
    }
}
