//! Web servers: an archive, or single files.

use std::{collections::BTreeMap, fs, path::Path};

use async_trait::async_trait;
use futures::{StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{self, HeaderName},
};
use percent_encoding::percent_decode_str;
use reqwest::Response;
use url::Url;

use super::{Source, Work};
use crate::{
    archive::Format,
    checks::Checksum,
    client::{self, Ask, Hints, Http, Subject},
    download::{Opened, Part, Remote},
    error::{Failure, FetchError, root_cause},
    names::FileName,
};

const HINTS: Hints = Hints {
    credentials: "check that the Secret of spec.model.source.http.headersSecretRef (--headers) holds the header that it wants, \
                  such as Authorization, and that an address with a signature hasn't expired",
    name: "check spec.model.source.http.url",
    often: "try again later, or set spec.model.cache, so that fewer pods ask",
};

/// Files of web servers.
#[derive(Debug)]
pub struct Web {
    urls: Vec<Url>,
    sha256: Vec<Checksum>,
    headers: HeaderMap,
}

impl Web {
    /// Addresses, the digests of their files in the same order as far as they are known, and a folder of headers.
    pub fn new(urls: &[String], digests: &[String], headers: Option<&Path>) -> Result<Self, FetchError> {
        let urls = urls.iter().map(|url| client::parse("the address", url)).collect::<Result<Vec<_>, _>>()?;
        if digests.len() > urls.len() {
            return Err(FetchError::BadSettings("--sha256 is given more often than there are addresses".to_owned()));
        }
        let sha256 = digests.iter().map(|digest| {
            let digest = digest.to_ascii_lowercase();
            Checksum::parse(&format!("sha256:{}", digest.trim_start_matches("sha256:"))).ok_or_else(|| {
                let problem = "is no SHA-256; write its 64 hexadecimal digits".to_owned();
                FetchError::BadSource { what: "--sha256", given: digest, problem }
            })
        });
        let sha256 = sha256.collect::<Result<_, _>>()?;
        let headers = headers.map(read_headers).transpose()?.unwrap_or_default();
        Ok(Self { urls, sha256, headers })
    }

    fn part(&self, index: usize, url: &Url) -> Part {
        let checks: Vec<Checksum> = self.sha256.get(index).cloned().into_iter().collect();
        let pinned = checks.first().map(Checksum::shown).unwrap_or_default();
        // Without the query: a signature in it is made anew each time.
        Part {
            what: name_of(url),
            identity: format!("web {index} {} {pinned}", client::shown(url)),
            size: None,
            checks,
        }
    }
}

/// A file of a folder is a header by its name, as a Secret is mounted.
fn read_headers(folder: &Path) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    let entries = fs::read_dir(folder).map_err(|problem| FetchError::io(folder, problem))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if file.starts_with('.') || !path.is_file() {
            continue;
        }
        let value = fs::read(&path).map_err(|problem| FetchError::io(&path, problem))?;
        let (name, value) = (HeaderName::try_from(file), HeaderValue::from_bytes(value.trim_ascii()));
        let (Ok(name), Ok(mut value)) = (name, value) else {
            let problem = "can't be a header by its name or its content; correct the key in the Secret".to_owned();
            return Err(FetchError::BadSource { what: "the file of --headers", given: file.to_owned(), problem });
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if headers.is_empty() {
        tracing::warn!(folder = %folder.display(), "--headers names a folder without files, so no header is sent");
    }
    Ok(headers)
}

/// What a file is called, by its address.
fn name_of(url: &Url) -> String {
    let last = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    if name.is_empty() { client::server(url) } else { crate::error::short(&name) }
}

/// Files by what tells them apart.
struct Files<'a> {
    http: &'a Http,
    headers: &'a HeaderMap,
    urls: BTreeMap<String, Url>,
}

#[async_trait]
impl Remote for Files<'_> {
    async fn open(&self, part: &Part, from: u64, validator: Option<&str>) -> Result<Opened, Failure> {
        let Some(url) = self.urls.get(&part.identity) else {
            return Err(FetchError::BadSettings(format!("{} has no address", part.what)).into());
        };
        let ask = Ask { headers: HeaderMap::new(), secret: self.headers.clone() };
        open(self.http, url, ask, &Subject { what: part.what.clone(), hints: HINTS }, from, validator).await
    }
}

#[async_trait]
impl Source for Web {
    fn shown(&self) -> String {
        self.urls.iter().map(client::shown).collect::<Vec<_>>().join(" ")
    }

    async fn fetch(&self, work: &Work) -> Result<String, FetchError> {
        let parts: Vec<Part> = self.urls.iter().enumerate().map(|(index, url)| self.part(index, url)).collect();
        let urls = parts.iter().map(|part| part.identity.clone()).zip(self.urls.iter().cloned()).collect();
        work.downloads.keep(parts.iter())?;
        let remote = Files { http: &work.http, headers: &self.headers, urls };
        let files = work.downloads.fetch(&remote, &parts).await?;
        for ((part, file), url) in parts.iter().zip(&files).zip(&self.urls) {
            work.place(file, &part.what, Path::new(url.path()).file_name().is_some())?;
        }
        Ok(self.shown())
    }
}

impl Work {
    /// Unpacks a file that is an archive, and moves any other into the tree.
    pub(super) fn place(&self, file: &Path, name: &str, is_named: bool) -> Result<(), FetchError> {
        if let Some(format) = Format::of(file, name)? {
            self.unpack(file, format, name, "", false)?;
            return fs::remove_file(file).map_err(|problem| FetchError::io(file, problem));
        }
        let ends_as_archive = [".tar", ".tgz", ".gz", ".zst", ".zip"].iter().any(|ending| name.ends_with(ending));
        match FileName::parse(name.as_bytes()) {
            Ok(name) if is_named && !ends_as_archive => self.put(file, &name),
            _ => {
                let problem = "its content is that of no archive".to_owned();
                Err(FetchError::Damaged { archive: name.to_owned(), problem })
            }
        }
    }
}

/// Asks for a file from a byte on, as RFC 9110 has it.
pub(super) async fn open(
    http: &Http,
    url: &Url,
    ask: Ask,
    subject: &Subject,
    from: u64,
    validator: Option<&str>,
) -> Result<Opened, Failure> {
    let response = http.ask(url, &ranged(ask, from, validator), subject).await?;
    opened(response, subject, from, validator)
}

/// Has a request ask for what is behind a byte, if that is still of the same file.
pub(super) fn ranged(mut ask: Ask, from: u64, validator: Option<&str>) -> Ask {
    // Packed on the way, a file would have other sizes and places in it.
    ask.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if from > 0 {
        if let Ok(range) = HeaderValue::try_from(format!("bytes={from}-")) {
            ask.headers.insert(header::RANGE, range);
        }
        if let Some(Ok(validator)) = validator.map(HeaderValue::from_str) {
            ask.headers.insert(header::IF_RANGE, validator);
        }
    }
    ask
}

/// Reads the head of an answer to such a request.
pub(super) fn opened(
    response: Response,
    subject: &Subject,
    from: u64,
    validator: Option<&str>,
) -> Result<Opened, Failure> {
    let (status, headers) = (response.status(), response.headers());
    let server = client::server(response.url());
    let length = || headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse::<u64>().ok();
    let bad = |problem: &str| {
        let (server, what) = (server.clone(), subject.what.clone());
        FetchError::BadAnswer { server, what, problem: problem.to_owned() }
    };
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], HeaderValue::as_bytes);
    if encoding != b"identity" && status.is_success() {
        return Err(bad("it is packed on the way, though that wasn't asked for").into());
    }
    let (start, size) = match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = headers.get(header::CONTENT_RANGE).and_then(|range| content_range(range.to_str().ok()?));
            range.ok_or_else(|| bad("it doesn't say which part of the file it is"))?
        }
        // Everything is here already: no byte is left to be sent.
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
            let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
            let size = range.and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
            let is_whole = size == Some(from);
            let changed = stream::iter([Err("the file is another than before".to_owned())]);
            let opened = Opened {
                server,
                start: if is_whole { from } else { 0 },
                size,
                validator: validator.map(str::to_owned).filter(|_| is_whole),
                checks: Vec::new(),
                body: if is_whole { stream::empty().boxed() } else { changed.boxed() },
            };
            return Ok(opened);
        }
        status if status.is_success() => (0, length()),
        status => return Err(subject.refused(&server, status, headers)),
    };
    let validator = validator_of(headers);
    let body = response.bytes_stream().map(|bytes| bytes.map_err(|error| root_cause(&error))).boxed();
    Ok(Opened { server, start, size, validator, checks: Vec::new(), body })
}

/// What `If-Range` takes: a strong `ETag`, else a date.
fn validator_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let strong = text(header::ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

/// The first byte and the whole size in `bytes 5-9/10`.
fn content_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = range.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, if size == "*" { None } else { Some(size.parse().ok()?) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_answers() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(content_range("bytes */10"), None);
        assert_eq!(content_range("items 5-9/10"), None);
    }

    #[test]
    fn only_strong_tags_are_compared() {
        let headers = |etag| HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static(etag))]);
        assert_eq!(validator_of(&headers("\"a\"")).as_deref(), Some("\"a\""));
        assert_eq!(validator_of(&headers("W/\"a\"")), None);
    }

    #[test]
    fn names_of_files() {
        let name = |url: &str| name_of(&Url::parse(url).unwrap());
        assert_eq!(name("https://host/a/model%20one.tar.gz?sig=secret"), "model one.tar.gz");
        assert_eq!(name("https://host:8443/?sig=secret"), "host:8443");
    }
}
