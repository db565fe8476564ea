//! Real payloads of several server versions: what GitHub sends for the same kinds of events from its newest servers and from older ones.
//!
//! `deployment` got an `action` and a `workflow_run`, and lost its `enterprise`; a `fork` says `visibility` where it only said `private`. The
//! service is written against the old servers, and then against the new ones.

use std::io::Read as _;
use std::path::Path;

use headwater::prelude::*;
use serde_json::{Value as Json, json};

use crate::changed::lines;
use crate::embedded::Directory;
use crate::personal::{asked, got};

mod old {
    use headwater::prelude::*;

    #[derive(Default, State)]
    pub(super) struct Repository {
        deployments: u32,
        forks: Vec<String>,
    }

    #[derive(Command)]
    pub(super) enum Hook {
        #[command("deployment")]
        Deployment { enterprise: String, environment: String, sha: String },
        #[command("fork")]
        Fork { enterprise: String, forkee: String, private: bool },
    }

    #[derive(Event)]
    pub(super) enum Happened {
        #[event("deployed")]
        Deployed { enterprise: String, environment: String, sha: String },
        #[event("forked")]
        Forked { enterprise: String, forkee: String, private: bool },
    }

    impl Entity for Repository {
        const NAME: &'static str = "repository";
        type Command = Hook;
        type Event = Happened;
        type Reply = ();
        type Rejection = std::convert::Infallible;

        fn decide(&self, hook: Hook, _: &CommandContext) -> Result<Decision<Happened>, Self::Rejection> {
            Ok(record(match hook {
                Hook::Deployment { enterprise, environment, sha } => Happened::Deployed { enterprise, environment, sha },
                Hook::Fork { enterprise, forkee, private } => Happened::Forked { enterprise, forkee, private },
            }))
        }

        fn evolve(&mut self, happened: &Happened) {
            match happened {
                Happened::Deployed { .. } => self.deployments += 1,
                Happened::Forked { forkee, .. } => self.forks.push(forkee.clone()),
            }
        }
    }
}

#[derive(Default, State)]
struct Repository {
    deployments: u32,
    forks: Vec<String>,
    public: u32,
}

#[derive(Command)]
enum Hook {
    #[command("deployment", version = 2)]
    Deployment { action: String, environment: String, sha: String },
    #[command("fork", version = 2)]
    Fork { forkee: String, visibility: String },
}

#[derive(Event)]
enum Happened {
    #[event("deployed", version = 2, from = DeployedV1, to = DeployedV1)]
    Deployed { action: String, enterprise: Option<String>, environment: String, sha: String },
    #[event("forked", version = 2, from = ForkedV1, to = ForkedV1)]
    Forked { enterprise: Option<String>, forkee: String, visibility: String },
}

#[derive(Value)]
struct DeployedV1 {
    enterprise: String,
    environment: String,
    sha: String,
}

#[derive(Value)]
struct ForkedV1 {
    enterprise: String,
    forkee: String,
    private: bool,
}

impl From<DeployedV1> for Happened {
    fn from(old: DeployedV1) -> Self {
        Self::Deployed { action: "created".into(), enterprise: Some(old.enterprise), environment: old.environment, sha: old.sha }
    }
}

impl From<ForkedV1> for Happened {
    fn from(old: ForkedV1) -> Self {
        let visibility = if old.private { "private" } else { "public" };
        Self::Forked { enterprise: Some(old.enterprise), forkee: old.forkee, visibility: visibility.into() }
    }
}

/// The new servers belong to no enterprise: old readers know them under an empty name.
impl TryFrom<Happened> for DeployedV1 {
    type Error = ();

    fn try_from(happened: Happened) -> Result<Self, ()> {
        match happened {
            Happened::Deployed { enterprise, environment, sha, .. } => {
                Ok(Self { enterprise: enterprise.unwrap_or_default(), environment, sha })
            }
            Happened::Forked { .. } => Err(()),
        }
    }
}

impl TryFrom<Happened> for ForkedV1 {
    type Error = ();

    fn try_from(happened: Happened) -> Result<Self, ()> {
        match happened {
            // Neither private nor public has a name in version 1.
            Happened::Forked { visibility, .. } if visibility == "internal" => Err(()),
            Happened::Forked { enterprise, forkee, visibility } => {
                Ok(Self { enterprise: enterprise.unwrap_or_default(), forkee, private: visibility == "private" })
            }
            Happened::Deployed { .. } => Err(()),
        }
    }
}

impl Entity for Repository {
    const NAME: &'static str = "repository";
    type Command = Hook;
    type Event = Happened;
    type Reply = ();
    type Rejection = std::convert::Infallible;

    fn decide(&self, hook: Hook, _: &CommandContext) -> Result<Decision<Happened>, Self::Rejection> {
        Ok(record(match hook {
            Hook::Deployment { action, environment, sha } => Happened::Deployed { action, enterprise: None, environment, sha },
            Hook::Fork { forkee, visibility } => Happened::Forked { enterprise: None, forkee, visibility },
        }))
    }

    fn evolve(&mut self, happened: &Happened) {
        match happened {
            Happened::Deployed { .. } => self.deployments += 1,
            Happened::Forked { forkee, visibility, .. } => {
                self.forks.push(forkee.clone());
                self.public += u32::from(visibility == "public");
            }
        }
    }
}

/// The payloads as they were sent, kept in a topic: the part of them that both server versions have, and then what the new ones add.
#[derive(Value)]
struct PayloadOfOld {
    repository: Named,
    enterprise: Named2,
}

#[derive(Value)]
struct Named {
    full_name: String,
}

#[derive(Value)]
struct Named2 {
    slug: String,
}

#[derive(Value)]
struct PayloadOfNew {
    repository: Named,
    sender: Login,
}

#[derive(Value)]
struct Login {
    login: String,
}

#[derive(Value)]
struct PayloadOfBoth {
    repository: Named,
    enterprise: Option<Named2>,
    sender: Option<Login>,
}

struct Line {
    is_new: bool,
    event: String,
    payload: Json,
}

/// `None` where the file is not beside the checkout.
fn payloads() -> Option<Vec<Line>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/github-webhooks.ndjson.zst");
    let Ok(file) = std::fs::File::open(path) else {
        eprintln!("skipped: shared/data/github-webhooks.ndjson.zst is not beside the checkout");
        return None;
    };
    let mut text = String::new();
    zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    let line = |line: &str| {
        let mut line: Json = serde_json::from_str(line).unwrap();
        let (is_new, event) = (line["server"] == "api.github.com", line["event"].as_str().unwrap().to_owned());
        Line { is_new, event, payload: line["payload"].take() }
    };
    Some(text.lines().map(line).filter(|line| ["deployment", "fork"].contains(&&*line.event)).collect())
}

/// The command that a payload comes to.
fn command(line: &Line) -> Json {
    let Line { is_new, event, payload } = line;
    let (deployment, forkee) = (&payload["deployment"], &payload["forkee"]);
    match (&**event, is_new) {
        ("deployment", false) => {
            json!({ "enterprise": payload["enterprise"]["slug"], "environment": deployment["environment"], "sha": deployment["sha"] })
        }
        ("deployment", true) => json!({ "action": payload["action"], "environment": deployment["environment"], "sha": deployment["sha"] }),
        (_, false) => json!({ "enterprise": payload["enterprise"]["slug"], "forkee": forkee["full_name"], "private": forkee["private"] }),
        (_, true) => json!({ "forkee": forkee["full_name"], "visibility": forkee["visibility"] }),
    }
}

async fn send(running: &headwater::Running, line: &Line) {
    let (status, answer) = asked(running, &format!("/v1/entities/repository/hello/{}", line.event), command(line)).await;
    assert_eq!(status, 200, "{}: {answer}", line.payload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_of_old_and_new_servers_are_one_stream_in_either_shape() {
    let Some(lines_read) = payloads() else { return };
    let (new, old): (Vec<Line>, Vec<Line>) = lines_read.into_iter().partition(|line| line.is_new);
    assert_eq!((old.len(), new.len()), (6, 5));
    let directory = Directory::new();
    let here = |service: Service| crate::engine::here(service, directory.path());

    let running = here(Service::new("hooks").entity::<old::Repository>()).start().await.unwrap();
    for line in &old {
        send(&running, line).await;
    }
    running.stop().await;
    let running = here(Service::new("hooks").entity::<Repository>().compatibility("repository", Shapes::Commands, Compatibility::None));
    let running = running.start().await.unwrap();
    for line in &new {
        send(&running, line).await;
    }
    // The old events are raised: what was not private is public.
    let state = got(&running, "/v1/entities/repository/hello").await["state"].clone();
    assert_eq!(
        (&state["deployments"], state["forks"].as_array().map(Vec::len), &state["public"]),
        (&json!(6), Some(5), &json!(5)),
        "{state}"
    );

    let shape = |events: &[Json], name: &str| -> Vec<String> {
        let of = events.iter().filter(|event| event["type"] == format!("hooks.repository.{name}"));
        let members = of.map(|event| event["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" "));
        let mut shapes: Vec<String> = members.collect();
        assert!(!shapes.is_empty());
        shapes.dedup();
        shapes
    };
    let first = lines(&running, "/v1/streams/hooks?version=repository/deployed:1&version=repository/forked:1").await;
    assert_eq!(first.len(), 11);
    assert_eq!(
        (shape(&first, "deployed"), shape(&first, "forked")),
        (vec!["enterprise environment sha".to_owned()], vec!["enterprise forkee private".to_owned()])
    );
    let second = lines(&running, "/v1/streams/hooks?version=repository/deployed:2&version=repository/forked:2").await;
    assert_eq!(shape(&second, "deployed"), ["action enterprise environment sha"]);
    assert_eq!(shape(&second, "forked"), ["enterprise forkee visibility"]);
    assert_eq!(shape(&lines(&running, "/v1/streams/hooks").await, "forked").len(), 2, "as they were recorded they have two shapes");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_of_payloads_keeps_reading_what_old_servers_have_sent() {
    let Some(payloads) = payloads() else { return };
    let directory = Directory::new();
    let here = |service: Service| crate::engine::here(service, directory.path());
    let publish = async |running: &headwater::Running, line: &Line, id: usize| {
        let (url, message) = (
            running.url().to_owned(),
            json!({ "specversion": "1.0", "id": id.to_string(), "source": "/github", "type": line.event, "data": line.payload }),
        );
        let sent = move || crate::personal::post(&url, "/v1/topics/payloads", "application/cloudevents+json", &message.to_string());
        tokio::task::spawn_blocking(sent).await.unwrap()
    };
    let running = here(Service::new("hooks").topic_of::<PayloadOfOld>("payloads")).start().await.unwrap();
    for (id, line) in payloads.iter().enumerate() {
        let (status, answer) = publish(&running, line, id).await;
        assert_eq!(status < 300, !line.is_new, "new servers have no enterprise: {answer}");
    }
    running.stop().await;

    let refused = here(Service::new("hooks").topic_of::<PayloadOfNew>("payloads")).start().await.unwrap_err();
    assert_eq!(refused.code(), Some("HW0140"), "{refused}");
    assert!(
        refused.message().contains("topic:payloads/message") && refused.message().contains("/properties/sender: reads required"),
        "{refused}"
    );

    let running = here(Service::new("hooks").topic_of::<PayloadOfBoth>("payloads")).start().await.unwrap();
    for (id, line) in payloads.iter().enumerate() {
        let (status, answer) = publish(&running, line, 100 + id).await;
        assert!(status < 300, "{answer}");
    }
    let shapes = got(&running, "/v1/admin/schemas?shape=topic:payloads/message").await;
    assert_eq!(shapes["items"][0]["registered"].as_array().map(Vec::len), Some(2));
    running.stop().await;
}
