//! Models from elsewhere: a hub, a web server, an image, a volume. Each is served, and where it can't be had the right part says why.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
};
use kubesentiment_e2e::{
    Failure, Outcome,
    cluster::{addon, in_node, kubectl, node_command, predict, process_of},
    condition, ensure, eventually, failure, namespace, ready, repository, service,
};
use kubesentiment_operator::api::SentimentService;
use serde_json::{Value, json};

use super::{
    failing::{fails, heals},
    serving::{address, pod, serving},
};

/// The tiny model that is served, of three labels.
fn model() -> PathBuf {
    repository().join("inference-server/tests/fixtures/three-labels")
}

/// As pods reach the node.
fn node_address() -> Result<String, Failure> {
    kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"])
}

/// `e2e/cluster/models.py`, until it is dropped.
struct ModelServer {
    process: Child,
    /// As pods reach it.
    url: String,
}

impl ModelServer {
    async fn start(port: u16) -> Result<Self, Failure> {
        let node =
            kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"])?;
        let program = repository().join("e2e/cluster/models.py").display().to_string();
        let place = format!("{node}:{port}");
        let mut command = node_command(&["python3", &program, &model().display().to_string(), &place]);
        let process = command.stdout(Stdio::null()).spawn().map_err(failure)?;
        let server = Self { process, url: format!("http://{place}") };
        eventually("the model server", || async { server.get("/asked") }).await?;
        Ok(server)
    }

    fn get(&self, path: &str) -> Result<String, Failure> {
        in_node(&["curl", "-sS", "--fail", "--max-time", "5", &format!("{}{path}", self.url)])
    }

    /// A hub that is broken so, or one that works.
    fn hub(&self, broken: Option<&str>) -> Value {
        let path = broken.map(|what| format!("/broken/{what}")).unwrap_or_default();
        json!({ "huggingFace": { "repository": "team/model", "endpoint": format!("{}{path}", self.url) } })
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // What `exec.sh` has become.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spec(source: &Value) -> Value {
    json!({ "replicas": 1, "model": { "source": source } })
}

async fn status(client: &Client, namespace: &str, name: &str) -> Result<SentimentService, Failure> {
    let services: Api<SentimentService> = Api::namespaced(client.clone(), namespace);
    services.get(name).await.map_err(failure)
}

async fn digest(client: &Client, namespace: &str) -> Result<String, Failure> {
    eventually("the digest", || async {
        let object = status(client, namespace, "reviews").await?;
        let model = object.status.and_then(|status| status.model).ok_or("no model")?;
        model.digest.ok_or_else(|| "no digest".to_owned())
    })
    .await
}

/// A hub whose connections break halfway, a digest that is pinned, and another one, which never takes the place of what serves.
pub async fn hub(client: Client) -> Outcome {
    let server = ModelServer::start(7081).await?;
    let source = server.hub(Some("cut"));
    let begun = Instant::now();
    let (namespace, address) = serving(&client, "hub", spec(&source)).await?;
    println!("huggingFace: served after {:.1} s, over connections that broke off", begun.elapsed().as_secs_f64());
    ensure!(predict(&address, "it is good")?["label"] == "good", "another model serves");
    let found = digest(&client, &namespace).await?;
    let told = status(&client, &namespace, "reviews").await?.status.and_then(|status| status.model);
    let told = told.map(|model| model.source).unwrap_or_default();
    ensure!(told.starts_with("huggingFace team/model@main"), "the status says {told}");

    let pinned = |digest: &str| json!({ "replicas": 1, "model": { "source": source, "digest": digest } });
    let wrong = format!("sha256:{}", "0".repeat(64));
    service(&client, &namespace, "reviews", pinned(&wrong)).await.map_err(failure)?;
    fails(&client, &namespace, "ModelFetchFailed", &[&found, &wrong, "spec.model.digest"]).await?;
    let object = status(&client, &namespace, "reviews").await?;
    let available = condition(&object, "Available").map(|condition| condition.status);
    ensure!(available.as_deref() == Some("True"), "Available is {available:?} while the old pod serves");
    ensure!(predict(&address, "it is bad")?["label"] == "bad", "the old pod doesn't serve");
    service(&client, &namespace, "reviews", pinned(&found)).await.map_err(failure)?;
    heals(&client, &namespace).await
}

/// Servers that refuse, lie or attack: each is told in its own words, at once, and a mended server is all that it takes.
pub async fn broken(client: Client) -> Outcome {
    let server = ModelServer::start(7082).await?;
    let namespace = namespace(&client, "broken").await?;
    let cases = [
        ("denied", server.hub(Some("denied")), &["401", "tokenSecretRef"][..]),
        ("gone", server.hub(Some("gone")), &["404", "huggingFace.repository"]),
        ("changed", server.hub(Some("changed")), &["digest", "changed on the way"]),
        ("climbing", json!({ "http": { "url": format!("{}/archive/climbing.tar", server.url) } }), &["../"]),
    ];
    // This one isn't given up: it is told, and goes on where the slow connection ended.
    service(&client, &namespace, "drip", spec(&server.hub(Some("drip")))).await.map_err(failure)?;
    for (name, source, _) in &cases {
        service(&client, &namespace, name, spec(source)).await.map_err(failure)?;
    }
    for (name, _, words) in &cases {
        eventually("the reason", || async {
            let message = ready(&client, &namespace, name, "False", "ModelFetchFailed").await?;
            ensure!(!message.contains("s3cret"), "{name}: a signature is told: {message}");
            for word in *words {
                ensure!(message.contains(word), "{name}: {word} is missing in {message}");
            }
            Ok(())
        })
        .await?;
    }
    eventually("the word of the slow fetch", || async {
        let message = ready(&client, &namespace, "drip", "False", "RollingOut").await?;
        ensure!(message.contains("the model is being fetched: huggingFace team/model@main"), "{message}");
        Ok(())
    })
    .await?;
    for what in ["denied", "gone", "changed", "drip"] {
        server.get(&format!("/heal/{what}"))?;
    }
    let plain = json!({ "http": { "url": format!("{}/archive/model.tar", server.url) } });
    service(&client, &namespace, "climbing", spec(&plain)).await.map_err(failure)?;
    for name in cases.iter().map(|(name, ..)| *name).chain(["drip"]) {
        eventually("the healing", || ready(&client, &namespace, name, "True", "Serving")).await?;
    }
    Ok(())
}

/// A service from each kind of object store, against real servers, with credentials from Secrets; wrong ones are told.
pub async fn buckets(client: Client) -> Outcome {
    addon("stores")?;
    let node = node_address()?;
    let namespace = namespace(&client, "buckets").await?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let gcs = r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
    // The key that the emulator's documentation names.
    let azure = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    for (name, data) in [
        ("s3", json!({ "accessKeyId": "tester", "secretAccessKey": "tester-secret" })),
        ("s3-wrong", json!({ "accessKeyId": "tester", "secretAccessKey": "another" })),
        ("gcs", json!({ "key.json": gcs })),
        ("azure", json!({ "accountKey": azure })),
        ("azure-wrong", json!({ "accountKey": "AAAA" })),
    ] {
        let secret = serde_json::from_value(json!({ "metadata": { "name": name }, "stringData": data }));
        secrets.create(&PostParams::default(), &secret.map_err(failure)?).await.map_err(failure)?;
    }
    let s3 = |secret: &str, path: &str| {
        let credentials = json!({ "name": secret });
        let endpoint = format!("http://{node}:7001");
        json!({ "s3": { "bucket": "models", "path": path, "endpoint": endpoint, "credentialsSecretRef": credentials } })
    };
    let azure = |secret: &str| {
        let endpoint = format!("http://{node}:7003/devstoreaccount1");
        json!({ "azureBlob": {
            "account": "devstoreaccount1", "container": "models", "path": "three", "endpoint": endpoint,
            "credentialsSecretRef": { "name": secret },
        } })
    };
    let gcs = json!({ "gcs": {
        "bucket": "models", "path": "three", "endpoint": format!("http://{node}:7002"),
        "credentialsSecretRef": { "name": "gcs", "key": "key.json" },
    } });
    let good = [("s3", s3("s3", "three")), ("gcs", gcs), ("azure", azure("azure"))];
    let bad = [
        ("s3-wrong", s3("s3-wrong", "three"), &["credentialsSecretRef"][..]),
        ("s3-nothing", s3("s3", "four"), &["four"]),
        ("azure-wrong", azure("azure-wrong"), &["credentialsSecretRef"]),
    ];
    let begun = Instant::now();
    for (name, source) in &good {
        service(&client, &namespace, name, spec(source)).await.map_err(failure)?;
    }
    for (name, _) in &good {
        eventually("serving", || ready(&client, &namespace, name, "True", "Serving")).await?;
        println!("{name}: served {:.1} s after it was applied with two others", begun.elapsed().as_secs_f64());
    }
    for (name, source, words) in &bad {
        service(&client, &namespace, name, spec(source)).await.map_err(failure)?;
        eventually("the reason", || async {
            let message = ready(&client, &namespace, name, "False", "ModelFetchFailed").await?;
            for word in *words {
                ensure!(message.contains(word), "{name}: {word} is missing in {message}");
            }
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A folder of the host as a volume, gone when dropped.
struct Volume {
    client: Client,
    name: String,
    folder: PathBuf,
    is_mounted: bool,
}

impl Volume {
    /// `size` mounts a file system of so many bytes.
    async fn new(client: &Client, name: &str, size: Option<&str>) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("kubesentiment-volume-{name}"));
        fs::create_dir_all(&folder).map_err(failure)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).map_err(failure)?;
        if let Some(size) = size {
            let options = format!("size={size},mode=0777");
            in_node_mounts(&["mount", "-t", "tmpfs", "-o", &options, "none"], &folder)?;
        }
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": {
                "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
                "storageClassName": "by-hand", "hostPath": { "path": folder, "type": "Directory" },
            },
        }))
        .map_err(failure)?;
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        volumes.create(&PostParams::default(), &volume).await.map_err(failure)?;
        Ok(Self { client: client.clone(), name: name.to_owned(), folder, is_mounted: size.is_some() })
    }

    async fn remove(self) -> Outcome {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        volumes.delete(&self.name, &DeleteParams::default()).await.map_err(failure)?;
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = in_node_mounts(&["umount", "--lazy"], &self.folder);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command on a folder where the node has its mounts.
fn in_node_mounts(command: &[&str], folder: &Path) -> Outcome {
    let script = repository().join("e2e/cluster/mount.sh");
    let status = Command::new(script).args(command).arg(folder).status().map_err(failure)?;
    ensure!(status.success(), "{command:?} says {status}");
    Ok(())
}

async fn claim(client: &Client, namespace: &str, volume: &Volume) -> Outcome {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = serde_json::from_value(json!({
        "metadata": { "name": "models" },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "by-hand", "volumeName": volume.name,
            "resources": { "requests": { "storage": "1Gi" } },
        },
    }));
    claims.create(&PostParams::default(), &claim.map_err(failure)?).await.map_err(failure)?;
    Ok(())
}

/// A volume that keeps what was fetched: two pods at once and all that follow ask for each file once.
pub async fn kept(client: Client) -> Outcome {
    let server = ModelServer::start(7083).await?;
    let namespace = namespace(&client, "kept").await?;
    let volume = Volume::new(&client, &namespace, None).await?;
    let cache = json!({ "size": "1Gi", "storageClassName": "by-hand", "accessMode": "ReadWriteOnce" });
    let spec = |replicas: u8| json!({ "replicas": replicas, "model": { "source": server.hub(None), "cache": cache } });
    let begun = Instant::now();
    service(&client, &namespace, "reviews", spec(2)).await.map_err(failure)?;
    eventually("serving", || ready(&client, &namespace, "reviews", "True", "Serving")).await?;
    println!("huggingFace with a cache: two pods served after {:.1} s", begun.elapsed().as_secs_f64());
    let asked = server.get("/asked")?;
    ensure!(asked == "3", "two pods asked for {asked} files, and the model has 3");
    service(&client, &namespace, "reviews", spec(3)).await.map_err(failure)?;
    eventually("a third pod", || async {
        let object = status(&client, &namespace, "reviews").await?;
        let pods = object.status.map(|status| status.ready_replicas);
        ensure!(pods == Some(3), "{pods:?} are ready");
        Ok(())
    })
    .await?;
    let asked = server.get("/asked")?;
    ensure!(asked == "3", "with the third pod {asked} files were asked for");
    answers(&client, &namespace).await?;
    volume.remove().await
}

/// A cache without room: the reason says so, and room is all that it takes.
pub async fn full_disk(client: Client) -> Outcome {
    let server = ModelServer::start(7084).await?;
    let namespace = namespace(&client, "full").await?;
    let volume = Volume::new(&client, &namespace, Some("8k")).await?;
    claim(&client, &namespace, &volume).await?;
    let spec = json!({ "replicas": 1, "model": { "source": server.hub(None), "cache": { "claimName": "models" } } });
    service(&client, &namespace, "reviews", spec).await.map_err(failure)?;
    fails(&client, &namespace, "ModelFetchFailed", &["is full; make it larger"]).await?;
    in_node_mounts(&["mount", "-o", "remount,size=1m"], &volume.folder)?;
    heals(&client, &namespace).await?;
    volume.remove().await
}

/// A volume with a model in one of its folders.
pub async fn claimed(client: Client) -> Outcome {
    let namespace = namespace(&client, "claimed").await?;
    let volume = Volume::new(&client, &namespace, None).await?;
    claim(&client, &namespace, &volume).await?;
    let source = json!({ "persistentVolumeClaim": { "claimName": "models", "path": "team/three" } });
    service(&client, &namespace, "reviews", spec(&source)).await.map_err(failure)?;
    fails(&client, &namespace, "ModelLoadFailed", &["team/three"]).await?;
    let folder = volume.folder.join("team/three");
    fs::create_dir_all(&folder).map_err(failure)?;
    for file in ["config.json", "tokenizer.json", "model.onnx"] {
        fs::copy(model().join(file), folder.join(file)).map_err(failure)?;
    }
    heals(&client, &namespace).await?;
    answers(&client, &namespace).await?;
    volume.remove().await
}

/// Waits for an answer of the tiny model through the Service: kube-proxy learns of a ready pod a moment after everybody else.
async fn answers(client: &Client, namespace: &str) -> Outcome {
    let address = address(client, namespace).await?;
    eventually("an answer through the Service", || async {
        ensure!(predict(&address, "it is good")?["label"] == "good", "another model serves");
        Ok(())
    })
    .await
}

/// A model that `model pack` made an image of, pushed as its help says, and mounted by the kubelet: nothing is copied or fetched.
pub async fn image(client: Client) -> Outcome {
    let (namespace, _) = serving(&client, "image", json!({ "replicas": 1 })).await?;
    let packer = pod(&client, &namespace).await?;
    let process = process_of(&packer, "/app/sentiment-server")?;
    let name = packer.metadata.name.unwrap_or_default();
    let pack = ["/app/sentiment-server", "model", "pack", "/app/model", "/app/tmp/packed"];
    let mut arguments = vec!["-n", &namespace, "exec", &name, "--"];
    arguments.extend(pack);
    let said = kubectl(&arguments)?;
    let found = digest(&client, &namespace).await?;
    ensure!(said.contains(&found), "it packed {said}, and {found} serves");

    let layout = std::env::temp_dir().join(format!("kubesentiment-packed-{namespace}")).display().to_string();
    // From the container's own files.
    in_node(&["cp", "--recursive", &format!("/proc/{process}/root/app/tmp/packed"), &layout])?;
    let list = format!("models-{namespace}");
    let buildah = |arguments: &[&str]| in_node(&[&["buildah", "--storage-driver", "overlay"], arguments].concat());
    let target = format!("docker://127.0.0.1:5000/team/model:{namespace}");
    buildah(&["manifest", "create", &list])?;
    let pushed = buildah(&["manifest", "add", "--all", &list, &format!("oci:{layout}:model")])
        .and_then(|_| buildah(&["manifest", "push", "--all", "--tls-verify=false", &list, &target]));
    buildah(&["manifest", "rm", &list])?;
    fs::remove_dir_all(&layout).map_err(failure)?;
    pushed?;

    let reference = format!("models.example.com/team/model:{namespace}");
    let source = |reference: &str| json!({ "image": { "reference": reference } });
    let missing = format!("{reference}-none");
    service(&client, &namespace, "reviews", spec(&source(&missing))).await.map_err(failure)?;
    eventually("the reason", || async {
        let object = status(&client, &namespace, "reviews").await?;
        let ready = condition(&object, "Ready").ok_or("no condition Ready")?;
        ensure!(ready.status == "False" && ready.message.contains(&missing), "{}: {}", ready.reason, ready.message);
        Ok(())
    })
    .await?;
    let whole = json!({ "replicas": 2, "model": { "source": source(&reference), "digest": found } });
    let begun = Instant::now();
    service(&client, &namespace, "reviews", whole).await.map_err(failure)?;
    heals(&client, &namespace).await?;
    println!("image: two pods served after {:.1} s, the default model of 36 MB", begun.elapsed().as_secs_f64());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    for pod in pods.list(&ListParams::default()).await.map_err(failure)? {
        let spec = pod.spec.unwrap_or_default();
        ensure!(spec.init_containers.is_none_or(|all| all.is_empty()), "a pod fetches what is an image volume");
    }
    Ok(())
}
