//! Commands under a key: as a client sends them, and once more where the faults say so.

use std::sync::Arc;

use bytes::Bytes;
use component::hosted::Refusal;
use component::{Entity, Operation, Rejection, Rule, Value, Variants as _, decode, decode_payload, encode, encode_payload};
use journal::{BoxFuture, Context, EntityKey};
use runtime::{CommandError, CommandOutcome, CommandRequest, Expectation, OperationRequest, Runtime};

use super::Testkit;
use crate::client::SendError;

/// A testkit for one command under a key of the test's own: [`Testkit::keyed`].
#[must_use = "send something under it"]
pub struct Keyed<'a> {
    pub(super) testkit: &'a Testkit,
    pub(super) key: String,
}

type Asked = BoxFuture<'static, Result<CommandOutcome, CommandError>>;

impl Keyed<'_> {
    /// As [`Testkit::send`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send<E: Entity>(&self, id: &str, command: E::Command) -> Result<E::Reply, SendError<E::Rejection>> {
        let request = self.request::<E, _>(id, &command)?;
        self.run((command.name(), false), move |runtime| {
            let request = request.clone();
            Box::pin(async move { runtime.command(request).await })
        })
    }

    /// As [`Testkit::send_later`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_later<E: Entity>(&self, id: &str, command: E::Command) -> Result<String, SendError> {
        let request = self.request::<E, _>(id, &command)?;
        let accepted = self.testkit.simulation().ask(move |runtime| {
            let request = request.clone();
            Box::pin(async move { runtime.accept(request).await })
        });
        accepted.map_err(|error| self.failure(error, (command.name(), false)))
    }

    /// As [`Testkit::operation`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn operation<O: Operation>(&self, input: O::Input) -> Result<O::Reply, SendError<O::Rejection>> {
        self.run_operation(O::NAME, encode(&input))
    }

    /// As [`Testkit::rule`].
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn rule<R: Rule>(&self, input: R::Input) -> Result<R::Reply, SendError<R::Rejection>> {
        self.run_operation(R::NAME, encode(&input))
    }

    fn run_operation<T: Value, R: Rejection>(
        &self,
        name: &'static str,
        body: Result<Vec<u8>, serde_json::Error>,
    ) -> Result<T, SendError<R>> {
        let body = body.map_err(unsent)?.into();
        let (tenant, id, context) = (String::new(), Some(self.key.clone()), Context::default());
        let request = OperationRequest { tenant, operation: name.to_owned(), body, id, context };
        self.run((name, true), move |runtime| {
            let request = request.clone();
            Box::pin(async move { runtime.operation(request).await })
        })
    }

    fn request<E: Entity, R>(&self, id: &str, command: &E::Command) -> Result<CommandRequest, SendError<R>> {
        let body: Bytes = encode_payload(command).map_err(unsent)?.into();
        let (entity, command) = (entity_key::<E, R>(id)?, command.name().to_owned());
        Ok(CommandRequest { entity, command, body, id: Some(self.key.clone()), expect: Expectation::Any, context: Context::default() })
    }

    fn run<T: Value, R: Rejection>(&self, name: (&str, bool), ask: impl Fn(Arc<Runtime>) -> Asked) -> Result<T, SendError<R>> {
        let simulation = self.testkit.simulation();
        let outcome = simulation.ask(&ask).map_err(|error| self.failure(error, name))?;
        if outcome.recorded && simulation.sends_again() {
            let again = simulation.ask(&ask);
            let is_same = again.as_ref().is_ok_and(|again| (&again.reply, again.sequence) == (&outcome.reply, outcome.sequence));
            assert!(is_same, "{} was answered otherwise when it was sent again under its key: {again:?}", name.0);
        }
        decode(&outcome.reply).map_err(|error| self.unknown(error))
    }

    pub(super) fn failure<R: Rejection>(&self, error: CommandError, (name, is_operation): (&str, bool)) -> SendError<R> {
        if let CommandError::Refused(Refusal::Rejected(rejected)) = &error
            && let Ok(rejection) = decode_payload(&rejected.code, rejected.data.to_string().as_bytes())
        {
            return SendError::Rejected(rejection);
        }
        if let CommandError::Unknown { cause, .. } = error {
            return self.unknown(cause);
        }
        let (code, detail) = gateway::told(error, name, is_operation);
        SendError::Problem { code: code.number.to_owned(), detail }
    }

    fn unknown<R>(&self, cause: impl std::fmt::Display) -> SendError<R> {
        SendError::Unknown { key: self.key.clone(), cause: cause.to_string() }
    }
}

/// The key of an entity, or what HTTP says of an id that is none.
pub(super) fn entity_key<E: Entity, R>(id: &str) -> Result<EntityKey, SendError<R>> {
    EntityKey::new(E::NAME, id).map_err(|error| {
        let code = gateway::problem::lookup("invalid-path").map_or_else(String::new, |code| code.number.to_owned());
        SendError::Problem { code, detail: format!("the {error}") }
    })
}

fn unsent<R>(cause: impl std::fmt::Display) -> SendError<R> {
    SendError::Unsent { cause: cause.to_string() }
}
