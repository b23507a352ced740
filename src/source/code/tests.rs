//! One code at a time, whoever asks, whatever breaks.

use std::fs;

use tokio::time::advance;

use super::*;
use crate::model::parse_timestamp;

/// RFC 6238, appendix B.
const SEED: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

struct Place {
    directory: tempfile::TempDir,
    clock: Clock,
}

impl Place {
    /// A state directory, at `seconds` in a step of thirty.
    fn new(seconds: u64) -> Self {
        let start = parse_timestamp("2026-03-01T12:00:00Z").unwrap();
        let clock = Clock::simulated(start + Duration::from_secs(seconds));
        let directory = tempfile::tempdir().unwrap();
        crate::files::write_atomically(&directory.path().join("seed"), SEED.as_bytes(), 0o600)
            .unwrap();
        Self { directory, clock }
    }

    fn codes(&self) -> Codes {
        Codes::open(self.directory.path(), self.clock)
    }

    fn totp(&self) -> MfaDevice {
        device(CodeSource::Totp(SecretSource::File(self.directory.path().join("seed"))))
    }

    fn command(&self, script: &str) -> MfaDevice {
        let script = script.replace("DIR", &self.directory.path().to_string_lossy());
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        device(CodeSource::Command(CommandLine::new(words.to_vec()).unwrap()))
    }

    fn state(&self) -> std::path::PathBuf {
        self.directory.path().join("mfa/codes.json")
    }

    /// What the device shows, `ahead` seconds from now.
    fn shown(&self, ahead: u64) -> String {
        let at = self.clock.now() + Duration::from_secs(ahead);
        Seed::parse(SEED).unwrap().code(at).expose_secret().to_owned()
    }
}

fn device(code: CodeSource) -> MfaDevice {
    MfaDevice { serial: MfaSerial::parse("arn:aws:iam::123456789012:mfa/me").unwrap(), code }
}

async fn take(codes: &Codes, device: &MfaDevice) -> Result<String, Failure> {
    codes.take(device).await.map(|code| code.expose_secret().to_owned())
}

#[tokio::test(start_paused = true)]
async fn those_who_come_together_get_the_codes_of_one_step_after_another() {
    let place = Place::new(10);
    let (codes, device) = (place.codes(), place.totp());
    let now = place.shown(0);
    let then = place.shown(20);
    let began = Instant::now();
    let (first, second, third) =
        tokio::join!(take(&codes, &device), take(&codes, &device), take(&codes, &device));
    let mut got: Vec<_> = [&first, &second, &third].into_iter().flatten().cloned().collect();
    got.sort();
    let mut expected = vec![now, then];
    expected.sort();
    assert_eq!(got, expected);
    assert_eq!(began.elapsed().as_secs(), 20, "the second waited for its step");
    let late = [first, second, third].into_iter().find_map(Result::err).unwrap();
    assert_eq!(late.kind, FailureKind::Unreachable);
    assert!(late.message.ends_with("mfa/me comes in 50 s"), "{late}");
    advance(Duration::from_secs(30)).await;
    assert_eq!(take(&codes, &device).await.unwrap(), place.shown(0));
}

#[tokio::test(start_paused = true)]
async fn a_crash_makes_no_code_come_twice() {
    let place = Place::new(3);
    let device = place.totp();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        assert!(seen.insert(take(&place.codes(), &device).await.unwrap()));
        let text = fs::read_to_string(place.state()).unwrap();
        assert!(!seen.iter().any(|code| text.contains(code)), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_waiting_has_spent_the_code_all_the_same() {
    let place = Place::new(0);
    let (codes, device) = (place.codes(), place.totp());
    let first = place.shown(0);
    let third = place.shown(60);
    assert_eq!(take(&codes, &device).await.unwrap(), first);
    let gone = tokio::time::timeout(Duration::from_secs(1), codes.take(&device)).await;
    assert!(gone.is_err());
    advance(Duration::from_secs(30)).await;
    assert_eq!(take(&codes, &device).await.unwrap(), third);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_gives_no_code_again() {
    let place = Place::new(95);
    let device = place.totp();
    take(&place.codes(), &device).await.unwrap();
    let earlier = Place { clock: Place::new(91).clock, ..place };
    let code = earlier.shown(29);
    let began = Instant::now();
    assert_eq!(take(&earlier.codes(), &device).await.unwrap(), code);
    assert_eq!(began.elapsed().as_secs(), 29);
}

#[tokio::test(start_paused = true)]
async fn without_a_record_no_code_is_given_out() {
    let place = Place::new(0);
    let device = place.totp();
    let codes = place.codes();
    // Where the directory of the record should be is a file.
    fs::write(place.directory.path().join("mfa"), "").unwrap();
    let failure = take(&codes, &device).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Misconfigured, "MfaState"));
    assert!(failure.message.contains("mfa/codes.json cannot be written"), "{failure}");
    fs::remove_file(place.directory.path().join("mfa")).unwrap();
    advance(Duration::from_secs(30)).await;
    assert_eq!(take(&codes, &device).await.unwrap(), place.shown(0));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_put_aside_and_a_step_is_waited_for() {
    let place = Place::new(12);
    let device = place.totp();
    take(&place.codes(), &device).await.unwrap();
    let whole = fs::read_to_string(place.state()).unwrap();
    fs::write(place.state(), &whole[..whole.len() / 2]).unwrap();
    let codes = place.codes();
    let typed = device_of_a_person();
    let refused = codes.deliver(&typed, "990077".into()).unwrap_err();
    assert!(refused.message.ends_with("wait for the next one"), "{refused}");
    let next = place.shown(18);
    let began = Instant::now();
    assert_eq!(take(&codes, &device).await.unwrap(), next);
    assert_eq!(began.elapsed().as_secs(), 18);
    codes.deliver(&typed, "990077".into()).unwrap();
    let aside = place.directory.path().join("mfa/codes.json.damaged");
    assert_eq!(fs::read_to_string(aside).unwrap(), whole[..whole.len() / 2]);
    // A record that others could have written is not trusted either.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(place.state(), mode).unwrap();
    let wait = place.codes().take(&device).await;
    assert!(wait.is_ok());
    assert_eq!(began.elapsed().as_secs(), 48);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_opened_is_no_reason_to_guess() {
    let place = Place::new(0);
    fs::create_dir(place.directory.path().join("mfa")).unwrap();
    // A link to itself cannot be opened, by root neither.
    std::os::unix::fs::symlink(place.state(), place.state()).unwrap();
    let codes = place.codes();
    for failure in [
        take(&codes, &place.totp()).await.unwrap_err(),
        codes.deliver(&device_of_a_person(), "990077".into()).unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert!(failure.message.contains("cannot be read"), "{failure}");
        assert!(failure.message.contains("remove it"), "{failure}");
    }
    fs::remove_file(place.state()).unwrap();
    assert!(take(&codes, &place.totp()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_can_be_opened_again_is_read_for_whoever_comes_first() {
    let place = Place::new(0);
    let person = device_of_a_person();
    let earlier = place.codes();
    earlier.deliver(&person, "990077".into()).unwrap();
    take(&earlier, &person).await.unwrap();
    let away = place.directory.path().join("away");
    fs::rename(place.state(), &away).unwrap();
    std::os::unix::fs::symlink(place.state(), place.state()).unwrap();
    let codes = place.codes();
    assert!(codes.deliver(&person, "123456".into()).is_err());
    fs::rename(&away, place.state()).unwrap();
    codes.deliver(&person, "123456".into()).unwrap();
    let again = codes.deliver(&person, "990077".into()).unwrap_err();
    assert!(again.message.contains("used already"), "{again}");
}

fn device_of_a_person() -> MfaDevice {
    device(CodeSource::Prompt)
}

#[tokio::test(start_paused = true)]
async fn a_typed_code_is_taken_once_and_soon() {
    let place = Place::new(0);
    let (codes, device) = (place.codes(), device_of_a_person());
    let needed = codes.take(&device).await.unwrap_err();
    assert_eq!((needed.kind, needed.code.as_str()), (FailureKind::PersonNeeded, "MfaRequired"));
    assert_eq!(needed.message, "an MFA code of arn:aws:iam::123456789012:mfa/me is needed");
    for bad in ["99007", "9900770", "99007x", "", "１２３４５６"] {
        let refused = codes.deliver(&device, bad.into()).unwrap_err();
        assert_eq!(refused.kind, FailureKind::Refused);
        assert!(bad.is_empty() || !refused.message.contains(bad), "{refused}");
    }
    codes.deliver(&device, " 990077\n".into()).unwrap();
    assert!(!format!("{codes:?}").contains("990077"));
    assert_eq!(take(&codes, &device).await.unwrap(), "990077");
    assert!(codes.take(&device).await.is_err(), "it is gone");
    for codes in [&codes, &place.codes()] {
        let again = codes.deliver(&device, "990077".into()).unwrap_err();
        assert_eq!(again.message, "this code was used already; wait for the next one");
        assert_eq!((again.kind, again.code.as_str()), (FailureKind::Refused, "InvalidMfaCode"));
    }
    codes.deliver(&device, "654321".into()).unwrap();
    advance(SHELF_LIFE).await;
    assert_eq!(codes.take(&device).await.unwrap_err().kind, FailureKind::PersonNeeded);
    advance(Duration::from_mins(5)).await;
    codes.deliver(&device, "990077".into()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_code_that_is_typed_again_while_it_is_taken_is_sent_once() {
    let place = Place::new(0);
    let (codes, device) = (place.codes(), device_of_a_person());
    codes.deliver(&device, "990077".into()).unwrap();
    // Whether the second is refused here depends on how far the first has come; it is never given out.
    let (first, _) =
        tokio::join!(take(&codes, &device), async { codes.deliver(&device, "990077".into()) });
    assert_eq!(first.unwrap(), "990077");
    let second = take(&codes, &device).await.unwrap_err();
    assert_eq!(second.kind, FailureKind::PersonNeeded);
}

#[tokio::test(start_paused = true)]
async fn a_reserved_code_is_nobody_elses_and_a_persons_cannot_be_reserved() {
    let place = Place::new(12);
    let (codes, device) = (place.codes(), place.totp());
    let shown = place.shown(0);
    let (code, until) = codes.reserve(&device).await.unwrap();
    assert_eq!(code.expose_secret(), shown);
    assert_eq!(until.duration_since(place.clock.now()).unwrap().as_secs(), 18);
    assert_ne!(take(&codes, &device).await.unwrap(), shown);
    let failure = codes.reserve(&device_of_a_person()).await.unwrap_err();
    assert!(failure.message.contains("read one off the device"), "{failure}");
    let failure = codes.deliver(&device, "990077".into()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_is_none_is_told_and_not_quoted() {
    let place = Place::new(0);
    let seed = place.directory.path().join("seed");
    for (text, said) in
        [("hush-hush!", "is no seed"), ("otpauth://totp/x?secret=A&digits=8", "six digits")]
    {
        fs::write(&seed, text).unwrap();
        let failure = take(&place.codes(), &place.totp()).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert!(failure.message.contains(said) && !failure.message.contains("hush"), "{failure}");
    }
    assert!(!place.state().exists());
}

/// In real time, for the command runs in it: the step ends half a second after the start.
#[tokio::test]
async fn a_command_is_asked_again_for_the_next_step() {
    let mut place = Place::new(0);
    let boundary = parse_timestamp("2026-03-01T12:00:30Z").unwrap();
    place.clock = Clock::simulated(boundary - Duration::from_millis(500));
    let codes = place.codes();
    let count = "n=$(cat DIR/n 2>/dev/null || echo 0); echo $((n+1)) > DIR/n; printf %06d\\\\n $n";
    let device = place.command(count);
    let first = take(&codes, &device).await.unwrap();
    let second = take(&codes, &device).await.unwrap();
    assert_eq!((first.as_str(), second.as_str()), ("000000", "000001"));
    assert!(place.clock.now() >= boundary);
}

#[tokio::test]
async fn a_command_that_prints_an_old_code_or_none_gives_none() {
    let place = Place::new(0);
    let codes = place.codes();
    let code = SecretString::from("990077");
    let same = place.command("echo 990077");
    let now = place.clock.now();
    let spend = |ledger: &mut ledger::Ledger| {
        ledger.spend(&same.serial, &code, now - Duration::from_secs(30));
        Ok(())
    };
    codes.0.book.change(now, spend).unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(2), codes.take(&same)).await;
    assert!(outcome.is_err(), "the next code is waited for");
    for (script, kind, said) in [
        ("echo 99007", FailureKind::Misconfigured, "printed no code"),
        ("echo me 990077", FailureKind::Misconfigured, "printed no code"),
        ("exit 3", FailureKind::Unreachable, "ended with exit status: 3"),
        ("cat /dev/zero", FailureKind::Misconfigured, "wrote more than 256 bytes"),
    ] {
        let failure = codes.take(&place.command(script)).await.unwrap_err();
        assert_eq!(failure.kind, kind, "{script}");
        assert!(failure.message.contains(said), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_far_ahead_is_told_of() {
    let place = Place::new(0);
    let codes = place.codes();
    let now = place.clock.now();
    let ahead = |ledger: &mut ledger::Ledger| {
        ledger.forget(now + Duration::from_hours(24));
        Ok(())
    };
    codes.0.book.change(now, ahead).unwrap();
    let failure = take(&codes, &place.totp()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.message.contains("comes in 86430 s: codes were sent"), "{failure}");
}
