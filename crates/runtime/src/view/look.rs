//! The look at the filling of a file from time to time: whether it has stalled.
//!
//! A view that is behind and moves has not stalled, however far behind it is. One that has stopped at an event has, at once.

use std::sync::{Arc, PoisonError};

use super::fill::{Fill, Progress};
use super::request::ViewState;
use crate::limits::{STALL_LOOK, STALL_LOOK_IDLE};
use crate::stall::{Moment, Stall, Stillness, Work};

/// Looks until nothing more will come.
pub(super) async fn watch(fill: Arc<Fill>) {
    let (mut progress, tasks) = (fill.progress.subscribe(), Arc::clone(&fill.around.tasks));
    let (mut still, mut pause) = (Stillness::default(), STALL_LOOK);
    loop {
        let stopped = is_stopped(&progress.borrow());
        tokio::select! {
            biased;
            _ = progress.wait_for(|progress| progress.ended || is_stopped(progress) != stopped) => {}
            () = tasks.sleep(pause) => {}
        }
        if progress.borrow().ended {
            return;
        }
        let is_idle = look(&fill, &mut still).await == Work::None;
        pause = if is_idle { STALL_LOOK_IDLE } else { STALL_LOOK };
    }
}

fn is_stopped(progress: &Progress) -> bool {
    matches!(progress.state, ViewState::Stopped(_))
}

async fn look(fill: &Fill, still: &mut Stillness<(u64, u64)>) -> Work {
    let progress = fill.progress.borrow().clone();
    let place = (progress.begun, progress.cursor.position());
    let work = if is_stopped(&progress) { Work::Blocked } else { work(fill, place.1).await };
    let now = Moment { elapsed: fill.around.tasks.elapsed(), time: fill.around.clock.now() };
    let since = still.look(place, work, now, fill.around.stall_after);
    let stall = since.map(|since| Stall { since, cause: cause(&progress.state) });
    let before = std::mem::replace(&mut *fill.stall.lock().unwrap_or_else(PoisonError::into_inner), stall.clone());
    match (before, stall) {
        // Where it stopped has been said.
        (None, Some(stall)) if !is_stopped(&progress) => fill.notice(&format!("has stalled: {}", stall.cause)),
        (Some(_), None) => fill.notice("goes on"),
        _ => {}
    }
    work
}

/// Whether the journal has something behind a place; what it does not say before the next look is as good as something.
async fn work(fill: &Fill, position: u64) -> Work {
    tokio::select! {
        biased;
        head = fill.around.journal.head() => match head {
            Ok(head) if head.position() <= position => Work::None,
            _ => Work::Due,
        },
        () = fill.around.tasks.sleep(STALL_LOOK) => Work::Due,
    }
}

fn cause(state: &ViewState) -> String {
    state.cause().unwrap_or_else(|| match state {
        ViewState::Opening => "its file is being opened and does not come".into(),
        _ => "the journal goes on and the view does not: it is given nothing, or one transaction takes so long".into(),
    })
}

impl Fill {
    /// Since when it has stalled, and why.
    pub(super) fn stalled(&self) -> Option<Stall> {
        self.stall.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn notice(&self, words: &str) {
        (self.around.notices)(&format!("view {}: {words}", self.plan.view.name()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

    use std::sync::Mutex;
    use std::time::Duration;

    use component::View;
    use journal::model::ModelJournal;
    use journal::seams::{Clock, Random, ThreadSpawner};
    use journal::sim::{SimClock, SimRandom};
    use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal, Registers};

    use super::*;
    use crate::node::Nodes;
    use crate::seams::Tasks;
    use crate::seams::sim::SimTasks;
    use crate::view::check::{Strangers, check};
    use crate::view::fault::ViewStop;
    use crate::view::fill::Surroundings;
    use crate::view::place::Place;
    use crate::view::store::Store;
    use crate::{NodeSetup, Notices};

    /// A file that the test fills itself, by saying how far it is.
    struct Rig {
        tasks: Arc<SimTasks>,
        journal: Arc<ModelJournal>,
        fill: Arc<Fill>,
        told: Arc<Mutex<Vec<String>>>,
    }

    impl Rig {
        fn new() -> Self {
            let clock = Arc::new(SimClock::new());
            let tasks = Arc::new(SimTasks::new(Arc::clone(&clock), 1));
            let journal = Arc::new(ModelJournal::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SimRandom::new(7))));
            let told = Arc::new(Mutex::new(Vec::new()));
            let hears = Arc::clone(&told);
            let notices: Notices = Arc::new(move |words| hears.lock().unwrap().push(words.to_owned()));
            let (registers, random) = (Arc::clone(&journal) as Arc<dyn Registers>, Arc::new(SimRandom::new(7)) as Arc<dyn Random>);
            let (of_time, as_tasks) = (Arc::clone(&clock) as Arc<dyn Clock>, Arc::clone(&tasks) as Arc<dyn Tasks>);
            let nodes = Nodes::new(NodeSetup::default(), false, &registers, (&of_time, &random), (&as_tasks, &notices));
            let around = Arc::new(Surroundings {
                journal: Arc::clone(&journal) as Arc<dyn Journal>,
                clock,
                tasks: Arc::clone(&tasks) as Arc<dyn Tasks>,
                threads: Arc::new(ThreadSpawner::new()),
                notices,
                stall_after: Duration::from_secs(60),
                erased: Arc::default(),
                lost: Arc::default(),
                nodes: Arc::new(nodes),
            });
            let view = View::sqlite("stock").table("CREATE TABLE stock (id TEXT PRIMARY KEY)").hosted();
            let plan = Arc::new(check(&view, &[], Strangers::PassedOver).unwrap());
            let fill = Fill::new(Arc::clone(&plan), Place::File(Store::new(None, &plan, 1)), 1, around, None);
            tasks.spawn(Box::pin(watch(Arc::clone(&fill))));
            Self { tasks, journal, fill, told }
        }

        fn append(&self) {
            let count = self.tasks.block_on(self.journal.head()).unwrap().position();
            let event = EventData {
                name: "moved".into(),
                version: 1,
                content: ContentType::Json,
                flags: EventFlags::default(),
                tags: Vec::new(),
                payload: bytes::Bytes::from_static(b"{}"),
            };
            let command = CommandRecord {
                entity: EntityKey::new("good", "mug").unwrap(),
                id: CommandId(u128::from(count).to_be_bytes()),
                name: "move".into(),
                fingerprint: None,
                context: Context::default(),
                reply: bytes::Bytes::new(),
                events: vec![event],
            };
            self.tasks.block_on(self.journal.append(Commit { commands: vec![command], ..Commit::default() })).unwrap();
        }

        fn is_at(&self, position: u64) {
            let cursor = self.journal.lineage().cursor(position);
            self.fill.progress.send_modify(|progress| (progress.cursor, progress.state) = (cursor, ViewState::Live));
        }

        fn seconds(&self, seconds: u64) {
            self.tasks.advance(Duration::from_secs(seconds));
        }

        fn told(&self) -> Vec<String> {
            self.told.lock().unwrap().clone()
        }
    }

    #[test]
    fn a_view_that_does_not_move_while_the_journal_has_more_has_stalled_until_it_does() {
        let rig = Rig::new();
        rig.append();
        rig.append();
        rig.is_at(1);
        rig.seconds(200);
        let cause = "the journal goes on and the view does not: it is given nothing, or one transaction takes so long";
        assert_eq!(rig.fill.stalled().unwrap().cause, cause);
        rig.is_at(2);
        rig.seconds(60);
        assert_eq!(rig.fill.stalled(), None);
        assert_eq!(rig.told(), [format!("view stock: has stalled: {cause}"), "view stock: goes on".into()]);
    }

    #[test]
    fn a_view_that_moves_or_has_seen_all_has_not_stalled() {
        let rig = Rig::new();
        for position in 1..60 {
            rig.append();
            rig.append();
            rig.is_at(position);
            rig.seconds(50);
            assert_eq!(rig.fill.stalled(), None);
        }
        rig.is_at(118);
        rig.seconds(3_600);
        assert_eq!((rig.fill.stalled(), rig.told()), (None, Vec::new()));
    }

    #[test]
    fn a_view_that_is_begun_again_moves_although_it_was_further_before() {
        let rig = Rig::new();
        for _ in 0..9 {
            rig.append();
        }
        rig.is_at(8);
        rig.seconds(10);
        rig.fill.progress.send_modify(|progress| progress.begun += 1);
        for position in 1..8 {
            rig.is_at(position);
            rig.seconds(50);
            assert_eq!(rig.fill.stalled(), None);
        }
    }

    #[test]
    fn a_view_that_has_stopped_has_stalled_at_once_and_says_so_no_second_time() {
        let rig = Rig::new();
        rig.append();
        rig.seconds(5);
        let stop = ViewStop {
            event_id: "e".into(),
            event: "good/moved".into(),
            entity_id: "mug".into(),
            sequence: 1,
            statement: "on good/moved".into(),
            cause: "no".into(),
        };
        rig.fill.progress.send_modify(|progress| progress.state = ViewState::Stopped(Box::new(stop)));
        rig.tasks.run_ready();
        assert_eq!(rig.fill.stalled().unwrap().cause, "stopped at event e (good/moved #1 of `mug`), on good/moved: no");
        assert_eq!(rig.told(), [""; 0]);
    }
}
