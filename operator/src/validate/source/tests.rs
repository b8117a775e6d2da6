#![expect(clippy::needless_pass_by_value, reason = "a case reads best with its value in place")]

use serde_json::{Value, json};

use super::*;
use crate::{
    fixtures::{default_image, service},
    validate::{Cloud, ModelHosts, validate},
};

fn check(model: &Value) -> Result<(Source, Option<String>), Invalid> {
    validate(&service(json!({ "model": model })), &default_image()).map(|valid| (valid.source, valid.digest))
}

fn source(source: Value) -> Source {
    let model = json!({ "source": source });
    check(&model).unwrap_or_else(|error| panic!("{model}: {error}")).0
}

fn refused(model: &Value) -> String {
    check(model).unwrap_err().to_string()
}

#[test]
fn without_a_source_it_is_the_images_own() {
    assert_eq!(check(&json!({})).unwrap(), (Source::Builtin, None));
    assert_eq!(source(json!({"builtin": {}})), Source::Builtin);
}

#[test]
fn each_source_is_told_in_the_status() {
    for (given, told) in [
        (json!({"builtin": {}}), "builtin"),
        (json!({"image": {"reference": "registry.example.com/m:1"}}), "image registry.example.com/m:1"),
        (json!({"image": {"reference": "m", "path": "a/b/"}}), "image m /a/b"),
        (json!({"persistentVolumeClaim": {"claimName": "models", "path": "en"}}), "persistentVolumeClaim models/en"),
        (json!({"huggingFace": {"repository": "a/b"}}), "huggingFace a/b@main"),
        (json!({"huggingFace": {"repository": "a/b", "revision": "refs/pr/1"}}), "huggingFace a/b@refs/pr/1"),
        (json!({"s3": {"bucket": "models", "path": "reviews/3"}}), "s3 models/reviews/3"),
        (json!({"gcs": {"bucket": "models"}}), "gcs models"),
        (json!({"azureBlob": {"account": "acc", "container": "models", "path": "a"}}), "azureBlob acc/models/a"),
        (
            json!({"http": {"url": "https://models.example.com/m.zip?key=word"}}),
            "http https://models.example.com/m.zip",
        ),
    ] {
        assert_eq!(source(given).to_string(), told);
    }
}

#[test]
fn each_source_names_the_server_that_is_asked() {
    let host = |given| source(given).host().map(|host| format!("{}:{}", host.name, host.port));
    for (given, name) in [
        (json!({"image": {"reference": "registry.example.com/a/b@sha256:0"}}), "registry.example.com:443"),
        (json!({"image": {"reference": "Registry:5000/a:1"}}), "registry:5000"),
        (json!({"image": {"reference": "localhost/a"}}), "localhost:443"),
        (json!({"image": {"reference": "team/a:1"}}), "docker.io:443"),
        (json!({"image": {"reference": "a:1"}}), "docker.io:443"),
        (json!({"huggingFace": {"repository": "a/b"}}), "huggingface.co:443"),
        (json!({"huggingFace": {"repository": "a", "endpoint": "http://Hub:8080/api"}}), "hub:8080"),
        (json!({"s3": {"bucket": "abc", "region": "eu-central-1"}}), "s3.eu-central-1.amazonaws.com:443"),
        (json!({"s3": {"bucket": "abc"}}), "s3.us-east-1.amazonaws.com:443"),
        (json!({"s3": {"bucket": "abc", "endpoint": "http://[2001:db8::1]:9000"}}), "2001:db8::1:9000"),
        (json!({"gcs": {"bucket": "abc"}}), "storage.googleapis.com:443"),
        (json!({"azureBlob": {"account": "acc", "container": "abc"}}), "acc.blob.core.windows.net:443"),
        (json!({"http": {"url": "http://models.example.com/m.zip"}}), "models.example.com:80"),
    ] {
        assert_eq!(host(given).as_deref(), Some(name));
    }
    assert_eq!(host(json!({"builtin": {}})), None);
    assert_eq!(host(json!({"persistentVolumeClaim": {"claimName": "a"}})), None);
}

#[test]
fn a_source_without_a_secret_shows_the_pods_identity() {
    let identity = |given| match source(given) {
        Source::Fetched(fetch) => fetch.origin.identity(),
        other => panic!("{other} isn't fetched"),
    };
    assert_eq!(identity(json!({"s3": {"bucket": "abc"}})), Some(Cloud::Aws));
    assert_eq!(identity(json!({"gcs": {"bucket": "abc"}})), Some(Cloud::Google));
    assert_eq!(identity(json!({"azureBlob": {"account": "acc", "container": "abc"}})), Some(Cloud::Azure));
    let secret = json!({"name": "credentials"});
    assert_eq!(identity(json!({"s3": {"bucket": "abc", "credentialsSecretRef": secret}})), None);
    assert_eq!(identity(json!({"gcs": {"bucket": "abc", "credentialsSecretRef": secret}})), None);
    assert_eq!(identity(json!({"huggingFace": {"repository": "a"}})), None);
    assert_eq!(identity(json!({"http": {"url": "http://a/b"}})), None);
}

#[test]
fn keys_of_secrets_have_defaults() {
    let Source::Fetched(hub) = source(json!({"huggingFace": {"repository": "a", "tokenSecretRef": {"name": "hub"}}}))
    else {
        panic!("it is fetched")
    };
    let Origin::HuggingFace { token, .. } = hub.origin else { panic!("it is of the hub") };
    assert_eq!(token.unwrap(), SecretKey { name: "hub".to_owned(), key: "token".to_owned() });
}

#[test]
fn a_cache_is_a_claim_of_the_users_or_one_that_is_made() {
    let cache = |cache: Value| {
        let model = json!({"source": {"s3": {"bucket": "abc"}}, "cache": cache});
        match check(&model).unwrap().0 {
            Source::Fetched(fetch) => fetch.cache,
            other => panic!("{other} isn't fetched"),
        }
    };
    assert_eq!(cache(json!({"claimName": "models"})), ModelCache::Claim("models".to_owned()));
    let made = |class: Option<&str>, mode| ModelCache::Made {
        size: Quantity::new("2Gi"),
        class: class.map(str::to_owned),
        mode,
    };
    assert_eq!(cache(json!({"size": "2Gi"})), made(None, AccessMode::ReadWriteMany));
    let all = json!({"size": "2Gi", "storageClassName": "fast", "accessMode": "ReadWriteOnce"});
    assert_eq!(cache(all), made(Some("fast"), AccessMode::ReadWriteOnce));
}

#[test]
fn what_leads_to_the_secrets_of_a_node_is_refused() {
    for endpoint in [
        "http://169.254.169.254",
        "http://169.254.170.2:80/x",
        "http://[fe80::1]",
        "http://[::ffff:169.254.169.254]:80",
        "http://[fd00:ec2::254]",
        "http://[FD00:EC2::23]",
    ] {
        let said = refused(&json!({"source": {"s3": {"bucket": "abc", "endpoint": endpoint}}}));
        assert!(
            said.ends_with("at which nodes and clouds hand out credentials: name a server that has models"),
            "{said}"
        );
        let url = format!("{endpoint}/m.zip");
        assert!(refused(&json!({"source": {"http": {"url": url}}})).contains("hand out credentials"));
    }
    let said = refused(&json!({"source": {"image": {"reference": "169.254.169.254:80/m"}}}));
    assert!(said.starts_with("spec.model.source names 169.254.169.254, an address"), "{said}");
    source(json!({"s3": {"bucket": "abc", "endpoint": "http://10.0.0.1:9000"}}));
}

#[test]
fn the_operators_settings_say_where_models_come_from() {
    let hosts = ModelHosts::new(&["*.example.com".to_owned(), "registry:5000".to_owned()]).unwrap();
    let allowed = |given| hosts.check(&source(given)).map_err(|error| error.to_string());
    assert_eq!(allowed(json!({"builtin": {}})), Ok(()));
    assert_eq!(allowed(json!({"persistentVolumeClaim": {"claimName": "a"}})), Ok(()));
    assert_eq!(allowed(json!({"http": {"url": "https://models.example.com/m.zip"}})), Ok(()));
    assert_eq!(allowed(json!({"image": {"reference": "registry:5000/m"}})), Ok(()));
    assert_eq!(
        allowed(json!({"huggingFace": {"repository": "a/b"}})).unwrap_err(),
        "spec.model.source names huggingface.co, and this operator lets models come from *.example.com, registry:5000 \
         only: use one of these, or have it added to the operator's --model-hosts"
    );
    assert!(allowed(json!({"image": {"reference": "registry:5001/m"}})).unwrap_err().contains("names registry:5001,"));
    assert!(allowed(json!({"s3": {"bucket": "abc", "endpoint": "http://minio:9000"}})).is_err());
    assert_eq!(ModelHosts::default().check(&source(json!({"huggingFace": {"repository": "a/b"}}))), Ok(()), "any");
}

#[test]
fn what_can_not_be_fetched_is_refused_with_a_sentence() {
    let path = "write letters, digits and '/', and begin each part with a letter, a digit or '_'";
    let exactly_one = "spec.model.source: set exactly one source: builtin: {}, image, persistentVolumeClaim, huggingFace, s3, gcs, azureBlob or http";
    let cached = |cache: Value| json!({"source": {"s3": {"bucket": "abc"}}, "cache": cache});
    for (model, sentence) in [
        (json!({"source": {}}), exactly_one.to_owned()),
        (json!({"source": {"builtin": {}, "image": {"reference": "a"}}}), exactly_one.to_owned()),
        (json!({"source": {"s3": {"bucket": "abc"}, "gcs": {"bucket": "abc"}}}), exactly_one.to_owned()),
        (
            json!({"source": {"persistentVolumeClaim": {"claimName": "a", "path": "../b"}}}),
            format!("spec.model.source.persistentVolumeClaim.path \"../b\" can't be used: {path}"),
        ),
        (
            json!({"source": {"image": {"reference": "a", "path": "/b"}}}),
            format!("spec.model.source.image.path \"/b\" can't be used: {path}"),
        ),
        (
            json!({"source": {"huggingFace": {"repository": "--into"}}}),
            format!("spec.model.source.huggingFace.repository \"--into\" can't be used: {path}"),
        ),
        (
            json!({"source": {"s3": {"bucket": "abc", "path": "a//b"}}}),
            format!("spec.model.source.s3.path \"a//b\" can't be used: {path}"),
        ),
        (
            json!({"source": {"image": {"reference": "a b"}}}),
            "spec.model.source.image.reference \"a b\" names no image: write one such as registry.example.com/models/reviews:3".to_owned(),
        ),
        (
            json!({"source": {"image": {"reference": "registry:0/a"}}}),
            "spec.model.source.image.reference \"registry:0/a\" names no image: write one such as registry.example.com/models/reviews:3".to_owned(),
        ),
        (
            json!({"source": {"gcs": {"bucket": "abc", "endpoint": "gcs.example.com"}}}),
            "spec.model.source.gcs.endpoint: \"gcs.example.com\" is no URL that can be called: write a scheme and a host, such as https://records.example.com/sentiment, without a user and without '#'".to_owned(),
        ),
        (
            json!({"source": {"http": {"url": "https://a/b#c"}}}),
            "spec.model.source.http.url: \"https://a/b#c\" is no URL that can be called: write a scheme and a host, such as https://records.example.com/sentiment, without a user and without '#'".to_owned(),
        ),
        (
            json!({"source": {"http": {"url": "https://a/b", "sha256": "AB"}}}),
            "spec.model.source.http.sha256 \"AB\" is no SHA-256: write its 64 digits, as sha256sum prints them".to_owned(),
        ),
        (
            json!({"digest": "sha256:1"}),
            "spec.model.digest \"sha256:1\" is no digest: write sha256: and 64 digits, as sentiment-server model digest prints it".to_owned(),
        ),
        (
            json!({"cache": {"size": "1Gi"}}),
            "spec.model.cache keeps what is fetched, and this source isn't: leave it out, or use huggingFace, s3, gcs, azureBlob or http".to_owned(),
        ),
        (
            json!({"source": {"image": {"reference": "a"}}, "cache": {"size": "1Gi"}}),
            "spec.model.cache keeps what is fetched, and this source isn't: leave it out, or use huggingFace, s3, gcs, azureBlob or http".to_owned(),
        ),
        (
            cached(json!({})),
            "spec.model.cache: set claimName, for a claim of yours, or size, for one that is made: one of the two".to_owned(),
        ),
        (
            cached(json!({"size": "1Gi", "claimName": "a"})),
            "spec.model.cache: set claimName, for a claim of yours, or size, for one that is made: one of the two".to_owned(),
        ),
        (
            cached(json!({"claimName": "a", "accessMode": "ReadWriteOnce"})),
            "spec.model.cache.storageClassName and accessMode are of a claim that is made: leave them out beside claimName".to_owned(),
        ),
        (cached(json!({"size": 0})), "spec.model.cache.size is 0: write how much the models take, such as 2Gi".to_owned()),
        (
            cached(json!({"size": "much"})),
            "spec.model.cache.size: \"much\" is not a quantity; write a number with an optional unit, such as 250m, 2 or 512Mi".to_owned(),
        ),
    ] {
        assert_eq!(refused(&model), sentence, "{model}");
    }
}

#[test]
fn a_variable_does_not_take_the_place_of_a_field() {
    let said = |model: Value, name: &str| {
        let spec = json!({"model": model, "env": [{"name": name, "value": "x"}]});
        validate(&service(spec), &default_image()).map(drop).map_err(|error| error.to_string())
    };
    let digest = format!("sha256:{}", "0".repeat(64));
    let name = "MLOPS_ONNX_MODEL_PATH";
    let expected = format!("spec.env: {name} and spec.model.source are both set: keep one");
    assert_eq!(said(json!({"source": {"s3": {"bucket": "abc"}}}), name), Err(expected));
    assert_eq!(said(json!({"source": {"builtin": {}}}), name), Ok(()), "an image may have several models");
    let expected = "spec.env: MLOPS_MODEL_DIGEST and spec.model.digest are both set: keep one";
    assert_eq!(said(json!({"digest": digest}), "MLOPS_MODEL_DIGEST"), Err(expected.to_owned()));
    assert_eq!(said(json!({}), "MLOPS_MODEL_DIGEST"), Ok(()));
}
