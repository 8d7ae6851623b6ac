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
"""A first sector that says something when a disk is booted from it.

All that there is of a system on the disks of the driver ``fake``: enough for
the boot test of a build, in less than a second, on any host.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

#: What the machine does when it has said it.
Then = Literal['wait', 'off', 'repeat']

#: Characters that there is room for.
LONGEST = 400
_SIZE = 512
_SIGNATURE = b'\x55\xaa'
# 16-bit code at 0x7c00, which writes the text after the code to the first
# serial port: cli; xor ax,ax; mov ds,ax; mov si,text; cld; next: lodsb;
# test al,al; jz end; mov ah,al; mov dx,0x3fd; wait: in al,dx; test al,0x20;
# jz wait; mov al,ah; mov dx,0x3f8; out dx,al; jmp next; end:
# It waits for the port: what comes while that is busy is lost. No interrupt
# comes in between: at the next tick of its clock, SeaBIOS writes what is left
# of its own words (src/sercon.c: sercon_check_event).
_WRITE = bytes.fromhex(
    'fa31c08ed8be327cfcac84c0741288c4bafd03eca82074fb88e0baf803eeebe9'
)
#: Every end is as long as the others, so that the text has one place.
_ENDS: Mapping[Then, bytes] = {
    # hlt; jmp $-1
    'wait': bytes.fromhex('f4ebfd'),
    # mov dx,0x3fd; wait: in al,dx; test al,0x40; jz wait (all is sent);
    # mov dx,0x604; mov ax,0x2000; out dx,ax (the ACPI port that switches
    # off); hlt; jmp $-1
    'off': bytes.fromhex('bafd03eca84074fbba0406b80020eff4ebfd'),
    # jmp 0x7c00
    'repeat': bytes.fromhex('ebde'),
}
_LONGEST_END = 18


def content(text: str, then: Then = 'wait') -> bytes:
    """The sector.

    :param text: in ASCII, at most :data:`LONGEST` characters.
    :param then: what it does after it: wait for ever, switch the machine
        off, or say it again.
    :raises UnicodeEncodeError: the text has other characters.
    """
    code = _WRITE + _ENDS[then].ljust(_LONGEST_END, b'\x90')
    code += text.encode('ascii')[:LONGEST] + b'\0'
    return code.ljust(_SIZE - len(_SIGNATURE), b'\0') + _SIGNATURE
