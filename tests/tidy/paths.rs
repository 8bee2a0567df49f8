//! The paths in a Rust source, with their lines. Only a lexer and a walk of use trees: no types, no macro expansion.

/// A path from the root of the crate, or (not `in_crate`) one that may begin with a library's name.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    pub line: usize,
    pub in_crate: bool,
    pub path: Vec<String>,
}

/// Every path in `source`, the file of module `module`, resolved as far as names allow.
pub fn references(source: &str, module: &[String]) -> Vec<Reference> {
    let tokens = tokens(source);
    let (mut found, mut inline, mut at) = (Vec::new(), Vec::<Option<String>>::new(), 0);
    while at < tokens.len() {
        match tokens[at].text {
            "{" => inline.push(opened_module(&tokens, at)),
            "}" => {
                inline.pop();
            }
            _ if begins_path(&tokens, at) => {
                let here: Vec<String> = module.iter().cloned().chain(inline.iter().flatten().cloned()).collect();
                at = path(&tokens, at, &here, &mut found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The name of the module whose brace is at `at`.
fn opened_module(tokens: &[Token<'_>], at: usize) -> Option<String> {
    (at >= 2 && tokens[at - 2].text == "mod").then(|| tokens[at - 1].text.to_owned())
}

/// An identifier before `::` and not after one, or a library that is imported as a whole.
fn begins_path(tokens: &[Token<'_>], at: usize) -> bool {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let before = |n: usize| at.checked_sub(n).map_or("", text);
    // `>::name` continues a type, `-> ::name` begins with a library.
    let goes_on = is_name(before(2)) || (before(2) == ">" && before(3) != "-");
    let absolute = before(1) == "::" && !goes_on;
    let first = before(1) != "::" || absolute;
    let whole = (before(1) == "use" || before(1) == "crate") && text(at) != "{";
    is_name(text(at)) && first && (text(at + 1) == "::" || whole)
}

/// Walks the path at `at`, adds its paths, and returns its end.
fn path(tokens: &[Token<'_>], at: usize, here: &[String], found: &mut Vec<Reference>) -> usize {
    let (mut base, mut next) = (None, at);
    let up = |n: usize, base: &mut Option<Vec<String>>| {
        let kept = base.take().unwrap_or_else(|| here.to_vec());
        *base = Some(kept[..kept.len().saturating_sub(n)].to_vec());
    };
    loop {
        match tokens.get(next).map_or("", |t| t.text) {
            "crate" | "tailburn" => base = Some(Vec::new()),
            "super" => up(1, &mut base),
            "self" => up(0, &mut base),
            _ => break,
        }
        if tokens.get(next + 1).map(|t| t.text) != Some("::") {
            return next + 1;
        }
        next += 2;
    }
    let in_crate = base.is_some();
    tree(tokens, next, in_crate, &base.unwrap_or_default(), found)
}

/// One branch of a use tree (or a plain path): names joined by `::`, perhaps with branches in braces.
fn tree(tokens: &[Token<'_>], mut at: usize, in_crate: bool, base: &[String], found: &mut Vec<Reference>) -> usize {
    let mut path = base.to_vec();
    let line = tokens.get(at).map_or(0, |t| t.line);
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            return branches(tokens, at + 1, in_crate, &path, found);
        }
        if !is_name(token.text) {
            break;
        }
        // `{self}` is the branch itself.
        if token.text != "self" {
            path.push(token.text.to_owned());
        }
        at += 1;
        if tokens.get(at).map(|t| t.text) != Some("::") {
            break;
        }
        at += 1;
    }
    if !path.is_empty() {
        found.push(Reference { line, in_crate, path });
    }
    at
}

fn branches(tokens: &[Token<'_>], mut at: usize, in_crate: bool, base: &[String], found: &mut Vec<Reference>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "{" => at = branches(tokens, at + 1, in_crate, base, found),
            text if is_name(text) && text != "as" => at = tree(tokens, at, in_crate, base, found),
            _ => at += 1,
        }
    }
    at
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c == '_' || c.is_alphabetic())
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Names, `::` and single other characters; comments, texts, characters and lifetimes are left out.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < source.len() {
        let rest = &source[at..];
        let (len, is_token) = lexeme(rest);
        if is_token {
            found.push(Token { text: &rest[..len], line });
        }
        line += rest[..len].matches('\n').count();
        at += len;
    }
    found
}

/// The length of the lexeme at the start of `rest`, and whether it is a token.
fn lexeme(rest: &str) -> (usize, bool) {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |i| from + i + end.len());
    let first = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), false)
    } else if rest.starts_with("/*") {
        (block_comment(rest), false)
    } else if let Some(hashes) = raw_text(rest) {
        let start = rest.find('"').map_or(rest.len(), |i| i + 1);
        (to(&format!("\"{}", "#".repeat(hashes)), start), false)
    } else if rest.starts_with('"') {
        (quoted(rest, '"'), false)
    } else if let Some(name) = rest.strip_prefix('\'') {
        (character_or_lifetime(rest, name), false)
    } else if rest.starts_with("::") {
        (2, true)
    } else if is_name(rest) {
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        (end, true)
    } else {
        (first, !rest.starts_with(char::is_whitespace))
    }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let tail = &rest.as_bytes()[at..];
        at += match (tail, depth) {
            ([b'/', b'*', ..], _) => {
                depth += 1;
                2
            }
            ([b'*', b'/', ..], 1) => return at + 2,
            ([b'*', b'/', ..], _) => {
                depth -= 1;
                2
            }
            _ => 1,
        };
    }
    rest.len()
}

/// The number of hashes of a raw text at the start of `rest`.
fn raw_text(rest: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| {
        let body = rest.strip_prefix(prefix)?;
        body.starts_with(['"', '#']).then_some(body)
    })?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    body[hashes..].starts_with('"').then_some(hashes)
}

/// The length of a text between `quote`s, escapes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` is a character, `'a` a lifetime.
fn character_or_lifetime(rest: &str, name: &str) -> usize {
    let mut chars = name.chars();
    let (first, second) = (chars.next(), chars.next());
    if first == Some('\\') || second == Some('\'') {
        return quoted(rest, '\'');
    }
    1 + name.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(name.len())
}
