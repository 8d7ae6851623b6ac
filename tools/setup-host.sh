#!/usr/bin/env bash
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
#
# Makes this host ready: the distribution's packages of bindep.txt and a
# virtual environment with imagebuild in it. Safe to run again; a second run
# with nothing to do takes a moment.
#
#   tools/setup-host.sh [runtime] [test] [docs]
#
# runtime is always done. VENV (default: .venv in the checkout) and PYTHON
# (default: /usr/bin/python3) may be set.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
VENV=${VENV:-$ROOT/.venv}
# Not the first python3 on PATH: libguestfs' binding is installed for the
# distribution's interpreter, and others (pyenv's, for one) do not see it.
PYTHON=${PYTHON:-/usr/bin/python3}
PROFILES=(runtime)

say() { printf 'setup-host: %s\n' "$*"; }
die() {
    say "$*" >&2
    exit 3
}

for profile in "$@"; do
    case $profile in
        runtime) ;;
        test | docs) PROFILES+=("$profile") ;;
        -h | --help)
            sed -n 's/^# \{0,1\}//; /^Makes this host/,/^(default/p' "$0"
            exit 0
            ;;
        *)
            say "unknown profile $profile (runtime, test, docs)" >&2
            exit 2
            ;;
    esac
done

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --non-interactive "$@"
    else
        die "only root can install packages: $*"
    fi
}

# Prints the names of bindep.txt for this distribution and these profiles.
wanted_packages() {
    local id
    id=$(. /etc/os-release && echo "$ID")
    awk -v id="$id" -v profiles="${PROFILES[*]}" '
        BEGIN {
            split(profiles, list, " ")
            for (i in list) asked[list[i]] = 1
        }
        /^[ \t]*(#|$)/ { next }
        {
            name = $1
            selectors = ""
            if (match($0, /\[.*\]/))
                selectors = substr($0, RSTART + 1, RLENGTH - 2)
            n = split(selectors, words, " ")
            platform = 1; profile = 1
            for (i = 1; i <= n; i++) {
                if (words[i] ~ /^platform:/)
                    platform = (words[i] == "platform:dpkg" \
                                || words[i] == "platform:" id)
                else
                    profile = (words[i] in asked)
            }
            if (platform && profile) print name
        }' bindep.txt | sort -u
}

missing_packages() {
    local name state
    for name in $(wanted_packages); do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) \
            || state=
        [[ $state == installed ]] || echo "$name"
    done
}

APT=(env DEBIAN_FRONTEND=noninteractive apt-get -qq
    -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)

refresh_index() {
    say 'refreshing the package index'
    # A third-party source that does not answer is no reason to stop: whether
    # the packages can be had is seen when they are installed.
    as_root "${APT[@]}" update </dev/null \
        || say 'some package sources did not answer; going on'
}

index_knows() {
    # No candidate for one of them: the index is missing or too old.
    local name
    for name in "$@"; do
        [[ $(LC_ALL=C apt-cache policy "$name") \
            == *'Candidate: '[!\(]* ]] || return 1
    done
}

# Services of the packages must not start on a build host: policy-rc.d says
# no, unless the host already has a policy of its own.
POLICY=/usr/sbin/policy-rc.d
OWN_POLICY=
remove_policy() {
    [[ -z $OWN_POLICY ]] || as_root rm -f "$POLICY"
    OWN_POLICY=
}
trap remove_policy EXIT

forbid_services() {
    [[ ! -e $POLICY ]] || return 0
    OWN_POLICY=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

apt_install() {
    local log
    log=$(mktemp)
    if as_root "${APT[@]}" install --yes --no-install-recommends "$@" \
        </dev/null >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    if [[ ${#missing[@]} == 0 ]]; then
        say 'packages: all there'
        return 0
    fi
    index_knows "${missing[@]}" || refresh_index
    say "installing ${#missing[@]} packages: ${missing[*]}"
    forbid_services
    if ! apt_install "${missing[@]}"; then
        # The index was there, but older than the mirror.
        refresh_index
        apt_install "${missing[@]}" || die 'packages could not be installed'
    fi
    remove_policy
}

check_kernel() {
    # supermin boots a kernel of this host.
    compgen -G '/boot/vmlinuz*' >/dev/null \
        || compgen -G '/lib/modules/*/vmlinuz' >/dev/null \
        || say 'warning: no kernel in /boot; libguestfs needs one'
}

requirement_files() {
    local profile
    for profile in "${PROFILES[@]}"; do
        case $profile in
            runtime) echo requirements.txt ;;
            test) echo test-requirements.txt ;;
            docs) echo doc/requirements.txt ;;
        esac
    done
}

# What the virtual environment was made from: a checkout that was moved or
# copied, another interpreter or changed requirements need it made again.
stamp() {
    echo "$ROOT $VENV $("$PYTHON" -V 2>&1)"
    sha256sum setup.cfg setup.py pyproject.toml "$@"
}

stamp_file() { echo "$VENV/.imagebuild-$1"; }

venv_is_current() {
    local profile file
    [[ -x $VENV/bin/python ]] || return 1
    for profile in "${PROFILES[@]}"; do
        file=$(PROFILES=("$profile"); requirement_files)
        [[ $(stamp "$file") == \
            "$(cat "$(stamp_file "$profile")" 2>/dev/null)" ]] || return 1
    done
}

make_venv() {
    if venv_is_current; then
        say "virtual environment: up to date ($VENV)"
        return 0
    fi
    if [[ ! -x $VENV/bin/python ]] \
        || [[ $(head -n 1 "$(stamp_file runtime)" 2>/dev/null) != \
            "$(stamp | head -n 1)" ]]; then
        say "making the virtual environment $VENV"
        "$PYTHON" -m venv --clear --system-site-packages "$VENV"
    fi
    local args=() file profile
    for file in $(requirement_files); do
        args+=(-r "$file")
    done
    say "installing Python requirements: ${PROFILES[*]}"
    # pbr takes the version from git's history. A tree without one (an exported
    # tarball, a clone of depth 1) or one that git refuses to read has it from
    # setup.cfg.
    local commits
    commits=$(git rev-list --count HEAD 2>/dev/null) || commits=0
    if ((commits < 2)); then
        PBR_VERSION=${PBR_VERSION:-$(sed -n 's/^version = //p' setup.cfg)}
        export PBR_VERSION
    fi
    # The name that this distribution had once: both would be found.
    "$VENV/bin/python" -m pip uninstall -qq --yes \
        --disable-pip-version-check imagebuild </dev/null
    SKIP_GENERATE_AUTHORS=1 SKIP_WRITE_GIT_CHANGELOG=1 \
        "$VENV/bin/python" tools/pip_install.py "${args[@]}" \
        --editable '.[client,packer,service,ssh,mysql,postgresql,dib]' \
        || die 'Python packages could not be installed; pip says above why'
    for profile in "${PROFILES[@]}"; do
        file=$(PROFILES=("$profile"); requirement_files)
        stamp "$file" >"$(stamp_file "$profile")"
    done
}

check_guestfs() {
    "$VENV/bin/python" -c 'import guestfs' 2>/dev/null || die \
        "$PYTHON cannot import guestfs; install python3-guestfs for it"
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    install_packages
else
    say 'not a Debian-like host: install what bindep.txt names yourself'
fi
check_kernel
make_venv
check_guestfs
say 'ready'
