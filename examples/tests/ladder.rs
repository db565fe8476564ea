//! The tests of every example, in one binary: an example is a program, and here a module.

#[allow(dead_code, unreachable_pub)]
#[path = "../06_action.rs"]
mod action;
#[allow(dead_code, unreachable_pub)]
#[path = "../01_cart.rs"]
mod cart;
#[allow(dead_code, unreachable_pub)]
#[path = "../08_http_call.rs"]
mod http_call;
#[allow(dead_code, unreachable_pub)]
#[path = "../03_operation_transfer.rs"]
mod operation_transfer;
#[allow(dead_code, unreachable_pub)]
#[path = "../10_personal_data.rs"]
mod personal_data;
#[allow(dead_code, unreachable_pub)]
#[path = "../09_processor.rs"]
mod processor;
#[allow(dead_code, unreachable_pub)]
#[path = "../04_rule_unique_email.rs"]
mod rule_unique_email;
#[path = "../14_schemas.rs"]
mod schemas;
#[allow(dead_code, unreachable_pub)]
#[path = "../13_streams.rs"]
mod streams;
#[allow(dead_code, unreachable_pub)]
#[allow(dead_code, unreachable_pub)]
#[path = "../11_timers.rs"]
mod timers;
#[allow(dead_code, unreachable_pub)]
#[path = "../07_topic.rs"]
mod topic;
#[allow(dead_code, unreachable_pub)]
#[path = "../02_typed_rejections.rs"]
mod typed_rejections;
#[allow(dead_code, unreachable_pub)]
#[path = "../05_view_popular.rs"]
mod view_popular;
#[allow(dead_code, unreachable_pub)]
#[path = "../12_workflow.rs"]
mod workflow;

/// A step of the ladder that nobody tests would rot.
#[test]
fn every_example_is_a_module_here() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested = std::fs::read_to_string(here.join("tests/ladder.rs")).expect("this file is readable");
    for entry in std::fs::read_dir(here).expect("the folder is readable") {
        let name = entry.expect("the entry is readable").file_name().into_string().expect("names are UTF-8");
        assert!(!name.ends_with(".rs") || tested.contains(&format!("\"../{name}\"")), "{name} is not tested");
    }
}
