//! The documentation that the server carries.

use serde_json::Value;

use crate::common::{Server, json};

#[test]
fn the_page_and_its_document_need_no_key_and_nothing_from_elsewhere() {
    let server = Server::start(&[("MLOPS_API_KEY", "s3cret")]);
    let get = |path: &str| server.agent.get(format!("http://{}{path}", server.address)).call().unwrap();

    let root = json(&mut get("/"));
    // Followed from /docs to /docs/.
    let mut page = get(root["docs_url"].as_str().unwrap());
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let page = page.body_mut().read_to_string().unwrap();
    let files: Vec<_> = page.match_indices("src=\"").chain(page.match_indices("href=\"")).collect();
    assert_eq!(files.len(), 7, "{page}");
    for (start, opening) in files {
        let file = page[start + opening.len()..].split('"').next().unwrap().trim_start_matches("./");
        assert_eq!(get(&format!("/docs/{file}")).status(), 200, "{file}");
    }
    let script = get("/docs/swagger-initializer.js").body_mut().read_to_string().unwrap();
    assert!(script.contains(r#""url": "../api/v1/openapi.json""#), "{script}");
    assert!(!script.contains("http"), "{script}");

    let mut document = get("/api/v1/openapi.json");
    assert_eq!(document.headers()["content-type"], "application/json");
    let document = json(&mut document);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/api/v1/predict"]["post"].is_object());
    assert_eq!(get("/docs/no-such-file").status(), 404);
}

#[test]
fn the_documentation_is_where_the_prefix_says_and_can_be_turned_off() {
    let mut server = Server::start(&[("MLOPS_DEBUG", "true")]);
    server.prefix = String::new();
    let script = server.get("/docs/swagger-initializer.js").body_mut().read_to_string().unwrap();
    assert!(script.contains(r#""url": "../openapi.json""#), "{script}");
    assert!(json(&mut server.get("/openapi.json"))["paths"]["/predict"].is_object());

    let mut server = Server::start(&[("MLOPS_DOCS_ENABLED", "false")]);
    assert_eq!(server.get("/openapi.json").status(), 404);
    server.prefix = String::new();
    assert_eq!(server.get("/docs").status(), 404);
    assert_eq!(server.get("/docs/").status(), 404);
    assert_eq!(json(&mut server.get("/"))["docs_url"], Value::Null);
}
