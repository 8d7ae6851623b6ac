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
"""The build job and the upload job: one child process for each.

The conductor starts ``python -m imagebuild.job`` in a process group of its
own, writes one JSON document as the first line of its standard input and
keeps the pipe open. The job writes events, one JSON object per line, to its
standard output, and what a log should hold to its standard error.

========================== ===============================================
the conductor              the job
========================== ===============================================
closes the pipe, or dies   kills its process group and itself at once
sends SIGTERM              closes the appliance, removes temporary files,
                           ends with exit code 143 and no last event
kills the group            is gone; what it left is swept by its directory
                           (:func:`imagebuild.drivers.base.sweep`)
reads no more              kills its process group and itself
========================== ===============================================

The documents (every name is required unless it says otherwise)::

    {"action": "build", "build_id", "attempt", "workspace", "request",
     "base", "driver", "driver_options" (optional), "timeout" (optional,
     seconds for everything), "output", "disk_format", "config", "project_id"
     (optional: without it no layers are kept)}
    {"action": "upload", "upload_id", "build_id", "project_id",
     "destination", "store", "repository", "artifact", "disk_format",
     "container_format", "image", "content_key", "config", "copies"
     (optional), "timeout" (optional), "source" (optional), "made"
     (optional: the image that is adopted; then no file is of any matter)}
    {"action": "reap", "driver", "attempts", "look" (optional), "timeout",
     "config"}

``config`` holds sections of the configuration by name, values by option:
``boot_test`` (optional), ``guestfs``, ``disks`` (with ``cache_dir``),
``layers`` (optional), ``keystone``, ``glance``, what the store wants, and
``DEFAULT`` with ``recipe_path`` and ``debug``.

The events::

    {"event": "started", "pid"}
    {"event": "phase", "phase", "what"}
    {"event": "plan", "total"}
    {"event": "step_started", "number", "total", "path", "validator",
     "description"}
    {"event": "output", "stream", "line"}
    {"event": "step_finished", "number", "path", "validator",
     "description", "result", "seconds", "message", "output"}
    {"event": "notice", "message"}
    {"event": "progress", "done", "total", "what"}
    {"event": "boot_test", "passed", "seconds", "reason", "findings":
     [{"what", "holds", "message", "seconds"}, ...], "telling": [line, ...]}
    {"event": "source_unusable"}

``phase`` is one of :data:`imagebuild.common.phases.ORDER` and ``what``
describes what is done in it now; the same phase may be sent again with
another description.
``progress`` counts bytes, about once a second. After ``source_unusable`` the
job fails: the image that it should take the file from does not give it back.

And one of these at the end::

    {"event": "finished", "result": {"path", "size", "virtual_size",
     "disk_format", "report"}}
    {"event": "finished", "result": {"image": {"image_id", "destination",
     "service", "build_id", "attempt"}, "report"}}
    {"event": "finished", "result": {"reaped", "left": [[build id, attempt],
     ...]}}
    {"event": "finished", "result": {"image_id", "size", "os_hash_algo",
     "os_hash_value", "disk_format"}}
    {"event": "failed", "fault": "user" | "service", "reason",
     "step": {"path", "validator", "command", "exit_code", "output"} | null,
     "lacks_room": whether a disk of the conductor's host was full}

The exit code is 0 after ``finished`` and 1 after ``failed``; whatever ends
otherwise has crashed or was told to stop. Values of hidden arguments are
in none of it.
"""

from __future__ import annotations

import sys

#: Exit code after SIGTERM.
STOPPED = 143


def command() -> list[str]:
    """The command that starts a job, by this interpreter."""
    return [sys.executable, '-m', 'imagebuild.job']


__all__ = ['STOPPED', 'command']
