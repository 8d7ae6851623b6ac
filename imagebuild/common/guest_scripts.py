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
"""Shell texts that a system runs, whoever is there to have them run.

A Remote runs them from outside, and a program of :mod:`guest_program` holds
them: what they do must not depend on the way.

Written for POSIX shell with coreutils or busybox.
"""

from __future__ import annotations

#: A function: whether the first line of the script $1 names what interprets
#: it. It ends the shell with a message where that cannot be run. Its variables
#: are none that the script may have been given.
INTERPRETED = r"""
imagebuild_interpreted() {
    IFS= read -r imagebuild_first <"$1" 2>/dev/null || :
    imagebuild_return=$(printf '\r')
    case $imagebuild_first in
    *"$imagebuild_return")
        echo "it has Windows line ends (CRLF); save it with Unix line ends" >&2
        exit 127
        ;;
    '#!'*) ;;
    *) return 1 ;;
    esac
    set -f
    set -- ${imagebuild_first#'#!'}
    set +f
    [ -n "$1" ] && [ -x "$1" ] && return 0
    echo "its first line names ${1:-nothing}, which is not in the image" >&2
    exit 127
}
"""

#: Runs $1: by its shebang if it has one, else with bash or sh.
BY_SHEBANG = (
    INTERPRETED
    + r"""
imagebuild_interpreted "$1" && exec "$1"
[ -x /bin/bash ] && exec /bin/bash "$1"
exec /bin/sh "$1"
"""
)

#: Writes standard input to a file. $1 path, $2 mode, $3 owner, $4 group, $5 a
#: suffix that nobody else has. The new content takes the place of the old one
#: at once, since others may be reading it, and is nobody's to read before its
#: mode is set. Links are followed; one that leads to nothing is replaced, and
#: so is one into /run, which is empty after the next start.
WRITE = r"""
path=$1 mode=$2 who=$3:$4
say() { echo "$1" >&2; exit 1; }
directory=${path%/*}
if [ -n "$directory" ] && ! [ -d "$directory" ]; then
    here= rest=$directory links=0
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $part in
        '' | .) continue ;;
        ..) here=${here%/*}; continue ;;
        esac
        if [ -L "$here/$part" ]; then
            links=$((links + 1))
            [ "$links" -le 40 ] || say "$1: too many symbolic links"
            link=$(readlink -- "$here/$part" && echo x) || exit 1
            case $link in /*) here= ;; esac
            rest=${link%?x}/$rest
            continue
        fi
        here=$here/$part
        [ -d "$here" ] && continue
        ! [ -e "$here" ] || say "$here is not a directory"
        mkdir -m 755 -- "$here" && chown "$who" "$here" || exit 1
    done
    directory=$here
fi
path=$directory/${path##*/}
[ -d "$path" ] && say "$path is a directory"
if [ -e "$path" ]; then
    [ -f "$path" ] || say "$path is not a regular file"
    real=$(readlink -f -- "$path" && echo x) || exit 1
    real=${real%?x}
    case $real in /run/*) ;; *) path=$real ;; esac
fi
new=${path%/*}/.imagebuild-$5
trap 'rm -f -- "$new"' EXIT
(umask 077 && cat >"$new") && chown "$who" "$new" && chmod "$mode" "$new" \
    || exit 1
# A file that something is mounted on cannot be replaced.
mv -f -- "$new" "$path" 2>/dev/null || {
    ! [ -L "$path" ] || say "$path cannot be replaced"
    cat "$new" >"$path" && chown "$who" "$path" && chmod "$mode" "$path" \
        || exit 1
}
if command -v restorecon >/dev/null; then restorecon -- "$path" || :; fi
exit 0
"""
