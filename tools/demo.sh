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
# Starts the image build service, has it build a Debian 12 image with Redis 7
# from nothing, and checks the image.
#
#   tools/demo.sh [directory]        (default: ./demo)
#
# Takes about a minute where nothing has to be installed. Needs root for making
# the base image, some GiB of disk and a package mirror. The service
# listens on the loopback interface and is stopped at the end; what it has
# built stays in the directory, so that a second run gets the same image at
# once.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DIR=${1:-demo}
VENV=${VENV:-$ROOT/.venv}
export VENV

step() { printf '\n==> %s\n' "$*"; }
show() {
    printf '$ %s\n' "$*"
    "$@"
}

step 'Making this host ready'
"$ROOT/tools/setup-host.sh" runtime
PATH=$VENV/bin:$PATH

mkdir -p "$DIR"
DIR=$(realpath "$DIR")
LOG=$DIR/service.log
IMAGE=$DIR/debian-12-redis.qcow2

step "Starting the service (its log: $LOG)"
# Made before it is looked into: a child that begins late makes it late.
: >"$LOG"
imagebuild-standalone --state-dir "$DIR/state" --port 0 >"$LOG" 2>&1 &
SERVICE=$!
stop_service() {
    kill "$SERVICE" 2>/dev/null || true
    wait "$SERVICE" 2>/dev/null || true
}
trap stop_service EXIT
URL=
for _ in $(seq 600); do
    URL=$(sed -n 's/^imagebuild answers at //p' "$LOG")
    [[ -z $URL ]] || break
    if ! kill -0 "$SERVICE" 2>/dev/null; then
        tail -n 20 "$LOG" >&2
        exit 3
    fi
    sleep 0.2
done
[[ -n $URL ]] || { echo 'the service does not start' >&2; exit 3; }
echo "imagebuild answers at $URL"

step 'Building Debian 12 with Redis 7'
export OS_AUTH_TYPE=none OS_ENDPOINT=$URL PYTHONWARNINGS=ignore
export IMAGEBUILD_TOKEN_FILE=$DIR/state/token
show openstack image build create redis --os debian-12 \
    --recipe redis --recipe-version 7 --argument maxmemory=64mb --wait \
    | tee "$DIR/created"
ID=$(sed -n 's/^| image_id  *| \([^ ]*\) .*/\1/p' "$DIR/created")
cp --reflink=auto --sparse=always "$DIR/state/images/$ID/image" "$IMAGE"

step 'Checking the image, changing nothing'
show imagebuild-pack --image "$IMAGE" --test-only redis 7 --maxmemory 64mb

step "Done. The image: $IMAGE"
ls -lh "$IMAGE"
