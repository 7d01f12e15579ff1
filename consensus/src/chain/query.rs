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

use super::query_syntax::{date, parse, time};

/// The longest query that is read, in bytes. CometBFT's limit is the same.
const MAX_QUERY_BYTES: usize = 512;

/// Events as composite keys (`type.attribute`) with all their values.
pub(crate) type EventMap = BTreeMap<String, Vec<String>>;

/// Reason why a text is no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// The text is longer than CometBFT takes.
    #[error("maximum query length exceeded")]
    TooLong,
    /// The text is not of the language. The text names the position.
    #[error("{0}")]
    Syntax(String),
}

/// A parsed event query. Queries with the same conditions in the same order are equal, however they are spaced.
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
    /// What follows the operator, without quotes.
    argument: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Exists,
    Contains,
    EqualText,
    Compare(Comparison, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Number(Number),
    Time(Time),
    Date(Time),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Decimal(f64),
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.conditions == other.conditions
    }
}

impl Query {
    /// Parses the text of a query.
    ///
    /// # Errors
    /// [`QueryError`], with the position in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(QueryError::TooLong);
        }
        let conditions = parse(text).map_err(QueryError::Syntax)?;
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
        self.conditions.iter().all(|condition| condition.is_met(events))
    }
}

impl Condition {
    pub(super) fn new(key: String, test: Test, argument: String) -> Self {
        Self { key, test, argument }
    }

    /// Returns the composite key that the condition is about.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns what follows the operator.
    pub(crate) fn argument(&self) -> &str {
        &self.argument
    }

    /// Returns whether the operator is `=`.
    pub(crate) fn is_equality(&self) -> bool {
        matches!(self.test, Test::EqualText | Test::Compare(Comparison::Equal, _))
    }

    /// Returns whether the operator is one of `<`, `<=`, `>`, `>=`.
    pub(crate) fn is_range(&self) -> bool {
        matches!(self.test, Test::Compare(..)) && !self.is_equality()
    }

    fn is_met(&self, events: &EventMap) -> bool {
        if let Some(values) = events.get(&self.key) {
            return values.iter().any(|value| self.accepts(value));
        }
        // A key that is the type of an event stands for an empty value.
        let has_type =
            events.keys().any(|key| key.rsplit_once('.').is_some_and(|(it, _)| it == self.key));
        has_type && self.accepts("")
    }

    /// Returns whether a value of an event fulfils the condition.
    fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Exists => true,
            Test::Contains => value.contains(&self.argument),
            Test::EqualText => value == self.argument,
            Test::Compare(comparison, operand) => {
                let ordering = match operand {
                    Operand::Number(number) => {
                        leading_number(value).and_then(|it| it.compare(*number))
                    }
                    Operand::Time(at) => time(value).ok().map(|value| value.cmp(at)),
                    Operand::Date(at) => date(value).ok().map(|value| value.cmp(at)),
                };
                ordering.is_some_and(|ordering| comparison.holds(ordering))
            }
        }
    }

    /// Returns whether a value in an index fulfils the condition. As in CometBFT, equality is that of texts, ranges are of
    /// whole numbers or decimals, and no time is in a range.
    pub(crate) fn accepts_indexed(&self, value: &str) -> bool {
        match &self.test {
            Test::Exists => true,
            Test::Contains => value.contains(&self.argument),
            Test::EqualText | Test::Compare(Comparison::Equal, _) => value == self.argument,
            Test::Compare(comparison, Operand::Number(number)) => Number::parse(value)
                .and_then(|value| value.compare(*number))
                .is_some_and(|ordering| comparison.holds(ordering)),
            Test::Compare(_, Operand::Time(_) | Operand::Date(_)) => false,
        }
    }

    /// Returns the text that a value in an index must be equal to, if the condition asks for one. Heights are compared as
    /// numbers instead.
    pub(crate) fn exact_text(&self) -> Option<&str> {
        let is_text =
            self.is_equality() && (self.key != "tx.height" || self.integer_bounds().is_none());
        is_text.then_some(self.argument.as_str())
    }

    /// Returns the lowest and the highest integer that fulfil the condition, if it compares with an integer.
    pub(crate) fn integer_bounds(&self) -> Option<(i128, i128)> {
        let Test::Compare(comparison, Operand::Number(Number::Integer(number))) = &self.test else {
            return None;
        };
        Some(match comparison {
            Comparison::Equal => (*number, *number),
            Comparison::Less => (i128::MIN, number.saturating_sub(1)),
            Comparison::LessOrEqual => (i128::MIN, *number),
            Comparison::Greater => (number.saturating_add(1), i128::MAX),
            Comparison::GreaterOrEqual => (*number, i128::MAX),
        })
    }

    /// Returns the height that the argument names, without its decimals.
    #[allow(clippy::cast_possible_truncation)] // as CometBFT does
    pub(crate) fn height(&self) -> Option<i64> {
        match Number::parse(&self.argument)? {
            Number::Integer(number) => i64::try_from(number).ok(),
            Number::Decimal(number) => Some(number as i64),
        }
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
    /// Reads a number. Words such as "inf" are decimals to Rust, but not here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
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

/// Returns the number at the start of an attribute's value: `5` of `5utoken`. As in CometBFT, it has no sign.
fn leading_number(value: &str) -> Option<Number> {
    let count = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = count(value);
    let decimals = value[whole..].strip_prefix('.').map_or(0, count);
    let length = if decimals == 0 { whole } else { whole + 1 + decimals };
    Number::parse(&value[..length])
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
            ("vat.day", vec!["2025-05-01"]),
            ("x.rate", vec!["1.5"]),
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
            "vat.day > DATE 2025-04-30 AND vat.born <= TIME 2025-05-01T10:00:00Z",
            "vat EXISTS",
            "x.rate < 2",
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
        assert_eq!(one, query("tm.event='Tx'   AND tx.height>5 "));
        for other in ["tm.event = 'Tx'", "tm.event = 'Tx' AND tx.height >= 5", "tx.height > 5"] {
            assert_ne!(one, query(other), "{other}");
        }
    }

    #[test]
    fn an_index_compares_as_cometbfts_does() {
        let accepts = |text: &str, value: &str| {
            Query::parse(text).unwrap().conditions()[0].accepts_indexed(value)
        };
        assert!(accepts("a = 5", "5") && !accepts("a = 5", "5.0") && !accepts("a = 5", "5token"));
        assert!(accepts("a > 4.5", "5") && accepts("a < 1", "-3") && !accepts("a > 4", "5token"));
        assert!(!accepts("a > TIME 2025-01-01T00:00:00Z", "2025-05-01T10:00:00Z"));
    }

    #[test]
    fn malformed_queries_say_where_and_what() {
        let cases = [
            ("", "offset 0: EOF"),
            ("malformed query", "offset 10: got tag, wanted <= operator, >= operator, < operator"),
            ("tm.event=Tx", "offset 9: got tag, wanted number, timestamp, datestamp or string"),
            ("tm.event='Tx", "offset 9: EOF"),
            ("tm.event='Tx' OR a=1", "offset 14: got tag, want 6"),
            ("tm.event='Tx' AND", "offset 17: EOF"),
            ("a == 1", "offset 3: got = operator, wanted number"),
            ("a < 'x'", "offset 4: got string, wanted number, timestamp or datestamp"),
            ("a = -1", "offset 4: invalid input - at offset 5"),
            ("a = TIME yesterday", "offset 4: invalid TIME value"),
            ("a CONTAINS b", "offset 11: got tag, wanted string"),
        ];
        for (text, expected) in cases {
            let error = Query::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let long = Query::parse(&"a=1 AND ".repeat(80)).unwrap_err();
        assert_eq!(long, QueryError::TooLong);
    }
}
