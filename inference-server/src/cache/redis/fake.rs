//! A Redis for tests that says what a test wants it to.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task,
};
use tokio_util::task::AbortOnDropHandle;

use super::Redis;
use crate::{
    cache::Series,
    config::{Config, Environment},
};
use model::{Digest, Head};

/// What is said to a command.
pub(in crate::cache) enum Reply {
    /// As Redis does that holds nothing.
    Usual,
    /// These bytes.
    Bytes(&'static [u8]),
    /// The first bytes, and then the second again and again until the connection is closed.
    Endless(&'static [u8], &'static [u8]),
    /// Nothing, ever.
    Silence,
}

/// Longest that an endless reply goes on, in bytes: what a test has to notice.
const ENDLESS: u64 = 256 << 20;

/// The key of the text that a connection is tried with: SHA-256 of nothing.
const TRIED_WITH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

type Script = dyn Fn(&[String]) -> Reply + Send + Sync;

#[derive(Default)]
struct Seen {
    lookups: AtomicUsize,
    sent: AtomicU64,
}

/// It listens until dropped.
pub(in crate::cache) struct Fake {
    port: u16,
    seen: Arc<Seen>,
    _listening: AbortOnDropHandle<()>,
}

impl Fake {
    /// Starts one that answers as `script` says to each command and its arguments.
    pub(in crate::cache) async fn start(script: impl Fn(&[String]) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let (script, counts): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        let listening = task::spawn(async move {
            let mut connections = task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&counts)));
            }
        });
        Self { port, seen, _listening: AbortOnDropHandle::new(listening) }
    }

    /// A client of it that has begun to connect.
    pub(in crate::cache) fn client(&self, series: &Arc<Series>) -> Arc<Redis> {
        let port = self.port.to_string();
        let settings = [
            ("MLOPS_REDIS_ENABLED", "true"),
            ("MLOPS_REDIS_HOST", "127.0.0.1"),
            ("MLOPS_REDIS_PORT", &port),
            ("MLOPS_REDIS_LOOKUP_TIMEOUT_MS", "10000"),
        ];
        let settings: Environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = Config::read(&settings).unwrap().redis.unwrap();
        let redis = Arc::new(Redis::new(config, Arc::clone(series)));
        let head = Head::single_label(&["NEGATIVE", "POSITIVE"]);
        redis.start(redis.connector().unwrap(), Digest::from([7; 32]), head);
        redis
    }

    /// Lookups so far, but for those that connections are tried with.
    pub(in crate::cache) fn lookups(&self) -> usize {
        self.seen.lookups.load(Ordering::SeqCst)
    }

    /// Bytes of endless replies that went out.
    pub(super) fn sent(&self) -> u64 {
        self.seen.sent.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>, seen: Arc<Seen>) {
    // Ends when the client goes.
    let _ = talk(stream, &*script, &seen).await;
}

async fn talk(stream: TcpStream, script: &Script, seen: &Seen) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut command = Vec::new();
        for _ in 0..number(&mut reader).await? {
            let mut argument = vec![0; number(&mut reader).await? + 2];
            reader.read_exact(&mut argument).await?;
            command.push(String::from_utf8_lossy(&argument[..argument.len() - 2]).into_owned());
        }
        if is_lookup(&command) {
            seen.lookups.fetch_add(1, Ordering::SeqCst);
        }
        match script(&command) {
            Reply::Usual if command[0] == "GETRANGE" => writer.write_all(b"$0\r\n\r\n").await?,
            Reply::Usual => writer.write_all(b"+OK\r\n").await?,
            Reply::Bytes(bytes) => writer.write_all(bytes).await?,
            Reply::Endless(first, then) => {
                writer.write_all(first).await?;
                let then = then.repeat(64 * 1024 / then.len());
                while seen.sent.load(Ordering::SeqCst) < ENDLESS {
                    writer.write_all(&then).await?;
                    seen.sent.fetch_add(then.len() as u64, Ordering::SeqCst);
                }
            }
            Reply::Silence => {}
        }
    }
}

/// The number in a line like `*3`.
async fn number(reader: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    line.get(1..).and_then(|number| number.trim().parse().ok()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Whether a command asks for a text's answer.
pub(in crate::cache) fn is_lookup(command: &[String]) -> bool {
    command[0] == "GETRANGE" && !command[1].ends_with(TRIED_WITH)
}
