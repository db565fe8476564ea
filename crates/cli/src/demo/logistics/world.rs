//! The world outside of the service: it follows the service's stream, and answers as each shipment's fate says, some hours later. What it
//! says has ids: it begins with the first event each time, and what it has said before is not said twice.

use std::time::Duration;

use bytes::Bytes;
use gateway::client::LineStream;
use headwater::client::{accepted, command_headers, connection, failed, refused, segment};
use headwater::{Client, Exit, Failure, SendError, output};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::fate::{self, CARRIERS, DESTINATION, Ended, Fate, SUPPLIER};
use super::verdict::Accounts;
use crate::logistics::carrier::Carrier;
use crate::logistics::delivery::{ANSWERED, CUSTOMS, Delivery};
use crate::logistics::position::{POSITIONS, Status};
use crate::logistics::{self, supplier::Supplier};

const RETRY_DELAY: Duration = Duration::from_millis(500);
const ATTEMPTS_MAX: u32 = 20;
/// How long the end of a shipment is waited for at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// The code of a workflow that takes no more signals: it has ended meanwhile, and nobody listens.
const NOT_NOW: &str = "HW0121";

/// See the module.
#[derive(Clone)]
pub(super) struct World {
    client: Client,
    url: String,
    hour_ms: u64,
    shows: bool,
}

/// Something that the world says of a shipment.
#[derive(Debug, PartialEq)]
enum Saying {
    Answer { carrier: String, accepts: bool },
    Customs { releases: bool },
    CallOff,
    Position(Status, &'static str),
}

impl World {
    pub(super) fn new(client: Client, url: &str, hour_ms: u64, shows: bool) -> Self {
        Self { client, url: url.to_owned(), hour_ms, shows }
    }

    /// Has a supplier with goods and carriers with lorries, and starts the shipments.
    pub(super) async fn prepare(&self, shipments: u32) -> Result<(), Failure> {
        for number in 0..shipments {
            // As many pieces as it needs: so a demo of more shipments makes more.
            let make = json!({ "pieces": fate::pieces(number) });
            self.post(&format!("/v1/entities/supplier/{SUPPLIER}/make"), Some(&format!("make-{number}")), &make).await?;
        }
        for carrier in CARRIERS {
            let have = json!({ "lorries": shipments });
            self.post(&format!("/v1/entities/carrier/{carrier}/have"), Some(&format!("have-{shipments}")), &have).await?;
        }
        for number in 0..shipments {
            self.post(&format!("/v1/workflows/delivery/{}", fate::id(number)), None, &fate::order(number)).await?;
        }
        Ok(())
    }

    /// Answers whatever happens, until it is aborted.
    pub(super) async fn answer(self) -> Result<(), Failure> {
        let (mut lines, mut saying) = (self.events().await?, JoinSet::new());
        while let Some(line) = lines.next().await.map_err(|error| failed(&self.url, &error))? {
            let event = serde_json::from_slice(&line)
                .map_err(|error| Failure::plain(Exit::Failed, format!("the stream has a line that is not JSON: {error}")))?;
            self.show(&event)?;
            if let Some((shipment, hours, says)) = reaction(&event) {
                saying.spawn(self.clone().say(shipment, hours, says));
            }
            while let Some(said) = saying.try_join_next() {
                said.map_err(|_| Failure::plain(Exit::Failed, "the world panicked; its message stands above"))??;
            }
        }
        Ok(())
    }

    async fn events(&self) -> Result<LineStream, Failure> {
        let path = format!("/v1/streams/{}?type=shipment&type=carrier&live=true", logistics::NAME);
        let opened = connection(&self.url)?.stream(Method::GET, &path, HeaderMap::new(), Bytes::new()).await;
        opened.map_err(|error| failed(&self.url, &error))?.map_err(|problem| refused(&problem.body))
    }

    fn show(&self, event: &Json) -> Result<(), Failure> {
        if !self.shows || event["entitytype"] != "shipment" {
            return Ok(());
        }
        let fields = ["status", "place", "carrier", "reason", "outcome"];
        let more: Vec<&str> = fields.iter().filter_map(|field| event["data"][field].as_str()).collect();
        output::data(format!("{:<8} {:<12} {}", text(&event["subject"]), name(event), more.join(", ")))
    }

    async fn say(self, shipment: String, hours: u64, says: Saying) -> Result<(), Failure> {
        sleep(Duration::from_millis(self.hour_ms.saturating_mul(hours))).await;
        let workflow = format!("/v1/workflows/delivery/{}", segment(&shipment));
        let said = match says {
            Saying::Answer { carrier, accepts } => {
                let (key, answer) = (format!("{shipment}-{carrier}"), json!({ "carrier": carrier, "accepts": accepts }));
                self.post(&format!("{workflow}/signals/{ANSWERED}"), Some(&key), &answer).await
            }
            Saying::Customs { releases } => {
                let (key, decision) = (format!("{shipment}-customs"), json!({ "releases": releases }));
                self.post(&format!("{workflow}/signals/{CUSTOMS}"), Some(&key), &decision).await
            }
            Saying::CallOff => {
                let why = json!({ "why": "it is not wanted any more" });
                self.post(&format!("{workflow}/cancel"), Some(&format!("{shipment}-call-off")), &why).await
            }
            Saying::Position(status, place) => {
                let word = status.word();
                let event = json!({
                    "specversion": "1.0", "id": format!("{shipment}-{word}-{place}"), "source": "/demo/lorries", "type": "position",
                    "subject": shipment, "data": { "shipment": shipment, "status": word, "place": place },
                });
                self.post(&format!("/v1/topics/{POSITIONS}"), None, &event).await
            }
        };
        match said {
            Err(failure) if failure.code() == Some(NOT_NOW) => Ok(()),
            said => said,
        }
    }

    /// Sends it until there is an answer.
    async fn post(&self, path: &str, key: Option<&str>, body: &Json) -> Result<(), Failure> {
        let mut headers = command_headers(key)?;
        if body["specversion"].is_string() {
            headers.insert("content-type", HeaderValue::from_static("application/cloudevents+json"));
        }
        let body = Bytes::from(body.to_string());
        for attempt in 1.. {
            let answer = connection(&self.url)?.request(Method::POST, path, headers.clone(), body.clone()).await;
            match answer.map_err(|error| failed(&self.url, &error)).and_then(accepted) {
                Err(failure) if failure.exit() == Exit::Unknown && attempt < ATTEMPTS_MAX => sleep(RETRY_DELAY).await,
                answered => return answered.map(drop),
            }
        }
        Ok(())
    }

    /// How each shipment has ended, once all have.
    pub(super) async fn ended(&self, shipments: u32) -> Result<Vec<(String, Ended)>, Failure> {
        let mut ended = Vec::new();
        for id in (0..shipments).map(fate::id) {
            let end = loop {
                if let Some(end) = self.client.workflow::<Delivery>(&*id).ended(PATIENCE).await.map_err(|error| unread(&error))? {
                    break end.map_err(|failure| failure.code);
                }
            };
            ended.push((id, end));
        }
        Ok(ended)
    }

    /// What the supplier and the carriers say.
    pub(super) async fn accounts(&self) -> Result<Accounts, Failure> {
        let supplier = self.client.state::<Supplier>(SUPPLIER).await.map_err(|error| unread(&error))?.unwrap_or_default();
        let mut away = 0;
        for carrier in CARRIERS {
            let carrier = self.client.state::<Carrier>(carrier).await.map_err(|error| unread(&error))?;
            away += carrier.map_or(0, |carrier| carrier.shipments.len());
        }
        let Supplier { made, ready, promised, on_the_road, sold, lost } = supplier;
        let open = promised.values().chain(on_the_road.values()).sum();
        Ok(Accounts { made, ready, sold, lost, open, away })
    }
}

/// What the world says to an event: of which shipment, after how many hours, and what.
fn reaction(event: &Json) -> Option<(String, u64, Saying)> {
    let (data, subject) = (&event["data"], text(&event["subject"]));
    if event["entitytype"] == "carrier" {
        let shipment = text(&data["shipment"]);
        let accepts = Fate::of(shipment).filter(|_| name(event) == "asked")?.accepts(subject)?;
        return Some((shipment.to_owned(), 1, Saying::Answer { carrier: subject.to_owned(), accepts }));
    }
    let fate = Fate::of(subject)?;
    let (hours, says) = match name(event) {
        "booked" if fate == Fate::NobodyComesForIt => return None,
        "booked" => (6, Saying::Position(Status::PickedUp, SUPPLIER)),
        "seen" if fate == Fate::CalledOff => (2, Saying::CallOff),
        "seen" => {
            let (status, place) = fate.next(Status::of_word(text(&data["status"]))?, text(&data["place"]))?;
            (12, Saying::Position(status, place))
        }
        "held" => (20, Saying::Customs { releases: fate != Fate::CustomsRefuses }),
        "cleared" => (12, Saying::Position(Status::Arrived, DESTINATION)),
        "turned-back" => (20, Saying::Position(Status::Returned, SUPPLIER)),
        _ => return None,
    };
    Some((subject.to_owned(), hours, says))
}

/// An event's own name: `booked` of `logistics.shipment.booked`.
fn name(event: &Json) -> &str {
    text(&event["type"]).rsplit('.').next().unwrap_or_default()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn unread(error: &SendError) -> Failure {
    Failure::plain(Exit::Failed, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, name: &str, subject: &str, data: &Json) -> Json {
        json!({ "entitytype": kind, "type": format!("logistics.{kind}.{name}"), "subject": subject, "data": data })
    }

    #[test]
    fn the_world_answers_as_was_planned_and_leaves_what_is_a_persons_own_alone() {
        let asked = |shipment: &str| event("carrier", "asked", "swift", &json!({ "shipment": shipment }));
        let answers = Saying::Answer { carrier: "swift".into(), accepts: true };
        assert_eq!(reaction(&asked("s-0000")), Some(("s-0000".into(), 1, answers)));
        assert_eq!(reaction(&asked("s-0001")), None, "swift says nothing to it");
        assert_eq!(reaction(&asked("mine")), None);
        let seen = event("shipment", "seen", "s-0000", &json!({ "status": "arrived", "place": "Lyon" }));
        assert_eq!(reaction(&seen), Some(("s-0000".into(), 12, Saying::Position(Status::Delivered, "Lyon"))));
        assert_eq!(reaction(&event("shipment", "closed", "s-0000", &json!({}))), None);
    }
}
