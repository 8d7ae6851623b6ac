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
# tests/devstack/stand_in.sh
# devstack's own function names, for tests of devstack/plugin.sh on hosts
# without devstack. What the plugin calls is recorded, a line of tabbed words
# each, in $STAND_IN/calls. Ini files are really written; nothing is installed
# and nothing started. Names, arguments and what is left behind are those of
# devstack's master of 2026-07-17; the code is not. So are the values: those
# which devstack itself never sets (SERVICE_PROTOCOL, with tls-proxy) no test
# sets, either.
#
# STAND_IN, a directory of the test's, is /opt/stack here. STAND_IN/local.conf
# holds the variables of a local.conf.

# Variables are for the plugin.
# shellcheck disable=SC1091,SC2034

STAND_IN_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# What stackrc, local.conf and stack.sh set
# -----------------------------------------

DEST=$STAND_IN
TOP_DIR=$STAND_IN/devstack
STACK_USER=$(id -un)
ENABLED_SERVICES=key,g-api,h-eng,rabbit,mysql,neutron-api,tempest
DISABLED_SERVICES=
DATABASE_TYPE=mysql
DATABASE_BACKENDS=" mysql postgresql"
DATABASE_HOST=127.0.0.1
DATABASE_USER=root
DATABASE_PASSWORD=secretdatabase
RABBIT_HOST=127.0.0.1
RABBIT_USERID=stackrabbit
RABBIT_PASSWORD=secretrabbit
SERVICE_HOST=192.0.2.10
SERVICE_PROTOCOL=http
SERVICE_PASSWORD=secretservice
SERVICE_PROJECT_NAME=service
SERVICE_DOMAIN_NAME=Default
SERVICE_TIMEOUT=60
REGION_NAME=RegionOne
MEMCACHE_SERVERS=127.0.0.1:11211
SSL_BUNDLE_FILE=$STAND_IN/data/ca-bundle.pem
ENABLE_DEBUG_LOG_LEVEL=True
API_WORKERS=2
WORKER_TIMEOUT=80
PRIVATE_NETWORK_NAME=private
DEFAULT_IMAGE_NAME=cirros-0.6.3-x86_64-disk
HEAT_CONF=$STAND_IN/etc/heat/heat.conf
TEMPEST_CONFIG=$STAND_IN/tempest/etc/tempest.conf
APACHE_CONF_DIR=$STAND_IN/etc/apache2/sites-available
IMAGEBUILD_CONF_DIR=$STAND_IN/etc/imagebuild
SYSTEMD_DIR=$STAND_IN/etc/systemd/system
STAND_IN_BIN_DIR=${STAND_IN_BIN_DIR:-/usr/local/bin}
# What setup_devstack_virtualenv leaves, GLOBAL_VENV being True.
export PYTHON=$STAND_IN_BIN_DIR/python3
export PATH=$STAND_IN_BIN_DIR:$PATH

function disable_service {
    local service
    for service in "$@"; do
        DISABLED_SERVICES+=,$service
        ENABLED_SERVICES=,$ENABLED_SERVICES,
        ENABLED_SERVICES=${ENABLED_SERVICES//,$service,/,}
        ENABLED_SERVICES=${ENABLED_SERVICES#,}
        ENABLED_SERVICES=${ENABLED_SERVICES%,}
    done
}

function enable_service {
    local service
    for service in "$@"; do
        if [[ ,$DISABLED_SERVICES, == *,$service,* ]]; then
            echo "Attempt to enable_service $service when it is disabled" >&2
        elif [[ ,$ENABLED_SERVICES, != *,$service,* ]]; then
            ENABLED_SERVICES+=,$service
        fi
    done
}

function is_service_enabled {
    local service
    for service in "$@"; do
        if [[ ,$ENABLED_SERVICES, == *,$service,* ]]; then
            return 0
        fi
        if [[ $(type -t "is_${service}_enabled") == function ]] \
            && "is_${service}_enabled"; then
            return 0
        fi
    done
    return 1
}

if [[ -e $STAND_IN/local.conf ]]; then
    source "$STAND_IN/local.conf"
fi
DATA_DIR=${DATA_DIR:-$DEST/data}

# lib/keystone, as it reads at its end
KEYSTONE_SERVICE_PROTOCOL=$SERVICE_PROTOCOL
if is_service_enabled tls-proxy; then
    KEYSTONE_SERVICE_PROTOCOL=https
fi
KEYSTONE_SERVICE_URI=${KEYSTONE_SERVICE_URI:-\
$KEYSTONE_SERVICE_PROTOCOL://$SERVICE_HOST/identity}

# What the stand-in itself needs
# ------------------------------

# _record name argument...
function _record {
    local IFS=$'\t'
    echo "$*" >>"$STAND_IN/calls"
}

# Functions that do nothing but are recorded
for _name in install_package pip_install setup_develop add_user_to_group \
    enable_apache_site disable_apache_site restart_apache_server \
    run_process wait_for_service recreate_database mysql \
    create_service_user get_or_create_service get_or_create_endpoint; do
    eval "function $_name { _record $_name \"\$@\"; }"
done
unset _name

# The networks that all projects see, and what the catalog has of imagebuild
function openstack {
    if [[ $* == *" endpoint list --service image-build "* ]]; then
        if [[ -z ${ENDPOINT:-} ]]; then
            echo "No service with a type, name or ID of 'image-build'" >&2
            return 1
        fi
        echo "$ENDPOINT"
        return
    fi
    [[ $* == *" network list --share "* ]] || return 1
    if [[ -n ${SHARED_NETWORK:-} ]]; then
        echo "$SHARED_NETWORK"
    fi
}

# functions, functions-common
# ---------------------------

# Nothing here is done as somebody else.
function sudo {
    if [[ $1 == -u ]]; then
        shift 2
    fi
    "$@"
}

function die {
    local line=$1
    shift
    echo "[ERROR] ${BASH_SOURCE[1]}:$line $*" >&2
    exit 1
}

function echo_summary {
    _record echo_summary "$@"
    echo "$@"
}

# Only what is enabled.
function stop_process {
    if is_service_enabled "$1"; then
        _record stop_process "$@"
    fi
}

function ipv6_unquote {
    echo "$1" | tr -d []
}

function trueorfalse {
    local value=${!2:-}
    case ${value,,} in
        0 | no | false) echo False ;;
        1 | yes | true) echo True ;;
        *) echo "$1" ;;
    esac
}

function is_ubuntu {
    true
}

function get_python_exec_prefix {
    echo "$STAND_IN_BIN_DIR"
}

function setup_logging {
    iniset "$1" "${2:-DEFAULT}" logging_context_format_string \
        "%(color)s%(levelname)s %(name)s [%(request_id)s] %(message)s"
}

# inc/ini-config
# --------------

# _ini verb file section option [value]; prints the new file or the value
function _ini {
    INI_VERB=$1 INI_SECTION=$3 INI_OPTION=$4 INI_VALUE=${5:-} \
        awk -f "$STAND_IN_HOME/ini.awk" "$2"
}

# The same with the file; as with sed -i, its mode stays.
function _ini_write {
    local text
    touch "$2"
    text=$(_ini "$@")
    echo "$text" >"$2"
}

function iniset {
    _record iniset "$@"
    _ini_write set "$@"
}

function iniget {
    _ini get "$@"
}

function inicomment {
    _ini_write comment "$@"
}

function inidelete {
    _ini_write delete "$@"
}

# lib/database, lib/rpc_backend, lib/keystone
# -------------------------------------------

function database_connection_url {
    if [[ -n ${NO_DATABASE:-} ]]; then
        return
    fi
    local server=$DATABASE_USER:$DATABASE_PASSWORD@$DATABASE_HOST
    local url="mysql+pymysql://$server/$1?charset=utf8"
    echo "${STAND_IN_DATABASE_URL:-$url}"
}

function iniset_rpc_backend {
    _record iniset_rpc_backend "$@"
    local url=rabbit://$RABBIT_USERID:$RABBIT_PASSWORD@$RABBIT_HOST:5672/
    iniset "$2" "${3:-DEFAULT}" transport_url "${STAND_IN_RABBIT_URL:-$url}"
}

function configure_keystone_authtoken_middleware {
    local section=${3:-keystone_authtoken}
    _record configure_keystone_authtoken_middleware "$@"
    iniset "$1" "$section" auth_type password
    iniset "$1" "$section" interface public
    iniset "$1" "$section" auth_url "$KEYSTONE_SERVICE_URI"
    iniset "$1" "$section" username "$2"
    iniset "$1" "$section" password "$SERVICE_PASSWORD"
    iniset "$1" "$section" user_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" "$section" project_name "$SERVICE_PROJECT_NAME"
    iniset "$1" "$section" project_domain_name "$SERVICE_DOMAIN_NAME"
    iniset "$1" "$section" cafile "$SSL_BUNDLE_FILE"
    if [[ -n $MEMCACHE_SERVERS ]]; then
        iniset "$1" "$section" memcached_servers "$MEMCACHE_SERVERS"
    fi
}

# lib/apache
# ----------

function apache_site_config_for {
    echo "$APACHE_CONF_DIR/$1.conf"
}

function write_uwsgi_config {
    local file=$1 wsgi=$2 url=$3 http=${4:-} name=${5:-$(basename "$2")}
    local socket=/var/run/uwsgi/$name.socket
    _record write_uwsgi_config "$@"
    rm -f "$file"
    iniset "$file" uwsgi module "$wsgi"
    iniset "$file" uwsgi processes "$API_WORKERS"
    iniset "$file" uwsgi master true
    iniset "$file" uwsgi die-on-term true
    iniset "$file" uwsgi exit-on-reload false
    iniset "$file" uwsgi worker-reload-mercy "$WORKER_TIMEOUT"
    iniset "$file" uwsgi enable-threads true
    iniset "$file" uwsgi plugins http,python3
    iniset "$file" uwsgi thunder-lock true
    iniset "$file" uwsgi hook-master-start \
        "unix_signal:15 gracefully_kill_them_all"
    iniset "$file" uwsgi buffer-size 65535
    iniset "$file" uwsgi add-header "Connection: close"
    iniset "$file" uwsgi lazy-apps true
    if [[ -n $http ]]; then
        iniset "$file" uwsgi http "$http"
        return
    fi
    iniset "$file" uwsgi socket "$socket"
    iniset "$file" uwsgi chmod-socket 666
    mkdir -p "$APACHE_CONF_DIR"
    echo "ProxyPass \"$url\" \"unix:$socket|uwsgi://uwsgi-uds-$name\" \
retry=0 acquire=1" >"$(apache_site_config_for "$name")"
    enable_apache_site "$name"
    restart_apache_server
}

function remove_uwsgi_config {
    _record remove_uwsgi_config "$@"
    rm -f "$1"
    disable_apache_site "$(basename "$2")"
}
