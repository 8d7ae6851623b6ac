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
#
# tests/devstack/ini.awk
# An ini file as devstack's iniset and its kin leave it. INI_VERB is set, get,
# comment or delete; INI_SECTION, INI_OPTION and INI_VALUE say what. Prints
# the new file, or the value. An option that was not there comes first in its
# section.

{ lines[NR] = $0 }

END {
    verb = ENVIRON["INI_VERB"]
    header = "[" ENVIRON["INI_SECTION"] "]"
    option = ENVIRON["INI_OPTION"]
    new = option " = " ENVIRON["INI_VALUE"]
    last = NR
    find()
    if (verb == "get") {
        if (count)
            print value
        exit
    }
    if (verb == "set" && !count && !place) {
        lines[++last] = ""
        lines[++last] = header
        place = last
    }
    for (n = 1; n <= last; n++)
        write()
}

# The lines with the option, the first value of it, where the section begins
function find(    n, at, name, section) {
    for (n = 1; n <= last; n++) {
        at = index(lines[n], "=")
        if (lines[n] ~ /^\[/) {
            section = trim(lines[n])
            if (section == header && !place)
                place = n
        } else if (section == header && at) {
            name = trim(substr(lines[n], 1, at - 1))
            if (name == option) {
                found[n] = 1
                if (!count++)
                    value = trim(substr(lines[n], at + 1))
            }
        }
    }
}

function write() {
    if (!(n in found))
        print lines[n]
    else if (verb == "set")
        print new
    else if (verb == "comment")
        print "#" lines[n]
    if (verb == "set" && !count && n == place)
        print new
}

function trim(text) {
    gsub(/^[ \t]+|[ \t]+$/, "", text)
    return text
}
