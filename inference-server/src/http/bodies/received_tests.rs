use std::thread::{self, ThreadId};

use axum::http::HeaderValue;
use futures::stream;

use super::*;
use crate::config::{Config, Environment};

const MOST: usize = 256 * 1024;

fn app() -> App {
    App::new(Config::read(&Environment::new()).unwrap())
}

fn request(content_type: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    request
}

async fn read(request: Request) -> Result<(String, ThreadId), ApiError> {
    let received = Received::<MOST>::from_request(request, &()).await?;
    received.read(&app(), |text| Ok((text.to_owned(), thread::current().id()))).await
}

async fn refused(request: Request) -> String {
    read(request).await.unwrap_err().to_string()
}

#[tokio::test]
async fn small_bodies_are_read_at_once_and_large_or_packed_ones_elsewhere() {
    let here = thread::current().id();
    let of = |length: usize| Request::new(Body::from(" ".repeat(length)));
    assert_eq!(read(of(LARGEST_READ_AT_ONCE)).await.unwrap().1, here);
    let (text, elsewhere) = read(of(LARGEST_READ_AT_ONCE + 1)).await.unwrap();
    assert_eq!((text.len(), elsewhere != here), (LARGEST_READ_AT_ONCE + 1, true));
    let mut packed = Request::new(Body::from(&b"\x07"[..]));
    packed.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    let error = refused(packed).await;
    assert_eq!(error, "the body is not br: it ends too early");
}

#[tokio::test]
async fn parts_of_any_size_become_one_piece() {
    for (count, part) in [(1, "a fine day"), (10_000, "a"), (300, "a fine day ")] {
        let parts = stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(part)));
        let text = read(Request::new(Body::from_stream(parts))).await.unwrap().0;
        assert_eq!(text, part.repeat(count));
    }
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>("part"));
    assert_eq!(
        refused(Request::new(Body::from_stream(endless))).await,
        format!("the body is larger than {MOST} bytes")
    );
    let whole = Body::from(vec![b' '; MOST + 1]);
    assert_eq!(refused(Request::new(whole)).await, format!("the body is larger than {MOST} bytes"));
}

#[tokio::test]
async fn a_piece_has_no_more_room_than_can_come() {
    let parts = stream::iter((0..20).map(|_| Ok::<_, std::io::Error>("a".repeat(13_107))));
    let bytes = collect(Body::from_stream(parts), MOST).await.unwrap();
    assert_eq!(bytes.len(), 262_140);
    let room = Vec::from(bytes).capacity();
    assert!(room <= MOST, "{room} bytes of room");
}

#[tokio::test]
async fn a_form_is_told_that_json_is_wanted_and_json_is_taken_under_its_type() {
    let form = "application/x-www-form-urlencoded";
    assert!(read(request(form, r#" {"text":"a"}"#)).await.is_ok());
    let error = refused(request(form, "text=a+fine+day")).await;
    assert!(error.starts_with("the body is a form (application/x-www-form-urlencoded), and JSON is wanted"), "{error}");
    let error = refused(request("Multipart/Form-Data; boundary=x", "--x\r\n")).await;
    assert!(error.starts_with("the body is a form (multipart/form-data), and JSON is wanted"), "{error}");
    assert!(read(request("text/plain", "text=a")).await.is_ok(), "what is no JSON says so itself");
}

#[tokio::test]
async fn a_character_set_that_is_not_read_is_named() {
    for charset in ["utf-8", "UTF-8", "\"utf-8\"", "us-ascii", "utf-16"] {
        assert!(read(request(&format!("application/json; charset={charset}"), "{}")).await.is_ok(), "{charset}");
    }
    let error = refused(request("application/json; Charset=iso-8859-1", "{}")).await;
    assert_eq!(error, "the charset \"iso-8859-1\" isn't read; UTF-8, UTF-16 and UTF-32 are read");
    let long = refused(request(&format!("text/plain; charset={}", "x".repeat(9000)), "{}")).await;
    assert!(long.len() < 200, "{long}");
}
