//! The page at `/`, as HTTP shows it. What it does in a browser is tested in one, by `make browser`.

use serde_json::Value;
use ureq::{Body, http::Response};

use crate::common::{Server, json};

/// What a browser says that it takes.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
const FILES: [(&str, &str); 3] = [
    ("playground/page.css", "text/css; charset=utf-8"),
    ("playground/page.js", "text/javascript; charset=utf-8"),
    ("playground/icon.svg", "image/svg+xml"),
];

fn get(server: &Server, path: &str, accept: &str) -> Response<Body> {
    server.agent.get(format!("http://{}/{path}", server.address)).header("accept", accept).call().unwrap()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn page(server: &Server) -> String {
    get(server, "", BROWSER).body_mut().read_to_string().unwrap()
}

#[test]
fn browsers_get_a_page_without_a_key_and_programs_what_they_always_got() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    let found = get(&server, "", BROWSER);
    assert_eq!((found.status().as_u16(), header(&found, "content-type")), (200, "text/html; charset=utf-8"));
    for accept in ["*/*", "application/json", "application/json, text/html;q=0.9"] {
        let mut found = get(&server, "", accept);
        assert_eq!(
            (header(&found, "content-type"), header(&found, "vary")),
            ("application/json", "accept"),
            "{accept}"
        );
        assert_eq!(json(&mut found)["service"], "KubeSentiment", "{accept}");
    }
    // The Hub's clients post to it.
    let refused =
        server.agent.post(format!("http://{}/", server.address)).header("accept", BROWSER).send("{}").unwrap();
    assert_eq!(refused.status(), 401);
    let page = page(&server);
    assert!(page.contains(r#"data-key="asked""#) && !page.contains("s3cret"), "{page}");
    let head = server.agent.head(format!("http://{}/", server.address)).header("accept", BROWSER).call().unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, page.len().to_string().as_str()),
        "HEAD is as GET"
    );
}

#[test]
fn the_page_has_all_of_itself_and_may_ask_only_this_origin_and_those_of_the_settings() {
    let origins = "https://b.example,http://localhost:8001";
    let server = Server::start(&[("MLOPS_PLAYGROUND_ORIGINS", origins)]);
    let mut size = 0;
    for (path, content_type) in [("", "text/html; charset=utf-8")].into_iter().chain(FILES) {
        let mut found = get(&server, path, BROWSER);
        assert_eq!((found.status().as_u16(), header(&found, "content-type")), (200, content_type), "{path}");
        assert_eq!(header(&found, "x-content-type-options"), "nosniff");
        assert_eq!(header(&found, "referrer-policy"), "no-referrer");
        assert_eq!(header(&found, "cache-control"), "no-store");
        assert_eq!(
            header(&found, "content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self' https://b.example http://localhost:8001; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        );
        let content = found.body_mut().read_to_string().unwrap();
        assert!(
            !content.contains("innerHTML") && !content.contains("style=\"") && !content.contains("onclick"),
            "{path}"
        );
        size += content.len();
    }
    assert!(size < 32 << 10, "the page has grown to {size} bytes");

    let page = page(&server);
    let named = page.match_indices("src=\"").chain(page.match_indices("href=\""));
    let mut named: Vec<_> =
        named.map(|(start, opening)| page[start + opening.len()..].split('"').next().unwrap()).collect();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named, ["docs/", "playground/icon.svg", "playground/page.css", "playground/page.js"]);
    assert!(page.contains(r#"data-origins="https://b.example http://localhost:8001""#), "{page}");
    assert!(page.contains(r#"data-api="api/v1""#) && page.contains(r#"data-key="""#), "{page}");
    assert!(!page.contains('{'), "something wasn't filled in: {page}");
    assert_eq!(get(&server, "playground/page.htm", BROWSER).status(), 404);
}

#[test]
fn it_follows_the_prefix_and_the_documentation() {
    let server = Server::start(&[("MLOPS_DEBUG", "true"), ("MLOPS_DOCS_ENABLED", "false")]);
    let page = page(&server);
    assert!(page.contains(r#"data-api="""#), "{page}");
    assert!(page.contains(r#"<a href="docs/" hidden>"#), "{page}");
}

#[test]
fn it_can_be_turned_off_and_is_not_there_without_what_it_asks_nor_on_the_port_of_the_operations_side() {
    let protocols = ("MLOPS_PROTOCOLS", "oip,tei");
    for setting in [("MLOPS_PLAYGROUND_ENABLED", "false"), protocols] {
        let server = Server::start(&[setting]);
        assert_eq!(json(&mut get(&server, "", BROWSER))["service"], "KubeSentiment", "{setting:?}");
        for (path, _) in FILES {
            assert_eq!(get(&server, path, BROWSER).status(), 404, "{setting:?} {path}");
        }
        assert_eq!(contents_of_root(&server), ["application/json"], "{setting:?}");
    }
    let server = Server::start(&[("MLOPS_MANAGEMENT_PORT", "0")]);
    assert_eq!(contents_of_root(&server), ["application/json", "text/html"]);
    let management = |path: &str| {
        server.agent.get(format!("http://{}/{path}", server.management)).header("accept", BROWSER).call().unwrap()
    };
    assert_eq!(json(&mut management(""))["service"], "KubeSentiment");
    assert_eq!(management("playground/page.js").status(), 404);
}

/// What the OpenAPI document says of `/`.
fn contents_of_root(server: &Server) -> Vec<String> {
    let document = json(&mut server.get("/openapi.json"));
    let contents: &Value = &document["paths"]["/"]["get"]["responses"]["200"]["content"];
    contents.as_object().unwrap().keys().cloned().collect()
}
