//! The runtime: runs components over an engine. It knows no HTTP, reads no environment and starts no threads of its own.
//!
//! Start at [`Runtime`], then `entity` (one command, one entity) and `operation` (one command, several entities or tags).
//! `flight` is what both stand on: a commit on its way, which anybody may wait for. `view` fills tables from the journal and asks them.

// The derives name `::headwater`, which is the crate that users add.
extern crate component as headwater;

mod action;
mod admission;
mod asked;
mod asynchronous;
mod delivery;
mod destination;
mod entity;
mod flight;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod isolation;
pub mod limits;
mod node;
mod operation;
mod personal;
mod processor;
mod pull;
mod request;
mod retention;
mod runtime;
mod schema;
pub mod seams;
mod stall;
mod start;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod timer;
mod topic;
mod view;
mod workflow;

use std::sync::Arc;

use component::hosted::{ActionHandle, EntityHandle, OperationHandle, ProcessorHandle, TopicHandle, ViewHandle, WorkflowHandle};
use component::{Compatibility, Keep, Shapes};
use journal::seams::{Clock, Disk, Random, Spawner};
use journal::{Journal, Registers};

pub use action::{DryRun, DrySend};
pub use delivery::{
    ConsumerState, ConsumerStatus, Decision, DeliveryError, FailedRun, HeldKey, HeldSelection, OrderError, RetryPolicy, cause_group,
};
pub use destination::{DestinationPolicy, DestinationState, DestinationStatus, Outgoing, OutgoingCall, OutgoingError};
pub use entity::snapshots::PlantedBug;
pub use limits::Limits;
pub use node::{DutySight, NodeSetup, NodeSight, Role, moved_register};
pub use personal::erase::{EraseError, Erasure, KeysUnfit};
pub use personal::{KeyStoreError, has_personal_data};
pub use processor::KeySight;
pub use pull::{ConsumerError, ConsumerReads, ConsumerSetup, ConsumerSight, ConsumerStart, DeliveryWord, PulledDelivery, SetUp};
pub use request::{
    CommandError, CommandOutcome, CommandRequest, Expectation, Moment, OperationRequest, Outcome, PastOutcome, StateError, StateRead,
};
pub use retention::{RetentionStatus, RetentionWait};
pub use runtime::{Health, Runtime};
pub use schema::{
    Broken, Comparison, Misfit, RegisteredShape, Registry, Rules, Sample, SampleError, SchemaError, SchemaRefusal, ShapeSources,
    compare_with, read_sample,
};
pub use stall::Stall;
pub use start::StartError;
pub use stream::{
    PeerCommand, PeerError, PeerItem, PeerPlace, PeerStream, PeerStreams, PeerTongue, PeerWords, Shaped, Shaper, StreamAsk, StreamParts,
    SubscriptionState, SubscriptionStatus,
};
pub use timer::{
    ChangeTimer, SetTimer, TimerChange, TimerError, TimerFiring, TimerItem, TimerName, TimerSchedule, TimerSelection, TimerSight,
    TimerState, TimerTarget, TimerWhen, TimersStatus,
};
pub use topic::{MessageData, PublishAnswer, Published, TopicMessage};
#[cfg(feature = "probe")]
pub use view::probe as view_probe;
pub use view::server as view_server;
pub use view::{
    LiveEvent, LiveQuery, LiveSnapshot, LiveUpdate, Notices, QueryAnswer, QueryError, QueryInput, QueryRequest, Rebuild, RowChange, Rows,
    SharedViews, Trial, TrialEvent, ViewFolder, ViewState, ViewStatus, ViewStop, is_shared_view, try_on_server,
};
pub use workflow::{
    Replayed, TimelineItem, UndoSight, WorkflowChange, WorkflowError, WorkflowHistory, WorkflowItem, WorkflowName, WorkflowOrder,
    WorkflowRecord, WorkflowSelection, WorkflowSight, WorkflowState, WorkflowWish, WorkflowsStatus, check_history,
};

/// What a runtime is made of.
pub struct Parts {
    /// The service's name: `[a-z][a-z0-9-]{0,63}`.
    pub service: String,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The registers beside it.
    pub registers: Arc<dyn Registers>,
    /// The entity types.
    pub entities: Vec<EntityHandle>,
    /// The operations and rules.
    pub operations: Vec<OperationHandle>,
    /// The actions.
    pub actions: Vec<ActionHandle>,
    /// The processors.
    pub processors: Vec<ProcessorHandle>,
    /// The topics.
    pub topics: Vec<TopicHandle>,
    /// The streams that leave beside the service's own, and those of peers that come in.
    pub streams: StreamParts,
    /// The views.
    pub views: Vec<ViewHandle>,
    /// The workflows.
    pub workflows: Vec<WorkflowHandle>,
    /// Who calls outside for actions; nobody does when it is absent.
    pub outgoing: Option<Arc<dyn Outgoing>>,
    /// How destinations are treated, by their address.
    pub destinations: Vec<(String, DestinationPolicy)>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for minted command ids.
    pub random: Arc<dyn Random>,
    /// Background tasks.
    pub tasks: Arc<dyn seams::Tasks>,
    /// Threads, for what blocks.
    pub threads: Arc<dyn Spawner>,
    /// Where snapshots are kept; none are when it is absent.
    pub snapshots: Option<Arc<dyn Disk>>,
    /// Where the keys of subjects are kept; needed by components with personal data, and apart from the journal.
    pub keys: Option<Arc<dyn Disk>>,
    /// The id of a key store that is lost for good: the journal goes with the one above from now on.
    pub keys_lost: Option<String>,
    /// The views that lie on a server, checked by it; a service that has one needs them.
    pub shared_views: Option<SharedViews>,
    /// Where the files of views lie; they are in memory when it is absent.
    pub view_folder: Option<ViewFolder>,
    /// Where the index of timers lies; it is in memory when it is absent.
    pub timer_folder: Option<ViewFolder>,
    /// Where the index of workflows lies; it is in memory when it is absent.
    pub workflow_folder: Option<ViewFolder>,
    /// Tells an operator what has happened in the background.
    pub notices: Notices,
    /// What entity types keep of their events, by their names; those that are not named keep all.
    pub retention: Vec<(&'static str, Keep)>,
    /// Rules for the shapes of components, where they are not those of their sort.
    pub compatibility: Vec<(String, Shapes, Compatibility)>,
    /// How this node calls itself, and what it does.
    pub node: NodeSetup,
    /// The bounds.
    pub limits: Limits,
    /// A mistake for tests to catch; none outside of them.
    pub planted: PlantedBug,
}
