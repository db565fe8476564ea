//! What a batch has to know: the head row, under its lock, and all that its commits name. One round trip.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use journal::{CommandId, CommitId, EntityKey, Lineage, ReadError, Tag, Timestamp, epoch_of};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::batch::{FirstTime, HeadRow, Looked, Numbered};
use super::inbox::Pending;
use crate::lookup::{self, COMMAND, HEAD, KeyColumns, LOOKUP};
use crate::rows::{self, get, signed, unsigned};

/// A parameter.
pub(crate) type Value<'a> = &'a (dyn ToSql + Sync);

const LOCK: &str = "SELECT position, entities, latest, marked FROM head FOR UPDATE";

/// Commands that left events which were gone when the history came here.
const GONE: &str = "SELECT k.place, g.name, g.sequence, g.events, g.position, g.time
    FROM unnest($1::bytea[]) WITH ORDINALITY AS k (hash, place) JOIN gone_command g ON g.hash = k.hash";

/// A share of the row's lock until the commit: who takes the register over waits for it, and is behind it.
const EPOCHS: &str = "SELECT name, substring(value FROM 1 FOR 8) FROM register WHERE name = ANY($1) ORDER BY name FOR SHARE";

/// Items of types alone, one row a type. For the index, see `questions`.
const TYPES: &str = "SELECT i.item FROM unnest($1::int[], $2::bigint[], $3::text[], $4::text[]) AS i (item, after, kind, name), LATERAL (
        SELECT FROM event e WHERE e.kind = ANY (ARRAY[i.kind]) AND e.name = i.name AND e.position > i.after
        ORDER BY e.kind, e.position LIMIT 1) AS found";

/// Items with tags, and the types that go with them. The walk goes over the tag that has the fewest events, as far as a hundred of each tell.
const TAGS: &str = "WITH type AS (SELECT * FROM unnest($4::int[], $5::text[], $6::text[]) AS type (item, kind, name))
    SELECT i.item FROM unnest($1::int[], $2::bigint[], $3::text[]) AS i (item, after, tags), LATERAL (
        SELECT FROM (
            SELECT f.position FROM tag f WHERE f.position > i.after AND f.tag = (
                SELECT w.tag FROM unnest(string_to_array(i.tags, E'\\n')) AS w (tag) ORDER BY
                (SELECT count(*) FROM (SELECT FROM tag few WHERE few.tag = w.tag AND few.position > i.after LIMIT 100) AS few) LIMIT 1)
            OFFSET 0) AS t
        JOIN event e ON e.position = t.position WHERE e.tags @> string_to_array(i.tags, E'\\n')
        AND (NOT EXISTS (SELECT FROM type WHERE type.item = i.item)
            OR EXISTS (SELECT FROM type WHERE type.item = i.item AND type.kind = e.kind AND type.name = e.name))
        LIMIT 1) AS found";

/// The prepared questions of one connection.
pub(crate) struct Questions {
    lock: Statement,
    keys: Statement,
    gone: Statement,
    epochs: Statement,
    types: Statement,
    tags: Statement,
}

/// Why a look failed.
pub(crate) enum LookError {
    Server(Error),
    /// A row is not as any commit left it.
    Damaged(ReadError),
}

impl From<Error> for LookError {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

impl From<ReadError> for LookError {
    fn from(error: ReadError) -> Self {
        Self::Damaged(error)
    }
}

impl Questions {
    /// # Errors
    /// When the server does not take one.
    pub(crate) async fn prepare(client: &Client) -> Result<Self, Error> {
        let (lock, keys, gone, epochs, types, tags) = tokio::try_join!(
            client.prepare(LOCK),
            client.prepare(LOOKUP),
            client.prepare(GONE),
            client.prepare(EPOCHS),
            client.prepare(TYPES),
            client.prepare(TAGS),
        )?;
        Ok(Self { lock, keys, gone, epochs, types, tags })
    }

    /// Begins a transaction, takes the lock on the head, and looks. All is sent at once: statements run one after the other, each on what is
    /// committed when it begins, and they begin when the lock is there.
    ///
    /// # Errors
    /// See [`LookError`].
    pub(crate) async fn look(&self, client: &Client, batch: &[Pending], lineage: &Lineage, has_gone: bool) -> Result<Looked, LookError> {
        let names = Names::of(batch);
        let (_, head, answers) =
            tokio::try_join!(client.batch_execute("BEGIN"), client.query_one(&self.lock, &[]), self.ask(client, &names, has_gone))?;
        names.looked(head_row(&head)?, &answers, lineage)
    }

    /// Looks for further commits of a transaction that has the lock.
    ///
    /// # Errors
    /// See [`LookError`].
    pub(crate) async fn look_further(
        &self,
        client: &Client,
        more: &[Pending],
        looked: &mut Looked,
        lineage: &Lineage,
        has_gone: bool,
    ) -> Result<(), LookError> {
        let names = Names::of(more);
        let further = names.looked(looked.head, &self.ask(client, &names, has_gone).await?, lineage)?;
        looked.entities.extend(further.entities);
        looked.commands.extend(further.commands);
        looked.epochs.extend(further.epochs);
        looked.matched.extend(further.matched);
        Ok(())
    }

    async fn ask(&self, client: &Client, names: &Names<'_>, has_gone: bool) -> Result<Answers, Error> {
        let (keys, items, fences) = (
            KeyColumns::of(names.keys.iter().map(|(entity, command)| (*entity, command.as_ref()))),
            &names.items,
            [&names.fences as Value<'_>],
        );
        let (key_values, types, tags) = (keys.values(), items.type_values(), items.tag_values());
        let hashes = names.hashes(has_gone);
        let hash_values = [&hashes as Value<'_>];
        let (keys, gone, epochs, typed, tagged) = tokio::try_join!(
            client.query(&self.keys, &key_values),
            unless(hashes.is_empty(), client.query(&self.gone, &hash_values)),
            unless(names.fences.is_empty(), client.query(&self.epochs, &fences)),
            unless(items.typed.item.is_empty(), client.query(&self.types, &types)),
            unless(items.tagged.item.is_empty(), client.query(&self.tags, &tags)),
        )?;
        Ok(Answers { keys, gone, epochs, typed, tagged })
    }
}

/// The rows of each question.
struct Answers {
    keys: Vec<Row>,
    gone: Vec<Row>,
    epochs: Vec<Row>,
    typed: Vec<Row>,
    tagged: Vec<Row>,
}

/// Asks nothing when there is nothing to ask.
async fn unless(nothing: bool, question: impl Future<Output = Result<Vec<Row>, Error>>) -> Result<Vec<Row>, Error> {
    if nothing { Ok(Vec::new()) } else { question.await }
}

fn head_row(row: &Row) -> Result<HeadRow, ReadError> {
    Ok(HeadRow {
        position: unsigned(get(row, 0)?),
        entities: unsigned(get(row, 1)?),
        latest: Timestamp::from_micros(get(row, 2)?),
        marked: unsigned(get(row, 3)?),
    })
}

/// An entity, and a command on it of which it is asked whether it took effect before.
type Asked<'a> = (&'a EntityKey, Option<CommandId>);

/// What a row answers.
fn asked<'a>(row: &Row, keys: &[Asked<'a>]) -> Result<Asked<'a>, ReadError> {
    Ok(keys[lookup::place(row, keys.len())?])
}

fn numbered(rows: &[Row], keys: &[Asked<'_>]) -> Result<HashMap<EntityKey, Numbered>, ReadError> {
    let one = |row: &Row| Ok((asked(row, keys)?.0.clone(), Numbered { number: unsigned(get(row, 1)?), head: rows::head(row, HEAD)? }));
    rows.iter().map(one).collect()
}

type Firsts = HashMap<(EntityKey, CommandId), FirstTime>;

fn first_times(rows: &[Row], gone: &[Row], keys: &[Asked<'_>], lineage: &Lineage) -> Result<Firsts, ReadError> {
    let mut firsts = Firsts::new();
    for row in rows {
        let (entity, Some(id)) = asked(row, keys)? else { continue };
        if get::<Option<&str>>(row, COMMAND)?.is_some() {
            let (found, commit) = rows::found_command(row, COMMAND, lineage)?;
            firsts.insert((entity.clone(), id), FirstTime { found, commit });
        }
    }
    for row in gone {
        // Commands come first among the keys. No commit of ours left those that are gone, so that none of ours in doubt is taken for one of them.
        let (entity, Some(id)) = asked(row, keys)? else { continue };
        let found = rows::gone_command(row, 1, lineage)?;
        firsts.insert((entity.clone(), id), FirstTime { found, commit: CommitId([0; 16]) });
    }
    Ok(firsts)
}

/// What commits name: every command, and entities that are expected to be as they are.
struct Names<'a> {
    commits: usize,
    keys: Vec<Asked<'a>>,
    fences: Vec<&'a str>,
    items: Items<'a>,
}

impl<'a> Names<'a> {
    fn of(batch: &'a [Pending]) -> Self {
        let commits = || batch.iter().map(|pending| &pending.commit);
        let mut keys: Vec<Asked<'a>> =
            commits().flat_map(|commit| &commit.commands).map(|command| (&command.entity, Some(command.id))).collect();
        let mut seen: HashSet<&EntityKey> = keys.iter().map(|(entity, _)| *entity).collect();
        let expected = commits().flat_map(|commit| &commit.expect).map(|(entity, _)| entity);
        keys.extend(expected.filter(|entity| seen.insert(entity)).map(|entity| (entity, None)));
        let fences: HashSet<&str> = commits().filter_map(|commit| commit.fence.as_ref()).map(|fence| &*fence.register).collect();
        Self { commits: batch.len(), keys, fences: fences.into_iter().collect(), items: Items::of(batch) }
    }

    /// What commands are known by that are gone; none where there are none.
    fn hashes(&self, has_gone: bool) -> Vec<Vec<u8>> {
        let commands = self.keys.iter().filter_map(|(entity, id)| Some((entity, (*id)?))).filter(|_| has_gone);
        commands.map(|(entity, id)| id.on(entity.hash()).0.to_vec()).collect()
    }

    fn looked(&self, head: HeadRow, answers: &Answers, lineage: &Lineage) -> Result<Looked, LookError> {
        let Answers { keys, gone, epochs, typed, tagged } = answers;
        Ok(Looked {
            head,
            entities: numbered(keys, &self.keys)?,
            commands: first_times(keys, gone, &self.keys, lineage)?,
            epochs: epochs.iter().map(|row| Ok((get(row, 0)?, epoch_of(get(row, 1)?)))).collect::<Result<_, ReadError>>()?,
            matched: self.items.matched(self.commits, head.position, typed.iter().chain(tagged))?,
        })
    }
}

/// The items of all tag conditions, numbered, column by column.
#[derive(Default)]
struct Items<'a> {
    /// The place in the batch of each item's commit.
    commits: Vec<usize>,
    /// Commits with an item that any event matches, and the place after which one does.
    any: Vec<(usize, u64)>,
    typed: Typed<'a>,
    tagged: Tagged<'a>,
}

#[derive(Default)]
struct Typed<'a> {
    item: Vec<i32>,
    after: Vec<i64>,
    kind: Vec<&'a str>,
    name: Vec<&'a str>,
}

#[derive(Default)]
struct Tagged<'a> {
    item: Vec<i32>,
    after: Vec<i64>,
    /// With a line break between: no tag has one.
    tags: Vec<String>,
    types: Typed<'a>,
}

impl<'a> Items<'a> {
    fn of(batch: &'a [Pending]) -> Self {
        let mut items = Self::default();
        for (place, condition) in batch.iter().enumerate().filter_map(|(place, pending)| Some((place, pending.commit.condition.as_ref()?)))
        {
            let after = condition.after.position();
            for item in &condition.query.items {
                items.add(place, after, &item.types, &item.tags);
            }
        }
        items
    }

    fn add(&mut self, place: usize, after: u64, types: &'a [std::sync::Arc<str>], tags: &[Tag]) {
        let number = self.commits.len() as i32;
        self.commits.push(place);
        if types.is_empty() && tags.is_empty() {
            return self.any.push((place, after));
        }
        let rows = if tags.is_empty() { &mut self.typed } else { &mut self.tagged.types };
        for (kind, name) in types.iter().filter_map(|full| full.split_once('/')) {
            rows.item.push(number);
            rows.after.push(signed(after));
            rows.kind.push(kind);
            rows.name.push(name);
        }
        // Types without a slash match nothing; with tags, an item of such types alone must not become one without types.
        let matches_nothing = !types.is_empty() && types.iter().all(|full| !full.contains('/'));
        if !tags.is_empty() && !matches_nothing {
            self.tagged.item.push(number);
            self.tagged.after.push(signed(after));
            self.tagged.tags.push(tags.iter().map(Tag::as_str).collect::<Vec<_>>().join("\n"));
        }
    }

    fn type_values(&self) -> [Value<'_>; 4] {
        [&self.typed.item, &self.typed.after, &self.typed.kind, &self.typed.name]
    }

    fn tag_values(&self) -> [Value<'_>; 6] {
        let types = &self.tagged.types;
        [&self.tagged.item, &self.tagged.after, &self.tagged.tags, &types.item, &types.kind, &types.name]
    }

    /// Which commits have an item that the tables match.
    fn matched<'r>(&self, commits: usize, head: u64, rows: impl Iterator<Item = &'r Row>) -> Result<Vec<bool>, ReadError> {
        let mut matched = vec![false; commits];
        for (place, after) in &self.any {
            matched[*place] |= head > *after;
        }
        for row in rows {
            let item: i32 = get(row, 0)?;
            matched[*self.commits.get(item as usize).unwrap_or(&0)] = true;
        }
        Ok(matched)
    }
}
