//! Tickets: what was made here is read as it was written, and nothing else is a ticket.

#![no_main]

use std::time::Duration;

use credbroker::endpoint::ticket::TicketClaims;
use credbroker::model::ProfileName;
use credbroker_fuzz::{key, now};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

fuzz_target!(|input: (Vec<u8>, String, u32, u32, u16, u8)| {
    let (bytes, name, uid, life, place, with) = input;
    assert!(TicketClaims::verify(&key(), &bytes, 1, now()).is_err(), "a forged ticket was good");
    let Ok(profile) = ProfileName::parse(&name) else { return };
    let expires = now() + Duration::from_secs(u64::from(life) + 1);
    let claims = TicketClaims { profile, uid, expires, epoch: 1 };
    let ticket = claims.issue(&key()).expect("random bytes");
    let ticket = ticket.expose_secret().as_bytes();
    let read = TicketClaims::verify(&key(), ticket, 1, now()).expect("it was made here");
    assert_eq!((&read.profile, read.uid, read.epoch), (&claims.profile, uid, 1));
    assert!(TicketClaims::verify(&key(), ticket, 2, now()).is_err(), "of another epoch");
    assert!(TicketClaims::verify(&key(), ticket, 1, expires).is_err(), "its time is over");
    let mut touched = ticket.to_vec();
    let place = usize::from(place) % touched.len();
    if touched[place] != with {
        touched[place] = with;
        assert!(
            TicketClaims::verify(&key(), &touched, 1, now()).is_err(),
            "a touched ticket was good"
        );
    }
});
