//! Entity keys: tenant, type and id of the consistency boundary, and the slice that follows from them.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use crate::error::InvalidError;
use crate::limits::{ID_BYTES_MAX, SLICES, TENANT_BYTES_MAX, TYPE_BYTES_MAX};

/// The type of an entity: `[a-z][a-z0-9-]{0,63}`; a leading `$` is the platform's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityType(Arc<str>);

impl EntityType {
    /// Checks and takes a type name.
    ///
    /// # Errors
    /// When the name does not match `[$]?[a-z][a-z0-9-]{0,63}`.
    pub fn new(name: &str) -> Result<Self, InvalidError> {
        check_type(name)?;
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for EntityType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Sixteen bytes of BLAKE3 over an entity key: what indexes hold instead of the key. Collision-resistant, so that nobody
/// who may choose ids can make two entities share a head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyHash(pub [u8; 16]);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Hashing of [`KeyHash`]es for maps in memory. They are uniform already, so that one multiplication is enough; a secret of the map's own
/// keeps people who choose ids from filling one bucket.
#[derive(Clone, Copy)]
pub(crate) struct KeyHashing {
    secret: u64,
}

impl Default for KeyHashing {
    fn default() -> Self {
        Self { secret: std::hash::RandomState::new().hash_one(0) }
    }
}

impl BuildHasher for KeyHashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.secret)
    }
}

/// See [`KeyHashing`].
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // The golden ratio's bits, as in Fibonacci hashing (Knuth, TAOCP 3, 6.4), with the high half folded into the low one.
        let product = u128::from(word ^ self.0) * 0x9e37_79b9_7f4a_7c15;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

/// The key of an entity. One shared allocation, `tenant 0x00 type 0x00 id`, cheap to clone.
#[derive(Clone)]
pub struct EntityKey {
    text: Arc<str>,
    type_start: u8,
    id_start: u8,
}

impl EntityKey {
    /// The key of an entity of the empty tenant.
    ///
    /// # Errors
    /// When the type or the id breaks its rule; the message says which.
    pub fn new(kind: &str, id: &str) -> Result<Self, InvalidError> {
        Self::with_tenant("", kind, id)
    }

    /// The key of an entity of a tenant.
    ///
    /// # Errors
    /// When the tenant, the type or the id breaks its rule; the message says which.
    pub fn with_tenant(tenant: &str, kind: &str, id: &str) -> Result<Self, InvalidError> {
        if !tenant.is_empty() {
            check_id("tenant", tenant, TENANT_BYTES_MAX)?;
        }
        check_type(kind)?;
        check_id("id", id, ID_BYTES_MAX)?;
        let text = joined(&[tenant, "\0", kind, "\0", id]);
        let type_start = u8::try_from(tenant.len() + 1).map_err(|_| InvalidError::new("tenant", "is too long"))?;
        let id_start = u8::try_from(tenant.len() + kind.len() + 2).map_err(|_| InvalidError::new("type", "is too long"))?;
        Ok(Self { text, type_start, id_start })
    }

    /// The tenant; empty unless there are tenants.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.text[..usize::from(self.type_start) - 1]
    }

    /// The type's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.text[usize::from(self.type_start)..usize::from(self.id_start) - 1]
    }

    /// The id within the type.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.id_start)..]
    }

    /// The slice: `XXH3-64(seed 0; tenant 0x00 type 0x00 id) & 1023`, fixed for ever (`docs/format.md` has test vectors).
    #[must_use]
    pub fn slice(&self) -> u16 {
        let hash = xxhash_rust::xxh3::xxh3_64(self.text.as_bytes());
        (hash & u64::from(SLICES - 1)) as u16
    }

    /// What indexes hold instead of the key.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        short_hash(&[self.text.as_bytes()])
    }
}

/// One shared text of several, without a text between.
fn joined(parts: &[&str; 5]) -> Arc<str> {
    let mut short = [0; JOINED_BYTES];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let Some(bytes) = short.get_mut(..length) else { return parts.concat().into() };
    let mut at = 0;
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
        at += part.len();
    }
    std::str::from_utf8(bytes).map_or_else(|_| parts.concat().into(), Arc::from)
}

/// The first sixteen bytes of BLAKE3 over the parts, in order.
pub(crate) fn short_hash(parts: &[&[u8]]) -> KeyHash {
    let mut joined = [0; JOINED_BYTES];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let hash = match joined.get_mut(..length) {
        // One short run of bytes is hashed without a hasher's state.
        Some(joined) => {
            let mut rest = &mut *joined;
            for part in parts {
                let (place, behind) = rest.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = behind;
            }
            blake3::hash(joined)
        }
        None => {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize()
        }
    };
    let mut short = [0; 16];
    short.copy_from_slice(&hash.as_bytes()[..16]);
    KeyHash(short)
}

/// What is hashed at once: two of BLAKE3's blocks, more than most keys.
const JOINED_BYTES: usize = 128;

impl PartialEq for EntityKey {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for EntityKey {}

impl Hash for EntityKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl PartialOrd for EntityKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityKey {
    /// By tenant, then type, then id, in byte order.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.tenant(), self.kind(), self.id()).cmp(&(other.tenant(), other.kind(), other.id()))
    }
}

impl fmt::Display for EntityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tenant().is_empty() {
            write!(formatter, "{}//", self.tenant())?;
        }
        write!(formatter, "{}/{}", self.kind(), self.id())
    }
}

impl fmt::Debug for EntityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn check_type(name: &str) -> Result<(), InvalidError> {
    let bare = name.strip_prefix('$').unwrap_or(name);
    let first_is_letter = bare.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest_fits = bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if first_is_letter && rest_fits && bare.len() <= TYPE_BYTES_MAX {
        return Ok(());
    }
    Err(InvalidError::new("type", "must match [a-z][a-z0-9-]{0,63}"))
}

fn check_id(field: &'static str, text: &str, bytes_max: usize) -> Result<(), InvalidError> {
    if text.is_empty() {
        return Err(InvalidError::new(field, "must not be empty"));
    }
    if text.len() > bytes_max {
        return Err(InvalidError::new(field, format!("is {} bytes long; at most {bytes_max} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidError::new(field, "must not contain control characters"));
    }
    if text == "." || text == ".." {
        return Err(InvalidError::new(field, "must not be `.` or `..`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_parts() {
        let key = EntityKey::with_tenant("acme", "cart", "a/b*>%.").unwrap();
        assert_eq!((key.tenant(), key.kind(), key.id()), ("acme", "cart", "a/b*>%."));
        let bare = EntityKey::new("$workflow", "7").unwrap();
        assert_eq!((bare.tenant(), bare.kind(), bare.id()), ("", "$workflow", "7"));
    }

    #[test]
    fn bad_parts_are_refused_by_name() {
        for (kind, id, field) in
            [("Cart", "c", "type"), ("", "c", "type"), ("cart", "", "id"), ("cart", "..", "id"), ("cart", "a\nb", "id")]
        {
            assert_eq!(EntityKey::new(kind, id).unwrap_err().field(), field, "{kind} {id:?}");
        }
        assert_eq!(EntityKey::new("cart", &"x".repeat(257)).unwrap_err().field(), "id");
        assert!(EntityKey::new("cart", &"x".repeat(256)).is_ok());
    }

    #[test]
    fn slices_are_fixed_for_ever() {
        // Published test vectors; docs/format.md shows the same list.
        for (tenant, kind, id, slice) in SLICE_VECTORS {
            assert_eq!(EntityKey::with_tenant(tenant, kind, id).unwrap().slice(), *slice, "{tenant} {kind} {id}");
        }
    }

    /// Made with another implementation of XXH3.
    const SLICE_VECTORS: &[(&str, &str, &str, u16)] = &[
        ("", "cart", "c1", 950),
        ("", "order", "536365", 285),
        ("acme", "cart", "c1", 986),
        ("", "$workflow", "7", 322),
        ("", "cart", "a/b*>%.", 507),
        ("", "patient", "ß-Ω-日本", 996),
        ("t", "a", "0", 433),
    ];
}
