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
"""YAML files of the user, in a form that survives the way as JSON.

The service remembers how a number in a manifest was written. JSON cannot, so
``1.10`` and ``0644`` are sent as text here: the service takes both the same.
"""

from __future__ import annotations

import pathlib
from typing import Any

from osc_lib import exceptions

from imagebuild.common import strict_yaml

#: Bytes, as in the service.
MAX_BYTES = strict_yaml.MAX_BYTES


def parse(text: str | bytes) -> Any:
    """Read one YAML (or JSON) document.

    :returns: what JSON can hold; a number that JSON would write differently
        is text.
    :raises ValueError: it is not one; the text says what and where.
    """
    return _for_json(strict_yaml.parse(text))


def _for_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_for_json(item) for item in value]
    if isinstance(value, strict_yaml.WrittenInt):
        return int(value) if str(int(value)) == value.text else value.text
    if isinstance(value, strict_yaml.WrittenFloat):
        number = float(value)
        return number if str(number) == value.text else value.text
    return value


def load_mapping(path: pathlib.Path, what: str) -> dict[str, Any]:
    """Read a file that holds one mapping.

    :param what: what the file is, for the error.
    :raises CommandError: it cannot be read or is something else.
    """
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise ValueError(f'it is larger than {MAX_BYTES >> 20} MiB')
        found = parse(content)
        if not isinstance(found, dict):
            raise ValueError('it does not hold a mapping')
    except OSError as error:
        raise exceptions.CommandError(
            f'The {what} {path} cannot be read: {error.strerror}.'
        ) from None
    except ValueError as error:
        raise exceptions.CommandError(
            f'The {what} {path} cannot be used: {error}.'
        ) from None
    return found
