//! What users of Headwater write. Being built.
pub mod hosted;
