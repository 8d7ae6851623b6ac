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
"""What came of rounds, and the table of them."""

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence


@dataclasses.dataclass
class Round:
    """What came of one round.

    :ivar form: ``pack`` or ``conductor``, ``appliance``.
    :ivar hit: something was killed.
    :ivar ended: how the build, or the first run, ended.
    :ivar reason: what was said of it.
    :ivar attempts: of the build.
    :ivar kept: the user's file was as before, or packed whole.
    :ivar faults: everything that is not as it should be.
    """

    form: str
    phase: str
    victim: str
    hit: bool = False
    ended: str = ''
    reason: str = ''
    attempts: int = 0
    kept: bool = True
    faults: list[str] = dataclasses.field(default_factory=list)

    def told(self) -> str:
        """A line about it."""
        told = '; '.join(self.faults) or 'clean'
        return (
            f'{self.phase} / {self.victim}: {self.ended} '
            f'({self.reason[:110]}): {told if self.hit else "not hit"}'
        )


def table(rounds: Iterable[Round]) -> str:
    """A line for each phase and victim."""
    cells: dict[tuple[str, str, str], list[Round]] = {}
    for each in rounds:
        if each.hit:
            key = (each.form, each.phase, each.victim)
            cells.setdefault(key, []).append(each)
    width = max([13, *(len(phase) for _, phase, _ in cells)])
    lines = [
        f'{"form":9} {"phase":{width}} {"killed":22} {"rounds":>6} '
        f'{"clean":>5} {"file":>5}  ends (attempts)'
    ]
    for (form, phase, victim), found in cells.items():
        clean = sum(not each.faults for each in found)
        kept = sum(each.kept for each in found)
        lines.append(
            f'{form:9} {phase:{width}} {victim:22} {len(found):6} {clean:5} '
            f'{kept:5}  {_ends(found)}'
        )
    hits = [each for found in cells.values() for each in found]
    lines.append(
        f'{len(hits)} rounds; nothing left and all as it should be in '
        f'{sum(not each.faults for each in hits)}; the file as before or '
        f'packed whole in {sum(each.kept for each in hits)}'
    )
    return '\n'.join(lines)


def _ends(found: Sequence[Round]) -> str:
    counted: dict[str, int] = {}
    for each in found:
        text = (
            f'{each.ended} ({each.attempts})'
            if each.attempts
            else (each.ended)
        )
        counted[text] = counted.get(text, 0) + 1
    return ', '.join(f'{number} x {text}' for text, number in counted.items())
