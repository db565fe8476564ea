//! One idea more: a rule decides over every event that carries a tag, whichever entity it belongs to. No two users can take
//! the same email address, even when they register at the same moment.
//!
//! Tags hold no personal data (they stay when a person is erased): so the tag is a digest of the email address and not
//! the address itself.
//!
//! ```text
//! cargo run -p headwater-examples --bin 04-rule-unique-email
//! curl -H 'content-type: application/json' -d '{"user":"u1","email":"ann@example.org"}' http://127.0.0.1:7430/v1/operations/register-user
//! ```

use std::collections::BTreeSet;

use headwater::prelude::*;

/// A user.
#[derive(Default, State)]
struct User {
    name: String,
    email: String,
    closed: bool,
}

/// What a user does alone.
#[derive(Command)]
enum UserCommand {
    /// Leaves, and gives the email address free.
    #[command("close")]
    Close,
}

/// What happened to a user.
#[derive(Event)]
enum UserEvent {
    /// The user came.
    #[event("registered")]
    Registered { user: String, email: String },
    /// The user left.
    #[event("closed")]
    Closed { user: String, email: String },
}

/// Why a user does not leave.
#[derive(Debug, Rejection)]
enum UserRejection {
    /// There is nobody here.
    #[rejection("no-user", "there is no such user")]
    NoUser,
}

impl Entity for User {
    const NAME: &'static str = "user";
    type Command = UserCommand;
    type Event = UserEvent;
    type Reply = ();
    type Rejection = UserRejection;

    fn decide(&self, _: UserCommand, _: &CommandContext) -> Result<Decision<UserEvent>, UserRejection> {
        if self.email.is_empty() || self.closed {
            return Err(UserRejection::NoUser);
        }
        Ok(record(UserEvent::Closed { user: self.name.clone(), email: self.email.clone() }))
    }

    fn evolve(&mut self, event: &UserEvent) {
        match event {
            UserEvent::Registered { user, email } => *self = Self { name: user.clone(), email: email.clone(), closed: false },
            UserEvent::Closed { .. } => self.closed = true,
        }
    }

    fn tags(&self, event: &UserEvent) -> Vec<Tag> {
        let (UserEvent::Registered { user, email } | UserEvent::Closed { user, email }) = event;
        vec![tag("user", user), tag("email", digest(email))]
    }
}

/// FNV-1a: it hides nothing from an attacker, but keeps addresses out of logs. A service of your own would use a keyed hash.
fn digest(email: &str) -> String {
    let hash =
        email.to_lowercase().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// Registers a new user with an email address that nobody has.
struct UniqueEmail;

/// Who wants to register.
#[derive(Value)]
struct Registration {
    user: String,
    email: String,
}

/// Why a user cannot register.
#[derive(Debug, Rejection)]
enum RegistrationRejection {
    /// The user is there already.
    #[rejection("user-taken", "this user is registered already")]
    UserTaken,
    /// Somebody has the address.
    #[rejection("email-taken", "the email address belongs to a user already")]
    EmailTaken,
    /// It is no address.
    #[rejection("no-email", "an email address has an @")]
    NoEmail,
}

/// What the events that carry either tag add up to.
#[derive(Default)]
struct Taken {
    users: BTreeSet<String>,
    emails: BTreeSet<String>,
}

impl Rule for UniqueEmail {
    const NAME: &'static str = "register-user";
    const ENTITY: &'static str = "user";
    type Input = Registration;
    type State = Taken;
    type Event = UserEvent;
    type Reply = ();
    type Rejection = RegistrationRejection;

    fn query(input: &Registration) -> Vec<TagSet> {
        vec![tag("user", &input.user).into(), tag("email", digest(&input.email)).into()]
    }

    fn evolve(taken: &mut Taken, event: &UserEvent) {
        match event {
            UserEvent::Registered { user, email } => {
                taken.users.insert(user.clone());
                taken.emails.insert(digest(email));
            }
            UserEvent::Closed { user, email } => {
                taken.users.remove(user);
                taken.emails.remove(&digest(email));
            }
        }
    }

    fn decide(input: Registration, taken: &Taken, _: &CommandContext) -> Result<RuleDecision<UserEvent>, RegistrationRejection> {
        if !input.email.contains('@') {
            return Err(RegistrationRejection::NoEmail);
        }
        let digest = digest(&input.email);
        if taken.users.contains(&input.user) {
            return Err(RegistrationRejection::UserTaken);
        }
        if taken.emails.contains(&digest) {
            return Err(RegistrationRejection::EmailTaken);
        }
        let Registration { user, email } = input;
        Ok(record_on(user.clone(), UserEvent::Registered { user: user.clone(), email }).tag("user", user).tag("email", digest))
    }
}

fn service() -> Service {
    Service::new("users").entity::<User>().rule::<UniqueEmail>()
}

fn main() -> headwater::Exit {
    service().run()
}

#[cfg(test)]
mod tests {
    use headwater::testkit::Testkit;

    use super::*;

    fn registration() -> Registration {
        Registration { user: "u2".into(), email: "ann@example.org".into() }
    }

    fn registered(user: &str) -> UserEvent {
        UserEvent::Registered { user: user.into(), email: "ann@example.org".into() }
    }

    fn closed(user: &str) -> UserEvent {
        UserEvent::Closed { user: user.into(), email: "ann@example.org".into() }
    }

    #[test]
    fn a_free_address_is_taken() {
        given_events::<UniqueEmail>([]).when(registration()).then("u2", [registered("u2")]);
    }

    #[test]
    fn a_user_registers_once() {
        given_events::<UniqueEmail>([registered("u2")]).when(registration()).rejected(RegistrationRejection::UserTaken);
    }

    #[test]
    fn a_taken_address_is_refused_until_its_user_leaves() {
        given_events::<UniqueEmail>([registered("u1")]).when(registration()).rejected(RegistrationRejection::EmailTaken);
        let left = [registered("u1"), closed("u1")];
        given_events::<UniqueEmail>(left).when(registration()).then("u2", [registered("u2")]);
    }

    #[test]
    fn an_address_has_an_at_sign_and_a_digest_of_its_own() {
        let wrong = Registration { email: "ann".into(), ..registration() };
        given_events::<UniqueEmail>([]).when(wrong).rejected(RegistrationRejection::NoEmail);
        assert_eq!(digest("ANN@example.org"), digest("ann@example.org"));
        assert_ne!(digest("bob@example.org"), digest("ann@example.org"));
    }

    #[test]
    fn a_user_leaves_once() {
        given::<User>([registered("u1")]).when(UserCommand::Close).then([closed("u1")]);
        given::<User>([]).when(UserCommand::Close).rejected(UserRejection::NoUser);
    }

    #[test]
    fn an_address_goes_from_one_user_to_the_next() {
        let users = Testkit::new(service).duplicates().crashes(0.02);
        let register = |user: &str| users.rule::<UniqueEmail>(Registration { user: user.into(), ..registration() }).is_ok();
        assert!(register("u1") && !register("u2"));
        users.send::<User>("u1", UserCommand::Close).expect("the user is there");
        assert!(register("u2") && !register("u3"));
        assert_eq!((users.events::<User>("u1").len(), users.events::<User>("u2").len()), (2, 1));
    }
}
