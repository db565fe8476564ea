//! Commands to peers in words: the same `POST` as anybody's, and what its answers mean to who sent it.

use component::hosted::{CallReply, Refusal, Rejected, SendFailure};
use runtime::{PeerCommand, PeerTongue, PeerWords};
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::inbound::encode;
use crate::problem::{Code, INVALID_FIELD, REJECTED, REPLY_GONE};

/// Speaks HTTP to peers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tongue;

impl PeerTongue for Tongue {
    fn words(&self, command: PeerCommand<'_>) -> PeerWords {
        let PeerCommand { kind, id, command } = command;
        PeerWords {
            method: "POST",
            path: format!("/v1/entities/{}/{}/{}", encode(kind), encode(id), encode(command)),
            headers: vec![("content-type".to_owned(), "application/json".to_owned()), ("accept".to_owned(), "application/json".to_owned())],
        }
    }

    fn understand(&self, answer: &CallReply) -> Result<Vec<u8>, SendFailure> {
        if answer.is_success() {
            return reply(&answer.body);
        }
        let problem: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is = |code: Code| problem["code"] == code.number;
        let told = told(answer.status, &problem);
        if is(REPLY_GONE) {
            return Err(SendFailure::ReplyGone);
        }
        if let (true, Some(rejected)) = (is(REJECTED), rejected(&problem)) {
            return Err(SendFailure::Refused(Refusal::Rejected(rejected)));
        }
        if answer.may_pass() || answer.status == 409 {
            return Err(SendFailure::Failed { message: told });
        }
        if is(INVALID_FIELD) {
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
            return Err(SendFailure::Refused(Refusal::Invalid { pointer, message: told }));
        }
        Err(SendFailure::Refused(Refusal::Broken { message: told }))
    }
}

fn reply(body: &[u8]) -> Result<Vec<u8>, SendFailure> {
    #[derive(Deserialize)]
    struct Outcome<'a> {
        #[serde(borrow)]
        reply: &'a RawValue,
    }
    let outcome: Result<Outcome<'_>, _> = serde_json::from_slice(body);
    let unfit = |error: serde_json::Error| Refusal::Broken { message: format!("the peer's answer is no reply to a command: {error}") };
    outcome.map(|outcome| outcome.reply.get().as_bytes().to_vec()).map_err(|error| SendFailure::Refused(unfit(error)))
}

fn rejected(problem: &Json) -> Option<Rejected> {
    let rejection = problem.get("rejection")?;
    Some(Rejected {
        code: rejection["code"].as_str()?.to_owned().into(),
        message: problem["detail"].as_str().unwrap_or_default().to_owned(),
        data: rejection["data"].clone(),
    })
}

fn told(status: u16, problem: &Json) -> String {
    match (problem["code"].as_str(), problem["detail"].as_str()) {
        (Some(code), Some(detail)) => format!("it answered {status} {code}: {detail}"),
        _ => format!("it answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Json) -> CallReply {
        CallReply { status, headers: Vec::new(), body: body.to_string().into(), retry_after: None, rest: None }
    }

    fn problem(status: u16, code: &str) -> Result<Vec<u8>, SendFailure> {
        let problem = json!({ "code": code, "detail": "no", "rejection": { "code": "short", "data": { "left": 2 } }, "errors": [{ "pointer": "/a" }] });
        Tongue.understand(&answer(status, &problem))
    }

    #[test]
    fn a_command_has_an_address_of_its_own() {
        let words = Tongue.words(PeerCommand { kind: "stock", id: "a/b %", command: "take" });
        assert_eq!((words.method, &*words.path), ("POST", "/v1/entities/stock/a%2Fb%20%25/take"));
    }

    #[test]
    fn an_outcome_gives_its_reply_as_it_was_written() {
        let outcome = Tongue.understand(&answer(200, &json!({ "reply": { "left": 1 }, "sequence": 4, "cursor": "c" })));
        assert_eq!(outcome, Ok(b"{\"left\":1}".to_vec()));
        assert!(matches!(Tongue.understand(&answer(200, &json!({ "pages": 1 }))), Err(SendFailure::Refused(Refusal::Broken { .. }))));
    }

    #[test]
    fn a_no_of_the_rule_is_told_apart_from_what_may_pass_and_what_never_will() {
        let rejected = Rejected { code: "short".into(), message: "no".to_owned(), data: json!({ "left": 2 }) };
        assert_eq!(problem(422, "HW0029"), Err(SendFailure::Refused(Refusal::Rejected(rejected))));
        assert_eq!(problem(410, "HW0023"), Err(SendFailure::ReplyGone));
        for (status, code) in [(409, "HW0020"), (408, "HW0035"), (429, ""), (503, "HW0040"), (504, "HW0045"), (500, "HW0050")] {
            assert!(matches!(problem(status, code), Err(SendFailure::Failed { .. })), "{status}");
        }
        assert!(matches!(problem(400, "HW0002"), Err(SendFailure::Refused(Refusal::Invalid { pointer, .. })) if pointer == "/a"));
        for (status, code) in [(404, "HW0011"), (404, "HW0012"), (422, "HW0028"), (413, "HW0025")] {
            assert!(matches!(problem(status, code), Err(SendFailure::Refused(Refusal::Broken { .. }))), "{status}");
        }
    }
}
