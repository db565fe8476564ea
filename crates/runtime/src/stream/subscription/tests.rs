//! Subscriptions under virtual time, to a peer that is a list: processes end at any step, and connections break after any message.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use component::hosted::SubscriptionDescription;
use component::hosted_topic;
use journal::{BoxFuture, RegisterExpect, Selection};
use serde_json::{Value as Json, json};

use super::super::peers::{PeerError, PeerItem, PeerPlace, PeerStream, PeerStreams, StreamAsk};
use super::SubscriptionState;
use crate::delivery::Decision;
use crate::testing::{Components, Faults, Simulation};
use crate::topic::{MessageData, TopicMessage};
use crate::{StreamParts, SubscriptionStatus};

const KEYS: u64 = 4;
const MESSAGES: u64 = 60;

/// A peer whose stream has [`MESSAGES`] messages, those of a key numbered from 0; its cursors say how many there are before them.
#[derive(Default)]
struct Peer {
    /// Connections break after at most so many messages; 0 for never.
    cut_after: u64,
    opened: AtomicU64,
    /// Refuses every place but its first.
    diverged: std::sync::atomic::AtomicBool,
}

struct Told {
    next: u64,
    left: u64,
}

impl PeerStreams for Peer {
    fn open(&self, ask: StreamAsk) -> BoxFuture<'static, Result<Box<dyn PeerStream>, PeerError>> {
        let connection = self.opened.fetch_add(1, SeqCst);
        let diverged = self.diverged.load(SeqCst) && ask.from != PeerPlace::First;
        let left = if self.cut_after == 0 { u64::MAX } else { connection * 7 % (self.cut_after + 1) };
        let next = match &ask.from {
            PeerPlace::First => 0,
            PeerPlace::Now => MESSAGES,
            PeerPlace::Behind(cursor) => cursor.trim_start_matches('c').parse().unwrap(),
        };
        let refused = || PeerError::Place { word: "history-diverged".to_owned(), message: "it is another history".to_owned() };
        Box::pin(async move { if diverged { Err(refused()) } else { Ok(Box::new(Told { next, left }) as Box<dyn PeerStream>) } })
    }
}

impl PeerStream for Told {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<PeerItem, PeerError>>> {
        Box::pin(async move {
            if self.next >= MESSAGES {
                return std::future::pending().await;
            }
            if self.left == 0 {
                return Some(Err(PeerError::Failed { message: "cut".to_owned() }));
            }
            let at = self.next;
            (self.next, self.left) = (at + 1, self.left - 1);
            Some(Ok(PeerItem::Message(Box::new(message(at)), format!("c{}", at + 1))))
        })
    }
}

fn message(at: u64) -> TopicMessage {
    let attributes = vec![("subject".to_owned(), json!(format!("k{}", at % KEYS))), ("type".to_owned(), json!("t"))];
    let data = MessageData::Json((at / KEYS).to_string().into_bytes().into());
    TopicMessage { id: format!("m{at}"), source: "/peer".to_owned(), attributes, data: Some(data) }
}

fn service(peer: &Arc<Peer>, seed: u64, faults: Faults) -> Simulation {
    let peer = Arc::clone(peer);
    let components = move || Components {
        service: "reader".to_owned(),
        entities: Vec::new(),
        operations: Vec::new(),
        actions: Vec::new(),
        processors: Vec::new(),
        topics: vec![hosted_topic("notes")],
        streams: StreamParts {
            subscriptions: vec![SubscriptionDescription {
                peer: "peer",
                stream: "notes",
                topic: "notes",
                types: Vec::new(),
                version: None,
                from_now: false,
            }],
            addresses: vec![("peer".to_owned(), "http://peer.example".to_owned())],
            reader: Some(Arc::clone(&peer) as Arc<dyn PeerStreams>),
            ..StreamParts::default()
        },
        views: Vec::new(),
        workflows: Vec::new(),
        destinations: Vec::new(),
        retention: Vec::new(),
        compatibility: Vec::new(),
    };
    Simulation::new(seed, faults, Arc::default(), Box::new(components)).unwrap()
}

fn status(service: &Simulation) -> SubscriptionStatus {
    service.ask(|runtime| Box::pin(async move { runtime.subscriptions() })).remove(0)
}

/// The numbers of each key, as the topic has them.
fn taken(service: &Simulation) -> Vec<Vec<u64>> {
    let mut taken = vec![Vec::new(); usize::try_from(KEYS).unwrap()];
    for event in service.recorded(Selection::Types(vec!["$topic".into()])) {
        let message: Json = serde_json::from_slice(&event.payload).unwrap();
        let key: usize = message["subject"].as_str().unwrap().trim_start_matches('k').parse().unwrap();
        taken[key].push(message["data"].as_u64().unwrap());
    }
    taken
}

fn whole() -> Vec<Vec<u64>> {
    vec![(0..MESSAGES / KEYS).collect(); usize::try_from(KEYS).unwrap()]
}

/// Goes on until all messages are there, which they are within an hour; at no time is there one too many.
fn come_whole(service: &Simulation) {
    for _ in 0..3_600 {
        let taken = taken(service);
        for (key, (taken, whole)) in taken.iter().zip(&whole()).enumerate() {
            assert!(whole.starts_with(taken), "k{key}: {taken:?}");
        }
        if taken == whole() {
            return;
        }
        service.advance(Duration::from_secs(1));
    }
    panic!("not all has come: {:?}, {:?}", taken(service), status(service));
}

fn place(service: &Simulation, place: PeerPlace) {
    let why = Decision { reason: "in a test".to_owned(), ..Decision::default() };
    service.ask(move |runtime| {
        let (place, why) = (place.clone(), why.clone());
        Box::pin(async move { runtime.place_subscription("notes", place, why).await.unwrap() })
    });
}

#[test]
fn whatever_breaks_and_whenever_a_process_ends_each_message_is_there_once_and_in_order() {
    let mut ended = 0;
    for seed in 0..40 {
        let peer = Arc::new(Peer { cut_after: 9, ..Peer::default() });
        let service = service(&peer, seed, Faults { crashes: 0.02, delays: true, ..Faults::default() });
        come_whole(&service);
        assert!(peer.opened.load(SeqCst) > 5, "connections have broken");
        ended += service.crashes();
    }
    assert!(ended > 40, "processes have ended: {ended}");
}

#[test]
fn a_process_that_ends_before_any_one_step_takes_nothing_twice_and_leaves_nothing_out() {
    for step in 0..150 {
        let peer = Arc::new(Peer { cut_after: 25, ..Peer::default() });
        let service = service(&peer, 7, Faults { crash_at: Some(step), ..Faults::default() });
        come_whole(&service);
    }
}

#[test]
fn a_place_that_is_lost_waits_for_a_person_and_from_the_first_event_on_nothing_is_taken_twice() {
    let peer = Arc::new(Peer::default());
    let service = service(&peer, 1, Faults::default());
    come_whole(&service);
    let registers = service.registers();
    let register = crate::testing::at_once(registers.get("subscription/notes")).unwrap().unwrap();
    crate::testing::at_once(registers.delete(&register.name, register.revision)).unwrap();
    service.restart();
    service.advance(Duration::from_secs(60));
    assert_eq!(status(&service).state, SubscriptionState::Unplaced { cause: "its place is lost".to_owned() });
    place(&service, PeerPlace::First);
    service.advance(Duration::from_secs(1));
    let status = status(&service);
    assert_eq!((status.state, status.taken, status.repeated, status.stalled), (SubscriptionState::Reading, MESSAGES, MESSAGES, None));
    assert_eq!(taken(&service), whole());
}

#[test]
fn a_place_that_is_newer_than_the_journal_is_lost_too() {
    let peer = Arc::new(Peer::default());
    let service = service(&peer, 1, Faults::default());
    come_whole(&service);
    let registers = service.registers();
    let register = crate::testing::at_once(registers.get("subscription/notes")).unwrap().unwrap();
    // As registers of a later time say it: the messages up to there are not all in this journal.
    let mut value = register.value[..8].to_vec();
    let stored: Json = serde_json::from_slice(&register.value[8..]).unwrap();
    let here: journal::Cursor = stored["here"].as_str().unwrap().parse().unwrap();
    let later = journal::Cursor::from_parts(here.lineage(), here.position() + 1_000);
    value.extend(json!({ "place": "c99", "here": later.to_string() }).to_string().into_bytes());
    crate::testing::at_once(registers.put(&register.name, RegisterExpect::Revision(register.revision), value.into())).unwrap();
    service.restart();
    service.advance(Duration::from_secs(60));
    assert_eq!(status(&service).state.to_string(), "unplaced");
    // Also once the journal has grown past it.
    service.restart();
    assert_eq!(status(&service).place, None);
}

#[test]
fn a_peer_of_another_history_stops_it_with_a_stable_word_and_a_person_lets_it_go_on() {
    let peer = Arc::new(Peer { cut_after: 9, ..Peer::default() });
    let service = service(&peer, 1, Faults::default());
    service.advance(Duration::from_millis(300));
    peer.diverged.store(true, SeqCst);
    service.advance(Duration::from_secs(600));
    let stopped = status(&service);
    assert!(stopped.state.cause().unwrap().starts_with("history-diverged: "), "{stopped:?}");
    assert!(stopped.stalled.is_some());
    let opened = peer.opened.load(SeqCst);
    service.advance(Duration::from_secs(36_000));
    assert_eq!(peer.opened.load(SeqCst), opened, "nobody asks again in vain");
    peer.diverged.store(false, SeqCst);
    place(&service, PeerPlace::First);
    come_whole(&service);
}
