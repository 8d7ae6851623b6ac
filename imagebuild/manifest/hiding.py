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
"""Hidden values in texts.

Every line of output is searched for them, in all forms in which programs
write a value. So neither the time for a line nor the memory may grow with a
regular expression of all forms: they are sorted, and what begins at a place
of a text is found by bisection.
"""

from __future__ import annotations

import base64
import bisect
import functools
import json
import re
import shlex
import urllib.parse
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from imagebuild.common.counts import counted

MASK = '***'
#: Characters; a shorter value is masked only where it is a whole word: "1"
#: is a part of most lines.
SHORTEST = 4
#: Of all hidden values together. What they are looked for with takes some
#: hundred bytes for a character, and some 20 forms for a line.
MAX_CHARACTERS = 128 * 1024
MAX_LINES = 2000
#: Characters of base64 by which a secret is known in it: six bytes. Shorter
#: ones are part of what is no secret.
_SHORTEST_BASE64 = 8


def hide(text: str, secrets: Iterable[str]) -> str:
    """Replace secrets in a text, in the form in which they are given.

    :param secrets: longer ones win; empty ones are passed over.
    """
    return _Finder(secrets).hide(text)


def excess(secrets: Iterable[str]) -> str:
    """Whether values are more than can be looked for.

    :returns: the end of a message, '' when they are not.
    """
    characters = lines = 0
    for secret in secrets:
        characters += len(secret)
        lines += len(secret.splitlines())
    if characters <= MAX_CHARACTERS and lines <= MAX_LINES:
        return ''
    return (
        f'hidden values may have {MAX_CHARACTERS} characters and {MAX_LINES} '
        'lines together, since all output is searched for them; these have '
        f'{counted(characters, "character")} and {counted(lines, "line")}'
    )


class _Finder:
    """Finds any of many forms in a text.

    :param forms: longer ones win; empty ones are passed over.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        self._forms = frozenset(form for form in forms if form)
        self._short = frozenset(
            form for form in self._forms if len(form) < SHORTEST
        )
        self._long = sorted(self._forms - self._short)
        self._starts = frozenset(form[:SHORTEST] for form in self._long)
        self._shorter = _shorter(self._long)
        first = ''.join(sorted({form[0] for form in self._short}))
        self._words = re.compile(rf'(?<!\w)[{re.escape(first or "-")}]')
        #: Characters of the longest form.
        self.longest = max(map(len, self._forms), default=0)

    def __len__(self) -> int:
        return len(self._forms)

    def hide(self, text: str) -> str:
        """Replace all of them in a text."""
        pieces = []
        done = 0
        for at in self._candidates(text):
            if at < done:
                continue
            end = self._end(text, at) or self._end_of_word(text, at)
            if end:
                pieces += [text[done:at], MASK]
                done = end
        return ''.join([*pieces, text[done:]]) if done else text

    def is_named_by(self, name: str) -> bool:
        """Whether a name is one of them, or has a longer one in it."""
        return name in self._forms or any(
            self._end(name, at) for at in self._candidates(name)
        )

    def _candidates(self, text: str) -> Sequence[int]:
        """Where one may begin, in the order of the text."""
        starts = self._starts
        found = [
            at
            for at in range(len(text) if starts else 0)
            if text[at : at + SHORTEST] in starts
        ]
        if not self._short:
            return found
        words = (match.start() for match in self._words.finditer(text))
        return sorted({*found, *words})

    def _end(self, text: str, at: int) -> int:
        """Where the longest one ends that begins there; 0 for none."""
        if text[at : at + SHORTEST] not in self._starts:
            return 0
        # What is between a beginning of this text and the text itself, in
        # the order of the alphabet, begins with that, too.
        head = text[at : at + self.longest]
        index = bisect.bisect_right(self._long, head) - 1
        while index >= 0:
            form = self._long[index]
            if text.startswith(form, at):
                return at + len(form)
            index = self._shorter[index]
        return 0

    def _end_of_word(self, text: str, at: int) -> int:
        """The same for short ones, which are whole words."""
        if at and _is_of_word(text[at - 1]):
            return 0
        for size in range(SHORTEST - 1, 0, -1):
            end = at + size
            if text[at:end] in self._short and not (
                end < len(text) and _is_of_word(text[end])
            ):
                return min(end, len(text))
        return 0


def _is_of_word(character: str) -> bool:
    r"""As \w of a regular expression."""
    return character.isalnum() or character == '_'


def _shorter(forms: Sequence[str]) -> list[int]:
    """Where the longest other one is that each begins with; -1 for none.

    :param forms: sorted.
    """
    found: list[int] = []
    for index, form in enumerate(forms):
        other = index - 1
        while other >= 0 and not form.startswith(forms[other]):
            other = found[other]
        found.append(other)
    return found


class Secrets(_Finder):
    """Values that are shown nowhere, in every form.

    :param values: empty ones are passed over.
    """

    def __init__(self, values: Iterable[str]) -> None:
        super().__init__(form for value in values for form in _forms(value))


@functools.lru_cache(maxsize=8)
def secrets_of(values: tuple[str, ...]) -> Secrets:
    """The same for who has the same values for every line of output."""
    return Secrets(values)


def _forms(secret: str) -> Iterator[str]:
    """A secret as programs write it: plain, quoted, escaped, by lines."""
    for text in (secret, *secret.splitlines()):
        if not text.strip():
            continue
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        # As Python and as "set -x" of the shells quote.
        yield shlex.quote(text)
        yield text.replace("'", "'\\''")
        yield urllib.parse.quote(text)
        yield urllib.parse.quote(text, safe='')
        yield urllib.parse.quote_plus(text)
        yield from _base64(text.encode('utf-8', 'surrogatepass'))


def _base64(content: bytes) -> Iterator[str]:
    """What is seen of it wherever it begins, as in "user:password"."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode()
        # A character that is also of what is before or after says little.
        start = (before * 8 + 5) // 6
        end = (before + len(content)) * 8 // 6
        if end - start < _SHORTEST_BASE64:
            continue
        for stop in {end, len(encoded.rstrip('=')), len(encoded)}:
            yield encoded[start:stop]
            yield encoded[start:stop].replace('+', '-').replace('/', '_')
