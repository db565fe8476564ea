//! Records of workflows: brought back with other code before that is deployed, listed, sampled, and without personal values.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use component::{CommandFailure, Failure, Rejection, Signals, Workflow, WorkflowContext, hosted_workflow};

use super::bank::account;
use super::life::{Changing, changing, settle, workflow};
use super::*;
use crate::schema::{Sample, SampleError, ShapeSources, read_sample};

/// Whether this code goes on with what is recorded of a workflow.
fn goes_on(bank: &Simulation, code: u32, id: &str) -> Result<Replayed, String> {
    let histories = bank.ask(|runtime| {
        let selection = WorkflowSelection { workflow: Some("changing".to_owned()), limit: 100, ..WorkflowSelection::default() };
        Box::pin(async move { runtime.workflow_histories(selection).await })
    });
    // As it lies in a file.
    let kept = histories.unwrap().into_iter().find(|history| history.id == id).expect("it was started");
    let kept: WorkflowHistory = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
    check_history(&[hosted_workflow(Changing(Arc::new(AtomicU32::new(code))))], &kept)
}

#[test]
fn a_record_is_brought_back_with_other_code_before_that_is_deployed_and_nothing_is_done() {
    let (_, bank) = changing(1);
    start(&bank, "changing", "c1", "0").unwrap();
    start(&bank, "changing", "c2", "0").unwrap();
    settle(&bank);
    signal(&bank, "changing", "c2", "go", "true").unwrap();
    settle(&bank);
    for code in [1, 4, 5] {
        assert_eq!(goes_on(&bank, code, "c1"), Ok(Replayed::GoesOn), "code {code}");
    }
    let misfit = goes_on(&bank, 2, "c1").unwrap_err();
    for words in ["recorded is signal `go`", "the code asks for step `account/deposit`"] {
        assert!(misfit.contains(words), "`{words}` is not in: {misfit}");
    }
    assert_eq!(goes_on(&bank, 3, "c1").unwrap_err(), "the workflow's code panicked: on purpose");
    assert_eq!(goes_on(&bank, 2, "c2"), Ok(Replayed::HasEnded));
    assert_eq!(account(&bank, "other").0, 0, "nothing is done");
    assert_eq!((account(&bank, "a").0, sight(&bank, "changing", "c1").state), (2, WorkflowState::Waiting));
}

#[test]
fn a_record_that_is_none_or_of_a_workflow_that_has_gone_is_said_so() {
    let kept = |text: &str| check_history(&[hosted_workflow(Changing(Arc::default()))], &serde_json::from_str(text).unwrap()).unwrap_err();
    for (workflow, records, words) in [
        (
            "gone",
            r#"[{"name":"completed","turn":{"cause":"changed","now":1,"state":"running"}}]"#,
            "the code has no workflow `gone`, and it has not ended; it has: changing",
        ),
        ("changing", "[]", "does not begin with a start"),
        ("changing", r#"[{"name":"started","turn":{"cause":"changed"}}]"#, "its record 0 is none of a workflow"),
    ] {
        let misfit = kept(&format!(r#"{{"workflow":"{workflow}","id":"c1","state":"waiting","records":{records}}}"#));
        assert!(misfit.contains(words), "{misfit}");
    }
}

#[test]
fn a_record_of_a_workflow_that_has_gone_and_has_ended_needs_no_code() {
    let record = r#"{"name":"completed","turn":{"cause":"changed","now":1,"state":"completed"}}"#;
    let kept = format!(r#"{{"workflow":"gone","id":"c1","state":"completed","records":[{record}]}}"#);
    assert_eq!(check_history(&[], &serde_json::from_str(&kept).unwrap()), Ok(Replayed::HasEnded));
}

#[test]
fn a_record_that_is_too_large_is_not_read_and_not_taken_for_checked() {
    let (_, bank) = changing(1);
    start(&bank, "changing", "c1", "0").unwrap();
    settle(&bank);
    let read = |bytes_max| {
        let entity = super::super::record::key("", "changing", "c1").unwrap();
        let read = bank.ask(|runtime| {
            let entity = entity.clone();
            Box::pin(async move { super::super::check::read(&**runtime.journal(), &entity, bytes_max).await })
        });
        read.unwrap().expect("it was started")
    };
    let whole = read(usize::MAX);
    let bytes = whole.bytes();
    assert_eq!((read(bytes).records.len(), read(bytes).unread), (whole.records.len(), None));
    let large = read(bytes - 1);
    assert!(large.records.is_empty() && large.unread.as_ref().is_some_and(|why| why.contains(&format!("{bytes} bytes"))), "{large:?}");
    assert_eq!((large.state, check_history(&[], &large)), (WorkflowState::Waiting, Ok(Replayed::Unread)));
}

#[test]
fn those_that_have_not_ended_are_one_list_whatever_their_state() {
    let (_, bank) = changing(1);
    for id in ["c3", "c1", "c2", "c4"] {
        start(&bank, "changing", id, "0").unwrap();
    }
    settle(&bank);
    order(&bank, "changing", "c1", &WorkflowOrder::Pause { why: "lunch".to_owned() }).unwrap();
    order(&bank, "changing", "c4", &WorkflowOrder::Pause { why: "lunch".to_owned() }).unwrap();
    signal(&bank, "changing", "c2", "go", "true").unwrap();
    settle(&bank);
    let list = |after: &str, limit| {
        let after = after.to_owned();
        let found = bank.ask(|runtime| {
            let selection = WorkflowSelection { is_open: true, after: after.clone(), limit, ..WorkflowSelection::default() };
            Box::pin(async move { runtime.workflow_list(selection).await })
        });
        found.unwrap().into_iter().map(|item| item.id).collect::<Vec<_>>()
    };
    assert_eq!(list("", 10), ["c1", "c3", "c4"], "c2 has ended");
    assert_eq!((list("", 2), list("changing/c3", 2)), (vec!["c1".to_owned(), "c3".to_owned()], vec!["c4".to_owned()]));
}

/// Says no and says of whom.
#[derive(Debug, Rejection)]
enum Refusal {
    #[rejection("known", "{name} is known already")]
    Known {
        customer: String,
        #[personal(subject = "customer/{customer}")]
        name: component::Personal<String>,
    },
}

/// Is refused.
struct Refused;

workflow!(Refused, "refused", i64 => (), [], |_this, _ctx, _cents| {
    Err(CommandFailure::Rejected(Refusal::Known { customer: "c1".to_owned(), name: component::Personal::new("Ann".to_owned()) }).into())
});

#[test]
fn a_workflow_that_fails_with_a_rejection_keeps_no_personal_value_of_it() {
    let bank = bank(1, Faults::default(), || vec![hosted_workflow(Refused)]);
    start(&bank, "refused", "r1", "0").unwrap();
    settle(&bank);
    let data = |bank: &Simulation| sight(bank, "refused", "r1").failure.expect("it was refused").data.expect("it says of whom").to_string();
    assert_eq!(data(&bank), r#"{"customer":"c1","name":null}"#);
    let histories = bank.ask(|runtime| {
        let selection = WorkflowSelection { limit: 10, ..WorkflowSelection::default() };
        Box::pin(async move { runtime.workflow_histories(selection).await })
    });
    let text = serde_json::to_string(&histories.unwrap()).unwrap();
    assert!(text.contains(r#""name":null"#) && !text.contains("Ann") && !text.contains("$personal"), "{text}");
}

#[test]
fn samples_have_what_workflows_were_given_and_told_and_came_to() {
    let (_, bank) = changing(1);
    for id in ["c1", "c2"] {
        start(&bank, "changing", id, "7").unwrap();
    }
    settle(&bank);
    signal(&bank, "changing", "c2", "go", "true").unwrap();
    settle(&bank);
    let samples = bank.ask(|runtime| Box::pin(async move { runtime.samples(1).await })).unwrap();
    let of = |shape: &str| samples.iter().filter(|sample| sample.shape == shape).map(|sample| sample.data.to_string()).collect::<Vec<_>>();
    for (shape, data) in
        [("workflow:changing/input", "7"), ("workflow:changing/signal/go", "true"), ("workflow:changing/output", r#""code 1""#)]
    {
        assert_eq!(of(shape), [data], "{shape}");
    }
    assert_eq!(of("workflow:changing/history").len(), 1, "of those that have not ended");
    let check = |code: u32, sample: &Sample| {
        let workflows = [hosted_workflow(Changing(Arc::new(AtomicU32::new(code))))];
        let (entities, operations, processors, topics, streams) = (&[][..], &[][..], &[][..], &[][..], &[][..]);
        read_sample(&ShapeSources { entities, operations, processors, topics, streams, workflows: &workflows }, sample)
    };
    for sample in samples.iter().filter(|sample| sample.shape.starts_with("workflow:")) {
        assert_eq!(check(1, sample), Ok(()), "{sample:?}");
        let is_history = sample.shape.ends_with("/history");
        assert_eq!(matches!(check(2, sample), Err(SampleError::Misfit(_))), is_history, "{sample:?}");
    }
    for (shape, data) in [("input", "\"x\""), ("signal/go", "7"), ("output", "7"), ("signal/gone", "true"), ("history", "{}")] {
        let sample = Sample { shape: format!("workflow:changing/{shape}"), version: 1, data: serde_json::from_str(data).unwrap() };
        assert!(check(1, &sample).is_err(), "{sample:?}");
    }
}
