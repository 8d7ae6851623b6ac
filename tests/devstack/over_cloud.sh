#!/bin/bash
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
# tests/devstack/over_cloud.sh
# Read after stand_in.sh: users, endpoints, databases and processes are real.
# They are those of a cloud of tools/cloud, whose administrator the
# environment names (OS_*); the programs are in STAND_IN_BIN_DIR.
# shellcheck disable=SC2154

# The real one; MYSQL_TCP_PORT says where.
unset -f mysql

function openstack {
    "$STAND_IN_BIN_DIR/openstack" "$@"
}

function recreate_database {
    _record recreate_database "$@"
    MYSQL_PWD=$DATABASE_PASSWORD mysql -h "$DATABASE_HOST" \
        -u "$DATABASE_USER" \
        -e "DROP DATABASE IF EXISTS $1; CREATE DATABASE $1 CHARACTER SET utf8"
}

# create_service_user name [role]
function create_service_user {
    local role
    _record create_service_user "$@"
    openstack user create --or-show --domain "$SERVICE_DOMAIN_NAME" \
        --password "$SERVICE_PASSWORD" -f value -c id "$1"
    for role in service ${2:+"$2"}; do
        openstack role add --user "$1" --project "$SERVICE_PROJECT_NAME" \
            --user-domain "$SERVICE_DOMAIN_NAME" \
            --project-domain "$SERVICE_DOMAIN_NAME" "$role"
    done
}

# get_or_create_service name type description
function get_or_create_service {
    _record get_or_create_service "$@"
    openstack service show "$2" -f value -c id 2>/dev/null \
        || openstack service create "$2" --name "$1" --description "$3" \
            -f value -c id
}

# get_or_create_endpoint service region publicurl [adminurl] [internalurl]
function get_or_create_endpoint {
    _record get_or_create_endpoint "$@"
    _endpoint "$1" "$2" public "$3"
    if [[ -n ${4:-} ]]; then
        _endpoint "$1" "$2" admin "$4"
    fi
    if [[ -n ${5:-} ]]; then
        _endpoint "$1" "$2" internal "$5"
    fi
}

# _endpoint service region interface url
function _endpoint {
    local id
    id=$(openstack endpoint list --service "$1" --interface "$3" \
        --region "$2" -f value -c ID)
    if [[ -z $id ]]; then
        id=$(openstack endpoint create "$1" "$3" "$4" --region "$2" \
            -f value -c id)
    fi
    echo "$id"
}

# run_process service command [group] [user] [env_vars]; like a unit of
# systemd it has nothing of our environment
function run_process {
    local directory=$STAND_IN/pids
    _record run_process "$@"
    if ! is_service_enabled "$1"; then
        return 0
    fi
    mkdir -p "$directory"
    # shellcheck disable=SC2086
    setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
        HOME="$STAND_IN" ${5:-} $2 >"$STAND_IN/$1.log" 2>&1 </dev/null &
    echo $! >"$directory/$1"
}

function stop_process {
    local file=$STAND_IN/pids/$1 pid tenths
    _record stop_process "$@"
    if [[ ! -e $file ]]; then
        return 0
    fi
    pid=$(<"$file")
    kill -TERM "$pid" 2>/dev/null || true
    for ((tenths = 0; tenths < 900; tenths++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    # Its group, too, as systemd does in the end.
    kill -KILL -- "-$pid" 2>/dev/null || true
    rm -f "$file"
}

# wait_for_service timeout url
function wait_for_service {
    local code end
    end=$((SECONDS + $1))
    _record wait_for_service "$@"
    while [[ $SECONDS -lt $end ]]; do
        code=$(curl -s --noproxy '*' -o /dev/null -w '%{http_code}' "$2") \
            || code=000
        if [[ $code != 000 && $code != 503 ]]; then
            return 0
        fi
        sleep 0.5
    done
    return 1
}
