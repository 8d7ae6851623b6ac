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
"""Words that nobody else in the field uses stay out of the project.

An engineer of another OpenStack project or of another image builder searches
for the field's own words. Here is what this project once said instead: in
comments, strings and names of the source, and in the documentation. A word
that a user may have typed (an option, a column, a label of a metric) stays
and is listed in ``FIXED``.
"""

import ast
import dataclasses
import functools
import io
import pathlib
import re
import tokenize
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = ('imagebuild', 'heat_plugin', 'imagebuild_tempest_plugin')
#: Of these, names, docstrings and comments: their texts quote users.
TESTS = 'tests'
#: Text that is read as a whole.
TEXTS = (
    'README.rst',
    'CONTRIBUTING.rst',
    'doc/source/**/*.rst',
    'doc/source/**/*.dot',
    'etc/**/*.yaml*',
    'etc/**/*.service',
    'imagebuild/**/*.sh',
    'imagebuild/**/*.yaml',
)

#: In prose: what is not said -> what is. Regular expressions over whole
#: words; a blank stands for any white space, a line break too.
PROSE = {
    r'folders?': 'directory',
    r'(?:another|each|every|last|next|one|second|this) tr(?:y|ies)': (
        'attempt'
    ),
    r'try \d+|tries of': 'attempt',
    r'anew': 'again; from the start',
    r'bells?': 'cast, wake',
    r'can be had': 'is available',
    r'complaints?': 'error, problem',
    r'goes with the last': 'is deleted with the last',
    r'half a character': 'invalid Unicode (lone surrogate)',
    r'hand(?:s|ed)? back|hand(?:s|ed)? (?:it|them|builds) back': 'requeue',
    r'in our words': 'translated',
    r'insists?': 'retry',
    r'keeps? asking|asks? again': 'retry',
    r'last words': 'end of the output',
    r'mend(?:s|ed|ing)?': 'repair, fix',
    r'life lines?': 'parent-death watch',
    r'patien(?:ce|t)': 'retry, time limit',
    r'put right': 'updated',
    r'signs? of life': 'heartbeat',
    r'stands? twice': 'duplicate',
    r'taken? for dead': 'counted as dead',
    r'tried again': 'retried',
    r'whole numbers?': 'integer',
}

#: Sentences of the log and of users that have a better form.
SENTENCES = {
    # A document that readers of the project do not have.
    r'INTERFACE': 'the page of the documentation',
    r'A defect of imagebuild': 'Unexpected error in ...',
    r'Begins (?:build|upload)': 'Starting build ..., attempt N',
    r'Drains': 'Draining: ...',
    r'Nobody hears that': 'what failed, and why',
}

#: Parts of names, between underscores and capitals.
NAME_PARTS = {
    'anew': 'again',
    'beat': 'heartbeat',
    'bell': 'cast, wake',
    'complaint': 'error',
    'complaints': 'errors',
    'folder': 'directory',
    'folders': 'directories',
    'heart': 'heartbeat',
    'patience': 'retry',
    'realm': 'pid namespace',
}

#: Whole names of modules, classes, functions and variables.
NAMES = {
    'asking_again': 'retry_on_duplicate',
    'ContentRemote': 'AlwaysSucceedsRemote',
    'Controls': 'CancellationToken',
    'Flight': 'single_flight',
    'HandedBack': 'Requeued',
    'Journal': 'EventRecorder',
    'Kept': 'Cache',
    'Offer': 'CapabilityProvider',
    'Order': 'BuildSpec, UploadSpec',
    'Places': 'RunningBuilds',
    'give_back': 'requeue',
    'hurry': 'shutting_down',
    'in_words': 'translate_errors',
    'is_again': 'is_retry',
    'release_former_life': 'requeue_own_builds',
    'steady_for': 'database_stable_for',
    'while_away': 'retry_while_unavailable',
}

#: Names of modules.
MODULES = {
    'changes': 'image_change',
    'controls': 'cancellation',
    'described': 'the module of the resource',
    'edits': 'image_update',
    'endings': 'lifecycle',
    'faults': 'os_errors',
    'figures': 'statistics',
    'flights': 'single_flight',
    'inspected': 'the module of the resource',
    'journal': 'event_recorder',
    'kept': 'the cache of what',
    'patience': 'retry',
    'reality': 'image_state',
    'sentences': 'messages',
    'submission': 'build_request',
    'targets': 'placement',
}

#: What users type or stored before: these pieces of text are no finding.
FIXED = (
    # The option of the store "file".
    r'\[file_store\] folder',
    r"^folder$",
    r'#?folder = \S+',
    r'``folder`` is required',
    # A label of imagebuild_attempts_total.
    r'``handed back``',
    r'^handed back$',
)

#: Packages that are still to be renamed -> the words that they still have.
NOT_YET: dict[str, set[str]] = {}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A word that is not to be used.

    :ivar path: below the root.
    """

    path: str
    line: int
    word: str
    better: str

    def __str__(self):
        return f'{self.path}:{self.line}: "{self.word}": say {self.better}'


# -- reading ----------------------------------------------------------------


@functools.cache
def _prose() -> tuple[re.Pattern[str], dict[str, str]]:
    rules = {**PROSE, **SENTENCES}
    parts = []
    for number, pattern in enumerate(rules):
        spaced = pattern.replace(' ', r'[\s#]+')
        flags = '' if pattern in SENTENCES else '(?i:'
        parts.append(
            rf'(?P<r{number}>\b{flags}(?:{spaced}){")" if flags else ""}\b)'
        )
    better = {f'r{number}': rules[key] for number, key in enumerate(rules)}
    return re.compile('|'.join(parts)), better


_FIXED = re.compile('|'.join(FIXED))


def in_text(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the forbidden words of a prose: line (from 0), word, better."""
    # Blanked, so that lines are counted right.
    text = _FIXED.sub(lambda found: ' ' * len(found[0]), text)
    pattern, better = _prose()
    for found in pattern.finditer(text):
        word = ' '.join(re.sub(r'[\s#]+', ' ', found[0]).split())
        line = text.count('\n', 0, found.start())
        yield line, word.lower(), better[str(found.lastgroup)]


def in_name(name: str) -> Iterator[tuple[str, str]]:
    """Yield the forbidden words of a name, with the better ones."""
    plain = name.strip('_')
    if plain in NAMES:
        yield plain, NAMES[plain]
    for part in re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+', plain):
        if part.lower() in NAME_PARTS:
            yield part.lower(), NAME_PARTS[part.lower()]


def in_python(
    source: str, *, texts: bool = True
) -> Iterator[tuple[int, str, str]]:
    """Yield the forbidden words of a module: line (from 1), word, better.

    :param texts: of all strings; else of docstrings only.
    """
    tree = ast.parse(source)
    docstrings = {id(node) for node in _docstrings(tree)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                if not texts and id(node) not in docstrings:
                    continue
                for line, word, better in in_text(text):
                    # The line is right in docstrings, and near elsewhere.
                    yield node.lineno + line, word, better
            case ast.Name(id=name) | ast.arg(arg=name):
                names = [name]
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                names = [name]
            case ast.Attribute(attr=name, value=ast.Name(id='self' | 'cls')):
                names = [name]
            case ast.alias(name=name, asname=alias):
                names = [name.rpartition('.')[2], alias or '']
            case _:
                continue
        if not isinstance(node, ast.Constant):
            for name in names:
                for word, better in in_name(name):
                    yield node.lineno, word, better
    yield from _in_comments(source)


def _docstrings(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        match node:
            case (
                ast.Module(body=[ast.Expr(value=value), *_])
                | ast.ClassDef(body=[ast.Expr(value=value), *_])
                | ast.FunctionDef(body=[ast.Expr(value=value), *_])
            ):
                yield value


def _in_comments(source: str) -> Iterator[tuple[int, str, str]]:
    # Comments of lines that follow each other are one text.
    block: list[str] = []
    begin = last = 0
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    for token in [*comments, None]:
        if token is not None and block and token.start[0] == last + 1:
            block.append(token.string)
        else:
            for line, word, better in in_text('\n'.join(block)):
                yield begin + line, word, better
            if token is not None:
                block, begin = [token.string], token.start[0]
        if token is not None:
            last = token.start[0]


def findings(root: pathlib.Path) -> Iterator[Finding]:
    """Yield what a tree has of the words."""
    for top in SOURCES:
        for path in sorted((root / top).rglob('*.py')):
            short = str(path.relative_to(root))
            if path.stem in MODULES:
                yield Finding(short, 0, path.stem, MODULES[path.stem])
            for line, word, better in in_python(path.read_text()):
                yield Finding(short, line, word, better)
    for path in sorted((root / TESTS).rglob('*.py')):
        if path.name == pathlib.Path(__file__).name:
            continue
        short = str(path.relative_to(root))
        stem = path.stem.removeprefix('test_')
        if stem in MODULES:
            yield Finding(short, 0, stem, MODULES[stem])
        for line, word, better in in_python(path.read_text(), texts=False):
            yield Finding(short, line, word, better)
    for pattern in TEXTS:
        for path in sorted(root.glob(pattern)):
            short = str(path.relative_to(root))
            for line, word, better in in_text(path.read_text()):
                yield Finding(short, line + 1, word, better)


def excuse(found: Finding) -> tuple[str, str] | None:
    """Return the package and word of the list that excuse a finding."""
    for package, words in NOT_YET.items():
        if found.path.startswith(package) and found.word in words:
            return package, found.word
    return None


@pytest.fixture(scope='module')
def everything():
    return [*findings(ROOT)]


# -- the tests --------------------------------------------------------------


def test_the_fields_own_words(everything):
    assert [str(found) for found in everything if not excuse(found)] == []


def test_no_package_is_excused_for_longer_than_needed(everything):
    used = {excuse(found) for found in everything}
    listed = {
        (package, word) for package, words in NOT_YET.items() for word in words
    }
    assert listed - used == set()


MODULE = '''\
"""A folder
for the tries of a build."""
# It gives no sign
# of life.
TEXT = (
    'It stands '
    'twice.'
)


class Kept:
    def _put_folder(self, patienceLimit):
        self.offer = f'Begins build {self}'
'''


def test_what_the_checker_finds():
    assert sorted(in_python(MODULE)) == [
        (1, 'folder', 'directory'),
        (2, 'tries of', 'attempt'),
        (3, 'sign of life', 'heartbeat'),
        (6, 'stands twice', 'duplicate'),
        (11, 'Kept', 'Cache'),
        (12, 'folder', 'directory'),
        (12, 'patience', 'retry'),
        (13, 'begins build', 'Starting build ..., attempt N'),
    ]


@pytest.mark.parametrize(
    'text',
    [
        'try again later',
        'it tries to do more',
        'the file is kept',
        '``[file_store] folder``',
        '#folder = $state_path/images',
        'folder',
        'the number is a whole one',
        'drains the queue',
    ],
)
def test_what_the_checker_lets_pass(text):
    assert [*in_text(text)] == []


def test_a_room_is_excused_for_its_words_alone(monkeypatch):
    monkeypatch.setitem(NOT_YET, 'imagebuild/attic', {'folder'})
    excused = Finding('imagebuild/attic/a.py', 1, 'folder', 'directory')
    assert excuse(excused)
    assert not excuse(dataclasses.replace(excused, word='anew'))
    assert not excuse(dataclasses.replace(excused, path='imagebuild/a.py'))


def test_modules(tmp_path):
    path = tmp_path / 'imagebuild' / 'db' / 'endings.py'
    path.parent.mkdir(parents=True)
    path.write_text('endings = 1\n')
    (tmp_path / 'README.rst').write_text('One\nfolder.\n')
    assert [str(found) for found in findings(tmp_path)] == [
        'imagebuild/db/endings.py:0: "endings": say lifecycle',
        'README.rst:2: "folder": say directory',
    ]
