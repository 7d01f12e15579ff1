//! The event query language of CometBFT: `tm.event = 'Tx' AND transfer.amount > 5 AND vat.name EXISTS`.
//!
//! Conditions are joined by `AND`. An operator is one of these:
//!
//! * `=`, `<`, `<=`, `>`, `>=` with a number, `TIME rfc3339` or `DATE yyyy-mm-dd`,
//! * `=` and `CONTAINS` with a text in single quotes,
//! * `EXISTS`.
//!
//! An attribute fulfils a condition if any of its values does.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tendermint::Time;

/// The longest query that is read, in bytes. CometBFT's limit is the same.
const MAX_QUERY_BYTES: usize = 512;

/// Events as composite keys (`type.attribute`) with all their values.
pub(crate) type EventMap = BTreeMap<String, Vec<String>>;

/// Reason why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// The text is longer than CometBFT takes.
    #[error("the query has {0} bytes; the limit is {MAX_QUERY_BYTES}")]
    TooLong(usize),
    /// The text has something else where a part of a query must be.
    #[error("failed to parse query at byte {at}: expected {what}")]
    Expected {
        /// Position in the text, in bytes.
        at: usize,
        /// The part of a query that must be there.
        what: String,
    },
}

/// A parsed event query. Queries with the same conditions are equal, however they are written.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    text: String,
    conditions: Vec<Condition>,
}

/// One condition on one attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Exists,
    Contains(String),
    Equals(String),
    Number(Comparison, Number),
    Time(Comparison, Time),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(i128),
    Decimal(f64),
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        let within = |these: &[Condition], those: &[Condition]| {
            these.iter().all(|condition| those.contains(condition))
        };
        within(&self.conditions, &other.conditions) && within(&other.conditions, &self.conditions)
    }
}

impl Query {
    /// Parses the text of a query.
    ///
    /// # Errors
    /// [`QueryError`], with the position in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(QueryError::TooLong(text.len()));
        }
        let mut parser = Parser { text, at: 0 };
        let mut conditions = vec![parser.condition()?];
        while !parser.at_end() {
            parser.keyword("AND")?;
            let condition = parser.condition()?;
            if !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        Ok(Self { text: text.to_owned(), conditions })
    }

    /// Returns the query as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Returns whether `events` fulfil every condition.
    pub(crate) fn matches(&self, events: &EventMap) -> bool {
        self.conditions.iter().all(|condition| {
            events
                .get(&condition.key)
                .is_some_and(|values| values.iter().any(|value| condition.accepts(value)))
        })
    }
}

impl Condition {
    /// Returns the composite key that the condition is about.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns whether a value fulfils the condition.
    pub(crate) fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Exists => true,
            Test::Contains(part) => value.contains(part),
            Test::Equals(text) => value == text,
            Test::Number(comparison, number) => leading_number(value)
                .and_then(|value| value.compare(*number))
                .is_some_and(|o| comparison.holds(o)),
            Test::Time(comparison, time) => {
                Time::parse_from_rfc3339(value).is_ok_and(|value| comparison.holds(value.cmp(time)))
            }
        }
    }

    /// Returns the text that a value must be equal to, if the condition asks for one.
    pub(crate) fn exact_text(&self) -> Option<&str> {
        match &self.test {
            Test::Equals(text) => Some(text),
            _ => None,
        }
    }
}

impl Condition {
    /// Returns the lowest and the highest integer that fulfil the condition, if it compares with an integer.
    pub(crate) fn integer_bounds(&self) -> Option<(i128, i128)> {
        let Test::Number(comparison, Number::Integer(number)) = &self.test else { return None };
        Some(match comparison {
            Comparison::Equal => (*number, *number),
            Comparison::Less => (i128::MIN, number.saturating_sub(1)),
            Comparison::LessOrEqual => (i128::MIN, *number),
            Comparison::Greater => (number.saturating_add(1), i128::MAX),
            Comparison::GreaterOrEqual => (*number, i128::MAX),
        })
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        text.parse().map(Self::Integer).or_else(|_| text.parse().map(Self::Decimal)).ok()
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(left), Self::Integer(right)) => Some(left.cmp(&right)),
            (left, right) => left.as_decimal().partial_cmp(&right.as_decimal()),
        }
    }

    #[allow(clippy::cast_precision_loss)] // compared with a decimal, which is no more exact
    fn as_decimal(self) -> f64 {
        match self {
            Self::Integer(number) => number as f64,
            Self::Decimal(number) => number,
        }
    }
}

/// Returns the number at the start of an attribute's value: `5` of `5utoken`.
fn leading_number(value: &str) -> Option<Number> {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let digits = unsigned.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    Number::parse(&value[..value.len() - unsigned.len() + digits])
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn condition(&mut self) -> Result<Condition, QueryError> {
        let key = self.word(|c| c.is_alphanumeric() || "._-/".contains(c));
        if key.is_empty() {
            return Err(self.expected("an event key such as tm.event"));
        }
        Ok(Condition { key: key.to_owned(), test: self.test()? })
    }

    fn test(&mut self) -> Result<Test, QueryError> {
        match self.word(|c| c.is_ascii_alphabetic()) {
            "EXISTS" => return Ok(Test::Exists),
            "CONTAINS" => return Ok(Test::Contains(self.quoted()?)),
            "" => {}
            other => {
                self.at -= other.len();
                return Err(self.expected("one of =, <, <=, >, >=, CONTAINS and EXISTS"));
            }
        }
        let comparison = match self.word(|c| "<>=".contains(c)) {
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => {
                self.at -= other.len();
                return Err(self.expected("one of =, <, <=, >, >=, CONTAINS and EXISTS"));
            }
        };
        self.skip_spaces();
        if comparison == Comparison::Equal && self.rest().starts_with('\'') {
            return Ok(Test::Equals(self.quoted()?));
        }
        self.operand(comparison)
    }

    fn operand(&mut self, comparison: Comparison) -> Result<Test, QueryError> {
        let word = self.word(|c| c.is_ascii_alphanumeric() || ".-+:".contains(c));
        let time = match word {
            "TIME" => self.word(|c| c.is_ascii_alphanumeric() || ".-+:".contains(c)).to_owned(),
            "DATE" => format!("{}T00:00:00Z", self.word(|c| c.is_ascii_digit() || c == '-')),
            _ => {
                // Words such as "inf" are decimals to Rust, but not here.
                let number = word
                    .contains(|c: char| c.is_ascii_digit())
                    .then(|| Number::parse(word))
                    .flatten();
                return number.map(|number| Test::Number(comparison, number)).ok_or_else(|| {
                    self.at -= word.len();
                    self.expected("a number, TIME, DATE, or with = a text in single quotes")
                });
            }
        };
        let time = Time::parse_from_rfc3339(&time)
            .map_err(|_| self.expected("a time such as 2025-01-31T12:00:00Z"))?;
        Ok(Test::Time(comparison, time))
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        self.skip_spaces();
        let inner = self
            .rest()
            .strip_prefix('\'')
            .ok_or_else(|| self.expected("a text in single quotes"))?;
        let end = inner
            .find('\'')
            .ok_or_else(|| self.expected("a text that ends with a single quote"))?;
        self.at += end + 2;
        Ok(inner[..end].to_owned())
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), QueryError> {
        let word = self.word(|c| c.is_ascii_alphabetic());
        if word == keyword {
            return Ok(());
        }
        self.at -= word.len();
        Err(self.expected(keyword))
    }

    /// Consumes spaces and then the characters that pass `accept`. The result may be empty.
    fn word(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        self.skip_spaces();
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !accept(c)).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest().is_empty()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&self, what: &str) -> QueryError {
        QueryError::Expected { at: self.at, what: what.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> EventMap {
        let pairs = [
            ("tm.event", vec!["Tx"]),
            ("tx.height", vec!["12"]),
            ("transfer.amount", vec!["3utoken", "70utoken"]),
            ("vat.name", vec!["bank of counters"]),
            ("vat.born", vec!["2025-05-01T10:00:00Z"]),
            ("x.rate", vec!["-1.5"]),
        ];
        pairs
            .map(|(key, values)| (key.to_owned(), values.into_iter().map(str::to_owned).collect()))
            .into()
    }

    #[test]
    fn conditions_accept_what_they_should() {
        let matching = [
            "tm.event='Tx'",
            "tm.event = 'Tx' AND tx.height=12",
            "tx.height >= 12 AND tx.height <= 12",
            "transfer.amount > 60",
            "transfer.amount < 4",
            "vat.name CONTAINS 'of count'",
            "vat.name EXISTS",
            "vat.born > DATE 2025-04-30 AND vat.born <= TIME 2025-05-01T10:00:00Z",
            "x.rate < -1",
            "x.rate = -1.5",
        ];
        for text in matching {
            assert!(Query::parse(text).unwrap().matches(&events()), "{text}");
        }
        let failing = [
            "tm.event='NewBlock'",
            "tm.event='Tx' AND tx.height=13",
            "transfer.amount > 70",
            "vat.name CONTAINS 'Of'",
            "vat.owner EXISTS",
            "vat.name > 5",
            "vat.born > DATE 2025-06-01",
        ];
        for text in failing {
            assert!(!Query::parse(text).unwrap().matches(&events()), "{text}");
        }
    }

    #[test]
    fn queries_with_the_same_conditions_are_equal() {
        let query = |text: &str| Query::parse(text).unwrap();
        let one = query("tm.event = 'Tx' AND tx.height > 5");
        assert_eq!(one, query("tx.height>5   AND tm.event='Tx'  AND tx.height > 5 "));
        assert_eq!(query("tm.event = 'Tx' AND tm.event='Tx'").conditions().len(), 1);
        for other in ["tm.event = 'Tx'", "tm.event = 'Tx' AND tx.height >= 5", "tx.height > 5"] {
            assert_ne!(one, query(other), "{other}");
        }
    }

    #[test]
    fn malformed_queries_say_where_and_what() {
        let cases = [
            ("", "at byte 0: expected an event key"),
            ("malformed query", "at byte 10: expected one of"),
            ("tm.event=Tx", "at byte 9: expected a number"),
            ("tm.event='Tx", "ends with a single quote"),
            ("tm.event='Tx' OR a=1", "at byte 14: expected AND"),
            ("tm.event='Tx' AND", "expected an event key"),
            ("a == 1", "at byte 2: expected one of"),
            ("a < 'x'", "expected a number"),
            ("a = inf", "expected a number"),
            ("a = TIME yesterday", "expected a time"),
            ("a CONTAINS b", "single quotes"),
            ("é=1 AND ü", "expected one of"),
        ];
        for (text, expected) in cases {
            let error = Query::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let long = Query::parse(&"a=1 AND ".repeat(80)).unwrap_err();
        assert!(long.to_string().contains("limit"));
    }
}
