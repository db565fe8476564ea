//! Erasing a subject in a test.

use runtime::{Decision, Erasure};

use super::Testkit;

impl Testkit {
    /// Erases a subject, such as `customer/c1`, as an operator does. [`settle`](Self::settle) makes its views again.
    ///
    /// # Panics
    /// When there is no such subject.
    #[track_caller]
    pub fn erase(&self, subject: &str) -> Erasure {
        let name = subject.to_owned();
        let erased = self.simulation().ask(move |runtime| {
            let name = name.clone();
            Box::pin(async move {
                let why = Decision { reason: "the test says so".to_owned(), ..Decision::default() };
                runtime.erase("", &name, why).await
            })
        });
        erased.unwrap_or_else(|error| panic!("{subject}: {error}"))
    }
}
