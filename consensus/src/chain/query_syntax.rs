//! The grammar of event queries, with CometBFT's texts about what it refuses.

use tendermint::Time;

use super::query::{Condition, Test};

/// A kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Tag,
    Text,
    Number,
    Time,
    Date,
    And,
    Contains,
    Exists,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: &[Token] = &[
    Token::LessOrEqual,
    Token::GreaterOrEqual,
    Token::Less,
    Token::Greater,
    Token::Equal,
    Token::Contains,
    Token::Exists,
];

/// Reason why there is no further token.
enum Stop {
    End,
    Invalid(String),
}

struct Scanner<'a> {
    text: &'a str,
    /// Offset of the current token.
    start: usize,
    /// Offset after it.
    end: usize,
}

/// Parses the conditions of a query.
///
/// # Errors
/// A text with the position.
pub(super) fn parse(text: &str) -> Result<Vec<Condition>, String> {
    let mut scanner = Scanner { text, start: 0, end: 0 };
    let mut conditions = vec![condition(&mut scanner)?];
    loop {
        let found = match scanner.next() {
            Err(Stop::End) => return Ok(conditions),
            Err(Stop::Invalid(_)) => "invalid token",
            Ok((Token::And, _)) => {
                conditions.push(condition(&mut scanner)?);
                continue;
            }
            Ok((other, _)) => other.name(),
        };
        // CometBFT writes the number of the token here.
        return Err(format!("offset {}: got {found}, want 6", scanner.start));
    }
}

fn condition(scanner: &mut Scanner<'_>) -> Result<Condition, String> {
    let (_, key) = scanner.require(&[Token::Tag])?;
    let (operator, _) = scanner.require(OPERATORS)?;
    let (kind, argument) = match operator {
        Token::Exists => return Ok(Condition::new(key, Test::Exists, String::new())),
        Token::Contains => scanner.require(&[Token::Text])?,
        Token::Equal => scanner.require(&[Token::Number, Token::Time, Token::Date, Token::Text])?,
        _ => scanner.require(&[Token::Number, Token::Time, Token::Date])?,
    };
    let test = match (operator, kind) {
        (Token::Contains, _) => Test::Contains,
        (_, Token::Text) => Test::EqualText,
        (operator, kind) => Test::Compare(operator.comparison(), kind.operand(&argument)?),
    };
    Ok(Condition::new(key, test, argument))
}

impl Token {
    fn name(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Text => "string",
            Self::Number => "number",
            Self::Time => "timestamp",
            Self::Date => "datestamp",
            Self::And => "AND operator",
            Self::Contains => "CONTAINS operator",
            Self::Exists => "EXISTS operator",
            Self::Equal => "= operator",
            Self::Less => "< operator",
            Self::LessOrEqual => "<= operator",
            Self::Greater => "> operator",
            Self::GreaterOrEqual => ">= operator",
        }
    }

    fn comparison(self) -> super::query::Comparison {
        use super::query::Comparison;
        match self {
            Self::Less => Comparison::Less,
            Self::LessOrEqual => Comparison::LessOrEqual,
            Self::Greater => Comparison::Greater,
            Self::GreaterOrEqual => Comparison::GreaterOrEqual,
            _ => Comparison::Equal,
        }
    }

    fn operand(self, text: &str) -> Result<super::query::Operand, String> {
        use super::query::{Number, Operand};
        match self {
            Self::Time => time(text).map(Operand::Time),
            Self::Date => date(text).map(Operand::Date),
            _ => Number::parse(text)
                .map(Operand::Number)
                .ok_or_else(|| format!("the number {text} is too long")),
        }
    }
}

/// Reads a time of RFC 3339.
pub(super) fn time(text: &str) -> Result<Time, String> {
    Time::parse_from_rfc3339(text)
        .map_err(|_| invalid_time("TIME", text, "2006-01-02T15:04:05Z07:00"))
}

/// Reads a date.
pub(super) fn date(text: &str) -> Result<Time, String> {
    let whole = format!("{text}T00:00:00Z");
    let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let time = is_date.then(|| Time::parse_from_rfc3339(&whole).ok()).flatten();
    let part = |range| text.get(range).and_then(|digits: &str| digits.parse::<u8>().ok());
    time.ok_or_else(|| match (is_date, part(5..7)) {
        (true, Some(1..=12)) => {
            format!("invalid DATE value: parsing time {text:?}: day out of range")
        }
        (true, Some(_)) => format!("invalid DATE value: parsing time {text:?}: month out of range"),
        _ => invalid_time("DATE", text, "2006-01-02"),
    })
}

fn invalid_time(kind: &str, text: &str, layout: &str) -> String {
    let why = match text {
        "" => ": cannot parse \"\" as \"2006\"",
        _ => "",
    };
    format!("invalid {kind} value: parsing time {text:?} as {layout:?}{why}")
}

impl Scanner<'_> {
    fn require(&mut self, wanted: &[Token]) -> Result<(Token, String), String> {
        let found = self.next().map_err(|stop| {
            let why = match stop {
                Stop::End => "EOF".to_owned(),
                Stop::Invalid(why) => why,
            };
            format!("offset {}: {why}", self.start)
        })?;
        if wanted.contains(&found.0) {
            return Ok(found);
        }
        let names: Vec<&str> = wanted.iter().map(|token| token.name()).collect();
        let names = match names.as_slice() {
            [only] => (*only).to_owned(),
            [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
            [] => String::new(),
        };
        Err(format!("offset {}: got {}, wanted {names}", self.start, found.0.name()))
    }

    /// Returns the next token with its text.
    fn next(&mut self) -> Result<(Token, String), Stop> {
        let spaces = self.rest().len() - self.rest().trim_start().len();
        self.end += spaces;
        self.start = self.end;
        let Some(first) = self.rest().chars().next() else { return Err(Stop::End) };
        match first {
            '0'..='9' => Ok((Token::Number, self.number())),
            '_' => self.word(),
            letter if letter.is_alphabetic() || letter.is_numeric() => self.word(),
            '\'' => {
                self.end += 1;
                let text = match self.rest().find('\'') {
                    Some(length) => self.rest()[..length].to_owned(),
                    None => {
                        self.end = self.text.len();
                        return Err(Stop::End);
                    }
                };
                self.end += text.len() + 1;
                Ok((Token::Text, text))
            }
            '<' | '>' | '=' => {
                let (token, length) = match (first, self.rest()[1..].starts_with('=')) {
                    ('<', true) => (Token::LessOrEqual, 2),
                    ('<', false) => (Token::Less, 1),
                    ('>', true) => (Token::GreaterOrEqual, 2),
                    ('>', false) => (Token::Greater, 1),
                    _ => (Token::Equal, 1),
                };
                self.end += length;
                Ok((token, String::new()))
            }
            other => {
                self.end += other.len_utf8();
                Err(Stop::Invalid(format!("invalid input {other} at offset {}", self.end)))
            }
        }
    }

    fn number(&mut self) -> String {
        let mut text = self.take(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') {
            self.end += 1;
            text = text + "." + &self.take(|c| c.is_ascii_digit());
        }
        text
    }

    fn word(&mut self) -> Result<(Token, String), Stop> {
        let word = self.take(|c| "._-".contains(c) || c.is_alphabetic() || c.is_numeric());
        let has_space = self.rest().starts_with(' ');
        let token = match word.as_str() {
            "TIME" if has_space => {
                self.end += 1;
                let text = self.take(|c| "-T:+Z".contains(c) || c.is_ascii_digit());
                time(&text).map_err(Stop::Invalid)?;
                return Ok((Token::Time, text));
            }
            "DATE" if has_space => {
                self.end += 1;
                let text = self.take(|c| c == '-' || c.is_ascii_digit());
                date(&text).map_err(Stop::Invalid)?;
                return Ok((Token::Date, text));
            }
            "AND" => Token::And,
            "EXISTS" => Token::Exists,
            "CONTAINS" => Token::Contains,
            _ => Token::Tag,
        };
        Ok((token, word))
    }

    /// Consumes the characters that pass `accept`.
    fn take(&mut self, accept: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let length = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let taken = rest[..length].to_owned();
        self.end += length;
        taken
    }

    fn rest(&self) -> &str {
        &self.text[self.end..]
    }
}
