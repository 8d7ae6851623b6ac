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
"""``python -m imagebuild.appliance.kvm_probe``: exit 0 when KVM works.

Run by :mod:`imagebuild.appliance.accelerator` with a time limit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from typing import Any


def main() -> int:
    """Launch an empty appliance on KVM and shut it down.

    :returns: exit code, 0 when the guest came up.
    """
    import guestfs  # type: ignore[import-not-found]

    def watch(event: int, handle: int, buf: str, array: Any) -> None:
        if 'KVM internal error' in buf:
            with contextlib.suppress(RuntimeError, ProcessLookupError):
                os.kill(handle_.get_pid(), 9)

    scratch = tempfile.mkdtemp(prefix='imagebuild-kvm-probe-')
    try:
        handle_ = guestfs.GuestFS(python_return_dict=True)
        handle_.set_backend('direct')
        handle_.set_backend_settings(['force_kvm'])
        handle_.set_tmpdir(scratch)
        handle_.set_memsize(768)
        handle_.set_event_callback(watch, guestfs.EVENT_APPLIANCE)
        handle_.add_drive_scratch(1024 * 1024)
        try:
            handle_.launch()
            handle_.shutdown()
        except RuntimeError:
            return 1
        return 0
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == '__main__':
    sys.exit(main())
