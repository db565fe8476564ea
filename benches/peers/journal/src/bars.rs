//! The bars: what each side must reach in each case. A side or a case without one is told all the same.

use crate::case::Case;
use crate::side::Side;

/// A lone writer's median latency, in those of the raw disk's small write.
pub(crate) const LONE_RATIO_MAX: f64 = 1.3;
/// Payload bytes of the largest commits, in those that the raw disk takes.
pub(crate) const BANDWIDTH_RATIO_MIN: f64 = 0.35;
/// What the device may take an event besides its payload, from 64 writers on.
pub(crate) const OVERHEAD_BYTES_MAX: f64 = 120.0;

/// What a side's rate must be to that of tephra.
pub(crate) fn ratio_min(side: Side, case: Case) -> Option<f64> {
    match (side, case.writers, case.events) {
        (Side::HeadwaterThreads, 1, 1) => Some(1.0),
        (Side::HeadwaterThreads, 16..=256, 1) => Some(1.4),
        (Side::HeadwaterThreads, 8, 100) => Some(2.0),
        (Side::HeadwaterThreads, 8, 1000) => Some(5.0),
        (Side::HeadwaterTasks, 64, 1) => Some(2.0),
        (Side::HeadwaterTasks, 256, 1) => Some(4.0),
        _ => None,
    }
}

/// Whether the device's bytes are held to a bar.
pub(crate) fn bytes_are_bound(side: Side, case: Case) -> bool {
    is_ours(side) && case.writers >= 64
}

pub(crate) fn is_ours(side: Side) -> bool {
    matches!(side, Side::HeadwaterThreads | Side::HeadwaterTasks)
}
