//! The first commands of entities, where cold ones have turned out to be new: what is decided for an entity that nobody has looked at.

use super::nodes::{Node, two_nodes};
use super::*;
use crate::limits::NEWCOMERS_LIKELY;

/// Two nodes, the first of which expects that jars it does not know are new.
fn expecting() -> [Node; 2] {
    let [one, two] = two_nodes();
    (0..NEWCOMERS_LIKELY).for_each(|number| one.put(&format!("new-{number}"), 1));
    [one, two]
}

impl Node {
    /// How often it has looked at a head meanwhile, and sent a commit.
    fn asks(&self, work: impl FnOnce()) -> (usize, usize) {
        let asked = || (self.gated.looked.load(Relaxed), self.gated.appended.load(Relaxed));
        let before = asked();
        work();
        (asked().0 - before.0, asked().1 - before.1)
    }

    fn take(&self, jar: &str, coins: i64) -> String {
        self.command(jar, ("take", &format!("{{\"coins\":{coins}}}")), Expectation::Any)
            .map_or_else(|error| error.to_string(), |outcome| String::from_utf8(outcome.reply.to_vec()).unwrap())
    }
}

#[test]
fn a_new_entity_is_not_asked_for_and_an_old_one_is_found_by_the_commit_that_it_refuses() {
    let [one, two] = expecting();
    assert_eq!(one.asks(|| one.put("a", 5)), (0, 1));
    assert_eq!(one.put_one("a"), ("6".to_owned(), false), "its state is here");
    two.put("b", 10);
    assert_eq!(one.asks(|| assert_eq!(one.put_one("b"), ("11".to_owned(), true))), (1, 2));
    assert_eq!(one.coins("b"), r#"{"coins":11}"#);
    // One that was wrong makes the next one a question.
    two.put("c", 10);
    assert_eq!(one.asks(|| assert_eq!(one.put_one("c"), ("11".to_owned(), true))), (1, 1));
}

#[test]
fn an_entity_that_was_here_is_not_taken_for_a_new_one() {
    let [one, _] = expecting();
    one.put("a", 5);
    one.entities.cache.forget_all();
    assert_eq!(one.asks(|| assert_eq!(one.put_one("a").0, "6")), (1, 1));
}

#[test]
fn nothing_is_answered_from_a_state_that_was_assumed() {
    let [one, two] = expecting();
    ["a", "b", "c", "d"].iter().for_each(|jar| two.put(jar, 10));
    assert_eq!(one.take("a", 7), "3", "it is not rejected over none");
    assert_eq!(one.take("b", 70), "there are 10");
    let looked = one.command("c", ("look", "{}"), Expectation::Any).unwrap();
    assert_eq!((&looked.reply[..], looked.sequence), (&b"10"[..], 1));
    let unmet = one.command("d", ("put", r#"{"coins":1}"#), Expectation::New).unwrap_err();
    assert!(matches!(unmet, CommandError::PreconditionFailed { sequence: 1 }), "{unmet}");
    assert_eq!(one.take("e", 1), "there are 0", "nor is one that is new");
}

#[test]
fn nobody_sees_a_first_command_before_it_has_landed_and_who_goes_away_takes_nothing_along() {
    let [one, _] = expecting();
    one.gated.close();
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let mut first = Box::pin(one.asked("a", ("put", r#"{"coins":5}"#), Expectation::Any));
    let mut second = Box::pin(one.asked("a", ("put", r#"{"coins":1}"#), Expectation::Any));
    assert!(first.as_mut().poll(&mut context).is_pending() && second.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert!(second.as_mut().poll(&mut context).is_pending(), "it waits for what may land");
    one.gated.open();
    assert_eq!(&at_once(second).unwrap().reply[..], b"6");
}

#[test]
fn a_first_command_that_comes_again_is_answered_as_the_first_time() {
    let [one, two] = expecting();
    let send = |node: &Node, jar: &str| {
        let entity = EntityKey::new("jar", jar).unwrap();
        let (id, context) = (Some("id".to_owned()), journal::Context::default());
        let request =
            CommandRequest { entity, command: "put".to_owned(), body: r#"{"coins":5}"#.into(), id, expect: Expectation::Any, context };
        at_once(node.entities.command(request)).unwrap()
    };
    assert!(!send(&two, "a").replayed);
    let again = send(&one, "a");
    assert!(again.replayed && &again.reply[..] == b"5");
    assert_eq!(one.coins("a"), r#"{"coins":5}"#);
}
