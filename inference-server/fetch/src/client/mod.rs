//! One way to ask servers: whom we trust, which addresses are refused, where secrets may go.

mod addresses;
mod roots;

use std::{borrow::Cow, error::Error, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use object_store::client::{HttpError, HttpErrorKind};
use reqwest::{Client, Response, redirect};
use url::Url;

pub use addresses::Identity;
use addresses::{Guarded, Open, is_refused};

use crate::error::{Failure, FetchError, root_cause, short};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// Time to connect, TLS and proxy included.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Time to connect to a service of the node itself, which is there at once or never.
const IDENTITY_WITHIN: Duration = Duration::from_secs(5);

/// Time until an answer begins.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// Longest answer that isn't a file: manifests, listings, tokens.
const LONGEST_TEXT: usize = 32 << 20;

/// What a source says where its server refuses.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// Behind 401 and 403.
    pub credentials: &'static str,
    /// Behind 404.
    pub name: &'static str,
    /// Behind 429.
    pub often: &'static str,
}

/// What is asked for, as sentences name it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The file or thing.
    pub what: String,
    /// What to look at where it is refused.
    pub hints: Hints,
}

impl Subject {
    /// The failure that an answer's status stands for.
    #[must_use]
    pub fn refused(&self, server: &str, status: StatusCode, headers: &HeaderMap) -> Failure {
        let (server, what, hints) = (server.to_owned(), self.what.clone(), self.hints);
        let error = match status {
            StatusCode::UNAUTHORIZED => FetchError::Unauthorized { server, what, hint: hints.credentials },
            StatusCode::FORBIDDEN => FetchError::Forbidden { server, what, hint: hints.credentials },
            StatusCode::NOT_FOUND | StatusCode::GONE => FetchError::NotFound { server, what, hint: hints.name },
            StatusCode::TOO_MANY_REQUESTS => FetchError::TooManyRequests { server, what, hint: hints.often },
            status => FetchError::Status { server, what, status: status.as_u16() },
        };
        Failure { error, is_transient: is_transient(status), retry_after: retry_after(headers) }
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS)
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

/// Seconds; a date, which the header may also be, is as good as none: our own back-off does then.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A request as it is repeated behind each redirect.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// Sent to everyone.
    pub headers: HeaderMap,
    /// Sent to the server that is named, and to no other that it leads to.
    pub secret: HeaderMap,
}

impl Ask {
    /// One with an `Authorization` header.
    #[must_use]
    pub fn authorized(authorization: Option<HeaderValue>) -> Self {
        let mut secret = HeaderMap::new();
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            secret.insert(header::AUTHORIZATION, authorization);
        }
        Self { headers: HeaderMap::new(), secret }
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
}

/// Asks servers.
#[derive(Clone, Debug)]
pub struct Http {
    guarded: Client,
    /// For what an identity of the pod needs.
    open: Client,
}

impl Http {
    /// Reads the authorities and proxies that the environment names.
    pub fn new() -> Result<Self, FetchError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| FetchError::BadSettings(format!("TLS can't be used: {error}")))?
            .with_root_certificates(roots::read()?)
            .with_no_client_auth();
        let builder = || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                // Redirects are followed here, where secrets are left out behind them.
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(CONNECT_WITHIN)
                .user_agent(concat!("model-fetch/", env!("CARGO_PKG_VERSION")))
        };
        let failed = |error: reqwest::Error| FetchError::BadSettings(format!("no HTTP client: {}", root_cause(&error)));
        Ok(Self {
            guarded: builder().dns_resolver(Guarded).build().map_err(failed)?,
            // Never through a proxy: identities are of this node.
            open: builder().dns_resolver(Open).no_proxy().connect_timeout(IDENTITY_WITHIN).build().map_err(failed)?,
        })
    }

    /// Asks for a file or a text, and follows redirects. Every status but a success is a failure.
    pub async fn get(&self, url: &Url, ask: &Ask, subject: &Subject) -> Result<Response, Failure> {
        let response = self.ask(url, ask, subject).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(subject.refused(&server(response.url()), status, response.headers()))
    }

    /// Asks, follows redirects, and gives whatever is answered then.
    pub async fn ask(&self, url: &Url, ask: &Ask, subject: &Subject) -> Result<Response, Failure> {
        let mut url = url.clone();
        let mut secret = Some(&ask.secret);
        for _ in 0..=MOST_REDIRECTS {
            let mut headers = ask.headers.clone();
            if let Some(secret) = secret {
                headers.extend(secret.clone());
            }
            let request = self.guarded.request(Method::GET, url.clone()).headers(headers);
            let response = self.send(&url, request, subject).await?;
            let Some(next) = location(&response) else { return Ok(response) };
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(FetchError::Downgrade { from: server(&url), to: server(&next) }.into());
            }
            if url.origin() != next.origin() {
                secret = None;
            }
            tracing::debug!(from = server(&url), to = server(&next), "redirected");
            url = next;
        }
        Err(FetchError::TooManyRedirects(server(&url)).into())
    }

    /// Sends a form, which a server of tokens wants, and gives whatever is answered.
    pub async fn post_form(&self, url: &Url, form: String, subject: &Subject) -> Result<Response, Failure> {
        let request = self
            .guarded
            .request(Method::POST, url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        self.send(url, request, subject).await
    }

    async fn send(&self, url: &Url, request: reqwest::RequestBuilder, subject: &Subject) -> Result<Response, Failure> {
        refuse_link_local(url)?;
        match tokio::time::timeout(ANSWER_WITHIN, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure(&error, &server(url), subject)),
            Err(_) => {
                let problem = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
                Err(Failure::transient(FetchError::Unreachable { server: server(url), problem }))
            }
        }
    }

    /// Sends what `object_store` has made. Only requests that its identity needs may go to link-local addresses.
    pub(crate) async fn execute(&self, request: reqwest::Request, identity: &Identity) -> Result<Response, HttpError> {
        let client = if identity.needs(request.method(), request.url()) {
            &self.open
        } else {
            refuse_link_local(request.url()).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            &self.guarded
        };
        let response = tokio::time::timeout(ANSWER_WITHIN, client.execute(request)).await;
        let response = response.map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, elapsed))?;
        response.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error.without_url()))
    }
}

/// Refuses an address that is written as a number: no resolver sees it.
pub fn refuse_link_local(url: &Url) -> Result<(), FetchError> {
    let is_refused = match url.host() {
        Some(url::Host::Ipv4(address)) => is_refused(address.into()),
        Some(url::Host::Ipv6(address)) => is_refused(address.into()),
        _ => false,
    };
    if is_refused { Err(FetchError::LinkLocal(server(url))) } else { Ok(()) }
}

/// Where an answer leads to.
fn location(response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    response.url().join(location).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// The failure that no answer stands for.
pub fn failure(error: &(dyn Error + 'static), server: &str, subject: &Subject) -> Failure {
    for cause in causes(error) {
        if cause.is::<addresses::LinkLocal>() || matches!(cause.downcast_ref(), Some(FetchError::LinkLocal(_))) {
            return FetchError::LinkLocal(server.to_owned()).into();
        }
        if let Some(rustls::Error::InvalidCertificate(problem)) = cause.downcast_ref() {
            let problem = short(&format!("{problem:?}"));
            return FetchError::Untrusted { server: server.to_owned(), problem }.into();
        }
    }
    tracing::debug!(server, what = subject.what, "no answer");
    Failure::transient(FetchError::Unreachable { server: server.to_owned(), problem: root_cause(error) })
}

/// An error and what it comes from. One of input and output doesn't tell what is inside it as its source.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        let inside: Option<&'a (dyn Error + Send + Sync + 'static)> = match cause.downcast_ref::<std::io::Error>() {
            Some(cause) => cause.get_ref(),
            None => None,
        };
        match inside {
            Some(inside) => Some(inside),
            None => cause.source(),
        }
    })
}

/// The whole of an answer that isn't a file.
pub async fn text(mut response: Response, subject: &Subject) -> Result<Vec<u8>, Failure> {
    let server = server(response.url());
    let mut text = Vec::new();
    loop {
        let chunk = tokio::time::timeout(ANSWER_WITHIN, response.chunk()).await;
        let problem = match chunk {
            Ok(Ok(Some(chunk))) => {
                text.extend_from_slice(&chunk);
                if text.len() > LONGEST_TEXT {
                    let problem = "it is far too long".to_owned();
                    return Err(FetchError::BadAnswer { server, what: subject.what.clone(), problem }.into());
                }
                continue;
            }
            Ok(Ok(None)) => return Ok(text),
            Ok(Err(error)) => root_cause(&error),
            Err(_) => format!("nothing for {} s", ANSWER_WITHIN.as_secs()),
        };
        let (what, at) = (subject.what.clone(), text.len() as u64);
        return Err(Failure::transient(FetchError::Cut { server, what, at, problem }));
    }
}

/// The whole of an answer, read as JSON.
pub async fn json<T: serde::de::DeserializeOwned>(response: Response, subject: &Subject) -> Result<T, Failure> {
    let server = server(response.url());
    let text = text(response, subject).await?;
    serde_json::from_slice(&text).map_err(|error| {
        let problem = short(&error.to_string());
        FetchError::BadAnswer { server, what: subject.what.clone(), problem }.into()
    })
}

/// A server as sentences name it: without user, password, path and query.
#[must_use]
pub fn server(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address as sentences name it: without user, password and query, which may be secrets.
#[must_use]
pub fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), server(url), url.path())
}

/// A text of others without users, passwords and queries of the addresses in it.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        let end = address
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')'))
            .unwrap_or(address.len());
        let (address, after) = address.split_at(end);
        let host_end = address.find(['/', '?', '#']).unwrap_or(address.len());
        let user = address[..host_end].rfind('@').map_or(0, |at| at + 1);
        let address = &address[user..];
        let address = address.find('?').map_or(Cow::Borrowed(address), |at| format!("{}?…", &address[..at]).into());
        shown.push_str(before);
        shown.push_str(&address);
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// Reads an address that a person wrote.
pub fn parse(what: &'static str, text: &str) -> Result<Url, FetchError> {
    let bad = |problem: &str| FetchError::BadSource { what, given: masked(text), problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|error| bad(&format!("is no address ({error}); write https://HOST/PATH")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(bad("isn't of the web; write https://HOST/PATH"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        let text = "error for url (https://me:secret@host:8443/a/b?X-Amz-Signature=abc&b=c) and http://host/?q";
        assert_eq!(masked(text), "error for url (https://host:8443/a/b?…) and http://host/?…");
        assert_eq!(masked("plain"), "plain");
        let url = Url::parse("https://me:secret@host:8443/a/b?sig=abc#f").unwrap();
        assert_eq!(shown(&url), "https://host:8443/a/b");
    }

    #[test]
    fn link_local_addresses_are_refused_however_they_are_written() {
        for url in [
            "http://169.254.169.254/latest",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
        ] {
            assert!(refuse_link_local(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1/", "http://10.0.0.1/", "http://[fd00::1]/", "http://example.com/"] {
            assert!(refuse_link_local(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }
}
