//! The HTTP rules of all methods, as their descriptors declare them.

use capstan_proto::v1::QUERY_METHODS;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MethodDescriptor};

/// Beginning of the paths of `capstan.v1`. The option `path` of a method follows.
const OWN: &str = "/capstan/v1/";
/// End of a segment that takes the whole rest of a path.
const REST: &str = "=**}";

/// A rule: the HTTP method and the path by which a method is called.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) verb: &'static str,
    pub(crate) template: String,
    pub(crate) method: MethodDescriptor,
    /// Whether the body of a request is the whole message.
    pub(crate) has_body: bool,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// The field that the segment sets.
    Field(String),
    /// The field that all further segments set.
    Rest(String),
}

/// A part of a path: the field that it sets, and the text.
pub(crate) type Variable = (String, String);

/// Returns the rules of all methods of `pool`, in the order of their services.
pub(crate) fn all(pool: &DescriptorPool) -> Vec<Rule> {
    let http = pool.get_extension_by_name("google.api.http");
    let mut rules = Vec::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = method.options();
        let name = path_of(&method);
        if let Some(own) = QUERY_METHODS.iter().find(|own| own.full_path == name) {
            rules.push(Rule::new("GET", format!("{OWN}{}", own.path), &method, false));
        }
        let Some(rule) = option(&options, http.as_ref()) else { continue };
        rules.extend(read(&rule, &method));
        let more = rule.get_field_by_name("additional_bindings");
        for binding in more.iter().filter_map(|more| more.as_list()).flatten() {
            rules.extend(binding.as_message().and_then(|rule| read(rule, &method)));
        }
    }
    rules
}

/// Returns the path of a method for gRPC.
fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn option(
    options: &DynamicMessage,
    extension: Option<&ExtensionDescriptor>,
) -> Option<DynamicMessage> {
    let extension = extension.filter(|extension| options.has_extension(extension))?;
    options.get_extension(extension).as_message().cloned()
}

/// Reads one `google.api.HttpRule`.
fn read(rule: &DynamicMessage, method: &MethodDescriptor) -> Option<Rule> {
    let text = |name: &str| {
        let value = rule.get_field_by_name(name)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let has_body = text("body").is_some();
    [("get", "GET"), ("post", "POST")].iter().find_map(|(field, verb)| {
        let path = text(field)?;
        Some(Rule::new(verb, path, method, has_body))
    })
}

impl Rule {
    fn new(
        verb: &'static str,
        template: String,
        method: &MethodDescriptor,
        has_body: bool,
    ) -> Self {
        let segment = |text: &str| match text.strip_prefix('{') {
            None => Segment::Literal(text.to_owned()),
            Some(field) => match field.strip_suffix(REST) {
                Some(field) => Segment::Rest(field.to_owned()),
                None => Segment::Field(field.trim_end_matches('}').to_owned()),
            },
        };
        let segments = template.trim_matches('/').split('/').map(segment).collect();
        Self { verb, template, method: method.clone(), has_body, segments }
    }

    /// Returns the path of the method for gRPC.
    pub(crate) fn path(&self) -> String {
        path_of(&self.method)
    }

    /// Returns the fields that the path sets.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Field(field) | Segment::Rest(field) => Some(field.as_str()),
        })
    }

    /// Returns the number of segments that the path itself names. Of two rules, that with more is the better match.
    fn literals(&self) -> usize {
        self.segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count()
    }

    fn matches(&self, path: &[String]) -> Option<Vec<Variable>> {
        let mut variables = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            if let Segment::Rest(field) = segment {
                let rest = path.get(at..).filter(|rest| !rest.is_empty())?;
                variables.push((field.clone(), rest.join("/")));
                return Some(variables);
            }
            let given = path.get(at).filter(|given| !given.is_empty())?;
            match segment {
                Segment::Literal(text) if text == given => {}
                Segment::Literal(_) => return None,
                Segment::Field(field) | Segment::Rest(field) => {
                    variables.push((field.clone(), given.clone()));
                }
            }
        }
        (path.len() == self.segments.len()).then_some(variables)
    }
}

/// Returns the rule for a request, with the variables of its path. `path` has the decoded segments.
pub(crate) fn find<'a>(
    rules: &'a [Rule],
    verb: &str,
    path: &[String],
) -> Option<(&'a Rule, Vec<Variable>)> {
    rules
        .iter()
        .filter(|rule| rule.verb == verb)
        .filter_map(|rule| rule.matches(path).map(|variables| (rule, variables)))
        .max_by_key(|(rule, _)| rule.literals())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.trim_matches('/').split('/').map(str::to_owned).collect()
    }

    #[test]
    fn paths_find_their_methods_and_the_most_literal_one_wins() {
        let rules = all(&crate::descriptors::pool().unwrap());
        let found = |verb: &str, path: &str| {
            find(&rules, verb, &segments(path)).map(|(rule, variables)| {
                let variables = variables.into_iter().map(|(name, text)| format!("{name}={text}"));
                (rule.path(), variables.collect::<Vec<_>>().join(","))
            })
        };
        for (verb, path, method, variables) in [
            (
                "GET",
                "/cosmos/auth/v1beta1/accounts/x",
                "/cosmos.auth.v1beta1.Query/Account",
                "address=x",
            ),
            ("GET", "/cosmos/tx/v1beta1/txs", "/cosmos.tx.v1beta1.Service/GetTxsEvent", ""),
            ("POST", "/cosmos/tx/v1beta1/txs", "/cosmos.tx.v1beta1.Service/BroadcastTx", ""),
            (
                "GET",
                "/cosmos/base/tendermint/v1beta1/blocks/latest",
                "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock",
                "",
            ),
            (
                "GET",
                "/cosmos/base/tendermint/v1beta1/blocks/7",
                "/cosmos.base.tendermint.v1beta1.Service/GetBlockByHeight",
                "height=7",
            ),
            ("GET", "/capstan/v1/vats/v7/stats", "/capstan.v1.Query/VatStats", "vat_id=v7"),
            (
                "GET",
                "/cosmos/base/node/v1beta1/status",
                "/cosmos.base.node.v1beta1.Service/Status",
                "",
            ),
        ] {
            assert_eq!(
                found(verb, path),
                Some((method.to_owned(), variables.to_owned())),
                "{path}"
            );
        }
        for (verb, path) in
            [("GET", "/"), ("GET", "/capstan/v1/vats/v7/stats/more"), ("POST", "/capstan/v1/vats")]
        {
            assert_eq!(found(verb, path), None, "{verb} {path}");
        }
    }
}
