use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

/// A method of a service, as its `.proto` file declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Name of the method, as in `VatStats`.
    pub name: &'static str,
    /// Path of the protobuf form, as in `/capstan.v1.Query/VatStats`.
    pub full_path: &'static str,
    /// Path of the JSON form, as in `vats/{vat_id}/stats`. A segment in braces names a [`Field`] of the request.
    pub path: &'static str,
    /// First sentence of the documentation.
    pub about: &'static str,
    /// [`Field`]s of the request, in the order of the `.proto` file.
    pub fields: &'static [Field],
    /// Name of the response's field that is the whole JSON form. If `None`, that form is the response itself.
    pub json_field: Option<&'static str>,
}

/// A field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the `.proto` file, in JSON and as an option of a path.
    pub name: &'static str,
    /// [`FieldKind`] of the value.
    pub kind: FieldKind,
}

/// Type of a request's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A text, `string` in protobuf.
    Text,
    /// A number of 32 bits, `uint32` in protobuf.
    U32,
    /// A number of 64 bits, `uint64` in protobuf.
    U64,
}

/// A request, which determines its [`Method`] and the type of the response.
pub trait Request: Message + Default + DeserializeOwned {
    /// Type of the response.
    type Response: Message + Default + Serialize;
    /// [`Method`] that takes this request.
    const METHOD: &'static Method;
}

/// A response, and the key of the state that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<M> {
    /// Message of the response.
    pub message: M,
    /// Key of the one record that the response shows. Only such a response can be proven.
    pub key: Option<Vec<u8>>,
}

/// A server of methods. It implements [`Handler`] for the [`Request`] of each.
pub trait Server {
    /// Error of every [`Handler`].
    type Error;
}

/// The implementation of one method by a [`Server`].
pub trait Handler<R: Request>: Server {
    /// Handles a request.
    ///
    /// # Errors
    /// The request names nothing that exists, is malformed, or the server fails.
    fn handle(&self, request: R) -> Result<Answer<R::Response>, Self::Error>;
}

/// One call of a [`Method`], in the encoding of its caller: protobuf or JSON.
pub trait Call {
    /// Error of decoding and encoding.
    type Error;
    /// Type of the encoded response.
    type Reply;

    /// Decodes the request.
    ///
    /// # Errors
    /// The request is malformed.
    fn decode<R: Request>(&self) -> Result<R, Self::Error>;

    /// Encodes the response.
    ///
    /// # Errors
    /// The response has no such encoding.
    fn encode<M: Message + Serialize>(&self, answer: Answer<M>)
    -> Result<Self::Reply, Self::Error>;
}

impl Method {
    /// Returns the values of the variables of [`Method::path`] if `segments` are a path of this form.
    ///
    /// ```
    /// let stats = capstan_proto::v1::QUERY_METHODS.iter().find(|method| method.name == "VatStats").unwrap();
    /// let variables = stats.match_path(&["vats", "v7", "stats"]).unwrap();
    /// assert_eq!((variables[0].0.name, variables[0].1), ("vat_id", "v7"));
    /// assert!(stats.match_path(&["vats", "v7"]).is_none());
    /// ```
    pub fn match_path<'a>(&self, segments: &[&'a str]) -> Option<Vec<(&'static Field, &'a str)>> {
        let pattern: Vec<&str> = self.path.split('/').collect();
        if pattern.len() != segments.len() {
            return None;
        }
        let mut variables = Vec::new();
        for (expected, segment) in pattern.iter().zip(segments) {
            match self.variable(expected) {
                Some(field) => variables.push((field, *segment)),
                None if expected == segment => {}
                None => return None,
            }
        }
        Some(variables)
    }

    /// Returns the [`Field`]s of the request that are not part of [`Method::path`].
    pub fn options(&self) -> impl Iterator<Item = &'static Field> {
        let in_path: Vec<_> =
            self.path.split('/').filter_map(|segment| self.variable(segment)).collect();
        self.fields.iter().filter(move |field| !in_path.contains(field))
    }

    fn variable(&self, segment: &str) -> Option<&'static Field> {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        self.fields.iter().find(|field| field.name == name)
    }
}

impl<M> Answer<M> {
    /// Creates a response about the record at `key`.
    pub fn about(message: M, key: Vec<u8>) -> Self {
        Self { message, key: Some(key) }
    }
}

impl<M> From<M> for Answer<M> {
    /// Creates a response that is not about one record.
    fn from(message: M) -> Self {
        Self { message, key: None }
    }
}
