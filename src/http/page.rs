//! The page: `/` for browsers, its files under `/assets/`, and the text list of paths for everybody else.
//!
//! The files are part of the program and served as they are; nothing is built, and nothing is fetched from elsewhere.
//! One hash of all files stands in their paths. So they may be cached for good, modules find each other by relative
//! paths, and a page never mixes files of two builds.

use super::reply::{self, Reply};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::io::Write as _;
use std::sync::LazyLock;

/// No inline script or style, nothing from another origin, and no page of another origin around this one.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                                connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
/// Where `index.html` names the folder of the other files.
const FOLDER: &str = "{assets}";
const INDEX: &str = include_str!("page/index.html");

/// A file as it is in the folder `page`.
struct Source {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! source {
    ($name:literal, $content_type:expr) => {
        Source { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("page/", $name)) }
    };
}

const SOURCES: &[Source] = &[
    source!("app.js", SCRIPT),
    source!("chart.js", SCRIPT),
    source!("compare.js", SCRIPT),
    source!("data.js", SCRIPT),
    source!("favicon.svg", PICTURE),
    source!("icons.svg", PICTURE),
    source!("overview.js", SCRIPT),
    source!("page.css", STYLE),
    source!("parts.js", SCRIPT),
    source!("processor.js", SCRIPT),
    source!("slo.js", SCRIPT),
    source!("tenant.js", SCRIPT),
    source!("theme.js", SCRIPT),
    source!("users.js", SCRIPT),
    source!("vendor/hooks.mjs", SCRIPT),
    source!("vendor/htm.mjs", SCRIPT),
    source!("vendor/preact.mjs", SCRIPT),
    source!("vendor/uPlot.iife.min.js", SCRIPT),
    source!("vendor/uPlot.min.css", STYLE),
    source!("words.js", SCRIPT),
];

/// A file as it is sent.
struct File {
    name: &'static str,
    content_type: &'static str,
    plain: Vec<u8>,
    /// Smaller; `None` where compression failed.
    packed: Option<Vec<u8>>,
}

/// All files, and the hash that names them.
struct Site {
    hash: String,
    index: File,
    files: Vec<File>,
}

static SITE: LazyLock<Site> = LazyLock::new(Site::new);

impl Site {
    fn new() -> Site {
        let mut hasher = Sha256::new_with_prefix(INDEX);
        for source in SOURCES {
            hasher.update(source.name);
            hasher.update(source.bytes);
        }
        let hash: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let index = INDEX.replace(FOLDER, &format!("/assets/{hash}"));
        let files = SOURCES.iter().map(|s| File::new(s.name, s.content_type, s.bytes.to_vec())).collect();
        Site { index: File::new("index.html", HTML, index.into_bytes()), files, hash }
    }
}

impl File {
    fn new(name: &'static str, content_type: &'static str, plain: Vec<u8>) -> File {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let packed = encoder.write_all(&plain).and_then(|()| encoder.finish()).ok();
        File { name, content_type, plain, packed }
    }

    /// The file, or 304 if the client has it.
    fn reply(&self, request: &HeaderMap, cache: &'static str, hash: &str) -> Reply {
        let tag = format!("W/\"{hash}\"");
        if names(request, header::IF_NONE_MATCH, &tag) {
            let mut reply = reply::with_body(StatusCode::NOT_MODIFIED, self.content_type, Body::empty());
            self.describe(reply.headers_mut(), cache, &tag);
            return reply;
        }
        let packed = self.packed.as_ref().filter(|_| names(request, header::ACCEPT_ENCODING, "gzip"));
        let mut reply = reply::with_body(StatusCode::OK, self.content_type, packed.unwrap_or(&self.plain).clone());
        if packed.is_some() {
            reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        self.describe(reply.headers_mut(), cache, &tag);
        reply
    }

    fn describe(&self, headers: &mut HeaderMap, cache: &'static str, tag: &str) {
        for (name, value) in [
            (header::CACHE_CONTROL, cache),
            (header::VARY, "accept, accept-encoding"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY),
            (header::REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        // Our own hash, which is hex digits.
        if let Ok(tag) = HeaderValue::from_str(tag) {
            headers.insert(header::ETAG, tag);
        }
    }
}

/// Whether a header of a request has `value` in its list.
fn names(request: &HeaderMap, header: HeaderName, value: &str) -> bool {
    let texts = request.get_all(header).into_iter().filter_map(|text| text.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|item| item.split(';').next().is_some_and(|i| i.trim() == value))
}

/// The page's routes; `help` lists the paths, for people without a browser.
pub fn routes<S: Clone + Send + Sync + 'static>(help: &'static str) -> Router<S> {
    let text = move || reply::with_body(StatusCode::OK, reply::TEXT, help);
    Router::new()
        .route(
            "/",
            get(move |request: HeaderMap| async move {
                if names(&request, header::ACCEPT, "text/html") {
                    SITE.index.reply(&request, "no-cache", &SITE.hash)
                } else {
                    text()
                }
            }),
        )
        .route("/help", get(move || async move { text() }))
        .route("/assets/{hash}/{*name}", get(asset))
}

async fn asset(Path((hash, name)): Path<(String, String)>, request: HeaderMap) -> Reply {
    let Some(file) = SITE.files.iter().find(|file| file.name == name) else {
        return reply::error(StatusCode::NOT_FOUND, "the page has no such file");
    };
    // A page of an older build that is still open may ask for one more file: better ours than none, but not to keep.
    let cache = if hash == SITE.hash { "public, max-age=31536000, immutable" } else { "no-cache" };
    file.reply(&request, cache, &SITE.hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn text(name: &str) -> &'static str {
        let source = SOURCES.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name} is not embedded"));
        std::str::from_utf8(source.bytes).expect("UTF-8")
    }

    /// What stands between `before` and the next quote.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split(['"', '\'']).next())
    }

    #[test]
    fn every_file_of_the_folder_is_served_or_a_licence() {
        let mut found = BTreeSet::new();
        for folder in ["", "vendor/"] {
            for entry in std::fs::read_dir(format!("src/http/page/{folder}")).expect("the folder") {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                let is_about = name.ends_with(".LICENSE") || name == "VENDOR.md" || name == "index.html";
                if !is_about && name != "vendor" {
                    found.insert(format!("{folder}{name}"));
                }
            }
        }
        assert_eq!(found, SOURCES.iter().map(|s| s.name.to_owned()).collect());
    }

    #[test]
    fn what_the_page_asks_for_is_served() {
        for name in quoted(INDEX, "\"{assets}/") {
            text(name);
        }
        for source in SOURCES.iter().filter(|s| s.content_type == SCRIPT) {
            let folder = source.name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let script = text(source.name);
            let imports = ["from './", "from\"./", "import('./"].into_iter().flat_map(|before| quoted(script, before));
            for name in imports {
                text(&format!("{folder}{name}"));
            }
        }
    }

    #[test]
    fn nothing_needs_an_unsafe_policy_or_another_host() {
        assert!(!CONTENT_SECURITY.contains("unsafe") && !CONTENT_SECURITY.contains("http"));
        assert!(!INDEX.contains("<style") && !INDEX.contains(" style=") && !INDEX.contains("<script>"));
        for source in SOURCES {
            for never in ["eval(", "new Function", "dangerouslySetInnerHTML ", "sourceMappingURL"] {
                assert!(!text(source.name).contains(never), "{}: {never}", source.name);
            }
        }
    }

    #[test]
    fn all_files_fit_into_150_kilobytes_as_sent() {
        let sent: usize = SITE.files.iter().chain([&SITE.index]).map(|f| f.packed.as_ref().map_or(0, Vec::len)).sum();
        assert!((20_000..150_000).contains(&sent), "{sent} bytes");
    }
}
