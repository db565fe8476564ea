//! What a start refuses of streams: names that clash, sources that are not there, personal values that nobody has declared.

use std::collections::HashSet;

use component::hosted::{
    EntityHandle, StreamDescription, StreamHandle, StreamItem, StreamLowering, StreamShape, SubscriptionDescription, named_destination,
};
use journal::EntityType;

use super::StreamParts;
use crate::Parts;
use crate::schema::misfits;
use crate::start::StartError;

/// That the streams hold together, over what the service records.
pub(crate) fn check(parts: &Parts, recorded: &[EntityHandle]) -> Result<(), StartError> {
    let mut seen = HashSet::new();
    for stream in &parts.streams.declared {
        let StreamDescription { name, version, types, .. } = stream.description();
        if let Some(misnamed) = stream.misnamed() {
            return Err(StartError::InvalidName { what: "stream", name: misnamed.to_owned() });
        }
        if *name == parts.service {
            return Err(StartError::DuplicateName { what: "stream and service", name });
        }
        if !seen.insert(*name) {
            return Err(StartError::DuplicateName { what: "stream", name });
        }
        let refused = |problem: String| Err(StartError::Stream { stream: name, problem });
        if *version == 0 {
            return refused("its version is 0; versions begin with 1".to_owned());
        }
        if types.is_empty() {
            return refused("nothing leaves by it; add a notification, an event or a document".to_owned());
        }
        if let Some(public) = stream.undeclared_personal() {
            let remedy = "say `.shows_personal()` when its readers may have them, or take them out of the type";
            return refused(format!("its type `{public}` has personal values; {remedy}"));
        }
        check_items(stream, recorded)?;
        check_versions(stream).or_else(refused)?;
    }
    check_peers(parts)?;
    check_subscriptions(parts)
}

fn check_peers(parts: &Parts) -> Result<(), StartError> {
    let StreamParts { subscriptions, spoken_to, addresses, .. } = &parts.streams;
    let refused = |peer: &str, problem: String| Err(StartError::Peer { peer: peer.to_owned(), problem });
    for (peer, address) in addresses {
        if let Err(problem) = named_destination(address) {
            return refused(peer, format!("its address `{address}` {problem}"));
        }
    }
    let needed = subscriptions.iter().map(|subscription| subscription.peer).chain(spoken_to.iter().map(String::as_str));
    for peer in needed {
        if EntityType::new(peer).is_err() {
            return refused(peer, "its name must match [a-z][a-z0-9-]{0,63}".to_owned());
        }
        if !addresses.iter().any(|(known, _)| known == peer) {
            let variable = peer.to_uppercase().replace('-', "_");
            let remedy = format!(
                "say `{peer} = \"http://..\"` under [peers] in headwater.toml, HEADWATER_PEER_{variable} in the environment, or --peer {peer}=URL"
            );
            return refused(peer, format!("nobody says where it is; {remedy}"));
        }
    }
    Ok(())
}

fn check_subscriptions(parts: &Parts) -> Result<(), StartError> {
    let topics: Vec<&str> = parts.topics.iter().map(|topic| topic.description().name).collect();
    let mut filled = HashSet::new();
    for SubscriptionDescription { stream, topic, .. } in &parts.streams.subscriptions {
        if EntityType::new(stream).is_err() {
            return Err(StartError::InvalidName { what: "stream", name: (*stream).to_owned() });
        }
        if !topics.contains(topic) {
            let source = format!("topic {topic}");
            return Err(StartError::UnknownSource { what: "subscription to", name: stream, source, known: topics });
        }
        if !filled.insert(*topic) {
            return Err(StartError::DuplicateName { what: "subscription into the topic", name: topic });
        }
    }
    Ok(())
}

fn check_items(stream: &StreamHandle, recorded: &[EntityHandle]) -> Result<(), StartError> {
    let name = stream.description().name;
    let mut public = HashSet::new();
    for item in stream.items() {
        if !public.insert(item.name) {
            let problem = format!("it has the type `{}` twice; give one of them another name", item.name);
            return Err(StartError::Stream { stream: name, problem });
        }
        check_source(name, item, recorded)?;
    }
    Ok(())
}

/// That older versions are there, and that what is made for their readers can be made.
fn check_versions(stream: &StreamHandle) -> Result<(), String> {
    let StreamDescription { version, oldest, types, .. } = stream.description();
    if !(1..=*version).contains(oldest) {
        return Err(format!("its oldest version is {oldest}; it is one from 1 to {version}, the present one"));
    }
    let mut seen = HashSet::new();
    for StreamLowering { name, version: older, reads, .. } in stream.lowerings() {
        let said = format!("`lowered` of `{name}` in version {older}");
        let Some(public) = types.iter().find(|public| public.name == *name) else {
            let known = types.iter().map(|public| public.name).collect::<Vec<_>>().join(", ");
            return Err(format!("{said}: it has no such type; it has: {known}"));
        };
        let Some(schema) = &public.schema else { return Err(format!("{said}: a notification has no data to make another one of")) };
        if !(*oldest..*version).contains(older) {
            return Err(format!("{said}: readers may ask for versions from {oldest} to {version}, and the present one is not lowered"));
        }
        if !seen.insert((*name, *older)) {
            return Err(format!("{said} is there twice; keep one of them"));
        }
        if let Some(misfit) = misfits(reads, schema).first() {
            return Err(format!("{said}: the type that it begins with does not read what leaves as `{name}`, at {misfit}"));
        }
    }
    Ok(())
}

fn check_source(name: &'static str, item: &StreamItem, recorded: &[EntityHandle]) -> Result<(), StartError> {
    let unknown = |source: String, known| Err(StartError::UnknownSource { what: "stream", name, source, known });
    let Some(entity) = recorded.iter().find(|entity| entity.name() == item.entity) else {
        return unknown(item.entity.clone(), recorded.iter().map(|entity| entity.name()).collect());
    };
    let known: Vec<&str> = entity.description().events.iter().map(|event| event.name).collect();
    match item.events.iter().find(|event| !known.contains(&event.as_str())) {
        // A notification of `order` instead of `order/placed`.
        Some(event) if event.is_empty() && item.shape == StreamShape::Notification => unknown(format!("{}/", item.entity), known),
        Some(event) => unknown(format!("{}/{event}", item.entity), known),
        None => Ok(()),
    }
}
