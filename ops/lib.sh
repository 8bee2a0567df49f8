# shellcheck shell=bash
# What ops/demo, ops/test and .ci/run share: installing what is missing, and where cargo builds.
#
# Nothing that is there already is installed again, so a second run is quick and needs no network.
# TAILBURN_NO_INSTALL=1 installs nothing and says what is missing instead.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The toolchain that is installed where there is none: the one whose lints the code is kept to.
toolchain=1.95.0

# Outside the checkout: a fresh clone need not compile RocksDB again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tailburn/target}

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

# 75 -> "1 min 15 s"
duration() { if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi; }

# --- the system's packages ---------------------------------------------------------------------

has_package() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Whether what a package is wanted for is there, whoever installed it.
is_present() {
  case $1 in
    gcc) command -v cc >/dev/null && command -v gcc >/dev/null ;;
    g++) command -v c++ >/dev/null && command -v g++ >/dev/null ;;
    make | curl | pkg-config) command -v "$1" >/dev/null ;;
    ca-certificates) [[ -s /etc/ssl/certs/ca-certificates.crt ]] || has_package "$1" ;;
    *) ! command -v dpkg-query >/dev/null || has_package "$1" ;;
  esac
}

# Installs those of the packages that are missing, with one call of apt-get.
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

# All of it, from RocksDB's bindings to TLS for Kafka.
install_for_tests() {
  need_packages gcc g++ make libc6-dev curl ca-certificates libclang-dev pkg-config libssl-dev zlib1g-dev
  need_rust
}
