//! A service as it is put together: its name and its components.

use component::hosted::{
    ActionHandle, EntityHandle, OperationHandle, ProcessorHandle, StreamHandle, SubscriptionDescription, TopicHandle, ViewHandle,
    WorkflowHandle,
};
use component::{
    Action, Compatibility, Entity, Keep, Operation, Processor, Rule, Shapes, Stream, Subscription, TopicAction, Value, View, Workflow,
    hosted, hosted_action, hosted_operation, hosted_processor, hosted_rule, hosted_topic, hosted_topic_action, hosted_topic_of,
    hosted_workflow,
};
use gateway::Page;
use runtime::{DestinationPolicy, ShapeSources, StreamParts, has_personal_data};

use crate::command_line;
use crate::config::{self, Config, Flags};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::running::{Running, start};

/// A service: a name and its components, ready to run.
///
/// ```no_run
/// # use headwater::prelude::*;
/// fn main() -> headwater::Exit {
///     Service::new("shop").run()
/// }
/// ```
#[must_use = "a service does nothing until it runs"]
pub struct Service {
    name: String,
    entities: Vec<EntityHandle>,
    operations: Vec<OperationHandle>,
    actions: Vec<ActionHandle>,
    processors: Vec<ProcessorHandle>,
    topics: Vec<TopicHandle>,
    streams: Vec<StreamHandle>,
    subscriptions: Vec<SubscriptionDescription>,
    peers: Vec<String>,
    views: Vec<ViewHandle>,
    workflows: Vec<WorkflowHandle>,
    destinations: Vec<(String, DestinationPolicy)>,
    retention: Vec<(&'static str, Keep)>,
    rules: Vec<(String, Shapes, Compatibility)>,
    pages: Vec<(String, Page)>,
    flags: Flags,
}

impl Service {
    /// A service of this name, `[a-z][a-z0-9-]{0,63}`: the name of its stream and the source of its events. It is checked at start.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            entities: Vec::new(),
            operations: Vec::new(),
            actions: Vec::new(),
            processors: Vec::new(),
            topics: Vec::new(),
            streams: Vec::new(),
            subscriptions: Vec::new(),
            peers: Vec::new(),
            views: Vec::new(),
            workflows: Vec::new(),
            destinations: Vec::new(),
            retention: Vec::new(),
            rules: Vec::new(),
            pages: Vec::new(),
            flags: Flags::default(),
        }
    }

    /// Adds a type of entity.
    pub fn entity<E: Entity>(mut self) -> Self {
        self.entities.push(hosted::<E>());
        self
    }

    /// Says how much of its history an entity type keeps. Without it, all of it stays.
    ///
    /// ```
    /// # use headwater::prelude::*;
    /// # #[derive(Default, State)] struct Cart {}
    /// # #[derive(Command)] enum CartCommand { #[command("pay")] Pay }
    /// # #[derive(Event)] enum CartEvent { #[event("paid")] Paid }
    /// # impl Entity for Cart {
    /// #     const NAME: &'static str = "cart";
    /// #     type Command = CartCommand; type Event = CartEvent; type Reply = (); type Rejection = std::convert::Infallible;
    /// #     fn decide(&self, _: CartCommand, _: &CommandContext) -> Result<Decision<CartEvent>, Self::Rejection> { Ok(nothing()) }
    /// #     fn evolve(&mut self, _: &CartEvent) {}
    /// # }
    /// Service::new("shop").entity::<Cart>().retain::<Cart>(Keep::for_days(90).and_last(100));
    /// ```
    ///
    /// Older events go once a `$baseline` event holds what they came to, once every consumer and view of the service has read them, and
    /// in passes of a day. States, replies to repeated commands and versions stay as they are; the history before is gone.
    pub fn retain<E: Entity>(mut self, keep: Keep) -> Self {
        self.retention.push((E::NAME, keep));
        self
    }

    /// Says which changes of a component's shapes are taken without a new version, where the rule of their sort does not fit: see the guide,
    /// schemas. An entity type or a processor has its name, an operation `operation:transfer`, a topic `topic:payments`.
    ///
    /// ```
    /// # use headwater::prelude::*;
    /// # let service = Service::new("shop").topic_of::<String>("notes");
    /// service.compatibility("topic:notes", Shapes::Messages, Compatibility::FullTransitive);
    /// ```
    pub fn compatibility(mut self, component: impl Into<String>, shapes: Shapes, rule: Compatibility) -> Self {
        self.rules.push((component.into(), shapes, rule));
        self
    }

    /// Adds an operation over several entities.
    pub fn operation<O: Operation>(mut self) -> Self {
        self.operations.push(hosted_operation::<O>());
        self
    }

    /// Adds a rule over the events that carry its tags.
    pub fn rule<R: Rule>(mut self) -> Self {
        self.operations.push(hosted_rule::<R>());
        self
    }

    /// Adds an action: a reaction to the events of an entity type.
    pub fn action<A: Action>(mut self, action: A) -> Self {
        self.actions.push(hosted_action(action));
        self
    }

    /// Adds a processor: a reaction with a memory, whose events are of the entity type that bears its name.
    pub fn processor<P: Processor>(mut self, processor: P) -> Self {
        self.processors.push(hosted_processor(processor));
        self
    }

    /// Adds a topic: a named channel for messages from outside, whatever they hold.
    pub fn topic(mut self, name: &'static str) -> Self {
        self.topics.push(hosted_topic(name));
        self
    }

    /// Adds a topic whose messages hold JSON of this shape; others are refused at the door.
    pub fn topic_of<T: Value>(mut self, name: &'static str) -> Self {
        self.topics.push(hosted_topic_of::<T>(name));
        self
    }

    /// Adds an action over a topic: a reaction to its messages.
    pub fn topic_action<A: TopicAction>(mut self, action: A) -> Self {
        self.actions.push(hosted_topic_action(action));
        self
    }

    /// Adds a stream: what leaves the service under public names, beside the stream of its own name.
    pub fn stream(mut self, stream: Stream) -> Self {
        self.streams.push(stream.hosted());
        self
    }

    /// Adds a subscription: a stream of another service as a topic of this one. The topic is added beside it, with
    /// [`topic_of`](Self::topic_of) or [`topic`](Self::topic); where the other service is says the configuration.
    pub fn subscribe(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription.described());
        self
    }

    /// Says that actions send commands to this other service, `ctx.peer("stock")`: without an address for it in the configuration the
    /// service does not start. Peers of subscriptions need no such word.
    pub fn peer(mut self, name: impl Into<String>) -> Self {
        self.peers.push(name.into());
        self
    }

    /// Adds a view: rows made from events, with queries.
    pub fn view(mut self, view: View) -> Self {
        self.views.push(view.hosted());
        self
    }

    /// Adds a workflow: a function of steps, times and signals that goes on where it was, whatever ends its process.
    pub fn workflow<W: Workflow>(mut self, workflow: W) -> Self {
        self.workflows.push(hosted_workflow(workflow));
        self
    }

    /// Says how a destination is treated that actions call: scheme, host and port, as in `https://pay.example`. Those that are not named
    /// have the default policy.
    pub fn destination(mut self, address: impl Into<String>, policy: DestinationPolicy) -> Self {
        self.destinations.push((address.into(), policy));
        self
    }

    /// Adds a page, script, style or picture that browsers get under this path, such as `/board`, beside the API. Paths of the
    /// platform's (`/v1`, `/livez` and others) are refused at start.
    ///
    /// ```
    /// # use headwater::prelude::*;
    /// # let service = Service::new("shop");
    /// service
    ///     .page("/board", Page::html("<!doctype html><script type=module src=/board.js></script>"))
    ///     .page("/board.js", Page::script(r#"import { liveQuery } from "/live-query.js";"#))
    ///     .page("/live-query.js", Page::live_query());
    /// ```
    pub fn page(mut self, path: impl Into<String>, page: Page) -> Self {
        self.pages.push((path.into(), page));
        self
    }

    /// Sets where it listens when it is embedded with [`start`](Self::start); port 0 lets the system choose.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.flags.values.push(("listen", address.into()));
        self
    }

    /// Sets its data directory when it is embedded with [`start`](Self::start).
    pub fn data(mut self, directory: impl Into<String>) -> Self {
        self.flags.values.push(("data", directory.into()));
        self
    }

    /// Sets its engine when it is embedded with [`start`](Self::start), as its URL: `postgres://host/database` (with the feature `postgres`), or
    /// `embedded:DIR`. Beside a database, [`data`](Self::data) is where it keeps what is its own.
    pub fn engine(mut self, url: impl Into<String>) -> Self {
        self.flags.values.push(("engine", url.into()));
        self
    }

    /// Sets the database that has the tables of shared views when it is embedded with [`start`](Self::start).
    pub fn views_at(mut self, url: impl Into<String>) -> Self {
        self.flags.values.push(("views", url.into()));
        self
    }

    /// Sets where the keys of subjects are kept when it is embedded with [`start`](Self::start): apart from the data.
    pub fn keys(mut self, directory: impl Into<String>) -> Self {
        self.flags.values.push(("keys", directory.into()));
        self
    }

    /// Sets where a peer is when it is embedded with [`start`](Self::start).
    pub fn peer_at(mut self, name: impl Into<String>, address: impl Into<String>) -> Self {
        self.flags.peers.push((name.into(), address.into()));
        self
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does what the process's arguments say (without any: serves until a signal stops it), and gives the exit code.
    ///
    /// This is the whole of a service's `main`. It starts its own threads: call it outside of any async runtime.
    pub fn run(self) -> Exit {
        command_line::run(&self)
    }

    /// Starts the service inside a program of your own, which has a tokio runtime. What [`listen`](Self::listen),
    /// [`engine`](Self::engine) and [`data`](Self::data) do not say comes from the environment, `headwater.toml` and the defaults, in that order.
    ///
    /// It raises the process's soft limit of open files to the hard one, and takes no more connections than that allows.
    ///
    /// # Errors
    /// When the configuration does not fit, the address is taken, or the data directory cannot be opened.
    pub async fn start(self) -> Result<Running, Failure> {
        let settings = config::load(&self.known_peers(self.flags.clone()), &config::process_environment)?;
        start(&self, &Config::for_server(&settings)?).await
    }

    pub(crate) fn entities(&self) -> &[EntityHandle] {
        &self.entities
    }

    pub(crate) fn actions(&self) -> &[ActionHandle] {
        &self.actions
    }

    pub(crate) fn processors(&self) -> &[ProcessorHandle] {
        &self.processors
    }

    pub(crate) fn topics(&self) -> &[TopicHandle] {
        &self.topics
    }

    /// With the names of the peers that it needs, for which the environment is asked.
    pub(crate) fn known_peers(&self, mut flags: Flags) -> Flags {
        flags.peer_names = self.subscriptions.iter().map(|subscription| subscription.peer.to_owned()).chain(self.peers.clone()).collect();
        flags
    }

    /// Where peers are, as its program says.
    pub(crate) fn peers_said(&self) -> &[(String, String)] {
        &self.flags.peers
    }

    pub(crate) fn stream_parts(&self) -> StreamParts {
        StreamParts {
            declared: self.streams.clone(),
            subscriptions: self.subscriptions.clone(),
            spoken_to: self.peers.clone(),
            ..StreamParts::default()
        }
    }

    pub(crate) fn operations(&self) -> &[OperationHandle] {
        &self.operations
    }

    pub(crate) fn pages(&self) -> &[(String, Page)] {
        &self.pages
    }

    pub(crate) fn streams(&self) -> &[StreamHandle] {
        &self.streams
    }

    pub(crate) fn views(&self) -> &[ViewHandle] {
        &self.views
    }

    pub(crate) fn workflows(&self) -> &[WorkflowHandle] {
        &self.workflows
    }

    /// Whether it keeps keys of subjects, or once did: they lie on this machine's disk.
    pub(crate) fn has_keys(&self, config: &Config) -> bool {
        has_personal_data(&self.entities, &self.operations, &self.processors, &self.topics) || config.keys.is_dir()
    }

    pub(crate) fn retention(&self) -> &[(&'static str, Keep)] {
        &self.retention
    }

    pub(crate) fn rules(&self) -> &[(String, Shapes, Compatibility)] {
        &self.rules
    }

    /// What its shapes are of.
    pub(crate) fn shape_sources(&self) -> ShapeSources<'_> {
        ShapeSources {
            entities: &self.entities,
            operations: &self.operations,
            processors: &self.processors,
            topics: &self.topics,
            streams: &self.streams,
            workflows: &self.workflows,
        }
    }

    pub(crate) fn destinations(&self) -> &[(String, DestinationPolicy)] {
        &self.destinations
    }
}
