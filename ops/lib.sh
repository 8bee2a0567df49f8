# shellcheck shell=bash
# Shared by ops/demo, ops/test and .ci/run: installs missing tools, and sets where cargo builds.
#
# Existing tools are not installed again, so a second run is quick and needs no network.
# TAILBURN_NO_INSTALL=1 installs nothing and says what is missing instead.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The toolchain to install if there is none: the one whose lints the code follows.
toolchain=1.95.0

# Outside the checkout: a fresh clone need not compile RocksDB again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tailburn/target}

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# 75 -> "1 min 15 s"
duration() { if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi; }

# --- the system's packages ---------------------------------------------------------------------

has_package() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Whether the tool of a package exists, however it was installed.
is_present() {
  case $1 in
    gcc) command -v cc >/dev/null && command -v gcc >/dev/null ;;
    g++) command -v c++ >/dev/null && command -v g++ >/dev/null ;;
    prometheus) command -v promtool >/dev/null ;;
    make | cmake | curl | pkg-config | npm | chromium) command -v "$1" >/dev/null ;;
    nodejs) command -v node >/dev/null ;;
    prometheus-alertmanager) command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null ;;
    python3 | openssl) command -v "$1" >/dev/null ;;
    ca-certificates) [[ -s /etc/ssl/certs/ca-certificates.crt ]] || has_package "$1" ;;
    *) ! command -v dpkg-query >/dev/null || has_package "$1" ;;
  esac
}

# Installs the missing packages with one call of apt-get.
need_packages() {
  local package missing=() as_root=()
  for package; do is_present "$package" || missing+=("$package"); done
  ((${#missing[@]} > 0)) || return 0
  [[ ${TAILBURN_NO_INSTALL:-0} != 1 ]] || die "missing: ${missing[*]}. Install it, or unset TAILBURN_NO_INSTALL."
  command -v apt-get >/dev/null \
    || die "missing (by Debian's names): ${missing[*]}. Install it with this machine's package manager and start again."
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "missing: ${missing[*]}. As root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing ${missing[*]}"
  apt "${as_root[@]}" update || say "apt-get update failed; trying with the lists at hand"
  apt "${as_root[@]}" install -y --no-install-recommends "${missing[@]}" \
    || die "apt-get could not install ${missing[*]}: see above"
}

# apt [sudo] ARGUMENT...: asks nothing, waits for another apt-get, and talks only where it fails.
apt() {
  local as_root=() said
  if [[ $1 == sudo ]]; then as_root=(sudo); shift; fi
  said=$("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null) \
    || { say "$said"; return 1; }
}

# --- Rust --------------------------------------------------------------------------------------

# The oldest Rust that compiles the crate.
rust_needed() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml"; }

# Whether the rustc that cargo would use is new enough. (Asked in the checkout, as rustup would.)
rust_is_new_enough() {
  local there needed
  command -v cargo >/dev/null || return 1
  there=$(cd "$root" && RUSTUP_AUTO_INSTALL=0 rustc --version 2>/dev/null | cut -d' ' -f2) || return 1
  needed=$(rust_needed)
  [[ -n $there && $(printf '%s\n%s\n' "$needed" "${there%%-*}" | sort -V | head -n 1) == "$needed" ]]
}

# The cargo on PATH or in ~/.cargo/bin if it is new enough, else one that rustup installs.
need_rust() {
  if rust_is_new_enough; then return; fi
  export PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
  hash -r
  if rust_is_new_enough; then return; fi
  install_rust
}

install_rust() {
  local found installer
  found=$(rustc --version 2>/dev/null || echo none)
  # A default or an override that is too old stays as it is, for other projects.
  export RUSTUP_TOOLCHAIN=$toolchain
  if rust_is_new_enough; then return; fi
  [[ ${TAILBURN_NO_INSTALL:-0} != 1 ]] || die "Rust $(rust_needed) or newer is needed, found: $found. See https://rustup.rs"
  say "installing Rust $toolchain with rustup (found: $found)"
  if command -v rustup >/dev/null; then
    rustup -q toolchain install "$toolchain" --profile minimal >&2 || die "rustup could not install Rust $toolchain"
  else
    # Fetched in full before it runs: half a script is another script.
    installer=$(mktemp)
    curl --proto '=https' --tlsv1.2 -fsS --retry 3 -o "$installer" https://sh.rustup.rs \
      || { rm -f "$installer"; die "https://sh.rustup.rs could not be read. Is there a network? Rust $(rust_needed) or newer from elsewhere will do."; }
    sh "$installer" -q -y --no-modify-path --profile minimal --default-toolchain "$toolchain" >&2 \
      || { rm -f "$installer"; die "rustup could not be installed"; }
    rm -f "$installer"
  fi
  hash -r
  rust_is_new_enough || die "Rust $toolchain was installed, and is not what $(command -v rustc || echo PATH) runs"
}

# need_component clippy|rustfmt: a minimal toolchain lacks them.
need_component() {
  local tool=$1
  if [[ $tool == rustfmt ]]; then tool=fmt; fi
  ! (cd "$root" && cargo "$tool" --version) >/dev/null 2>&1 || return 0
  [[ ${TAILBURN_NO_INSTALL:-0} != 1 ]] || die "cargo $tool is missing. Install it, or unset TAILBURN_NO_INSTALL."
  command -v rustup >/dev/null || die "cargo $tool is missing: install it as you installed $(command -v cargo)"
  say "installing $1"
  (cd "$root" && rustup -q component add "$1" >&2) || die "rustup could not install $1"
}

# --- what each command needs -------------------------------------------------------------------

# The program without RocksDB and librdkafka has little C in it.
install_for_demo() {
  need_packages gcc libc6-dev curl ca-certificates
  need_rust
}

# All of it, from RocksDB's bindings to TLS for Kafka. (The library that fetches tokens for OAUTHBEARER is compiled in.)
# Of Prometheus the tests need promtool alone, and Debian packs both together.
install_for_tests() {
  need_packages gcc g++ make cmake libc6-dev curl ca-certificates libclang-dev pkg-config libssl-dev zlib1g-dev prometheus
  need_rust
}

# --- building, with progress -------------------------------------------------------------------

build_log=
build_pid=

# Ends a build that is under way, and forgets its log.
stop_build() {
  # The build is a process group of its own, compilers and all; Ctrl-C reaches the script alone.
  if [[ -n $build_pid ]]; then kill -- "-$build_pid" 2>/dev/null || true; fi
  if [[ -n $build_log ]]; then rm -f "$build_log"; fi
  build_pid=
  build_log=
}

# Where the build stands, in the words of cargo's own progress bar.
build_progress() {
  tail -c 1000 "$build_log" | tr '\r' '\n' | sed -n 's/\x1b\[[0-9;]*[A-Za-z]//g
    s/^ *\(Blocking waiting for .*\)/waiting: another cargo is at work/p
    s/^ *Downloading.*/downloading dependencies/p
    s|^ *Building \[[^]]*\] \([0-9]*\)/\([0-9]*\)|building, \1 of \2|p' | tail -n 1 | sed 's/ *$//'
}

# show_build_progress SECONDS: one line that changes on a terminal; elsewhere a line every so often.
show_build_progress() {
  local where began_s=$SECONDS next_s=$((SECONDS + 2))
  while kill -0 "$build_pid" 2>/dev/null; do
    where=$(build_progress)
    if [[ -t 2 ]]; then
      printf '\r\033[K%s (%s)' "${where:-starting the build}" "$(duration $((SECONDS - began_s)))" >&2
    elif ((SECONDS >= next_s)); then
      say "${where:-starting the build} ($(duration $((SECONDS - began_s))))"
      next_s=$((SECONDS + $1))
    fi
    sleep 0.5
  done
  if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi
}

# What cargo said, less what was progress.
build_failure() {
  tr '\r' '\n' <"$build_log" | grep -Ev '^ *(Building|Compiling|Downloading|Downloaded|Updating|Locking|Blocking) |^\s*$' >&2 || true
}

# build_with_progress SECONDS CARGO-ARGUMENT...: runs cargo; what it says is shown where it fails.
build_with_progress() {
  local every_s=$1 code=0
  shift
  build_log=$(mktemp)
  set -m
  CARGO_TERM_PROGRESS_WHEN=always CARGO_TERM_PROGRESS_WIDTH=100 CARGO_TERM_COLOR=never \
    cargo "$@" </dev/null >"$build_log" 2>&1 &
  build_pid=$!
  set +m
  show_build_progress "$every_s"
  wait "$build_pid" || code=$?
  build_pid=
  if ((code != 0)); then build_failure; fi
  stop_build
  return "$code"
}
