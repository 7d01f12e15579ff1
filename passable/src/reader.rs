//! The reader of [`Json`].

use crate::{
    json::Json,
    limits::{MAX_GLANCE_BYTES, MAX_TREE_DEPTH},
};

impl Json {
    /// Reads one JSON value with nothing after it. Returns `None` if the text is not JSON, or nests deeper than
    /// [`MAX_TREE_DEPTH`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader::new(text, 0);
        let value = reader.value(0)?;
        reader.blank();
        (reader.at == reader.bytes.len()).then_some(value)
    }

    /// Reads as much of an array as its first element, which is all that is left of it. What is not an array,
    /// or begins with something other than a string, is read only up to [`MAX_GLANCE_BYTES`].
    pub(crate) fn parse_head(text: &str) -> Option<Self> {
        let mut reader = Reader::new(text, 0);
        if reader.eat(b'[') {
            reader.blank();
            if let Some(method) = reader.string() {
                return Some(Self::Array(vec![Self::Text(method)]));
            }
        }
        (text.len() <= MAX_GLANCE_BYTES).then(|| Self::parse(text)).flatten()
    }
}

/// A recursive-descent reader of at most [`MAX_TREE_DEPTH`] levels that leaves strings and numbers as they are.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the byte `at` of `text`.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { bytes: text.as_bytes(), text, at }
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        if depth > MAX_TREE_DEPTH {
            return None;
        }
        self.blank();
        match self.bytes.get(self.at)? {
            b'"' => self.string().map(Json::Text),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            _ => self.scalar(),
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.at += 1;
        let mut items = Vec::new();
        if self.eat(b']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b']') {
                return Some(Json::Array(items));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.at += 1;
        let mut fields = Vec::new();
        if self.eat(b'}') {
            return Some(Json::Object(fields));
        }
        loop {
            self.blank();
            let key = self.string()?;
            if !self.eat(b':') {
                return None;
            }
            fields.push((key, self.value(depth + 1)?));
            if self.eat(b'}') {
                return Some(Json::Object(fields));
            }
            if !self.eat(b',') {
                return None;
            }
        }
    }

    pub(crate) fn string(&mut self) -> Option<String> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let mut end = start;
        loop {
            match self.bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                0..=0x1f => return None,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        self.text.get(start..end).map(str::to_owned)
    }

    fn scalar(&mut self) -> Option<Json> {
        let start = self.at;
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        while self.bytes.get(self.at).is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at)?;
        // serde_json is the judge of what a number is.
        serde_json::from_str::<serde_json::Value>(text).ok()?;
        Some(Json::Scalar(text.to_owned()))
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.blank();
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn blank(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
}
