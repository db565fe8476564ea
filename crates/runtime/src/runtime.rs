//! The runtime's face: what the gateway, the command line and tests call.

mod decisions;
mod erasure;
mod nodes;
mod pulled;
mod schemas;
mod timers;
mod workflows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use component::hosted::{ActionHandle, EntityDescription, OperationDescription, StreamDescription, TopicDescription, ViewDescription};
use journal::{
    BoxFuture, Capability, CommandId, Context, Cursor, CursorError, EntityKey, Events, Journal, ReadError, ReadMode, Selection, Timestamp,
};

use crate::admission::Admission;
use crate::asked::{Mint, checked};
use crate::asynchronous::Asynchronous;
use crate::delivery::{ConsumerState, Decision, DeliveryError, DeliveryRoom, OrderError, Seams};
use crate::destination::{DestinationStatus, Destinations, Machine};
use crate::entity::Entities;
use crate::entity::kind::Kind;
use crate::entity::snapshots::Snapshots;
use crate::node::{Nodes, Role};
use crate::operation::Operations;
use crate::personal::runs::Runs;
use crate::personal::veil::veiled;
use crate::personal::{Form, Subjects};
use crate::processor::{KeySight, Processors};
use crate::pull::PullConsumers;
use crate::request::{
    CommandError, CommandOutcome, CommandRequest, Moment, OperationRequest, Outcome, PastOutcome, StateError, StateRead, shown, shown_bytes,
};
use crate::retention::pins::{Pin, of_registers};
use crate::retention::{Lost, Pins, Retention, RetentionStatus};
use crate::schema::Schemas;
use crate::start::StartError;
use crate::stream::{PeerPlace, Peers, Shaper, Streams, SubscriptionStatus, Subscriptions, addressed};
use crate::timer::{Shared, Timers};
use crate::topic::{PublishAnswer, TopicMessage, Topics};
use crate::view::{LiveQuery, QueryAnswer, QueryError, QueryRequest, Surroundings, ViewStatus, Views};
use crate::workflow::Workflows;
use crate::{Parts, action, start};

/// Runs the components of one service over an engine. Cheap to share behind an `Arc`. Nothing runs in the background before
/// [`begin`](Self::begin).
pub struct Runtime {
    service: String,
    entities: Arc<Entities>,
    asynchronous: Asynchronous,
    actions: Vec<ActionHandle>,
    destinations: Arc<Destinations>,
    delivery: Arc<DeliveryRoom>,
    processors: Arc<Processors>,
    operations: Arc<Operations>,
    timers: Arc<Timers>,
    workflows: Arc<Workflows>,
    topics: Arc<Topics>,
    streams: Streams,
    subscriptions: Subscriptions,
    peers: Arc<Peers>,
    pulled: Arc<PullConsumers>,
    admission: Admission,
    views: Arc<Views>,
    /// The journal as others see it: personal values are plain.
    shown: Arc<dyn Journal>,
    personal: Option<Arc<Personal>>,
    retention: Arc<Retention>,
    schemas: Schemas,
}

/// What a service with personal data has besides.
struct Personal {
    subjects: Arc<Subjects>,
    runs: Arc<Runs>,
    /// A key store that is lost for good.
    lost: Option<String>,
    /// Up to here subjects were erased.
    erased: Arc<AtomicU64>,
    /// One erasure after the other: what is erased up to a place is all of it.
    erasing: tokio::sync::Mutex<()>,
}

/// How a runtime is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether a command would be taken now.
    pub accepting: bool,
    /// Whether `stop` was called.
    pub stopping: bool,
    /// Why the journal takes no more writes; `None` while it does.
    pub poisoned: Option<String>,
    /// Whether commands are refused for lack of room on the disk.
    pub full: bool,
    /// Since when the journal waits for storage that takes longer than it should; commands are taken all the same.
    pub degraded_since: Option<Timestamp>,
    /// Commands and operations under way.
    pub in_flight: usize,
    /// Entities in memory.
    pub cached_entities: usize,
}

impl Runtime {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When names clash or break their rule, or the engine cannot do what a component needs.
    pub fn new(parts: Parts) -> Result<Self, StartError> {
        let plans = start::check(&parts)?;
        let (destinations, schemas) = (start::destinations(&parts.destinations)?, Schemas::new(&parts)?);
        let (kinds, subjects) = (start::emitted(&parts).into_iter().map(Kind::new).collect(), start::subjects(&parts)?);
        // Who decides and remembers sees marks, and everybody else plain values.
        let journal = veiled(&parts.journal, subjects.as_ref(), Form::Marked);
        let shown = veiled(&parts.journal, subjects.as_ref(), Form::Plain);
        let (erased, lost) = (Arc::new(AtomicU64::new(0)), Lost::default());
        let runs = Runs::new(&parts.journal, subjects.as_ref());
        let (policies, engine) = (parts.retention, parts.journal);
        // Snapshots are derived: without them loads take longer, and that is all.
        let snapshots = parts.snapshots.and_then(|disk| Snapshots::open(disk, journal.lineage().id, subjects.clone(), parts.planted).ok());
        let is_shared = journal.capabilities().has(Capability::ManyNodes);
        let (clock, tasks) = ((&parts.clock, &parts.random), (&parts.tasks, &parts.notices));
        let nodes = Arc::new(Nodes::new(parts.node, is_shared, &parts.registers, clock, tasks));
        let seams = Seams {
            journal: Arc::clone(&shown),
            runs: Arc::clone(&runs),
            registers: parts.registers,
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
            tasks: Arc::clone(&parts.tasks),
            notices: Arc::clone(&parts.notices),
            stall_after: parts.limits.stall_after,
            nodes: Arc::clone(&nodes),
        };
        let machine = Machine {
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
            tasks: Arc::clone(&parts.tasks),
            outgoing: parts.outgoing,
        };
        let around = Surroundings {
            journal: Arc::clone(&shown),
            clock: Arc::clone(&parts.clock),
            tasks: parts.tasks,
            threads: parts.threads,
            notices: parts.notices,
            stall_after: parts.limits.stall_after,
            erased: Arc::clone(&erased),
            lost: Arc::clone(&lost),
            nodes: Arc::clone(&nodes),
        };
        let mint = Mint { clock: parts.clock, random: Arc::clone(&parts.random), subjects: subjects.clone() };
        let topics = Arc::new(Topics::new(Arc::clone(&journal), &parts.service, parts.topics));
        let (streams, peers) = (parts.streams.declared, Peers::new(&parts.streams.addresses, parts.streams.tongue));
        let subscriptions = addressed(parts.streams.subscriptions, &peers);
        let processors = Arc::new(Seams { journal: Arc::clone(&journal), ..seams.clone() });
        let entities = Arc::new(Entities::new(journal, mint, kinds, snapshots, parts.limits));
        let timers = Shared::new(&entities, &runs, &around, (Arc::clone(&seams.registers), parts.random), &nodes);
        let workflows = Workflows::new(parts.workflows, &timers, parts.workflow_folder, parts.limits);
        let timers = Timers::new(timers, parts.timer_folder, parts.limits);
        let retention = Retention::new((engine, &seams), &entities, (policies, parts.limits.retention_every), lost);
        let delivery = DeliveryRoom::new(seams);
        let subscriptions = Subscriptions::new(Arc::clone(delivery.seams()), Arc::clone(&topics), parts.streams.reader, subscriptions);
        Ok(Self {
            service: parts.service,
            asynchronous: Asynchronous::new(Arc::clone(&entities)),
            actions: parts.actions,
            destinations: Arc::new(Destinations::new(machine, destinations)),
            processors: Arc::new(Processors::new(parts.processors, processors)),
            delivery: Arc::new(delivery),
            operations: Arc::new(Operations::new(parts.operations)),
            timers: Arc::new(timers),
            subscriptions,
            peers: Arc::new(peers),
            workflows: Arc::new(workflows),
            topics,
            streams: Streams::new(streams, Arc::clone(&entities)),
            pulled: Arc::new(PullConsumers::new()),
            admission: Admission::new(parts.limits.commands_in_flight_max),
            entities,
            views: Arc::new(Views::new(plans, around, parts.view_folder, parts.limits)),
            shown,
            retention: Arc::new(retention),
            schemas,
            personal: subjects.map(|subjects| {
                Arc::new(Personal { subjects, runs, lost: parts.keys_lost, erased, erasing: tokio::sync::Mutex::default() })
            }),
        })
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The journal, as clients may see it: personal values are plain in it.
    #[must_use]
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.shown
    }

    /// The entity types, in the order of registration.
    #[must_use]
    pub fn entity_descriptions(&self) -> Vec<&EntityDescription> {
        self.entities.names().iter().filter_map(|name| self.entities.kind(name)).map(|kind| kind.description()).collect()
    }

    /// The operations and rules, in the order of registration.
    #[must_use]
    pub fn operation_descriptions(&self) -> Vec<&OperationDescription> {
        self.operations.descriptions()
    }

    /// The topics, in the order of registration.
    #[must_use]
    pub fn topic_descriptions(&self) -> Vec<&TopicDescription> {
        self.topics.descriptions()
    }

    /// The streams beside the service's own, in the order of registration.
    #[must_use]
    pub fn stream_descriptions(&self) -> Vec<&StreamDescription> {
        self.streams.descriptions()
    }

    /// What makes the events of a stream for one reader, of those of the [`journal`](Self::journal); `None` when the service has no such
    /// stream.
    ///
    /// # Errors
    /// When as many readers are there as may be.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<Result<Shaper, CommandError>> {
        self.streams.shaper(name)
    }

    /// How each subscription to a peer's stream is, in the order of registration.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        self.subscriptions.statuses()
    }

    /// Lets the subscription that fills this topic go on from another place of its peer's stream; what is here already is known.
    ///
    /// # Errors
    /// When there is no such subscription, or the engine fails.
    pub async fn place_subscription(&self, topic: &str, place: PeerPlace, why: Decision) -> Result<(), OrderError> {
        self.subscriptions.place(topic, place, why).await
    }

    /// Takes messages for a topic, in their order, and gives an answer for each: one that is refused does not touch the others,
    /// and one that is there already is not taken again. A caller that goes away does not undo it.
    ///
    /// # Errors
    /// When there is no such topic, or nothing is taken now.
    pub async fn publish(&self, topic: &str, messages: Vec<TopicMessage>, context: &Context) -> Result<Vec<PublishAnswer>, CommandError> {
        let _permit = self.admission.enter()?;
        self.topics.publish(topic, messages, context).await
    }

    /// Whether the service has this entity type.
    #[must_use]
    pub fn has_entity(&self, kind: &str) -> bool {
        self.entities.has(kind)
    }

    /// Runs a command on an entity. A caller that goes away does not undo it.
    ///
    /// # Errors
    /// See [`CommandError`]: refused, not taken, or unknown.
    pub async fn command(&self, request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        let _permit = self.admission.enter()?;
        shown(self.entities.command(request).await)
    }

    /// Begins the work in the background: views are filled, consumers go on where they were. A new one has its place when this returns, so call
    /// it before the first command.
    ///
    /// # Errors
    /// When the engine fails: the journal cannot be read, or a place cannot be written.
    pub async fn begin(&self) -> Result<(), DeliveryError> {
        if let Some(personal) = &self.personal {
            let upto = personal.subjects.settle(&**self.journal(), personal.lost.as_deref()).await.map_err(DeliveryError::Keys)?;
            personal.erased.store(upto, SeqCst);
        }
        // Before anybody reads or writes: what the code cannot read, it must not meet.
        self.schemas.settle(&self.entities.journal, &self.delivery.seams().notices).await.map_err(DeliveryError::Schemas)?;
        let raised = self.schemas.raised_states();
        raised.for_each(|(kind, versions)| self.entities.raise(kind, &versions, &self.delivery.seams().notices));
        self.nodes().begin().await?;
        self.delivery.lose_foreign_places().await?;
        self.subscriptions.lose_foreign_places().await?;
        self.retention.remember().await;
        let place = self.journal().head().await?;
        let head = place.position();
        if self.has_role(Role::View) {
            self.views.begin(head);
        }
        self.asynchronous.resume(&self.delivery).await?;
        let (acts, named) = (self.has_role(Role::Action), self.actions.iter().map(|action| action.description().name));
        if acts {
            let components: Vec<&str> = named.chain(self.processors.names()).collect();
            self.pulled.resume(&self.delivery, &components).await?;
        }
        let reach = action::Reach {
            entities: Arc::clone(&self.entities),
            operations: Arc::clone(&self.operations),
            destinations: Arc::clone(&self.destinations),
            timers: Arc::clone(&self.timers),
            peers: Arc::clone(&self.peers),
            topics: Arc::clone(&self.topics),
            workflows: Arc::downgrade(&self.workflows),
            tasks: Arc::clone(self.delivery.tasks()),
        };
        // An action may start the first one.
        self.workflows.know(&reach, place);
        for action in &self.actions {
            let consumer = action::consumer(action, &reach);
            // Whatever this node does: events may come to it from here on.
            self.delivery.place(&consumer).await?;
            if acts {
                self.delivery.begin(consumer);
            }
        }
        if acts {
            self.processors.begin().await?;
        }
        self.timers.resume(head).await?;
        self.workflows.resume().await?;
        self.attend();
        // Whoever reads their topics has a place by now.
        if acts {
            self.subscriptions.begin();
        }
        Ok(())
    }

    /// Begins retention, once everybody else has a place: it waits for all of them.
    pub fn begin_retention(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        let pins: Pins = Arc::new(move || -> BoxFuture<'static, Result<Vec<Pin>, String>> {
            let this = this.clone();
            Box::pin(async move {
                let Some(this) = this.upgrade() else { return Err("the service stops".to_owned()) };
                this.pins().await
            })
        });
        self.retention.begin(pins, &self.delivery.seams().nodes);
    }

    /// Everybody who has still to read.
    async fn pins(&self) -> Result<Vec<Pin>, String> {
        self.delivery.checkpoint().await;
        let statuses = self.delivery.statuses();
        let known: Vec<String> = statuses.iter().map(|status| status.name.clone()).collect();
        let mut pins = of_registers(&self.delivery.seams().registers, &known).await?;
        let unplaced = statuses.iter().filter(|status| status.state == ConsumerState::Unplaced);
        pins.extend(unplaced.map(|status| Pin::of_unplaced(&status.name)));
        pins.extend(self.processors.pins().await.map_err(|error| error.to_string())?);
        pins.extend(self.views.pins().await?);
        Ok(pins)
    }

    /// Takes a command that is decided later, in the background, and gives the id under which its outcome is found. It is
    /// durable when this returns, and its form has been checked.
    ///
    /// # Errors
    /// See [`CommandError`]: refused, not taken, or unknown.
    pub async fn accept(&self, request: CommandRequest) -> Result<String, CommandError> {
        let _permit = self.admission.enter()?;
        self.asynchronous.accept(&self.delivery, request).await
    }

    /// What is known of an accepted command once it is decided, or after `patience`.
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub async fn settled(&self, entity: &EntityKey, id: &str, patience: Duration) -> Result<Option<Outcome>, StateError> {
        self.asynchronous.settled(entity, id, patience, (&**self.delivery.tasks(), self.nodes().is_shared())).await?;
        self.outcome(entity, id).await
    }

    /// How each destination is that actions call, by its address: those that the service names, and those that were called lately.
    #[must_use]
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        self.destinations.statuses()
    }

    /// That nothing is gone which a reader behind this place would have had: events of the types that it reads were let go of, and the first
    /// that is there lies further on.
    ///
    /// # Errors
    /// With the first place that is good; or when the journal cannot be read.
    pub async fn check_place(&self, selection: &Selection, cursor: Cursor) -> Result<(), ReadError> {
        let kinds = match selection {
            Selection::Types(types) | Selection::Slices { types: Some(types), .. } => {
                types.iter().map(|full| full.split('/').next().unwrap_or_default().to_owned()).collect()
            }
            Selection::Entity { entity, .. } => vec![entity.kind().to_owned()],
            _ => self.entities.names().iter().map(|name| (*name).to_owned()).collect(),
        };
        match self.retention.gone_before(&kinds, cursor).await? {
            Some(first) => Err(ReadError::Cursor(CursorError::Gone { first })),
            None => Ok(()),
        }
    }

    /// The processors, in the order of registration.
    #[must_use]
    pub fn processors(&self) -> Vec<&'static str> {
        self.processors.names().collect()
    }

    /// Whether the service has this processor.
    #[must_use]
    pub fn has_processor(&self, name: &str) -> bool {
        self.processors.has(name)
    }

    /// What a processor remembers of a key, as it is durable.
    ///
    /// # Errors
    /// When there is no such processor, or the engine fails.
    pub async fn processor_key(&self, processor: &str, key: &EntityKey) -> Result<KeySight, OrderError> {
        self.processors.key(processor, key).await
    }

    /// Runs an operation or a rule. A caller that goes away does not undo it.
    ///
    /// # Errors
    /// See [`CommandError`]: refused, not taken, or unknown.
    pub async fn operation(&self, request: OperationRequest) -> Result<CommandOutcome, CommandError> {
        let _permit = self.admission.enter()?;
        shown(self.operations.run(&self.entities, request).await)
    }

    /// What became of a command, by the id that its client gave; `None` when it has left nothing (yet). An operation over
    /// entities is remembered by its first one.
    ///
    /// # Errors
    /// When there is no such entity type, or the journal fails.
    pub async fn outcome(&self, entity: &EntityKey, id: &str) -> Result<Option<Outcome>, StateError> {
        let kind = self.kind(entity)?;
        // What no client may send has no outcome.
        let Ok(id) = checked(id.to_owned()) else { return Ok(None) };
        let Some(found) = self.journal().find_command(entity, CommandId::from_raw(id.as_bytes())).await? else {
            return self.asynchronous.outcome(kind, entity, &id).await.map(|outcome| outcome.map(Outcome::shown));
        };
        Ok(Some(Outcome::Done(PastOutcome {
            command: (*found.name).to_owned(),
            reply: found.reply,
            sequence: found.sequence,
            cursor: found.cursor,
            time: found.time,
        })))
    }

    /// The state of an entity; `None` when it has no event at that moment, or is deleted. `stale` does not wait until what the
    /// state has seen is durable.
    ///
    /// # Errors
    /// See [`StateError`].
    pub async fn state(&self, entity: &EntityKey, moment: Moment, stale: bool) -> Result<Option<StateRead>, StateError> {
        let kind = self.kind(entity)?;
        let read = match moment {
            Moment::Now => self.entities.state_now(kind, entity, stale).await,
            Moment::Sequence(sequence) => self.entities.state_at_sequence(kind, entity, sequence).await,
            Moment::Time(time) => self.entities.state_at_time(kind, entity, time).await,
        };
        read.map(|read| read.map(|read| StateRead { state: shown_bytes(read.state), ..read }))
    }

    /// The events of an entity up to now, from a sequence on.
    #[must_use]
    pub fn history(&self, entity: &EntityKey, from_sequence: u64) -> Events {
        let selection = Selection::Entity { entity: entity.clone(), from_sequence };
        self.journal().read(selection, Cursor::BEGINNING, ReadMode::ToHead)
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let (stopping, poisoned, full) = (self.admission.is_stopping(), self.journal().poisoned(), self.journal().is_full());
        Health {
            accepting: !stopping && !full && poisoned.is_none() && self.admission.has_room(),
            stopping,
            poisoned,
            full,
            degraded_since: self.journal().degraded_since(),
            in_flight: self.admission.under_way(),
            cached_entities: self.entities.cache.len(),
        }
    }

    /// The views, in the order of registration.
    #[must_use]
    pub fn view_descriptions(&self) -> Vec<&ViewDescription> {
        self.views.descriptions()
    }

    /// The rows of a query, once its view has seen what the request names.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&self, request: QueryRequest) -> Result<QueryAnswer, QueryError> {
        self.views.query(request).await
    }

    /// The rows of a query, and what changes of them from then on. A reader that comes back names the last place that it was told.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn live(&self, request: QueryRequest, after: Option<Cursor>) -> Result<LiveQuery, QueryError> {
        self.views.live(request, after).await
    }

    /// How retention stands; `None` when no entity type has a policy.
    #[must_use]
    pub fn retention(&self) -> Option<RetentionStatus> {
        self.retention.status()
    }

    /// Wants a pass of retention now: one that begins after this. False when no entity type has a policy.
    pub fn retain_now(&self) -> bool {
        self.retention.ask()
    }

    /// How the views are.
    pub async fn view_status(&self) -> Vec<ViewStatus> {
        self.views.status().await
    }

    /// What the views do, in a word each.
    #[must_use]
    pub fn view_states(&self) -> BTreeMap<&'static str, &'static str> {
        self.views.states()
    }

    /// Begins to make a view's rows anew from the first event, beside those that serve; they change places when the new ones have caught
    /// up. False when that is under way already.
    ///
    /// # Errors
    /// When there is no such view, or it has not begun.
    pub fn rebuild_view(&self, name: &str) -> Result<bool, QueryError> {
        self.views.rebuild(name)
    }

    /// Takes no more commands, and no consumer takes further events; what is under way goes on. Reads go on.
    pub fn stop(&self) {
        self.nodes().leave();
        self.admission.stop();
        self.retention.stop();
        self.pulled.stop();
        self.entities.stop();
        self.delivery.stop();
        self.processors.stop();
        self.timers.stop();
        self.workflows.stop();
        self.subscriptions.stop();
    }

    /// Returns when nothing is under way. After `stop`, nothing will be.
    pub async fn drained(&self) {
        self.admission.drained().await;
        self.retention.drained().await;
        self.delivery.drained().await;
        self.processors.drained().await;
        self.workflows.drained().await;
        self.timers.drained().await;
        self.subscriptions.drained().await;
        self.nodes().end().await;
        self.views.end().await;
        if let Some(personal) = &self.personal {
            personal.subjects.release();
        }
    }

    fn kind(&self, entity: &EntityKey) -> Result<&Arc<Kind>, StateError> {
        self.entities
            .kind(entity.kind())
            .ok_or_else(|| StateError::UnknownTarget { name: entity.kind().to_owned(), known: self.entities.names().to_vec() })
    }
}

/// The entity types of full names.
fn kinds_of(types: &[String]) -> Vec<String> {
    types.iter().map(|full| full.split('/').next().unwrap_or_default().to_owned()).collect()
}
