//! Starts a real redis-server on a free loopback port.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Folder;

/// A Redis that is killed when dropped.
pub struct Redis {
    child: Child,
    folder: Folder,
    arguments: Vec<String>,
    /// What `redis-cli` needs to get in.
    login: Vec<String>,
    pub port: String,
}

impl Redis {
    /// Starts it with arguments beside those that keep it here and in memory.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_with_login(name, arguments, &[])
    }

    pub fn start_with_login(name: &str, arguments: &[&str], login: &[&str]) -> Self {
        // Nothing holds the port between this and redis-server's own bind; it is tried again then.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
            let folder = Folder::new(&format!("redis-{name}-{port}"));
            let arguments: Vec<String> = arguments.iter().map(|argument| argument.replace("PORT", &port)).collect();
            let child = spawn(&folder, &port, &arguments);
            let login = login.iter().map(|&argument| argument.to_owned()).collect();
            let mut redis = Self { child, folder, arguments, login, port };
            if redis.answers() {
                return redis;
            }
        }
        panic!("redis-server didn't start in five tries");
    }

    /// Waits until it answers; false when it has ended.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.cli(&["PING"]) == "PONG" {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server doesn't answer after 20 s");
    }

    /// What `redis-cli` prints for a command.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = program("redis-cli", &["-p", &self.port])
            .args(&self.login)
            .args(command)
            .output()
            .unwrap_or_else(|error| missing("redis-cli", &error));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The one key that there is.
    pub fn only_key(&self) -> String {
        let keys = self.cli(&["KEYS", "*"]);
        assert_eq!(keys.lines().count(), 1, "{keys}");
        keys
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it, which empties it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its port.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.folder, &self.port, &self.arguments);
        assert!(self.answers(), "redis-server didn't start again");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Folder, port: &str, arguments: &[String]) -> Child {
    let folder = folder.0.to_str().unwrap();
    program("redis-server", &["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", ""])
        .args(arguments)
        .spawn()
        .unwrap_or_else(|error| missing("redis-server", &error))
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn missing(program: &str, error: &std::io::Error) -> ! {
    panic!("{program} can't be run ({error}): install the Debian package redis-server, or run e2e/cluster/deps.sh")
}
