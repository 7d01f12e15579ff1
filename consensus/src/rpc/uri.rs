//! The parameters of URIs and of forms.

/// Maximum number of parameters that are read. The methods have at most five.
const MAX_PAIRS: usize = 64;

/// Reads `a=1&b=2`. As in Go, a pair with a semicolon or a broken escape is left out.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .take(MAX_PAIRS)
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescaped(name)?, unescaped(value)?))
        })
        .collect()
}

/// Replaces `+` and `%xx`. Returns `None` if an escape is broken.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [char::from(rest.next()?), char::from(rest.next()?)];
                let [high, low] = digits.map(|digit| digit.to_digit(16));
                u8::try_from(high? * 16 + low?).ok()?
            }
            other => other,
        });
    }
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_go_reads_them() {
        let read = |query: &str| -> Vec<String> {
            pairs(query).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(
            read("a=1&b=%22x+y%22&c&d=%zz&e=1;f=2&g=%2&%68=é"),
            ["a=1", "b=\"x y\"", "c=", "h=é"]
        );
        assert_eq!(read("a=%ff"), ["a=\u{fffd}"]);
        assert_eq!(pairs(&"a=1&".repeat(1000)).len(), MAX_PAIRS);
    }
}
