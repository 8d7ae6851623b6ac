#!/bin/sh
# Safe to run again: the file is written whole.
set -eu
printf '%s\n' "$greeting" > /etc/motd
