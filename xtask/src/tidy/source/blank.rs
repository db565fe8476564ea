//! Rust text with comments, texts and character literals as blanks: what is left is code, on the same lines.

/// Blanks what is no code. Every blanked letter becomes one blank.
pub(super) fn blank(text: &str) -> String {
    let mut lexer = Lexer { letters: text.chars().collect(), at: 0, code: String::with_capacity(text.len()) };
    while lexer.letter(0).is_some() {
        lexer.step();
    }
    lexer.code
}

struct Lexer {
    letters: Vec<char>,
    at: usize,
    code: String,
}

impl Lexer {
    fn letter(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        match (self.letter(0), self.letter(1)) {
            (Some('/'), Some('/')) => self.hide_while(|lexer| lexer.letter(0) != Some('\n')),
            (Some('/'), Some('*')) => self.hide_block_comment(),
            (Some('"'), _) => self.hide_text(),
            (Some('\''), _) => self.character_or_lifetime(),
            (Some(letter), _) if letter.is_alphabetic() || letter == '_' => self.word(),
            _ => self.keep(1),
        }
    }

    fn keep(&mut self, count: usize) {
        let end = (self.at + count).min(self.letters.len());
        self.code.extend(&self.letters[self.at..end]);
        self.at = end;
    }

    fn hide(&mut self, count: usize) {
        let end = (self.at + count).min(self.letters.len());
        self.code.extend(self.letters[self.at..end].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
        self.at = end;
    }

    fn hide_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while self.letter(0).is_some() && goes_on(self) {
            self.hide(1);
        }
    }

    /// Block comments nest.
    fn hide_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.letter(0), self.letter(1)) {
                (None, _) => return,
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.hide(1);
                    continue;
                }
            }
            self.hide(2);
            if depth == 0 {
                return;
            }
        }
    }

    /// The quotes stay, so that `"a"` is still seen to be something.
    fn hide_text(&mut self) {
        self.keep(1);
        while let Some(letter) = self.letter(0).filter(|letter| *letter != '"') {
            self.hide(if letter == '\\' { 2 } else { 1 });
        }
        self.keep(1);
    }

    fn character_or_lifetime(&mut self) {
        if self.letter(1) == Some('\\') {
            self.hide(3);
            self.hide_while(|lexer| lexer.letter(0) != Some('\''));
            self.hide(1);
        } else if self.letter(2) == Some('\'') {
            self.hide(3);
        } else {
            self.keep(1);
        }
    }

    /// A whole word, so that the `r` of `for` begins no raw text.
    fn word(&mut self) {
        let begin = self.at;
        while self.letter(0).is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
            self.keep(1);
        }
        let word: String = self.letters[begin..self.at].iter().collect();
        let hashes = (0..).take_while(|ahead| self.letter(*ahead) == Some('#')).count();
        if matches!(word.as_str(), "r" | "br" | "cr") && self.letter(hashes) == Some('"') {
            self.hide_raw_text(hashes);
        }
    }

    fn hide_raw_text(&mut self, hashes: usize) {
        self.hide(hashes + 1);
        let ends = |lexer: &Self| lexer.letter(0) == Some('"') && (1..=hashes).all(|ahead| lexer.letter(ahead) == Some('#'));
        self.hide_while(|lexer| !ends(lexer));
        self.hide(hashes + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::blank;

    fn check(text: &str, expected: &str) {
        let code = blank(text);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
        assert_eq!(code.lines().count(), text.lines().count(), "{text}");
    }

    #[test]
    fn comments_go() {
        check("a // b\nc /* d /* e */ f */ g", "a c g");
        check("//! { \nfn", "fn");
    }

    #[test]
    fn texts_go_and_code_stays() {
        check(r#"a("x \" {", b"y", 1)"#, r#"a(" ", b" ", 1)"#);
        check("for r\"x{\" in r#\"a \" b\"# br##\"\"# \"## c", "for r in r br c");
        check("a(\"two\nlines\") b", "a(\" \") b");
    }

    #[test]
    fn characters_go_and_lifetimes_stay() {
        check(r"a('{', '\'', '\u{7d}', b'}') <'a, '_> 'x: loop", "a( , , , b ) <'a, '_> 'x: loop");
    }
}
