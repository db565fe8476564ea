//! The harnesses proved: mistakes planted in the engine, each of which the simulator must catch within few seeds. What is not caught
//! here is a hole in the simulator, whatever it says about the engine.

use headwater_journal::embedded::PlantedBug;

use crate::sim::caught;

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    caught(PlantedBug::AcknowledgeBeforeSync);
}

#[test]
fn a_skipped_prefix_check_is_caught() {
    caught(PlantedBug::SkipPrefixCheck);
}

#[test]
fn a_lost_command_id_is_caught() {
    caught(PlantedBug::LoseCommandId);
}

#[test]
fn a_stale_epoch_is_caught() {
    caught(PlantedBug::SkipFence);
}

#[test]
fn a_retry_after_a_sync_error_is_caught() {
    caught(PlantedBug::RetrySync);
}

#[test]
fn a_torn_commit_that_is_visible_is_caught() {
    caught(PlantedBug::ShowTornCommit);
}

#[test]
fn a_recycled_segment_is_caught() {
    caught(PlantedBug::RecycleSegments);
}

#[test]
fn a_missing_sync_of_the_directory_is_caught() {
    caught(PlantedBug::SkipDirectorySync);
}

#[test]
fn a_seal_that_is_off_by_one_is_caught() {
    caught(PlantedBug::SealOffByOne);
}
