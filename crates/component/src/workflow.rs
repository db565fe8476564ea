//! Workflows: durable functions of steps, times, signals and compensations.

mod board;
mod failure;
mod live;
mod operation;
mod step;
mod together;
mod wait;

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::action::{ActionContext, ActionError};
use crate::entity::Entity;
use crate::host::has_personal;
use crate::hosted::{ActionDoor, AskedKind, AskedOperation, Standing};
use crate::operation::Operation as EntityOperation;
use crate::rule::Rule;
use crate::topic::{Topic, Topics};
use crate::value::{Value, schema_of};
use board::{Board, Wish};
use operation::Operation;

pub use failure::Failure;
pub(crate) use live::Live;
pub use step::{CommandStep, Step};
pub use together::{Either, join, join_all, race, race_all};
pub(crate) use wait::Signal;
pub use wait::{Child, Signals, TimedWait, Wait};

/// A workflow: a function that goes on where it was, whatever ends its process.
///
/// It is written as if it ran once, from beginning to end. What it awaits through its context is recorded, and when its process ends it
/// is run again from the beginning, over what is recorded. So it must do the same whenever it is told the same: time and chance come from
/// its context, and what reaches outside stands in a [`step`](WorkflowContext::step).
///
/// When it fails, what it has done is undone, the last first.
///
/// ```
/// # extern crate headwater_component as headwater;
/// # use headwater_component::*;
/// # use std::time::Duration;
/// # #[derive(Default, State)] struct Stock { taken: u64 }
/// # #[derive(Command)] enum StockCommand { #[command("take")] Take, #[command("give-back")] GiveBack }
/// # #[derive(Event)] enum StockEvent { #[event("taken")] Taken, #[event("given-back")] GivenBack }
/// # impl Entity for Stock {
/// #     const NAME: &'static str = "stock";
/// #     type Command = StockCommand; type Event = StockEvent; type Reply = (); type Rejection = std::convert::Infallible;
/// #     fn decide(&self, _: StockCommand, _: &CommandContext) -> Result<Decision<StockEvent>, Self::Rejection> { Ok(record(StockEvent::Taken)) }
/// #     fn evolve(&mut self, _: &StockEvent) { self.taken += 1; }
/// # }
/// #[derive(Value)]
/// struct Order { sku: String }
///
/// struct Shipping;
///
/// impl Workflow for Shipping {
///     const NAME: &'static str = "shipping";
///     type Input = Order;
///     type Output = bool;
///
///     async fn run(&self, ctx: &WorkflowContext, order: Order) -> Result<bool, Failure> {
///         ctx.command::<Stock>(&order.sku, StockCommand::Take).undo_command::<Stock>("give-back", &order.sku, StockCommand::GiveBack).await?;
///         let paid = ctx.wait_for::<bool>("paid").timeout(Duration::from_secs(3_600)).await;
///         if paid != Some(true) {
///             return Err(Failure::new("not-paid", "nobody paid within an hour"));
///         }
///         Ok(true)
///     }
///
///     fn signals() -> Signals {
///         Signals::none().with::<bool>("paid")
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a workflow: implement `Workflow` for it",
    label = "`Workflow` is not implemented for `{Self}`"
)]
pub trait Workflow: Send + Sync + 'static {
    /// The durable name, `[a-z][a-z0-9-]{0,63}`.
    const NAME: &'static str;
    /// What it begins with.
    type Input: Value;
    /// What it gives in the end.
    type Output: Value;

    /// What it does.
    ///
    /// # Errors
    /// When it does not succeed: what it has done is undone then, the last first.
    fn run(&self, ctx: &WorkflowContext, input: Self::Input) -> impl Future<Output = Result<Self::Output, Failure>> + Send;

    /// The signals that it waits for. Others are refused.
    fn signals() -> Signals {
        Signals::none()
    }

    /// The topics that it publishes to. A service without one of them does not start, and to others it does not publish.
    fn publishes() -> Topics {
        Topics::none()
    }
}

/// What a workflow may do.
pub struct WorkflowContext {
    board: Arc<Board>,
    id: String,
    tenant: String,
    publishes: fn() -> Topics,
}

impl WorkflowContext {
    fn new(board: Arc<Board>, (id, tenant): (String, String), publishes: fn() -> Topics) -> Self {
        Self { board, id, tenant, publishes }
    }

    /// The workflow's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The tenant; empty unless there are tenants.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The time, as it was when the workflow was told of the last thing: microseconds since 1970, UTC. Between two awaits it stands still.
    #[must_use]
    pub fn now_micros(&self) -> i64 {
        self.board.lock().now_micros
    }

    /// A random number; the same again when the workflow is brought back.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.board.random()
    }

    /// A piece of work that reaches outside. Once it has succeeded its result is recorded, and it does not run again.
    ///
    /// Until then it runs at least once: a process that ends in between does not know what it had done. What it sends through its context
    /// carries the same ids each time.
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # use std::time::Duration;
    /// # async fn run(ctx: &WorkflowContext) -> Result<(), Failure> {
    /// let charge: String = ctx
    ///     .step("charge", |step| async move {
    ///         let reply = step.http().post("https://pay.example/charges").json(&12).send().await?;
    ///         Ok(reply.json::<String>()?)
    ///     })
    ///     .attempts(5)
    ///     .timeout(Duration::from_secs(10))
    ///     .undo("refund", |step, charge| async move {
    ///         // `None`: nobody knows whether it was charged.
    ///         step.http().post("https://pay.example/refunds").json(&charge).send().await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # drop(charge); Ok(())
    /// # }
    /// ```
    pub fn step<T, F, R>(&self, name: &'static str, run: F) -> Step<T>
    where
        T: Value,
        F: Fn(StepContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, ActionError>> + Send + 'static,
    {
        Step::new(Arc::clone(&self.board), name, run)
    }

    /// Sends a command to an entity and waits for its reply. It takes effect once, and is tried until it is decided.
    pub fn command<E: Entity>(&self, id: impl Into<String>, command: E::Command) -> CommandStep<E::Reply, E::Rejection> {
        CommandStep::to_entity::<E>(Arc::clone(&self.board), id.into(), &command)
    }

    /// Runs an operation over several entities.
    pub fn operation<O: EntityOperation>(&self, input: &O::Input) -> CommandStep<O::Reply, O::Rejection> {
        CommandStep::to_operation(Arc::clone(&self.board), O::NAME, input)
    }

    /// Runs a rule.
    pub fn rule<R: Rule>(&self, input: &R::Input) -> CommandStep<R::Reply, R::Rejection> {
        CommandStep::to_operation(Arc::clone(&self.board), R::NAME, input)
    }

    /// Publishes a message to a topic of the service, once; it is durable when this has been awaited. Messages with the same key keep their
    /// order. What was published is not taken back when the workflow fails: say with `undo` what is published then.
    ///
    /// The topic is one of those that the workflow says it [publishes](Workflow::publishes) to.
    pub fn publish<T: Topic>(&self, key: impl Into<String>, message: &T::Message) -> CommandStep<(), Infallible> {
        if let Err(problem) = (self.publishes)().check::<T>() {
            self.board.stick(Standing::Broken(problem));
        }
        CommandStep::to_topic::<T>(Arc::clone(&self.board), key.into(), message)
    }

    /// Waits for so long. While it does it costs no task, and it goes on also when the service was down in between.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.sleep_until(self.now_micros().saturating_add(micros))
    }

    /// Waits until this time: microseconds since 1970, UTC.
    pub fn sleep_until(&self, due_micros: i64) -> impl Future<Output = ()> + Send + 'static {
        let operation = self.ask(AskedKind::Sleep { due_micros }, "sleep");
        async move { drop(operation.await) }
    }

    /// Waits for a signal: a word from outside, such as a person's decision. One that came before it is waited for is not lost. Signals of
    /// one name are taken in the order in which they came.
    pub fn wait_for<T: Value>(&self, signal: &'static str) -> Wait<T> {
        Wait::new(Arc::clone(&self.board), signal)
    }

    /// Runs another workflow and waits for its output. An id that somebody else has started fails it. When this workflow is cancelled or
    /// fails, the other one is cancelled.
    pub fn child<W: Workflow>(&self, id: impl Into<String>, input: &W::Input) -> Child<W::Output> {
        Child::of::<W>(Arc::clone(&self.board), id.into(), input)
    }

    /// Which version of the code goes by here: `current` for workflows that come by for the first time, and what it was then for those
    /// that came by before; 0 for those that had passed this place before there was a mark at it. So code can change while workflows run:
    ///
    /// ```
    /// # extern crate headwater_component as headwater;
    /// # use headwater_component::*;
    /// # fn price(ctx: &WorkflowContext) -> u32 {
    /// if ctx.version("price-with-tax", 1) >= 1 { 119 } else { 100 }
    /// # }
    /// ```
    #[must_use]
    pub fn version(&self, name: &'static str, current: u32) -> u32 {
        self.board.version(name, current)
    }

    /// Begins again with another input, and an empty record: `return Err(ctx.restart_with(&next))`. For workflows that would run for ever.
    /// What they have done so far is not undone any more.
    #[must_use = "return it as an error"]
    pub fn restart_with<T: Value>(&self, input: &T) -> Failure {
        Failure::restart(input)
    }

    fn ask(&self, kind: AskedKind, name: &str) -> Operation {
        let operation = AskedOperation { kind, name: name.to_owned(), undo: None };
        Operation::new(Arc::clone(&self.board), Wish { operation, step: None, undo: None })
    }
}

/// What a step may do: everything that an action may. The calls and commands of all its attempts carry the same ids.
#[derive(Clone)]
pub struct StepContext(Arc<ActionContext>);

impl StepContext {
    pub(crate) fn new(door: Arc<dyn ActionDoor>, attempt: u32, publishes: fn() -> Topics) -> Self {
        Self(Arc::new(ActionContext::new(door, attempt, publishes)))
    }
}

impl Deref for StepContext {
    type Target = ActionContext;

    fn deref(&self) -> &ActionContext {
        &self.0
    }
}

thread_local! {
    /// Types that were looked through.
    static PERSONAL: RefCell<HashMap<TypeId, bool>> = RefCell::default();
}

/// Refuses a type with personal values: a workflow's record is kept in the plain.
fn refuse_personal<T: Value>(board: &Board, what: &str) {
    let known = PERSONAL.with_borrow(|known| known.get(&TypeId::of::<T>()).copied());
    let is_personal = known.unwrap_or_else(|| {
        let is_personal = has_personal(&schema_of::<T>());
        PERSONAL.with_borrow_mut(|known| known.insert(TypeId::of::<T>(), is_personal));
        is_personal
    });
    if is_personal {
        board.stick(Standing::Broken(format!(
            "{what} has personal values, and a workflow's record is kept in the plain; keep them in an entity and let the workflow know its id"
        )));
    }
}
