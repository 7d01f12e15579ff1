//! Passable values as Rust programs see them.

use capstan_abi::JsString;
use serde_json::Number;

use crate::bigint::BigInt;

/// A passable value whose references are of type `R`.
///
/// Booleans, small integers, floating-point numbers and strings convert with [`From`], and so do vectors of
/// values. [`Self::record`], [`Self::bigint`], [`Self::tagged`] and [`Self::error`] build the others.
///
/// ```
/// use capstan_passable::Passable;
///
/// let value: Passable = Passable::record([("brand", "IST".into()), ("value", Passable::bigint(7))]);
/// assert_eq!(value.field("brand").and_then(Passable::as_str), Some("IST"));
/// assert_eq!(value.encode()?.body, r##"#{"brand":"IST","value":"+7"}"##);
/// # Ok::<(), capstan_passable::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Passable<R = String> {
    /// JavaScript's `undefined`.
    Undefined,
    /// JavaScript's `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite number. Those that JavaScript cannot hold exactly are rounded there.
    Number(Number),
    /// Not a number.
    NaN,
    /// Positive infinity.
    Infinity,
    /// Negative infinity.
    NegativeInfinity,
    /// An integer of any size.
    BigInt(BigInt),
    /// A string.
    String(JsString),
    /// A symbol, by the name that it is registered under, or `@@asyncIterator`.
    Symbol(JsString),
    /// An array.
    Array(Vec<Self>),
    /// A record: names and values in order.
    Record(Vec<(JsString, Self)>),
    /// A tagged value, such as a `copySet`.
    Tagged {
        /// The tag.
        tag: JsString,
        /// The payload.
        payload: Box<Self>,
    },
    /// An error. Its identity in its vat is not kept.
    Error {
        /// The name of its class, such as `TypeError`.
        name: JsString,
        /// The message.
        message: JsString,
    },
    /// A reference to an object or a promise. The interface that it was sent with is not kept.
    Reference(R),
}

impl<R> Passable<R> {
    /// Builds a record from names and values.
    pub fn record<N: Into<JsString>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        Self::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// Builds a bigint, as amounts and times are.
    pub fn bigint(number: impl Into<BigInt>) -> Self {
        Self::BigInt(number.into())
    }

    /// Builds a tagged value.
    pub fn tagged(tag: impl Into<JsString>, payload: Self) -> Self {
        Self::Tagged { tag: tag.into(), payload: Box::new(payload) }
    }

    /// Builds an `Error` with a message.
    pub fn error(message: impl Into<JsString>) -> Self {
        Self::Error { name: "Error".into(), message: message.into() }
    }

    /// Returns the value of a record's field. Returns `None` if this is not a record, or the field is missing.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Record(fields) = self else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Returns the elements of an array, or `None` if this is not an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the text of a string. Returns `None` if this is not a string, or has a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => text.as_str(),
            _ => None,
        }
    }

    /// Returns the bigint, or `None` if this is not one.
    pub fn as_bigint(&self) -> Option<&BigInt> {
        match self {
            Self::BigInt(number) => Some(number),
            _ => None,
        }
    }

    /// Returns the reference, or `None` if this is not one.
    pub fn as_reference(&self) -> Option<&R> {
        match self {
            Self::Reference(reference) => Some(reference),
            _ => None,
        }
    }
}

impl<R> From<bool> for Passable<R> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<R> From<i32> for Passable<R> {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

impl<R> From<u32> for Passable<R> {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl<R> From<f64> for Passable<R> {
    /// Integers are written without a fraction, and `-0.0` as `0`.
    fn from(value: f64) -> Self {
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= MAX_EXACT {
            return Self::Number((value as i64).into());
        }
        match Number::from_f64(value) {
            Some(number) => Self::Number(number),
            None if value.is_nan() => Self::NaN,
            None if value > 0.0 => Self::Infinity,
            None => Self::NegativeInfinity,
        }
    }
}

impl<R> From<&str> for Passable<R> {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl<R> From<String> for Passable<R> {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl<R> From<JsString> for Passable<R> {
    fn from(value: JsString) -> Self {
        Self::String(value)
    }
}

impl<R> From<BigInt> for Passable<R> {
    fn from(value: BigInt) -> Self {
        Self::BigInt(value)
    }
}

impl<R, T: Into<Self>> From<Vec<T>> for Passable<R> {
    fn from(items: Vec<T>) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}
