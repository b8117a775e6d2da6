//! The operator as a process of its own, as a container runs it: what it asks the API server for and what it takes.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Failure, Outcome,
    api_server::{ApiServer, OPERATOR, free_port},
    ensure, failure, repository, within,
};

/// How long no request may go out before all is said to be done.
const QUIET: Duration = Duration::from_secs(6);

/// A running operator. Dropping it ends it.
pub struct OperatorProcess {
    child: Child,
    address: SocketAddr,
    began: Instant,
}

/// Memory of a process in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// What is resident now.
    pub resident: f64,
    /// The part of it that no file stands behind.
    pub anonymous: f64,
    /// The most that was resident since [`OperatorProcess::forget_peak`].
    pub peak: f64,
}

/// Requests by verb and resource, as the operator counts them: all that leave it, watches and Events included.
#[derive(Clone, Debug, Default)]
pub struct Requests(BTreeMap<(String, String), u64>);

impl Requests {
    /// What came since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |(key, count): (&(String, String), &u64)| {
            (key.clone(), count.saturating_sub(before.0.get(key).copied().unwrap_or_default()))
        };
        Self(self.0.iter().map(since).filter(|(_, count)| *count > 0).collect())
    }

    /// All of them but those of watches, which begin anew by the clock, and the lists that come with that.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.count(|verb| !matches!(verb, "watch" | "list"))
    }

    /// Those that write.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.count(|verb| matches!(verb, "create" | "update" | "patch" | "delete" | "deletecollection"))
    }

    fn count(&self, counts: impl Fn(&str) -> bool) -> u64 {
        self.0.iter().filter(|((verb, _), _)| counts(verb)).map(|(_, count)| count).sum()
    }
}

impl std::fmt::Display for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> =
            self.0.iter().map(|((verb, resource), count)| format!("{verb} {resource} {count}")).collect();
        f.write_str(&words.join(", "))
    }
}

impl OperatorProcess {
    /// Starts the release program with the operator's own account, and waits until it says that it is ready.
    pub async fn start(server: &ApiServer) -> Result<Self, Failure> {
        // A benchmark is in `release/deps`, and the program above it.
        let own = env::current_exe().map_err(failure)?;
        let program = own.ancestors().nth(2).unwrap_or(&own).join("kubesentiment-operator");
        ensure!(program.exists(), "{} is missing: run `make bench-operator`", program.display());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = fs::File::options().create(true).append(true).open(server.path("operator.log")).map_err(failure)?;
        let began = Instant::now();
        // Should the benchmark be killed, it goes with it.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .env("KUBECONFIG", server.kubeconfig(Some(OPERATOR))?)
            .env("LISTEN_ADDRESS", address.to_string())
            .envs(image_settings()?)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failure)?)
            .stderr(log)
            .spawn()
            .map_err(failure)?;
        let operator = Self { child, address, began };
        within(Duration::from_mins(2), "the operator's start", || async { operator.get("/readyz").map(drop) }).await?;
        Ok(operator)
    }

    /// Time since it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// What it has asked for until now.
    pub fn requests(&self) -> Result<Requests, Failure> {
        let mut requests = Requests::default();
        for line in self.get("/metrics")?.lines() {
            if let Some((labels, count)) = series(line, "api_requests_total") {
                let count = count.parse::<u64>().map_err(failure)?;
                *requests.0.entry((label(labels, "verb"), label(labels, "resource"))).or_default() += count;
            }
        }
        Ok(requests)
    }

    /// How often a watch began with a list.
    pub fn lists(&self) -> Result<u64, Failure> {
        let page = self.get("/metrics")?;
        let counts = page.lines().filter_map(|line| series(line, "watch_starts_total"));
        counts.map(|(_, count)| count.parse::<u64>().map_err(failure)).sum()
    }

    /// Waits until it asks for nothing any more, and returns what it has asked for by then.
    pub async fn settled(&self) -> Result<Requests, Failure> {
        let (mut last, mut since) = (self.requests()?, Instant::now());
        while since.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.requests()?;
            if now.asked() != last.asked() {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last)
    }

    /// What it takes now.
    pub fn memory(&self) -> Result<Memory, Failure> {
        let status = fs::read_to_string(self.in_proc("status")).map_err(failure)?;
        let of = |name: &str| -> Result<f64, Failure> {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            Ok(value.ok_or_else(|| format!("no {name}"))?.parse::<f64>().map_err(failure)? / 1024.0)
        };
        Ok(Memory { resident: of("VmRSS:")?, anonymous: of("RssAnon:")?, peak: of("VmHWM:")? })
    }

    /// Begins to look for the peak anew.
    pub fn forget_peak(&self) -> Outcome {
        fs::write(self.in_proc("clear_refs"), "5").map_err(failure)
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Outcome {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().map_err(failure)?;
        ensure!(asked.success(), "the operator can't be asked to end");
        let asked_at = Instant::now();
        while self.child.try_wait().map_err(failure)?.is_none() {
            ensure!(asked_at.elapsed() < Duration::from_secs(30), "the operator doesn't end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn in_proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    fn get(&self, path: &str) -> Result<String, Failure> {
        let mut connection = TcpStream::connect(self.address).map_err(failure)?;
        connection.set_read_timeout(Some(Duration::from_secs(10))).map_err(failure)?;
        write!(connection, "GET {path} HTTP/1.0\r\nHost: operator\r\n\r\n").map_err(failure)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map_err(failure)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("that is no answer")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "{path} answers {head}");
        Ok(body.to_owned())
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the image sets the allocator, where the environment of the benchmark doesn't: what is measured is what is shipped.
fn image_settings() -> Result<Vec<(String, String)>, Failure> {
    let recipe = fs::read_to_string(repository().join("Dockerfile.operator")).map_err(failure)?;
    let settings = recipe.split_whitespace().filter(|word| word.starts_with("MALLOC_"));
    let settings = settings.filter_map(|word| word.split_once('='));
    let unset = settings.filter(|(name, _)| env::var_os(name).is_none());
    Ok(unset.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Labels and value of a line of one of the operator's counters.
fn series<'a>(line: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let labels = line.strip_prefix("kubesentiment_operator_")?.strip_prefix(name)?.strip_prefix('{')?;
    labels.split_once("} ")
}

fn label(labels: &str, name: &str) -> String {
    let found = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
    found.unwrap_or_default().to_owned()
}
