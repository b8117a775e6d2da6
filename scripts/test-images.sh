#!/usr/bin/env bash
# What the built images promise, checked on their configuration and files. Needs root.
#
#   scripts/test-images.sh [server] [server-debug] [operator]      without a name: all three
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/base-images/lib.sh
. "$here/base-images/lib.sh"

# Compressed bytes, as a registry stores them; the aims are the project's.
server_limit=$((80 * 1000 * 1000))
operator_limit=$((20 * 1000 * 1000))

passed=0 failed=0
check() {
  local title=$1
  shift
  if "$@"; then
    passed=$((passed + 1)); echo "ok    $image: $title"
  else
    failed=$((failed + 1)); echo "FAIL  $image: $title"
  fi
}

((EUID == 0)) || die "needs root, to look into the images"
need jq
if [[ ${IMAGE_BUILDER:-} != buildah ]] && timeout 10 docker info >/dev/null 2>&1; then engine=docker; else engine=buildah; fi

work=$(mktemp -d)
container='' server_pid=''
release() {
  [[ -z $server_pid ]] || kill "$server_pid" 2>/dev/null || true
  [[ -z $container ]] || "${BUILDAH[@]}" rm "$container" >/dev/null
  server_pid='' container=''
}
trap 'release; rm -rf "$work"' EXIT

# Sets config (JSON as docker has it), rootfs and the compressed size.
open_image() {
  local id
  if [[ $engine == docker ]]; then
    config=$(docker image inspect --format '{{json .Config}}' "$image")
    rootfs=$work/rootfs-${image//:/-}
    mkdir -p "$rootfs"
    id=$(docker create "$image")
    docker export "$id" | tar -C "$rootfs" --numeric-owner -xpf -
    docker rm "$id" >/dev/null
  else
    config=$("${BUILDAH[@]}" inspect --type image "$image" | jq .Docker.config)
    container=$("${BUILDAH[@]}" from --pull-never "$image")
    rootfs=$("${BUILDAH[@]}" mount "$container")
  fi
  size=$("$here/image-size.sh" "$image")
}

has() { jq -e "$1" >/dev/null <<<"$config"; }
inside() { chroot --userspec=65532:65532 "$rootfs" "$@"; }

# Any program that would let an intruder, or a build step, do more than serve.
tools() {
  find "$rootfs" \( -type f -o -type l \) -printf '%f\n' |
    grep -xE '(ba|da|a|z|k)?sh|busybox|toybox|apt|apt-get|dpkg|apk|rpm|yum|dnf|pip[0-9.]*|python[0-9.]*|perl|curl|wget|nc|gdb|strace' || true
}
no_tools() { [[ -z $(tools) ]] || { tools; return 1; }; }
no_setuid() { [[ -z $(find "$rootfs" -xdev -type f -perm /6000 -print -quit) ]]; }
under() { (($1 < $2)); }

check_common() {
  check "user is 65532:65532" has '.User == "65532:65532"'
  check "the entry point is an array that names one program" has '.Entrypoint | length == 1 and (.[0] | startswith("/"))'
  check "no command is left from the base" has '(.Cmd // []) == []'
  # shellcheck disable=SC2016  # jq's variables
  check "title, version, revision and time are labels" has '
    .Labels as $l | ["title", "version", "revision", "created"] | all($l["org.opencontainers.image." + .] // "" != "")'
  check "passwd knows the user" grep -q '^nonroot:x:65532:65532:' "$rootfs/etc/passwd"
  check "certificate authorities are there" test -s "$rootfs/etc/ssl/certs/ca-certificates.crt"
  check "no setuid program" no_setuid
}

# Every library is found, in the image and by the image's own loader.
libraries_found() {
  local loader
  for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
    if [[ -L $rootfs$loader || -e $rootfs$loader ]]; then
      inside "$loader" --list "$1" >"$work/libraries" && ! grep 'not found' "$work/libraries"
      return
    fi
  done
  echo "no loader in the image"
  return 1
}

app_is_ours() {
  local wrong
  wrong=$(find "$rootfs/app" \( ! -uid 65532 -o ! -gid 0 -o -type d ! -perm 775 -o -type f ! -perm 664 ! -perm 775 \) -printf '%M %U:%G %p\n')
  [[ -z $wrong ]] || { echo "$wrong"; return 1; }
}

build_info_matches() {
  jq -e --argjson config "$config" '
    $config.Labels as $l | keys == ["buildtime", "revision", "version"]
      and .version == $l["org.opencontainers.image.version"]
      and .revision == $l["org.opencontainers.image.revision"]
      and (.buildtime | fromdateiso8601 > 0)' "$rootfs/app/build-info.json" >/dev/null
}

# The server with the image's own environment, in its own root, as its own user, asked by its own health check whether it
# is ready. As in a container /proc is there: without it ONNX Runtime maps no weights.
answers() {
  local port tries
  local -a environment
  mapfile -t environment < <(jq -r '.Env[]' <<<"$config")
  port=$((20000 + RANDOM % 10000))
  mkdir -p "$rootfs/proc"
  # shellcheck disable=SC2016  # the inner shell expands it
  unshare --mount bash -c 'mount --rbind /proc "$0/proc" && exec "$@"' "$rootfs" \
    env -i "${environment[@]}" MLOPS_HOST=127.0.0.1 MLOPS_PORT="$port" MLOPS_GRPC_PORT=0 MLOPS_DRAIN_SECONDS=0 \
    chroot --userspec=65532:65532 "$rootfs" /app/sentiment-server >"$work/server.log" 2>&1 &
  server_pid=$!
  for ((tries = 0; tries < 100; tries++)); do
    if env -i "${environment[@]}" HEALTHCHECK_PORT="$port" HEALTHCHECK_PATH=/api/v1/ready \
      chroot --userspec=65532:65532 "$rootfs" /app/healthcheck --host 127.0.0.1 2>/dev/null; then
      kill -TERM "$server_pid"
      wait "$server_pid" || { cat "$work/server.log"; server_pid=''; return 1; }
      server_pid=''
      return 0
    fi
    kill -0 "$server_pid" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$work/server.log"
  return 1
}

check_server() {
  check "the entry point is the server" has '.Entrypoint == ["/app/sentiment-server"]'
  check "the health check runs without a shell" has '.Healthcheck.Test == ["CMD", "/app/healthcheck"]'
  check "port 8000 is declared" has '.ExposedPorts | has("8000/tcp")'
  check "port 8001 is declared" has '.ExposedPorts | has("8001/tcp")'
  check "HEALTHCHECK_PATH is the production path" has '.Env | any(. == "HEALTHCHECK_PATH=/api/v1/health")'
  for name in sentiment-server healthcheck model-fetch build-info.json config logs tmp model/model.onnx model/model.onnx.data model/model.onnx.varlen model/tokenizer.json model/config.json model/drift-baseline.json lib/libonnxruntime.so; do
    check "/app/$name exists" test -e "$rootfs/app/$name"
  done
  check "/app belongs to 65532 and group 0, which has the rights of the user" app_is_ours
  check "build-info.json says what the labels say" build_info_matches
  check "the model is the one of its checksums" model_is_shipped
  check "sentiment-server --version runs" inside /app/sentiment-server --version
  check "healthcheck --version runs" inside /app/healthcheck --version
  check "model-fetch --version runs" inside /app/model-fetch --version
  check "healthcheck without a server exits 1" exits 1 inside /app/healthcheck --port 1 --timeout 1
  check "ONNX Runtime's libraries are all found" libraries_found /app/lib/libonnxruntime.so
  check "starts, is ready and ends with 0 on SIGTERM" answers
  check "$((size / 1000 / 1000)) MB compressed are under $((server_limit / 1000 / 1000))" under "$size" "$server_limit"
}

model_is_shipped() { (cd "$rootfs/app/model" && sha256sum --quiet -c "$here/../models/default/SHA256SUMS"); }

exits() {
  local wanted=$1 status=0
  shift
  "$@" >/dev/null 2>&1 || status=$?
  ((status == wanted))
}

check_operator() {
  check "the entry point is the operator" has '.Entrypoint == ["/kubesentiment-operator"]'
  check "kubesentiment-operator --version runs" inside /kubesentiment-operator --version
  check "its libraries are all found" libraries_found /kubesentiment-operator
  check "$((size / 1000 / 1000)) MB compressed are under $((operator_limit / 1000 / 1000))" under "$size" "$operator_limit"
}

check_debug() {
  check "sh is in PATH" has '.Env | any(startswith("PATH=") and endswith(":/busybox"))'
  # shellcheck disable=SC2016  # the image's shell expands it
  check "sh runs, as user 65532" test "$(inside /busybox/sh -c 'PATH=$PATH:/busybox; id -u; ls /app/build-info.json' 2>&1 | tr '\n' ' ')" = "65532 /app/build-info.json "
}

(($#)) || set -- server server-debug operator
for kind in "$@"; do
  case $kind in
    server) image=sentiment-service:distroless ;;
    server-debug) image=sentiment-service:distroless-debug ;;
    operator) image=kubesentiment-operator:distroless ;;
    *) die "no image is called $kind" ;;
  esac
  open_image
  check_common
  case $kind in
    server) check "no shell, package manager or tool" no_tools; check_server ;;
    server-debug) check_debug; check_server ;;
    operator) check "no shell, package manager or tool" no_tools; check_operator ;;
  esac
  release
done
echo "$passed passed, $failed failed"
((failed == 0))
