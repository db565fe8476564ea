//! What other nodes do with timers: whoever fires is told when one is due earlier than it knows.

use journal::{Cursor, Read, ReadMode, Recorded, Selection};
use serde::Deserialize;

use super::record::{REDRIVEN, SET, TIMER};
use super::room::Room;
use crate::limits::{ENGINE_RETRY_MIN, VIEW_REST};

/// When a timer is due by one of its events.
#[derive(Deserialize)]
struct Due {
    #[serde(default)]
    due: Option<i64>,
    #[serde(default)]
    next: Option<i64>,
}

impl Room {
    /// Hears what becomes of timers from now on, and never ends. What was recorded before is in the index by the time that it is asked.
    pub(super) async fn hear(&self) {
        let mut from = self.head_at_last().await;
        self.alarm.saw_due(from);
        self.alarm.ring(i64::MIN);
        loop {
            let mut events = self.runs.sealed().read(Selection::Types(vec![TIMER.into()]), from, ReadMode::Live);
            while let Some(Ok(read)) = events.next().await {
                match read {
                    Read::Progress(cursor) => from = cursor,
                    Read::Event(event) => {
                        from = self.runs.sealed().lineage().cursor(event.position);
                        self.heard(&event, from);
                    }
                }
            }
            self.tasks.sleep(VIEW_REST).await;
        }
    }

    fn heard(&self, event: &Recorded, place: Cursor) {
        let times = serde_json::from_slice(&event.payload).unwrap_or(Due { due: None, next: None });
        let due = if *event.name == *SET || *event.name == *REDRIVEN { times.due } else { times.next };
        match due {
            Some(due) => {
                self.alarm.saw_due(place);
                self.alarm.ring(due);
            }
            None => self.alarm.saw(place),
        }
    }

    async fn head_at_last(&self) -> Cursor {
        loop {
            match self.entities.journal.head().await {
                Ok(head) => return head,
                Err(_) => self.tasks.sleep(ENGINE_RETRY_MIN).await,
            }
        }
    }
}
