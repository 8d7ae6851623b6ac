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
"""Values of hidden arguments are in nothing that leaves the job."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from imagebuild.manifest import hiding

_MASK = hiding.MASK
#: Keys whose values are terms of the protocol or computed from files.
_OURS = frozenset(
    {
        'checksum',
        'disk_format',
        'event',
        'fault',
        'image_id',
        'os_hash_algo',
        'os_hash_value',
        'phase',
        'result',
        'stream',
    }
)
_WITHHELD = (
    f'{_MASK} (not shown: it is not known yet which arguments are hidden, '
    'and all of them are too much to be looked for{why})'
)
_PATH_PART = re.compile(r'\[\d+\]|\["(?:[^"\\]|\\.)*"\]|[^.\[]+')
#: How options are called whose values are secrets.
_SECRET_OPTIONS = ('password', 'secret', 'token')


class Masker:
    """Replaces secrets in texts and events.

    :param secrets: the values; empty ones are passed over.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        self._secrets = hiding.Secrets(secrets)

    def text(self, text: str) -> str:
        """A text without the secrets."""
        return self._secrets.hide(text)

    def path(self, path: str) -> str:
        """A step's path: a branch may be called by a value."""
        if path.startswith('/'):
            # A file of this host, which nobody's request has named.
            return path
        return _PATH_PART.sub(lambda match: self._part(match[0]), path)

    def _part(self, part: str) -> str:
        if part.startswith('[') and not part.startswith('["'):
            # The number of a step.
            return part
        named = self._secrets.is_named_by
        if named(part.strip('["]')) or named(part):
            return f'["{_MASK}"]' if part.startswith('[') else _MASK
        return part

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """An event without the secrets; its structure stays."""
        return {key: self._value(key, item) for key, item in event.items()}

    def _value(self, key: str, value: Any) -> Any:
        if isinstance(value, str):
            if key in _OURS:
                return value
            return self.path(value) if key == 'path' else self.text(value)
        if isinstance(value, Mapping):
            return value if key == 'checksum' else self.event(value)
        if isinstance(value, list | tuple):
            return [self._value('', item) for item in value]
        return value


class Withholder(Masker):
    """Replaces every text: it is not known what in it is secret.

    :param why: a sentence in place of the reason of a failure, in which no
        value is; it has no full stop.
    """

    def __init__(self, why: str) -> None:
        super().__init__()
        self._why = why

    def text(self, text: str) -> str:
        return _WITHHELD.format(why='') if text else text

    def _value(self, key: str, value: Any) -> Any:
        if key == 'reason' and value:
            # Or whoever has too much in them would never learn of it.
            return _WITHHELD.format(why=f'. {self._why}.')
        return super()._value(key, value)

    def path(self, path: str) -> str:
        return self.text(path)


def of_config(config: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The secrets of the service, which must not be shown either.

    :param config: sections by name. What ``secret_options`` names is secret,
        and what is called like one.
    """
    declared = config.get('secret_options', {})
    return [
        text
        for section, values in config.items()
        if section != 'secret_options'
        for name, value in values.items()
        if name.endswith(_SECRET_OPTIONS) or name in declared.get(section, ())
        for text in _texts(value)
    ]


def _texts(value: Any) -> Iterator[str]:
    """What stands in an option's value, whatever its type."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif value and not isinstance(value, bool):
        yield str(value)


class Formatter(logging.Formatter):
    """Log lines and tracebacks without the secrets.

    :ivar masker: knows them, once they are known.
    """

    masker = Masker()

    def format(self, record: logging.LogRecord) -> str:
        return self.masker.text(super().format(record))
