//! Just enough of Rust's grammar to find functions and their length.

/// A function with a body.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: String,
    /// Where `fn` stands, from 1.
    pub line: usize,
    /// From `fn` to the closing brace, both counted.
    pub lines: usize,
}

/// Every function of a file, nested ones included.
pub fn functions(source: &str) -> Vec<Function> {
    let code = without_text(source);
    let starts = code.match_indices("fn ").map(|(start, _)| start);
    let starts =
        starts.filter(|&start| !code[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_'));
    starts.filter_map(|start| function_at(&code, start)).collect()
}

fn function_at(code: &str, start: usize) -> Option<Function> {
    let signature = &code[start + 3..];
    let name: String = signature.chars().take_while(|&letter| letter.is_alphanumeric() || letter == '_').collect();
    let body = body_length(signature)?;
    let line = code[..start].matches('\n').count() + 1;
    let lines = signature[..body].matches('\n').count() + 1;
    (!name.is_empty()).then_some(Function { name, line, lines })
}

/// Up to and with the brace that closes the body; none for a function that is only declared.
/// A `;` within brackets belongs to an array's type.
fn body_length(signature: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0, 0);
    for (index, letter) in signature.char_indices() {
        match letter {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(index + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// The source with comments, strings and characters blanked, lines kept.
fn without_text(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let after_name = code.ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let text = text_length(rest, after_name);
        let (taken, left) = rest.split_at(text.unwrap_or(first.len_utf8()));
        match text {
            Some(_) => code.extend(taken.chars().map(|letter| if letter == '\n' { '\n' } else { ' ' })),
            None => code.push(first),
        }
        rest = left;
    }
    code
}

/// How long the comment, string or character is that begins here, if one does.
fn text_length(rest: &str, after_name: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment_length(rest));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    if after_name { None } else { raw_length(rest) }
}

/// Comments nest.
fn comment_length(rest: &str) -> usize {
    let (mut depth, mut length) = (0, 0);
    while length < rest.len() {
        let here = &rest.as_bytes()[length..];
        if here.starts_with(b"/*") || here.starts_with(b"*/") {
            depth += if here[0] == b'/' { 1 } else { -1 };
            length += 2;
            if depth == 0 {
                return length;
            }
        } else {
            length += 1;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = true; // the opening quote
    for (index, letter) in rest.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// None for a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut letters = rest.chars().skip(1);
    match (letters.next()?, letters.next()?) {
        ('\\', _) => Some(quoted_length(rest, '\'')),
        (letter, '\'') => Some(letter.len_utf8() + 2),
        _ => None,
    }
}

/// `r"…"`, `r#"…"#` and so on, also after a `b` or a `c`.
fn raw_length(rest: &str) -> Option<usize> {
    let marked = rest.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = marked.len() - marked.trim_start_matches('#').len();
    let body = marked[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body_length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(rest.len() - body.len() + body_length)
}

#[test]
fn functions_are_found_with_their_length() {
    let source = r##"
pub fn first<'a>(text: &'a str) -> [u8; 2] {
    let brace = ['}', '\'', '"'];
    let fake = "fn fake() { \" }"; // fn fake() {
    /* fn fake() { /* } */ */
    let raw = r#"fn fake() { " }"#;
    fn nested() {
    }
}
trait Declared { fn only(&self) -> [u8; 2]; }
type Pointer = fn (u8) -> u8;
"##;
    let found: Vec<_> = functions(source).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("first".to_owned(), 2, 8), ("nested".to_owned(), 7, 2)]);
}
