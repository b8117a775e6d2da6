//! A real kube-apiserver with its etcd and nothing else: no controller moves anything but ours.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kube::{Client, Config, config::AuthInfo};
use serde_json::json;

use crate::{Failure, failure, repository, within};

/// The administrator.
const ADMIN: &str = "admin";

const API_SERVER: &str = "kube-apiserver";
/// Etcd comes before it.
const API_SERVER_PLACE: usize = 1;

/// Who can show a token, and the groups of each. All but the first can do only what roles say.
const USERS: [(&str, &str); 6] = [
    (ADMIN, "system:masters"),
    ("viewer", ""),
    ("editor", ""),
    ("owner", ""),
    ("publisher", ""),
    (OPERATOR, "system:serviceaccounts,system:serviceaccounts:kubesentiment-system"),
];

/// The operator's account, as `config/` makes it.
pub const OPERATOR: &str = "system:serviceaccount:kubesentiment-system:kubesentiment-operator";

fn token(user: &str) -> String {
    format!("the-token-of-{}", user.replace(':', "-"))
}

/// The running processes. Dropping it ends them.
pub struct ApiServer {
    /// An administrator's client.
    pub client: Client,
    /// How to reach it as that administrator.
    pub config: Config,
    processes: Vec<Child>,
    folder: PathBuf,
    /// How the API server itself was started.
    arguments: Vec<String>,
}

impl ApiServer {
    /// Starts both on free ports of the loopback address, with all files in a folder of their own.
    pub async fn start() -> Result<Self, Failure> {
        Self::start_with(&[]).await
    }

    /// The same, with further arguments for the API server.
    pub async fn start_with(further: &[&str]) -> Result<Self, Failure> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("kubesentiment-api-server-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).map_err(failure)?;
        let [etcd, etcd_peer, api] = [free_port()?, free_port()?, free_port()?];
        let mut processes = Vec::new();

        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let data = folder.join("etcd").display().to_string();
        processes.push(start(
            &folder,
            "etcd",
            &[
                format!("--data-dir={data}"),
                format!("--listen-client-urls={}", url(etcd)),
                format!("--advertise-client-urls={}", url(etcd)),
                format!("--listen-peer-urls={}", url(etcd_peer)),
                format!("--initial-advertise-peer-urls={}", url(etcd_peer)),
                format!("--initial-cluster=default={}", url(etcd_peer)),
                "--unsafe-no-fsync".to_owned(),
            ],
        )?);

        let at = |name: &str| folder.join(name).display().to_string();
        let users = USERS.map(|(user, groups)| format!("{},{user},{user},\"{groups}\"\n", token(user)));
        fs::write(folder.join("tokens"), users.concat()).map_err(failure)?;
        let made = Command::new("openssl")
            .args(["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", &at("key")])
            .status()
            .map_err(failure)?;
        if !made.success() {
            return Err("openssl could not make a key".to_owned());
        }
        let mut arguments = vec![
            format!("--etcd-servers={}", url(etcd)),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={api}"),
            format!("--cert-dir={}", at("certificates")),
            format!("--token-auth-file={}", at("tokens")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
            "--service-account-issuer=https://test".to_owned(),
            format!("--service-account-key-file={}", at("key")),
            format!("--service-account-signing-key-file={}", at("key")),
        ];
        arguments.extend(further.iter().map(ToString::to_string));
        processes.push(start(&folder, API_SERVER, &arguments)?);

        let mut config = Config::new(format!("https://127.0.0.1:{api}").parse().map_err(failure)?);
        config.auth_info = AuthInfo { token: Some(token(ADMIN).into()), ..AuthInfo::default() };
        // It signs its own certificate, and only this machine can listen there.
        config.accept_invalid_certs = true;
        let client = Client::try_from(config.clone()).map_err(failure)?;
        let server = Self { client, config, processes, folder, arguments };
        server.answers().await?;
        Ok(server)
    }

    async fn answers(&self) -> Result<(), Failure> {
        within(Duration::from_mins(1), "the API server", || async {
            self.client.apiserver_version().await.map(drop).map_err(failure)
        })
        .await
    }

    /// Starts the API server anew, on the same store and port. It knows no version from before, so each watch has to begin
    /// with a list.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        let restarted = &mut self.processes[API_SERVER_PLACE];
        restarted.kill().map_err(failure)?;
        restarted.wait().map_err(failure)?;
        *restarted = start(&self.folder, API_SERVER, &self.arguments)?;
        self.answers().await
    }

    /// Runs one more program of a control plane for as long as the server.
    pub fn run(&mut self, program: &str, arguments: &[String]) -> Result<(), Failure> {
        self.processes.push(start(&self.folder, program, arguments)?);
        Ok(())
    }

    /// Writes a file for such a program, and returns its path.
    pub fn file(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(failure)?;
        Ok(path.display().to_string())
    }

    /// The path of a file that the server was started with, such as the `key` of its tokens.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A kubeconfig of one of its users, or of its administrator without one, and returns its path.
    pub fn kubeconfig(&self, user: Option<&str>) -> Result<String, Failure> {
        let user = user.unwrap_or(ADMIN);
        let server = self.config.cluster_url.to_string();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": server, "insecure-skip-tls-verify": true}}],
            "users": [{"name": "it", "user": {"token": token(user)}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        self.file(&format!("{}.kubeconfig", user.replace(':', "-")), &config.to_string())
    }

    /// How to reach it as one of the users that it knows: `viewer`, `editor`, `owner`, `publisher`, or [`OPERATOR`].
    #[must_use]
    pub fn config_of(&self, user: &str) -> Config {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo { token: Some(token(user).into()), ..AuthInfo::default() };
        config
    }

    /// A client of one of these users.
    pub fn client_of(&self, user: &str) -> Result<Client, Failure> {
        Client::try_from(self.config_of(user)).map_err(failure)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn start(folder: &Path, program: &str, arguments: &[String]) -> Result<Child, Failure> {
    let path = repository().join(".cluster/bin").join(program);
    if !path.exists() {
        return Err(format!("{} is missing: run `make tools`, and for kwok `make bench-operator`", path.display()));
    }
    let log = fs::File::create(folder.join(format!("{program}.log"))).map_err(failure)?;
    // Should the test be killed, its processes go with it.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(path)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(failure)
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failure)?;
    Ok(listener.local_addr().map_err(failure)?.port())
}
