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
"""The file of imagebuild-pack that says what is in the image."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterator

from imagebuild import sbom
from imagebuild.cmd import new_file
from imagebuild.common import os_errors
from imagebuild.remotes.base import Remote


def check(path: pathlib.Path) -> None:
    """Refuse a place where the file cannot be made.

    :raises InvalidInput: it cannot.
    """
    new_file.check(path, force=True)


@contextlib.contextmanager
def written(
    path: pathlib.Path | None, remote: Remote, image: str
) -> Iterator[None]:
    """Write the file, which gets its name when the block was good.

    So there is room for it when the image is written, and none of an image
    that was not.

    :param path: one that is there is replaced; None for no file.
    :param remote: reaches into the image.
    :param image: its name.
    :raises Unreadable: the image does not say what is in it.
    :raises EnvironmentFault: the file cannot be written.
    """
    if path is None:
        yield
        return
    contents = sbom.read(remote)
    subject = sbom.Subject(
        image, str(uuid.uuid4()), datetime.datetime.now(datetime.UTC)
    )
    text = json.dumps(sbom.document(contents, subject), indent=2) + '\n'
    with os_errors.on_write(path):
        handle, name = tempfile.mkstemp(
            prefix=f'.{path.name}.', dir=path.parent
        )
    new = pathlib.Path(name)
    try:
        with os_errors.on_write(path), os.fdopen(handle, 'w') as file:
            file.write(text)
        yield
        new_file.put(new, path, force=True)
    finally:
        new.unlink(missing_ok=True)
