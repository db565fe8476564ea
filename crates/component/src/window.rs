//! Windows of time in the state of a processor: tumbling, sliding and session.
//!
//! A window is kept in the key's state until the processor's time ([`ProcessorContext::now`]) has passed its end and the lateness
//! that was allowed for; what comes later is told to be [`Late`](Added::Late), and the caller says what becomes of it. Windows are
//! aligned to 1970, UTC. The words are those of Akidau et al., "The Dataflow Model", VLDB 2015.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::limits::PANES_MAX;
use crate::processor::ProcessorContext;
use crate::value::{Definitions, Reading, Value};

/// A stretch of time, and what was gathered in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<T> {
    /// Its first moment: microseconds since 1970, UTC.
    pub start_micros: i64,
    /// The moment after its last.
    pub end_micros: i64,
    /// What was gathered.
    pub value: T,
}

/// The windows of a key that are open: a field of a processor's state. In JSON a window is `[start, end, value]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows<T>(Vec<Window<T>>);

impl<T> Default for Windows<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Windows<T> {
    /// Those that are open, the earliest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Window<T>> {
        self.0.iter()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The window of exactly these bounds, a new one if need be.
    fn at(&mut self, start_micros: i64, end_micros: i64) -> &mut T
    where
        T: Default,
    {
        let place = self.0.partition_point(|window| window.start_micros < start_micros);
        if self.0.get(place).is_none_or(|window| window.start_micros != start_micros) {
            self.0.insert(place, Window { start_micros, end_micros, value: T::default() });
        }
        &mut self.0[place].value
    }

    /// Takes out those whose end is at or before this moment.
    fn take_ended(&mut self, moment_micros: i64) -> Vec<Window<T>> {
        self.0.extract_if(.., |window| window.end_micros <= moment_micros).collect()
    }
}

impl<'a, T> IntoIterator for &'a Windows<T> {
    type Item = &'a Window<T>;
    type IntoIter = std::slice::Iter<'a, Window<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a late input is in no window: say what becomes of it, or `.ignore_late()`"]
pub enum Added {
    /// It is in its window.
    Open,
    /// Its window is over: it was not added.
    Late,
}

impl Added {
    /// Whether it came too late.
    #[must_use]
    pub fn is_late(self) -> bool {
        self == Self::Late
    }

    /// What came too late does not count.
    pub fn ignore_late(self) {}
}

/// Windows side by side, such as every hour of the day.
///
/// ```
/// # use headwater_component::*;
/// # use std::time::Duration;
/// const HOUR: Tumbling = Tumbling::of(Duration::from_secs(3_600)).late_by(Duration::from_secs(300));
/// ```
///
/// [`add`](Self::add) asks for a wake at the end of the window; what is over then is taken out by [`ended`](Self::ended).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size_micros: i64,
    offset_micros: i64,
    late_micros: i64,
}

impl Tumbling {
    /// Windows of this length.
    ///
    /// # Panics
    /// When it is zero, or longer than 100,000 days.
    #[must_use]
    pub const fn of(size: Duration) -> Self {
        Self { size_micros: length(size), offset_micros: 0, late_micros: 0 }
    }

    /// They begin so much later than the alignment to 1970, UTC: a day that begins at 22:00 UTC.
    ///
    /// # Panics
    /// When it is longer than 100,000 days.
    #[must_use]
    pub const fn offset(self, offset: Duration) -> Self {
        Self { offset_micros: micros(offset), ..self }
    }

    /// They stay open for so long after their end.
    ///
    /// # Panics
    /// When it is longer than 100,000 days.
    #[must_use]
    pub const fn late_by(self, lateness: Duration) -> Self {
        Self { late_micros: micros(lateness), ..self }
    }

    /// Takes the input that is processed into its window.
    pub fn add<T: Default, E>(&self, windows: &mut Windows<T>, ctx: &mut ProcessorContext<E>, update: impl FnOnce(&mut T)) -> Added {
        let start = aligned(ctx.time(), self.size_micros, self.offset_micros);
        let end = start.saturating_add(self.size_micros);
        let over = end.saturating_add(self.late_micros);
        if over <= ctx.now() {
            return Added::Late;
        }
        update(windows.at(start, end));
        ctx.wake_at(over);
        Added::Open
    }

    /// Takes out the windows that are over, the earliest first.
    pub fn ended<T, E>(&self, windows: &mut Windows<T>, ctx: &ProcessorContext<E>) -> Vec<Window<T>> {
        windows.take_ended(ctx.now().saturating_sub(self.late_micros))
    }
}

/// The time up to the input that is processed, such as the last minute: kept in panes, so that its state does not grow with its
/// inputs. The window is as long as it says, rounded up to whole panes.
///
/// ```
/// # use headwater_component::*;
/// # use std::time::Duration;
/// const MINUTE: Sliding = Sliding::of(Duration::from_secs(60)).every(Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    size_micros: i64,
    pane_micros: i64,
    late_micros: i64,
}

impl Sliding {
    /// A window of this length, in a hundred panes.
    ///
    /// # Panics
    /// When it is below a hundred microseconds, or longer than 100,000 days.
    #[must_use]
    pub const fn of(size: Duration) -> Self {
        let size_micros = length(size);
        assert!(size_micros >= 100, "a sliding window is at least a hundred microseconds long");
        Self { size_micros, pane_micros: size_micros / 100, late_micros: 0 }
    }

    /// In panes of this length.
    ///
    /// # Panics
    /// When that makes more than [`PANES_MAX`] panes.
    #[must_use]
    pub const fn every(self, pane: Duration) -> Self {
        let pane_micros = length(pane);
        assert!(self.size_micros / pane_micros <= PANES_MAX, "a sliding window has at most a thousand panes; make them longer");
        Self { pane_micros, ..self }
    }

    /// What comes up to so much after it has left the window is taken into its pane still, for windows that ended before.
    ///
    /// # Panics
    /// When it is longer than 100,000 days.
    #[must_use]
    pub const fn late_by(self, lateness: Duration) -> Self {
        Self { late_micros: micros(lateness), ..self }
    }

    /// Takes the input that is processed into its pane, and lets go of panes that no window reaches any more.
    pub fn add<T: Default, E>(&self, panes: &mut Windows<T>, ctx: &mut ProcessorContext<E>, update: impl FnOnce(&mut T)) -> Added {
        let reach = ctx.now().saturating_sub(self.size_micros).saturating_sub(self.late_micros);
        drop(panes.take_ended(reach));
        let start = aligned(ctx.time(), self.pane_micros, 0);
        let end = start.saturating_add(self.pane_micros);
        if end <= reach {
            return Added::Late;
        }
        update(panes.at(start, end));
        Added::Open
    }

    /// What was gathered in the window that ends with the input that is processed, the earliest first.
    pub fn over<'a, T, E>(&self, panes: &'a Windows<T>, ctx: &ProcessorContext<E>) -> impl Iterator<Item = &'a T> + use<'a, T, E> {
        let (from, upto) = (ctx.time().saturating_sub(self.size_micros), ctx.time());
        panes.iter().filter(move |pane| pane.end_micros > from && pane.start_micros <= upto).map(|pane| &pane.value)
    }
}

/// Inputs that follow each other without a gap, such as a visit.
///
/// ```
/// # use headwater_component::*;
/// # use std::time::Duration;
/// const VISIT: Session = Session::gap(Duration::from_secs(1_800));
/// ```
///
/// A session ends a gap after its last input. [`add`](Self::add) asks for a wake then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    gap_micros: i64,
    late_micros: i64,
}

impl Session {
    /// Sessions that end when nothing comes for so long.
    ///
    /// # Panics
    /// When it is zero, or longer than 100,000 days.
    #[must_use]
    pub const fn gap(gap: Duration) -> Self {
        Self { gap_micros: length(gap), late_micros: 0 }
    }

    /// They stay open for so long after their end.
    ///
    /// # Panics
    /// When it is longer than 100,000 days.
    #[must_use]
    pub const fn late_by(self, lateness: Duration) -> Self {
        Self { late_micros: micros(lateness), ..self }
    }

    /// Takes the input that is processed into its session. One that falls between two sessions makes one of them, with `merge`: the
    /// later one's value goes into the earlier one's.
    pub fn add<T: Default, E>(
        &self,
        sessions: &mut Windows<T>,
        ctx: &mut ProcessorContext<E>,
        update: impl FnOnce(&mut T),
        merge: impl FnMut(&mut T, T),
    ) -> Added {
        let (start, end) = (ctx.time(), ctx.time().saturating_add(self.gap_micros));
        let is_open = |end: i64| end.saturating_add(self.late_micros) > ctx.now();
        // What belongs to a session that is open still makes it no longer than it is.
        let joins = sessions.iter().any(|session| touches(session, start, end) && is_open(session.end_micros));
        if !joins && !is_open(end) {
            return Added::Late;
        }
        let session = joined(sessions, start, end, merge);
        update(&mut session.value);
        ctx.wake_at(session.end_micros.saturating_add(self.late_micros));
        Added::Open
    }

    /// Takes out the sessions that are over, the earliest first.
    pub fn ended<T, E>(&self, sessions: &mut Windows<T>, ctx: &ProcessorContext<E>) -> Vec<Window<T>> {
        sessions.take_ended(ctx.now().saturating_sub(self.late_micros))
    }
}

/// The one session that all become which touch `start..end`.
fn joined<T: Default>(sessions: &mut Windows<T>, start: i64, end: i64, mut merge: impl FnMut(&mut T, T)) -> &mut Window<T> {
    let touched = sessions.0.extract_if(.., |session| touches(session, start, end));
    let mut touched = touched.collect::<Vec<_>>().into_iter();
    let mut session = touched.next().unwrap_or_else(|| Window { start_micros: start, end_micros: end, value: T::default() });
    for later in touched {
        session.end_micros = session.end_micros.max(later.end_micros);
        merge(&mut session.value, later.value);
    }
    (session.start_micros, session.end_micros) = (session.start_micros.min(start), session.end_micros.max(end));
    let place = sessions.0.partition_point(|other| other.start_micros < session.start_micros);
    sessions.0.insert(place, session);
    &mut sessions.0[place]
}

fn touches<T>(session: &Window<T>, start: i64, end: i64) -> bool {
    session.start_micros < end && start < session.end_micros
}

/// The beginning of the window that a moment is in.
fn aligned(moment: i64, size: i64, offset: i64) -> i64 {
    moment.saturating_sub(moment.saturating_sub(offset).rem_euclid(size))
}

const DAYS_MAX: u128 = 100_000;

const fn micros(time: Duration) -> i64 {
    assert!(time.as_micros() <= DAYS_MAX * 86_400_000_000, "a window is at most 100,000 days long");
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let micros = time.as_micros() as i64;
    micros
}

const fn length(time: Duration) -> i64 {
    let micros = micros(time);
    assert!(micros > 0, "a window is at least a microsecond long");
    micros
}

impl<T: Value> Value for Windows<T> {
    fn schema(definitions: &mut Definitions) -> Json {
        Vec::<(i64, i64, T)>::schema(definitions)
    }

    fn write<S: Serializer>(value: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(Stored))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D, reading: Reading) -> Result<Self, D::Error> {
        let stored: Vec<(i64, i64, T)> = Value::read(deserializer, reading)?;
        let window = |(start_micros, end_micros, value)| Window { start_micros, end_micros, value };
        Ok(Self(stored.into_iter().map(window).collect()))
    }
}

struct Stored<'a, T>(&'a Window<T>);

impl<T: Value> Serialize for Stored<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Window { start_micros, end_micros, value } = self.0;
        (start_micros, end_micros, crate::value::Written(value)).serialize(serializer)
    }
}

impl<T: Value> Serialize for Windows<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::write(self, serializer)
    }
}

impl<'de, T: Value> Deserialize<'de> for Windows<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::read(deserializer, Reading::Tolerant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{decode, encode};

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> ProcessorContext<()> {
        ProcessorContext::new("k", seconds * SECOND, seconds * SECOND)
    }

    fn late(seconds: i64, now: i64) -> ProcessorContext<()> {
        ProcessorContext::new("k", seconds * SECOND, now * SECOND)
    }

    fn shown<T: Clone>(windows: &[Window<T>]) -> Vec<(i64, i64, T)> {
        windows.iter().map(|window| (window.start_micros / SECOND, window.end_micros / SECOND, window.value.clone())).collect()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn tumbling_windows_lie_side_by_side_and_end_after_their_lateness() {
        let minute = Tumbling::of(seconds(60)).late_by(seconds(10));
        let mut windows = Windows::<u32>::default();
        let mut ctx = at(59);
        minute.add(&mut windows, &mut ctx, |count| *count += 1).ignore_late();
        assert_eq!(ctx.wakes, [70 * SECOND]);
        minute.add(&mut windows, &mut at(60), |count| *count += 1).ignore_late();
        assert_eq!(minute.add(&mut windows, &mut late(58, 69), |count| *count += 1), Added::Open);
        assert_eq!(shown(&minute.ended(&mut windows, &at(69))), []);
        assert_eq!(minute.add(&mut windows, &mut late(58, 70), |count| *count += 1), Added::Late);
        assert_eq!(shown(&minute.ended(&mut windows, &at(70))), [(0, 60, 2)]);
        assert_eq!(shown(&windows.0), [(60, 120, 1)]);
    }

    #[test]
    fn tumbling_windows_reach_back_before_1970_and_may_be_moved() {
        let day = Tumbling::of(seconds(86_400)).offset(seconds(79_200));
        let mut windows = Windows::<u32>::default();
        for moment in [-1, 79_199, 79_200] {
            day.add(&mut windows, &mut late(moment, -100_000), |count| *count += 1).ignore_late();
        }
        assert_eq!(shown(&windows.0), [(-7_200, 79_200, 2), (79_200, 165_600, 1)]);
    }

    #[test]
    fn a_sliding_window_sees_the_time_up_to_the_input() {
        let minute = Sliding::of(seconds(60)).every(seconds(1));
        let mut panes = Windows::<u32>::default();
        let mut count_at = |second: i64| {
            let mut ctx = at(second);
            minute.add(&mut panes, &mut ctx, |count| *count += 1).ignore_late();
            (minute.over(&panes, &ctx).sum::<u32>(), panes.iter().count())
        };
        assert_eq!([count_at(0), count_at(0), count_at(30), count_at(60)], [(1, 1), (2, 1), (3, 2), (4, 3)]);
        assert_eq!(count_at(61), (3, 3), "the first second has left");
        assert_eq!(count_at(500), (1, 1));
        assert_eq!(minute.add(&mut panes, &mut late(439, 500), |count| *count += 1), Added::Late);
    }

    #[test]
    fn sessions_grow_meet_and_end() {
        let visit = Session::gap(seconds(30));
        let mut sessions = Windows::<Vec<i64>>::default();
        let mut add = |second: i64, now: i64| {
            let mut ctx = late(second, now);
            let added = visit.add(&mut sessions, &mut ctx, |seen| seen.push(second), |one, other| one.extend(other));
            (added, ctx.wakes.first().map(|wake| wake / SECOND), shown(&sessions.0))
        };
        assert_eq!([add(100, 100).0, add(120, 120).0], [Added::Open; 2]);
        let (_, wake, all) = add(170, 170);
        assert_eq!((wake, all), (Some(200), vec![(100, 150, vec![100, 120]), (170, 200, vec![170])]));
        let (_, wake, all) = add(145, 170);
        assert_eq!((wake, all), (Some(200), vec![(100, 200, vec![100, 120, 170, 145])]), "what lies between makes one of them");
        assert_eq!(add(139, 170).0, Added::Open);
        assert_eq!(add(60, 170).0, Added::Late);
        assert_eq!(shown(&visit.ended(&mut sessions, &at(199))), []);
        assert_eq!(visit.ended(&mut sessions, &at(200)).len(), 1);
        assert!(sessions.is_empty());
    }

    #[test]
    fn windows_survive_their_json() {
        let windows = Windows(vec![Window { start_micros: -5, end_micros: 5, value: vec!["a".to_owned()] }]);
        let json = encode(&windows).unwrap();
        assert_eq!(String::from_utf8_lossy(&json), r#"[[-5,5,["a"]]]"#);
        assert_eq!(decode::<Windows<Vec<String>>>(&json).unwrap(), windows);
    }
}
