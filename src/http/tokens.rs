//! Who may see what: tokens of operators, who see everything, and of tenants, who see themselves.
//!
//! A file has the SHA-256 of each token, never the token. Without tokens only this machine may ask.

use crate::model::hex;
use sha2::{Digest, Sha256};

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// With a name, for the log.
    Operator(String),
    Tenant(String),
}

#[derive(Clone, Debug)]
struct Entry {
    hash: String,
    holder: Holder,
}

/// The tokens of a file. Not to be logged.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<Entry>);

const FORM: &str = "write `SHA256 operator NAME` or `SHA256 tenant TENANT`, where SHA256 is what \
                    `printf %s TOKEN | sha256sum` prints";
/// SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;

impl Tokens {
    /// Reads a file's text: a token a line; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Tokens, String> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            entries.push(entry(line).ok_or_else(|| format!("line {number}: {FORM}"))?);
        }
        if entries.is_empty() {
            return Err(format!("has no token: {FORM}"));
        }
        Ok(Tokens(entries))
    }

    /// Whose token this is. The time it takes says nothing about how much of a token is right: hashes are compared, all
    /// of them and to their ends.
    pub fn holder(&self, token: &str) -> Option<&Holder> {
        let hash = hex::encode(&Sha256::digest(token.as_bytes()));
        let mut found = None;
        for entry in &self.0 {
            let differs = entry.hash.bytes().zip(hash.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
            if std::hint::black_box(differs) == 0 {
                found = Some(&entry.holder);
            }
        }
        found
    }
}

fn entry(line: &str) -> Option<Entry> {
    let (hash, rest) = line.split_once(char::is_whitespace)?;
    let (kind, name) = rest.trim_start().split_once(char::is_whitespace)?;
    let (hash, name) = (hash.to_ascii_lowercase(), name.trim().to_owned());
    if hash.len() != HASH_DIGITS || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) || name.is_empty() {
        return None;
    }
    let holder = match kind {
        "operator" => Holder::Operator(name),
        "tenant" => Holder::Tenant(name),
        _ => return None,
    };
    Some(Entry { hash, holder })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn line(token: &str, holder: &str) -> String {
        format!("{} {holder}\n", hex::encode(&Sha256::digest(token.as_bytes())))
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        let text = format!("# ours\n\n{}{}", line("one", "operator on call"), line("two", "tenant acme inc"));
        let tokens = Tokens::parse(&text).expect("tokens");
        assert_eq!(tokens.holder("one"), Some(&Holder::Operator("on call".to_owned())));
        assert_eq!(tokens.holder("two"), Some(&Holder::Tenant("acme inc".to_owned())));
        assert_eq!((tokens.holder("three"), tokens.holder("")), (None, None));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let good = line("one", "operator x");
        for (text, said) in [
            (String::new(), "has no token"),
            (format!("{good}one operator x"), "line 2"),
            (good.replace("operator", "admin"), "line 1"),
            (good.replace(" x", ""), "line 1"),
        ] {
            let error = Tokens::parse(&text).expect_err("an error");
            assert!(error.contains(said) && error.contains("sha256sum"), "{error}");
        }
    }
}
