//! The decisions, by table and by law.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::model::{ControlGroup, UnitName, UnitPath};

const OWNER: u32 = 1000;
const ALICE: u32 = 1001;
const BOB: u32 = 1002;
const OPS: u32 = 2000;
const ACTIONS: [Action; 3] = [Action::Login, Action::Manage, Action::Use];

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

fn name(text: &str) -> ProfileName {
    ProfileName::parse(text).unwrap()
}

fn account(name: &str, id: u32) -> Account {
    Account { name: name.to_owned(), id }
}

fn alice() -> Condition {
    Condition::User(account("alice", ALICE))
}

fn backup() -> Condition {
    Condition::Unit(UnitPath::parse("system.slice/backup.service").unwrap())
}

fn token(text: &str) -> Condition {
    let digest = TokenDigest::of(text.as_bytes());
    Condition::Token(RuleToken { file: "/etc/credbroker/token".into(), digest })
}

fn rule(profile: &str, conditions: Vec<Condition>) -> Rule {
    let profiles = Profiles::Named(BTreeSet::from([name(profile)]));
    Rule::new(profiles, conditions, BTreeSet::from([Action::Use])).unwrap()
}

fn access(conditions: Vec<Condition>) -> Access {
    Access::with_rules(OWNER, vec![rule("reader", conditions)])
}

fn at(channel: Channel, uid: Option<u32>) -> Caller {
    Caller { uid, ..Caller::unknown(channel, "here") }
}

fn with(proof: Proof, uid: Option<u32>) -> Caller {
    Caller { proof, ..at(Channel::Container, uid) }
}

fn shown(text: &str) -> Proof {
    Proof::Token(TokenDigest::of(text.as_bytes()))
}

fn decide(access: &Access, caller: &Caller, action: Action) -> Result<(), Refusal> {
    match access.decide(caller, &name("reader"), action, now()) {
        Decision::Allow(grant) => {
            assert_eq!(grant.profile(), &name("reader"));
            Ok(())
        }
        Decision::Refuse(refusal) => Err(refusal),
    }
}

fn may(access: &Access, caller: &Caller) -> bool {
    decide(access, caller, Action::Use).is_ok()
}

#[test]
fn without_rules_it_is_the_owner_and_root_at_the_control_socket() {
    let access = Access::new(OWNER);
    for action in ACTIONS {
        for uid in [OWNER, ROOT] {
            assert_eq!(decide(&access, &Caller::at_control(uid), action), Ok(()));
        }
        assert_eq!(decide(&access, &Caller::at_control(ALICE), action), Err(Refusal::NoRule));
        assert_eq!(decide(&access, &at(Channel::Control, None), action), Err(Refusal::Unknown));
    }
}

#[test]
fn a_ticket_is_good_for_its_holder_and_for_whom_the_kernel_cannot_tell_apart() {
    let access = Access::new(OWNER);
    for holder in [OWNER, ROOT] {
        for sender in [Some(holder), Some(ROOT), None] {
            assert_eq!(decide(&access, &with(Proof::Ticket(holder), sender), Action::Use), Ok(()));
        }
        let stolen = with(Proof::Ticket(holder), Some(BOB));
        assert_eq!(decide(&access, &stolen, Action::Use), Err(Refusal::ForeignTicket));
    }
    // The owner's process with root's ticket.
    let other = with(Proof::Ticket(ROOT), Some(OWNER));
    assert_eq!(decide(&access, &other, Action::Use), Err(Refusal::ForeignTicket));
    let strangers = with(Proof::Ticket(ALICE), Some(ALICE));
    assert_eq!(decide(&access, &strangers, Action::Use), Err(Refusal::NoRule));
}

#[test]
fn the_container_endpoint_gives_nobody_anything_without_a_ticket_or_a_token() {
    let rules = access(vec![Condition::Endpoint("here".to_owned())]);
    for uid in [None, Some(ROOT), Some(OWNER), Some(ALICE)] {
        assert!(!may(&rules, &with(Proof::None, uid)), "{uid:?}");
        assert!(!may(&rules, &with(shown("anything"), uid)), "{uid:?}");
        assert!(may(&rules, &at(Channel::Imds, uid)), "{uid:?}");
    }
    assert!(may(&rules, &with(Proof::Ticket(BOB), Some(BOB))));
}

#[test]
fn at_a_metadata_endpoint_root_is_nobody_unless_a_rule_names_it() {
    assert!(may(&Access::new(OWNER), &at(Channel::Imds, Some(OWNER))));
    for access in [Access::new(OWNER), Access::new(ROOT)] {
        let refused = decide(&access, &at(Channel::Imds, Some(ROOT)), Action::Use);
        assert_eq!(refused, Err(Refusal::NoRule));
        assert!(!may(&access, &at(Channel::Imds, Some(ALICE))));
    }
    let named = access(vec![Condition::User(account("root", ROOT))]);
    assert!(may(&named, &at(Channel::Imds, Some(ROOT))));
}

#[test]
fn only_the_control_socket_takes_logins_and_manages() {
    let all = BTreeSet::from(ACTIONS);
    let rule = Rule::new(Profiles::All, vec![alice()], all).unwrap();
    let access = Access::with_rules(OWNER, vec![rule]);
    for action in [Action::Login, Action::Manage] {
        assert_eq!(decide(&access, &Caller::at_control(ALICE), action), Ok(()));
        for caller in [
            with(Proof::Ticket(ALICE), Some(ALICE)),
            with(Proof::Ticket(OWNER), Some(OWNER)),
            at(Channel::Imds, Some(ALICE)),
        ] {
            assert_eq!(decide(&access, &caller, action), Err(Refusal::NotThisWay));
        }
    }
    for action in ACTIONS {
        for uid in [None, Some(ROOT), Some(OWNER), Some(ALICE)] {
            let caller = at(Channel::Metrics, uid);
            assert_eq!(decide(&access, &caller, action), Err(Refusal::NotThisWay));
        }
    }
}

#[test]
fn a_rule_gives_what_it_names_to_whom_it_names() {
    let rules = access(vec![alice()]);
    assert!(may(&rules, &Caller::at_control(ALICE)));
    assert!(may(&rules, &with(Proof::Ticket(ALICE), Some(ALICE))));
    assert!(may(&rules, &with(Proof::Ticket(ALICE), None)));
    assert!(!may(&rules, &Caller::at_control(BOB)));
    assert!(!may(&rules, &with(Proof::Ticket(ALICE), Some(BOB))));
    let other = rules.decide(&Caller::at_control(ALICE), &name("writer"), Action::Use, now());
    assert!(matches!(other, Decision::Refuse(Refusal::NoRule)));
    assert_eq!(decide(&rules, &Caller::at_control(ALICE), Action::Manage), Err(Refusal::NoRule));
}

#[test]
fn every_condition_of_a_rule_must_hold() {
    let group = Condition::Group(account("ops", OPS));
    let source = Condition::Source("10.0.3.0/24".parse().unwrap());
    let endpoint = Condition::Endpoint("app5".to_owned());
    let all = access(vec![alice(), group, backup(), endpoint, source]);
    let caller = Caller {
        groups: vec![4, OPS].into(),
        unit: Some(ControlGroup::new("system.slice/backup.service")),
        source: Some([10, 0, 3, 7].into()),
        ..Caller { uid: Some(ALICE), ..Caller::unknown(Channel::Imds, "app5") }
    };
    assert!(may(&all, &caller));
    for almost in [
        Caller { uid: Some(BOB), ..caller.clone() },
        Caller { groups: vec![4].into(), ..caller.clone() },
        Caller { unit: Some(ControlGroup::new("system.slice/other.service")), ..caller.clone() },
        Caller { unit: None, ..caller.clone() },
        Caller { endpoint: "app6".into(), ..caller.clone() },
        Caller { source: Some([10, 0, 4, 7].into()), ..caller.clone() },
        Caller { source: None, ..caller.clone() },
    ] {
        assert!(!may(&all, &almost), "{almost:?}");
    }
    assert!(may(&all, &Caller { groups: Arc::default(), gid: Some(OPS), ..caller }));
}

#[test]
fn a_users_unit_is_that_users() {
    let unit = Condition::UserUnit(UnitName::parse("sync.service").unwrap());
    let rules = access(vec![alice(), unit]);
    let group = |uid: u32| {
        let path = format!("user.slice/user-{uid}.slice/user@{uid}.service/app.slice/sync.service");
        Some(ControlGroup::new(&path))
    };
    assert!(may(&rules, &Caller { unit: group(ALICE), ..at(Channel::Imds, Some(ALICE)) }));
    assert!(!may(&rules, &Caller { unit: group(BOB), ..at(Channel::Imds, Some(ALICE)) }));
    assert!(!may(&rules, &Caller { unit: group(BOB), ..at(Channel::Imds, Some(BOB)) }));
}

#[test]
fn a_token_stands_in_the_place_of_a_ticket_for_its_rule_alone() {
    let source = Condition::Source("10.0.3.7/32".parse().unwrap());
    let rules = Access::with_rules(
        OWNER,
        vec![rule("reader", vec![token("sesame"), source]), rule("writer", vec![alice()])],
    );
    let here = |proof| Caller { source: Some([10, 0, 3, 7].into()), ..with(proof, None) };
    assert!(may(&rules, &here(shown("sesame"))));
    assert!(!may(&rules, &here(shown("sesam"))));
    assert!(!may(&rules, &with(shown("sesame"), None)), "from elsewhere");
    assert!(!may(&rules, &here(Proof::Ticket(ALICE))));
    let other = Caller { uid: Some(ALICE), ..here(shown("sesame")) };
    let writer = rules.decide(&other, &name("writer"), Action::Use, now());
    assert!(matches!(writer, Decision::Refuse(_)), "it wants a ticket");
    let digest = |text: &str| TokenDigest::of(text.as_bytes());
    assert!(rules.knows(&digest("sesame"), now()) && !rules.knows(&digest("sesam"), now()));
}

#[test]
fn a_token_that_was_replaced_is_good_for_a_while() {
    let before = access(vec![token("old")]);
    let after = access(vec![token("new")]).after(&before, now());
    let good = |access: &Access, text, later: Duration| {
        let caller = with(shown(text), None);
        let when = now() + later;
        let known = access.knows(&TokenDigest::of(str::as_bytes(text)), when);
        let decision = access.decide(&caller, &name("reader"), Action::Use, when);
        let allowed = matches!(decision, Decision::Allow(_));
        assert_eq!(known, allowed);
        allowed
    };
    assert!(good(&after, "new", Duration::ZERO) && good(&after, "old", Duration::ZERO));
    assert!(good(&after, "old", TOKEN_GRACE.saturating_sub(Duration::from_secs(1))));
    assert!(!good(&after, "old", TOKEN_GRACE) && good(&after, "new", TOKEN_GRACE));
    // A second change does not lengthen the first token's life, nor does a reload without one.
    let half = TOKEN_GRACE / 2;
    let later = access(vec![token("newer")]).after(&after, now() + half);
    assert!(good(&later, "old", half) && good(&later, "new", half));
    assert!(!good(&later, "old", TOKEN_GRACE) && good(&later, "new", TOKEN_GRACE));
    // Where the rule is gone, so are its tokens, and put back it has no memory of them.
    let gone = Access::new(OWNER).after(&later, now() + half);
    assert!(!good(&gone, "newer", half));
    let back = access(vec![token("newest")]).after(&gone, now() + half);
    assert!(!good(&back, "newer", half));
    // A token that was taken back is current again, and no more.
    let back = access(vec![token("old")]).after(&after, now());
    assert!(good(&back, "old", TOKEN_GRACE * 2));
}

#[test]
fn other_rules_do_not_stand_by_a_grant() {
    let access = Access::new(OWNER);
    let decision = access.decide(&Caller::at_control(OWNER), &name("reader"), Action::Use, now());
    let Decision::Allow(grant) = decision else { panic!("the owner may") };
    let next = Access::new(OWNER + 1).after(&access, now());
    assert!(access.gave(&grant) && !next.gave(&grant));
    assert!(!next.is_as(&access) && next.is_as(&Access::new(OWNER + 1)));
    let ruled = self::access(vec![alice()]);
    assert!(!ruled.is_as(&access) && ruled.is_as(&self::access(vec![alice()])));
    assert!(!ruled.is_as(&self::access(vec![token("x")])));
}

#[test]
fn what_a_rule_wants_to_know_is_known() {
    assert_eq!(access(vec![alice(), token("x")]).needs(), Needs::default());
    let group = Condition::Group(account("ops", OPS));
    assert_eq!(access(vec![group]).needs(), Needs { groups: true, ..Needs::default() });
    assert_eq!(access(vec![backup()]).needs(), Needs { units: true, ..Needs::default() });
    let naming = access(vec![alice()]).naming(true);
    assert_eq!(naming.needs(), Needs { names: true, ..Needs::default() });
    assert!(!naming.is_as(&access(vec![alice()])));
}

#[test]
fn what_is_missing_is_said() {
    let rules = access(vec![alice(), backup()]);
    let profile = name("reader");
    let missing = |caller: &Caller| {
        let about: Vec<_> = rules.rules_about(caller, &profile, Action::Use, now()).collect();
        let [(rule, unmet)] = about.as_slice() else { panic!("one rule is about it") };
        assert_eq!(rule.to_string(), "the user alice, the unit system.slice/backup.service");
        unmet.map(|unmet| unmet.to_string())
    };
    assert_eq!(missing(&Caller::at_control(BOB)).unwrap(), "the user alice");
    let unit = "the unit system.slice/backup.service";
    assert_eq!(missing(&Caller::at_control(ALICE)).unwrap(), unit);
    assert_eq!(missing(&with(shown("x"), None)).unwrap(), "with a ticket");
    assert!(
        rules
            .rules_about(&Caller::at_control(BOB), &name("other"), Action::Use, now())
            .next()
            .is_none()
    );
}

#[test]
fn a_rule_for_nobody_or_nothing_cannot_be_written() {
    let actions = BTreeSet::from([Action::Use]);
    assert!(Rule::new(Profiles::All, vec![], actions).is_none());
    assert!(Rule::new(Profiles::All, vec![alice()], BTreeSet::new()).is_none());
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        (1000_u32..1003).prop_map(|id| Condition::User(account("u", id))),
        (2000_u32..2003).prop_map(|id| Condition::Group(account("g", id))),
        "[ab]".prop_map(Condition::Endpoint),
        "[xy]".prop_map(|text| token(&text)),
        Just(backup()),
        any::<[u8; 4]>().prop_map(|ip| Condition::Source(std::net::IpAddr::from(ip).into())),
    ]
}

fn any_caller() -> impl Strategy<Value = Caller> {
    let channel = prop_oneof![
        Just(Channel::Container),
        Just(Channel::Control),
        Just(Channel::Imds),
        Just(Channel::Metrics)
    ];
    let proof = prop_oneof![
        Just(Proof::None),
        (999_u32..1003).prop_map(Proof::Ticket),
        "[xyz]".prop_map(|text| shown(&text))
    ];
    let uid = proptest::option::of(prop_oneof![Just(ROOT), 999_u32..1003]);
    (channel, "[abc]", uid, proof, 2000_u32..2003, any::<bool>()).prop_map(
        |(channel, endpoint, uid, proof, group, in_unit)| Caller {
            uid,
            proof,
            groups: vec![group].into(),
            unit: in_unit.then(|| ControlGroup::new("system.slice/backup.service")),
            ..Caller::unknown(channel, endpoint)
        },
    )
}

proptest! {
    /// Rules only add: whatever was allowed before one more stays allowed.
    #[test]
    fn one_more_rule_takes_nothing_away(
        rules in proptest::collection::vec(proptest::collection::vec(any_condition(), 1..3), 0..4),
        caller in any_caller(),
    ) {
        let rules: Vec<_> = rules.into_iter().map(|it| rule("reader", it)).collect();
        let fewer = Access::with_rules(OWNER, rules.iter().skip(1).cloned().collect());
        let more = Access::with_rules(OWNER, rules);
        prop_assert!(!may(&fewer, &caller) || may(&more, &caller));
    }

    /// A condition only narrows: whoever fulfils more conditions fulfils fewer.
    #[test]
    fn one_more_condition_gives_nobody_more(
        conditions in proptest::collection::vec(any_condition(), 2..4),
        caller in any_caller(),
    ) {
        // A token lets callers in who have no ticket, so that it is no narrowing.
        prop_assume!(!matches!(conditions.last(), Some(Condition::Token(_))));
        let wide = access(conditions[..conditions.len() - 1].to_vec());
        let narrow = access(conditions);
        prop_assert!(!may(&narrow, &caller) || may(&wide, &caller));
    }

    /// Nobody gets anything at the container endpoint with a ticket of somebody else.
    #[test]
    fn a_foreign_ticket_is_never_good(
        conditions in proptest::collection::vec(any_condition(), 1..3),
        caller in any_caller(),
    ) {
        if let (Proof::Ticket(holder), Some(sender)) = (&caller.proof, caller.uid)
            && *holder != sender && sender != ROOT
        {
            prop_assert!(!may(&access(conditions), &caller));
        }
    }
}
