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
"""Files of a system that must have a content, a mode and an owner.

Shared by the validators whose state is some files.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state

#: One line for each path. Links are followed, as writing does.
LOOK = shell.Script(
    'look at files',
    r"""
for path do
    if [ -d "$path" ]; then
        echo directory
    elif [ -f "$path" ]; then
        sum=$(sha256sum < "$path") || exit 1
        printf 'file %s %s\n' "${sum%% *}" \
            "$(stat -L -c '%a %u %g %U %G' -- "$path")"
    elif [ -e "$path" ] || [ -L "$path" ]; then
        echo other
    else
        echo absent
    fi
done
""",
)


@dataclasses.dataclass(frozen=True)
class TargetFile:
    """One file.

    :ivar path: absolute.
    :ivar content: what it holds; None: there must be no such file.
    :ivar owner: user name, or a number as text.
    :ivar group: group name, or a number as text.
    """

    path: str
    content: bytes | None
    mode: int = 0o644
    owner: str = 'root'
    group: str = 'root'


class TargetFilesValidator(state.StateValidator):
    """A validator whose state is some files; each one is a part of it."""

    @abc.abstractmethod
    def files(self, context: base.Context) -> list[TargetFile]:
        """The files as they must be.

        :raises StepFailed: one holds an argument that has no value.
        """

    def differences(self, context: base.Context) -> state.Differences:
        return differences(context, self.files(context))

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        for file in self.files(context):
            if file.path in parts:
                self.put(context, file)
        return 'updated ' + state.listed([*parts])

    def put(self, context: base.Context, file: TargetFile) -> None:
        """Write or remove one file.

        :raises StepError: the system refuses.
        """
        if file.content is None:
            context.remote.remove_file(file.path)
        else:
            context.remote.write_file(
                file.path,
                file.content,
                mode=file.mode,
                owner=file.owner,
                group=file.group,
            )


def differences(
    context: base.Context, files: Sequence[TargetFile]
) -> dict[str, list[str]]:
    """Look at files in one call.

    :returns: path to what is wrong, for those that are not right.
    :raises StepFailed: the system did not answer for each.
    """
    if not files:
        return {}
    lines = LOOK.run(context, *(file.path for file in files)).splitlines()
    if len(lines) != len(files):
        raise exception.StepFailed('the files could not be looked at')
    found = {
        file.path: list(_differences(file, line.split()))
        for file, line in zip(files, lines, strict=True)
    }
    return {path: clauses for path, clauses in found.items() if clauses}


def _differences(file: TargetFile, found: Sequence[str]) -> Iterator[str]:
    if file.content is None:
        if found[0] == 'directory':
            yield f'{file.path} is a directory'
        elif found[0] != 'absent':
            yield f'{file.path} is there'
        return
    if found[0] == 'absent':
        yield f'{file.path} is missing'
        return
    if found[0] != 'file' or len(found) < 7:
        yield f'{file.path} is not a regular file'
        return
    digest, mode, uid, gid, user, group = found[1:7]
    if digest != hashlib.sha256(file.content).hexdigest():
        yield f'{file.path} has another content'
    # Of the guest's own stat(1), which may say anything.
    if mode.lstrip('0') != f'{file.mode:o}'.lstrip('0'):
        yield f'{file.path} has mode {mode:0>4.9}, not {file.mode:04o}'
    if file.owner not in (user, uid):
        yield f'{file.path} belongs to user {user}, not {file.owner}'
    if file.group not in (group, gid):
        yield f'{file.path} belongs to group {group}, not {file.group}'
