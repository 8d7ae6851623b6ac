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
"""What an installer says on its console: where it is, and what stops it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from collections.abc import Sequence

from imagebuild.boot import signs
from imagebuild.drivers.installer import settings

_BOOT = 'boot the installer'
_START = 'start the installer'
_NETWORK = 'set up the network of the installer'
_LOAD = 'load the installer'
_PARTITION = 'partition the disk'
_BASE = 'install the base system'
PACKAGES = 'install packages with the installer'
_LOADER = 'install the boot loader'
FINISH = 'finish the installation'

_Stages = Sequence[tuple[str, re.Pattern[str]]]


def _anaconda(*texts: str) -> re.Pattern[str]:
    """Any of these at the begin of a line, or of a message in a log's."""
    return re.compile(
        r'^(?:.*\banaconda(?:\[\d+\])?: )?(?:' + '|'.join(texts) + ')'
    )


#: Family -> stages in their order, each with what is seen when it begins. Of
#: Debian they are titles of progress bars in the text frontend.
_STAGES: Mapping[settings.Family, _Stages] = {
    'debian': (
        (_START, re.compile(r'^Starting system log daemon')),
        (
            _NETWORK,
            re.compile(r'^(?:Detecting network|Configuring the network)'),
        ),
        (
            _LOAD,
            re.compile(
                r'^(?:Checking the .* archive mirror|Loading additional'
                r'|Scanning installation media|Retrieving )'
            ),
        ),
        (
            _PARTITION,
            re.compile(
                r'^(?:Starting up the partitioner|Partitions formatting'
                r'|Detecting disks)'
            ),
        ),
        (
            _BASE,
            re.compile(r'^(?:Installing the base system|Preparing to ins)'),
        ),
        (
            PACKAGES,
            re.compile(r'^(?:Configuring apt|Select and install software)'),
        ),
        (_LOADER, re.compile(r'^(?:Installing|Install the) GRUB')),
        (FINISH, re.compile(r'^Finishing the installation')),
    ),
    'redhat': (
        (
            _LOAD,
            _anaconda('Starting installer', r'anaconda \S+ for .*started'),
        ),
        (
            _PARTITION,
            _anaconda(
                'Setting up the installation environment',
                'Configuring storage',
                r'Creating (?:disklabel|\w+) on ',
            ),
        ),
        (
            PACKAGES,
            _anaconda(
                'Running pre-installation',
                'Starting package installation',
                'Preparing transaction',
                'Downloading (?:packages|[0-9])',
            ),
        ),
        (_LOADER, _anaconda('Installing boot loader')),
        (
            FINISH,
            _anaconda(
                'Performing post-installation',
                'Running post-installation',
                'Configuring installed system',
            ),
        ),
    ),
    'ubuntu': (
        (_LOAD, re.compile(r'start: subiquity/(?!core)')),
        (
            _PARTITION,
            re.compile(r'(?:curtin command block-meta|cmd-block-meta)'),
        ),
        (_BASE, re.compile(r'(?:curtin command extract|cmd-extract)')),
        (
            PACKAGES,
            re.compile(
                r'start: subiquity/Install/install/postinstall'
                r'|subiquity/Install/install/install_package'
            ),
        ),
        (_LOADER, re.compile(r'curtin command curthooks|cmd-curthooks')),
        (FINISH, re.compile(r'start: subiquity/Late')),
    ),
}

#: What is seen when an installer waits for an answer, or has given up. In the
#: last line, which has no end yet, or in one that has. Debian's asks for what
#: is not to be seen with its description only.
_QUESTIONS: Mapping[settings.Family, re.Pattern[str]] = {
    'debian': re.compile(
        r"^Prompt: '\?' for help.*> ?$|\[Press enter to cont"
        r'|^(?:Root password|Choose a password|Re-enter password|Encryption '
        r'passphrase|Enter passphrase|Re-enter passphrase)[^.]*: ?$'
    ),
    'redhat': re.compile(
        r"Please make (?:a|your) selection from|Please respond 'yes' or 'no'"
        r"|can't ask.*in non-interactive|Pane is dead"
        r'|Non interactive installation failed'
        r'|The installer will now terminate'
        r'|The installation cannot continue'
    ),
    'ubuntu': re.compile(
        r'Continue with autoinstall\? \(yes\|no\)'
        r'|Press enter to start a shell|install_fail'
    ),
}
#: What tells why, in any line.
_TELLING = re.compile(
    r'(?:^|\W)(?:[Ee]rror|ERROR|[Ff]ailed|[Ff]atal|[Cc]annot|[Uu]nable'
    r'|No space left|Traceback|[Cc]orrupt)'
)
#: Of a dialogue in text: its title is underlined.
_RULE = re.compile(r'^-{4,}$')
_MOST_LINES = 12
_MOST_TELLING = 4
_MOST_LAST = 3
#: The kernel's messages while it starts, and places where installers look
#: for files that are not there.
_NOISE = re.compile(r'^(?:\[ *\d+\.\d+\] |u?mount: )')


@dataclasses.dataclass(frozen=True)
class Report:
    """What the script at the end has said.

    :ivar done: it came to its end.
    :ivar failed: number of a command that failed; 0 for none.
    :ivar code: its exit code.
    :ivar running: number of the command that runs; 0 for none.
    """

    done: bool = False
    failed: int = 0
    code: int = 0
    running: int = 0


class Stages:
    """Reads the lines of a console.

    :param word: begins those of the script at the end.
    :ivar stage: where it is; it never goes back.
    :ivar question: it stopped to ask this; '' while it has not.
    :ivar report: of the script at the end.
    """

    def __init__(self, family: settings.Family, word: str) -> None:
        self.stage = _BOOT
        self.question = ''
        self.report = Report()
        self._stages = _STAGES[family]
        self._number = -1
        self._ask = _QUESTIONS[family]
        self._word = re.compile(
            rf'{re.escape(word)} (done|runs|failed)'
            r'(?: (\d{1,9})(?: (\d{1,9}))?)?'
        )
        self._lines: list[str] = []
        self._telling: list[str] = []
        self._signs = signs.Signs()

    @property
    def fatal(self) -> str:
        """Why the machine will never come up; '' while it may."""
        return self._signs.fatal

    def shown(self) -> list[str]:
        """Lines for a message: those that may say why, and the last ones."""
        last = self._lines[-_MOST_LAST:]
        lines = [*self._signs.lines, *self._telling, *last]
        return list(dict.fromkeys(lines))

    def add(self, line: str, whole: bool = True) -> bool:
        """Take a line of the console.

        :param whole: it has its end. A prompt, or a progress bar, has none.
        :returns: whether it is for people; the script's own is not.
        """
        if self._reported(line, whole):
            return False
        self._signs.add(line, whole)
        # What a command of the request prints is not the installer's.
        if not self.report.running:
            self._look(line)
        if whole and line.strip():
            self._remember(' '.join(line.split()))
        return True

    def _look(self, line: str) -> None:
        for number, (name, pattern) in enumerate(self._stages):
            if number > self._number and pattern.search(line):
                self._number, self.stage = number, name
        if self._ask.search(line) and not self.question:
            self.question = self._asked(line)

    def _remember(self, line: str) -> None:
        self._lines = [*self._lines, line][-_MOST_LINES:]
        if not _NOISE.match(line) and _TELLING.search(line):
            self._telling = [
                *(each for each in self._telling if each != line),
                line,
            ][-_MOST_TELLING:]

    def _reported(self, line: str, whole: bool) -> bool:
        found = self._word.search(line)
        if found is None or not whole:
            return found is not None
        kind, number, code = found.groups()
        if kind == 'done':
            self.report = dataclasses.replace(
                self.report, done=True, running=0
            )
        elif kind == 'runs' and number:
            self.report = Report(running=int(number))
        elif kind == 'failed' and code:
            self.report = Report(failed=int(number), code=int(code))
        return True

    def _asked(self, line: str) -> str:
        """The dialogue that the last lines are."""
        lines = [*self._lines]
        if not self._lines or self._lines[-1] != ' '.join(line.split()):
            lines.append(line.strip())
        for number in range(len(lines) - 1, 0, -1):
            if _RULE.match(lines[number]):
                title, rest = lines[number - 1], lines[number + 1 :]
                return f'{title}: {" ".join(rest)}'
        return ' '.join(lines[-4:])
