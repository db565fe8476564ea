//! Statements of definitions as the server takes them: `:field` and `@known` become `$1`, `$2`, ... Each time that a name stands there it is a
//! parameter of its own, because the server gives a parameter one type: `(:count, :price * :count)` has a count that is a bigint, and one that is
//! a numeric.
//!
//! It knows where PostgreSQL's texts, quoted names and comments end, so that nothing in them is a parameter, and keeps where what came from,
//! so that the server's word for a place is one of the definition's.

use component::SqlValue;

/// What a statement must not call: a second filling would have other rows.
const CHANCE: [&str; 12] = [
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "now",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "nextval",
    "txid_current",
];
/// The same without parentheses.
const CHANCE_BARE: [&str; 5] = ["current_timestamp", "current_time", "current_date", "localtime", "localtimestamp"];

/// A statement, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement {
    /// As the server takes it.
    pub(crate) sql: String,
    /// The names of its parameters, with their signs, each once.
    pub(crate) names: Vec<String>,
    /// Of each parameter, the place of its name.
    places: Vec<usize>,
    /// Its words outside of texts, names in quotes and comments: where they are, in small letters.
    words: Vec<(usize, String)>,
    /// Ends of what was replaced: in `sql`, and in the definition.
    replaced: Vec<(usize, usize)>,
    /// A parameter that has a number and no name.
    numbered: Option<usize>,
}

impl Statement {
    /// Reads a statement of a definition.
    pub(crate) fn read(sql: &str) -> Self {
        let text = sql.trim_end().trim_end_matches(';').trim_end();
        let mut statement = Self::default();
        let mut at = 0;
        while at < text.len() {
            at = statement.step(text, at);
        }
        statement
    }

    /// One without parameters, as it is.
    pub(crate) fn plain(sql: &str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    /// Takes what begins at a place; gives the place behind it.
    fn step(&mut self, text: &str, at: usize) -> usize {
        let rest = &text[at..];
        let letter = rest.chars().next().unwrap_or(' ');
        let is_behind_sign = text[..at].ends_with(is_operator);
        let end = at
            + match letter {
                ':' | '@' if !is_behind_sign && rest[1..].starts_with(begins_name) => return self.parameter(text, at),
                ':' if rest.starts_with("::") => 2,
                '\'' => quoted(rest, '\'', is_escaping(text, at)),
                '"' => quoted(rest, '"', false),
                '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => comment_end(rest),
                '$' if rest[1..].starts_with(|digit: char| digit.is_ascii_digit()) => {
                    self.numbered.get_or_insert(at);
                    2
                }
                '$' => dollar_end(rest),
                letter if begins_name(letter) => {
                    let end = word_end(rest);
                    self.words.push((at, rest[..end].to_lowercase()));
                    end
                }
                // A number takes the letters behind it: `1e5` has no word in it.
                letter if letter.is_ascii_digit() => word_end(rest).max(1),
                letter => letter.len_utf8(),
            };
        self.sql.push_str(&text[at..end]);
        end
    }

    fn parameter(&mut self, text: &str, at: usize) -> usize {
        let end = at + 1 + word_end(&text[at + 1..]);
        let name = &text[at..end];
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.places.push(place);
        self.sql.push_str(&format!("${}", self.places.len()));
        self.replaced.push((self.sql.len(), end));
        end
    }

    /// The values of its parameters, by those of its names.
    pub(crate) fn spread<'v>(&self, values: &'v [SqlValue]) -> Vec<&'v SqlValue> {
        self.places.iter().map(|place| values.get(*place).unwrap_or(&SqlValue::Null)).collect()
    }

    /// Its first word.
    pub(crate) fn verb(&self) -> &str {
        self.words.first().map_or("", |(_, word)| word)
    }

    /// Where it has a parameter with a number.
    pub(crate) fn numbered(&self) -> Option<usize> {
        self.numbered
    }

    /// Something whose result a second filling would not give again, and where it is.
    pub(crate) fn chance(&self, sql: &str) -> Option<(&str, usize)> {
        let is_call = |at: usize, word: &str| sql[at + word.len()..].trim_start().starts_with('(');
        let found = self
            .words
            .iter()
            .find(|(at, word)| CHANCE_BARE.contains(&word.as_str()) || (CHANCE.contains(&word.as_str()) && is_call(*at, word)));
        found.map(|(at, word)| (word.as_str(), *at))
    }

    /// The place in the definition of a place in [`sql`](Self::sql).
    pub(crate) fn origin(&self, place: usize) -> usize {
        let before = self.replaced.iter().rev().find(|(end, _)| *end <= place);
        before.map_or(place, |(end, origin)| origin + (place - end))
    }
}

fn begins_name(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn is_operator(letter: char) -> bool {
    "<>=~!@#%^&|`?:".contains(letter)
}

/// How many bytes of a word a text begins with.
fn word_end(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.find(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '.').unwrap_or(text.len());
    }
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())
}

/// Bytes of a quoted text; the quote twice is a quote.
fn quoted(text: &str, quote: char, is_escaping: bool) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' if is_escaping => drop(letters.next()),
            letter if letter == quote && letters.peek().is_some_and(|(_, next)| *next == quote) => drop(letters.next()),
            letter if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether the quote at a place begins a text with backslashes: `E'..'`.
fn is_escaping(text: &str, at: usize) -> bool {
    let before = &text[..at];
    before.ends_with(['e', 'E']) && !before[..before.len() - 1].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
}

/// Bytes of a comment, with those in it.
fn comment_end(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        let is_begin = rest.starts_with("/*");
        if is_begin || rest.starts_with("*/") {
            depth = if is_begin { depth + 1 } else { depth.saturating_sub(1) };
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Bytes of a text between `$tag$`, or of the sign alone.
fn dollar_end(text: &str) -> usize {
    let tag = 1 + word_end(&text[1..]);
    if !text[tag..].starts_with('$') {
        return 1;
    }
    let (mark, rest) = text.split_at(tag + 1);
    rest.find(mark).map_or(text.len(), |end| mark.len() + end + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str, names: &[&str]) {
        let read = Statement::read(sql);
        assert_eq!((read.sql.as_str(), read.names.iter().map(String::as_str).collect::<Vec<_>>()), (expected, names.to_vec()), "{sql}");
    }

    #[test]
    fn names_become_numbers() {
        check("INSERT INTO item VALUES (:sku, :quantity, @id)", "INSERT INTO item VALUES ($1, $2, $3)", &[":sku", ":quantity", "@id"]);
        check("SELECT :a, :b, :a;", "SELECT $1, $2, $3", &[":a", ":b"]);
        check("SELECT :größe::text", "SELECT $1::text", &[":größe"]);
    }

    #[test]
    fn each_parameter_has_the_value_of_its_name() {
        let values: [SqlValue; 2] = ["a".into(), 7.into()];
        assert_eq!(Statement::read("SELECT :a, :b, :a").spread(&values), [&values[0], &values[1], &values[0]]);
    }

    #[test]
    fn what_is_in_texts_names_and_comments_is_no_parameter() {
        for same in [
            "SELECT ':a', '''@id:b'",
            r"SELECT E'\':a'",
            "SELECT \":a\" FROM t",
            "SELECT 1 -- :a\n, 2 /* :b /* @id */ :c */",
            "SELECT $$ :a $$, $x$ :b $ $$ $x$",
            "SELECT a::text, b[1:2], c @> d, e <@f, g @@ h",
        ] {
            check(same, same, &[]);
        }
        check("SELECT 'E' || :a, 1e5", "SELECT 'E' || $1, 1e5", &[":a"]);
        check("SELECT E'a' || :b", "SELECT E'a' || $1", &[":b"]);
    }

    #[test]
    fn a_place_is_one_of_the_definition() {
        let sql = "INSERT INTO item VALUES (:quantity, skuu, :sku, x)";
        let read = Statement::read(sql);
        for word in ["INSERT", "skuu", "x)"] {
            assert_eq!(read.origin(read.sql.find(word).unwrap()), sql.find(word).unwrap(), "{word}");
        }
    }

    #[test]
    fn chance_is_found_where_it_is_called() {
        let chance = |sql| Statement::read(sql).chance(sql).map(|(word, at)| (word.to_owned(), at));
        assert_eq!(chance("INSERT INTO t VALUES (NOW ())"), Some(("now".into(), 22)));
        assert_eq!(chance("INSERT INTO t VALUES (current_date)"), Some(("current_date".into(), 22)));
        assert_eq!(chance("INSERT INTO t (now) VALUES ('random()')"), None);
        assert_eq!(Statement::read("  with x AS (SELECT 1) SELECT 2").verb(), "with");
        assert_eq!(Statement::read("SELECT $1").numbered(), Some(7));
    }
}
