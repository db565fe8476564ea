//! Server-sent events, as far as our own streams go: `id`, `event`, one `data` line, and comments as signs of life.

use bytes::{Buf as _, BytesMut};

use crate::limits::CLIENT_LINE_BYTES_MAX;

/// One event; a sign of life has no data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) data: Option<Vec<u8>>,
}

/// Takes bytes as they come, and gives events once they are whole.
#[derive(Default)]
pub(super) struct Events {
    buffer: BytesMut,
    /// Bytes of the buffer in which no line end was found.
    searched: usize,
    event: Event,
}

impl Events {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; `None` when more bytes must come first.
    ///
    /// # Errors
    /// When a line is longer than any of ours.
    pub(super) fn next(&mut self) -> Result<Option<Event>, String> {
        while let Some(line) = self.line() {
            match line.iter().position(|byte| *byte == b':') {
                None if line.is_empty() => return Ok(Some(std::mem::take(&mut self.event))),
                None => {}
                // A comment.
                Some(0) => {}
                Some(at) => {
                    let value = line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..]);
                    let text = || String::from_utf8_lossy(value).into_owned();
                    match &line[..at] {
                        b"id" => self.event.id = Some(text()),
                        b"event" => self.event.name = Some(text()),
                        b"data" => self.event.data = Some(value.to_vec()),
                        _ => {}
                    }
                }
            }
        }
        if self.buffer.len() > CLIENT_LINE_BYTES_MAX {
            return Err(format!("a line of it is larger than {CLIENT_LINE_BYTES_MAX} bytes, which is the bound"));
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(length) = found.map(|found| self.searched + found) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let mut line = self.buffer.split_to(length).to_vec();
        self.buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"retry: 2000\n\n:\n\nid: c1\ndata: {\"a\":1}\n\nid: c2\nevent: progress\ndata: {}\r\n\nid: c3\nda";

    fn event(id: &str, name: Option<&str>, data: &[u8]) -> Event {
        Event { id: Some(id.into()), name: name.map(Into::into), data: Some(data.to_vec()) }
    }

    #[test]
    fn events_are_whole_wherever_the_bytes_are_cut() {
        let expected = [Event::default(), Event::default(), event("c1", None, b"{\"a\":1}"), event("c2", Some("progress"), b"{}")];
        for cut in 0..TEXT.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for part in [&TEXT[..cut], &TEXT[cut..]] {
                events.take(part);
                while let Some(event) = events.next().unwrap() {
                    found.push(event);
                }
            }
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_none() {
        let mut events = Events::default();
        events.take(b"id: c9\ndata: {\"a\":1}\n");
        assert_eq!(events.next(), Ok(None), "its cursor would be passed, and half of it might be missing");
    }

    #[test]
    fn a_line_has_its_bound() {
        let mut events = Events::default();
        events.take(&vec![b'x'; CLIENT_LINE_BYTES_MAX + 1]);
        assert!(events.next().is_err());
    }
}
