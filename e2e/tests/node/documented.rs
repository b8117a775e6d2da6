//! The commands of the documentation, as a reader types them.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use kube::Client;
use kubesentiment_e2e::{
    Outcome,
    cluster::{cluster_program, kubectl},
    documentation::{Block, Fate, ROWS, blocks, row},
    ensure, failure, repository,
};

/// The namespaces that the pages' commands are for, or make.
const NAMESPACES: [&str; 3] = ["demo", "restore-test", "argocd"];

/// Blocks that follow each other in one folder, with the namespace of the examples as kubectl's own.
pub async fn commands(_: Client) -> Outcome {
    let folder = std::env::temp_dir().join(format!("kubesentiment-documented-{}", std::process::id()));
    clean_up()?;
    let ran = in_a_clone(&folder).and_then(|()| {
        let blocks = blocks()?;
        for listed in ROWS {
            let Fate::Node(before, after) = &listed.2 else { continue };
            for block in blocks.iter().filter(|block| row(block).is_some_and(|row| std::ptr::eq(row, listed))) {
                run(&folder, before, block, after)?;
            }
        }
        Ok(())
    });
    let cleaned = clean_up();
    fs::remove_dir_all(&folder).map_err(failure)?;
    ran.and(cleaned)
}

fn clean_up() -> Outcome {
    let mut arguments = vec!["delete", "namespace", "--ignore-not-found"];
    arguments.extend(NAMESPACES);
    kubectl(&arguments).map(drop)
}

/// A folder with all that a clone has at its top, and a kubeconfig of its own.
fn in_a_clone(folder: &Path) -> Outcome {
    fs::create_dir_all(folder.join(".cluster/bin")).map_err(failure)?;
    for name in ["config", "charts", "scripts"] {
        symlink(repository().join(name), folder.join(name)).map_err(failure)?;
    }
    symlink(env!("CARGO_BIN_EXE_plugin"), folder.join(".cluster/bin/kubectl-sentiment")).map_err(failure)?;
    let kubeconfig = kubectl(&["config", "view", "--raw", "--flatten"])?;
    fs::write(folder.join(".cluster/kubeconfig"), kubeconfig).map_err(failure)
}

fn run(folder: &Path, before: &str, block: &Block, after: &str) -> Outcome {
    // A person waits for a forwarded port; a script asks again. What runs in the background ends with the block.
    const PRELUDE: &str = r#"set -euo pipefail
        trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
        curl() { command curl --fail --retry 20 --retry-connrefused --retry-delay 1 --max-time 10 "$@"; }
        kubectl config set-context --current --namespace demo >/dev/null"#;
    let block_text = block.text.replace("NAME", "reviews");
    let script = [PRELUDE, before, &block_text, after].join("\n");
    let mut command = cluster_program("timeout");
    let path = format!("{}:{}", folder.join(".cluster/bin").display(), path_of(&command));
    command.args(["180", "bash", "-c", &script]).current_dir(folder);
    command.env("PATH", path).env("KUBECONFIG", folder.join(".cluster/kubeconfig"));
    let began = std::time::Instant::now();
    let output = command.output().map_err(failure)?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    println!("{}, {:.1} s:\n{}\n{said}", block.page, began.elapsed().as_secs_f32(), block.text);
    ensure!(output.status.success(), "{}: {}\n{said}", block.page, block.text);
    ensure!(began.elapsed() < Duration::from_mins(3), "{}: {} takes too long", block.page, block.text);
    Ok(())
}

fn path_of(command: &std::process::Command) -> String {
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value?.to_str());
    path.unwrap_or_default().to_owned()
}
