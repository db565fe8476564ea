//! What a test says of an [`Outcome`](super::outcome::Outcome) in the same words, whether a command, an operation or a rule was asked.
//!
//! Only the public methods are here; the outcome compares. `then` is not here: it takes other arguments for each of the three.

/// The methods `rejected`, `replied` and `tagged` of a type with a field `outcome`.
///
/// The first argument has the types `Rejection` and `Reply`; the others are for the docs: how a sentence on the outcome begins, and when
/// the methods panic. This is a macro since neither a function nor a private trait can give a public type its methods.
macro_rules! outcome_assertions {
    ($asked:ident, $subject:literal, $panics:literal) => {
        #[doc = concat!($subject, " rejected so.")]
        ///
        /// # Panics
        #[doc = $panics]
        #[track_caller]
        pub fn rejected(self, rejection: $asked::Rejection) -> Self {
            self.outcome.expect_rejection(&rejection);
            self
        }

        #[doc = concat!($subject, " accepted with this reply.")]
        ///
        /// # Panics
        #[doc = $panics]
        #[track_caller]
        pub fn replied(self, reply: $asked::Reply) -> Self {
            self.outcome.expect_reply(&reply);
            self
        }

        /// The events carry these tags, one event's behind the other's.
        ///
        /// # Panics
        /// When they do not.
        #[track_caller]
        pub fn tagged(self, tags: impl IntoIterator<Item = $crate::tag::Tag>) -> Self {
            self.outcome.expect_tags(tags);
            self
        }
    };
}

pub(super) use outcome_assertions;
