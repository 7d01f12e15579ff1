use capstan_abi::CapData;
use capstan_passable::{Malformed, Passable};

use crate::proto;

/// Arguments of a message, or parameters of a vat.
///
/// ```
/// use capstan_client::{Args, Passable};
///
/// let purse = Passable::Reference("ro-51".to_owned());
/// let args = Args::new([purse, Passable::bigint(5)])?;
/// assert_eq!(args, Args::smallcaps(r#"["$0","+5"]"#, vec!["ro-51".into()]));
/// # Ok::<(), capstan_client::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    body: String,
    slots: Vec<String>,
}

impl Args {
    /// Encodes the arguments of a message. References are those of the account's c-list, such as `ro-51`.
    ///
    /// # Errors
    /// [`Malformed`] if a value nests too deep or has a name twice.
    pub fn new(arguments: impl IntoIterator<Item = Passable>) -> Result<Self, Malformed> {
        Self::value(&Passable::Array(arguments.into_iter().collect()))
    }

    /// Encodes one value, such as the record of a vat's parameters.
    ///
    /// # Errors
    /// As [`Args::new`].
    pub fn value(value: &Passable) -> Result<Self, Malformed> {
        let CapData { body, slots } = value.encode()?;
        Ok(Self { body, slots })
    }

    /// Takes plain JSON without references: an array of arguments, or a record of parameters.
    pub fn json(json: impl Into<String>) -> Self {
        Self { body: json.into(), slots: Vec::new() }
    }

    /// Takes smallcaps JSON without the leading `#`. `$0` in it names the first of `slots`.
    pub fn smallcaps(json: &str, slots: Vec<String>) -> Self {
        Self { body: format!("#{json}"), slots }
    }

    pub(crate) fn capdata(&self) -> proto::CapData {
        proto::CapData { body: self.body.clone(), slots: self.slots.clone() }
    }
}
