//! Look-ups of many readers at once, which go to the server together.

use std::sync::Arc;

use journal::{CommandId, EntityKey, Journal as _};

use crate::pages::notes;
use crate::server::Server;

/// More at once than one question takes. Each is told of its own entity and of its own command, those that nobody wrote among them, and of what
/// was acknowledged before it asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_lookups_at_once_is_answered_with_its_own() {
    let (server, service) = (Server::shared(), Server::service());
    let (node, other) = (Arc::new(server.node(&service).await), server.node(&service).await);
    let entity = |number: usize| EntityKey::new("note", &number.to_string()).unwrap();
    for number in (0..60).step_by(3) {
        other.append(notes(&entity(number), "written", number / 3 + 1)).await.unwrap();
    }
    let one = |asked: usize| {
        let (node, number) = (Arc::clone(&node), asked % 60);
        tokio::spawn(async move {
            let command = CommandId::from_raw(if asked.is_multiple_of(2) { b"written" } else { b"unheard" });
            let (head, found) = tokio::join!(node.entity_head(&entity(number)), node.find_command(&entity(number), command));
            let (head, found) = (head.unwrap().map(|head| head.sequence), found.unwrap().map(|found| found.sequence));
            let written = number.is_multiple_of(3).then_some(number as u64 / 3 + 1);
            assert_eq!((head, found), (written, written.filter(|_| asked.is_multiple_of(2))), "{number}");
        })
    };
    let asking: Vec<_> = (0..600).map(one).collect();
    for asked in asking {
        asked.await.unwrap();
    }
}

/// Whoever goes away while they wait takes nobody along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_does_not_hold_up_those_who_asked_with_it() {
    let (server, service) = (Server::shared(), Server::service());
    let node = server.node(&service).await;
    let entity = EntityKey::new("note", "a").unwrap();
    node.append(notes(&entity, "written", 1)).await.unwrap();
    for _ in 0..50 {
        let (gone, stays) = (node.entity_head(&entity), node.entity_head(&entity));
        // Asked, and dropped before the answer is there.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, gone).await;
        assert_eq!(stays.await.unwrap().map(|head| head.sequence), Some(1));
    }
}
