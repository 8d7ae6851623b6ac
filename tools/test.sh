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
# Makes this host ready and runs everything that can be checked on it:
# pre-commit, the tests of the Heat plugin in Heat's own engine, the unit and
# functional tests, the integration tests with real disk images and databases,
# and the cloud tests with a real OpenStack on the loopback interface.
#
#   tools/test.sh [pytest options and paths]
#
# Paths given replace all of these but pre-commit. JUnit reports are left in
# test-results/. pytest's last lines are the last thing printed. The exit code
# is 0 when all of it passed.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-$PWD/.venv}
export VENV
RESULTS=${TEST_RESULTS:-test-results}

tools/setup-host.sh test docs
PATH=$VENV/bin:$PATH

# Prints what pre-commit finds; its exit code says whether there was anything.
lint() {
    if ! command -v git >/dev/null || [[ ! -e .git ]]; then
        echo 'test: not a git checkout, pre-commit is left out'
    elif ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        echo 'test: git refuses to read this checkout, pre-commit is left out'
    else
        pre-commit run --all-files --show-diff-on-failure --color never \
            </dev/null
    fi
}

# Heat is not among our requirements: its tests run in the environment that
# the cloud's services have.
heat_tests() {
    local directory
    directory=$(PYTHONPATH=. /usr/bin/python3 -m tools.cloud environment) \
        || return 1
    "$directory/bin/python" -m pytest --junitxml="$RESULTS/heat.xml" -W ignore \
        tests/heat </dev/null
}

# Where libraries are used, with the oldest that our requirements allow: about
# a minute of one processor, beside runs that mostly wait. In the background.
lower_bounds() {
    exec tools/lower-constraints.sh --quick \
        --junitxml="$(realpath "$RESULTS")/lower.xml" \
        </dev/null >"$RESULTS/lower.log" 2>&1
}

paths=()
for argument in "$@"; do
    [[ -e ${argument%%::*} ]] && paths+=("$argument")
done
mkdir -p "$RESULTS"
say_lint() {
    [[ $lint == 0 ]] || printf '\ntest: PRE-COMMIT FAILED, see above\n\n'
}

lint=0
if [[ ${#paths[@]} != 0 ]]; then
    lint || lint=1
    say_lint
    rc=0
    pytest --junitxml="$RESULTS/junit.xml" "$@" </dev/null || rc=$?
    [[ $rc != 0 ]] || rc=$lint
    exit "$rc"
fi

# There are three runs side by side: a guest or a service is waited for by one
# while another uses the processors. The outputs of the second and the third
# are shown when they are complete. All use the same base images.
SERVERS=tests/integration/test_databases.py
FIRST=(tests/unit tests/functional "$SERVERS")
SECOND=(tests/integration "--ignore=$SERVERS")
THIRD=(tests/cloud)
IMAGES=
PIDS=()
clean_up() {
    [[ ${#PIDS[@]} == 0 ]] || kill "${PIDS[@]}" 2>/dev/null || true
    wait
    [[ -z $IMAGES ]] || rm -rf "$IMAGES"
}
trap clean_up EXIT
if [[ -z ${IMAGEBUILD_TEST_CACHE:-} ]]; then
    IMAGES=$(mktemp -d "${TMPDIR:-/var/tmp}/imagebuild-test-images.XXXXXX")
    export IMAGEBUILD_TEST_CACHE=$IMAGES
fi

# Starts pytest in the background: the name of its report, and its arguments.
start() {
    local name=$1
    shift
    # It is there before anybody follows it.
    : >"$RESULTS/$name.log"
    pytest --junitxml="$RESULTS/$name.xml" --tb=short --durations=20 "$@" \
        </dev/null >"$RESULTS/$name.log" 2>&1 &
    PIDS+=($!)
}

first=0
second=0
third=0
heat=0
lower=0
start third "$@" "${THIRD[@]}"
THIRD_PID=$!
lower_bounds &
LOWER_PID=$!
PIDS+=("$LOWER_PID")
start second "$@" "${SECOND[@]}"
SECOND_PID=$!
lint || lint=1
heat_tests || heat=1
start junit "$@" "${FIRST[@]}"
FIRST_PID=$!
tail --pid="$FIRST_PID" --lines=+1 --follow "$RESULTS/junit.log" &
wait "$FIRST_PID" || first=$?
wait "$SECOND_PID" || second=$?
wait "$THIRD_PID" || third=$?
wait "$LOWER_PID" || lower=$?
PIDS=()
wait

printf '\ntest: the second run, %s\n\n' "${SECOND[*]}"
cat "$RESULTS/second.log"
printf '\ntest: the third run, %s\n\n' "${THIRD[*]}"
cat "$RESULTS/third.log"
printf '\ntest: the end of the first run again\n\n'
tail --lines=40 "$RESULTS/junit.log"
say_lint
[[ $lower == 0 ]] || tail --lines=60 "$RESULTS/lower.log"
[[ $lower == 0 ]] || printf '\ntest: THE LOWER BOUNDS FAILED, see above\n\n'
[[ $heat == 0 ]] || printf '\ntest: THE TESTS OF HEAT FAILED, see above\n\n'
[[ $second == 0 ]] || printf '\ntest: THE SECOND RUN FAILED, see above\n\n'
[[ $third == 0 ]] || printf '\ntest: THE THIRD RUN FAILED, see above\n\n'
tail --lines=1 "$RESULTS/third.log"
tail --lines=1 "$RESULTS/second.log"
tail --lines=1 "$RESULTS/junit.log"
exit $((first || second || third || lint || heat || lower))
