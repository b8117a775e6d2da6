# shellcheck shell=bash
# What the image scripts share: timed steps, and the way to the host's mirrors. To be sourced.

cache=${KUBESENTIMENT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubesentiment}
# Every script of this project uses this driver, since a store is per driver.
BUILDAH=(buildah --storage-driver overlay)
# Neither a user namespace nor cgroups are needed with it, so it works inside a container too.
# shellcheck disable=SC2034  # the sourcing scripts use it
ISOLATION=(--isolation chroot)
# Marks an image of ours that stands in for one that can't be pulled; its value says what it was made from.
STAND_IN_LABEL=io.kubesentiment.stand-in

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 1; }

# The end of a log, or of what its last line has been overwritten with.
last_line() { tail -c 4096 "$1" | tr '\r' '\n' | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | grep '[^[:space:]]' | tail -n 1 | cut -c1-100; }

# step TITLE COMMAND...: one line when it ends, one every 30 s while it runs, and its output only if it fails.
step() {
  local title=$1 begin=$SECONDS log pid status=0 waited=0
  shift
  mkdir -p "$cache/log"
  log=$(mktemp "$cache/log/step.XXXXXX")
  # A process group of its own, so that Ctrl-C can end all of it; a plain background job would ignore it.
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  trap 'kill -TERM -- "-$pid" 2>/dev/null; exit 130' INT TERM HUP
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    ((waited % 150)) || say "  ... $title: $((SECONDS - begin)) s, $(last_line "$log")"
  done
  wait "$pid" || status=$?
  trap - INT TERM HUP
  if ((status)); then
    say "  FAILED after $((SECONDS - begin)) s: $title. The end of its output:"
    tail -n 40 "$log" >&2
    say "  all of it: $log"
    return "$status"
  fi
  rm -f "$log"
  say "  $title: $((SECONDS - begin)) s"
}

# need PROGRAM...: Debian names these packages like their programs.
need() {
  local program
  local -a missing=()
  for program in "$@"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  ((${#missing[@]})) || return 0
  if ((EUID == 0)) && command -v apt-get >/dev/null; then
    step "installing ${missing[*]}" install_packages "${missing[@]}"
  else
    die "missing: ${missing[*]}. On Debian and Ubuntu: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
}

install_packages() {
  # The first try fails on a machine whose package lists were never fetched or are old.
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" || {
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
  }
}

# Options that let RUN steps use the host's mirrors, proxies and certificate authorities. They are
# mounts, not --env: the latter would stay in the image.
host_volumes() {
  local bundle settings=$cache/host-settings variable key file
  mkdir -p "$settings"
  bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
  if [[ -f $bundle ]]; then
    printf '%s\n' --volume "$bundle:/etc/ssl/certs/ca-certificates.crt:ro"
    # Configuration files name the bundle by its path on the host.
    [[ $bundle == /etc/ssl/certs/ca-certificates.crt ]] || printf '%s\n' --volume "$bundle:$bundle:ro"
  fi

  [[ ! -f /etc/pip.conf ]] || printf '%s\n' --volume /etc/pip.conf:/etc/pip.conf:ro
  file=${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf
  [[ ! -f $file ]] || printf '%s\n' --volume "$file:/root/.config/pip/pip.conf:ro"
  {
    echo '[global]'
    for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_PROXY PIP_DEFAULT_TIMEOUT PIP_RETRIES; do
      [[ -z ${!variable:-} ]] && continue
      key=${variable#PIP_}
      key=${key,,}
      printf '%s = %s\n' "${key//_/-}" "${!variable}"
    done
    [[ ! -f $bundle ]] || echo 'cert = /etc/ssl/certs/ca-certificates.crt'
  } >"$settings/pip.conf"
  printf '%s\n' --volume "$settings/pip.conf:/root/.pip/pip.conf:ro"

  # Cargo says how far it is, for step to show.
  printf '[term]\nprogress = {when = "always", width = 80}\n' >"$settings/cargo.toml"
  printf '%s\n' --volume "$settings/cargo.toml:/.cargo/config.toml:ro"
  file=${CARGO_HOME:-$HOME/.cargo}/config.toml
  [[ ! -f $file ]] || printf '%s\n' --volume "$file:/usr/local/cargo/config.toml:ro"

  if command -v apt-config >/dev/null; then
    apt-config dump Acquire | grep -iE 'proxy|cainfo|timeout|retries' >"$settings/apt.conf" || true
    printf '%s\n' --volume "$settings/apt.conf:/etc/apt/apt.conf.d/99host:ro"
  fi
}

# The stand-in's value of STAND_IN_LABEL; empty when the image is absent or a real one.
stand_in_key() {
  "${BUILDAH[@]}" inspect --type image --format "{{index .OCIv1.Config.Labels \"$STAND_IN_LABEL\"}}" "$1" 2>/dev/null || true
}

# Base images that the Dockerfile's FROM lines name, without the stages and the one chosen by a build argument.
bases_of() {
  # shellcheck disable=SC2016  # a literal dollar sign
  sed -n 's/^FROM \([^ $]*\/[^ $]*\).*/\1/p' "$1" | sort -u
}

present() { "${BUILDAH[@]}" inspect --type image "$1" >/dev/null 2>&1; }

# key_of FILE_OR_TEXT...: what an image's content depends on, as a short digest.
key_of() {
  local part
  for part in "$@"; do
    if [[ -f $part ]]; then cat "$part"; else printf '%s\n' "$part"; fi
  done | sha256sum | cut -c1-16
}

# commit CONTAINER NAME KEY
commit() {
  "${BUILDAH[@]}" config --label "$STAND_IN_LABEL=$3" "$1"
  "${BUILDAH[@]}" commit --quiet --rm "$1" "$2"
}
