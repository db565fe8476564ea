//! Other services in a test: stubs that answer the commands of actions. What a peer's stream tells is published, with
//! [`Testkit::publish`].

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use component::{PeerEntity, Rejection as _, Variants as _, decode_payload, encode, encode_payload};
use runtime::StreamParts;
use runtime::testing::{HttpAnswer, HttpRequest};
use serde_json::{Value as Json, json};

use super::Testkit;
use crate::service::Service;

type Stub = Box<dyn Fn(&str, &str, &HttpRequest) -> HttpAnswer + Send + Sync>;

/// The peers that a test answers for.
#[derive(Clone, Default)]
pub(super) struct Stubs {
    /// Peers that were stubbed, with their stubs by entity types.
    peers: Rc<RefCell<HashMap<String, Arc<Peer>>>>,
}

#[derive(Default)]
struct Peer {
    kinds: Mutex<HashMap<&'static str, Stub>>,
    /// A command that comes again is answered as the first time.
    answered: Mutex<HashMap<String, HttpAnswer>>,
}

impl Stubs {
    /// What the service says of streams, with an address for every peer that it needs or the test has stubbed.
    pub(super) fn parts(&self, service: &Service) -> StreamParts {
        let parts = service.stream_parts();
        let needed = parts.subscriptions.iter().map(|subscription| subscription.peer.to_owned()).chain(parts.spoken_to.clone());
        let names: BTreeSet<String> = needed.chain(self.peers.borrow().keys().cloned()).collect();
        let addresses = names.into_iter().map(|name| (name.clone(), address(&name))).collect();
        StreamParts { addresses, tongue: Some(Arc::new(gateway::peers::Tongue)), ..parts }
    }
}

/// Where a peer is in a test.
pub(super) fn address(peer: &str) -> String {
    format!("http://{peer}.peer.test")
}

impl Testkit {
    /// Answers the commands that actions send to entities of this type of a peer, by the entity's id: a reply or a rejection. A command that
    /// is sent again is not asked about again, as a real peer would not. Calls are seen by
    /// [`http_calls`](Self::http_calls) of `http://{peer}.peer.test`, and a peer that is down is one whose address is
    /// [stubbed](Self::stub_http) so.
    ///
    /// # Panics
    /// When the service has begun, and neither it nor a stub has named the peer before.
    #[track_caller]
    pub fn stub_peer<E: PeerEntity>(
        &self,
        peer: &str,
        stub: impl Fn(&str, E::Command) -> Result<E::Reply, E::Rejection> + Send + Sync + 'static,
    ) {
        let mut peers = self.member.peers.peers.borrow_mut();
        let known = peers.entry(peer.to_owned()).or_default();
        let answer = move |id: &str, command: &str, request: &HttpRequest| match decode_payload::<E::Command>(command, request.body()) {
            Ok(command) => answer::<E>(stub(id, command)),
            Err(error) => HttpAnswer::json(400, &json!({ "code": "HW0002", "detail": error.to_string() })),
        };
        lock(&known.kinds).insert(E::NAME, Box::new(answer));
        let known = Arc::clone(known);
        self.member.stubs.set(&address(peer), move |request| known.answer(request));
    }
}

impl Peer {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        if let Some(first) = lock(&self.answered).get(request.key()) {
            return first.clone();
        }
        let segments: Vec<String> = request.path().trim_start_matches("/v1/entities/").split('/').map(decoded).collect();
        let [kind, id, command] = &segments[..] else { return HttpAnswer::status(404) };
        let kinds = lock(&self.kinds);
        let Some(stub) = kinds.get(&**kind) else {
            let detail = format!("the test has no stub of `{kind}` at this peer");
            return HttpAnswer::json(404, &json!({ "code": "HW0011", "detail": detail }));
        };
        let answer = stub(id, command, request);
        lock(&self.answered).insert(request.key().to_owned(), answer.clone());
        answer
    }
}

fn answer<E: PeerEntity>(decided: Result<E::Reply, E::Rejection>) -> HttpAnswer {
    let read = |json: Result<Vec<u8>, serde_json::Error>| -> Json {
        let json = json.unwrap_or_else(|error| panic!("the stub's answer does not encode: {error}"));
        serde_json::from_slice(&json).unwrap_or_default()
    };
    match decided {
        Ok(reply) => HttpAnswer::json(200, &json!({ "reply": read(encode(&reply)), "sequence": 1, "cursor": "" })),
        Err(rejection) => {
            let rejected = json!({ "code": rejection.name(), "data": read(encode_payload(&rejection)) });
            HttpAnswer::json(422, &json!({ "code": "HW0029", "detail": rejection.message(), "rejection": rejected }))
        }
    }
}

/// A segment of a path without its percent signs.
fn decoded(segment: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), segment.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let hex =
            behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (*first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
