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
"""Manifests from what other programs read.

Each form has a module: :mod:`sahara`, :mod:`cloud_init`, :mod:`dib` and
:mod:`packer`. They fill a :class:`draft.Draft`; :mod:`writer` makes the text.
What is converted is somebody else's and is only read: nothing of it is run,
and no file outside of its own directory is opened.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.common import small_files
from imagebuild.conversion import cloud_init
from imagebuild.conversion import dib
from imagebuild.conversion import draft
from imagebuild.conversion import packer
from imagebuild.conversion import sahara
from imagebuild.conversion import user_data
from imagebuild.conversion import writer
from imagebuild.conversion.draft import Note

__all__ = ['FORMS', 'Converted', 'Note', 'convert', 'detect']

FORMS = ('sahara', 'cloud-init', 'dib', 'packer')

#: Bytes of one file that is converted.
_MAX_BYTES = 16 * 1024 * 1024
#: cloud-init would want the first line "#cloud-config".
_CLOUD_CONFIG_KEYS = (
    'runcmd:', 'write_files:', 'packages:', 'users:', 'bootcmd:',
    'package_update:', 'package_upgrade:', 'ssh_authorized_keys:',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Converted:
    """A manifest that was made.

    :ivar form: of what it was made, one of :data:`FORMS`.
    :ivar text: the manifest; it loads.
    :ivar resources: files that must stand beside it, by relative path.
    :ivar notes: what was lost or may differ.
    """

    form: str
    text: str
    resources: Mapping[str, bytes]
    notes: Sequence[Note]


def convert(
    path: pathlib.Path,
    form: str | None = None,
    *,
    element_paths: Sequence[pathlib.Path] = (),
) -> Converted:
    """Make a manifest of a file, or of a directory of an element.

    :param path: what is converted.
    :param form: one of :data:`FORMS`, None to find it out.
    :param element_paths: where elements of diskimage-builder are.
    :returns: the manifest and what is to be said about it.
    :raises InvalidInput: it cannot be read, is of no known form, or is
        damaged.
    :raises MissingDependency: its form needs a library that is not there.
    """
    content = b'' if path.is_dir() else small_files.read(path, _MAX_BYTES)
    form = form or detect(path, content)
    made = draft.Draft(path.name or str(path), form)
    try:
        if form == 'cloud-init':
            cloud_init.convert(content, made)
        elif form == 'dib':
            dib.convert(path, element_paths, made)
        elif path.is_dir():
            raise exception.InvalidInput(f'{path} is a directory.')
        elif form == 'sahara':
            sahara.convert(content, path.resolve().parent, made)
        else:
            packer.convert(path, _text(path, content), made)
    except draft.Malformed as error:
        raise exception.InvalidInput(
            f'{path} cannot be converted: {error}.'
        ) from None
    writer.settle(made)
    return Converted(form, writer.text(made), made.resources, made.notes)


def _text(path: pathlib.Path, content: bytes) -> str:
    try:
        return content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise exception.InvalidInput(
            f'{path} is not UTF-8 text (byte {error.start}).'
        ) from None


def detect(path: pathlib.Path, content: bytes) -> str:
    """Find out of which form something is.

    :param path: a file or directory.
    :param content: of the file.
    :returns: one of :data:`FORMS`.
    :raises InvalidInput: of none.
    """
    if path.is_dir():
        if dib.is_element(path):
            return 'dib'
    elif user_data.looks_like(content):
        return 'cloud-init'
    else:
        text = content.decode('utf-8-sig', 'replace')
        if packer.is_json(text) or packer.is_hcl(text):
            return 'packer'
        if sahara.looks_like(text):
            return 'sahara'
        if any(line.startswith(_CLOUD_CONFIG_KEYS)
               for line in text.splitlines()):  # fmt: skip
            return 'cloud-init'
        if dib.looks_like(text):
            return 'dib'
    raise exception.InvalidInput(
        f'{path} is none of the forms that can be converted '
        f'({", ".join(FORMS)}); say which it is with --from.'
    )
