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
"""Whose fault it is that an appliance or a command in it broke.

Commands run as root in the appliance: they can end it (sysrq, its daemon
killed, its memory used up). That is the fault of their author, and starting
again would do the same again. The appliance's console shows such an end; one
that came from outside leaves nothing there.
"""

from __future__ import annotations

from imagebuild import exception

#: What the appliance's kernel prints, and what that means; the first counts.
_SIGNS = (
    ('sysrq: ', 'it used a magic SysRq key'),
    ('Out of memory', 'it used up the memory'),
    ('Kernel panic', 'its kernel panicked'),
    ('reboot: ', 'it was shut down from inside'),
)


def ended_by_guest(
    shown: str, console: str, *, by_guest: bool = False
) -> exception.GuestBroken | None:
    """Look for the guest's own doing when an appliance has gone.

    :param shown: what ran in it.
    :param console: the last that its kernel printed; a guest can silence it.
    :param by_guest: whether qemu reports that the guest ended it.
    :returns: what to raise; None when nothing shows that it was the guest.
    """
    meaning = _meaning(console, by_guest)
    if not meaning:
        return None
    return exception.GuestBroken(
        what=shown, reason=f'the appliance it ran in ended: {meaning}'
    )


def ended_by_disk(
    console: str, *, by_guest: bool = False
) -> exception.GuestBroken | None:
    """The same where no command ran, but a file system was looked at."""
    meaning = _meaning(console, by_guest)
    if not meaning:
        return None
    return exception.GuestBroken(
        what='What is on the disk',
        reason=f'the appliance that has the disk ended: {meaning}',
    )


def _meaning(console: str, by_guest: bool) -> str:
    shown_by = console + ('reboot: ' if by_guest else '')
    for sign, meaning in _SIGNS:
        if sign in shown_by:
            return meaning
    return ''


def no_answer(seconds: float) -> exception.GuestBroken:
    """A file system was looked at without an end."""
    return exception.GuestBroken(
        what='What is on the disk',
        reason='one look at its files or file systems took more than '
        f'{seconds:.0f} seconds, and the appliance that has the disk was '
        'ended',
    )


def not_started(error: Exception) -> exception.GuestBroken:
    """A command could not be started in a guest, whose appliance is well."""
    text = ' '.join(str(error).split())[:300]
    if '/etc/resolv.conf' in text and 'not permitted' in text:
        return exception.GuestBroken(
            what='The image',
            reason='its /etc/resolv.conf cannot be replaced for the time of '
            f'a command; it may be immutable (chattr -i) ({text})',
        )
    return exception.GuestBroken(
        what='The image', reason=f'commands cannot be run in it ({text})'
    )


def never_ended(shown: str) -> exception.GuestBroken:
    """A command was to be stopped, and was not."""
    return exception.GuestBroken(
        what=shown,
        reason='it could not be stopped when its time was up, and what it '
        'ran in was ended',
    )


def output_lost(shown: str) -> exception.GuestBroken:
    """A command took the way of its output away."""
    return exception.GuestBroken(
        what=shown, reason='its output was lost; it may have used the ports'
    )


def left_behind(shown: str, what: str) -> exception.GuestBroken:
    """A command left what keeps the guest's file systems busy.

    :param what: a description of all of it.
    """
    return exception.GuestBroken(
        what=shown, reason=f'it left {what}, which cannot be undone'
    )


def unreadable(shown: str, error: Exception) -> exception.GuestBroken:
    """What a command left cannot be looked at."""
    text = ' '.join(str(error).split())[:300]
    return exception.GuestBroken(
        what=shown,
        reason=f'what it left in the appliance cannot be read ({text})',
    )


def still_busy(error: Exception) -> exception.GuestBroken:
    """Something holds the guest's file systems, and it is none of ours."""
    text = ' '.join(str(error).split())[:300]
    return exception.GuestBroken(
        what='Something that ran in the image',
        reason=f'the file systems could not be unmounted ({text})',
    )
