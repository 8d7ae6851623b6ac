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
# Builds a Debian 12 image with Redis 7 from nothing, and checks it.
#
#   tools/demo.sh [folder]        (default: ./demo)
#
# Takes some minutes, more where the guest is emulated. Needs root (or sudo)
# for packages of the distribution, some GiB of disk and a package mirror.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DIR=${1:-demo}
IMAGE=$DIR/debian-12-redis.qcow2
VENV=${VENV:-$ROOT/.venv}
export VENV

step() { printf '\n==> %s\n' "$*"; }

step 'Making this host ready'
"$ROOT/tools/setup-host.sh" runtime
PATH=$VENV/bin:$PATH

mkdir -p "$DIR"
if [[ -e $IMAGE ]]; then
    step "Using the image that is there: $IMAGE"
else
    step 'Building a Debian 12 base image from packages'
    imagebuild-bootstrap --os debian-12 --output "$IMAGE"
fi

step 'Packing Redis 7 into it'
imagebuild-pack --image "$IMAGE" redis 7

step 'Checking the packed image, changing nothing'
imagebuild-pack --image "$IMAGE" --test-only redis 7

step "Done. The image: $(realpath "$IMAGE")"
ls -lh "$IMAGE"
