#!/bin/sh
# Installs the guest agent into a virtual environment of its own,
# /opt/guest-agent. Holds when it was installed from the same source: the tip
# of a branch is fetched once.
set -eu

venv=/opt/guest-agent
# shellcheck disable=SC2154 # set by the recipe
case $guest_agent in
git) source="git $guest_agent_repository $guest_agent_ref" ;;
pypi) source="pypi $guest_agent_distribution" ;;
*) source="directory $guest_agent_directory" ;;
esac
# shellcheck disable=SC2154
source="$source $guest_agent_requirements $guest_agent_constraints"

# shellcheck disable=SC2154
if [ "$(cat $venv/source 2> /dev/null)" = "$source" ] &&
    [ -x "$venv/bin/$guest_agent_program" ]; then
    exit 0
fi
if [ "$test_only" -eq 1 ]; then
    echo "the guest agent is not installed from: $source" >&2
    exit 1
fi
case $guest_agent_repository in
*://*@*)
    echo 'the address of the git repository holds a user or password, which
would be left in the image' >&2
    exit 1
    ;;
esac

sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
trap 'exit 143' HUP INT TERM
set --
case $guest_agent in
git)
    GIT_TERMINAL_PROMPT=0 git -c advice.detachedHead=false clone -q --depth 1 \
        --branch "$guest_agent_ref" -- "$guest_agent_repository" \
        "$sources/agent"
    git -C "$sources/agent" rev-parse HEAD
    what=$sources/agent
    ;;
pypi) what=$guest_agent_distribution ;;
*)
    if [ ! -d "$guest_agent_directory" ]; then
        echo "there is no directory $guest_agent_directory" >&2
        exit 1
    fi
    # A build writes beside the sources.
    cp -R -- "$guest_agent_directory" "$sources/agent"
    what=$sources/agent
    ;;
esac

rm -rf $venv
python3 -m venv $venv
if [ -n "$guest_agent_index" ]; then
    # Not on the command line, and in no configuration file.
    export PIP_INDEX_URL="$guest_agent_index"
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
if [ -n "$guest_agent_constraints" ]; then
    set -- -c "$guest_agent_constraints"
fi
if [ -n "$guest_agent_requirements" ]; then
    $venv/bin/pip install -q "$@" -r "$guest_agent_requirements"
    set -- "$@" --no-deps
fi
$venv/bin/pip install -q "$@" -- "$what"
if [ ! -x "$venv/bin/$guest_agent_program" ]; then
    echo "the guest agent brought no program $guest_agent_program" >&2
    exit 1
fi
printf '%s\n' "$source" > $venv/source
