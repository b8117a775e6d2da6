//! The commands in the pages of the documentation, and what runs each of them.

use std::{fs, process::Command};

use crate::{Failure, ensure, failure, repository};

/// A block of commands in a page.
#[derive(Clone, Debug)]
pub struct Block {
    /// The page, as it is named from the top of the repository.
    pub page: String,
    /// Its commands, as a shell takes them, without what they print.
    pub text: String,
}

/// What becomes of a block.
#[derive(Debug)]
pub enum Fate {
    /// It is run on the node, between these commands.
    Node(&'static str, &'static str),
    /// It is run by a test, in this file.
    Test(&'static str),
    /// It isn't run, for this reason. Its commands are checked all the same.
    Not(&'static str),
}

/// A page, how a block of it begins, and what becomes of it. Those of the node run in this order.
pub type Row = (&'static str, &'static str, Fate);

/// All blocks of the pages that [`blocks`] reads.
pub static ROWS: &[Row] = {
    use Fate::{Node, Not, Test};
    const READY: &str = "kubectl wait ssvc/reviews --for=condition=Ready --timeout=2m";
    const DOCKER: &str =
        "Docker: the node's images are built without it, and scripts/test-images.sh holds them to the same";
    const RELEASE: &str = "a release of Helm's own operator: e2e/tests/node/releasing.rs installs the chart";
    const INSTALL: &str = "scripts/test-install.sh";
    const SERVER: &str = "inference-server/tests/documented.rs";
    &[
        ("docs/examples.md", "kubectl create namespace demo", Node("", "")),
        ("docs/status.md", "kubectl get ssvc  ", Node("", "")),
        ("docs/status.md", "kubectl get ssvc -o wide", Node("", "")),
        (
            "docs/plugin.md",
            "kubectl sentiment status",
            Node(
                r#"cp config/samples/reviews.yaml reviews.yaml
                 kubectl get ssvc reviews -o json | jq '{apiVersion, kind, metadata: {name: "tickets"}, spec}' | kubectl apply -f -"#,
                "kubectl delete ssvc tickets",
            ),
        ),
        ("docs/plugin.md", "kubectl sentiment render", Node("", "")),
        ("docs/plugin.md", "kubectl sentiment diff", Node("", "")),
        (
            "docs/plugin.md",
            "kubectl sentiment predict",
            Node("printf 'I love this product\\tPOSITIVE\\nIt broke after a week\\tNEGATIVE\\n' >texts.tsv", ""),
        ),
        ("docs/plugin.md", "kubectl sentiment report", Node("", "tar -tzf reviews.tar.gz")),
        ("docs/backup.md", "kubectl get ssvc -A -o json", Node("", "")),
        (
            "docs/backup.md",
            "jq '.items[]",
            Node("kubectl create namespace restore-test", "kubectl -n restore-test get ssvc reviews"),
        ),
        ("docs/resource.md", "kubectl port-forward deploy/reviews 8081", Node("", "")),
        (
            "docs/resource.md",
            "kubectl patch ssvc reviews",
            Node(
                "",
                "kubectl wait deployment/reviews --for=jsonpath='{.spec.replicas}'=0 --timeout=1m
                 kubectl patch ssvc reviews --type=merge -p '{\"spec\":{\"suspend\":false}}'
                 kubectl wait deployment/reviews --for=jsonpath='{.spec.replicas}'=1 --timeout=1m
                 kubectl wait ssvc/reviews --for=condition=Ready --timeout=2m",
            ),
        ),
        (
            "docs/status.md",
            "kubectl delete service reviews",
            Node("", "kubectl wait service/reviews --for=create --timeout=10s"),
        ),
        ("docs/status.md", "kubectl events --for", Node("", "")),
        ("docs/distroless.md", "kubectl logs deploy/NAME", Node(READY, "")),
        ("docs/models.md", "kubectl create secret generic hub", Node("", "")),
        ("docs/models.md", "kubectl create secret generic models --from-literal=accessKeyId", Node("", "")),
        (
            "docs/models.md",
            "kubectl create secret generic models --from-file",
            Node("kubectl delete secret models; echo '{}' >key.json", ""),
        ),
        (
            "docs/models.md",
            "kubectl create secret generic models --from-literal=accountKey",
            Node("kubectl delete secret models", ""),
        ),
        (
            "docs/models.md",
            "kubectl create secret generic models --from-literal=Authorization",
            Node("kubectl delete secret models", ""),
        ),
        (
            "docs/gitops.md",
            "kubectl -n argocd patch",
            Node("kubectl create namespace argocd; kubectl -n argocd create configmap argocd-cm", ""),
        ),
        ("docs/migration.md", "kubectl get deployments -A", Node("", "")),
        ("docs/monitoring.md", "kubectl get deployments -A", Node("", "")),
        // It leaves the service broken.
        (
            "docs/start.md",
            "export KUBECONFIG",
            Node(
                "",
                "kubectl wait ssvc/reviews --for=jsonpath='{.status.conditions[?(@.type==\"Ready\")].reason}'=ImagePullFailed --timeout=1m
                 kubectl wait ssvc/reviews --for=condition=Available --timeout=1m",
            ),
        ),
        (
            "docs/disaster.md",
            "kubectl -n kubesentiment-system scale",
            Node(
                "",
                "kubectl -n kubesentiment-system scale deployment/kubesentiment-operator --replicas=2
                 kubectl -n kubesentiment-system rollout status deployment/kubesentiment-operator --timeout=2m",
            ),
        ),
        ("README.md", "curl -s localhost:8000/api/v1/predict", Test(SERVER)),
        ("docs/start.md", "curl -s localhost:8000/api/v1/predict", Test(SERVER)),
        ("docs/server.md", "curl", Test(SERVER)),
        ("docs/server.md", "sentiment-server", Test(SERVER)),
        ("docs/models.md", "sentiment-server", Test(SERVER)),
        ("docs/models.md", "model-fetch", Test("inference-server/fetch/src/cli.rs")),
        ("docs/clients.md", "url=", Test("inference-server/tests/clients.rs")),
        ("docs/clients.md", "python3 -m grpc_tools.protoc", Test("inference-server/tests/clients.rs")),
        ("docs/plugin.md", "kubectl sentiment convert", Test("kubectl-sentiment/tests/offline.rs")),
        ("docs/plugin.md", "kubectl sentiment lint", Test("kubectl-sentiment/tests/offline.rs")),
        ("docs/development.md", "scripts/links-check.py", Not("make lint runs the first; the site takes mdBook, which is built")),
        ("docs/development.md", "make run-server", Not("the layers of tests, one of which this is, and a log that is followed")),
        ("README.md", "make", Not("each is a layer of tests or sets one up; make test-all ends with make demo")),
        ("docs/start.md", "make", Not("make test-all ends with make demo; make down would end the node")),
        ("docs/plugin.md", "make plugin", Not("a release build; the other blocks of the page run the program")),
        ("docs/sizing.md", "make bench", Not("it takes the machine for itself")),
        ("README.md", "helm install", Not("the chart of a release that isn't out; the blocks of docs/install.md are run with one")),
        ("docs/install.md", "VERSION=", Test(INSTALL)),
        ("docs/install.md", "cosign verify-blob", Test(INSTALL)),
        ("docs/install.md", "jq -r .messageSignature", Test(INSTALL)),
        ("docs/install.md", "for image in kubesentiment-operator", Test(INSTALL)),
        ("docs/install.md", "helm install kubesentiment-operator \"kubesentiment", Test(INSTALL)),
        ("docs/install.md", "tar -xzf", Test(INSTALL)),
        ("docs/install.md", "helm upgrade", Test(INSTALL)),
        ("docs/install.md", "helm uninstall", Test(INSTALL)),
        ("docs/release.md", "sudo make release", Not("scripts/test-release.sh does the same in clones of its own")),
        ("docs/release.md", "cosign verify --key", Not("the reader's registry; docs/install.md verifies the files")),
        ("docs/install.md", "make images", Not("pushes to the reader's registry")),
        ("docs/install.md", "helm install", Not(RELEASE)),
        ("docs/install.md", "kubectl apply -k overlays/team", Not("the reader's overlay, which charts/tests/equality.sh has no part of")),
        ("docs/upgrade.md", "helm upgrade", Not(RELEASE)),
        ("docs/monitoring.md", "helm upgrade", Not(RELEASE)),
        ("docs/models.md", "pip install", Not("gigabytes of PyTorch; models/prepare/tests has exports of each kind")),
        ("docs/models.md", "tar -C reviews", Not("inference-server/fetch/tests/fetch/archives.rs makes such archives")),
        ("docs/server.md", "pip install", Not("models/test.sh runs prepare-model with the same pins")),
        ("docs/server.md", "grpcurl", Not("a program of its own; inference-server/tests/server/grpc.rs asks the same")),
        ("docs/troubleshooting.md", "kubectl debug", Not("asks a person; e2e/tests/node/serving.rs debugs a pod the same way")),
        ("docs/distroless.md", "kubectl debug", Not("an image of a public registry; e2e/tests/node/serving.rs has one of its own")),
        ("docs/distroless.md", "docker", Not(DOCKER)),
        ("docs/distroless.md", "make build-distroless", Not("make e2e builds the images")),
    ]
};

/// The row of a block: the first that fits.
#[must_use]
pub fn row(block: &Block) -> Option<&'static Row> {
    ROWS.iter().find(|(page, beginning, _)| block.page == *page && block.text.starts_with(beginning))
}

/// The blocks of commands in README.md and docs/, each page's in its order.
pub fn blocks() -> Result<Vec<Block>, Failure> {
    let mut pages = vec!["README.md".to_owned()];
    for entry in fs::read_dir(repository().join("docs")).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            pages.push(format!("docs/{name}"));
        }
    }
    pages.sort_unstable();
    let mut blocks = Vec::new();
    for page in pages {
        let text = fs::read_to_string(repository().join(&page)).map_err(failure)?;
        let texts = commands(&text).map_err(|error| format!("{page}: {error}"))?;
        blocks.extend(texts.into_iter().map(|text| Block { page: page.clone(), text }));
    }
    Ok(blocks)
}

/// The commands of a page, block by block, without the indentation of the list that one stands in.
fn commands(page: &str) -> Result<Vec<String>, Failure> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some((indent, language)) = line.split_once("```").filter(|(indent, _)| indent.trim().is_empty()) else {
            continue;
        };
        let block = lines.by_ref().take_while(|line| line.trim() != "```");
        let block: Vec<&str> = block.map(|line| line.strip_prefix(indent).unwrap_or(line)).collect();
        match language {
            "bash" => blocks.push(block.join("\n")),
            "console" => blocks.push(asked(&block)?),
            "sh" | "shell" => return Err(format!("a block of {language}: write bash, or console with what it prints")),
            _ => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    Ok(blocks)
}

/// What is typed of what a terminal shows: what stands behind `$ `, and further lines until it is whole.
fn asked(shown: &[&str]) -> Result<String, Failure> {
    let mut typed = Vec::new();
    let mut lines = shown.iter();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut command = command.to_owned();
        while !is_whole(&command)? {
            let next = lines.next().ok_or_else(|| format!("{command} has no end"))?;
            command = format!("{command}\n{next}");
        }
        typed.push(command);
    }
    Ok(typed.join("\n"))
}

fn is_whole(command: &str) -> Result<bool, Failure> {
    let checked = Command::new("bash").args(["-n", "-c", command]).output().map_err(failure)?;
    Ok(checked.status.success() && checked.stderr.is_empty() && !command.ends_with('\\'))
}

/// What a block would run, word by word: bash reads it, finds none of the programs and says what it looked for.
pub fn programs(block: &Block) -> Result<Vec<Vec<String>>, Failure> {
    // Those of a pipeline write at once, each to a file of its own.
    const PRELUDE: &str = r#"
        PATH=/nonexistent
        command_not_found_handle() { printf '%s\037' "$@" >"$ASKED/$BASHPID"; }
    "#;
    let folder = std::env::temp_dir().join(format!("kubesentiment-commands-{}", std::process::id()));
    let [asked, place] = ["asked", "place"].map(|name| folder.join(name));
    for made in [&asked, &place] {
        fs::create_dir_all(made).map_err(failure)?;
    }
    let script = format!("{PRELUDE}\n{}\nwait", block.text);
    let ran = Command::new("bash").args(["-c", &script]).current_dir(&place).env("ASKED", &asked).output();
    let said: Result<Vec<String>, Failure> = fs::read_dir(&asked)
        .map_err(failure)?
        .map(|file| fs::read_to_string(file.map_err(failure)?.path()).map_err(failure))
        .collect();
    fs::remove_dir_all(&folder).map_err(failure)?;
    let errors = String::from_utf8_lossy(&ran.map_err(failure)?.stderr).into_owned();
    ensure!(!errors.contains("syntax error"), "{errors}");
    let words = |command: &String| command.split_terminator('\u{1f}').map(ToOwned::to_owned).collect();
    Ok(said?.iter().map(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_and_what_is_run() {
        let page = "1. so:\n   ```console\n   $ a 'b\n   c' | d\n   printed\n   $ e \\\n     f\n   ```\n```yaml\n$ no: 1\n```\n";
        let texts = commands(page).unwrap();
        assert_eq!(texts, ["a 'b\nc' | d\ne \\\n  f"]);
        let block =
            Block { page: String::new(), text: format!("{}\nfor i in 1 2; do g \"$(h $i)\"; done &", texts[0]) };
        let mut programs = programs(&block).unwrap();
        programs.sort();
        let programs: Vec<String> = programs.iter().map(|words| words.join(" ")).collect();
        assert_eq!(programs, ["a b\nc", "d", "e f", "g ", "g ", "h 1", "h 2"]);
    }
}
