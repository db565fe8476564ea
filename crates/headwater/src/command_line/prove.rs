//! `events prove`: a small file that shows that one event is among those that a root covers.

use clap::Args;
use jiff::Timestamp as Calendar;
use journal::embedded::{Proof, Root, WantedEvent, prove};
use journal::{EntityKey, EventId};
use serde_json::{Value as Json, json};

use crate::config::{Settings, data_directory};
use crate::exit::Exit;
use crate::export::{base64, commit_id, hex};
use crate::failure::Failure;
use crate::limits::MARKER_LOOK;
use crate::{engine, output};

const FORMAT: &str = "headwater-proof";
const VERSION: u32 = 1;

/// Which event.
#[derive(Args)]
pub struct Arguments {
    /// The event's id; or its entity, such as cart/c1, with a sequence
    #[arg(value_name = "EVENT|TYPE/ID")]
    event: String,
    /// The event's sequence within its entity
    #[arg(value_name = "SEQUENCE")]
    sequence: Option<u64>,
    /// The entity's tenant
    #[arg(long, value_name = "TENANT", default_value = "", hide_default_value = true)]
    tenant: String,
    /// Under this root, which was kept, with its cursor; without it, under that of all events so far
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
}

pub(super) fn run(arguments: &Arguments, settings: &Settings) -> Result<(), Failure> {
    let wanted = wanted(arguments)?;
    let unfit = || Failure::plain(Exit::Usage, "--root wants a root with its cursor, as `journal root` prints it: HASH:CURSOR");
    let root = arguments.root.as_deref().map(|text| text.parse::<Root>().ok().filter(|root| root.cursor.is_some()).ok_or_else(unfit));
    let root = root.transpose()?;
    let directory = data_directory(settings)?;
    let proof = prove(&engine::disk_to_read(&directory)?, &wanted, root.as_ref(), &mut || std::thread::sleep(MARKER_LOOK))
        .map_err(|error| engine::not_opened(&directory, &error))?;
    let Some(proof) = proof else {
        let sequence = arguments.sequence.map(|sequence| format!(" #{sequence}")).unwrap_or_default();
        return Err(Failure::plain(Exit::NotFound, format!("there is no event {}{sequence} in {}", arguments.event, directory.display())));
    };
    let (event, root) = (&proof.event, proof.root);
    output::talk(format!("{}/{} #{} {}, under the root {root}", event.entity.kind(), event.entity.id(), event.sequence, event.name));
    output::json(&text(&proof)?)
}

fn wanted(arguments: &Arguments) -> Result<WantedEvent, Failure> {
    let refused = |what: String| Failure::plain(Exit::Usage, what);
    match arguments.sequence {
        Some(sequence) => {
            let (kind, id) = arguments
                .event
                .split_once('/')
                .ok_or_else(|| refused(format!("{} is no entity: with a sequence it must be TYPE/ID", arguments.event)))?;
            let entity = EntityKey::with_tenant(&arguments.tenant, kind, id).map_err(|error| refused(error.to_string()))?;
            Ok(WantedEvent::Sequence(entity, sequence))
        }
        None => {
            let parts = arguments.event.rsplit_once('.');
            let id = parts.and_then(|(commit, index)| Some(EventId { commit: commit_id(commit)?, index: index.parse().ok()? }));
            id.map(WantedEvent::Id)
                .ok_or_else(|| refused(format!("{} is no id of an event; for an entity's event name its sequence too", arguments.event)))
        }
    }
}

fn text(proof: &Proof) -> Result<Json, Failure> {
    let event = &proof.event;
    let time = Calendar::from_microsecond(event.time.as_micros());
    let time = time.map_err(|_| Failure::plain(Exit::Failed, "the event has a time beyond the calendar"))?;
    let mut text = json!({
        "position": event.position, "commit": event.id.commit.to_string(), "index": event.id.index, "time": format!("{time:.6}"),
        "time_us": event.time.as_micros(), "sequence": event.sequence, "records": hex(&proof.records),
        "tenant": event.entity.tenant(), "type": event.entity.kind(), "id": event.entity.id(),
        "command_id": event.command.to_string(), "command": &*event.command_name,
        "name": &*event.name, "version": event.version, "content": event.content.code(), "flags": event.flags.0,
        "tags": event.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), "payload_base64": base64::encode(&event.payload),
    });
    let context = &event.context;
    let texts = [
        ("correlation_id", &context.correlation_id),
        ("causation_id", &context.causation_id),
        ("traceparent", &context.traceparent),
        ("principal", &context.principal),
    ];
    for (name, value) in texts.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))) {
        text[name] = json!(&**value);
    }
    Ok(json!({
        "format": FORMAT, "version": VERSION, "root": proof.root.to_string(), "events": proof.event_count, "leaf": hex(&proof.leaf),
        "path": proof.path.iter().map(|hash| hex(hash)).collect::<Vec<_>>(), "event": text,
    }))
}
