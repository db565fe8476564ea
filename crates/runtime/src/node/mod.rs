//! Nodes: the processes of one service over one engine, and which of them has which duty.
//!
//! A *duty* is something that one node at a time does: a consumer's share of the slices, a processor, the firing of timers. Each node
//! writes a register of its own once a second (`record`), and looks at those of the others (`beat`). From what it sees it works out alone
//! which duties are its own (`spread`): nodes that see the same come to the same. It gives up what is another's, takes what is its own once
//! that is free, and writes its name into the duty's lease, under a higher epoch (`post`). It promises:
//! - a duty is taken only from a node that has given it up, or whose register has stood still for its time on the taker's own clock;
//! - who has lost a duty and does not know it is refused by the lease: its writes expect the revision that it wrote last.
//!
//! What it is not: agreement. Two nodes may believe for a moment that a duty is theirs; storage refuses one of them. On an engine that one
//! process has alone there is one node, all duties are its own, and nothing is written.

mod beat;
mod moved;
mod post;
mod record;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::seams::{Clock, Random};
use journal::{RegisterError, Registers, Selection, Timestamp};
use tokio::sync::{Notify, watch};

use crate::Notices;
use crate::limits::{SHARES, SLICES_A_SHARE};
use crate::seams::Tasks;
pub use moved::moved_register;
pub(crate) use post::{Post, lease_of, parts, while_held};
use record::Record;

/// What the names of all nodes' registers begin with.
pub(crate) const PREFIX: &str = "node/";
/// What the names of leases begin with that hold nothing but their owner.
pub(crate) const LEASES: &str = "lease/";

/// A side of a service that a node may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes commands, operations, messages and wishes of clients.
    Command,
    /// Fills views and answers their queries.
    View,
    /// Runs actions, processors, subscriptions and what clients pull.
    Action,
    /// Runs workflows and fires timers.
    Workflow,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Command, Self::View, Self::Action, Self::Workflow];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::View => "view",
            Self::Action => "action",
            Self::Workflow => "workflow",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// How a node calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSetup {
    /// Its name, which no other node of the service may have; one is made up when there is none.
    pub name: Option<String>,
    /// Where others reach it, such as `http://10.0.0.7:7700`.
    pub address: Option<String>,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl Default for NodeSetup {
    fn default() -> Self {
        Self { name: None, address: None, roles: Role::ALL.to_vec() }
    }
}

/// A node as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSight {
    /// Its name.
    pub name: String,
    /// Where it is reached, if it says so.
    pub address: Option<String>,
    /// Its roles.
    pub roles: Vec<String>,
    /// When it began, as far as it says so.
    pub started: Option<Timestamp>,
    /// Whether its register has moved lately.
    pub is_alive: bool,
    /// Whether it is on its way out.
    pub is_leaving: bool,
    /// Whether it is the one that was asked.
    pub is_this: bool,
    /// The duties whose leases have its name.
    pub duties: Vec<DutySight>,
}

/// A duty that a node has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DutySight {
    /// Such as `consumer/bill`.
    pub duty: String,
    /// Which share of its slices; none when it is whole.
    pub share: Option<u16>,
    /// How often it has changed hands.
    pub epoch: u64,
}

/// A part of the slices, of one duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Share {
    pub(crate) index: u16,
    pub(crate) of: u16,
}

impl Share {
    /// All slices.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };

    /// The parts of a duty that is spread over nodes.
    pub(crate) fn all(of: u16) -> impl Iterator<Item = Self> {
        (0..of).map(move |index| Self { index, of })
    }

    pub(crate) fn is_whole(self) -> bool {
        self.of == 1
    }

    /// The first and the last of its slices.
    pub(crate) fn slices(self) -> (u16, u16) {
        let width = SHARES * SLICES_A_SHARE / self.of;
        (self.index * width, (self.index + 1) * width - 1)
    }

    pub(crate) fn has(self, slice: u16) -> bool {
        let (first, last) = self.slices();
        (first..=last).contains(&slice)
    }

    /// What is selected, of its slices only where the engine can say so; whoever reads looks at the slice again.
    pub(crate) fn of(self, selection: &Selection) -> Selection {
        let (first, last) = self.slices();
        match selection {
            Selection::Types(types) if !self.is_whole() => Selection::Slices { first, last, types: Some(types.clone()) },
            other => other.clone(),
        }
    }

    /// What a register's name ends with.
    pub(crate) fn suffix(self) -> String {
        if self.is_whole() { String::new() } else { format!("/{:02}", self.index) }
    }
}

/// Who is there, as this node sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Those whose registers have moved lately, this one too while it is heard.
    alive: Vec<(String, Record)>,
    /// Whether this node is heard: its register was written lately.
    is_heard: bool,
    /// How often it has stood still for so long that others may have taken over what it had.
    standstills: u64,
}

/// What this node says of itself.
struct Own {
    duties: BTreeSet<String>,
    is_leaving: bool,
}

/// See the module.
pub(crate) struct Nodes {
    name: String,
    setup: NodeSetup,
    /// Nothing when the engine is one process's alone.
    shared: Option<Shared>,
    own: Mutex<Own>,
    seen: watch::Sender<Arc<Seen>>,
    /// What this node says of itself has changed.
    changed: Notify,
    stop: watch::Sender<bool>,
    gone: watch::Sender<bool>,
}

/// What a node needs that has others beside it.
struct Shared {
    registers: Arc<dyn Registers>,
    clock: Arc<dyn Clock>,
    tasks: Arc<dyn Tasks>,
    notices: Notices,
    /// What tells this process from one before it under the same name.
    incarnation: String,
}

impl Nodes {
    /// A node of many, or the only one.
    pub(crate) fn new(
        setup: NodeSetup,
        is_shared: bool,
        registers: &Arc<dyn Registers>,
        (clock, random): (&Arc<dyn Clock>, &Arc<dyn Random>),
        (tasks, notices): (&Arc<dyn Tasks>, &Notices),
    ) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        let incarnation = format!("{:016x}", u64::from_be_bytes(bytes));
        let name = setup.name.clone().unwrap_or_else(|| format!("node-{}", &incarnation[..8]));
        let shared = is_shared.then(|| Shared {
            registers: Arc::clone(registers),
            clock: Arc::clone(clock),
            tasks: Arc::clone(tasks),
            notices: Arc::clone(notices),
            incarnation,
        });
        Self {
            name,
            setup,
            shared,
            own: Mutex::new(Own { duties: BTreeSet::new(), is_leaving: false }),
            seen: watch::Sender::new(Arc::default()),
            changed: Notify::new(),
            stop: watch::Sender::new(false),
            gone: watch::Sender::new(true),
        }
    }

    /// Whether other nodes may be there.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.setup.roles.contains(&role)
    }

    /// Into how many shares a duty is cut: names of registers hold them, so that it is the same for all and for ever.
    pub(crate) fn shares(&self) -> u16 {
        if self.is_shared() { SHARES } else { 1 }
    }

    /// A duty that this node can do.
    pub(crate) fn post(self: &Arc<Self>, duty: &str, share: Share) -> Post {
        if self.own().duties.insert(duty.to_owned()) {
            self.changed.notify_one();
        }
        Post::new(Arc::clone(self), duty, share)
    }

    /// A duty that this node can do no more.
    pub(crate) fn forget(&self, duty: &str) {
        if self.own().duties.remove(duty) {
            self.changed.notify_one();
        }
    }

    /// Says that it is there, looks who else is, and goes on with that in the background.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), RegisterError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let beat = beat::Beat::begin(Arc::clone(self)).await?;
        self.gone.send_replace(false);
        shared.tasks.spawn(Box::pin(beat.run()));
        Ok(())
    }

    /// Takes no further duties; those that it has are given up by who does them.
    pub(crate) fn leave(&self) {
        self.own().is_leaving = true;
        self.changed.notify_one();
    }

    /// All duties are given up: says so, and is gone.
    pub(crate) async fn end(&self) {
        self.leave();
        self.stop.send_replace(true);
        // The sender is ours: it is there as long as this waits.
        let _gone = self.gone.subscribe().wait_for(|gone| *gone).await.is_ok();
    }

    fn record(&self, shared: &Shared, started: Timestamp) -> Record {
        let own = self.own();
        Record {
            incarnation: shared.incarnation.clone(),
            address: self.setup.address.clone(),
            roles: self.setup.roles.iter().map(|role| role.word().to_owned()).collect(),
            duties: own.duties.iter().cloned().collect(),
            started_micros: started.as_micros(),
            leaving: own.is_leaving,
            beats: 0,
        }
    }

    /// Who is there, and who has what.
    pub(crate) async fn sights(&self) -> Result<Vec<NodeSight>, RegisterError> {
        let Some(shared) = &self.shared else { return Ok(vec![self.alone()]) };
        let seen = Arc::clone(&self.seen.borrow());
        let leases = post::all(&shared.registers).await?;
        let registers = shared.registers.list(PREFIX).await?;
        let mut sights = Vec::with_capacity(registers.len());
        for register in registers {
            let Some(record) = Record::decode(&register.value) else { continue };
            let name = register.name[PREFIX.len()..].to_owned();
            sights.push(NodeSight {
                address: record.address,
                roles: record.roles,
                started: Some(Timestamp::from_micros(record.started_micros)),
                is_alive: seen.alive.iter().any(|(known, _)| *known == name),
                is_leaving: record.leaving,
                is_this: name == self.name,
                duties: leases.iter().filter(|(owner, _)| *owner == name).map(|(_, duty)| duty.clone()).collect(),
                name,
            });
        }
        Ok(sights)
    }

    fn alone(&self) -> NodeSight {
        NodeSight {
            name: self.name.clone(),
            address: self.setup.address.clone(),
            roles: self.setup.roles.iter().map(|role| role.word().to_owned()).collect(),
            started: None,
            is_alive: true,
            is_leaving: self.own().is_leaving,
            is_this: true,
            duties: Vec::new(),
        }
    }

    /// Waits a moment, or until who is there has changed.
    async fn rest(&self, seen: &mut watch::Receiver<Arc<Seen>>, time: Duration) {
        let Some(shared) = &self.shared else { return std::future::pending().await };
        tokio::select! {
            biased;
            _ = seen.changed() => {}
            () = shared.tasks.sleep(time) => {}
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether this node is to have a share of a duty.
    fn wants(&self, name: &str, duty: &str, share: Share) -> bool {
        if !self.is_heard {
            return false;
        }
        let able = self.alive.iter().filter(|(_, record)| !record.leaving && record.duties.iter().any(|known| known == duty));
        let able: Vec<&str> = able.map(|(name, _)| name.as_str()).collect();
        spread::owner(&able, duty, share) == Some(name)
    }

    /// Whether somebody has this duty who may be at it.
    fn has(&self, name: &str) -> bool {
        self.alive.iter().any(|(known, _)| known == name)
    }
}
