//! The size of a body as a parser would meet it.

/// The size of a body: its nesting and its number of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Levels of arrays and records: `[method, args]` are two.
    pub depth: u64,
    /// Strings, numbers, arrays, records and the names of their fields.
    pub nodes: u64,
}

impl Shape {
    /// Measures a body in one pass and constant space. For a body that is not JSON the result is an upper bound of
    /// what a parser would meet.
    pub fn measure(body: &str) -> Self {
        let mut shape = Self::default();
        let (mut open, mut in_text, mut escaped, mut in_scalar) = (0_u64, false, false, false);
        for byte in body.bytes() {
            if in_text {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'[' | b'{' => {
                    open += 1;
                    shape.depth = shape.depth.max(open);
                    shape.nodes += 1;
                    in_scalar = false;
                }
                b']' | b'}' => {
                    open = open.saturating_sub(1);
                    in_scalar = false;
                }
                b'"' => {
                    in_text = true;
                    shape.nodes += 1;
                    in_scalar = false;
                }
                b',' | b':' | b'#' | b' ' | b'\n' | b'\r' | b'\t' => in_scalar = false,
                _ => {
                    shape.nodes += u64::from(!in_scalar);
                    in_scalar = true;
                }
            }
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_measured_as_a_parser_would_meet_them() {
        let shape = |body: &str| {
            let Shape { depth, nodes } = Shape::measure(body);
            (depth, nodes)
        };
        assert_eq!(shape(""), (0, 0));
        assert_eq!(shape("#12"), (0, 1));
        assert_eq!(shape(r##"#["m",[1,true,{"a":"[\"{"}]]"##), (3, 8));
        assert_eq!(shape("[[],[],[[]]]"), (3, 5));
        assert_eq!(shape("]]]["), (1, 1));
        assert_eq!(shape(&"[".repeat(1_000_000)), (1_000_000, 1_000_000));
    }
}
